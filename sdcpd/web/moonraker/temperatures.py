"""The temperatures of the last 20 minutes, of boards that report any.

One decision: a sample is taken when the printer reports, at most one a second; a second without a report repeats the
last one, as the real server does, so the array's length is the time it covers. A printer without sensors costs
nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from sdcpd.fleet import Fleet, Printer
from sdcpd.web.moonraker.objects import sensors_of

__all__ = ["KEPT", "Temperatures"]

KEPT = 1200
"""Samples of each sensor, one a second."""


class _Sensor:
    """One sensor's samples."""

    def __init__(self, now: float, value: float) -> None:
        self._samples = deque([value], KEPT)
        self._taken = now

    def look(self, now: float, value: float | None) -> None:
        """A second or more may have passed; ``value`` is what is measured now, None for nothing new."""
        missing = min(int(now - self._taken), KEPT)
        if missing > 0:
            self._taken = now if missing == KEPT else self._taken + missing
            self._samples.extend([self._samples[-1]] * missing)
        if value is not None:
            self._samples[-1] = value

    @property
    def samples(self) -> list[float]:
        """From the oldest to the newest."""
        return [round(value, 2) for value in self._samples]


class Temperatures:
    """What the sensors of all printers showed; ``clock`` gives seconds."""

    def __init__(self, fleet: Fleet, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._sensors: dict[tuple[str, str], _Sensor] = {}
        fleet.subscribe(self._changed)

    def _changed(self, before: Printer | None, after: Printer) -> None:
        if before is not None and before.status is after.status:
            return
        for name, value in sensors_of(after).items():
            known = self._sensors.get((after.id, name))
            if known is None:
                self._sensors[after.id, name] = _Sensor(self._clock(), value)
            else:
                known.look(self._clock(), value)

    def of(self, printer: Printer) -> dict[str, dict[str, list[float]]]:
        """What this printer's sensors showed, by their names."""
        found = {}
        for name in sensors_of(printer):
            sensor = self._sensors.get((printer.id, name))
            if sensor is not None:
                sensor.look(self._clock(), None)
                found[name] = {"temperatures": sensor.samples}
        return found
