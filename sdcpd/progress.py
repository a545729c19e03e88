"""Judges: has this transfer or this print begun, ended, failed, gone stale?

One decision: a verdict comes from the printer's own words, held against what it said *before* the command
(reference sdcp.md 3.4, 4.1, 4.6), because a board keeps the last job's numbers until the next one overwrites
them. A judge is fed status values and the time; it has no clock, sends nothing and knows no connection.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from sdcpd.codec.status import (
    RUNNING,
    Generation,
    Outcome,
    Phase,
    PrintInfo,
    Status,
    TransferState,
    outcome_of,
    phase_of,
)

__all__ = ["AT_WORK", "ENDED", "MOVING", "Job", "JobState", "Print", "Transfer", "Verdict"]

REQUEST_WAIT = 15.0
"""Seconds until the printer must have asked for the file (sdcp.md appendix C)."""
STALL = 30.0
"""Seconds without one new byte after which a transfer counts as stalled."""
VERIFY_WAIT = 60.0
"""Seconds the printer may take for its verdict after the last byte was sent."""
START_WAIT = 30.0
"""Seconds within which a started print must show itself."""
GIVE_UP = 600.0
"""Seconds after which a start that nothing was heard of is left to a person."""
LIVE = 20.0
"""Seconds of silence up to which a printer's last word still holds; after 15 it is asked."""
IDLE_WAIT = 30.0
"""Seconds that a printer may be idle without saying how its print ended."""

AT_WORK = frozenset({1, 2, 3, 4})
"""Print numbers that only a print at work shows, in both generations; no ended print leaves them behind."""


class JobState(Enum):
    """Where a job stands. Only the last five are ends."""

    QUEUED = "queued"
    """It waits and goes on by itself as soon as it can; ``reason`` says for what."""
    HELD = "held"
    """It waits for a person; ``reason`` says why."""
    DELIVERING = "delivering"
    DELIVERED = "delivered"
    """The printer has the file; ``reason`` says why it is not started."""
    STARTING = "starting"
    PRINTING = "printing"
    PAUSED = "paused"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"
    LOST = "lost"
    """It was printing; then the printer rebooted or another print took its place."""
    UNVERIFIED = "unverified"
    """It may or may not have happened: a person has to look. Nothing is repeated by itself."""


ENDED = frozenset(
    {
        JobState.FINISHED,
        JobState.STOPPED,
        JobState.FAILED,
        JobState.LOST,
        JobState.UNVERIFIED,
    }
)
"""States that a job never leaves."""
MOVING = frozenset({JobState.STARTING, JobState.PRINTING, JobState.PAUSED})
"""States in which the start was sent, so that a print may be on the machine."""


class Job(Struct, frozen=True, omit_defaults=False):
    """One file on its way through one printer. Times are seconds since the epoch."""

    id: str
    printer: str
    """The MainboardID; empty until a printer is found for a job that any may take."""
    file: str
    """The display name under which a person uploaded it."""
    md5: str
    size: int
    wire_name: str
    """The name under which the printer knows it."""
    state: JobState
    created: float
    reason: str | None = None
    """A stable word for why it does not go on, for programs."""
    message: str | None = None
    """The same in a sentence, for people, with what to do."""
    sent: int = 0
    """Bytes that the printer has taken so far."""
    started: float | None = None
    ended: float | None = None
    queued: bool = False
    """Whether it waits for its turn; a print that is wanted now fails where this one waits."""
    start: bool = True
    """Whether a person wants it started."""
    position: float = 0.0
    """Its place in the queue; smaller is earlier."""
    by: str = ""
    """Who asked for it."""
    idempotency_key: str | None = None
    """Whoever asks under the same key again gets this job."""
    asked: str = ""
    """What was asked under that key."""
    start_word: str | None = None
    """The last wish to start it that came with an Idempotency-Key, as ``wishes.word`` writes it."""
    attempts: int = 0
    """Deliveries that were begun."""
    plate_clear: bool | None = None
    """What the request said of the plate."""
    warnings: tuple[str, ...] = ()
    """What does not quite fit between the file and the printer, in sentences."""


