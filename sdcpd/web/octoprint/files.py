"""``api/files``: what is stored, told, selected and deleted; and ``downloads/files``.

One decision: the checks stand in the real server's order and are refused in its words. A file is in use while a job
that has not ended needs its bytes: then it is neither deleted nor moved. What a printer has no card for is told so.
"""

from __future__ import annotations

import unicodedata
from typing import Any

import msgspec
from msgspec import Struct
from twisted.internet.defer import Deferred, succeed
from twisted.web.resource import IResource

from sdcpd.errors import FileInUse
from sdcpd.files import FileStore, StoredFile
from sdcpd.fleet import Printer
from sdcpd.web.address import base
from sdcpd.web.answer import Answer, etag_of, has_etag, json_answer
from sdcpd.web.octoprint.entries import Entries, FileEntry, FolderEntry
from sdcpd.web.octoprint.folders import Folders
from sdcpd.web.octoprint.form import NOT_FOUND, NOT_OPERATIONAL, no
from sdcpd.web.octoprint.request import DONE, command_of, is_true
from sdcpd.web.octoprint.selection import Selection, is_at_work, is_off
from sdcpd.web.routes import Call, Parameter, Route
from sdcpd.web.serve import served
from sdcpd.web.shelf import Shelf
from sdcpd.web.starts import Starts

__all__ = ["FilesEndpoints", "must_be_local"]

_COMMANDS = {
    "select": (),
    "unselect": (),
    "slice": (),
    "analyse": (),
    "copy": ("destination",),
    "move": ("destination",),
}
_PRINTING = "Printer is already printing, cannot {} file"


class Files(Struct, frozen=True):
    """What is stored, and the room on the disk in bytes."""

    files: list[FileEntry | FolderEntry]
    free: int
    total: int


class CardFiles(Struct, frozen=True):
    """What is on the card that the printer does not have."""

    files: tuple[FileEntry, ...] = ()


def must_be_local(origin: str) -> None:
    """Refuse the card that the printer does not have, and every other origin."""
    if origin != "local":
        raise no(404, "SD support is disabled" if origin == "sdcard" else NOT_FOUND)


