"""One job's way through one printer: deliver, start, watch to the end.

One decision: a start is a single-use intent. It is journalled before it is sent, sent once, and whatever happens
to the connection afterwards, only the printer's own status decides what became of it (reference sdcp.md
2.9). A delivery may be repeated, because fetching a file starts nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from sdcpd.codec.sdcp import Command
from sdcpd.codec.status import Generation, Outcome, Phase, Status, TransferInfo, TransferState, outcome_of
from sdcpd.errors import (
    CommandInFlight,
    CommandRefused,
    CommandTimeout,
    LinkLost,
    NotNow,
    PrinterError,
    PrinterOffline,
    StoreError,
)
from sdcpd.fleet import Fleet
from sdcpd.history import History
from sdcpd.links import Links
from sdcpd.logs import logger
from sdcpd.offers import Offer, Offers
from sdcpd.plates import Plates, Writer, noted
from sdcpd.progress import ENDED, MOVING, Job, JobState, Print, Transfer, Verdict
from sdcpd.records import Plate, PlateState
from sdcpd.wishes import EVENTS, FILE_LACKING

__all__ = ["Flow"]

RETRIES = (5.0, 15.0, 60.0)
"""Seconds before each repetition of a failed delivery."""

LINK_WAIT = 60.0
"""Seconds that a job waits for a lost connection before it fails: a start that is older is nobody's wish any more."""

_log = logger("sdcpd.flow")


