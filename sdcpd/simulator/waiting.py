"""Waiting for a printer to do or receive something, without sleeping.

One decision: a waiter is a predicate that is asked again after every change, so a test says what it waits for in its
own words, and the one who waits owns the time-out.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

__all__ = ["Waiters"]


class Waiters:
    """Who waits, and for what."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Callable[[], bool], Deferred[None]]] = []

    def until(self, predicate: Callable[[], bool]) -> Deferred[None]:
        """Fires as soon as the predicate holds, at once if it does; cancelling forgets it."""
        done: Deferred[None] = Deferred(self._forget)
        self._waiting.append((predicate, done))
        self.check()
        return done

    def check(self) -> None:
        """Something has changed."""
        for entry in list(self._waiting):
            predicate, done = entry
            try:
                holds = predicate()
            except Exception:  # somebody else's predicate: its failure is the waiter's answer
                self._waiting.remove(entry)
                done.errback(Failure())
                continue
            if holds and entry in self._waiting:
                self._waiting.remove(entry)
                done.callback(None)

    def _forget(self, done: Deferred[None]) -> None:
        self._waiting = [entry for entry in self._waiting if entry[1] is not done]
