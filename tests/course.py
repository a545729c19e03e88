"""The time of tests with printers on real sockets: as fast as the wall's at most, and next to none while there is work.

One decision: time goes on in small steps, and next to none while a socket of the process waits to be read or written,
whatever the machine did meanwhile. So no wait of the daemon's or a printer's ends because they did not come to work:
an answer that is there is read before the time is over in which it had to come.
"""

# ruff: noqa: N802  # a clock has the names that Twisted gives to clocks

from __future__ import annotations

import select
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

from twisted.internet import reactor as installed  # noqa: TID251 - real sockets need the real one
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock

__all__ = ["Course", "Hasty"]

reactor: Any = installed
STEP = 0.002
"""Seconds by which time goes on between two looks at the sockets."""
BUSY = 0.000_05
"""The same while there is work; more than nothing, for who sends a byte in a turn must not send for ever."""
MOST = 0.05
"""Seconds by which time goes on in one turn of the reactor, however late that comes."""
NEXT = 1e-6
"""Seconds after which a call for at once is made, so that it is made in a later step."""


class Course(Clock):
    """The reactor, with a clock of its own; it goes until it is stopped."""

    def __init__(self) -> None:
        super().__init__()
        self._seen = float(reactor.seconds())
        self._over = False
        self._turning = reactor.callLater(STEP, self._turn)

    def callLater(self, delay: float, callable: Callable[..., object], *args: object, **kw: object) -> IDelayedCall:
        """Call it when so many seconds of this time have passed, and not in the same step."""
        return super().callLater(delay or NEXT, callable, *args, **kw)

    def stop(self) -> None:
        """Time ends; what was to be called then is not called."""
        self._over = True
        if self._turning.active():
            self._turning.cancel()

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)

    def _turn(self) -> None:
        now = float(reactor.seconds())
        left, self._seen = min(now - self._seen, MOST), now
        work = False
        try:
            while left > 0 and not work and not self._over:
                busy = _busy()
                step = min(left, BUSY if busy else STEP)
                left -= step
                self.advance(step)
                work = busy or reactor.timeout() == 0
        finally:  # a call that failed ends no time
            if not self._over:
                self._turning = reactor.callLater(0 if work else STEP, self._turn)


def _busy() -> bool:
    """Whether a socket of the reactor waits to be read or written."""
    wishes: Counter[int] = Counter()
    for waiting, kind in ((reactor.getReaders(), select.POLLIN), (reactor.getWriters(), select.POLLOUT)):
        wishes.update({one.fileno(): kind for one in waiting if one.fileno() >= 0})
    poll = select.poll()
    for descriptor, kinds in wishes.items():
        poll.register(descriptor, kinds)
    return bool(poll.poll(0))


class Hasty:
    """A course whose clock is faster."""

    def __init__(self, course: Course, haste: float) -> None:
        self._course = course
        self._haste = haste

    def seconds(self) -> float:
        """The daemon's monotonic time."""
        return self._course.seconds() * self._haste

    def callLater(self, delay: float, call: Callable[..., object], *args: Any, **kw: Any) -> IDelayedCall:
        """Call it when so many of the daemon's seconds have passed."""
        pending = self._course.callLater(delay / self._haste, call, *args, **kw)
        return cast(IDelayedCall, _Hurried(pending, self._haste))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._course, name)


class _Hurried:
    """A delayed call in the daemon's seconds."""

    def __init__(self, call: Any, haste: float) -> None:
        self._call = call
        self._haste = haste

    def getTime(self) -> float:
        return float(self._call.getTime()) * self._haste

    def reset(self, delay: float) -> None:
        self._call.reset(delay / self._haste)

    def delay(self, delay: float) -> None:
        self._call.delay(delay / self._haste)

    def cancel(self) -> None:
        self._call.cancel()

    def active(self) -> bool:
        return bool(self._call.active())
