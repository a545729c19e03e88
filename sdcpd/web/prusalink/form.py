"""How PrusaLink says that something went wrong: a sentence, or JSON for who asks for it (reference apis.md 2.1, 5.4).

One decision: the body is plain text unless the request's Accept names JSON, as with the real server: PrusaSlicer shows
the body to its user as it is. Whoever has no key gets 401 with a challenge, so that it asks its user for one or answers
by HTTP Digest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus

import msgspec
from msgspec import Struct
from twisted.web.iweb import IRequest

from sdcpd.errors import UnknownFormat
from sdcpd.web.access import has_key
from sdcpd.web.answer import JSON, TEXT, Answer, header_of
from sdcpd.web.errors import ErrorBody, Form

__all__ = ["PrusaLinkError", "form_of"]


class PrusaLinkError(Struct, frozen=True):
    """Every error answer of this dialect, as JSON: a stable word, the status in words, the sentence."""

    code: str
    title: str
    text: str


_STATUSES = {422: 400, 421: 403, 502: 503}
"""Where the real server has no such code."""


def form_of(challenge: Callable[[IRequest], str]) -> Form:
    """The form; ``challenge`` gives the value of WWW-Authenticate for who has no key, or a wrong one."""

    def answer(request: IRequest, status: int, body: ErrorBody, headers: Mapping[str, str]) -> Answer:
        status = 415 if body.code == UnknownFormat.code else _STATUSES.get(status, status)
        if body.code == "forbidden" and not has_key(request):
            status = 401
        if status == 401 and body.code != "stale_nonce":  # that one brings its own
            headers = {**headers, "WWW-Authenticate": challenge(request)}
        if JSON in (header_of(request, "accept") or ""):
            error = PrusaLinkError(body.code, HTTPStatus(status).phrase, body.sentence)
            return Answer(status, msgspec.json.encode(error), headers=dict(headers))
        return Answer(status, body.sentence.encode(), TEXT, dict(headers))

    return Form(answer, PrusaLinkError)
