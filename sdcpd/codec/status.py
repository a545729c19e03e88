"""What a printer says of itself: one frozen ``Status``, and the tables that give its numbers a meaning.

One decision: numbers stay numbers. Whatever a board sends is kept as it came (unknown keys and odd values under
``extra``), and only ``phase_of`` translates, by a table per protocol generation, because 7, 8, 9, 10, 13 and 16
mean different things in V1 and V3 (reference sdcp.md, 4.3, 4.4, appendix B).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum, IntEnum
from itertools import islice
from typing import TypeVar

from msgspec import Struct

__all__ = [
    "RUNNING",
    "UNTOLD",
    "Generation",
    "Outcome",
    "Phase",
    "PrintInfo",
    "Status",
    "TransferInfo",
    "TransferState",
    "bounded",
    "outcome_of",
    "phase_of",
    "status_from",
]

UNTOLD = -1
"""Stands for a state number that the board left out or wrote unreadably: nobody may take that for idle."""

T = TypeVar("T")

_LARGEST = 2**63 - 1
_LONGEST = 256
_MOST = 64
_DEEPEST = 4
_IN_ALL = 256
_AS_LONG_AS_A_VALUE = 32


class Generation(Enum):
    """The two wire protocols that share the name SDCP."""

    V1 = "V1"
    """MQTT: the board dials in."""
    V3 = "V3"
    """WebSocket: the board is dialled."""
    UNKNOWN = "unknown"
    """Some other version string: listed, never connected."""


class Phase(Enum):
    """What the machine is doing, in one word that every dialect is made from (apis.md, section 0)."""

    OFFLINE = "OFFLINE"
    IDLE = "IDLE"
    TRANSFER = "TRANSFER"
    CHECKING = "CHECKING"
    PREPARING = "PREPARING"
    PRINTING = "PRINTING"
    PAUSING = "PAUSING"
    PAUSED = "PAUSED"
    STOPPING = "STOPPING"
    ATTENTION = "ATTENTION"
    """The print is over and the board waits until somebody confirms on its screen."""
    BUSY = "BUSY"
    """Occupied with something that is no print: exposure test, self test."""


RUNNING = frozenset({Phase.CHECKING, Phase.PREPARING, Phase.PRINTING, Phase.PAUSING, Phase.PAUSED, Phase.STOPPING})
"""The phases in which a print is on the machine and not yet over."""


class Outcome(Enum):
    """How the last print ended, as far as the board still remembers it."""

    NONE = "none"
    COMPLETE = "complete"
    STOPPED = "stopped"


class TransferState(IntEnum):
    """``FileTransferInfo.Status`` (sdcp.md 3.4). 1 was never recorded; it is taken for running."""

    NONE = 0
    RUNNING = 1
    DONE = 2
    ERROR = 3


class PrintInfo(Struct, frozen=True):
    """The print on the machine, or the last one. Ticks are milliseconds on resin boards."""

    status: int = 0
    current_layer: int = 0
    total_layer: int = 0
    current_ticks: int = 0
    total_ticks: int = 0
    error_number: int = 0
    filename: str = ""


class TransferInfo(Struct, frozen=True):
    """The file transfer under way, or the last one; it persists until the next. Offsets are bytes."""

    status: int = 0
    download_offset: int = 0
    check_offset: int = 0
    total_size: int = 0
    filename: str = ""


class Status(Struct, frozen=True):
    """One status message, whole."""

    current: tuple[int, ...] = (0,)
    """``CurrentStatus``: one number on V1, any number of them on V3; ``UNTOLD`` where there was none."""
    previous: int = 0
    print: PrintInfo = PrintInfo()
    transfer: TransferInfo = TransferInfo()
    extra: Mapping[str, object] = {}
    """Keys that this version of the daemon does not know, and values that it could not read, ``bounded``."""


_V1_PRINTING: Mapping[int, Phase] = {
    0: Phase.BUSY,
    1: Phase.PREPARING,
    2: Phase.PRINTING,
    3: Phase.PRINTING,
    4: Phase.PRINTING,
    5: Phase.PAUSING,
    6: Phase.PRINTING,  # unclear (RPP: end of retracting); running while CurrentStatus is 1
    7: Phase.PAUSED,  # at the touchscreen
    8: Phase.PAUSED,  # by the network (M4U)
    9: Phase.STOPPING,
    10: Phase.STOPPING,  # or checking, right after a start
    12: Phase.PRINTING,  # the long final lift
    13: Phase.STOPPING,  # stopped, not yet home
    14: Phase.STOPPING,
    16: Phase.ATTENTION,
}
_V3_PRINTING: Mapping[int, Phase] = {
    0: Phase.BUSY,
    1: Phase.PREPARING,
    2: Phase.PRINTING,
    3: Phase.PRINTING,
    4: Phase.PRINTING,
    5: Phase.PAUSING,
    6: Phase.PAUSED,
    7: Phase.STOPPING,
    8: Phase.STOPPING,
    9: Phase.ATTENTION,
    10: Phase.CHECKING,
}
_PRINTING = {Generation.V1: _V1_PRINTING, Generation.V3: _V3_PRINTING, Generation.UNKNOWN: _V3_PRINTING}

_V1_OUTCOMES = {13: Outcome.STOPPED, 14: Outcome.STOPPED, 16: Outcome.COMPLETE}
_V3_OUTCOMES = {8: Outcome.STOPPED, 9: Outcome.COMPLETE}
_OUTCOMES = {Generation.V1: _V1_OUTCOMES, Generation.V3: _V3_OUTCOMES, Generation.UNKNOWN: _V3_OUTCOMES}


def phase_of(status: Status, generation: Generation, *, starting: bool = False) -> Phase:
    """The machine's phase by appendix B of sdcp.md; a number nobody knows counts as printing while busy.

    ``starting`` says that a start of ours was sent and not yet proved: then V1's 10 is the file check, not
    the stop that it is otherwise.
    """
    if 2 in status.current:
        return Phase.TRANSFER
    if 1 in status.current:
        if starting and generation is Generation.V1 and status.print.status == 10:
            return Phase.CHECKING
        return _PRINTING[generation].get(status.print.status, Phase.PRINTING)
    return Phase.BUSY if any(status.current) else Phase.IDLE


def outcome_of(status: Status, generation: Generation) -> Outcome:
    """How the last print ended, by the number the board keeps until the next start or a reboot."""
    return _OUTCOMES[generation].get(status.print.status, Outcome.NONE)


class _Kept:
    """What is kept of one message: so many values in all, however they are nested; a long text counts as several."""

    def __init__(self) -> None:
        self._left = _IN_ALL

    @property
    def full(self) -> bool:
        """Whether nothing more is kept."""
        return self._left <= 0

    def shortened(self, text: str) -> str:
        """Its beginning."""
        self._left -= len(text[:_LONGEST]) // _AS_LONG_AS_A_VALUE
        return text[:_LONGEST]

    def of(self, value: object, depth: int = _DEEPEST) -> object:
        """The same JSON value without what could hurt its keeper."""
        self._left -= 1
        if isinstance(value, str):
            return self.shortened(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return max(-_LARGEST, min(_LARGEST, value))
        if isinstance(value, dict):
            items = self._some(value.items(), depth)
            return {self.shortened(str(key)): self.of(item, depth - 1) for key, item in items}
        if isinstance(value, list):
            return [self.of(item, depth - 1) for item in self._some(value, depth)]
        return value

    def _some(self, items: Iterable[T], depth: int) -> Iterator[T]:
        for item in islice(items, _MOST if depth else 0):
            if self.full:
                return
            yield item


def bounded(value: object) -> object:
    """The same JSON value without endless texts, numbers and lists, nesting without a bottom, and many small things."""
    return _Kept().of(value)


def _number(value: object) -> int | None:
    if isinstance(value, float) and math.isfinite(value):
        value = int(value)
    if isinstance(value, str):
        try:
            value = int(value)
        except ValueError:
            return None
    if isinstance(value, int):  # true and false included: they are 1 and 0
        return max(-_LARGEST, min(_LARGEST, int(value)))
    return None


class _Reader:
    """Takes known keys out of one object of a message and remembers what was not understood."""

    def __init__(self, found: Mapping[str, object], prefix: str, extra: dict[str, object], kept: _Kept) -> None:
        self._left = dict(found)
        self._prefix = prefix
        self._extra = extra
        self._kept = kept

    def number(self, key: str, otherwise: int = 0) -> int:
        value = self._left.pop(key, None)
        number = _number(value)
        if number is None:
            self._keep(key, value)
            return otherwise
        return number

    def numbers(self, key: str) -> tuple[int, ...]:
        value = self._left.get(key)
        if not isinstance(value, list):
            return (self.number(key, UNTOLD),)
        del self._left[key]
        numbers = [_number(item) for item in value[:_MOST]]
        if None in numbers:
            self._keep(key, value)
            numbers = [n for n in numbers if n is not None] or [UNTOLD]
        return tuple(n for n in numbers if n is not None) or (0,)

    def text(self, key: str) -> str:
        value = self._left.pop(key, None)
        if isinstance(value, str):
            return value[:_LONGEST]
        self._keep(key, value)
        return ""

    def part(self, key: str) -> _Reader:
        value = self._left.pop(key, None)
        if isinstance(value, dict):
            return _Reader(value, f"{self._prefix}{key}.", self._extra, self._kept)
        self._keep(key, value)
        return _Reader({}, f"{self._prefix}{key}.", self._extra, self._kept)

    def rest(self) -> None:
        for key, value in self._left.items():
            self._keep(key, value)

    def _keep(self, key: str, value: object) -> None:
        if value is not None and len(self._extra) < _MOST and not self._kept.full:
            self._extra[self._kept.shortened(self._prefix + key)] = self._kept.of(value)


def status_from(found: Mapping[str, object]) -> Status:
    """A ``Status`` from the decoded JSON object, whatever is missing, odd or new in it; never fails."""
    extra: dict[str, object] = {}
    reader = _Reader(found, "", extra, _Kept())
    current = reader.numbers("CurrentStatus")
    previous = reader.number("PreviousStatus")
    info = reader.part("PrintInfo")
    printing = PrintInfo(
        info.number("Status", UNTOLD),
        info.number("CurrentLayer"),
        info.number("TotalLayer"),
        info.number("CurrentTicks"),
        info.number("TotalTicks"),
        info.number("ErrorNumber"),
        info.text("Filename"),
    )
    info.rest()
    moved = reader.part("FileTransferInfo")
    transfer = TransferInfo(
        moved.number("Status"),
        moved.number("DownloadOffset"),
        moved.number("CheckOffset"),
        moved.number("FileTotalSize"),
        moved.text("Filename"),
    )
    moved.rest()
    reader.rest()
    return Status(current, previous, printing, transfer, extra)
