"""Log lines that a peer can provoke as often as it likes: counted always, written seldom.

One decision: every kind has its own few lines per while. Somebody who floods one kind neither fills the disk nor hides
the first line of another.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

from twisted.logger import Logger

from sdcpd.broker.limits import Violation
from sdcpd.logs import Few

__all__ = ["Complaints"]


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