class Verdict(Struct, frozen=True):
    """A judge's word: the state that follows, and why."""

    state: JobState
    reason: str | None = None
    message: str | None = None


class Transfer:
    """Judges one V1 download, from Cmd 256 to the printer's own verdict (sdcp.md 3.4).

    ``baseline`` is the last status before the command; ``now`` is any monotonic time in seconds.
    """

    def __init__(self, wire_name: str, size: int, baseline: Status | None, now: float) -> None:
        self._name = wire_name
        self._size = size
        self._stale = baseline.transfer if baseline is not None else None
        self._since = now
        self._requested = False
        self._running = False
        self._whole = False
        self._taken = (0, 0)
        self._offset = 0
        self.sent = 0
        """Bytes the printer has taken: by its own count as soon as it tells one, by ours before."""

    def requested(self, now: float) -> None:
        """The printer asked our HTTP server for the file; only bytes count after the first time."""
        if not self._requested:
            self._since = now
        self._requested = True

    def served(self, offset: int, now: float) -> None:
        """Our HTTP server has handed out the bytes up to ``offset``."""
        if offset != self._offset:
            self._since = now
        self._offset = offset
        if not self._running:
            self.sent = offset
        if offset >= self._size:
            self._whole = True

    def status(self, status: Status, now: float) -> Verdict | None:
        """Judge by a new status; None means that it goes on."""
        told = status.transfer
        if 2 not in status.current and self._stale is None and not self._requested:
            self._stale = told  # nothing was known before the command: then this is what was there
        if told.filename != self._name:
            return None
        if 2 in status.current:
            taken = (told.download_offset, told.check_offset)
            if not self._running or taken != self._taken:
                self._since = now
            self._running = True
            self._taken = taken
            self.sent = max(0, min(told.download_offset, self._size))
            return None
        fresh = self._running or self._stale not in (None, told)
        if told.status == TransferState.DONE:
            return self._done(told.total_size, fresh)
        if told.status == TransferState.ERROR and fresh:
            return Verdict(
                JobState.FAILED,
                "printer_rejected_file",
                f"The printer gave up at byte {told.download_offset} of {self._size}; "
                "its storage may be full or the network broken.",
            )
        return None

    def _done(self, total: int, fresh: bool) -> Verdict | None:
        if total == self._size and (self._running or self._whole):
            self.sent = self._size
            return Verdict(JobState.DELIVERED)
        if total != self._size and fresh:
            return Verdict(
                JobState.FAILED,
                "size_mismatch",
                f"The printer stored {total} bytes instead of {self._size}; send it again.",
            )
        return None

    def time(self, now: float) -> Verdict | None:
        """Judge by the time that passed without news."""
        waited = now - self._since
        if self._whole:
            if waited > VERIFY_WAIT:
                return Verdict(
                    JobState.UNVERIFIED,
                    "delivery_unverified",
                    "All bytes were sent, but the printer never confirmed the file; look at its screen.",
                )
        elif not self._requested:
            if waited > REQUEST_WAIT:
                return Verdict(
                    JobState.FAILED,
                    "file_never_requested",
                    f"The printer did not ask for the file within {REQUEST_WAIT:.0f} s; "
                    "check that a firewall lets it reach the downloads port.",
                )
        elif waited > STALL:
            return Verdict(
                JobState.FAILED,
                "transfer_stalled",
                f"No byte moved for {STALL:.0f} s at {self.sent} of {self._size}; check the printer's network.",
            )
        return None


