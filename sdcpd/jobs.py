"""Wishes: print this, pause, resume, stop. Every way in, from whichever dialect, ends here.

One decision: a wish is judged against the printer's present phase before anything is sent, and refused with the
reason and what to do; nothing is started that a person did not ask for, and one printer has one job at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from sdcpd.codec.sdcp import Response
from sdcpd.control import must_be_free, must_be_v1, pause, reconnect, resume, stop
from sdcpd.errors import JobUnknown, NotNow, StoreError, Unrecorded
from sdcpd.files import FileStore, StoredFile
from sdcpd.fitting import Fitting
from sdcpd.fleet import Fleet, Printer, Reachability
from sdcpd.flow import Flow
from sdcpd.history import History, PrintRecords
from sdcpd.holds import Holds
from sdcpd.index import FileIndex
from sdcpd.line import Line
from sdcpd.links import Links
from sdcpd.logs import logger
from sdcpd.offers import Offers
from sdcpd.plate import Gate
from sdcpd.plates import Plates, must_be_writable, noted
from sdcpd.progress import ENDED, MOVING, Job, JobState
from sdcpd.queue import REASONS
from sdcpd.wishes import Wish, job_of, lacks, repeated, said, waiting_again

__all__ = ["JobRecords", "Jobs", "Wish"]

_log = logger("sdcpd.jobs")


class JobRecords(PrintRecords, Protocol):
    """A writer that can tell what it remembers."""

    def jobs(self) -> list[Job]:
        """All remembered jobs, oldest first."""
        ...


class Jobs:
    """The jobs of all printers: those under way as ``Flow``s, the others as records."""

    def __init__(
        self,
        *,
        fleet: Fleet,
        links: Links,
        store: FileStore,
        offers: Offers,
        journal: JobRecords,
        clock: IReactorTime,
        wall: Callable[[], float],
        gate: Gate,
        index_of: Callable[[str], Deferred[FileIndex | None]],
    ) -> None:
        self._fleet = fleet
        self._links = links
        self._store = store
        self._offers = offers
        self._journal = journal
        self._clock = clock
        self._wall = wall
        self._flows: dict[str, Flow] = {}
        self._waiting: dict[str, Job] = {}
        self._holds = Holds(store)
        self.plates = Plates(fleet, journal, wall, gate)
        """What is known of the printers' plates."""
        self.history = History(
            fleet=fleet,
            plates=self.plates,
            journal=journal,
            clock=clock,
            wall=wall,
            by_wire_name=store.by_wire_name,
            index_of=index_of,
        )
        self._fitting = Fitting(index_of)
        self._line = Line(
            fleet=fleet,
            links=links,
            store=store,
            plates=self.plates,
            journal=journal,
            fits=self._fitting.warnings,
            current=lambda mainboard_id: self.current(mainboard_id) or self._waiting.get(mainboard_id),
            begin=self._begin,
        )
        self._unsubscribe = fleet.subscribe(self._changed)
        self._restore()

    def _restore(self) -> None:
        for job in self._journal.jobs():
            if job.state in ENDED:
                continue
            if job.state in MOVING:
                self._waiting[job.printer] = job
                try:
                    self._holds.hold(job)
                except StoreError as error:
                    _log.warn("The file of job {job} is gone: {error}", job=job.id, error=error)
            else:
                self._take_up(job)

    def _take_up(self, job: Job) -> None:
        """A job of an earlier life of the daemon that was not started: it waits again."""
        again = waiting_again(job)
        try:
            self._holds.hold(job)
        except StoreError:
            again = replace(again, state=JobState.HELD, reason="file_missing", message=REASONS["file_missing"])
        if again != job:
            noted(self._journal.write(again), "A job")
        self._line.enter(again)
        if not again.printer:
            self._fitting.learn(again.md5)

    def all(self) -> list[Job]:
        """Every remembered job as it is now, oldest first."""
        now = self._line.jobs() | {flow.job.id: flow.job for flow in self._flows.values()}
        return [now.get(job.id, job) for job in self._journal.jobs()]

    def get(self, job_id: str) -> Job:
        """One job; ``JobUnknown`` if there is none of this id."""
        job = next((job for job in self.all() if job.id == job_id), None)
        if job is None:
            raise JobUnknown(f"No job has the id {job_id!r}.", "GET /v1/jobs lists them.")
        return job

    def current(self, mainboard_id: str) -> Job | None:
        """The job under way on a printer."""
        return flow.job if (flow := self._flows.get(mainboard_id)) else None

    # -- wishes ----------------------------------------------------------------------------------------------

    def print(self, mainboard_id: str, file: StoredFile, wish: Wish) -> Job:
        """Deliver ``file`` to the printer if it does not have it, and start it.

        What the wish says of the plate is heeded first: True confirms it, False is an objection.
        Returns the job at once; its state tells the rest. Raises ``NotNow``, ``PlateNotClear``, ``PrinterOffline``,
        ``Unrecorded`` or ``FileMissing`` before anything is sent.
        """
        printer = self._fleet[mainboard_id]
        must_be_v1(printer)
        self._links.session(printer.id)
        must_be_free(printer, self.current(printer.id))
        must_be_writable(self._journal)
        job = job_of(wish, printer.id, file, self._wall())
        self.plates.heed(printer, wish.plate_clear, wish.by)
        self.plates.must_admit(self._fleet[printer.id])
        self._holds.hold(job)
        flow = self._flow(job, file, deliver_anyway=lacks(self._journal.jobs(), job))
        flow.begin()
        return flow.job

    def kept(self, job: Job) -> Deferred[Job]:
        """Fires with the job, as it is then, once it is on the disk: only then may anybody be promised it.

        Fails with ``StoreError`` if that cannot be; the job is given up then, unless its start is under way.
        """
        written = self._journal.write(self.get(job.id))
        return written.addCallbacks(lambda _: self.get(job.id), self._unkept, errbackArgs=(job,))

    def _unkept(self, failure: Failure, job: Job) -> Failure:
        flow = self._flows.get(job.printer)
        if flow is not None and flow.job.id == job.id and flow.job.state not in MOVING:
            flow.cancel()
        return failure

    # -- the queue -------------------------------------------------------------------------------------------

    def queue(self, mainboard_id: str) -> list[Job]:
        """What waits for a printer, in order; for the empty id, what waits for any."""
        return self._line.of(mainboard_id)

    def asked_before(self, by: str, key: str | None, asked: str) -> Job | None:
        """The job that was made under this key; ``KeyReused`` if something else was ``asked`` then."""
        return repeated(self.all(), by, key, asked)

    def enqueue(self, mainboard_id: str, file: StoredFile, wish: Wish) -> Deferred[Job]:
        """Let a file wait for a printer (the empty id: any that it suits); fires when that is safe.

        Fails with ``NotNow``, ``FileMissing`` or ``Unrecorded``.
        """
        return Deferred.fromCoroutine(self._enqueue(mainboard_id, file, wish))

    async def _enqueue(self, mainboard_id: str, file: StoredFile, wish: Wish) -> Job:
        if mainboard_id:
            must_be_v1(self._fleet[mainboard_id])
        must_be_writable(self._journal)
        if not mainboard_id:
            await self._fitting.learn(file.md5)
        job = job_of(wish, mainboard_id, file, self._wall())
        job = replace(job, queued=True, position=self._line.end())
        self._holds.hold(job)
        self._line.enter(job)
        try:
            await self._journal.write(job)
        except StoreError as error:
            if job.id in self._line:
                self._forget(self._line.leave(job.id), "It could not be noted on the disk.")
            raise Unrecorded(f"The job could not be noted on the disk: {error}", "Free some space.") from error
        self._line.look()
        return self.get(job.id)

    def start(self, job_id: str, plate_clear: bool | None, by: str, word: str | None = None) -> Deferred[Job]:
        """A person, ``by``, wants a waiting job started, now or in its turn; a start that was sent is not repeated.

        Fires with the job when the wish is on the disk, and fails, the wish being taken back, if it cannot be. Raises
        ``NotNow``, ``PlateNotClear``, ``Unrecorded``, or ``KeyReused`` if another wish came under the key of ``word``.
        """
        job = self.get(job_id)
        if not said(job.start_word, word):
            self._ask(job, plate_clear, by, word)
        written = self._journal.write(self.get(job_id))
        return written.addCallbacks(lambda _: self.get(job_id), self._unasked, errbackArgs=(job,))

    def _ask(self, job: Job, plate_clear: bool | None, by: str, word: str | None) -> None:
        if job.state in ENDED:
            raise NotNow(f"The job is {job.state.value}.", "Print the file again.")
        must_be_writable(self._journal)
        if job.state not in MOVING:
            self.plates.heed(self._fleet.find(job.printer), plate_clear, by)
        if job.id in self._line:
            self._line.ask(job.id, word)
        elif (flow := self._flows.get(job.printer)) is not None:
            flow.job = replace(flow.job, start=True, start_word=word)

    def _unasked(self, failure: Failure, asked: Job) -> Failure:
        self._line.withdraw(asked)
        return failure

    def move(self, job_id: str, before: str | None) -> Deferred[Job]:
        """Put a waiting job before another one, or at the end of its queue; fires when that is on the disk."""
        self._line.move(self.get(job_id).id, before)
        self._line.look()
        return self._journal.write(self.get(job_id)).addCallback(lambda _: self.get(job_id))

    def remove(self, job_id: str) -> Deferred[Job]:
        """Take a job out of its queue, or end its delivery; fires when that is on the disk.

        Raises ``NotNow`` once its start was sent. Fails with ``StoreError`` if it cannot be written down now: the job
        is gone all the same, and written as soon as there is room.
        """
        job = self.get(job_id)
        if job.id in self._line:
            self._forget(self._line.leave(job_id), "Removed from the queue.")
        elif job.state in MOVING:
            raise NotNow("The job is being printed.", "Stop the printer by POST /v1/printers/<name>/stop.")
        elif job.state not in ENDED:
            self._flows[job.printer].cancel()
        return self.kept(self.get(job_id))

    def _forget(self, job: Job, message: str) -> None:
        gone = replace(job, state=JobState.STOPPED, reason="cancelled", message=message, ended=self._wall())
        noted(self._journal.write(gone), "A job")
        self._holds.release(gone)
        printer = self._fleet.find(job.printer)
        if printer is not None:
            if printer.job is not None and printer.job.id == job.id:
                self._fleet.assign(printer.id, gone)
            told = {"job": job.id, "file": job.file, "reason": gone.reason, "message": message}
            self._fleet.happened(printer.id, "job_removed", told)

    def _begin(self, job: Job, start: bool) -> None:
        """It is this job's turn."""
        if start:
            self._flow(job, None, deliver_anyway=False).begin_start()
        else:
            self._flow(job, self._store.get(job.md5), deliver_anyway=lacks(self._journal.jobs(), job)).begin()

    def pause(self, mainboard_id: str) -> Deferred[Response]:
        """Pause the print, whoever started it; fires with the printer's Ack."""
        return pause(self._fleet[mainboard_id], self._links)

    def resume(self, mainboard_id: str) -> Deferred[Response]:
        """Go on with a paused print: always by resume, never by a new start."""
        return resume(self._fleet[mainboard_id], self._links)

    def stop(self, mainboard_id: str) -> Deferred[Response] | None:
        """Stop the print, or end a delivery before its start (then nothing has to be sent: None)."""
        flow = self._flows.get(mainboard_id)
        if flow is not None and flow.job.state not in MOVING:
            flow.cancel()
            return None
        return stop(lambda: self._fleet[mainboard_id], self._links)

    def reconnect(self, mainboard_id: str) -> None:
        """Let go of the connection; the printer is invited again. ``NotNow`` while a file is on its way."""
        reconnect(self._fleet[mainboard_id], self._links, self.current(mainboard_id))

    # -- what printers say -----------------------------------------------------------------------------------

    def _changed(self, before: Printer | None, after: Printer) -> None:
        if before is None:
            self.plates.appeared(after)
            self.history.appeared(after)
        self._look(before, after)
        if after.status is not None and (before is None or before.status is not after.status):
            self.plates.look(self._fleet[after.id])
            self.history.look(self._fleet[after.id], self._adopt)

    def _adopt(self, printer: Printer) -> bool:
        """Whether a print that has begun at the printer itself is one that a job was waiting for."""
        assert printer.status is not None
        wire = printer.status.print.filename
        flow = self._flows.get(printer.id)
        if flow is not None and flow.job.wire_name == wire:
            flow.abandon()
            job = flow.job
        else:
            waiting = self._line.by_wire_name(printer.id, wire)
            if flow is not None or waiting is None:
                return False
            job = self._line.leave(waiting.id)
        _log.info("Job {job} was started at {printer} itself", job=job.id, printer=printer.slug)
        self._flow(job, None, deliver_anyway=False).resume(printer.generation)
        return True

    def _look(self, before: Printer | None, after: Printer) -> None:
        waiting = self._waiting.get(after.id)
        if waiting is not None and after.status is not None and after.reachability is not Reachability.OFFLINE:
            del self._waiting[after.id]
            flow = self._flow(waiting, None, deliver_anyway=False)
            flow.resume(after.generation)
            self._fleet.assign(after.id, waiting)
            _log.info("Job {job} is recognised again on {printer}", job=waiting.id, printer=after.slug)
            flow.status(after.status)
            return
        flow_now = self._flows.get(after.id)
        if flow_now is None or after.status is None:
            return
        if before is None or before.status is not after.status:
            flow_now.status(after.status)

    def sweep(self) -> None:
        """Judge what does not move; to be called about once a second."""
        for flow in list(self._flows.values()):
            flow.time()
        self.history.sweep()
        self._line.look()
        self._fitting.keep({job.md5 for job in self._line.of("")})

    def _flow(self, job: Job, file: StoredFile | None, *, deliver_anyway: bool) -> Flow:
        flow = Flow(
            job,
            Path(file.path) if file is not None else None,
            fleet=self._fleet,
            links=self._links,
            offers=self._offers,
            journal=self._journal,
            plates=self.plates,
            history=self.history,
            clock=self._clock,
            wall=self._wall,
            ended=self._ended,
            deliver_anyway=deliver_anyway,
        )
        self._flows[job.printer] = flow
        return flow

    def _ended(self, flow: Flow) -> None:
        if self._flows.get(flow.job.printer) is flow:
            del self._flows[flow.job.printer]
        if flow.job.state in ENDED:
            self._holds.release(flow.job)
        else:
            self._line.enter(flow.job)

    def stop_all(self) -> None:
        """Let go of every job without a verdict: the daemon stops, and the journal keeps them."""
        self._unsubscribe()
        for flow in self._flows.values():
            flow.abandon()
        self._flows.clear()
