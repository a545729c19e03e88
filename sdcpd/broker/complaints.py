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


class Few:
    """Lets ``LINES`` lines through in a ``WHILE``: for what a client can provoke with every packet."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._began = 0.0
        self._asked = 0
        self.withheld = 0
        """How many lines were not let through in the while before, if the last one begins a while; else 0."""

    def may(self) -> bool:
        """Whether one more line may be said now."""
        now = self._seconds()
        self.withheld = 0
        if not self._asked or now - self._began >= WHILE:
            self.withheld = max(self._asked - LINES, 0)
            self._began, self._asked = now, 0
        self._asked += 1
        return self._asked <= LINES


class Complaints:
    """Says what was wrong with a peer, unless the like was said often enough just now."""

    def __init__(self, log: Logger, seconds: Callable[[], float]) -> None:
        self._log = log
        self._counts = dict.fromkeys(Violation, 0)
        self._few = {kind: Few(seconds) for kind in Violation}

    @property
    def counts(self) -> MappingProxyType[Violation, int]:
        """How often each violation happened since the start."""
        return MappingProxyType(dict(self._counts))

    def note(self, kind: Violation, who: str, what: object) -> None:
        """Count it, and perhaps write it down."""
        self._counts[kind] += 1
        few = self._few[kind]
        if not few.may():
            return
        if few.withheld:
            self._log.warn("{count} more connections were ended or refused for {kind}", count=few.withheld, kind=kind)
        self._log.warn("Ended the connection of {who} ({kind}): {what}", who=who, kind=kind, what=what)
