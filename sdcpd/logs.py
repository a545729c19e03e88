"""The daemon's loggers and the one level they obey; what a line looks like in systemd's journal.

One decision: the level is a filter in front of Twisted's own log publisher, so ``[sdcpd] log_level`` works under
twistd, a test runner or anything else that observes Twisted's log, and can change at a reload.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Mapping
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

__all__ = ["LEVELS", "RECENT", "Journalled", "Recent", "console", "logger", "observer_for", "set_level"]

LEVELS = {level.name: level for level in LogLevel.iterconstants()}

_predicate = LogLevelFilterPredicate(defaultLogLevel=LogLevel.info)
_observer = FilteringLogObserver(globalLogPublisher, [_predicate])


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


def set_level(name: str) -> None:
    """Let through what is at least as grave as ``name``, one of ``LEVELS``; who did what is always told."""
    _predicate.setLogLevelForNamespace("sdcpd", LEVELS[name])
    _predicate.setLogLevelForNamespace("sdcpd.audit", LogLevel.info)
