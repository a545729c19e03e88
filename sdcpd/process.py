"""What the daemon asks of its own process: descriptors, SIGHUP, the interpreter, a thread that may not keep it.

One decision: each of these is a service or a function that is handed what it works on, so that ``tap`` stays a list of
parts and whatever touches the process as a whole is found here.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import sys
from collections.abc import Callable
from threading import Thread

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.threadpool import ThreadPool

from sdcpd.journal import Journal
from sdcpd.logs import logger

__all__ = [
    "COLLECTION",
    "SWITCH",
    "Hangup",
    "Interpreter",
    "JournalKeeper",
    "JournalThread",
    "guarded",
    "next_descriptor",
    "raise_limit",
]

COLLECTION = (100_000, 20, 100)
"""After how many new objects, and how many collections of each younger kind, the garbage collector looks for cycles."""
SWITCH = 0.001
"""Seconds after which a thread that computes lets another go on; of Python's own 5 ms the reactor feels each."""

_log = logger(__name__)


class JournalThread(ThreadPool):
    """One thread, which does not keep a process that ends while the disk never answers."""

    class threadFactory(Thread):
        """Twisted: makes the pool's threads."""

        def start(self) -> None:
            """End with the process."""
            self.daemon = True
            super().start()


class JournalKeeper(Service):
    """The journal's thread: begins after a daemon has forked, ends when everything is written."""

    def __init__(self, journal: Journal, thread: ThreadPool) -> None:
        self._journal = journal
        self._thread = thread

    def startService(self) -> None:
        """Twisted: from now on what is noted is written."""
        super().startService()
        self._thread.start()

    def stopService(self) -> Deferred[None]:
        """Fires when everything that was noted is written, or cannot be."""
        super().stopService()
        return self._journal.close().addCallback(self._end)

    def _end(self, closed: bool) -> None:
        if closed:
            self._thread.stop()


class Hangup(Service):
    """SIGHUP reloads."""

    def __init__(self, reactor: IReactorFromThreads, reload: Callable[[], object]) -> None:
        self._reactor = reactor
        self._reload = reload

    def startService(self) -> None:
        """Twisted: take the signal."""
        super().startService()
        signal.signal(signal.SIGHUP, lambda *_: self._reactor.callFromThread(self._reload))

    def stopService(self) -> None:
        """Ignore the signal while the daemon ends."""
        super().stopService()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


class Interpreter(Service):
    """Cycles are looked for seldom, and no thread keeps the reactor waiting for long.

    What the daemon makes much of has no cycles, and what it keeps much of is long-lived: Python looks through all of
    4,000 waiting requests again and again while their answers are made, half of the time. And while a picture is made,
    each recv and send of the reactor costs it the lock, which the other thread gives back when it is asked to.
    """

    def __init__(self) -> None:
        self._before = gc.get_threshold(), sys.getswitchinterval()

    def startService(self) -> None:
        """Twisted: look for cycles seldom, change threads often."""
        super().startService()
        gc.set_threshold(*COLLECTION)
        sys.setswitchinterval(SWITCH)

    def stopService(self) -> None:
        """Twisted: as it was."""
        super().stopService()
        thresholds, interval = self._before
        gc.set_threshold(*thresholds)
        sys.setswitchinterval(interval)


def guarded(*functions: Callable[[], object]) -> None:
    """Call each; a failure of one stops neither the others nor the next time."""
    for function in functions:
        try:
            function()
        except Exception:
            _log.failure("A periodic task failed")


def raise_limit() -> int:
    """Let the process have as many descriptors as it may; how many these are."""
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        limit = most
    except (OSError, ValueError) as error:
        _log.debug("The limit of descriptors cannot be raised: {error}", error=error)
    _log.debug("Up to {limit} descriptors can be open at once", limit=limit)
    return limit


def next_descriptor() -> float:
    """The number that the next descriptor will have: all lower ones are in use."""
    try:
        descriptor = os.open("/", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return float("inf")
    os.close(descriptor)
    return descriptor
