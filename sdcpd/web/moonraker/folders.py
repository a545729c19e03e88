"""``server/files/directory``, ``move`` and ``copy``.

One decision: the old rules are kept. A source must exist; nothing leaves its root; what a job needs is neither moved
nor overwritten, but may be copied; and a folder that is renamed to one that exists goes into it (reference apis.md
1.2).
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from sdcpd.errors import StoreError
from sdcpd.files import FileStore, StoredFile
from sdcpd.names import base_name, inside
from sdcpd.web.moonraker.endpoint import Ask, Endpoint
from sdcpd.web.moonraker.files import Changed
from sdcpd.web.moonraker.form import no
from sdcpd.web.moonraker.metadata import Metadata
from sdcpd.web.moonraker.places import GCODES, ROOTS, Item, Place, item_of, place_of
from sdcpd.web.routes import Parameter
from sdcpd.web.shelf import Folder, Shelf

__all__ = ["FolderEndpoints"]


class FolderEndpoints:
    """Handlers over the shelf."""

    def __init__(self, store: FileStore, shelf: Shelf, metadata: Metadata) -> None:
        self._store = store
        self._shelf = shelf
        self._metadata = metadata
        here = "/server/files/directory"
        path = Parameter("path", "root and folder: gcodes/minis; gcodes if absent")
        extended = Parameter("extended", "true: the files' metadata, too", "boolean")
        force = Parameter("force", "true: with all that is in it", "boolean")
        both = (Parameter("source", "root and path"), Parameter("dest", "root and path"))
        also = (400, 403)
        self.endpoints = (
            Endpoint("GET", here, "view", self.get, query=(path, extended), also=also),
            Endpoint("POST", here, "upload", self.make, Changed, query=(path,), also=also),
            Endpoint("DELETE", here, "upload", self.delete, Changed, query=(path, force), also=also),
            Endpoint("POST", "/server/files/move", "upload", self.move, Changed, query=both, also=also),
            Endpoint("POST", "/server/files/copy", "upload", self.copy, Changed, query=both, also=also),
        )

    def get(self, ask: Ask) -> Deferred[dict[str, Any]]:
        """What is directly in a folder, and how full the disk is."""
        return Deferred.fromCoroutine(self._get(ask))

    async def _get(self, ask: Ask) -> dict[str, Any]:
        place = place_of(ask.arguments.text("path", GCODES))
        mine = place.root == GCODES
        if place.path and not (mine and self._shelf.is_folder(place.path)):
            raise no(400, f"Directory does not exist: {place.whole}")
        folder = self._shelf.folder(place.path) if mine else Folder("", 0.0, 0, (), ())
        extended = ask.arguments.flag("extended")
        files = [{**(await self._known(file, ask) if extended else {}), **_entry(file)} for file in folder.files]
        usage = self._store.usage
        return {
            "dirs": [
                {"dirname": f.name, "modified": f.modified, "size": f.size, "permissions": "rw"} for f in folder.folders
            ],
            "files": files,
            "disk_usage": {"total": usage.used + usage.free, "used": usage.used, "free": usage.free},
            "root_info": {"name": place.root, "permissions": ROOTS[place.root]},
        }

    async def _known(self, file: StoredFile, ask: Ask) -> dict[str, Any]:
        """A file's metadata, looked up when the one before is there; none of a file that cannot be read."""
        try:
            return await self._metadata.of(file, ask.printer.id)
        except StoreError:
            return {}

    def make(self, ask: Ask) -> Changed:
        """Make a folder."""
        place = self._writable(ask, "path")
        return Changed(Item(place.path, modified=self._shelf.make(place.path)), "create_dir")

    def delete(self, ask: Ask) -> Deferred[Changed]:
        """Delete a folder; with what is in it only when forced, and never what a job needs."""
        place = self._writable(ask, "path")
        if not self._shelf.is_folder(place.path):
            raise no(400, f"Directory does not exist: {place.whole}")
        folder = self._shelf.folder(place.path)
        if (folder.folders or folder.files) and not ask.arguments.flag("force"):
            raise no(400, f"Directory is not empty: {place.whole}")
        self._shelf.must_be_idle(self._shelf.files(place.path))
        return self._shelf.remove(place.path).addCallback(lambda _: Changed(Item(place.path), "delete_dir"))

    def move(self, ask: Ask) -> Deferred[Changed]:
        """Give a file or a folder another name or place."""
        return Deferred.fromCoroutine(self._give(ask, keep=False))

    def copy(self, ask: Ask) -> Deferred[Changed]:
        """Give a file or a folder a second name; this takes no room."""
        return Deferred.fromCoroutine(self._give(ask, keep=True))

    async def _give(self, ask: Ask, *, keep: bool) -> Changed:
        source, dest = self._writable(ask, "source"), self._writable(ask, "dest")
        file = self._shelf.file(source.path)
        if file is None and not self._shelf.is_folder(source.path):
            raise no(400, f"File or directory does not exist: {source.whole}")
        to = self._shelf.target(source.path, dest.path)
        if to == source.path or (file is None and inside(to, source.path)):
            raise no(400, f"Cannot place {source.whole} into itself")
        if file is None and self._shelf.is_folder(to):
            raise no(400, f"Directory already exists: {GCODES}/{to}")
        if not keep:
            self._shelf.must_be_idle(self._shelf.files(source.path))
        replaced = self._shelf.file(to) if file is not None else None
        if replaced is not None:
            self._shelf.must_be_idle([replaced])
            await self._store.delete(replaced.name)
        given = await self._shelf.give(source.path, to, keep=keep)
        action = ("create" if keep else "move") + ("_file" if given is not None else "_dir")
        item = item_of(given) if given is not None else Item(to)
        return Changed(item, action, {"path": source.path, "root": GCODES})

    def _writable(self, ask: Ask, name: str) -> Place:
        ask.must_be_unlimited()
        place = place_of(ask.arguments.text(name))
        place.must_be_writable()
        if not place.path:
            raise no(400, f"The root {place.root} itself stays as it is")
        return place


def _entry(file: StoredFile) -> dict[str, Any]:
    return {
        "filename": base_name(file.name),
        "modified": file.uploaded_at,
        "size": file.size,
        "permissions": "rw",
    }