class Print:
    """Judges one print, from the start command to its end (sdcp.md 4.1, 4.6).

    ``running`` says that this print was already seen on the machine (a daemon that was restarted); otherwise
    ``baseline`` is the last status before the start.
    """

    def __init__(
        self,
        wire_name: str,
        generation: Generation,
        baseline: Status | None,
        now: float,
        *,
        running: bool = False,
    ) -> None:
        self._name = wire_name
        self._generation = generation
        self._before = baseline.print if baseline is not None else None
        self._since = now
        self._last: Phase | None = None
        self._news = False
        self._heard: float | None = None
        self._traces = False
        self._idle_since: float | None = None
        self.running = running
        """Whether a running number was seen for this print: only then its end can be believed."""

    def status(self, status: Status) -> Verdict | None:
        """Judge by a new status; None means nothing new."""
        phase = phase_of(status, self._generation, starting=not self.running)
        self._last = phase
        self._news = True
        told = status.print
        if not self.running:
            return self._starting(told, phase)
        if told.filename not in ("", self._name):
            return Verdict(JobState.LOST, "replaced", f"The printer now shows another file: {told.filename}")
        outcome = outcome_of(status, self._generation)
        if outcome is Outcome.COMPLETE:
            return Verdict(JobState.FINISHED)
        if outcome is Outcome.STOPPED:
            return Verdict(JobState.STOPPED, "stopped", "The print was stopped before its end.")
        if phase is Phase.IDLE and told.status == 0:
            return Verdict(
                JobState.LOST,
                "printer_restarted",
                "The printer no longer knows of the print: it was probably switched off or rebooted.",
            )
        if phase is Phase.PAUSED:
            return Verdict(JobState.PAUSED)
        # Only what a print at work shows ends a pause: neither a number nobody knows, nor pausing, nor stopping.
        return Verdict(JobState.PRINTING) if phase in RUNNING and told.status in AT_WORK else None

    def _starting(self, told: PrintInfo, phase: Phase) -> Verdict | None:
        before = self._before
        differs = told != before
        ours = told.filename in ("", self._name)
        self._traces = differs and ours
        if phase in (Phase.PREPARING, Phase.PRINTING, Phase.PAUSING, Phase.PAUSED) and differs:
            if not ours:
                if before is not None and told.filename == before.filename:
                    return None  # the last job's name still stands; if it is printed again, the time tells
                return Verdict(
                    JobState.FAILED, "another_print", f"The printer is printing another file: {told.filename}"
                )
            if told.status in AT_WORK or self._new(told):
                self.running = True
                return Verdict(JobState.PAUSED if phase is Phase.PAUSED else JobState.PRINTING)
        known_errors = (0, before.error_number if before is not None else told.error_number)
        if phase is Phase.IDLE and ours and told.error_number not in known_errors:
            return Verdict(
                JobState.FAILED,
                "printer_error",
                f"The printer reports error {told.error_number}; look at its screen.",
            )
        return None

    def _new(self, told: PrintInfo) -> bool:
        """Whether a number that an ended print may leave behind belongs to this one all the same."""
        before = self._before
        if told.filename != self._name:
            return False
        return before is None or before.filename != self._name or told.current_ticks < before.current_ticks

    def time(self, now: float) -> Verdict | None:
        """Judge by the time: a start whose print does not show itself, a print whose end nobody told."""
        if self._news:
            self._news, self._heard = False, now
        if self.running:
            return self._idle(now)
        waited = now - self._since
        lately = self._heard is not None and now - self._heard < LIVE
        if waited > START_WAIT and lately and not self._traces:
            return Verdict(
                JobState.FAILED,
                "start_unconfirmed",
                f"The start was sent, but no print showed itself within {START_WAIT:.0f} s; "
                "look at the printer's screen before you start again.",
            )
        # With our file on its screen, a printer that is neither idle nor done may be about to begin.
        done = lately and self._last in (Phase.IDLE, Phase.ATTENTION)
        over = done if self._traces else self._heard is not None
        if waited > (START_WAIT if over else GIVE_UP):
            return Verdict(
                JobState.UNVERIFIED,
                "start_unconfirmed",
                "The start was sent, and the print was never seen at work; look whether it prints or has printed.",
            )
        return None

    def _idle(self, now: float) -> Verdict | None:
        if self._last is not Phase.IDLE:
            self._idle_since = None
            return None
        if self._idle_since is None:
            self._idle_since = now
        if now - self._idle_since <= IDLE_WAIT:
            return None
        return Verdict(
            JobState.LOST, "end_unknown", "The printer is idle and never said how the print ended; look at the plate."
        )
