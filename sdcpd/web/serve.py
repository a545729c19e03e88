"""A stored file as an HTTP answer, for people and for printers.

One decision: Twisted's own ``static.File`` does the serving (HEAD, Range, 206 and 416, back-pressure); only what
it must not guess is said here: the type, the name, the validator, and who watches how far it got. The validator
is the content's MD5 alone: a name may stand for other, older bytes tomorrow, so dates say nothing.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from twisted.web.iweb import IRequest
from twisted.web.static import File

from sdcpd.errors import FileMissing
from sdcpd.files import StoredFile
from sdcpd.names import base_name
from sdcpd.offers import Watcher
from sdcpd.web.answer import Answer, has_etag

__all__ = ["MOST_RANGES", "ServedFile", "served"]

MOST_RANGES = 16
"""Parts of a file that one answer has at most; who asks for more gets the whole, not its size a thousand times."""

_SPEC = rb"(?:[0-9]{1,18}-[0-9]{0,18}|-[0-9]{1,18})"
_RANGES = re.compile(rb"bytes=%b(?:[ \t]*,[ \t]*%b){0,%d}" % (_SPEC, _SPEC, MOST_RANGES - 1))
_LAST = re.compile(rb"(?<![0-9])-([0-9]+)")


def served(file: StoredFile, if_none_match: str) -> Answer | ServedFile:
    """The bytes of a stored file, or 304 for who has them already. Raises ``FileMissing`` if they are gone."""
    etag = f'"{file.md5}"'
    if has_etag(if_none_match, etag):
        return Answer(304, headers={"ETag": etag})
    resource = ServedFile(file.path, file.md5, base_name(file.name))
    if not resource.isfile():
        raise FileMissing(f"the bytes of {file.name!r} are no longer on the disk", "Upload the file again.")
    return resource


class ServedFile(File):
    """One file, its content addressed by ``md5``; ``watcher`` hears of each piece that was handed out."""

    isLeaf = True

    def __init__(self, path: str, md5: str, name: str, watcher: Watcher | None = None) -> None:
        super().__init__(path, defaultType="application/octet-stream")
        self.type, self.encoding = "application/octet-stream", None
        self._md5 = md5
        self._name = name
        self._watcher = watcher

    def render_GET(self, request: IRequest) -> object:
        """Serve the file, or the Range of it that is asked for."""
        request.setHeader(b"x-content-type-options", b"nosniff")
        request.setHeader(b"content-security-policy", b"sandbox; default-src 'none'; frame-ancestors 'none'")
        request.setHeader(b"cache-control", b"no-cache")
        disposition = f"attachment; filename*=UTF-8''{quote(self._name, safe='')}"
        request.setHeader(b"content-disposition", disposition.encode("ascii"))
        etag = f'"{self._md5}"'.encode("ascii")
        request.setHeader(b"etag", etag)
        request.requestHeaders.removeHeader(b"if-modified-since")
        asked = request.getHeader(b"range")
        if asked is not None:
            request.requestHeaders.removeHeader(b"range")
            if request.getHeader(b"if-range") in (None, etag) and _RANGES.fullmatch(asked):
                # Twisted takes more last bytes than there are for a place before the beginning.
                within = _LAST.sub(lambda last: b"-%d" % min(int(last[1]), self.getsize()), asked)
                request.requestHeaders.setRawHeaders(b"range", [within])
        answer = super().render_GET(request)
        # Twisted's 404 of a file that is gone has a body even for HEAD, and a warning in the log, with the path.
        return b"" if request.method == b"HEAD" else answer

    render_HEAD = render_GET

    def makeProducer(self, request: Any, fileForReading: Any) -> Any:  # noqa: N802, N803 (Twisted's names)
        """The producer that reads the file, with the watcher told of each write."""
        watcher = self._watcher
        if watcher is not None and request.method != b"HEAD":
            write = request.write

            def counted(data: bytes) -> None:
                write(data)
                watcher.served(fileForReading.tell())

            request.write = counted
        return super().makeProducer(request, fileForReading)
