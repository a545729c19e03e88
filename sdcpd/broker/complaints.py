"""Log lines that a peer can provoke as often as it likes: counted always, written seldom.

One decision: every kind has its own few lines per while. Somebody who floods one kind neither fills the disk nor hides
the first line of another.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

from twisted.logger import Logger

from sdcpd.broker.limits import Violation

__all__ = ["LINES", "WHILE", "Complaints", "Few", "shown"]

LINES = 5
"""Lines of one kind ..."""
WHILE = 60.0
"""... in so many seconds."""
_SHOWN = 120


def shown(said: str) -> str:
    """What a peer calls itself or a topic, fit for the log: one line, not long, nothing that a terminal obeys."""
    short = said[:_SHOWN]
    if not short.isprintable():
        short = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in short)
    return short if len(said) <= _SHOWN else f"{short}..."


class Complaints:
    """Says what was wrong with a peer, unless the like was said often enough just now."""

    def __init__(self, log: Logger, seconds: Callable[[], float]) -> None:
        self._log = log
        self._seconds = seconds
        self._counts = dict.fromkeys(Violation, 0)
        self._began = dict.fromkeys(Violation, 0.0)
        self._said = dict.fromkeys(Violation, 0)

    @property
    def counts(self) -> MappingProxyType[Violation, int]:
        """How often each violation happened since the start."""
        return MappingProxyType(dict(self._counts))

    def note(self, kind: Violation, who: str, what: object) -> None:
        """Count it, and perhaps write it down."""
        self._counts[kind] += 1
        now = self._seconds()
        if not self._said[kind] or now - self._began[kind] >= WHILE:
            kept_quiet = self._said[kind] - LINES
            if kept_quiet > 0:
                self._log.warn("{count} more connections were ended or refused for {kind}", count=kept_quiet, kind=kind)
            self._began[kind] = now
            self._said[kind] = 0
        self._said[kind] += 1
        if self._said[kind] <= LINES:
            self._log.warn("Ended the connection of {who} ({kind}): {what}", who=who, kind=kind, what=what)


class Few:
    """Lets ``LINES`` lines through in a ``WHILE``: for what a client can provoke with every packet."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._began = 0.0
        self._said = 0

    def may(self) -> bool:
        """Whether one more line may be said now."""
        now = self._seconds()
        if not self._said or now - self._began >= WHILE:
            self._began, self._said = now, 0
        self._said += 1
        return self._said <= LINES
