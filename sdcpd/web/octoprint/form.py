"""How OctoPrint says that something went wrong: ``{"error": text}`` (reference apis.md 1.3, 2.4, 5.5, appendix A).

One decision: the codes and the sentences that clients compare are those of the real server, made by one table from
the native refusal; every other refusal keeps its own words and says what to do. An upload's refusal is plain text
for whoever does not ask for JSON, because slicers show the body as it is.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct
from twisted.web.iweb import IRequest

from sdcpd.errors import UnknownFormat
from sdcpd.web.access import has_key
from sdcpd.web.answer import JSON, Answer, header_of
from sdcpd.web.errors import ErrorBody, Form, Refusal
from sdcpd.web.site import Request

__all__ = ["NOT_FOUND", "NOT_OPERATIONAL", "NO_PERMISSION", "OCTOPRINT", "OctoPrintError", "no", "said"]


class OctoPrintError(Struct, frozen=True):
    """Every error answer of this dialect."""

    error: str


NOT_OPERATIONAL = "Printer is not operational"
NOT_FOUND = (
    "The requested URL was not found on the server. "
    "If you entered the URL manually please check your spelling and try again."
)
NO_PERMISSION = (
    "You don't have the permission to access the requested resource. "
    "It is either read-protected or not readable by the server."
)

_ALWAYS: Mapping[str, tuple[int, str]] = {
    "wrong_key": (403, NO_PERMISSION),
    "printer_offline": (409, NOT_OPERATIONAL),
}
"""What clients know by heart."""
_STATUSES = {401: 403, 422: 400, 502: 409}
"""Where the real server has another code."""
_PLAIN = "text/plain"
"""Without a charset: Cura compares the whole header."""


def said(status: int, body: ErrorBody) -> tuple[int, str]:
    """A native refusal as this dialect says it: the status and the sentence."""
    if body.code == "no":
        return status, body.message
    known = _ALWAYS.get(body.code)
    if known is not None:
        return known
    return 415 if body.code == UnknownFormat.code else _STATUSES.get(status, status), body.sentence


def no(status: int, message: str) -> Refusal:
    """A refusal of this dialect alone, with exactly these words."""
    return Refusal(status, "no", message)


def _answer(request: IRequest, status: int, body: ErrorBody, headers: Mapping[str, str]) -> Answer:
    code, text = said(status, body)
    if body.code == "forbidden" and not has_key(request):
        text = NO_PERMISSION
    kept = {name: value for name, value in headers.items() if name != "WWW-Authenticate"}
    if isinstance(request, Request) and request.streamed and JSON not in (header_of(request, "accept") or ""):
        return Answer(code, text.encode(), _PLAIN, kept)
    return Answer(code, msgspec.json.encode(OctoPrintError(text)), headers=kept)


OCTOPRINT = Form(_answer, OctoPrintError)
