"""What a printer does, in the words of every dialect: one table (reference apis.md, section 0).

One decision: a printer's value is first brought to one ``Condition``, and the words of OctoPrint, Moonraker and
PrusaLink are columns beside it. So two dialects can differ in their words and never in what they mean, and a new one
is a new column.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from msgspec import Struct

from sdcpd.codec.status import RUNNING, Outcome, Phase, outcome_of
from sdcpd.printer import Printer, Reachability
from sdcpd.progress import Job, JobState

__all__ = [
    "FLAGS",
    "ON_THE_MACHINE",
    "WORDS",
    "Condition",
    "Words",
    "condition_of",
    "flags_of",
    "klippy_of",
    "message_of",
    "sensors_of",
    "sent_of",
    "trouble_of",
]

SENSORS = ("TempOfUVLED", "TempOfBox", "TempOfTank")
"""What boards call their thermometers."""


class Condition(Enum):
    """The rows of the table: what a printer does, and how what it did before has ended."""

    OFFLINE = "offline"
    FAULT = "fault"
    """Somebody has to act before it can be worked with, and nothing is known of what it does."""
    STARTUP = "startup"
    """It was found, and its first status is awaited."""
    READY = "ready"
    """Idle, and no job was seen."""
    FAILED = "failed"
    """Idle after a job that failed."""
    COMPLETE = "complete"
    STOPPED = "stopped"
    ATTENTION = "attention"
    """The print is over, and the board waits until somebody confirms on its screen."""
    TRANSFER = "transfer"
    STARTING = "starting"
    PRINTING = "printing"
    PAUSING = "pausing"
    PAUSED = "paused"
    STOPPING = "stopping"
    BUSY = "busy"
    """Occupied with something that is no print: exposure test, self test."""


ON_THE_MACHINE = frozenset(
    {
        Condition.STARTING,
        Condition.PRINTING,
        Condition.PAUSING,
        Condition.PAUSED,
        Condition.STOPPING,
        Condition.ATTENTION,
    }
)
"""Where a print is on the machine: from its start until somebody has confirmed its end."""

FLAGS = (
    "operational",
    "printing",
    "paused",
    "pausing",
    "resuming",
    "cancelling",
    "finishing",
    "closedOrError",
    "error",
    "ready",
    "sdReady",
)
"""OctoPrint's flags: clients index all of them without a default."""


class Words(Struct, frozen=True):
    """One row: what each dialect says."""

    octoprint: str
    """``state.text``; an error adds ``": "`` and its text."""
    state_id: str
    """What the event ``PrinterStateChanged`` calls it."""
    flags: frozenset[str]
    """The OctoPrint flags that are true."""
    moonraker: str
    """``print_stats.state``."""
    prusalink: str


def _row(octoprint: str, state_id: str, flags: str, moonraker: str, prusalink: str) -> Words:
    return Words(octoprint, state_id, frozenset(flags.split()), moonraker, prusalink)


WORDS: Mapping[Condition, Words] = {
    Condition.OFFLINE: _row("Offline", "OFFLINE", "closedOrError", "standby", "OFFLINE"),
    Condition.FAULT: _row("Error", "CLOSED_WITH_ERROR", "error closedOrError", "error", "ERROR"),
    Condition.STARTUP: _row("Connecting", "CONNECTING", "closedOrError", "standby", "BUSY"),
    Condition.READY: _row("Operational", "OPERATIONAL", "operational ready", "standby", "IDLE"),
    Condition.FAILED: _row("Operational", "OPERATIONAL", "operational ready", "error", "ERROR"),
    Condition.COMPLETE: _row("Operational", "OPERATIONAL", "operational ready", "complete", "FINISHED"),
    Condition.STOPPED: _row("Operational", "OPERATIONAL", "operational ready", "cancelled", "STOPPED"),
    Condition.ATTENTION: _row("Operational", "OPERATIONAL", "operational", "complete", "ATTENTION"),
    Condition.TRANSFER: _row("Sending file to SD", "TRANSFERING_FILE", "operational", "standby", "BUSY"),
    Condition.STARTING: _row("Starting", "STARTING", "operational printing", "printing", "PRINTING"),
    Condition.PRINTING: _row("Printing", "PRINTING", "operational printing", "printing", "PRINTING"),
    Condition.PAUSING: _row("Pausing", "PAUSING", "operational printing pausing", "printing", "PRINTING"),
    Condition.PAUSED: _row("Paused", "PAUSED", "operational paused", "paused", "PAUSED"),
    Condition.STOPPING: _row("Cancelling", "CANCELLING", "operational printing cancelling", "printing", "BUSY"),
    Condition.BUSY: _row("Operational", "OPERATIONAL", "operational", "standby", "BUSY"),
}
"""The table. OctoPrint counts everything between the start and the end but a pause as printing; only ``Sending file to
SD`` makes Cura show the transfer; a completed print that waits for its confirmation is neither printing nor ready."""

