"""Every print that happens, ours or not: begun, told, counted, and written down with how it ended.

One decision: the history is written at a print's edges only, together with the job and the plate that the edge
changes: one commit each. What is between them (layers, time) is counted in memory; after a restart the printer itself
tells how far it is.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Protocol

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from sdcpd.codec.status import Phase
from sdcpd.errors import StoreError
from sdcpd.estimate import learned
from sdcpd.fleet import Fleet
from sdcpd.index import FileIndex
from sdcpd.journal import PrintPage, PrintQuery
from sdcpd.logs import Few, logger
from sdcpd.names import content_of
from sdcpd.pace import Pace
from sdcpd.plates import PlateRecords, Plates, noted
from sdcpd.printer import Printer, Run
from sdcpd.prints import Tally, Watch
from sdcpd.progress import ENDED, MOVING, Job, JobState, Verdict
from sdcpd.records import Plate, PrintRecord, PrintResult, Wear

__all__ = ["History", "Known", "PrintRecords"]

_log = logger("sdcpd.history")
MOST = 20
"""Prints of one printer that are written down in so many seconds: a real one takes minutes, and who makes a printer up
can make it print as often as it speaks."""
MOST_IN = 3600.0
LEARNT_FROM = 10
"""The printer's last finished prints that tell how long the next one takes."""

_RESULTS = {
    JobState.FINISHED: PrintResult.FINISHED,
    JobState.STOPPED: PrintResult.STOPPED,
    JobState.FAILED: PrintResult.FAILED,
    JobState.LOST: PrintResult.LOST,
    JobState.UNVERIFIED: PrintResult.UNVERIFIED,
}


class Known(Protocol):
    """A stored file, as far as the history names it."""

    @property
    def name(self) -> str:
        """As people call it."""
        ...

    @property
    def md5(self) -> str:
        """Its identity."""
        ...


class PrintRecords(PlateRecords, Protocol):
    """A writer that remembers prints and wear."""

    def open_prints(self) -> list[PrintRecord]:
        """The prints that have not ended, oldest first."""
        ...

    def wears(self) -> dict[str, Wear]:
        """What each printer has done."""
        ...

    def prints(self, query: PrintQuery) -> Deferred[PrintPage]:
        """One page of the history, newest first."""
        ...


