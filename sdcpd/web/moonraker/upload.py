"""``POST server/files/upload``: a form with a file, before or behind its other fields.

One decision: the answer comes when the file is stored, never later. A print that was asked for and cannot be started
now does not undo the upload: the answer says that it was not started, and why (reference apis.md 5.5, 5 to 7).
"""

from __future__ import annotations

import hashlib
from urllib.parse import quote

from msgspec import Struct
from twisted.internet.defer import Deferred

from sdcpd.files import FileStore, StoredFile, Upload
from sdcpd.web.address import base
from sdcpd.web.answer import Answer, json_answer
from sdcpd.web.judged import Judged, begin
from sdcpd.web.moonraker.endpoint import Ask, Endpoint
from sdcpd.web.moonraker.form import no
from sdcpd.web.moonraker.places import GCODES, Item, item_of, place_of
from sdcpd.web.multipart import FORM, FilePart, Form, receive_form
from sdcpd.web.shelf import Shelf
from sdcpd.web.starts import Started, Starts

__all__ = ["UploadEndpoint"]

_YES = frozenset({"true", "1", "yes", "on"})


class Uploaded(Struct, frozen=True, omit_defaults=True):
    """A stored file; ``result`` is for clients of the old server, ``item`` for those of the new one."""

    result: str
    item: Item
    action: str
    print_started: bool
    print_queued: bool
    message: str = ""
    """Why a print that was asked for was not started."""


class Hashed:
    """An upload that is judged on its way, and whose SHA-256 is known in the end, where a form may name it."""

    def __init__(self, judged: Judged) -> None:
        self.judged = judged
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Of what has arrived, in lower-case hex digits."""
        return self._hash.hexdigest()

    def write(self, data: bytes) -> None:
        """Take the next piece."""
        self._hash.update(data)
        self.judged.write(data)

    def finish(self) -> Deferred[StoredFile]:
        """Keep the file."""
        return self.judged.finish()

    def abort(self) -> None:
        """Forget the file."""
        self.judged.abort()


class UploadEndpoint:
    """A handler over the store and the jobs."""

    def __init__(self, store: FileStore, shelf: Shelf, starts: Starts) -> None:
        self._store = store
        self._shelf = shelf
        self._starts = starts
        also = (400, 403, 413, 422, 507)
        self.endpoints = (
            Endpoint(
                "POST",
                "/server/files/upload",
                "upload",
                self.post,
                Uploaded,
                201,
                rpc=None,
                wrapped=False,
                upload=FORM,
                also=also,
            ),
        )

    def post(self, ask: Ask) -> Deferred[Answer]:
        """Store the file of a form, and print it if the form says so; ``root``, ``path``, ``print``, ``checksum``."""
        call = ask.http

        gate = self._starts.gate(ask.client, ask.printer)

        def begin_file(part: FilePart) -> Hashed:
            return Hashed(begin(self._store, gate, part.filename, None, form.at_least))

        form = Form(call.header("content-type"), call.body.length, begin_file)
        self._store.check_room(form.at_least)
        before = {file.name for file in self._store.list()}

        def finish(hashed: Hashed) -> Deferred[StoredFile]:
            upload = hashed.judged.upload
            self._name(upload, form.fields, form.file.folder if form.file is not None else "")
            wanted = form.fields.get("checksum", "").strip().lower()
            if wanted and wanted != hashed.sha256:
                raise no(422, f"File checksum mismatch: expected {wanted[:64]!r}, calculated '{hashed.sha256}'")
            return hashed.finish()

        async def stored(file: StoredFile) -> Answer:
            action = "modify_file" if file.name in before else "create_file"
            wanted = form.fields.get("print", "").strip().casefold() in _YES
            begun = await self._starts.with_upload(ask.client, ask.printer, file) if wanted else Started(False)
            location = f"{base(call)}/server/files/{GCODES}/{quote(file.name)}"
            answer = Uploaded(file.name, item_of(file), action, begun.started, begun.queued, begun.message)
            return json_answer(answer, 201, {"Location": location})

        received = receive_form(call.body, form, finish)
        return received.addCallback(lambda file: Deferred.fromCoroutine(stored(file)))

    def _name(self, upload: Upload, fields: dict[str, str], within: str) -> None:
        """Put the upload where its form says: in ``path``, which comes with it, or in a folder named with the file."""
        place = place_of(f"{fields.get('root', '').strip() or GCODES}/{fields.get('path', '').strip()}")
        place.must_be_writable()
        inner = place_of(f"{GCODES}/{within}").path
        folder = "/".join(part for part in (place.path, inner) if part)
        if inner and not self._shelf.is_folder(folder):
            raise no(400, f"Directory does not exist: {GCODES}/{folder}")
        if folder:
            upload.rename(f"{folder}/{upload.name}")
