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
        self._releasing = False
        self._call: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def wait(self, wanted: frozenset[str] | None) -> Deferred[None]:
        """Fires at the next news of one of the ``wanted`` subjects (None: of any)."""
        key = self._next
        self._next += 1

        def forget(result: None) -> None:  # whoever fires or cancels it, and with whatever
            self._waiting.pop(key, None)
            return result

        deferred: Deferred[None] = Deferred()
        self._waiting[key] = _Waiter(wanted, deferred)
        return deferred.addBoth(forget)

    def wake(self, *subjects: str) -> None:
        """There is news of these."""
        self._news.update(subjects)
        if self._due or self._releasing:
            return  # the end of the release sees to it
        if self._clock.seconds() < self._rested:
            self._later(self._rested - self._clock.seconds())
        else:
            self._burst()

    def wake_all(self) -> None:
        """Release everybody at once: the daemon stops."""
        self._due.clear()
        self._news.clear()
        for key in list(self._waiting):
            self._fire(key)
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _later(self, delay: float) -> None:
        if self._call is None:
            self._call = self._clock.callLater(delay, self._turn)

    def _turn(self) -> None:
        self._call = None
        if self._due:
            self._release()
        else:
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
        # What a released waiter does may bring more news, or the end of everything; that must not nest.
        self._releasing = True
        for _ in range(SLICE):
            if self._due:
                self._fire(self._due.popleft())
        self._releasing = False
        if self._due:
            self._later(0)
        elif self._news:
            self._later(max(0.0, self._rested - self._clock.seconds()))

    def _fire(self, key: int) -> None:
        waiter = self._waiting.get(key)
        if waiter is not None:
            waiter.deferred.callback(None)
