"""``api/v1/files/...`` but uploads: look, print, download, delete.

One decision: there is one storage, ``local``, and it is the store that every dialect shows; a print takes the same door
as all of them (reference apis.md 5.4).
"""

from __future__ import annotations

import unicodedata

from twisted.internet.defer import Deferred
from twisted.web.resource import IResource

from sdcpd.codec.status import RUNNING
from sdcpd.errors import FileMissing
from sdcpd.files import FileStore, StoredFile
from sdcpd.fleet import Printer
from sdcpd.loaded import loaded
from sdcpd.web.answer import Answer, json_answer
from sdcpd.web.errors import Refusal
from sdcpd.web.pictures import PicturesApi
from sdcpd.web.prusalink.entries import HERE, Entries, Entry, Path
from sdcpd.web.routes import Call, Parameter, Route
from sdcpd.web.serve import served
from sdcpd.web.shelf import Shelf
from sdcpd.web.starts import Starts

__all__ = ["YES", "FileEndpoints", "path_of"]

YES = "?1"
"""True in a header, as RFC 8941 writes it (section 3.3.6)."""
_DONE = Answer(204)


def path_of(storage: str, path: str = "") -> Path:
    """What the path means in the one storage; a ``Refusal`` for another one."""
    if storage != HERE:
        raise Refusal(404, "unknown_storage", f"There is no storage {storage[:80]!r}.", f"The only one is {HERE!r}.")
    return unicodedata.normalize("NFC", path)


class FileEndpoints:
    """Handlers over the store and its shelf."""

    def __init__(
        self,
        store: FileStore,
        shelf: Shelf,
        entries: Entries,
        starts: Starts,
        pictures: PicturesApi,
    ) -> None:
        self._store = store
        self._shelf = shelf
        self._entries = entries
        self._starts = starts
        self._pictures = pictures
        root = "/api/v1/files/<storage>"
        one = f"{root}/<path:path>"
        size = Parameter("size", "pixels of the longer side: the thumbnail next to it; else the largest", "integer")
        octets = "application/octet-stream"
        also = (401, 404)
        self.routes = (
            Route("GET", root, "view", self.get, Entry, also=also),
            Route("GET", one, "view", self.get, Entry, also=also),
            Route("GET", f"{one}/raw", "view", self.raw, content=octets, also=(206, 304, 401, 404, 416)),
            Route(
                "GET",
                f"{one}/thumbnail.png",
                "view",
                self.thumbnail,
                query=(size,),
                content="image/png",
                also=(304, 401, 404, 503),
            ),
            Route("POST", one, "control", self.print, status=204, content="", also=(400, 401, 404, 409, 503)),
            Route("DELETE", one, "upload", self.delete, status=204, content="", also=(401, 404, 409)),
        )

    def get(self, call: Call, printer: Printer, storage: str, path: str = "") -> Deferred[Answer]:
        """A file with what is known of it, or a folder with what is in it; by HEAD only whether it is there."""
        name = path_of(storage, path)
        file = self._shelf.file(name)
        if file is None and not self._shelf.is_folder(name):
            raise _missing(name)
        headers = {
            "Read-Only": _word("upload" not in call.client.scopes),
            "Currently-Printed": _word(file is not None and self._prints(printer, file)),
        }
        entry = self._entries.file(file) if file is not None else self._entries.folder(name)
        return entry.addCallback(json_answer, 200, headers)

    def _prints(self, printer: Printer, file: StoredFile) -> bool:
        printed = loaded(printer, self._store).stored if printer.phase in RUNNING else None
        return printed is not None and printed.md5 == file.md5

    def raw(self, call: Call, printer: Printer, storage: str, path: str) -> Answer | IResource:
        """A file's bytes, whole or a Range of them."""
        return served(self._file(path_of(storage, path)), call.header("if-none-match"))

    def thumbnail(self, call: Call, printer: Printer, storage: str, path: str) -> Deferred[Answer]:
        """A file's picture, as the slicer made it."""
        return self._pictures.thumbnail(call, self._file(path_of(storage, path)).name)

    def print(self, call: Call, printer: Printer, storage: str, path: str) -> Deferred[Answer]:
        """Print a stored file: delivered if the printer lacks it, then started; answered when that is accepted."""
        file = self._file(path_of(storage, path))
        return self._starts.now(call.client, printer, file).addCallback(lambda _: _DONE)

    def delete(self, call: Call, printer: Printer, storage: str, path: str) -> Deferred[Answer]:
        """Delete a file, or a folder; one that is not empty only with ``Force: ?1``. Never what a job needs."""
        name = path_of(storage, path)
        call.client.must_be_unlimited()
        files = self._shelf.files(name)
        if not files and not self._shelf.is_folder(name):
            raise _missing(name)
        self._shelf.must_be_idle(files)
        if self._shelf.file(name) is not None:
            return self._store.delete(name).addCallback(lambda _: _DONE)
        folder = self._shelf.folder(name)
        if (folder.folders or folder.files) and call.header("force") != YES:
            raise Refusal(409, "folder_not_empty", f"The folder {name!r} is not empty.", f"Send Force: {YES}.")
        return self._shelf.remove(name).addCallback(lambda _: _DONE)

    def _file(self, name: Path) -> StoredFile:
        file = self._shelf.file(name)
        if file is None:
            raise _missing(name)
        return file


def _missing(name: Path) -> FileMissing:
    return FileMissing(f"There is no file or folder {name[:200]!r}.", f"GET api/v1/files/{HERE} lists what there is.")


def _word(value: bool) -> str:
    return "true" if value else "false"
