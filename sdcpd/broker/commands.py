"""Wishes that come by MQTT: ``sdcpd/<slug>/command``, answered on ``sdcpd/<slug>/result``.

One decision: a command is the same wish as over HTTP and goes the same way, through ``Jobs``; a publisher gets no
answer from MQTT itself, so each one is answered in a message, with the words of the refusal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from sdcpd.broker.complaints import shown
from sdcpd.broker.router import Router
from sdcpd.errors import SdcpdError, WrongFile
from sdcpd.files import FileStore
from sdcpd.fleet import Fleet
from sdcpd.jobs import Jobs, Wish
from sdcpd.logs import logger
from sdcpd.orders import Orders

__all__ = ["Command", "Commands"]

_log = logger("sdcpd.broker.commands")


_REPEATED = {
    "code": "repeated_command",
    "message": "The message was sent again, and whether its first copy arrived is not known; it was not obeyed.",
    "hint": "Look at the printer's state, then ask anew if need be.",
}


class Command(Struct, frozen=True, forbid_unknown_fields=True):
    """What may be asked; ``file`` and ``plate_clear`` go with ``print``. ``id`` comes back in the result."""

    command: Literal["print", "pause", "resume", "stop"]
    file: str = ""
    plate_clear: bool | None = None
    id: Annotated[str, Meta(max_length=128)] | int | None = None


class NotAllowed(SdcpdError):
    """The key lacks a scope."""

    code = "forbidden"


class Commands:
    """Takes commands to ``Jobs``."""

    def __init__(self, router: Router, fleet: Fleet, jobs: Jobs, store: FileStore) -> None:
        self._router = router
        self._fleet = fleet
        self._jobs = jobs
        self._orders = Orders(fleet, jobs, store)

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
        if wish.command == "print":
            if wish.plate_clear is not None and "plate" not in scopes:
                raise NotAllowed(f"{by} may not speak for the plate.", 'Give its key the scope "plate".')
            begun = self._orders.print(printer.id, wish.file, Wish(by, plate_clear=wish.plate_clear))
            return begun.addCallback(lambda job: {"job": job.id})
        ask: Callable[[str], Deferred[Any] | None] = getattr(self._jobs, wish.command)
        before = self._jobs.current(printer.id)
        answered = ask(printer.id)
        if answered is not None:
            return answered.addCallback(lambda response: {"ack": response.ack})
        assert before is not None  # what was cancelled; forgotten, it would go on after a restart
        return self._jobs.kept(before).addCallback(lambda _: {"ack": None})

    def _answer(self, slug: str, result: Mapping[str, Any]) -> None:
        self._router.publish(f"sdcpd/{slug}/result", msgspec.json.encode(result), 1)


def _refusal(failure: Failure) -> Mapping[str, str]:
    error = failure.value
    if isinstance(error, SdcpdError):
        code = error.reason if isinstance(error, WrongFile) else error.code
        return {"code": code, "message": error.message, "hint": error.hint}
    _log.failure("A command failed", failure)
    return {"code": "internal", "message": "The daemon failed; its log says why.", "hint": ""}