class History:
    """The prints on all printers. ``by_wire_name`` finds the stored file that a printer calls so."""

    def __init__(
        self,
        *,
        fleet: Fleet,
        plates: Plates,
        journal: PrintRecords,
        clock: IReactorTime,
        wall: Callable[[], float],
        by_wire_name: Callable[[str], Known | None],
        index_of: Callable[[str], Deferred[FileIndex | None]],
    ) -> None:
        self._fleet = fleet
        self._plates = plates
        self._journal = journal
        self._clock = clock
        self._wall = wall
        self._by_wire_name = by_wire_name
        self._index_of = index_of
        self._open = {record.printer: record for record in journal.open_prints()}
        self._wears = journal.wears()
        self._indexes: dict[str, FileIndex] = {}
        self._tallies: dict[str, Tally] = {}
        self._paces: dict[str, tuple[str, Pace]] = {}
        self._watches: dict[str, Watch] = {}
        self._few: dict[str, Few] = {}
        self._doubted: dict[str, Few] = {}
        for printer in fleet:
            self.appeared(printer)

    def appeared(self, printer: Printer) -> None:
        """A printer that the fleet did not know: what is remembered of it is shown."""
        if printer.id in self._wears:
            self._fleet.worn(printer.id, self._wears[printer.id])
        record = self._open.get(printer.id)
        if record is not None:
            self._count(record)

    def _count(self, record: PrintRecord) -> None:
        tally = self._tallies[record.printer] = Tally(record.layers, self._clock.seconds())
        self._paces[record.printer] = (record.id, tally.pace)
        self._fleet.run(record.printer, Run(record.id, record.started, record.planned_s))
        if record.md5 is not None:
            read = self._index_of(record.md5)
            read.addCallback(self._understand, record)
            read.addErrback(lambda failure: failure.trap(StoreError) and None)
        asked = self._journal.prints(PrintQuery(printer=record.printer, result=PrintResult.FINISHED, limit=LEARNT_FROM))
        asked.addCallback(self._learn, record)
        asked.addErrback(lambda failure: failure.trap(StoreError) and None)

    def _understand(self, index: FileIndex | None, record: PrintRecord) -> None:
        now = self._open.get(record.printer)
        if index is None or index.sliced is None or now is None or now.id != record.id:
            return
        self._indexes[record.printer] = index
        planned, total = index.print_time_s, index.layer_count or 0
        self._open[record.printer] = replace(now, planned_s=planned, total_layers=total)
        printer = self._fleet.find(record.printer)
        if printer is not None and printer.run is not None:
            self._fleet.run(printer.id, replace(printer.run, planned_s=planned))

    def _learn(self, page: PrintPage, record: PrintRecord) -> None:
        printer = self._fleet.find(record.printer)
        if printer is not None and printer.run is not None and printer.run.id == record.id:
            self._fleet.run(printer.id, replace(printer.run, ratio=learned(page.prints)))

    def pace(self, mainboard_id: str) -> tuple[str, Pace] | None:
        """The layer times of the print on a printer, or of its last one since the daemon began, with its id."""
        return self._paces.get(mainboard_id)

    # -- prints of ours: they are written with their job -------------------------------------------------------

    def moved(self, before: Job, after: Job) -> tuple[PrintRecord | Wear | Plate, ...]:
        """A job goes from one state to another; what is to be written with it."""
        record = self._open.get(after.printer)
        ours = record is not None and record.job == after.id
        if after.state in (JobState.PRINTING, JobState.PAUSED) and not ours:
            begun = self._begin(after.printer, after.id, after.file, after.md5, after.id)
            return begun, self._plates.began(after.printer, after.id)
        if after.state in ENDED and before.state in MOVING:
            verdict = Verdict(after.state, after.reason, after.message)
            if ours:
                return self._end(after.printer, verdict)
            if after.state in (JobState.UNVERIFIED, JobState.FINISHED, JobState.STOPPED):
                self._begin(after.printer, after.id, after.file, after.md5, after.id)
                record, wear = self._end(after.printer, verdict)
                return replace(record, printed_s=None), wear  # nobody saw how long it took
        return ()

    def _begin(self, mainboard_id: str, print_id: str, file: str, md5: str | None, job: str | None) -> PrintRecord:
        record = PrintRecord(print_id, mainboard_id, file, self._wall(), job, md5)
        self._open[mainboard_id] = record
        self._count(record)
        return self._open[mainboard_id]

    def _end(self, mainboard_id: str, verdict: Verdict) -> tuple[PrintRecord, Wear]:
        record = self._open.pop(mainboard_id)
        tally = self._tallies.pop(mainboard_id, Tally(record.layers, 0.0))
        total = tally.total or record.total_layers
        layers = total if verdict.state is JobState.FINISHED and total else tally.layers
        index = self._indexes.pop(mainboard_id, None)
        exposure = _exposure(index, layers)
        ended = replace(
            record,
            ended=self._wall(),
            result=_RESULTS[verdict.state],
            reason=verdict.reason,
            message=verdict.message,
            layers=layers,
            total_layers=total,
            printed_s=max(0.0, self._wall() - record.started - tally.paused_s),
            exposure_s=exposure,
            volume_ml=_share(_volume(index), layers, total),
        )
        old = self._wears.get(mainboard_id) or Wear(mainboard_id)
        wear = Wear(mainboard_id, old.layers + layers, old.exposure_s + (exposure or 0.0), old.prints + 1)
        self._wears[mainboard_id] = wear
        if self._fleet.find(mainboard_id) is not None:
            self._fleet.run(mainboard_id, None)
            self._fleet.worn(mainboard_id, wear)
        return ended, wear

    # -- prints of others ------------------------------------------------------------------------------------

    def look(self, printer: Printer, adopt: Callable[[Printer], bool]) -> None:
        """A printer has said something new; ``adopt`` says whether a job of ours takes over a print that has begun."""
        if printer.status is None or printer.phase is Phase.OFFLINE:
            return
        now = self._clock.seconds()
        if not _is_ours(printer):
            first = printer.id not in self._watches
            watch = self._watch(printer)
            began = not watch.running
            verdict = watch.status(printer.status, now)
            if verdict is not None and began and (adopt(printer) or not self._may_begin(printer)):
                watch.leave()
            elif verdict is not None:
                self._judged(printer, verdict, began=began, quiet=first)
        elif printer.id in self._watches:
            self._watches[printer.id].leave()
        else:
            self._watches[printer.id] = Watch(printer.generation, None, now)
        if printer.id in self._tallies:
            self._progress(printer)

    def _may_begin(self, printer: Printer) -> bool:
        """Whether one more print that nobody here started is believed."""
        seconds = self._clock.seconds
        if self._few.setdefault(printer.id, Few(seconds, MOST, MOST_IN)).may():
            return True
        if self._doubted.setdefault(printer.id, Few(seconds, 1, MOST_IN)).may():
            what = "{id} has told of {most} prints within an hour, too many to be true; others are not written down"
            _log.warn(what, id=printer.id, most=MOST)
        return False

    def _watch(self, printer: Printer) -> Watch:
        watch = self._watches.get(printer.id)
        if watch is None:
            record = self._open.get(printer.id)
            # A print of ours whose job has ended by now is still on the machine: it is watched as any other.
            running = None
            if record is not None:
                told = printer.status.print.filename if printer.status is not None else ""
                running = told if _is_of(record, told) else record.file
            watch = self._watches[printer.id] = Watch(printer.generation, running, self._clock.seconds())
        return watch

    def _judged(self, printer: Printer, verdict: Verdict, *, began: bool = False, quiet: bool = False) -> None:
        record = self._open.get(printer.id)
        written: list[PrintRecord | Wear | Plate] = []
        if began or record is None:
            wire = printer.status.print.filename if printer.status is not None else ""
            known = self._by_wire_name(wire)
            file, md5 = (known.name, known.md5) if known is not None else (wire, None)
            record = self._begin(printer.id, secrets.token_hex(6), file, md5, None)
            written += [record, self._plates.began(printer.id, record.id)]
        if verdict.state in ENDED:
            ended, wear = self._end(printer.id, verdict)
            record = ended
            written += [ended, wear, self._plates.ended(printer.id, record.id, verdict.state, verdict.reason)]
        event = f"print_{verdict.state.value}" if not began else "print_started"
        if verdict.state is JobState.PRINTING and not began:
            event = "print_resumed"
        if written:
            noted(self._journal.write(*written), "A print")
        if not quiet or not began:
            self._tell(record, event, verdict)
        if verdict.state in ENDED:
            self._plates.tell(printer.id)

    def _tell(self, record: PrintRecord, event: str, verdict: Verdict) -> None:
        told = {"job": record.job, "print": record.id, "file": record.file}
        self._fleet.happened(record.printer, event, {**told, "reason": verdict.reason, "message": verdict.message})

    def _progress(self, printer: Printer) -> None:
        tally = self._tallies[printer.id]
        stalled = tally.stalled
        assert printer.status is not None
        tally.status(printer.status, printer.phase, self._clock.seconds())
        if stalled and not tally.stalled and printer.run is not None:
            self._fleet.run(printer.id, replace(printer.run, stalled=False))
            self._fleet.happened(printer.id, "print_recovered", {"print": printer.run.id, "layer": tally.layers})

    def sweep(self) -> None:
        """Judge what does not move; to be called about once a second."""
        now = self._clock.seconds()
        for mainboard_id, watch in self._watches.items():
            verdict = watch.time(now)
            if verdict is not None:
                self._judged(self._fleet[mainboard_id], verdict)
        for mainboard_id, tally in list(self._tallies.items()):
            printer = self._fleet.find(mainboard_id)
            if printer is not None and printer.run is not None and tally.time(printer.phase, now):
                _log.warn(
                    "The print on {printer} has stalled at layer {layer}", printer=printer.slug, layer=tally.layers
                )
                self._fleet.run(mainboard_id, replace(printer.run, stalled=True))
                told = {"print": printer.run.id, "layer": tally.layers, "after_s": round(tally.patience)}
                self._fleet.happened(mainboard_id, "print_stalled", told)


