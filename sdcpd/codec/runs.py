"""The run lengths of a layer, whichever way they are written: .goo's chunks (formats.md 2.6) or .ctb's RLE7 (4.8).

One decision: where a chunk ends is known only once its head is read, so the chunks of a layer cannot be found side by
side; but *how far each byte would hop if it were a head* can. The hops are squared a few times (the hop of the hop),
a short loop follows the long hops, and the short ones fill in what lies between: every step is exact, and a megabyte
costs milliseconds whatever it holds. A layer is read in segments, so that memory does not grow with it and no single
step keeps other threads waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdcpd.codec.tally import bad_grey, no_length, overrun, wrong_total

__all__ = ["SEGMENT", "Encoding", "Runs", "runs_of"]

SEGMENT = 256 * 1024
"""Bytes of a layer that are looked at together; the memory of all steps is a multiple of this."""

_LONGEST = 5  # bytes of the longest chunk, of either encoding
_SQUARINGS = 4  # one long hop is 16 chunks

Runs = tuple[int, NDArray[np.int64], NDArray[np.int16]]
"""A segment's first pixel, and for each of its runs the pixel behind it, both counted from the layer's first, and its
grey value."""


class Encoding(Enum):
    """How the runs of a layer are written; the values are the names of the formats."""

    GOO = "goo"
    CTB = "ctb"


def runs_of(rle: bytes, encoding: Encoding, pixels: int, segment: int = SEGMENT) -> Iterator[Runs]:
    """The runs of a layer of so many pixels, in segments of so many bytes.

    Raises ``BadLayer`` for a chunk that is cut off or impossible, for a grey value outside of 0 to 255, and when the
    runs do not add up to ``pixels`` exactly.
    """
    at, grey = 0, 0
    for data, heads in _segments(rle, encoding, segment):
        lengths = _goo_lengths(data, heads) if encoding is Encoding.GOO else _ctb_lengths(data, heads)
        ends = np.cumsum(lengths, dtype=np.int64)
        ends += at
        start, at = at, int(ends[-1])
        if at > pixels:
            raise wrong_total(at, pixels, "at least ")
        greys = _goo_greys(data, heads, grey) if encoding is Encoding.GOO else _CTB_GREY[data[heads]]
        grey = int(greys[-1])
        yield start, ends, greys
    if at != pixels:
        raise wrong_total(at, pixels)


def _segments(rle: bytes, encoding: Encoding, segment: int) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.intp]]]:
    """The bytes of each segment, with a few behind it, and where in them chunks begin."""
    steps_of = _goo_steps if encoding is Encoding.GOO else _ctb_steps
    at = 0
    while at < len(rle):
        here = min(segment, len(rle) - at)
        window = rle[at : at + here + _LONGEST]
        data = np.frombuffer(window.ljust(here + _LONGEST, b"\x00"), np.uint8)
        steps = steps_of(data, here)
        heads = _heads(steps)
        if encoding is Encoding.CTB and (wrong := np.flatnonzero(steps[heads] == 0)).size:
            raise no_length(at + int(heads[wrong[0]]), len(rle))
        at += int(heads[-1]) + int(steps[heads[-1]])
        yield data, heads
    if at > len(rle):
        raise overrun(at - len(rle))


def _heads(steps: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Where chunks begin, if each byte that is a head leads so far ahead; a step of 0 ends the walk."""
    size = steps.size
    hop = np.arange(size + 1)
    hop[:size] += steps
    hop[:size][steps == 0] = size
    np.minimum(hop, size, out=hop)
    hops = [hop]
    for _ in range(_SQUARINGS if size > 64 else 0):
        hops.append(hops[-1].take(hops[-1]))
    found, far, at = [], hops.pop().data, 0
    while at < size:
        found.append(at)
        at = far[at]
    heads = np.array(found, np.intp)
    while hops:
        between = np.empty((heads.size, 2), np.intp)
        between[:, 0] = heads
        between[:, 1] = hops.pop().take(heads)
        heads = between.reshape(-1)
    return heads[: np.searchsorted(heads, size)]


def _table(rule: Callable[[int], int], dtype: type[np.generic]) -> NDArray[Any]:
    """What a rule says of each byte."""
    return np.array([rule(byte) for byte in range(256)], dtype)


def _after(data: NDArray[np.uint8], at: NDArray[np.intp]) -> NDArray[np.uint32]:
    """The four bytes that begin there, the first one on top."""
    word = data[at].astype(np.uint32)
    for ahead in (1, 2, 3):
        word <<= 8
        word |= data[at + ahead]
    return word


