"""Forms with one file in them (multipart/form-data), parsed while they arrive.

One decision: the file's bytes go straight on to an upload that is begun when the head of its part is here; only the
small fields are collected, within ``Bounds``. What a field says may come after the file (Cura2Moonraker sends it so,
reference apis.md 2.5), so whoever takes the form looks at ``fields`` when the form has ended, not before.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Generic, TypeVar
from urllib.parse import unquote_to_bytes

from msgspec import Struct
from multipart import MultipartError, PushMultipartParser, content_disposition_unquote, header_unquote
from twisted.internet.defer import Deferred

from sdcpd.errors import Interrupted
from sdcpd.web.errors import Refusal
from sdcpd.web.upload import Body, Upload

__all__ = ["FORM", "Bounds", "FilePart", "Form", "is_form", "parameters", "receive_form"]

R = TypeVar("R")
U = TypeVar("U", bound=Upload[Any])


FORM = "multipart/form-data"


class Bounds(Struct, frozen=True):
    """What of a form may lie in memory; everything but the file."""

    fields: int = 32
    name: int = 100
    """Characters of a field's name."""
    value: int = 4096
    """Bytes of a field's value."""
    header: int = 4096
    """Bytes of one header of a part."""
    headers: int = 8
    """Headers of a part."""
    around: int = 64 * 1024
    """Bytes of the whole form beside the file: its file has at least so many bytes as the form is longer than this."""


_BOUNDS = Bounds()

_BOUNDARY = re.compile(r"[ -~]{0,199}[!-~]")
_PARAMETER = re.compile(r';\s*(?:([!#$%&\'+^`|~.\w-]+\*?)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;"]*)\s*)?', re.ASCII)
_EXTENDED = re.compile(r"([A-Za-z0-9!#$%&+^_`{}~.-]+)'[A-Za-z0-9-]*'([A-Za-z0-9!#$&+^_`{}~.%-]*)")
_CHARSETS = ("utf-8", "iso-8859-1", "us-ascii")


class FilePart(Struct, frozen=True):
    """The head of the part that holds the file."""

    field: str
    filename: str
    """The last part of the name that the client gave, not checked yet."""
    folder: str = ""
    """What stood before it, with slashes between; empty for a path of the client's own machine."""


def is_form(content_type: str) -> bool:
    """Whether a Content-Type announces a form with a file."""
    return content_type.partition(";")[0].strip().casefold() == FORM


def parameters(header: str, unquote: Callable[[str], str] = header_unquote) -> dict[str, str]:
    """The parameters of a Content-Type or Content-Disposition, names in small letters.

    Raises ``ValueError`` for what cannot be read or comes twice: two readers would understand it differently.
    """
    found: dict[str, str] = {}
    place = header.find(";")
    while 0 <= place < len(header):
        match = _PARAMETER.match(header, place)
        if match is None or match.end() == place:
            raise ValueError(f"the parameters cannot be read from {header[place : place + 20]!a} on")
        if match[1] is not None:
            if (name := match[1].lower()) in found:
                raise ValueError(f"the parameter {name!a} comes twice")
            found[name] = unquote(match[2])
        place = match.end()
    return found


