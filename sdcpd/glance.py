"""A printer at a glance: its state in a few words, and whether it needs a person.

One decision: what needs somebody is decided here, once, so that the page, a widget and a program that reads the API
call the same printers first, in the same words.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from sdcpd.codec.status import RUNNING, Phase
from sdcpd.plate import Gate, admits
from sdcpd.printer import Printer, Reachability
from sdcpd.progress import MOVING, Job, JobState
from sdcpd.records import PlateState

__all__ = ["NEEDS", "Glance", "glance"]

NEEDS = ("contact", "failed", "stalled", "confirm", "plate", "paused", "held", "start", "connection")
"""For what a person is needed, the most urgent first: it is out of reach while it prints; its last job failed; no layer
has come for too long; its end has to be confirmed on its screen; its plate has to be cleared; it is paused; a queued
job waits for a decision, or for its start; the printer cannot connect to this machine."""

_WORDS: Mapping[Phase, str] = {
    Phase.OFFLINE: "Off or out of reach",
    Phase.IDLE: "Ready",
    Phase.TRANSFER: "Receiving a file",
    Phase.CHECKING: "Checking the file",
    Phase.PREPARING: "Preparing",
    Phase.PRINTING: "Printing",
    Phase.PAUSING: "Pausing",
    Phase.PAUSED: "Paused",
    Phase.STOPPING: "Stopping",
    Phase.ATTENTION: "Print is over",
    Phase.BUSY: "Busy",
}
_FAILED: Mapping[JobState, str] = {
    JobState.FAILED: "Failed",
    JobState.LOST: "Print was lost",
    JobState.UNVERIFIED: "Look at the printer",
}


class Glance(Struct, frozen=True):
    """What a person has to know first."""

    text: str
    """The state in words, as they begin a sentence."""
    needs: str | None = None
    """One of ``NEEDS``; None as long as nobody is needed."""


def glance(printer: Printer, gate: Gate) -> Glance:
    """The printer as somebody who passes by should see it."""
    phase, job = printer.phase, printer.job
    if phase in RUNNING:
        if printer.run is not None and printer.run.stalled:
            return Glance("No new layer", "stalled")
        return Glance(_WORDS[phase], "paused" if phase is Phase.PAUSED else None)
    if phase is Phase.OFFLINE and (printer.run is not None or (job is not None and job.state in MOVING)):
        return Glance("Out of reach while printing", "contact")
    if phase in (Phase.TRANSFER, Phase.BUSY):
        return Glance(_WORDS[phase])
    if job is not None and job.state in _FAILED and not _looked_after(printer, job):
        return Glance(_FAILED[job.state], "failed")
    if phase is Phase.ATTENTION:
        return Glance(_WORDS[phase], "confirm")
    if not admits(printer.plate, gate):
        return Glance("Plate to clear", "plate")
    return _waiting(printer, phase)


def _waiting(printer: Printer, phase: Phase) -> Glance:
    job = printer.job
    if job is not None and job.state is JobState.HELD:
        return Glance("Needs a decision", "held")
    if printer.reachability is Reachability.ELSEWHERE:
        return Glance("Used by another program")
    if printer.reachability is Reachability.STALE:
        return Glance("Cannot connect", "connection") if printer.message is not None else Glance("Not live")
    if phase is Phase.IDLE and job is not None and job.reason == "waiting_for_start":
        return Glance("Ready to start", "start")
    return Glance(_WORDS[phase])


def _looked_after(printer: Printer, job: Job) -> bool:
    """Whether somebody has said that the plate is clear since the job ended."""
    plate = printer.plate
    return plate.state is PlateState.CLEAR and plate.at is not None and plate.at >= (job.ended or 0.0)
