"""Where work may block: the seam between the reactor and its threads.

One decision: whoever needs a thread is handed a callable that runs a function there and gives a Deferred, so nothing
but ``tap`` knows a thread pool, and a test runs the same code at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred

__all__ = ["Offload"]

T = TypeVar("T")


class Offload(Protocol):
    """Runs a function where it may block: a thread pool, or at once in a test."""

    def __call__(self, function: Callable[..., T], *args: object) -> Deferred[T]:
        """Fire with what ``function(*args)`` returns or raises."""
