"""What PrusaLink's data models say of a printer, its print and the file on its way to it (reference apis.md 2.9, 5.4).

One decision: these are pure functions of one printer's value. What an FFF printer would measure and a resin printer
does not have is null and never a made-up number; what nobody knows is left out.
"""

from __future__ import annotations

from typing import Any
from zlib import crc32

from msgspec import UNSET, Struct, UnsetType

from sdcpd.dialects import ON_THE_MACHINE, WORDS, Condition, condition_of, message_of, sent_of, trouble_of
from sdcpd.documents import estimate_of, progress_of
from sdcpd.fleet import Printer
from sdcpd.progress import ENDED

__all__ = [
    "Health",
    "JobAnswer",
    "JobFile",
    "StatusJob",
    "StatusPrinter",
    "StatusTransfer",
    "TransferAnswer",
    "job_of",
    "number_of",
    "printer_of",
    "status_job_of",
    "status_transfer_of",
    "transfer_of",
]

_WELL = frozenset(Condition) - {Condition.OFFLINE, Condition.FAULT, Condition.FAILED, Condition.STARTUP}


class Health(Struct, frozen=True):
    """Whether the printer can be worked with, and one line for people."""

    ok: bool
    message: str


class StatusPrinter(Struct, frozen=True):
    """What the printer does. Clients index the keys of hot ends and axes, so they are there, and null."""

    state: str
    status_printer: Health
    axis_z: float | None
    """The height of the model so far, in mm."""
    temp_nozzle: None = None
    target_nozzle: None = None
    temp_bed: None = None
    target_bed: None = None
    axis_x: None = None
    axis_y: None = None
    flow: None = None
    speed: None = None
    fan_hotend: None = None
    fan_print: None = None


class StatusJob(Struct, frozen=True):
    """The print in short: percent, and seconds."""

    id: int
    progress: float
    time_printing: int
    time_remaining: int | None


class StatusTransfer(Struct, frozen=True):
    """The file on its way to the printer, in short: percent, bytes and seconds."""

    id: int
    time_transferring: int
    progress: float
    data_transferred: int


class JobFile(Struct, frozen=True, omit_defaults=True):
    """The file of a print. ``path`` is its folder; ``m_timestamp`` seconds since the epoch, None if it is not here."""

    name: str
    display_name: str
    path: str
    display_path: str
    m_timestamp: int | None
    size: int | UnsetType = UNSET
    meta: dict[str, Any] | UnsetType = UNSET
    refs: dict[str, str] | UnsetType = UNSET


class JobAnswer(Struct, frozen=True):
    """The print on the machine: percent, and seconds."""

    id: int
    state: str
    progress: float
    time_printing: int
    time_remaining: int | None
    inaccurate_estimates: bool
    serial_print: bool
    file: JobFile


class TransferAnswer(Struct, frozen=True):
    """The file on its way to the printer."""

    id: int
    type: str
    display_name: str
    path: str
    size: str
    """Bytes, as text: the real server's type."""
    progress: float
    transferred: int
    time_transferring: int
    """Seconds since it was asked for."""
    to_print: bool


def number_of(printer: Printer) -> int:
    """The number of the present print or transfer, which is the same for both; 0 if there is neither.

    PrusaLink counts its jobs; ours have random names, so a number is made of the name.
    """
    job, run = printer.job, printer.run
    name = run.id if run is not None else job.id if job is not None and job.state not in ENDED else printer.plate.job
    status = printer.status
    if condition_of(printer) is Condition.TRANSFER and (job is None or job.state in ENDED):
        name = status.transfer.filename if status is not None else ""  # somebody else's
    if name is None or condition_of(printer) not in ON_THE_MACHINE | {Condition.TRANSFER}:
        return 0
    return (crc32(name.encode()) & 0x7FFFFFFF) or 1


def printer_of(printer: Printer, axis_z: float | None) -> StatusPrinter:
    """The printer; ``axis_z`` is the height of the model so far, in mm."""
    condition = condition_of(printer)
    message = message_of(printer) or trouble_of(printer) or printer.message or ""
    if condition is Condition.OFFLINE:
        message = message or "The printer is switched off or out of reach."
    health = Health(condition in _WELL, message or "OK")
    return StatusPrinter(WORDS[condition].prusalink, health, axis_z)


def status_job_of(printer: Printer) -> StatusJob | UnsetType:
    """The print in short; nothing while there is none."""
    if condition_of(printer) not in ON_THE_MACHINE:
        return UNSET
    return StatusJob(number_of(printer), progress_of(printer) or 0.0, _printing(printer), _remaining(printer))


def job_of(printer: Printer, file: JobFile) -> JobAnswer | None:
    """The print on the machine; None while there is none. ``file`` is what it is made of."""
    if condition_of(printer) not in ON_THE_MACHINE:
        return None
    left = estimate_of(printer)
    return JobAnswer(
        id=number_of(printer),
        state=WORDS[condition_of(printer)].prusalink,
        progress=progress_of(printer) or 0.0,
        time_printing=_printing(printer),
        time_remaining=_remaining(printer),
        inaccurate_estimates=left is None or left.source != "learned",
        serial_print=False,
        file=file,
    )


def transfer_of(printer: Printer, now: float) -> TransferAnswer | None:
    """The file on its way to the printer; None while there is none. ``now`` is in seconds since the epoch."""
    if condition_of(printer) is not Condition.TRANSFER:
        return None
    job = printer.job if printer.job is not None and printer.job.state not in ENDED else None
    told = printer.status.transfer if printer.status is not None else None
    name, size = ("", 0) if told is None else (told.filename, max(0, told.total_size))
    if job is not None:
        name, size = job.file, job.size
    sent = sent_of(printer) or 0.0
    return TransferAnswer(
        id=number_of(printer),
        type="FROM_CLIENT",
        display_name=name.rpartition("/")[2],
        path="/".join(("/local", *name.split("/")[:-1])) if job is not None else "/",
        size=str(size),
        progress=round(100 * sent, 2),
        transferred=int(sent * size),
        time_transferring=0 if job is None else max(0, int(now - job.created)),
        to_print=job is not None and job.start,
    )


def status_transfer_of(printer: Printer, now: float) -> StatusTransfer | UnsetType:
    """The transfer in short; nothing while there is none."""
    found = transfer_of(printer, now)
    if found is None:
        return UNSET
    return StatusTransfer(found.id, found.time_transferring, found.progress, found.transferred)


def _printing(printer: Printer) -> int:
    return 0 if printer.status is None else max(0, printer.status.print.current_ticks // 1000)


def _remaining(printer: Printer) -> int | None:
    if condition_of(printer) is Condition.ATTENTION:
        return 0
    left = estimate_of(printer)
    return None if left is None else left.seconds
