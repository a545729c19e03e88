"""How Moonraker says that something went wrong: ``{"error": {"code", "message"}}`` (reference apis.md 1.2, 5.5).

One decision: the codes and the few sentences that clients compare are those of the real server, made by one table
from the native refusal; every other refusal keeps its own words. There is never a traceback and never a path of this
machine.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct
from twisted.web.iweb import IRequest

from sdcpd.web.access import has_key
from sdcpd.web.answer import Answer
from sdcpd.web.errors import ErrorBody, Form, Refusal

__all__ = ["MOONRAKER", "MoonrakerError", "Trouble", "no", "trouble"]


class Trouble(Struct, frozen=True):
    """What went wrong: an HTTP status, also in JSON-RPC, and a sentence."""

    code: int
    message: str


class MoonrakerError(Struct, frozen=True):
    """Every error answer of this dialect."""

    error: Trouble


OFFLINE = "Klippy Host not connected"

_ALWAYS: Mapping[str, Trouble] = {
    "printer_offline": Trouble(503, OFFLINE),
    "command_timeout": Trouble(504, "printer did not acknowledge"),
    "link_lost": Trouble(504, "printer did not acknowledge"),
    "file_in_use": Trouble(403, "File currently in use"),
    "not_found": Trouble(404, "Not Found"),
    "wrong_key": Trouble(401, "Unauthorized"),
}
"""What clients know by heart."""

_STATUSES = {409: 400, 422: 400, 502: 400}
"""Where the real server says 400: whatever cannot be done now, or cannot be understood."""


def trouble(status: int, body: ErrorBody) -> Trouble:
    """A native refusal as this dialect says it."""
    if body.code == "no":
        return Trouble(status, body.message)
    known = _ALWAYS.get(body.code)
    if known is not None:
        return known
    return Trouble(_STATUSES.get(status, status), body.sentence)


def no(status: int, message: str) -> Refusal:
    """A refusal of this dialect alone, with exactly these words."""
    return Refusal(status, "no", message)


def _answer(request: IRequest, status: int, body: ErrorBody, headers: Mapping[str, str]) -> Answer:
    said = trouble(status, body)
    if body.code == "forbidden" and not has_key(request):
        said = Trouble(401, "Unauthorized")  # a key would help: clients ask their user for one at 401
    return Answer(said.code, msgspec.json.encode(MoonrakerError(said)), headers=dict(headers))


MOONRAKER = Form(_answer, MoonrakerError)
