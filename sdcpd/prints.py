"""What one printer's statuses tell of its prints, whoever started them: that one is there, how it goes, how it ended.

One decision: the first status is a baseline. What it shows may be an old print, so it tells nobody of an end; but a
print that is at work in it is there. Every later beginning, pause and end is told exactly once.
"""

from __future__ import annotations

from collections import deque
from statistics import median

from sdcpd.codec.status import RUNNING, Generation, Phase, Status, phase_of
from sdcpd.pace import Pace
from sdcpd.progress import AT_WORK, JobState, Print, Verdict

__all__ = ["STALL_FACTOR", "STALL_LEAST", "Tally", "Watch"]

STALL_LEAST = 600.0
"""Seconds without a new layer that are no stall yet, however fast the layers were."""
STALL_FACTOR = 5
"""Layer times without a new layer that are a stall."""
_REMEMBERED = 50
_LAST_LIFT = 12


class Watch:
    """Judges the prints on one printer that no job of ours accounts for.

    ``running`` is the printer's name for the file of a print that was known before a restart of the daemon. A verdict
    of ``PRINTING`` for a print that was not running is its beginning. ``now`` is any monotonic time in seconds.
    """

    def __init__(self, generation: Generation, running: str | None, now: float) -> None:
        self._generation = generation
        self._print: Print | None = None
        self._state: JobState | None = None
        if running is not None:
            self._begin(running, now)

    def _begin(self, name: str, now: float) -> None:
        self._print = Print(name, self._generation, None, now, running=True)
        self._state = JobState.PRINTING

    @property
    def running(self) -> bool:
        """Whether such a print is on the machine."""
        return self._print is not None

    def status(self, status: Status, now: float) -> Verdict | None:
        """Judge by a new status; None means nothing new."""
        if self._print is None:
            if not self._at_work(status):
                return None
            self._begin(status.print.filename, now)
            return Verdict(JobState.PRINTING)
        return self._changed(self._print.status(status))

    def time(self, now: float) -> Verdict | None:
        """Judge by the time that passed."""
        return None if self._print is None else self._changed(self._print.time(now))

    def leave(self) -> None:
        """A job of ours accounts for what is on the machine."""
        self._print = self._state = None

    def _changed(self, verdict: Verdict | None) -> Verdict | None:
        if verdict is None or verdict.state is self._state:
            return None
        self._state = verdict.state
        if verdict.state not in (JobState.PRINTING, JobState.PAUSED):
            self.leave()
        return verdict

    def _at_work(self, status: Status) -> bool:
        """Whether this can only be a print at work, not what an ended one left behind."""
        phase = phase_of(status, self._generation)
        if phase in (Phase.PAUSING, Phase.PAUSED):
            return True
        last_lift = self._generation is Generation.V1 and status.print.status == _LAST_LIFT
        return phase in RUNNING and (status.print.status in AT_WORK or last_lift)


class Tally:
    """Counts the layers of one print, and notices when no more come."""

    def __init__(self, layers: int, now: float) -> None:
        self.layers = layers
        """Layers printed so far."""
        self.total = 0
        """Layers that it will have, as far as the printer tells."""
        self.paused_s = 0.0
        """Seconds that it has been paused."""
        self.stalled = False
        """Whether it makes no progress although it is not paused."""
        self.pace = Pace()
        """How long its layers took, from the first one whose beginning was seen."""
        self._times: deque[float] = deque(maxlen=_REMEMBERED)
        self._since = now
        self._known = False
        self._paused: float | None = None

    def status(self, status: Status, phase: Phase, now: float) -> None:
        """Count by a new status."""
        self.total = max(self.total, status.print.total_layer)
        self._pause(phase, now)
        layer = status.print.current_layer
        if self.total > 0:
            layer = min(layer, self.total)
        if layer <= self.layers:
            return
        if self._known:  # the first layer that is seen may have begun long ago
            self._times.append((now - self._since) / (layer - self.layers))
            self.pace.add(layer, layer - self.layers, now - self._since)
        self.layers, self._since, self._known = layer, now, True
        self.stalled = False

    def _pause(self, phase: Phase, now: float) -> None:
        if phase in (Phase.PAUSED, Phase.PAUSING):
            if self._paused is None:
                self._paused = now
        elif self._paused is not None and phase is not Phase.OFFLINE:
            away, self._paused = now - self._paused, None
            self.paused_s += away
            self._since += away

    @property
    def patience(self) -> float:
        """Seconds without a new layer that are no stall yet."""
        usual = median(self._times) if self._times else 0.0
        return max(STALL_FACTOR * usual, STALL_LEAST)

    def time(self, phase: Phase, now: float) -> bool:
        """Judge by the time; whether it has stalled just now."""
        if self.stalled or self._paused is not None or phase not in (Phase.PREPARING, Phase.PRINTING):
            return False
        self.stalled = now - self._since > self.patience
        return self.stalled
