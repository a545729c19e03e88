"""Wishes: print this, pause, resume, stop. Every way in, from whichever dialect, ends here.

One decision: a wish is judged against the printer's present phase before anything is sent, and refused with the
reason and what to do; nothing is started that a person did not ask for, and one printer has one job at a time.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from sdcpd.codec.sdcp import Command, Response
from sdcpd.codec.sliced import SlicedFile
from sdcpd.codec.status import Generation, Phase
from sdcpd.errors import NotNow, StoreError, Unrecorded
from sdcpd.files import FileStore, StoredFile, wire_name
from sdcpd.fleet import Fleet, Printer, Reachability
from sdcpd.flow import FILE_LACKING, Flow
from sdcpd.history import History, PrintRecords
from sdcpd.links import Links
from sdcpd.logs import logger
from sdcpd.offers import Offers
from sdcpd.plate import Gate
from sdcpd.plates import Plates, noted
from sdcpd.progress import ENDED, MOVING, Job, JobState

__all__ = ["JobRecords", "Jobs"]

_log = logger("sdcpd.jobs")

_REFUSALS = {
    Phase.OFFLINE: ("is offline", "Switch it on and wait until it is shown as online."),
    Phase.TRANSFER: ("is receiving a file", "Wait until the transfer has ended."),
    Phase.ATTENTION: ("waits for somebody to confirm its last print", "Confirm on the printer's screen."),
    Phase.BUSY: ("is busy with something else", "Look at the printer's screen."),
}
_PAUSABLE = frozenset({Phase.PREPARING, Phase.PRINTING})
_STOPPABLE = frozenset({Phase.CHECKING, Phase.PREPARING, Phase.PRINTING, Phase.PAUSING, Phase.PAUSED})


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
        metadata: Callable[[str], Deferred[SlicedFile | None]],
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
        self._held: set[str] = set()
        self.plates = Plates(fleet, journal, wall, gate)
        """What is known of the printers' plates."""
        self._history = History(
            fleet=fleet,
            plates=self.plates,
            journal=journal,
            clock=clock,
            wall=wall,
            by_wire_name=store.by_wire_name,
            metadata=metadata,
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
                    self._hold(job)
                except StoreError as error:
                    _log.warn("The file of job {job} is gone: {error}", job=job.id, error=error)
            else:
                message = "The daemon was restarted before the print was started; nothing was started. Send it again."
                interrupted = replace(
                    job, state=JobState.INTERRUPTED, reason="restarted", message=message, ended=self._wall()
                )
                noted(self._journal.write(interrupted), "A job")

    def all(self) -> list[Job]:
        """Every remembered job as it is now, oldest first."""
        now = {flow.job.id: flow.job for flow in self._flows.values()}
        return [now.get(job.id, job) for job in self._journal.jobs()]

    def current(self, mainboard_id: str) -> Job | None:
        """The job under way on a printer."""
        flow = self._flows.get(mainboard_id)
        return flow.job if flow is not None else None

    # -- wishes ----------------------------------------------------------------------------------------------

    def print(
        self,
        mainboard_id: str,
        file: StoredFile,
        plate_clear: bool | None,
        by: str,
        warnings: tuple[str, ...] = (),
    ) -> Job:
        """Deliver ``file`` to the printer if it does not have it, and start it.

        ``plate_clear`` is what the one who asks, ``by``, says of the plate: True confirms it, False is an objection.
        Returns the job at once; its state tells the rest. Raises ``NotNow``, ``PlateNotClear``, ``PrinterOffline``,
        ``Unrecorded`` or ``FileMissing`` before anything is sent.
        """
        printer = self._fleet.get(mainboard_id)
        self._must_be_v1(printer)
        self._links.session(printer.id)
        self._must_be_free(printer)
        self._must_be_writable()
        if plate_clear:
            self.plates.confirm(printer, None, by)
        elif plate_clear is False:
            self.plates.occupy(printer, by)
        self.plates.must_admit(self._fleet.get(printer.id))
        job = Job(
            id=secrets.token_hex(6),
            printer=printer.id,
            file=file.name,
            md5=file.md5,
            size=file.size,
            wire_name=wire_name(file),
            state=JobState.QUEUED,
            created=self._wall(),
            plate_clear=plate_clear,
            warnings=warnings,
        )
        self._hold(job)
        flow = self._flow(job, file, deliver_anyway=self._lacks(job))
        flow.begin()
        return flow.job

    def kept(self, job: Job) -> Deferred[Job]:
        """Fires with the job, as it is then, once it is on the disk: only then may anybody be promised it.

        Fails with ``StoreError`` if that cannot be; the job is given up then, unless its start is under way.
        """
        return self._journal.write(self._now(job)).addCallbacks(
            lambda _: self._now(job), self._unkept, errbackArgs=(job,)
        )

    def _now(self, job: Job) -> Job:
        return next((now for now in self.all() if now.id == job.id), job)

    def _unkept(self, failure: Failure, job: Job) -> Failure:
        flow = self._flows.get(job.printer)
        if flow is not None and flow.job.id == job.id and flow.job.state not in MOVING:
            flow.cancel()
        return failure

    def _lacks(self, job: Job) -> bool:
        """Whether the printer, when it was last told to start this very file, said that it does not have it."""
        for old in reversed(self._journal.jobs()):
            if (old.printer, old.wire_name) == (job.printer, job.wire_name):
                if (old.reason or "").startswith("start_"):
                    return old.reason in FILE_LACKING
                if old.started is not None:
                    return False
        return False

    def pause(self, mainboard_id: str) -> Deferred[Response]:
        """Pause the print, whoever started it; fires with the printer's Ack."""
        printer = self._fleet.get(mainboard_id)
        return self._command(printer, Command.PAUSE, _PAUSABLE, "is not printing")

    def resume(self, mainboard_id: str) -> Deferred[Response]:
        """Go on with a paused print: always by resume, never by a new start."""
        printer = self._fleet.get(mainboard_id)
        return self._command(printer, Command.RESUME, frozenset({Phase.PAUSED}), "is not paused")

    def stop(self, mainboard_id: str) -> Deferred[Response] | None:
        """Stop the print, or end a delivery before its start (then nothing has to be sent: None)."""
        printer = self._fleet.get(mainboard_id)
        flow = self._flows.get(printer.id)
        if flow is not None and flow.job.state not in MOVING:
            flow.cancel()
            return None
        return self._command(printer, Command.STOP, _STOPPABLE, "has no print to stop")

    def _command(
        self, printer: Printer, command: Command, phases: frozenset[Phase], otherwise: str
    ) -> Deferred[Response]:
        self._must_be_v1(printer)
        session = self._links.session(printer.id)
        if printer.phase not in phases:
            raise NotNow(
                f"{printer.name} {otherwise}: it is {printer.phase.value.lower()}.",
                f"GET /v1/printers/{printer.slug} shows what it is doing.",
            )
        return session.request(command)

    def _must_be_writable(self) -> None:
        if self._journal.failing is not None:
            raise Unrecorded(
                f"Nothing new can be begun, because it could not be noted on the disk: {self._journal.failing}",
                "Free some space on the daemon's disk; what runs goes on, and pause and stop work.",
            )

    def _must_be_v1(self, printer: Printer) -> None:
        if printer.generation is Generation.V3:
            raise NotNow(
                f"{printer.name} speaks SDCP V3, which this version lists but cannot work with yet.",
                "Use the printer's own program until a later version of sdcpd.",
            )

    def _must_be_free(self, printer: Printer) -> None:
        job = self.current(printer.id)
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

    # -- what printers say -----------------------------------------------------------------------------------

    def _changed(self, before: Printer | None, after: Printer) -> None:
        if before is None:
            self.plates.appeared(after)
            self._history.appeared(after)
        self._look(before, after)
        if after.status is not None and (before is None or before.status is not after.status):
            self.plates.look(self._fleet.get(after.id))
            self._history.look(self._fleet.get(after.id), self._adopt)

    def _adopt(self, printer: Printer) -> bool:
        """A print has begun that no job was waiting for."""
        return False

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
        self._history.sweep()

    def _flow(self, job: Job, file: StoredFile | None, *, deliver_anyway: bool) -> Flow:
        flow = Flow(
            job,
            Path(file.path) if file is not None else None,
            fleet=self._fleet,
            links=self._links,
            offers=self._offers,
            journal=self._journal,
            plates=self.plates,
            history=self._history,
            clock=self._clock,
            wall=self._wall,
            ended=self._ended,
            deliver_anyway=deliver_anyway,
        )
        self._flows[job.printer] = flow
        return flow

    def _hold(self, job: Job) -> None:
        self._store.hold(job.md5)
        self._held.add(job.id)

    def _ended(self, flow: Flow) -> None:
        if self._flows.get(flow.job.printer) is flow:
            del self._flows[flow.job.printer]
        if flow.job.id in self._held:
            self._held.remove(flow.job.id)
            self._store.release(flow.job.md5)

    def stop_all(self) -> None:
        """Let go of every job without a verdict: the daemon stops, and the journal keeps them."""
        self._unsubscribe()
        for flow in self._flows.values():
            flow.abandon()
        self._flows.clear()
