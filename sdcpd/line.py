"""The jobs that wait for their printers: in order, over restarts, each with the reason why it waits.

One decision: the line decides nothing by itself and forgets nothing. Whenever something may have changed, the head of
each printer's queue is asked for its next step (``queue.next_step``), and only that is done.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from sdcpd.errors import FileMissing, JobUnknown, NotNow, PrinterUnknown
from sdcpd.files import FileStore
from sdcpd.fleet import Fleet
from sdcpd.links import Links
from sdcpd.plates import Plates, Writer, noted
from sdcpd.printer import Printer, Reachability
from sdcpd.progress import ENDED, MOVING, Job, JobState
from sdcpd.queue import REASONS, Next, Step, View, moved, next_step, ordered

__all__ = ["Line"]

_SOON = frozenset({"printer_offline", "link_lost", "not_now", "command_in_flight"})
"""Reasons of an interrupted delivery that pass by themselves."""

Fits = Callable[[Printer, Job], tuple[str, ...] | None]
"""What a person would be warned of if a printer got the file of a job; None if it must not."""


class Line:
    """Waiting jobs by id. ``begin`` takes a job to its printer, to be started if the flag says so."""

    def __init__(
        self,
        *,
        fleet: Fleet,
        links: Links,
        store: FileStore,
        plates: Plates,
        journal: Writer,
        fits: Fits,
        current: Callable[[str], Job | None],
        begin: Callable[[Job, bool], None],
    ) -> None:
        self._fleet = fleet
        self._links = links
        self._store = store
        self._plates = plates
        self._journal = journal
        self._fits = fits
        self._current = current
        self._begin = begin
        self._jobs: dict[str, Job] = {}
        self._end = 0.0

    def __contains__(self, job_id: object) -> bool:
        return job_id in self._jobs

    def jobs(self) -> dict[str, Job]:
        """The waiting jobs as they are now."""
        return dict(self._jobs)

    def of(self, mainboard_id: str) -> list[Job]:
        """A printer's queue in its order; the empty id is for jobs that any printer may take."""
        return ordered(job for job in self._jobs.values() if job.printer == mainboard_id)

    def end(self) -> float:
        """The place behind everybody."""
        return self._end + 1.0

    # -- coming and going ------------------------------------------------------------------------------------

    def enter(self, job: Job) -> None:
        """A job waits from now on: a new one, one of an earlier life of the daemon, or one whose file is delivered."""
        if job.state is JobState.HELD and job.reason in _SOON:
            job = replace(job, state=JobState.QUEUED)
        self._jobs[job.id] = job
        self._end = max(self._end, job.position)

    def leave(self, job_id: str) -> Job:
        """A job does not wait any more; ``JobUnknown`` if it did not."""
        job = self._jobs.pop(job_id, None)
        if job is None:
            raise JobUnknown(f"No job {job_id!r} waits.", "GET /v1/jobs lists all jobs.")
        return job

    def by_wire_name(self, mainboard_id: str, wire: str) -> Job | None:
        """The first waiting job of a printer whose file the printer knows under this name."""
        return next((job for job in self.of(mainboard_id) if job.wire_name == wire), None)

    def move(self, job_id: str, before: str | None) -> Job:
        """Put a job before another of the same queue, or at its end."""
        job = self._jobs.get(job_id)
        if job is None:
            raise JobUnknown(f"No job {job_id!r} waits.", "Only waiting jobs can be moved; GET /v1/jobs lists all.")
        try:
            order = moved(self.of(job.printer), job_id, before)
        except KeyError as error:
            raise NotNow(
                f"The job {before!r} does not wait in the same queue.", "GET the queue shows who does."
            ) from error
        changed = [new for new in order if new != self._jobs[new.id]]
        self._jobs.update((new.id, new) for new in changed)
        if changed:
            noted(self._journal.write(*changed), "The order of a queue")
        return self._jobs[job_id]

    def ask(self, job_id: str, word: str | None = None) -> Job:
        """A person wants this job started: now if it can be, else in its turn; ``word`` is kept with it."""
        job = self._jobs[job_id]
        if not job.start or job.state is JobState.HELD or word is not None:
            state = JobState.QUEUED if job.state is JobState.HELD else job.state
            job = self._jobs[job_id] = replace(job, start=True, state=state, start_word=word)
            noted(self._journal.write(job), "The wish to start")
        if job.printer:
            self.advance(job.printer, asked=job_id)
        else:
            self.look()
        return job

    def withdraw(self, asked: Job) -> None:
        """Nobody wants this job started after all, unless that was wanted before: ``asked`` is as it was then."""
        job = self._jobs.get(asked.id)
        if job is not None:
            self._jobs[job.id] = replace(job, start=asked.start, start_word=asked.start_word)
            noted(self._journal.write(self._jobs[job.id]), "A wish that is taken back")

    # -- going on --------------------------------------------------------------------------------------------

    def look(self) -> None:
        """See what can go on anywhere."""
        self._bind()
        for mainboard_id in {job.printer for job in self._jobs.values() if job.printer}:
            self.advance(mainboard_id)

    def _bind(self) -> None:
        """Give each job that any printer may take to the first printer that suits it and has nothing else to do."""
        for job in self.of(""):
            for printer in self._fleet:
                if self.of(printer.id) or not self._is_free(printer):
                    continue
                if (warnings := self._fits(printer, job)) is None:
                    continue
                bound = replace(job, printer=printer.id, reason=None, message=None, warnings=warnings)
                self._jobs[job.id] = bound
                noted(self._journal.write(bound), "A job's printer")
                break
            else:
                self._say(job, Next(Step.WAIT, "no_printer", REASONS["no_printer"]))

    def _is_free(self, printer: Printer) -> bool:
        view = self._view(printer)
        probe = Job("", printer.id, "", "", 0, "", JobState.QUEUED, 0.0)
        return next_step(probe, view, first=True).step is Step.DELIVER

    def _view(self, printer: Printer) -> View:
        return View(
            name=printer.name,
            slug=printer.slug,
            online=printer.id in self._links,
            elsewhere=printer.reachability is Reachability.ELSEWHERE,
            phase=printer.phase,
            busy=self._current(printer.id) is not None,
            plate=self._plates.of(printer.id),
            gate=self._plates.gate,
            writable=self._journal.failing is None,
        )

    def advance(self, mainboard_id: str, asked: str | None = None) -> None:
        """Do what comes next in a printer's queue; ``asked`` is a job that a person wants started just now."""
        try:
            view = self._view(self._fleet[mainboard_id])
        except PrinterUnknown:
            return
        for place, job in enumerate(self.of(mainboard_id)):
            if job.state is JobState.HELD and place == 0:
                continue  # a person has to do something first; its own words say what
            under_way = self._current(mainboard_id)
            ahead = under_way is not None and under_way.queued and under_way.state not in MOVING
            found = next_step(job, view, first=place == 0 and not ahead, asked=asked == job.id)
            if found.step is Step.WAIT:
                self._say(job, found)
            else:
                self._go(job, start=found.step is Step.START)
                view = self._view(self._fleet[mainboard_id])

    def _go(self, job: Job, *, start: bool) -> None:
        del self._jobs[job.id]
        try:
            self._begin(job, start)
        except FileMissing:
            message = REASONS["file_missing"]
            held = self._jobs[job.id] = replace(job, state=JobState.HELD, reason="file_missing", message=message)
            noted(self._journal.write(held), "A job")
            self._show(held)

    def _say(self, job: Job, why: Next) -> None:
        if job.state is not JobState.HELD and (job.reason, job.message) != (why.reason, why.message):
            self._jobs[job.id] = told = replace(job, reason=why.reason, message=why.message)
            self._show(told)

    def _show(self, job: Job) -> None:
        """The head of a queue stands at its printer, if nothing else of ours is there."""
        printer = self._fleet.find(job.printer)
        if printer is None or self._current(printer.id) is not None:
            return
        shown = printer.job
        if self.of(printer.id)[0].id == job.id and (shown is None or shown.state in ENDED or shown.id == job.id):
            self._fleet.assign(printer.id, job)
