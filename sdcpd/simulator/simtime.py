"""A printer's own time: the injected clock, run ``scale`` times as fast.

One decision: everything that happens inside a printer waits through here, so one number makes an hour's print last
seconds; what measures the daemon instead (a missing PUBACK) waits in real seconds through ``real_later``.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

__all__ = ["Alarm", "Alarms", "SimTime"]


class SimTime:
    """Simulated seconds on top of a Twisted clock."""

    def __init__(self, clock: IReactorTime, scale: float) -> None:
        self._clock = clock
        self.scale = scale

    def now(self) -> float:
        """Simulated seconds since some fixed moment."""
        return float(self._clock.seconds()) * self.scale

    def real(self) -> float:
        """The clock's own seconds."""
        return float(self._clock.seconds())

    def later(self, seconds: float, call: Callable[..., object], *args: object) -> IDelayedCall:
        """Call after so many simulated seconds."""
        return self._clock.callLater(max(seconds, 0.0) / self.scale, call, *args)

    def real_later(self, seconds: float, call: Callable[..., object], *args: object) -> IDelayedCall:
        """Call after so many real seconds."""
        return self._clock.callLater(max(seconds, 0.0), call, *args)

    def sleep(self, seconds: float) -> Deferred[None]:
        """A Deferred that fires after so many simulated seconds; cancelling it forgets the call."""

        def forget(_: Deferred[None]) -> None:
            pending.cancel()

        done: Deferred[None] = Deferred(forget)
        pending = self.later(seconds, done.callback, None)
        return done


class Alarm:
    """At most one call to come; setting it again forgets the former."""

    def __init__(self, time: SimTime) -> None:
        self._time = time
        self._pending: IDelayedCall | None = None

    def set(self, seconds: float, call: Callable[..., object], *args: object) -> None:
        """Call after so many simulated seconds."""
        self.cancel()
        self._pending = self._time.later(seconds, self._ring, call, args)

    def set_real(self, seconds: float, call: Callable[..., object], *args: object) -> None:
        """Call after so many real seconds."""
        self.cancel()
        self._pending = self._time.real_later(seconds, self._ring, call, args)

    @property
    def pending(self) -> bool:
        """Whether a call is to come."""
        return self._pending is not None

    def cancel(self) -> None:
        """Forget the call, if there is one."""
        pending, self._pending = self._pending, None
        if pending is not None and pending.active():
            pending.cancel()

    def _ring(self, call: Callable[..., object], args: tuple[object, ...]) -> None:
        self._pending = None
        call(*args)


class Alarms:
    """Any number of calls to come, which can be forgotten together."""

    def __init__(self, time: SimTime) -> None:
        self._time = time
        self._pending: set[Alarm] = set()

    def add(self, seconds: float, call: Callable[..., object], *args: object) -> None:
        """Call after so many simulated seconds."""
        alarm = Alarm(self._time)
        self._pending.add(alarm)
        alarm.set(seconds, self._ring, alarm, call, args)

    def cancel(self) -> None:
        """Forget them all."""
        pending, self._pending = self._pending, set()
        for alarm in pending:
            alarm.cancel()

    def _ring(self, alarm: Alarm, call: Callable[..., object], args: tuple[object, ...]) -> None:
        self._pending.discard(alarm)
        call(*args)
