"""The daemon's loggers and the one level they obey.

One decision: the level is a filter in front of Twisted's own log publisher, so ``[sdcpd] log_level`` works under
twistd, a test runner or anything else that observes Twisted's log, and can change at a reload.
"""

from __future__ import annotations

from collections import deque

from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    Logger,
    LogLevel,
    LogLevelFilterPredicate,
    eventAsText,
    globalLogPublisher,
)
from zope.interface import implementer

__all__ = ["LEVELS", "RECENT", "Recent", "logger", "set_level"]

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


RECENT = Recent(2000)
"""Of this process, once it is made an observer of Twisted's log."""


def logger(namespace: str) -> Logger:
    """A logger for one module, named as the module is."""
    return Logger(namespace=namespace, observer=_observer)


def set_level(name: str) -> None:
    """Let through what is at least as grave as ``name``, one of ``LEVELS``; who did what is always told."""
    _predicate.setLogLevelForNamespace("sdcpd", LEVELS[name])
    _predicate.setLogLevelForNamespace("sdcpd.audit", LogLevel.info)
