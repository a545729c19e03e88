"""What a handler gives back: a value that is written in one piece, with its length.

One decision: no answer but a stream is ever chunked, so the small displays that read raw bodies understand all of
them (reference apis.md 2.13, 5.5). Whatever can be asked for again carries an ETag, so asking again is cheap.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from msgspec import Struct
from twisted.web.http_headers import Headers
from twisted.web.iweb import IRequest

__all__ = [
    "ALWAYS",
    "JSON",
    "POLICY",
    "TEXT",
    "Answer",
    "etag_of",
    "has_etag",
    "header_of",
    "json_answer",
    "secure",
    "write",
]

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"

ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)
"""Headers of every answer, whoever gives it, that does not bring its own; the connection itself adds them."""
POLICY = b"default-src 'none'; frame-ancestors 'none'"
"""The Content-Security-Policy of every answer that does not bring its own."""


class Answer(Struct, frozen=True):
    """Status, body and headers of one answer."""

    status: int
    body: bytes = b""
    type: str = JSON
    headers: Mapping[str, str] = {}


_encoder = msgspec.json.Encoder()


def json_answer(document: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """A document as JSON; whoever keeps it has to ask each time whether it is still so."""
    return Answer(status, _encoder.encode(document), headers=headers or {})


def header_of(request: IRequest, name: str) -> str | None:
    """A request header as text, whatever its bytes are; None if it is absent."""
    value = request.getHeader(name.encode("ascii"))
    return None if value is None else value.decode("utf-8", "replace")


def has_etag(tags: str, etag: str) -> bool:
    """Whether an If-None-Match header names this tag, weakly compared [RFC 9110, 13.1.2]."""
    found = [tag.strip().removeprefix("W/") for tag in tags.split(",")]
    return "*" in found or etag.removeprefix("W/") in found


def etag_of(content: bytes) -> str:
    """A strong ETag of this content."""
    return f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'


def write(request: IRequest, answer: Answer) -> bytes:
    """Set status and headers; the result is the body for the caller to hand on."""
    if answer.status == 200 and request.method in (b"GET", b"HEAD") and "ETag" not in answer.headers:
        answer = _tagged(request, answer)
    request.setResponseCode(answer.status, HTTPStatus(answer.status).phrase.encode("ascii"))
    if answer.status not in (204, 304):
        request.setHeader(b"content-type", answer.type.encode("ascii"))
        request.setHeader(b"content-length", b"%d" % len(answer.body))
    request.setHeader(b"cache-control", b"no-cache")
    for header, text in answer.headers.items():
        request.setHeader(header.lower().encode("ascii"), text.encode("utf-8"))
    return answer.body


def _tagged(request: IRequest, answer: Answer) -> Answer:
    etag = etag_of(answer.body)
    headers = {**answer.headers, "ETag": etag}
    if has_etag(header_of(request, "if-none-match") or "", etag):
        return Answer(304, headers=headers)
    return Answer(answer.status, answer.body, answer.type, headers)


def secure(headers: Headers) -> None:
    """Tell browsers not to guess, not to leak and not to show us inside another page."""
    for name, value in ALWAYS:
        if not headers.hasHeader(name):
            headers.setRawHeaders(name, [value])
    if not headers.hasHeader(b"content-security-policy"):
        headers.setRawHeaders(b"content-security-policy", [POLICY])
