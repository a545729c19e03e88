"""All build plates: what people and printers say of them, kept, shown and told.

One decision: the plates live here, and the fleet and the journal get every change in the turn that made it; a plate
that could not be written down yet is no less occupied.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from sdcpd import plate as rules
from sdcpd.codec.status import RUNNING, Phase, PrintInfo, outcome_of
from sdcpd.errors import NotNow, StoreError, Unrecorded
from sdcpd.fleet import Fleet
from sdcpd.logs import logger
from sdcpd.plate import Gate
from sdcpd.printer import Printer
from sdcpd.progress import Job, JobState
from sdcpd.records import Plate, PlateState, PrintRecord, Wear
from sdcpd.wishes import said

__all__ = ["PlateRecords", "Plates", "Writer", "must_be_writable", "noted"]

_log = logger("sdcpd.plates")


class Writer(Protocol):
    """Who keeps records over a restart."""

    @property
    def failing(self) -> str | None:
        """Why nothing can be written just now; None while all is well."""
        ...

    def write(self, *records: Job | Plate | PrintRecord | Wear) -> Deferred[None]:
        """Remember all of these, whole or not at all; fires when they are safe.

        Fails with ``StoreError``; they are written later then, by themselves.
        """
        ...


def must_be_writable(journal: Writer) -> None:
    """Raise ``Unrecorded``, with what to do, while nothing can be written: nothing new may be promised then."""
    if journal.failing is not None:
        raise Unrecorded(
            f"Nothing new can be begun, because it could not be noted on the disk: {journal.failing}",
            "Free some space on the daemon's disk; what runs goes on, and pause and stop work.",
        )


class PlateRecords(Writer, Protocol):
    """A writer that can tell what it remembers of plates."""

    def plates(self) -> Mapping[str, Plate]:
        """The plates by MainboardID."""
        ...


def noted(written: Deferred[None], what: str) -> None:
    """Nobody waits for this to be on the disk; the journal says by itself when it cannot write."""
    written.addErrback(lambda failure: failure.trap(StoreError) and None)
    written.addErrback(lambda failure: _log.failure("{what} could not be noted", failure, what=what))


class Plates:
    """The plates by MainboardID; ``gate`` says when a start needs a clear one, ``wall`` seconds since the epoch."""

    def __init__(self, fleet: Fleet, journal: PlateRecords, wall: Callable[[], float], gate: Gate) -> None:
        self.gate = gate
        self._fleet = fleet
        self._journal = journal
        self._wall = wall
        self._plates = dict(journal.plates())
        self._before: dict[str, Plate] = {}
        self._unkept: dict[str, Plate] = {}
        for printer in fleet:
            self._show(printer.id)

    def of(self, mainboard_id: str) -> Plate:
        """What is known of a printer's plate."""
        return self._plates.get(mainboard_id) or Plate(mainboard_id)

    def _show(self, mainboard_id: str) -> None:
        self._fleet.lay(mainboard_id, self.of(mainboard_id))

    def _put(self, new: Plate, *, write: bool = True) -> Plate:
        if new == self.of(new.printer):
            return new
        self._plates[new.printer] = new
        if self._fleet.find(new.printer) is not None:
            self._show(new.printer)
            _log.info("The plate of {id} is {state}", id=new.printer, state=new.state.value)
        if write:
            noted(self._journal.write(new), "A plate")
        return new

    def tell(self, mainboard_id: str) -> None:
        """Make it an event that a plate waits for somebody, or that it is clear."""
        plate = self.of(mainboard_id)
        told = {"state": plate.state.value, "revision": plate.revision, "by": plate.by, "reason": plate.reason}
        clear = plate.state is PlateState.CLEAR
        self._fleet.happened(mainboard_id, "plate_clear" if clear else "needs_plate", told)

    # -- what people say -------------------------------------------------------------------------------------

    def said(self, mainboard_id: str, word: str | None) -> bool:
        """Whether this was the last word under its Idempotency-Key; ``KeyReused`` if another one was."""
        return said(self.of(mainboard_id).word, word)

    def confirm(self, printer: Printer, revision: int | None, by: str, word: str | None = None) -> Plate:
        """A person says that the plate is clear.

        Raises ``PlateChanged`` for an old ``revision`` (None: for the present one), ``NotNow`` while a print is on it,
        ``Unrecorded`` while it could not be written down.
        """
        must_be_writable(self._journal)
        starting = printer.job is not None and printer.job.state is JobState.STARTING
        if starting or printer.phase in RUNNING:
            raise NotNow(f"{printer.name} is printing: its plate is not clear.", "Confirm it when the print is over.")
        shown = printer.status.print if printer.status is not None else None
        before = self.of(printer.id)
        plate = self._put(rules.confirmed(before, revision, by, self._wall(), shown, word))
        self._unkept[printer.id] = before
        _log.info("{by} says that the plate of {printer} is clear", by=by, printer=printer.slug)
        self.tell(printer.id)
        return plate

    def kept(self, mainboard_id: str) -> Deferred[Plate]:
        """Fires with what is known of a plate once that is on the disk; fails with ``StoreError`` if it cannot be."""
        plate = self.of(mainboard_id)

        def kept(_: object) -> Plate:
            self._unkept.pop(mainboard_id, None)
            return self.of(mainboard_id)

        return self._journal.write(plate).addCallbacks(kept, self._take_back, errbackArgs=(plate,))

    def _take_back(self, failure: Failure, plate: Plate) -> Failure:
        """Who confirmed the plate is told that it failed, so it must not let a print begin later."""
        before = self._unkept.pop(plate.printer, None)
        if before is not None and self.of(plate.printer) == plate:
            self._put(replace(before, revision=plate.revision + 1))
        return failure

    def occupy(self, printer: Printer, by: str, word: str | None = None) -> Plate:
        """A person says that something is on the plate."""
        before = self.of(printer.id)
        plate = self._put(rules.reported(before, by, self._wall(), word))
        if plate.state is not before.state:
            self.tell(printer.id)
        return plate

    def heed(self, printer: Printer | None, clear: bool | None, by: str) -> None:
        """What is said of the plate together with a wish to print; None says nothing.

        Raises what ``confirm`` does, and ``NotNow`` if there is no printer yet whose plate could be meant.
        """
        if clear is None:
            return
        if printer is None:
            raise NotNow(
                "The job waits for any printer, so nobody knows yet whose plate is meant.",
                "Confirm the plate of one printer by POST /v1/printers/<name>/plate, and start the job without it.",
            )
        if clear:
            self.confirm(printer, None, by)
        else:
            self.occupy(printer, by)

    # -- what printers show ----------------------------------------------------------------------------------

    def appeared(self, printer: Printer) -> None:
        """A printer that the fleet did not know."""
        self._show(printer.id)

    def look(self, printer: Printer) -> None:
        """A printer has said something new of itself."""
        if printer.status is None or printer.phase is Phase.OFFLINE:
            return
        before = self.of(printer.id)
        outcome = outcome_of(printer.status, printer.generation)
        plate = self._put(rules.judged(before, printer.phase, outcome, printer.status.print))
        if plate is not before and printer.phase not in RUNNING:
            self.tell(printer.id)

    # -- what jobs do: they write the plate together with themselves ------------------------------------------

    def must_admit(self, printer: Printer) -> None:
        """Raise ``PlateNotClear`` unless a print may begin."""
        rules.must_admit(self.of(printer.id), self.gate, printer.name, printer.slug)

    def use(self, job: Job) -> Plate:
        """A start is about to be sent; to be written with the job."""
        before = self._before[job.id] = self.of(job.printer)
        printer = self._fleet.find(job.printer)
        shown = printer.status.print if printer is not None and printer.status is not None else None
        return self._put(rules.used(before, job.id, shown), write=False)

    def has_run(self, job: Job, told: PrintInfo) -> bool:
        """Whether the job's print has run since its start was noted, by what the printer shows now."""
        return rules.has_run(self.of(job.printer), job.id, job.wire_name, told)

    def give_back(self, job: Job) -> Plate:
        """The start did certainly not happen; to be written with the job."""
        before = self._before.pop(job.id, None)
        plate = self.of(job.printer)
        return plate if before is None else self._put(rules.given_back(plate, before), write=False)

    def began(self, mainboard_id: str, print_id: str) -> Plate:
        """A print that was started at the printer is at work; to be written with it."""
        return self._put(rules.began(self.of(mainboard_id), print_id), write=False)

    def ended(self, mainboard_id: str, print_id: str, state: JobState, reason: str | None) -> Plate:
        """A print, or a start that was not proved, is over; to be written with it."""
        self._before.pop(print_id, None)
        return self._put(rules.ended(self.of(mainboard_id), print_id, state, reason), write=False)
