"""``server/files/...`` that lists, downloads and deletes.

One decision: a file is in use while a job that has not ended needs its bytes; then it is neither deleted nor replaced
nor moved, in the real server's words. Names are the store's own, so every dialect and the page show the same shelf.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from twisted.internet.defer import Deferred
from twisted.web.resource import IResource

from sdcpd.errors import FileMissing
from sdcpd.files import FileStore, StoredFile
from sdcpd.web.answer import Answer
from sdcpd.web.moonraker.endpoint import Ask, Endpoint
from sdcpd.web.moonraker.form import no
from sdcpd.web.moonraker.metadata import Metadata
from sdcpd.web.moonraker.places import GCODES, ROOTS, Item, Place, gcode_name, item_of, place_of, root_of
from sdcpd.web.routes import Parameter
from sdcpd.web.serve import served
from sdcpd.web.shelf import Shelf

__all__ = ["FileEndpoints"]


class Root(Struct, frozen=True):
    """One root; its path is its name, for there is no path of this machine in it."""

    name: str
    path: str
    permissions: str


class Listed(Struct, frozen=True):
    """One file of the whole list, under both names that clients look for."""

    path: str
    filename: str
    modified: float
    size: int
    permissions: str = "rw"


class Changed(Struct, frozen=True, omit_defaults=True):
    """What was changed, and how."""

    item: Item
    action: str
    source_item: dict[str, str] | None = None


class FileEndpoints:
    """Handlers over the store."""

    def __init__(self, store: FileStore, shelf: Shelf, metadata: Metadata) -> None:
        self._store = store
        self._shelf = shelf
        self._metadata = metadata
        name = (Parameter("filename", "the file, with its folders"),)
        inline = (*name, Parameter("inline_thumbs", "true: the thumbnails themselves, in base64", "boolean"))
        root = (Parameter("root", f"one of {', '.join(ROOTS)}; gcodes if absent"),)
        one = "/server/files/<root>/<path:path>"
        delete = "server.files.delete_file"
        octets = "application/octet-stream"
        self.endpoints = (
            Endpoint("GET", "/server/files/roots", "view", self.roots, list[Root]),
            Endpoint("GET", "/server/files/list", "view", self.list, list[Listed], query=root, also=(400,)),
            Endpoint("GET", "/server/files/metadata", "view", self.metadata, query=inline, also=(400,)),
            Endpoint("POST", "/server/files/metascan", "upload", self.metadata, query=inline, also=(400,)),
            Endpoint("GET", "/server/files/thumbnails", "view", self.thumbnails, list[Any], query=name, also=(400,)),
            Endpoint("GET", one, "view", self.get, None, rpc=None, content=octets, also=(206, 304, 403, 416)),
            Endpoint("DELETE", one, "upload", self.delete, Changed, rpc=delete, also=(400, 403)),
        )

    def roots(self, ask: Ask) -> list[Root]:
        """The roots, and what may be done in them."""
        return [Root(name, name, permissions) for name, permissions in ROOTS.items()]

    def list(self, ask: Ask) -> list[Listed]:
        """Every file of a root, with its folders in its name."""
        if root_of(ask.arguments.text("root", GCODES)) != GCODES:
            return []
        return [Listed(f.name, f.name, f.uploaded_at, f.size) for f in self._store.list()]

    def metadata(self, ask: Ask) -> Deferred[dict[str, Any]]:
        """What a file tells of itself; a key that nobody knows is left out."""
        file = self._find(ask)
        return self._metadata.of(file, ask.printer.id, inline=ask.arguments.flag("inline_thumbs"))

    def thumbnails(self, ask: Ask) -> Deferred[Any]:
        """The thumbnails of a file, with the paths to fetch them from."""
        return self._metadata.thumbnails(self._find(ask))

    def _find(self, ask: Ask) -> StoredFile:
        asked = ask.arguments.text("filename")
        try:
            return self._store.get(gcode_name(asked))
        except FileMissing as error:
            raise no(404, f"Metadata not available for <{asked[:200]}>") from error

    def get(self, ask: Ask) -> Answer | IResource | Deferred[Answer]:
        """A file's bytes, whole or a Range of them; also a thumbnail, under the path that the metadata names."""
        place = self._place(ask)
        if place.root != GCODES:
            raise no(404, "File not found")
        thumbnail = self._metadata.thumbnail(place.path)
        if thumbnail is not None:
            return thumbnail
        try:
            return served(self._stored(place), ask.http.header("if-none-match"))
        except FileMissing as error:
            raise no(404, "File not found") from error

    def delete(self, ask: Ask) -> Deferred[Changed]:
        """Delete a file, unless a job needs it."""
        ask.must_be_unlimited()
        place = self._place(ask)
        place.must_be_writable()
        file = self._stored(place)
        self._shelf.must_be_idle([file])
        return self._store.delete(file.name).addCallback(lambda _: Changed(item_of(file), "delete_file"))

    def _place(self, ask: Ask) -> Place:
        """The place of an HTTP path, or of JSON-RPC's one argument."""
        path = ask.arguments.text("path")
        if ask.call is not None and ask.arguments.text("root") not in ROOTS:
            raise no(404, "Not Found")
        return place_of(f"{ask.arguments.text('root')}/{path}" if ask.call is not None else path)

    def _stored(self, place: Place) -> StoredFile:
        found = self._shelf.file(place.path)
        if found is None:
            raise no(404, "File not found")
        return found
