"""Who waits for news of which printers.

One decision: a wake-up is spread. The first hundred waiters hear in the reactor turn of the change, the others in
slices over the next turns, and after a large burst there is a pause in proportion to it, so that ten thousand
pollers of a printing printer cannot take the whole core (measured costs: reference apis.md 4.6).
"""

from __future__ import annotations

from collections import deque

from msgspec import Struct
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

__all__ = ["Waiters"]

SLICE = 100
"""Waiters that are released in one reactor turn."""
BREATH = 0.0005
"""Seconds of pause per released waiter, after bursts of more than one slice."""
LEAST_BREATH = 0.25
"""Seconds that such a pause lasts at least."""


class _Waiter(Struct, eq=False):
    wanted: frozenset[str] | None
    deferred: Deferred[None]


class Waiters:
    """Deferreds that fire at the next news; a cancelled one leaves nothing behind."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: dict[int, _Waiter] = {}
        self._due: deque[int] = deque()
        self._news: set[str] = set()
        self._next = 0
        self._rested = 0.0
        self._call: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def wait(self, wanted: frozenset[str] | None) -> Deferred[None]:
        """Fires at the next news of one of the ``wanted`` subjects (None: of any)."""
        key = self._next
        self._next += 1

        def forget(_: object) -> None:
            self._waiting.pop(key, None)

        deferred: Deferred[None] = Deferred(forget)
        self._waiting[key] = _Waiter(wanted, deferred)
        return deferred

    def wake(self, subject: str) -> None:
        """There is news of ``subject``."""
        self._news.add(subject)
        if self._due or self._clock.seconds() < self._rested:
            self._later(max(0.0, self._rested - self._clock.seconds()))
        else:
            self._burst()

    def wake_all(self) -> None:
        """Release everybody at once: the daemon stops."""
        self._due.clear()
        waiting, self._waiting = self._waiting, {}
        for waiter in waiting.values():
            waiter.deferred.callback(None)

    def _later(self, delay: float) -> None:
        if self._call is None:
            self._call = self._clock.callLater(delay, self._turn)

    def _turn(self) -> None:
        self._call = None
        if self._due:
            self._release()
        elif self._news:
            self._burst()

    def _burst(self) -> None:
        news, self._news = self._news, set()
        self._due.extend(
            key for key, waiter in self._waiting.items() if waiter.wanted is None or not news.isdisjoint(waiter.wanted)
        )
        if len(self._due) > SLICE:
            self._rested = self._clock.seconds() + max(LEAST_BREATH, len(self._due) * BREATH)
        self._release()

    def _release(self) -> None:
        for _ in range(min(SLICE, len(self._due))):
            waiter = self._waiting.pop(self._due.popleft(), None)
            if waiter is not None:
                waiter.deferred.callback(None)
        if self._due:
            self._later(0)
        elif self._news:
            self._later(max(0.0, self._rested - self._clock.seconds()))
