"""What a handler gives back: a value that is written in one piece, with its length.

One decision: no answer but a stream is ever chunked, so the small displays that read raw bodies understand all of
them (reference apis.md 2.13, 5.5).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct
from twisted.web.iweb import IRequest

__all__ = ["JSON", "TEXT", "Answer", "json_answer", "write"]

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"

_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class Answer(Struct, frozen=True):
    """Status, body and headers of one answer."""

    status: int
    body: bytes = b""
    type: str = JSON
    headers: Mapping[str, str] = {}


_encoder = msgspec.json.Encoder()


def json_answer(document: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """A document as JSON, not to be cached by anybody."""
    return Answer(status, _encoder.encode(document), headers=headers or {})


def write(request: IRequest, answer: Answer) -> bytes:
    """Set status and headers; the result is the body for the caller to hand on."""
    request.setResponseCode(answer.status)
    for name, value in _ALWAYS:
        request.setHeader(name, value)
    if answer.status not in (204, 304):
        request.setHeader(b"content-type", answer.type.encode("ascii"))
        request.setHeader(b"content-length", b"%d" % len(answer.body))
    request.setHeader(b"cache-control", b"no-cache")
    for header, text in answer.headers.items():
        request.setHeader(header.lower().encode("ascii"), text.encode("utf-8"))
    return answer.body