class Flow:
    """Carries one job; fed with the printer's statuses and with the time by ``Jobs``."""

    def __init__(
        self,
        job: Job,
        path: Path | None,
        *,
        fleet: Fleet,
        links: Links,
        offers: Offers,
        journal: Writer,
        plates: Plates,
        history: History,
        clock: IReactorTime,
        wall: Callable[[], float],
        ended: Callable[[Flow], None],
        deliver_anyway: bool,
    ) -> None:
        self.job = job
        """The job as it stands now."""
        self._path = path
        self._fleet = fleet
        self._links = links
        self._offers = offers
        self._journal = journal
        self._plates = plates
        self._history = history
        self._clock = clock
        self._wall = wall
        self._ended = ended
        self._deliver_anyway = deliver_anyway
        self._offer: Offer | None = None
        self._transfer: Transfer | None = None
        self._print: Print | None = None
        self._verdict: Deferred[Verdict] | None = None
        self._acknowledged = False
        self._fed = clock.seconds()
        self._going: Deferred[None] | None = None

    # -- beginnings ------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Deliver the file unless the printer has it, then start the print."""
        self._run(self._go())

    def begin_start(self) -> None:
        """Start the print of a file that was delivered in its turn."""
        self._run(self._start())

    def _run(self, steps: Coroutine[Deferred[Any], Any, None]) -> None:
        self._going = Deferred.fromCoroutine(steps)
        self._going.addErrback(self._broke)

    def resume(self, generation: Generation) -> None:
        """Watch a print that was started before the daemon was restarted, or at the printer itself."""
        status, now = self._fleet[self.job.printer].status, self._clock.seconds()
        running = self.job.state is not JobState.STARTING
        if not running and status is not None and outcome_of(status, generation) is not Outcome.NONE:
            running = self._plates.has_run(self.job, status.print)  # it began and ended while we were away
        self._print = Print(self.job.wire_name, generation, None, now, running=running)
        if self.job.state not in MOVING:
            self._move(JobState.PRINTING)

    def abandon(self) -> None:
        """Let go without a verdict: the daemon stops, the journal keeps the job as it is."""
        self._ended = lambda _: None
        going, self._going = self._going, None
        if going is not None:
            going.cancel()

    def cancel(self) -> None:
        """End a job whose start was not sent; the printer's download is broken off."""
        going, self._going = self._going, None
        if self._offer is not None:
            self._offers.revoke(self._offer)
        self._move(JobState.STOPPED, "cancelled", "Cancelled before the print was started.")
        if going is not None:
            going.cancel()

    def _broke(self, failure: Failure) -> None:
        if self._going is None or self.job.state in ENDED:
            return  # abandoned or cancelled
        if failure.check(PrinterError) is None:
            _log.failure("The flow of job {job} failed", failure, job=self.job.id)
        message = getattr(failure.value, "message", "The daemon failed; its log says why.")
        self._move(JobState.FAILED, getattr(failure.value, "code", "internal"), message)

    async def _go(self) -> None:
        if self._deliver_anyway or not self._has_file():
            await self._deliver()
        elif self.job.queued:
            self._move(JobState.DELIVERED)
        if self.job.queued and self.job.state is JobState.DELIVERED:
            self._ended(self)  # it waits in the queue for its start
        elif self.job.state not in ENDED and not self.job.queued:
            await self._start()

    async def _connected(self) -> None:
        """Wait a while for a connection that was lost on the way: nothing has been sent yet, so nothing is lost."""
        deadline = self._clock.seconds() + LINK_WAIT
        wanted = frozenset({self.job.printer})
        while self.job.printer not in self._links:
            left = deadline - self._clock.seconds()
            try:
                await self._fleet.changed(self._fleet.version, wanted).addTimeout(max(0.0, left), self._clock)
            except DeferredTimeout:
                return  # whoever needs the connection says that there is none

    # -- delivery --------------------------------------------------------------------------------------------

    def _has_file(self) -> bool:
        """Whether the printer's last transfer was exactly this file: its own word, so it survives our restarts."""
        status = self._fleet[self.job.printer].status
        told = status.transfer if status is not None else TransferInfo()
        return (told.status, told.filename, told.total_size) == (
            TransferState.DONE,
            self.job.wire_name,
            self.job.size,
        )

    async def _deliver(self) -> None:
        for pause in (*RETRIES, None):
            self.job = replace(self.job, attempts=self.job.attempts + 1)
            self._move(JobState.DELIVERING)
            verdict = await self._deliver_once()
            if verdict.state is JobState.DELIVERED:
                self._move(JobState.DELIVERED)
                return
            if verdict.state is JobState.UNVERIFIED or pause is None:
                break
            _log.warn("Delivery to {printer}: {why}", printer=self.job.printer, why=verdict.message)
            self._note(f"{verdict.message} It is tried again in {pause:.0f} s.", verdict.reason)
            await deferLater(self._clock, pause)
        self._move(verdict.state, verdict.reason, verdict.message)

    async def _deliver_once(self) -> Verdict:
        assert self._path is not None
        await self._connected()
        printer = self._fleet[self.job.printer]
        self._fed = self._clock.seconds()
        self._transfer = Transfer(self.job.wire_name, self.job.size, printer.status, self._fed)
        self._verdict = Deferred()
        verdict = self._verdict
        self._offer = offer = self._offers.make(self._path, printer.address, self)
        try:
            await self._fetch(offer)
            return await verdict
        finally:
            self._offers.withdraw(offer)
            self._offer = self._transfer = self._verdict = None

    async def _fetch(self, offer: Offer) -> None:
        try:
            session = self._links.session(self.job.printer)
            await session.request(
                Command.FETCH,
                {
                    "Check": 0,
                    "CleanCache": 1,
                    "Compress": 0,
                    "FileSize": self.job.size,
                    "Filename": self.job.wire_name,
                    "MD5": self.job.md5,
                    "URL": self._offers.url(offer),
                },
            )
        except (CommandTimeout, LinkLost) as error:
            # The printer may have heard it all the same: the judge waits for what it does.
            _log.warn("{printer}: {error}", printer=self.job.printer, error=error)
        except PrinterError as error:
            self._settle(Verdict(JobState.FAILED, error.code, error.message))

    def requested(self) -> None:
        """The printer asked for the file."""
        if self._transfer is not None:
            self._transfer.requested(self._clock.seconds())

    def served(self, offset: int) -> None:
        """The bytes up to ``offset`` were handed to the network."""
        if self._transfer is not None:
            self._transfer.served(offset, self._clock.seconds())

    def _settle(self, verdict: Verdict | None) -> None:
        if verdict is not None and self._verdict is not None and not self._verdict.called:
            self._verdict.callback(verdict)

    # -- start -----------------------------------------------------------------------------------------------

    async def _start(self) -> None:
        await self._connected()
        job = self.job
        self._must_start()
        starting = replace(job, state=JobState.STARTING, reason=None, message=None)
        used = self._plates.use(job)
        try:
            await self._journal.write(starting, used)
            self._must_start(admitted=True)
        except CancelledError:
            noted(self._journal.write(self.job, self._plates.give_back(job)), "A cancelled start")
            raise
        except (StoreError, PrinterError) as error:
            self._take_back(error)
            return
        self._publish(starting)
        await self._send_start()

    def _must_start(self, *, admitted: bool = False) -> None:
        """Raise what stands against the start just now; ``admitted`` says that the gate was asked."""
        printer = self._fleet[self.job.printer]
        self._links.session(printer.id)
        if printer.phase is not Phase.IDLE:
            raise NotNow(
                f"The file is on the printer, but it is {printer.phase.value.lower()} now; nothing was started."
            )
        if not admitted:
            self._plates.must_admit(printer)

    def _take_back(self, error: StoreError | PrinterError) -> None:
        """The start was noted or was about to be, and will not be sent."""
        plate = self._plates.give_back(self.job)
        if isinstance(error, StoreError):
            message = f"The start was not sent, because it could not be noted on the disk: {error}. Free some space."
            self._move(JobState.FAILED, "journal_unwritable", message, plate)
            return
        self._move(JobState.FAILED, error.code, error.message, plate)

    async def _send_start(self) -> None:
        printer = self._fleet[self.job.printer]
        self._fed = self._clock.seconds()
        self._print = Print(self.job.wire_name, printer.generation, printer.status, self._fed)
        session = self._links.session(self.job.printer)
        try:
            await session.request(Command.START, {"Filename": self.job.wire_name, "StartLayer": 0})
            self._acknowledged = True
        except (CommandTimeout, LinkLost) as error:
            self._unacknowledged(error)
        except CommandRefused as error:
            if error.ack < 0:
                self._unacknowledged(error)
            elif self.job.state is JobState.STARTING:
                reason = f"start_refused_{error.ack}"
                again = " Printing it again sends the file anew." if reason in FILE_LACKING else ""
                self._move(JobState.FAILED, reason, error.message + again, self._plates.give_back(self.job))
        except (CommandInFlight, PrinterOffline) as error:  # nothing has left
            self._take_back(error)

    def _unacknowledged(self, error: PrinterError) -> None:
        _log.warn("{printer}: {error}", printer=self.job.printer, error=error)
        if self.job.state is JobState.STARTING:
            self._note(f"{error.message} The printer's status will tell.", "start_unacknowledged")

    # -- what the printer says -------------------------------------------------------------------------------

    def status(self, status: Status) -> None:
        """A status of the printer."""
        self._fed = self._clock.seconds()
        judge = self._print  # a print that this very status lets begin must not be judged by it
        if self._transfer is not None:
            self._settle(self._transfer.status(status, self._clock.seconds()))
            if self._transfer is not None:
                self._progress(self._transfer.sent)
        if judge is not None and self.job.state in MOVING:
            self._judged(judge.status(status))

    def time(self) -> None:
        """About a second has passed."""
        now = self._clock.seconds()
        if self._links.reported(self.job.printer) > self._fed:
            # The printer said the same again: for the fleet that is no change, for a judge it is a word.
            status = self._fleet[self.job.printer].status
            assert status is not None
            self.status(status)
        if self._transfer is not None:
            self._settle(self._transfer.time(now))
        if self._print is not None and self.job.state in MOVING:
            self._judged(self._print.time(now))

    def _judged(self, verdict: Verdict | None) -> None:
        if verdict is None or verdict.state is self.job.state:
            return
        if verdict.reason == "start_unconfirmed" and not self._acknowledged:
            verdict = replace(verdict, state=JobState.UNVERIFIED)
        self._move(verdict.state, verdict.reason, verdict.message)

    # -- the job's own record --------------------------------------------------------------------------------

    def _progress(self, sent: int) -> None:
        if sent != self.job.sent:
            self.job = replace(self.job, sent=sent)
            self._fleet.assign(self.job.printer, self.job)

    def _note(self, message: str, reason: str | None) -> None:
        self.job = replace(self.job, message=message, reason=reason)
        self._fleet.assign(self.job.printer, self.job)

    def _move(
        self, state: JobState, reason: str | None = None, message: str | None = None, plate: Plate | None = None
    ) -> None:
        """Go on to a state; ``plate`` is what that means for the plate, if that is known."""
        before = self.job
        waits = before.queued and before.state not in MOVING and state in (JobState.FAILED, JobState.UNVERIFIED)
        if waits:  # a job of a queue does not end before its start was sent
            state = JobState.DELIVERED if before.state is JobState.DELIVERED else JobState.HELD
        started = before.started
        if state is JobState.PRINTING and started is None:
            started = self._wall()
        job = replace(
            before,
            state=state,
            reason=reason,
            message=message,
            sent=before.size if state is JobState.DELIVERED else before.sent,
            started=started,
            ended=self._wall() if state in ENDED else None,
        )
        if plate is None and state in ENDED and before.state in MOVING:
            plate = self._plates.ended(job.printer, job.id, state, reason)
        more = self._history.moved(before, job)
        noted(self._journal.write(job, *([plate] if plate is not None else []), *more), "A job")
        self._publish(job)
        if state in ENDED or waits:
            self._ended(self)
            if plate is not None and plate.state is not PlateState.CLEAR and before.state in MOVING:
                self._plates.tell(job.printer)

    def _publish(self, job: Job) -> None:
        before, self.job = self.job, job
        _log.info("Job {job} of {file}: {state}", job=job.id, file=job.file, state=job.state.value)
        self._fleet.assign(job.printer, job)
        event = EVENTS.get(job.state)
        if (before.state, job.state) == (JobState.PAUSED, JobState.PRINTING):
            event = "print_resumed"
        if event is not None and job.state is not before.state:
            self._fleet.happened(
                job.printer, event, {"job": job.id, "file": job.file, "reason": job.reason, "message": job.message}
            )
