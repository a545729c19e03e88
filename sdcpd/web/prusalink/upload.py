"""``PUT api/v1/files/local/<path>``: the raw file, as PrusaSlicer, UVtools and curl send it.

One decision: whatever can be refused by the name, the size or the headers is refused before the body is asked for, and
in a sentence that says what to do, because the slicer shows it as it is. A name that stands for other bytes is not
taken over unless the client says so; the same bytes again are no conflict (reference apis.md 2.1, 5.4).
"""

from __future__ import annotations

import re

from twisted.internet.defer import Deferred

from sdcpd.files import FileStore, StoredFile
from sdcpd.fleet import Printer
from sdcpd.names import base_name
from sdcpd.web.access import has_key
from sdcpd.web.address import here
from sdcpd.web.answer import Answer, json_answer
from sdcpd.web.errors import Refusal
from sdcpd.web.judged import Judged, begin
from sdcpd.web.prusalink.entries import Entries, Entry, Path
from sdcpd.web.prusalink.files import YES, path_of
from sdcpd.web.routes import Call, Parameter, Route
from sdcpd.web.shelf import Shelf
from sdcpd.web.starts import Started, Starts
from sdcpd.web.upload import receive_upload

__all__ = ["UploadEndpoint"]

_FOREIGN = re.compile(
    r"\.(sl1s?|b?gcode|gco?|ufp|x3g|3mf|stl|obj|amf|stp|step|zip|7z|phz|photons?|pws|pw0|pwx|pwm[abosx]|pwmb|pm[0-9][a-z]?"
    r"|cbddlp|cws|zcodex?|lgs[0-9]*|svgx|osla|osf|jxs|cxdlp|fdg|mdlp|gr1|nanodlp|lys|chitubox)\Z",
    re.IGNORECASE,
)
"""Endings of what slicers save and no printer here takes; whatever else is sent is judged by its first bytes."""


class Uploaded(Entry, frozen=True, omit_defaults=True):
    """A stored file, and what became of a print that was wanted with it."""

    print_started: bool = False
    print_queued: bool = False
    message: str = ""
    """Why it was not started, and what to do."""


class _Careful:
    """An upload that takes no name away from other bytes, whoever else has sent some meanwhile."""

    def __init__(self, judged: Judged, shelf: Shelf) -> None:
        self._judged = judged
        self._shelf = shelf

    def write(self, data: bytes) -> None:
        """Take the next piece."""
        self._judged.write(data)

    def finish(self) -> Deferred[StoredFile]:
        """Keep the file."""
        there = self._shelf.file(self._judged.upload.name)
        if there is not None and there.md5 != self._judged.upload.md5:
            raise _taken(there.name)
        return self._judged.finish()

    def abort(self) -> None:
        """Forget the file."""
        self._judged.abort()


class UploadEndpoint:
    """A handler over the store and the jobs."""

    def __init__(self, store: FileStore, shelf: Shelf, entries: Entries, starts: Starts) -> None:
        self._store = store
        self._shelf = shelf
        self._entries = entries
        self._starts = starts
        overwrite = Parameter("overwrite", "1 to replace what the name stands for, as Overwrite: ?1 does", "boolean")
        self.routes = (
            Route(
                "PUT",
                "/api/v1/files/<storage>/<path:path>",
                "upload",
                self.put,
                Uploaded,
                201,
                query=(overwrite,),
                upload="application/octet-stream",
                also=(400, 401, 404, 409, 413, 415, 507),
            ),
        )

    def put(self, call: Call, printer: Printer, storage: str, path: str) -> Deferred[Answer] | Answer:
        """Store the request's body under this name, whatever its type is said to be; then print it, if asked to.

        Headers: ``Overwrite``, ``Print-After-Upload``, and ``Create-Folder`` for a folder instead; ``?1`` is true.
        """
        name = path_of(storage, path)
        if call.header("create-folder") == YES:
            call.client.must_be_unlimited()
            self._shelf.make(name)
            return Answer(201, headers={"Location": here(call)})
        if call.body.length == 0 and not has_key(call.request):
            # libcurl, when it is to use Digest, asks for the challenge with an empty body, and its address may upload.
            raise Refusal(401, "empty_file", "The file is empty.", "Send its bytes, or a key with them.")
        _refuse_kind(name)
        overwrite = call.header("overwrite") == YES or call.flag("overwrite")
        there = None if overwrite else self._shelf.file(name)
        if there is not None and call.body.length not in (None, there.size):
            raise _taken(name)
        judged = begin(self._store, self._starts.gate(call.client, printer), name, call.body.length)
        upload = judged if overwrite else _Careful(judged, self._shelf)
        wanted = call.header("print-after-upload") == YES

        async def stored(file: StoredFile) -> Answer:
            became = await self._starts.with_upload(call.client, printer, file) if wanted else Started(False)
            entry = await self._entries.file(file)
            parts = {part: getattr(entry, part) for part in entry.__struct_fields__}
            answer = Uploaded(**parts, print_started=became.started, print_queued=became.queued, message=became.message)
            return json_answer(answer, 201, {"Location": here(call)})

        received: Deferred[StoredFile] = receive_upload(call.body, upload)
        return received.addCallback(lambda file: Deferred.fromCoroutine(stored(file)))


def _refuse_kind(name: Path) -> None:
    """Refuse by its name what could only be refused by its contents later."""
    kind = _FOREIGN.search(name)
    if kind is not None:
        raise Refusal(
            415,
            "unsupported_format",
            f"This printer needs .goo or .ctb, and {base_name(name)[:100]} is a {kind[0].casefold()} file.",
            "Convert it with UVtools (for the printer's own resolution), or slice the model for this printer, and"
            " send the .goo or .ctb file.",
        )


def _taken(name: Path) -> Refusal:
    return Refusal(
        409,
        "name_taken",
        f"There is another file {name[:200]!r} already.",
        f"Choose another name, or replace it: Overwrite: {YES}, or ?overwrite=1.",
    )