def _is_of(record: PrintRecord, wire_name: str) -> bool:
    """Whether what a printer calls so is the print's file, whatever that is called by people now, if it is stored."""
    if record.md5 is None:
        return wire_name == record.file
    return content_of(wire_name).startswith(record.md5[:8])


def _is_ours(printer: Printer) -> bool:
    return printer.job is not None and printer.job.state in MOVING


def _share(whole: float | None, layers: int, total: int) -> float | None:
    if whole is None or total <= 0:
        return None
    return whole * min(1.0, layers / total)


def _volume(index: FileIndex | None) -> float | None:
    """Millilitres by the file; a slicer that does not know them writes none, or zero."""
    return index.sliced.volume_ml or None if index is not None and index.sliced is not None else None


def _exposure(index: FileIndex | None, layers: int) -> float | None:
    """Seconds of light of so many layers: each one's own where the file lists them, else by its settings."""
    if index is None or index.sliced is None:
        return None
    sliced, listed = index.sliced, [layer.exposure_s for layer in index.layers[:layers]]
    if any(listed) and len(listed) == layers:
        return sum(seconds or 0.0 for seconds in listed)
    if sliced.exposure_s is None:
        return None
    bottom = min(layers, sliced.bottom_layers or 0)
    return bottom * (sliced.bottom_exposure_s or sliced.exposure_s) + (layers - bottom) * sliced.exposure_s