class Form(Generic[U]):
    """A sink for the body of one form; ``begin`` is called with the head of its file and gives the upload.

    Whatever ``begin`` or the upload's ``write`` raises ends the form, and so does a ``Refusal`` with the code
    ``bad_form``.
    """

    def __init__(
        self, content_type: str, length: int | None, begin: Callable[[FilePart], U], bounds: Bounds = _BOUNDS
    ) -> None:
        self.fields: dict[str, str] = {}
        self.file: FilePart | None = None
        self.upload: U | None = None
        self._begin = begin
        self._length = length
        self._bounds = bounds
        self._around = 0
        self._in_file = False
        self._part: str | None = None  # the field whose value arrives, while it is not the file's
        self._value = bytearray()
        self._parser = PushMultipartParser(
            _boundary(content_type),
            max_header_size=bounds.header,
            max_header_count=bounds.headers,
            max_segment_count=bounds.fields + 1,
            header_charset="latin-1",  # so that every byte arrives here; see _text
        )

    @property
    def at_least(self) -> int:
        """Bytes that the file will have at least, as far as the form's length tells."""
        return max(0, (self._length or 0) - self._bounds.around)

    def write(self, data: bytes, /) -> None:
        """Take the next piece of the body."""
        self._around += len(data)
        try:
            for event in self._parser.parse(data):
                self._take(event)
        except MultipartError as error:
            raise _bad(f"The form cannot be read: {error}.") from error
        if self._around > self._bounds.around:
            raise _bad(f"The form has more than {self._bounds.around} bytes beside its file.")

    def end(self) -> None:
        """The body is complete. Raises ``Interrupted`` if the closing boundary never came."""
        try:
            self._parser.close()
        except MultipartError as error:
            raise Interrupted("The form ends before its closing boundary.", "Send it again.") from error

    def sent(self) -> U:
        """The upload, ready to be finished. Raises ``Refusal`` if no part is a file."""
        if self.upload is None:
            raise _bad("No part of the form is a file: none has a filename.", "curl: -F file=@plate.goo")
        return self.upload

    def abort(self) -> None:
        """Forget the file, if it was begun."""
        if self.upload is not None:
            self.upload.abort()

    # ---

    def _take(self, event: Any) -> None:
        if event is None:
            if self._part is not None:
                self.fields[self._part] = self._value.decode("utf-8", "replace")
            self._part, self._in_file = None, False
        elif isinstance(event, bytes | bytearray):
            if self._in_file:
                assert self.upload is not None, "a file's bytes without its head"
                self._around -= len(event)
                self.upload.write(bytes(event))
            else:
                self._value += event
                if len(self._value) > self._bounds.value:
                    raise _bad(
                        f"The field {self._part!a} has more than {self._bounds.value} bytes.",
                        "If it is the file, its part needs a filename.",
                    )
        else:
            self._head(event.header("Content-Disposition"), event.header("Content-Transfer-Encoding", "binary"))

    def _head(self, disposition: str, encoding: str) -> None:
        try:
            given = parameters(disposition, content_disposition_unquote)
        except ValueError as error:
            raise _bad(f"The head of a part cannot be read: {error}.") from error
        name = _text(given.get("name", ""))
        if len(name) > self._bounds.name:
            raise _bad(f"A field's name has more than {self._bounds.name} characters.")
        filename = _extended(given.get("filename*", ""))
        if filename is None and "filename" in given:
            filename = _text(given["filename"])
        if filename is None:
            if name in self.fields:
                raise _bad(f"The field {name!a} comes twice.")
            self._part, self._value = name, bytearray()
            return
        if self.file is not None:
            raise _bad("The form has more than one file.", "Send each file in a request of its own.")
        if encoding.strip().casefold() not in ("binary", "8bit", "7bit"):
            raise _bad(f"The file is sent as {encoding[:40]!a}.", "Send its bytes as they are.")
        folder, _, _ = filename.rpartition("/")
        own = "\\" in filename or folder.startswith("/") or ":" in folder
        self.file = FilePart(name, re.split(r"[/\\]", filename)[-1], "" if own else folder)
        self._in_file = True
        self.upload = self._begin(self.file)


def receive_form(
    body: Body, form: Form[U], finish: Callable[[U], Deferred[R]], without: Callable[[], R] | None = None
) -> Deferred[R]:
    """Read ``body`` as ``form``; fires with what ``finish`` makes of the upload, which is aborted on any failure.

    ``without`` answers a form without a file; if there is no such answer, the form is refused.
    """

    async def receive() -> R:
        try:
            await body.deliver_to(form)
            form.end()
            if form.upload is None and without is not None:
                return without()
            return await finish(form.sent())
        except BaseException:
            form.abort()
            raise

    return Deferred.fromCoroutine(receive())


def _boundary(content_type: str) -> bytes:
    try:
        boundary = parameters(content_type).get("boundary", "")
    except ValueError as error:
        raise _bad(f"The Content-Type cannot be read: {error}.") from error
    if not is_form(content_type) or not _BOUNDARY.fullmatch(boundary):
        raise _bad(f"Expected multipart/form-data with a boundary, found the Content-Type {content_type[:100]!a}.")
    return boundary.encode("ascii")


def _text(raw: str) -> str:
    """A header's bytes, which came as Latin-1, as what they most likely are."""
    try:
        return raw.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return raw


def _extended(value: str) -> str | None:
    """The text of ``filename*`` [RFC 8187, 3.2]; None if there is none or it cannot be read."""
    match = _EXTENDED.fullmatch(value)
    if match is None or match[1].lower() not in _CHARSETS:
        return None
    try:
        return unquote_to_bytes(match[2]).decode(match[1])
    except UnicodeDecodeError:
        return None


def _bad(message: str, hint: str = "Send multipart/form-data as RFC 7578 has it.") -> Refusal:
    return Refusal(400, "bad_form", message, hint)