_PHASES: Mapping[Phase, Condition] = {
    Phase.TRANSFER: Condition.TRANSFER,
    Phase.CHECKING: Condition.STARTING,
    Phase.PREPARING: Condition.STARTING,
    Phase.PRINTING: Condition.PRINTING,
    Phase.PAUSING: Condition.PAUSING,
    Phase.PAUSED: Condition.PAUSED,
    Phase.STOPPING: Condition.STOPPING,
    Phase.ATTENTION: Condition.ATTENTION,
    Phase.BUSY: Condition.BUSY,
}
_UNDER_WAY = {
    JobState.DELIVERING: Condition.TRANSFER,
    JobState.DELIVERED: Condition.TRANSFER,
    JobState.STARTING: Condition.STARTING,
}
"""What a job of ours makes of a printer that says it is idle: it was asked for something just now."""
_OUTCOMES = {Outcome.COMPLETE: Condition.COMPLETE, Outcome.STOPPED: Condition.STOPPED}
_BROKEN = frozenset({JobState.FAILED, JobState.LOST, JobState.UNVERIFIED})
_ENDS = {JobState.FINISHED: Condition.COMPLETE, JobState.STOPPED: Condition.STOPPED}


def condition_of(printer: Printer) -> Condition:
    """The row of the table that a printer is in."""
    if printer.reachability is Reachability.OFFLINE:
        return Condition.OFFLINE
    if printer.status is None:
        return Condition.STARTUP if printer.message is None else Condition.FAULT
    if printer.phase is not Phase.IDLE:
        return _PHASES[printer.phase]
    job = printer.job
    if job is not None and job.state in _UNDER_WAY and not _waits(job):
        return _UNDER_WAY[job.state]
    if printer.status.print.error_number or (job is not None and _has_failed(printer, job)):
        return Condition.FAILED
    outcome = outcome_of(printer.status, printer.generation)
    if outcome in _OUTCOMES:
        return _OUTCOMES[outcome]
    return _ENDS.get(job.state, Condition.READY) if job is not None and job.started is not None else Condition.READY


def _waits(job: Job) -> bool:
    """Whether nothing is done for it now, because somebody or something else has to come first."""
    if job.state in (JobState.QUEUED, JobState.HELD):
        return True
    return job.state is JobState.DELIVERED and (job.reason is not None or not job.start)


def _has_failed(printer: Printer, job: Job) -> bool:
    """Whether the job's failure is the last that happened: once it was printing, the board's newer word counts."""
    if job.state not in _BROKEN:
        return False
    assert printer.status is not None
    told = printer.status.print.filename
    return job.started is None or not told or told == job.wire_name


def trouble_of(printer: Printer) -> str:
    """What went wrong, for people; empty in every row that tells of no trouble."""
    condition = condition_of(printer)
    if condition is Condition.FAULT:
        return printer.message or ""
    if condition is not Condition.FAILED or printer.status is None:
        return ""
    if printer.job is not None and printer.job.state in _BROKEN and printer.job.message:
        return printer.job.message
    return f"The printer reports the error {printer.status.print.error_number}."


def flags_of(printer: Printer) -> dict[str, bool]:
    """All of OctoPrint's flags; ready is only a printer that takes wishes."""
    true = WORDS[condition_of(printer)].flags
    if printer.reachability is not Reachability.ONLINE:
        true -= {"ready"}
    return {flag: flag in true for flag in FLAGS}


def klippy_of(printer: Printer) -> tuple[str, str]:
    """Moonraker's ``klippy_state`` and the sentence beside it.

    ``disconnected`` is offline; ``startup`` lasts while the connection is built, also again; ``error`` until somebody
    acts: another program has the printer, or it cannot reach us; ``shutdown`` is never said.
    """
    if printer.reachability is Reachability.OFFLINE:
        return "disconnected", "Klippy Host not connected"
    if printer.message is not None and printer.reachability is not Reachability.ONLINE:
        return "error", printer.message
    if printer.reachability is not Reachability.ONLINE or printer.status is None:
        return "startup", "The connection to the printer is being built."
    return "ready", "Printer is ready"


def message_of(printer: Printer) -> str | None:
    """One line for a display: what is waited for, and what for; None when there is nothing to say."""
    condition = condition_of(printer)
    job = printer.job
    if condition is Condition.TRANSFER:
        sent = sent_of(printer)
        return "Sending file" if sent is None else f"Sending file {100 * sent:.0f} %"
    if condition is Condition.ATTENTION:
        return "confirm on the printer"
    if condition is Condition.STOPPING:
        return "cancelling"
    if condition is Condition.BUSY:
        return "busy at its own screen"
    if printer.phase in RUNNING:
        return None
    if job is not None and _waits(job) and job.message:
        return job.message
    return trouble_of(printer) or None


def sensors_of(printer: Printer) -> dict[str, float]:
    """The temperatures that the board reports, in degrees Celsius, under the board's names."""
    told = printer.status.extra if printer.status is not None else {}
    values = ((name, told.get(name)) for name in SENSORS)
    return {name: float(v) for name, v in values if isinstance(v, int | float) and not isinstance(v, bool)}


def sent_of(printer: Printer) -> float | None:
    """The part of the file that the printer has, 0 to 1, by our job's count or its own."""
    job, status = printer.job, printer.status
    if job is not None and job.state in _UNDER_WAY and job.size > 0:
        return min(1.0, job.sent / job.size)
    if status is not None and status.transfer.total_size > 0:
        return min(1.0, max(0, status.transfer.download_offset) / status.transfer.total_size)
    return None
