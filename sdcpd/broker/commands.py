"""Wishes that come by MQTT: ``sdcpd/<slug>/command``, answered on ``sdcpd/<slug>/result``.

One decision: a command is the same wish as over HTTP and goes the same way, through ``Jobs``; a publisher gets no
answer from MQTT itself, so each one is answered in a message, with the words of the refusal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import fields
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from sdcpd.broker.router import Router
from sdcpd.codec.sdcp import Response
from sdcpd.errors import JobUnknown, SdcpdError, WrongFile
from sdcpd.fleet import Fleet
from sdcpd.jobs import Jobs, Wish
from sdcpd.logs import logger, shown
from sdcpd.orders import Orders
from sdcpd.stops import stopped

__all__ = ["Command", "Commands"]

_log = logger("sdcpd.broker.commands")


_REPEATED = {
    "code": "repeated_command",
    "message": "The message was sent again, and whether its first copy arrived is not known; it was not obeyed.",
    "hint": "Look at the printer's state, then ask anew if need be.",
}


class Command(Struct, frozen=True, forbid_unknown_fields=True):
    """What may be asked. ``id`` comes back in the result."""

    command: Literal["print", "pause", "resume", "stop", "queue", "start", "plate"]
    file: str = ""
    """With ``print`` and ``queue``: the name or MD5 of a stored file."""
    start: bool = False
    """With ``queue``: whether the file is to be started in its turn."""
    job: str = ""
    """With ``start``: which job of the printer's queue."""
    plate_clear: bool | None = None
    """With ``print`` and ``start``: what the one who asks says of the plate."""
    clear: bool | None = None
    """With ``plate``: whether it is clear."""
    revision: int | None = None
    """With ``plate``, if it is clear: the revision that was looked at."""
    id: Annotated[str, Meta(max_length=128)] | int | None = None


_SCOPES = {"queue": "queue", "plate": "plate"}
"""What each command needs; all others need ``control``."""
_FIELDS = {
    "print": {"file", "plate_clear"},
    "queue": {"file", "start"},
    "start": {"job", "plate_clear"},
    "plate": {"clear", "revision"},
}
"""What may be said with each command besides ``id``; with all others nothing."""


class NotAllowed(SdcpdError):
    """The key lacks a scope."""

    code = "forbidden"


class BadCommand(SdcpdError):
    """A command with what does not belong to it, or without what does."""

    code = "bad_command"


def _check(wish: Command, by: str, scopes: frozenset[str]) -> None:
    """Raise ``NotAllowed`` or ``BadCommand``."""
    needed = {_SCOPES.get(wish.command, "control")}
    if wish.plate_clear is not None:
        needed.add("plate")
    if wish.command == "queue" and wish.start:
        needed.add("control")
    for scope in sorted(needed - scopes):
        raise NotAllowed(
            f"{by} may not ask for this: it needs the scope {scope!r}.", f"Give its key the scope {scope}."
        )
    said = {f.name for f in fields(wish) if f.name not in ("command", "id") and getattr(wish, f.name) != f.default}
    for name in sorted(said - _FIELDS.get(wish.command, set())):
        raise BadCommand(f"{name} does not go with {wish.command}.", "docs/mqtt.md lists what goes with each command.")
    if wish.command == "plate" and (wish.clear is None or (wish.clear and wish.revision is None)):
        raise BadCommand(
            "Expected clear, and with a plate that is clear the revision that was looked at.",
            'For example {"command": "plate", "clear": true, "revision": 3}; the state tells the revision.',
        )


class Commands:
    """Takes commands to ``Jobs``."""

    def __init__(self, router: Router, fleet: Fleet, jobs: Jobs, orders: Orders) -> None:
        self._router = router
        self._fleet = fleet
        self._jobs = jobs
        self._orders = orders

    def obey(self, slug: str, payload: bytes, by: str, scopes: frozenset[str], repeated: bool) -> None:
        """Do what one message asks, and say what came of it.

        ``scopes`` is what ``by`` may do. ``repeated``: the message may have come before, perhaps in another life of the
        daemon; it is not obeyed.
        """
        try:
            wish = msgspec.json.decode(payload, type=Command)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            refusal = {"code": "bad_command", "message": str(error), "hint": 'For example {"command": "pause"}.'}
            self._answer(slug, {"id": None, "command": None, "ok": False, "error": refusal})
            return
        result: Mapping[str, Any] = {"id": wish.id, "command": wish.command}
        if repeated:
            _log.warn("A repeated command of {who} was not obeyed: {command}", who=by, command=wish.command)
            self._answer(slug, {**result, "ok": False, "error": _REPEATED})
            return
        _log.info("{who} asks {slug} by MQTT: {command}", who=by, slug=shown(slug), command=wish.command)
        doing: Deferred[Any] = maybeDeferred(self._do, slug, wish, by, scopes)
        doing.addCallbacks(
            lambda done: self._answer(slug, {**result, "ok": True, **done}),
            lambda failure: self._answer(slug, {**result, "ok": False, "error": _refusal(failure)}),
        )
        doing.addErrback(lambda failure: _log.failure("A result could not be published", failure))

    def _do(
        self, slug: str, wish: Command, by: str, scopes: frozenset[str]
    ) -> Mapping[str, Any] | Deferred[Mapping[str, Any]]:
        printer = self._fleet.get(slug)
        _check(wish, by, scopes)
        if wish.command == "plate":
            if wish.clear:
                self._jobs.plates.confirm(printer, wish.revision, by)
            else:
                self._jobs.plates.occupy(printer, by)
            return self._jobs.plates.kept(printer.id).addCallback(lambda plate: {"revision": plate.revision})
        if wish.command == "queue":
            waits = self._orders.enqueue(printer.id, wish.file, Wish(by, start=wish.start))
            return waits.addCallback(lambda job: {"job": job.id})
        if wish.command == "start":
            if self._jobs.get(wish.job).printer != printer.id:
                raise JobUnknown(f"No job of {printer.name} has the id {wish.job!r}.", "Its queue lists them.")
            return self._jobs.start(wish.job, wish.plate_clear, by).addCallback(lambda job: {"job": job.id})
        if wish.command == "print":
            begun = self._orders.print(printer.id, wish.file, Wish(by, plate_clear=wish.plate_clear))
            return begun.addCallback(lambda job: {"job": job.id})
        if wish.command == "stop":
            return stopped(self._jobs, printer).addCallback(_acknowledged)
        ask = self._jobs.pause if wish.command == "pause" else self._jobs.resume
        return ask(printer.id).addCallback(_acknowledged)

    def _answer(self, slug: str, result: Mapping[str, Any]) -> None:
        self._router.publish(f"sdcpd/{slug}/result", msgspec.json.encode(result), 1)


def _acknowledged(response: Response | None) -> Mapping[str, Any]:
    return {"ack": None if response is None else response.ack}


def _refusal(failure: Failure) -> Mapping[str, str]:
    error = failure.value
    if isinstance(error, SdcpdError):
        code = error.reason if isinstance(error, WrongFile) else error.code
        return {"code": code, "message": error.message, "hint": error.hint}
    _log.failure("A command failed", failure)
    return {"code": "internal", "message": "The daemon failed; its log says why.", "hint": ""}