class FilesEndpoints:
    """Handlers over the shelf and the selection."""

    def __init__(
        self, store: FileStore, shelf: Shelf, entries: Entries, folders: Folders, starts: Starts, selection: Selection
    ) -> None:
        self._store = store
        self._shelf = shelf
        self._entries = entries
        self._folders = folders
        self._starts = starts
        self._selection = selection
        one = "/api/files/<origin>/<path:path>"
        deep = Parameter("recursive", "true: also what is in folders", "boolean")
        query = (deep, Parameter("filter", "machinecode, goo or ctb: only such files"))
        octets = "application/octet-stream"
        self.routes = (
            Route("GET", "/api/files", "view", self.list, gives=Files, query=query),
            Route("GET", "/api/files/<origin>", "view", self.list, gives=Files, query=query, also=(404,)),
            Route("GET", one, "view", self.get, gives=dict[str, Any], query=(deep,), also=(404,)),
            Route(
                "POST",
                one,
                "view",
                self.command,
                status=204,
                content="",
                takes=dict[str, Any],
                also=(201, 400, 404, 409, 415),
            ),
            Route("DELETE", one, "upload", self.delete, status=204, content="", also=(404, 409)),
            Route(
                "GET",
                "/downloads/files/<origin>/<path:path>",
                "view",
                self.download,
                content=octets,
                also=(206, 304, 404, 416),
            ),
        )

    def list(self, call: Call, printer: Printer, origin: str = "local") -> Answer | Deferred[Answer]:
        """The stored files and folders; a list is never older than the question, so ``force`` changes nothing."""
        if origin == "sdcard":
            return json_answer(CardFiles())
        must_be_local(origin)
        usage = self._store.usage

        def answer(files: list[FileEntry | FolderEntry]) -> Answer:
            # Of the files alone: what the disk has left is another number at each question.
            headers = {"ETag": etag_of(msgspec.json.encode(files))}
            if has_etag(call.header("if-none-match"), headers["ETag"]):
                return Answer(304, headers=headers)
            return json_answer(Files(files, usage.room, usage.used + usage.free), 200, headers)

        recursive, kind = is_true(call.text("recursive")), call.text("filter")
        listed = self._entries.within(base(call), printer, self._shelf.folder(""), recursive=recursive, kind=kind)
        return listed.addCallback(answer)

    def get(self, call: Call, printer: Printer, origin: str, path: str) -> Deferred[Answer]:
        """One file, or one folder with what is in it."""
        must_be_local(origin)
        name = _name(path)
        file = self._shelf.file(name)
        if file is not None:
            return self._entries.file(base(call), printer, file).addCallback(json_answer)
        if not self._shelf.is_folder(name):
            raise no(404, NOT_FOUND)
        recursive = is_true(call.text("recursive"))
        folder = self._shelf.folder(name)
        return self._entries.folder(base(call), printer, folder, recursive=recursive).addCallback(json_answer)

    def download(self, call: Call, printer: Printer, origin: str, path: str) -> Answer | IResource:
        """A file's bytes, whole or a Range of them."""
        must_be_local(origin)
        return served(self._file(path), call.header("if-none-match"))

    def delete(self, call: Call, printer: Printer, origin: str, path: str) -> Deferred[Answer]:
        """Delete a file, or a folder with all that is in it, unless a job needs it."""
        call.client.must_be_unlimited()
        must_be_local(origin)
        name = _name(path)
        file = self._shelf.file(name)
        if file is None and not self._shelf.is_folder(name):
            raise no(404, NOT_FOUND)
        what = "a file that" if file is not None else "a folder that contains a file that"
        return Deferred.fromCoroutine(self._delete(name, file, f"Trying to delete {what} is currently in use"))

    async def _delete(self, name: str, file: StoredFile | None, in_use: str) -> Answer:
        try:
            self._shelf.must_be_idle(self._shelf.files(name))
            await (self._shelf.remove(name) if file is None else self._store.delete(name))
        except FileInUse as error:
            raise no(409, in_use) from error
        return DONE

    # -- commands --------------------------------------------------------------------------------------------

    def command(self, call: Call, printer: Printer, origin: str, path: str) -> Answer | Deferred[Answer]:
        """Select, unselect, copy or move a file; copy and move a folder, too. There is no slicer here."""
        if origin not in ("local", "sdcard"):
            raise no(404, NOT_FOUND)
        command, body = command_of(call, _COMMANDS)
        if command in ("copy", "move"):
            if origin != "local":
                raise no(400, f"Unsupported target for {command}")
            return self._folders.give(call, _name(path), body["destination"], keep=command == "copy")
        if command == "unselect":
            call.must_have("control")
            return self._unselect(printer, _name(path))
        must_be_local(origin)
        if command == "select":
            call.must_have("control")
            return self._select(call, printer, self._file(path), is_true(body.get("print")))
        call.must_have("upload")
        file = self._file(path)
        if command == "slice":
            raise no(415, "Cannot slice file, no slicer available")
        return self._store.indexes.of(file).addCallback(lambda index: _analysed(bool(index.problem)))

    def _select(self, call: Call, printer: Printer, file: StoredFile, start: bool) -> Deferred[Answer]:
        if is_at_work(printer):
            raise no(409, _PRINTING.format("select a new"))
        if is_off(printer):
            raise no(409, f"{NOT_OPERATIONAL}, cannot directly start printing" if start else NOT_OPERATIONAL)

        def selected(_: object) -> Answer:
            self._selection.select(printer, file)
            return DONE

        # A start that is refused changes nothing, the selection neither.
        begun: Deferred[Any] = self._starts.now(call.client, printer, file) if start else succeed(None)
        return begun.addCallback(selected)

    def _unselect(self, printer: Printer, name: str) -> Answer:
        if is_at_work(printer):
            raise no(409, _PRINTING.format("unselect current"))
        selected = self._selection.of(printer)
        if selected is None:
            raise no(409, "Cannot unselect current file when there is no file selected")
        if name not in (selected.name, "current"):
            raise no(400, "Only the currently selected file can be unselected")
        self._selection.unselect(printer)
        return DONE

    def _file(self, path: str) -> StoredFile:
        file = self._shelf.file(_name(path))
        if file is None:
            raise no(404, NOT_FOUND)
        return file


def _analysed(in_vain: bool) -> Answer:
    """The file was read when it came; this only tells whether it could be."""
    if in_vain:
        raise no(400, "No analysis possible")
    return DONE


def _name(path: str) -> str:
    return unicodedata.normalize("NFC", path).strip("/")