def _goo_extra(head: int) -> int:
    """Bytes of length behind a head: for a difference only one, where bit 4 is set."""
    return head >> 4 & 1 if head >> 6 == 2 else head >> 4 & 3


_GOO_EXTRA = _table(_goo_extra, np.uint8)
_GOO_STEP = bytes(1 + (head >> 6 == 1) + _goo_extra(head) for head in range(256))
_GOO_BASE = _table(lambda head: 1 - (head >> 4 & 1) if head >> 6 == 2 else head & 0xF, np.int64)
_GOO_SHIFT = _table(lambda head: 0 if head >> 6 == 2 else 4, np.uint32)
_GOO_GREY = _table(lambda head: 255 if head >> 6 == 3 else 0, np.int16)
_GOO_DELTA = _table(lambda head: (head & 0xF) * (-1 if head & 0x20 else 1), np.int64)


def _goo_steps(data: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    return np.frombuffer(data[:size].tobytes().translate(_GOO_STEP), np.uint8)


def _goo_lengths(data: NDArray[np.uint8], heads: NDArray[np.intp]) -> NDArray[np.int64]:
    head = data[heads]
    lengths: NDArray[np.int64] = _GOO_BASE[head]
    extra = _GOO_EXTRA[head]
    long = np.flatnonzero(extra)
    kinds = head[long]
    bits = _after(data, heads[long] + 1 + (kinds >> 6 == 1))
    bits >>= 32 - 8 * extra[long].astype(np.uint32)
    lengths[long] += bits << _GOO_SHIFT[kinds]
    return lengths


def _goo_greys(data: NDArray[np.uint8], heads: NDArray[np.intp], grey: int) -> NDArray[np.int16]:
    """The grey of each run, ``grey`` being that of the run before the first."""
    head = data[heads]
    greys: NDArray[np.int16] = _GOO_GREY[head]
    kinds = head >> 6
    named = np.flatnonzero(kinds == 1)
    greys[named] = data[heads[named] + 1]
    relative = kinds == 2
    changed = np.flatnonzero(relative)
    if not changed.size:
        return greys
    # A difference counts from the last run that names its grey: the sum of all since then, which is the sum of all
    # differences up to here without those up to there. Before the first such run stands what the last segment left.
    sums = np.cumsum(_GOO_DELTA[head[changed]])
    sums_before = np.concatenate(((0,), sums))
    anchor = np.where(relative, -1, np.arange(heads.size))
    anchor = np.maximum.accumulate(anchor)[changed]
    base = np.where(anchor < 0, grey, greys[anchor])
    values = base + sums - sums_before[np.searchsorted(changed, anchor)]
    wrong = np.flatnonzero((values < 0) | (values > 255))
    if wrong.size:
        raise bad_grey(int(values[wrong[0]]))
    greys[changed] = values
    return greys


_CTB_WIDTH = bytes((b >> 7 == 0) + 2 * (b >> 6 == 2) + 3 * (b >> 5 == 6) + 4 * (b >> 4 == 14) for b in range(256))
"""Bytes of a length, by its first one; 0 where it is none."""
_CTB_MASK = np.array([0, 0x7F, 0x3FFF, 0x1F_FFFF, 0xFFF_FFFF], np.uint32)
_CTB_GREY = _table(lambda head: (head & 0x7F) << 1 | 1 if head & 0x7F else 0, np.int16)


def _ctb_steps(data: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """A head without bit 7 stands alone; one with it is followed by a length of 1 to 4 bytes."""
    widths = np.frombuffer(data[1 : size + 1].tobytes().translate(_CTB_WIDTH), np.uint8)
    return np.where(data[:size] < 0x80, np.uint8(1), np.where(widths, widths + np.uint8(1), np.uint8(0)))


def _ctb_lengths(data: NDArray[np.uint8], heads: NDArray[np.intp]) -> NDArray[np.int64]:
    lengths = np.ones(heads.size, np.int64)
    long = np.flatnonzero(data[heads] >= 0x80)
    at = heads[long] + 1
    width = np.frombuffer(data[at].tobytes().translate(_CTB_WIDTH), np.uint8)
    bits = _after(data, at)
    bits >>= 32 - 8 * width.astype(np.uint32)
    lengths[long] = bits & _CTB_MASK[width]
    return lengths
