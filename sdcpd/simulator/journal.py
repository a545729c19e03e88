"""What a printer received, and what was wrong with it.

One decision: everything that comes in is noted with the reactor's time and kept in a bounded log, and a breach of
the protocol is recorded beside it, never raised: a test or a person judges afterwards, and the printer goes on as a
printer would.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from twisted.logger import Logger

from sdcpd.simulator.simtime import SimTime
from sdcpd.simulator.status import JsonObject

__all__ = ["Counts", "Entry", "Journal", "Violation"]

_LOG_LENGTH = 10_000
_TOLD = frozenset({"up", "disconnected", "refused", "power-on", "power-off", "transfer-failed"})


@dataclass(frozen=True)
class Entry:
    """One thing that was received, or that happened to the link."""

    time: float  # the reactor's seconds, not scaled
    kind: str
    detail: JsonObject

    def to_json(self) -> JsonObject:
        """As the control socket shows it."""
        return asdict(self)


@dataclass(frozen=True)
class Violation:
    """One breach of the protocol by the other side."""

    time: float
    printer: str
    code: str
    text: str

    def to_json(self) -> JsonObject:
        """As the control socket shows it."""
        return asdict(self)


@dataclass
class Counts:
    """How often what was received: the proof that a start is never sent twice."""

    kinds: Counter[str] = field(default_factory=Counter)  # probe, invitation, calling, up, request, http ...
    commands: Counter[int] = field(default_factory=Counter)  # Cmd -> requests received
    request_ids: Counter[tuple[int, str]] = field(default_factory=Counter)  # (Cmd, RequestID) -> received
    starts: Counter[str] = field(default_factory=Counter)  # file -> Cmd 128 received for it, obeyed or not

    def to_json(self) -> JsonObject:
        """As the control socket shows it."""
        return {
            "kinds": dict(self.kinds),
            "starts": dict(self.starts),
            "commands": {str(cmd): n for cmd, n in sorted(self.commands.items())},
            "request_ids": [
                {"cmd": cmd, "request_id": request_id, "count": n} for (cmd, request_id), n in self.request_ids.items()
            ],
        }


class Journal:
    """The log, the counts and the violations of one printer."""

    _log = Logger()

    def __init__(self, time: SimTime, printer: str, strict: bool, noted: Callable[[], None]) -> None:
        self._time = time
        self._printer = printer
        self._strict = strict
        self._noted = noted
        self.entries: deque[Entry] = deque(maxlen=_LOG_LENGTH)
        self.violations: list[Violation] = []
        self.counts = Counts()

    def note(self, kind: str, **detail: Any) -> None:
        """Something came in or happened."""
        self.counts.kinds[kind] += 1
        self.entries.append(Entry(self._time.real(), kind, detail))
        if kind in _TOLD:
            self._log.info("{printer}: {kind} {detail}", printer=self._printer, kind=kind, detail=detail)
        self._noted()

    def violation(self, code: str, text: str) -> None:
        """The other side broke a rule; kept in strict mode only."""
        if not self._strict:
            return
        self.violations.append(Violation(self._time.real(), self._printer, code, text))
        self._log.warn("{printer}: violation {code}: {text}", printer=self._printer, code=code, text=text)
        self._noted()
