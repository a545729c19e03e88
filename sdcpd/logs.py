"""The daemon's loggers and the one level they obey; lines that a peer can provoke; what one looks like in the journal.

One decision: the level is a filter in front of Twisted's own log publisher, so ``[sdcpd] log_level`` works under
twistd, a test runner or anything else that observes Twisted's log, and can change at a reload.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Mapping
from typing import TextIO

from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    Logger,
    LogLevel,
    LogLevelFilterPredicate,
    eventAsText,
    globalLogPublisher,
    textFileLogObserver,
)
from zope.interface import implementer

__all__ = [
    "LEVELS",
    "LINES",
    "RECENT",
    "WHILE",
    "Few",
    "Journalled",
    "Recent",
    "console",
    "listens",
    "logger",
    "observer_for",
    "set_level",
    "shown",
]

LEVELS = {level.name: level for level in LogLevel.iterconstants()}

_predicate = LogLevelFilterPredicate(defaultLogLevel=LogLevel.info)

LINES = 5
"""Lines of one kind that a peer can provoke as often as it likes ..."""
WHILE = 60.0
"""... in so many seconds."""
_SHOWN = 120


class Few:
    """Lets so many through in a while: lines that a peer can provoke, so that it cannot fill the disk with them."""

    def __init__(self, seconds: Callable[[], float], most: int = LINES, within: float = WHILE) -> None:
        self._seconds = seconds
        self._most = most
        self._within = within
        self._began = 0.0
        self._asked = 0
        self.withheld = 0
        """How many were not let through in the while before, if the last one begins a while; else 0."""

    def may(self) -> bool:
        """Whether one more may pass now."""
        now = self._seconds()
        self.withheld = 0
        if not self._asked or now - self._began >= self._within:
            self.withheld = max(self._asked - self._most, 0)
            self._began, self._asked = now, 0
        self._asked += 1
        return self._asked <= self._most


def shown(said: str, most: int = _SHOWN) -> str:
    """What a peer calls itself or a topic, fit for the log: one line, not long, nothing that a terminal obeys."""
    short = _in_one_line(said[:most])
    return short if len(said) <= most else f"{short}..."


def _in_one_line(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@implementer(ILogObserver)
class _Plain:
    """Whatever somebody was called by a peer, it begins no line of its own and tells no terminal what to do."""

    def __call__(self, event: LogEvent) -> None:
        for name, value in event.items():
            if isinstance(value, str) and not name.startswith("log_"):
                event[name] = _in_one_line(value)
        globalLogPublisher(event)


_observer = FilteringLogObserver(_Plain(), [_predicate])


@implementer(ILogObserver)
class Recent:
    """The last lines of the log, for an admin who cannot look at the machine; without tracebacks."""

    def __init__(self, most: int) -> None:
        self._lines: deque[str] = deque(maxlen=most)

    def __call__(self, event: LogEvent) -> None:
        """Keep one more line."""
        self._lines.append(eventAsText(event, includeTraceback=False)[:1000])

    @property
    def text(self) -> str:
        """The lines, the oldest first."""
        return "".join(f"{line}\n" for line in self._lines)


@implementer(ILogObserver)
class Journalled:
    """Lines as systemd's journal takes them from a standard output: it adds the time and reads the gravity, ``<3>``."""

    _GRAVITY: Mapping[LogLevel, int] = {
        LogLevel.debug: 7,
        LogLevel.info: 6,
        LogLevel.warn: 4,
        LogLevel.error: 3,
        LogLevel.critical: 2,
    }
    """As in syslog(3); sd-daemon(3) tells of the form."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def __call__(self, event: LogEvent) -> None:
        """Write one more line, or several: each has to say how grave it is."""
        gravity = self._GRAVITY.get(event.get("log_level", LogLevel.info), 6)
        text = eventAsText(event, includeTimestamp=False, includeSystem=False)
        who = event.get("log_system") or event.get("log_namespace", "-")
        for line in (text if who == "-" else f"{who}: {text}").splitlines():
            self._out.write(f"<{gravity}>{line}\n")
        self._out.flush()


def observer_for(out: TextIO, environment: Mapping[str, str]) -> ILogObserver:
    """Writes the log to ``out``: without times if that is the journal (``JOURNAL_STREAM``, systemd.exec(5))."""
    try:
        found = os.fstat(out.fileno())
    except (OSError, ValueError):
        return textFileLogObserver(out)
    if environment.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}":
        return Journalled(out)
    return textFileLogObserver(out)


def console() -> ILogObserver:
    """``twistd --logger sdcpd.logs.console``: to standard output, in the form that suits whoever reads it."""
    return observer_for(sys.stdout, os.environ)


RECENT = Recent(2000)
"""Of this process, once it is made an observer of Twisted's log."""


def logger(namespace: str) -> Logger:
    """A logger for one module, named as the module is."""
    return Logger(namespace=namespace, observer=_observer)


def listens(level: str) -> bool:
    """Whether lines of this level are kept at all: for who would otherwise make one for each request."""
    return bool(LEVELS[level] >= _predicate.logLevelForNamespace("sdcpd"))


def set_level(name: str) -> None:
    """Let through what is at least as grave as ``name``, one of ``LEVELS``; who did what is always told."""
    _predicate.setLogLevelForNamespace("sdcpd", LEVELS[name])
    _predicate.setLogLevelForNamespace("sdcpd.audit", LogLevel.info)
