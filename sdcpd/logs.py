"""The daemon's loggers and the one level they obey.

One decision: the level is a filter in front of Twisted's own log publisher, so ``[sdcpd] log_level`` works under
twistd, a test runner or anything else that observes Twisted's log, and can change at a reload.
"""

from __future__ import annotations

from twisted.logger import (
    FilteringLogObserver,
    Logger,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogPublisher,
)

__all__ = ["LEVELS", "logger", "set_level"]

LEVELS = {level.name: level for level in LogLevel.iterconstants()}

_predicate = LogLevelFilterPredicate(defaultLogLevel=LogLevel.info)
_observer = FilteringLogObserver(globalLogPublisher, [_predicate])


def logger(namespace: str) -> Logger:
    """A logger for one module, named as the module is."""
    return Logger(namespace=namespace, observer=_observer)


def set_level(name: str) -> None:
    """Let through what is at least as grave as ``name``, one of ``LEVELS``; who did what is always told."""
    _predicate.setLogLevelForNamespace("sdcpd", LEVELS[name])
    _predicate.setLogLevelForNamespace("sdcpd.audit", LogLevel.info)
