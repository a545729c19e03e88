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
    Status,
    TransferState,
    outcome_of,
    phase_of,
)

__all__ = ["ENDED", "MOVING", "Job", "JobState", "Print", "Transfer", "Verdict"]

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


class JobState(Enum):
    """Where a job stands. Only the last six are ends."""

    QUEUED = "queued"
    DELIVERING = "delivering"
    DELIVERED = "delivered"
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
    INTERRUPTED = "interrupted"
    """The daemon ended before anything was started; nothing happened at the printer."""


ENDED = frozenset(
    {
        JobState.FINISHED,
        JobState.STOPPED,
        JobState.FAILED,
        JobState.LOST,
        JobState.UNVERIFIED,
        JobState.INTERRUPTED,
    }
)
"""States that a job never leaves."""
MOVING = frozenset({JobState.STARTING, JobState.PRINTING, JobState.PAUSED})
"""States in which the start was sent, so that a print may be on the machine."""


class Job(Struct, frozen=True, omit_defaults=False):
    """One file on its way through one printer. Times are seconds since the epoch."""

    id: str
    printer: str
    """The MainboardID."""
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
    plate_clear: bool | None = None
    """What the request said of the plate."""


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
        self.sent = 0
        """Bytes the printer has taken, by its own count or ours, whichever is further."""

    def requested(self, now: float) -> None:
        """The printer asked our HTTP server for the file."""
        self._requested = True
        self._since = now

    def served(self, offset: int, now: float) -> None:
        """Our HTTP server has handed out the bytes up to ``offset``."""
        if offset != self.sent:
            self._since = now
        self.sent = offset
        if offset >= self._size:
            self._whole = True

    def status(self, status: Status, now: float) -> Verdict | None:
        """Judge by a new status; None means that it goes on."""
        told = status.transfer
        if told.filename != self._name:
            return None
        if 2 in status.current:
            taken = (told.download_offset, told.check_offset)
            if not self._running or taken != self._taken:
                self._since = now
            self._running = True
            self._taken = taken
            self.sent = max(self.sent, min(told.download_offset, self._size))
            return None
        fresh = self._running or (told != self._stale and self._requested) or self._whole
        if not fresh:
            return None
        if told.status == TransferState.DONE and (self._running or self._whole):
            if told.total_size != self._size:
                return Verdict(
                    JobState.FAILED,
                    "size_mismatch",
                    f"The printer stored {told.total_size} bytes instead of {self._size}; send it again.",
                )
            self.sent = self._size
            return Verdict(JobState.DELIVERED)
        if told.status == TransferState.ERROR and told != self._stale:
            return Verdict(
                JobState.FAILED,
                "printer_rejected_file",
                f"The printer gave up at byte {told.download_offset} of {self._size}; "
                "its storage may be full or the network broken.",
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
        elif not self._requested and not self._running:
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
        self._baseline = baseline
        self._since = now
        self._heard = False
        self.running = running
        """Whether a running number was seen for this print: only then its end can be believed."""

    def status(self, status: Status) -> Verdict | None:
        """Judge by a new status; None means nothing new."""
        phase = phase_of(status, self._generation, starting=not self.running)
        self._heard = True
        ours = status.print.filename in ("", self._name)
        if not self.running:
            return self._starting(status, phase, ours)
        if not ours:
            return Verdict(JobState.LOST, "replaced", f"The printer now shows another file: {status.print.filename}")
        outcome = outcome_of(status, self._generation)
        if outcome is Outcome.COMPLETE:
            return Verdict(JobState.FINISHED)
        if outcome is Outcome.STOPPED:
            return Verdict(JobState.STOPPED, "stopped", "The print was stopped before its end.")
        if phase is Phase.IDLE and status.print.status == 0:
            return Verdict(
                JobState.LOST,
                "printer_restarted",
                "The printer no longer knows of the print: it was probably switched off or rebooted.",
            )
        if phase is Phase.PAUSED:
            return Verdict(JobState.PAUSED)
        return Verdict(JobState.PRINTING) if phase in RUNNING else None

    def _starting(self, status: Status, phase: Phase, ours: bool) -> Verdict | None:
        if phase in (Phase.PREPARING, Phase.PRINTING, Phase.PAUSING, Phase.PAUSED) and self._fresh(status):
            if not ours:
                return Verdict(
                    JobState.FAILED,
                    "another_print",
                    f"The printer is printing another file: {status.print.filename}",
                )
            self.running = True
            return Verdict(JobState.PAUSED if phase is Phase.PAUSED else JobState.PRINTING)
        if phase is Phase.IDLE and ours and status.print.error_number and self._differs(status):
            return Verdict(
                JobState.FAILED,
                "printer_error",
                f"The printer reports error {status.print.error_number}; look at its screen.",
            )
        return None

    def _differs(self, status: Status) -> bool:
        return self._baseline is None or status.print != self._baseline.print

    def _fresh(self, status: Status) -> bool:
        """Whether these numbers cannot be what the last print left behind."""
        if not self._differs(status):
            return False
        before = self._baseline.print if self._baseline is not None else None
        if status.print.status in (1, 2, 3, 4):
            return True
        if before is None or before.filename != status.print.filename:
            return True
        return status.print.current_ticks < before.current_ticks

    def time(self, now: float) -> Verdict | None:
        """Judge a start by the time that passed without the print showing itself."""
        if self.running:
            return None
        waited = now - self._since
        if waited > START_WAIT and self._heard:
            return Verdict(
                JobState.FAILED,
                "start_unconfirmed",
                f"The start was sent, but no print showed itself within {START_WAIT:.0f} s; "
                "look at the printer's screen before you start again.",
            )
        if waited > GIVE_UP:
            return Verdict(
                JobState.UNVERIFIED,
                "start_unconfirmed",
                "The start was sent, and nothing was heard of the printer since; look whether it prints.",
            )
        return None
