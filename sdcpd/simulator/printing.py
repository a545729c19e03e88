"""The print machine: what the exposure unit and the platform do, and what PrintInfo says meanwhile.

One decision: a print is a generator of (phase, seconds), so the ordinary course reads top to bottom, and pause and
stop are wishes that are looked at between two steps. The numbers are the wire's own; a profile says which of them its
machine uses for pausing and stopping.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import IntEnum

from sdcpd.simulator import fault_kinds as kinds
from sdcpd.simulator.faults import Faults
from sdcpd.simulator.profiles import Profile
from sdcpd.simulator.settings import Settings
from sdcpd.simulator.simtime import Alarm, SimTime
from sdcpd.simulator.status import IDLE, PRINTING, PrinterStatus, PrintInfo
from sdcpd.simulator.storage import StoredFile

__all__ = ["Phase", "PrintMachine"]


class Phase(IntEnum):
    """PrintInfo.Status of a V1 printer."""

    NONE = 0
    HOMING = 1
    LOWERING = 2
    EXPOSING = 3
    LIFTING = 4
    PAUSING = 5
    PAUSED_BY_TOUCH = 7
    PAUSED_LIFTED = 8
    CANCELLING = 9
    STOPPING = 10
    FINAL_LIFT = 12
    STOPPED = 13
    ABANDONED = 14
    COMPLETE = 16


PAUSED = frozenset({Phase.PAUSED_BY_TOUCH, Phase.PAUSED_LIFTED})
RUNNING = frozenset({Phase.HOMING, Phase.LOWERING, Phase.EXPOSING, Phase.LIFTING})
STOPPABLE = RUNNING | PAUSED | {Phase.PAUSING, Phase.FINAL_LIFT}

_START_DELAY = 0.2
_PAUSING_TIME = 2.0  # assumed, Q10
_STOPPING_TIME = 5.0  # assumed, Q10
_ABANDONED_TIME = 3.0  # assumed, Q10
_LOWERING_TIME = 2.0  # this and the next: assumed, 8.2
_LIFTING_TIME = 3.0

Step = tuple[Phase, float]


class PrintMachine:
    """Runs one print at a time and writes its course into the printer's status."""

    def __init__(
        self,
        time: SimTime,
        profile: Profile,
        settings: Settings,
        status: PrinterStatus,
        faults: Faults,
        changed: Callable[[], None],
    ) -> None:
        self._time = time
        self._profile = profile
        self._settings = settings
        self._status = status
        self._faults = faults
        self._changed = changed
        self._alarm = Alarm(time)
        self._steps: Iterator[Step] = iter(())
        self._pause_as: Phase | None = None
        self._ticking_since: float | None = None
        self._due = 0.0  # when the present step ends; the next counts from here, so a late reactor adds nothing
        self._completed_screen = settings.completed_screen

    @property
    def phase(self) -> int:
        """PrintInfo.Status."""
        return self._status.print_info.status

    @property
    def busy(self) -> bool:
        """Whether a print is under way or about to be, or its completed screen still up."""
        return self._status.current == PRINTING or self._alarm.pending

    def start(self, file: StoredFile, start_layer: int = 0) -> None:
        """Print a stored file, from a layer on, whoever asked for it."""
        screen = self._faults.take(kinds.CompletedScreen)
        self._completed_screen = self._settings.completed_screen if screen is None else screen.seconds
        self._steps = self._course(file, start_layer)
        self._pause_as = None
        self._alarm.set(_START_DELAY, self._begin, file, start_layer)

    def pause(self, by_touch: bool = False) -> bool:
        """Pause after the present step; False in the wrong state."""
        if self.phase not in RUNNING or self._pause_as is not None:
            return False
        self._pause_as = Phase.PAUSED_BY_TOUCH if by_touch else Phase(self._profile.paused)
        return True

    def resume(self) -> bool:
        """Go on; False in the wrong state."""
        if self.phase not in PAUSED:
            return False
        self._start_ticking()
        self._go_on()
        return True

    def stop(self) -> bool:
        """Give the print up; False in the wrong state."""
        if not self.busy or self.phase not in STOPPABLE:
            return False
        self._pause_as = None
        self._steps = self._end()
        self._go_on()
        return True

    def tap(self) -> bool:
        """A person taps the completed screen away; False where there is none."""
        if not (self._status.current == PRINTING and self.phase == Phase.COMPLETE):
            return False
        self._next()
        return True

    def power_off(self) -> None:
        """Forget everything at once."""
        self._alarm.cancel()
        self._steps = iter(())
        self._pause_as = None
        self._ticking_since = None

    def tick(self) -> None:
        """Bring CurrentTicks up to now."""
        if self._ticking_since is not None:
            now = self._time.now()
            self._status.print_info.current_ticks += round((now - self._ticking_since) * 1000)
            self._ticking_since = now

    def _begin(self, file: StoredFile, start_layer: int) -> None:
        self._status.print_info = PrintInfo(
            current_layer=start_layer,
            total_layer=file.layers,
            total_ticks=round(self._estimate(file.layers) * 1000 * 0.999),
            filename=file.name,
        )
        self._status.enter(PRINTING)
        self._ticking_since = self._time.now()
        self._go_on()

    def _go_on(self) -> None:
        """The next step counts from now."""
        self._due = self._time.now()
        self._next()

    def _course(self, file: StoredFile, start_layer: int) -> Iterator[Step]:
        yield Phase.HOMING, self._settings.home_time
        for layer in range(start_layer + 1, file.layers + 1):
            self._status.print_info.current_layer = layer
            lowering, exposing, lifting = self._layer_times(layer)
            yield Phase.LOWERING, lowering
            yield Phase.EXPOSING, exposing
            yield Phase.LIFTING, lifting
        yield Phase.FINAL_LIFT, self._settings.final_lift_time
        self._stop_ticking()
        yield Phase.COMPLETE, self._completed_screen
        self._status.enter(IDLE)
        self._changed()

    def _end(self) -> Iterator[Step]:
        self._stop_ticking()
        yield Phase(self._profile.stopping), _STOPPING_TIME
        if self._profile.lingers_abandoned:
            yield Phase.ABANDONED, _ABANDONED_TIME
        self._status.print_info.status = Phase.STOPPED
        self._status.enter(IDLE)
        self._changed()

    def _next(self) -> None:
        self.tick()
        if self._pause_as is not None:
            self._enter(Phase.PAUSING)
            self._alarm.set(_PAUSING_TIME, self._paused)
            return
        for phase, seconds in self._steps:
            self._due += seconds
            self._enter(phase)
            self._alarm.set(self._due - self._time.now(), self._next)
            return

    def _paused(self) -> None:
        phase, self._pause_as = self._pause_as, None
        assert phase is not None
        if not self._settings.ticks_include_pauses:
            self._stop_ticking()
        self._enter(phase)

    def _enter(self, phase: Phase) -> None:
        self._status.print_info.status = phase
        self._changed()

    def _start_ticking(self) -> None:
        if self._ticking_since is None:
            self._ticking_since = self._time.now()

    def _stop_ticking(self) -> None:
        self.tick()
        self._ticking_since = None

    def _layer_times(self, layer: int) -> tuple[float, float, float]:
        bottom = layer <= self._settings.bottom_layers
        whole = self._settings.bottom_layer_time if bottom else self._settings.layer_time
        lowering, lifting = min(_LOWERING_TIME, whole / 4), min(_LIFTING_TIME, whole * 3 / 8)
        return lowering, whole - lowering - lifting, lifting

    def _estimate(self, layers: int) -> float:
        s = self._settings
        bottom = min(layers, s.bottom_layers)
        layer_times = bottom * s.bottom_layer_time + (layers - bottom) * s.layer_time
        return s.home_time + layer_times + s.final_lift_time
