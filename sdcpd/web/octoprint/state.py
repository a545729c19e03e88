"""What OctoPrint's data models say of a printer: state, job, progress, height, temperatures (apis.md 1.4, appendix A).

One decision: these are pure functions of one printer's value and of what its file tells; the REST tree and the push
both use them, so they cannot disagree. Every key is always there, null where resin has nothing to say; durations and
sizes are integers, because some clients know no others.
"""

from __future__ import annotations

from msgspec import Struct

from sdcpd.codec.status import RUNNING
from sdcpd.dialects import ON_THE_MACHINE, WORDS, Condition, condition_of, flags_of, sensors_of, sent_of, trouble_of
from sdcpd.documents import eta_of
from sdcpd.documents import progress_of as percent_of
from sdcpd.files import StoredFile
from sdcpd.fleet import Printer
from sdcpd.index import FileIndex
from sdcpd.names import base_name

__all__ = [
    "FileInformation",
    "JobInformation",
    "Progress",
    "State",
    "Temperature",
    "Times",
    "current_z",
    "error_of",
    "file_of",
    "job_of",
    "points_of",
    "progress_of",
    "state_of",
    "temperatures_of",
]

_PRINTS = ON_THE_MACHINE | {Condition.COMPLETE}
"""Where the numbers of a print are those of the selected file; a stopped or failed one leaves none behind."""
_OVER = frozenset({Condition.ATTENTION, Condition.COMPLETE})


class State(Struct, frozen=True):
    """What the printer does."""

    text: str
    """For people, and compared by clients."""
    flags: dict[str, bool]
    """All of them, always."""
    error: str = ""


class FileInformation(Struct, frozen=True, rename="camel"):
    """The selected file; every key is null if there is none, ``size`` and ``date`` if it is not stored here."""

    name: str | None = None
    path: str | None = None
    display: str | None = None
    origin: str | None = None
    size: int | None = None
    date: int | None = None
    """Seconds since the epoch."""
    type: str | None = None
    type_path: tuple[str, ...] | None = None


class Times(Struct, frozen=True):
    """Seconds that a file takes; None for what nobody knows."""

    estimated: float | None = None
    """By the file's own word."""
    average: float | None = None
    """Of the prints of this file on this printer that ended well."""
    last: float | None = None


class JobInformation(Struct, frozen=True, rename="camel"):
    """The target of the present print, or of the next."""

    file: FileInformation
    estimated_print_time: int | None = None
    average_print_time: int | None = None
    last_print_time: int | None = None
    filament: None = None
    """Resin is none."""
    user: str | None = None
    """Who asked for the print."""


class Progress(Struct, frozen=True, rename="camel"):
    """How far it is; every key is null while there is nothing to tell."""

    completion: float | None = None
    """Percent, 0 to 100; of the transfer while the file is on its way."""
    filepos: int | None = None
    print_time: int | None = None
    print_time_left: int | None = None
    print_time_left_origin: str | None = None


class Temperature(Struct, frozen=True):
    """One sensor, in degrees Celsius; there is never a target."""

    actual: float
    target: None = None
    offset: int = 0


def state_of(printer: Printer) -> State:
    """The row of the table of phases that the printer is in, in OctoPrint's words."""
    error = trouble_of(printer)
    text = WORDS[condition_of(printer)].octoprint
    if condition_of(printer) is Condition.FAULT and error:
        text = f"{text}: {error}"
    return State(text, flags_of(printer), error)


def file_of(printer: Printer, file: StoredFile | None) -> FileInformation:
    """The selected file; the printer's own name for what it prints if that is not stored here."""
    if file is not None:
        name, size, date, kind = file.name, file.size, int(file.uploaded_at), str(file.format)
        return FileInformation(base_name(name), name, name, "local", size, date, "machinecode", ("machinecode", kind))
    status = printer.status
    if status is None or printer.phase not in RUNNING or not status.print.filename:
        return FileInformation()
    name = status.print.filename
    return FileInformation(base_name(name), name, name, "sdcard", type="machinecode", type_path=("machinecode",))


def job_of(printer: Printer, file: StoredFile | None, times: Times) -> JobInformation:
    """The job; ``file`` is the selected one, ``times`` what is known of it."""
    job = printer.job
    own = job is not None and file is not None and job.md5 == file.md5
    return JobInformation(
        file_of(printer, file),
        estimated_print_time=_seconds(times.estimated),
        average_print_time=_seconds(times.average),
        last_print_time=_seconds(times.last),
        user=job.by if own and job is not None else None,
    )


def progress_of(printer: Printer, size: int | None) -> Progress:
    """The progress; ``size`` is the selected file's, in bytes."""
    condition = condition_of(printer)
    if condition is Condition.TRANSFER:
        sent = sent_of(printer)
        return Progress() if sent is None else Progress(round(100 * sent, 1), _part(sent, size))
    status = printer.status
    if status is None or condition not in _PRINTS:
        return Progress()
    percent = percent_of(printer)
    left = 0 if condition in _OVER else eta_of(printer)
    return Progress(
        percent,
        None if percent is None else _part(percent / 100, size),
        max(0, status.print.current_ticks // 1000),
        left,
        None if left is None else "estimate",
    )


def current_z(printer: Printer, index: FileIndex | None) -> float | None:
    """The height of the model so far, in mm, by the layers of its file; None while nothing prints or nobody knows."""
    status = printer.status
    if status is None or index is None or printer.phase not in RUNNING or status.print.current_layer < 1:
        return None
    layer = status.print.current_layer
    told = index.layers[min(layer, len(index.layers)) - 1].z if index.layers else None
    height = index.sliced.layer_height if index.sliced is not None else None
    if told is None and height is not None:
        told = layer * height
    return None if told is None else round(told, 4)


def temperatures_of(printer: Printer) -> dict[str, Temperature]:
    """What the board measures of what OctoPrint has a name for: its enclosure is the chamber.

    A lamp is no tool: under that name its temperature would be taken for a heater's (reference apis.md 1.3.1).
    """
    box = sensors_of(printer).get("TempOfBox")
    return {} if box is None else {"chamber": Temperature(round(box, 2))}


def points_of(printer: Printer, time: float | None) -> list[dict[str, object]]:
    """What the board measures, as a point of a temperature history at this time; none if it measures nothing."""
    found = {name: {"actual": sensor.actual, "target": None} for name, sensor in temperatures_of(printer).items()}
    return [{"time": int(time), **found}] if found and time is not None else []


def error_of(printer: Printer) -> tuple[str, str]:
    """The last error, and where it came from; both empty if there is none."""
    text = trouble_of(printer)
    if not text:
        return "", ""
    return text, "firmware" if printer.status is not None and printer.status.print.error_number else "connection"


def _seconds(value: float | None) -> int | None:
    return None if value is None else round(value)


def _part(share: float, size: int | None) -> int | None:
    return None if size is None else int(share * size)
