"""Pause, resume, stop: what can be asked of a print, whoever started it.

One decision: the printer's present phase decides what is sent; a command that makes no sense now is refused with the
reason, and the printer does not hear of it.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred

from sdcpd.codec.sdcp import Command, Response
from sdcpd.codec.status import Generation, Phase
from sdcpd.detached import detached
from sdcpd.errors import NotNow
from sdcpd.links import Links, Session
from sdcpd.printer import Printer
from sdcpd.progress import Job, JobState

__all__ = ["must_be_free", "must_be_v1", "pause", "reconnect", "resume", "stop"]

_PAUSABLE = frozenset({Phase.PREPARING, Phase.PRINTING})
_RESUMABLE = frozenset({Phase.PAUSED})
_STOPPABLE = frozenset({Phase.CHECKING, Phase.PREPARING, Phase.PRINTING, Phase.PAUSING, Phase.PAUSED})


def pause(printer: Printer, links: Links) -> Deferred[Response]:
    """Pause; fires with the printer's Ack."""
    return _session(printer, links, _PAUSABLE, "is not printing").request(Command.PAUSE)


def resume(printer: Printer, links: Links) -> Deferred[Response]:
    """Go on: always by resume, never by a new start."""
    return _session(printer, links, _RESUMABLE, "is not paused").request(Command.RESUME)


def stop(present: Callable[[], Printer], links: Links) -> Deferred[Response]:
    """Stop for good.

    While the printer owes the answer to another command the stop waits for that answer, 10 s at most, and is judged
    anew then: whoever sees resin run out must not be told to come again because a pause hangs.
    """

    def session() -> Session:
        return _session(present(), links, _STOPPABLE, "has no print to stop")

    now = session()
    if now.changing in (None, Command.STOP):
        return now.request(Command.STOP)
    return detached(now.turn().addCallback(lambda _: session().request(Command.STOP)))


def reconnect(printer: Printer, links: Links, job: Job | None) -> None:
    """Let go of the connection, so that the printer is invited again; a print goes on meanwhile.

    Raises ``NotNow`` while a file is on its way, also ``job``'s, and ``PrinterOffline`` if there is no connection.
    """
    session = links.session(printer.id)
    if printer.phase is Phase.TRANSFER or (job is not None and job.state is JobState.DELIVERING):
        raise NotNow(f"{printer.name} is receiving a file.", "Wait until the transfer has ended.")
    session.close("somebody asked for a new connection")


def must_be_v1(printer: Printer) -> None:
    """Raise ``NotNow`` for a printer that this version cannot work with."""
    if printer.generation is Generation.V3:
        raise NotNow(
            f"{printer.name} speaks SDCP V3, which this version lists but cannot work with yet.",
            "Use the printer's own program until a later version of sdcpd.",
        )


_REFUSALS = {
    Phase.OFFLINE: ("is offline", "Switch it on and wait until it is shown as online."),
    Phase.TRANSFER: ("is receiving a file", "Wait until the transfer has ended."),
    Phase.ATTENTION: ("waits for somebody to confirm its last print", "Confirm on the printer's screen."),
    Phase.BUSY: ("is busy with something else", "Look at the printer's screen."),
}


def must_be_free(printer: Printer, job: Job | None) -> None:
    """Raise ``NotNow``, with what to do, unless a print can begin on the printer now; ``job`` is ours on it."""
    if job is not None:
        raise NotNow(
            f"{printer.name} already has a job: {job.file} is {job.state.value}.",
            f"Wait for its end, or stop it by POST /v1/printers/{printer.slug}/stop.",
        )
    if printer.phase is Phase.IDLE:
        return
    text, hint = _REFUSALS.get(
        printer.phase, ("is printing", f"Wait for its end, or POST /v1/printers/{printer.slug}/stop.")
    )
    raise NotNow(f"{printer.name} {text}.", hint)


def _session(printer: Printer, links: Links, phases: frozenset[Phase], otherwise: str) -> Session:
    must_be_v1(printer)
    session = links.session(printer.id)
    if printer.phase not in phases:
        raise NotNow(
            f"{printer.name} {otherwise}: it is {printer.phase.value.lower()}.",
            f"GET /v1/printers/{printer.slug} shows what it is doing.",
        )
    return session
