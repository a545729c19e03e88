"""Work that goes on although nobody waits for it any more.

One decision: to hang up is to give up waiting, never to undo. Whoever cancels the wait ends that alone; what was begun
on the disk or asked of a printer comes to its own end, and frees then what it held.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

__all__ = ["detached"]

T = TypeVar("T")


def detached(work: Deferred[T] | Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
    """Fires as ``work`` does; cancelling it ends the wait only, and a result that comes later is nobody's."""
    waiting: Deferred[T] = Deferred()
    going = work if isinstance(work, Deferred) else Deferred.fromCoroutine(work)
    going.addCallbacks(waiting.callback, waiting.errback)
    return waiting
