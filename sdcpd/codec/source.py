"""Where the readers of sliced files get their bytes from, and how a number becomes one that can be shown.

One decision: nothing is read but through ``take``, which compares with what is there before it reads. So the same
reader judges a file on the disk and one that is still arriving: ``Truncated`` names the offset to come back with.
"""

from __future__ import annotations

import math
import os
import struct
from collections import namedtuple
from typing import Any, Protocol

from sdcpd.errors import Truncated

__all__ = ["BytesSource", "FileSource", "Record", "Source", "number", "take", "text"]

_HINT = "The file is cut off or still being written: export it again, or send it again."
_NOTHING = 1e-6
"""Below this a float is a zero that was written as something else."""


class Source(Protocol):
    """Bytes that can be read in any order."""

    @property
    def size(self) -> int:
        """Bytes that can be read now."""

    def read(self, offset: int, length: int) -> bytes:
        """Exactly these; whoever calls has compared with ``size``."""


class BytesSource:
    """A file that lies in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def read(self, offset: int, length: int) -> bytes:
        """A copy of these bytes."""
        return self._data[offset : offset + length]


class FileSource:
    """The first ``size`` bytes of an open file. Reads block; the position of the descriptor stays."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self.size = size

    def read(self, offset: int, length: int) -> bytes:
        """These bytes; raises ``Truncated`` where somebody made the file shorter, ``OSError`` if the disk fails."""
        found = os.pread(self._descriptor, length, offset)
        while 0 < len(found) < length and (
            more := os.pread(self._descriptor, length - len(found), offset + len(found))
        ):
            found += more
        if len(found) < length:
            raise Truncated(f"the file became shorter than {offset + length} bytes", offset + length, _HINT)
        return found


class Record:
    """A record of fixed size: a ``struct`` layout and the names of its fields, ``_`` for what nobody needs."""

    def __init__(self, layout: str, names: str) -> None:
        self._layout = struct.Struct(layout)
        made: Any = namedtuple  # a checker wants to see the names, which are the caller's
        self._make = made("Values", names.split(), rename=True)._make
        self.size = self._layout.size
        self.absent()  # as many names as fields

    def read(self, raw: bytes, offset: int = 0) -> Any:
        """The fields by their names; ``raw`` is long enough."""
        return self._make(self._layout.unpack_from(raw, offset))

    def absent(self) -> Any:
        """The fields of a record that a file does not have: zeros."""
        return self.read(bytes(self.size))


def take(source: Source, offset: int, length: int, what: str) -> bytes:
    """``length`` bytes from ``offset``; ``Truncated`` says where they end and that ``what`` lies there."""
    end = offset + length
    if end > source.size:
        raise Truncated(
            f"the file is incomplete: {what} ends at byte {end}, and there are {source.size} bytes", end, _HINT
        )
    return source.read(offset, length)


def number(value: float, least: float, most: float) -> float | None:
    """A 32 bit float as a person would write it, or None for one that cannot be meant (formats.md, section 7)."""
    if not math.isfinite(value):
        return None
    value = 0.0 if abs(value) < _NOTHING else float(f"{value:.7g}")
    return value if least <= value <= most else None


def text(raw: bytes) -> str | None:
    """The text of a field up to its first NUL, without control characters; None for an empty one."""
    found = raw.partition(b"\0")[0].decode("utf-8", "replace")
    return "".join(letter for letter in found if letter.isprintable()).strip() or None
