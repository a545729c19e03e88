"""The build plate of one printer: every change of what is known of it, and whether a print may begin on it.

One decision: a plate is clear only by a person's word, given for the present revision, and that word is good for one
start. Everything else that is seen or suspected of a print takes it back: a cured part that is pressed onto the
screen breaks it, and a V1 board does not notice.
"""

from __future__ import annotations

from enum import Enum

from msgspec.structs import replace

from sdcpd.codec.status import RUNNING, Outcome, Phase, PrintInfo
from sdcpd.errors import NotNow
from sdcpd.progress import JobState
from sdcpd.records import Plate, PlateState

__all__ = [
    "Gate",
    "PlateChanged",
    "PlateNotClear",
    "admits",
    "began",
    "confirmed",
    "ended",
    "given_back",
    "has_run",
    "judged",
    "mark_of",
    "must_admit",
    "reported",
    "used",
]


class Gate(Enum):
    """When a start needs somebody's word that the plate is clear (``[plate] gate``)."""

    AFTER_PRINT = "after-print"
    """After any print; a plate of which nothing is known may be printed on."""
    ALWAYS = "always"
    """Before every start, the first one included."""
    OFF = "off"
    """Never; what is known of the plate is shown all the same."""


class PlateNotClear(NotNow):
    """Nobody has said that the plate is clear since the last print."""

    code = "plate_not_clear"

    def __init__(self, message: str, hint: str, plate: Plate) -> None:
        super().__init__(message, hint)
        self.plate = plate


class PlateChanged(PlateNotClear):
    """A confirmation was meant for a plate as it was, not as it is."""

    code = "plate_changed"


_WHY = {
    PlateState.UNKNOWN: "nobody has said yet that its plate is clear",
    PlateState.OCCUPIED: "a print may still be on its plate",
    PlateState.SUSPECT: "something happened that may have left a print on its plate",
}


def admits(plate: Plate, gate: Gate) -> bool:
    """Whether a print may begin on this plate."""
    if gate is Gate.OFF or plate.state is PlateState.CLEAR:
        return True
    return plate.state is PlateState.UNKNOWN and gate is Gate.AFTER_PRINT


def must_admit(plate: Plate, gate: Gate, name: str, slug: str) -> None:
    """Raise ``PlateNotClear``, with what to do, unless a print may begin on this plate."""
    if admits(plate, gate):
        return
    raise PlateNotClear(
        f"{name}: {_WHY[plate.state]}; nothing was started.",
        f'Look at the plate; if it is mounted and clear, POST /v1/printers/{slug}/plate {{"clear": true, "revision": '
        f'{plate.revision}}}, or send "plate_clear": true with the wish to print.',
        plate,
    )


def mark_of(told: PrintInfo) -> str:
    """What tells one ended print from another by what the printer shows of it; the state number is left out, for the
    end of one print may be told by several (13, 14)."""
    return f"{told.filename}:{told.current_layer}/{told.total_layer}:{told.current_ticks}"


def _changed(plate: Plate, state: PlateState, job: str | None = None, reason: str | None = None) -> Plate:
    if (plate.state, plate.job, plate.reason) == (state, job, reason):
        return plate
    return Plate(plate.printer, state, plate.revision + 1, job=job, reason=reason, word=plate.word)


def confirmed(
    plate: Plate, revision: int | None, by: str, at: float, shown: PrintInfo | None, word: str | None = None
) -> Plate:
    """A person says that the plate is clear; ``PlateChanged`` if that was said of an older revision.

    ``revision`` None is for a word that is given with a wish to print, by somebody who stands there now. ``shown`` is
    what the printer shows of its last print.
    """
    if revision is not None and revision != plate.revision:
        raise PlateChanged(
            f"The confirmation is for revision {revision} of the plate, and it is at {plate.revision} now:"
            f" it is {plate.state.value}.",
            f"Look at the plate again; if it is clear, confirm revision {plate.revision}.",
            plate,
        )
    return Plate(
        plate.printer,
        PlateState.CLEAR,
        plate.revision + 1,
        by=by,
        at=at,
        shown=mark_of(shown) if shown is not None else None,
        word=word,
    )


def reported(plate: Plate, by: str, at: float, word: str | None = None) -> Plate:
    """A person says that something is on the plate."""
    return replace(_changed(plate, PlateState.OCCUPIED, reason="reported"), by=by, at=at, word=word)


def began(plate: Plate, print_id: str) -> Plate:
    """A print that was not asked for here is at work: whoever looked at the plate before has not seen it."""
    if plate.job == print_id:
        return plate
    if (plate.state, plate.job, plate.reason) == (PlateState.OCCUPIED, None, "print_seen"):
        return replace(plate, job=print_id)
    return _changed(plate, PlateState.OCCUPIED, print_id, "print_seen")


def used(plate: Plate, job: str, shown: PrintInfo | None) -> Plate:
    """A start of this job is about to be sent: from now on a print may be on the plate.

    ``shown`` is what the printer shows of the print before.
    """
    mark = mark_of(shown) if shown is not None else None
    return replace(_changed(plate, PlateState.OCCUPIED, job), shown=mark)


def has_run(plate: Plate, job: str, wire_name: str, told: PrintInfo) -> bool:
    """Whether a print of this job's file has run since its start was noted: what is shown of it is new."""
    return plate.job == job and plate.shown not in (None, mark_of(told)) and told.filename == wire_name


def given_back(plate: Plate, before: Plate) -> Plate:
    """The start certainly did not happen: the plate is as it was ``before`` it, unless more has happened since."""
    if plate.revision != before.revision + 1:
        return plate
    return replace(before, revision=plate.revision + 1)


def ended(plate: Plate, print_id: str, state: JobState, reason: str | None) -> Plate:
    """A print has ended in ``state``, or the start of it was never proved."""
    if state in (JobState.FINISHED, JobState.STOPPED) or (state is JobState.FAILED and reason == "print_error"):
        return _changed(plate, PlateState.OCCUPIED, print_id)
    return _changed(plate, PlateState.SUSPECT, print_id, reason or state.value)


def judged(plate: Plate, phase: Phase, outcome: Outcome, told: PrintInfo) -> Plate:
    """What a status shows counts, whoever printed and whenever: a print at work, or the end of one that nobody has
    taken off since."""
    if plate.state in (PlateState.OCCUPIED, PlateState.SUSPECT):
        return plate
    if phase in RUNNING:
        return _changed(plate, PlateState.OCCUPIED, reason="print_seen")
    if phase is Phase.ATTENTION or (outcome is not Outcome.NONE and phase is not Phase.OFFLINE):
        return plate if mark_of(told) == plate.shown else _changed(plate, PlateState.OCCUPIED, reason="print_found")
    return plate
