"""``POST api/files/local``: a form with a file in it, or with the name of a folder to make.

One decision: the answer comes when the file is stored, never later, and a print that was asked for and cannot be
started now does not undo the upload: the answer says that it was not started, and why. The fields may stand before the
file or behind it; what they tell in time is judged before the file has come (reference apis.md 2.1 to 2.4, 5.5).
"""

from __future__ import annotations

import unicodedata

from msgspec import UNSET, Struct, UnsetType
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from sdcpd.errors import BadName, UnknownFormat
from sdcpd.files import FileStore, StoredFile
from sdcpd.fleet import Fleet, Printer
from sdcpd.judging import Gate
from sdcpd.web.address import base
from sdcpd.web.answer import Answer, json_answer
from sdcpd.web.judged import Judged, begin
from sdcpd.web.multipart import FORM, FilePart, Form, is_form, receive_form
from sdcpd.web.octoprint.entries import Abridged, abridged
from sdcpd.web.octoprint.files import must_be_local
from sdcpd.web.octoprint.folders import Folders
from sdcpd.web.octoprint.form import no
from sdcpd.web.octoprint.request import is_true
from sdcpd.web.octoprint.selection import Selection, is_at_work, is_off
from sdcpd.web.routes import Call, Route
from sdcpd.web.shelf import Shelf
from sdcpd.web.starts import Started, Starts

__all__ = ["UploadEndpoint"]

_NOTHING = "No file to upload and no folder to create"


class Uploaded(Struct, frozen=True, rename="camel"):
    """A stored file, and what was done with it."""

    files: dict[str, Abridged]
    done: bool
    effective_select: bool
    effective_print: bool
    message: str | UnsetType = UNSET
    """Why a print that was asked for was not started; the real server does not tell."""


class UploadEndpoint:
    """A handler over the store, the shelf and the printers."""

    def __init__(
        self, fleet: Fleet, store: FileStore, shelf: Shelf, folders: Folders, starts: Starts, selection: Selection
    ) -> None:
        self._fleet = fleet
        self._store = store
        self._shelf = shelf
        self._folders = folders
        self._starts = starts
        self._selection = selection
        self.routes = (
            Route(
                "POST",
                "/api/files/<origin>",
                "upload",
                self.post,
                gives=Uploaded,
                status=201,
                upload=FORM,
                also=(400, 404, 409, 413, 415, 507),
            ),
        )

    def post(self, call: Call, printer: Printer, origin: str) -> Deferred[Answer]:
        """Store the file of a form, and ``print`` or ``select`` it if the form says so; or make a folder."""
        must_be_local(origin)
        if not is_form(call.header("content-type")):
            raise no(400, _NOTHING)
        gate = self._starts.gate(call.client, printer)
        form = Form(call.header("content-type"), call.body.length, lambda part: self._begun(form, part, gate))
        self._store.check_room(form.at_least)

        async def stored(judged: Judged) -> Answer:
            name = _name(form.fields, form.file)
            self._must_be_free(name, form.fields)
            judged.upload.rename(name)
            return await self._done(call, printer, await judged.finish(), form.fields)

        def folder() -> Answer:
            if "foldername" not in form.fields:
                raise no(400, _NOTHING)
            return self._folders.make(call, form.fields["foldername"], form.fields.get("path", ""))

        received = receive_form(call.body, form, lambda judged: Deferred.fromCoroutine(stored(judged)), folder)
        return received.addErrback(_said)

    def _begun(self, form: Form[Judged], part: FilePart, gate: Gate) -> Judged:
        if "path" in form.fields:  # else it may come yet, and with it another name
            self._must_be_free(_name(form.fields, part), form.fields)
        return begin(self._store, gate, part.filename, None, form.at_least)

    def _must_be_free(self, name: str, fields: dict[str, str]) -> None:
        if self._shelf.is_printed(name):
            raise no(409, "Trying to overwrite file that is currently being printed")
        if is_true(fields.get("noOverwrite")) and self._shelf.file(name) is not None:
            raise no(409, "File already exists and noOverwrite was set")

    async def _done(self, call: Call, printer: Printer, file: StoredFile, fields: dict[str, str]) -> Answer:
        now = self._fleet[printer.id]  # the upload may have taken minutes
        free = not is_off(now) and not is_at_work(now)
        select = is_true(fields.get("select")) and free and "control" in call.client.scopes
        begun = Started(False)
        if is_true(fields.get("print")):
            begun = await self._starts.with_upload(call.client, printer, file)
        if select or begun.started:
            self._selection.select(printer, file)
        told = abridged(base(call), file.name)
        uploaded = Uploaded({"local": told}, True, select, begun.started, begun.message or UNSET)
        return json_answer(uploaded, 201, {"Location": told.refs.resource})


def _name(fields: dict[str, str], part: FilePart | None) -> str:
    """The whole name: ``path`` and the file's own, or the folders that stood before the latter."""
    assert part is not None, "an upload without a file"
    folder = "/".join(word for word in (fields.get("path", "").strip() or part.folder).split("/") if word)
    return unicodedata.normalize("NFC", f"{folder}/{part.filename}" if folder else part.filename)


def _said(failure: Failure) -> Failure:
    """A refusal of a name or of a kind in the real server's words, and then in ours, which say what to do."""
    error = failure.value
    if isinstance(error, BadName):
        raise no(400, f"Can not upload file, invalid file name: {error.sentence}") from error
    if isinstance(error, UnknownFormat):
        raise no(415, f"Could not upload file, invalid type: {error.sentence}") from error
    return failure
