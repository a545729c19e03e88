"""Runs as bytes: the chunks of a .goo, the seven-bit runs of a .ctb, and the stream that hides the latter.

One decision: all chunks of a layer are written side by side. Their sizes follow from grey and length alone, so their
places are a running sum, and each byte of each kind of chunk is one assignment over the layer (formats reference, 2.6,
4.8, 4.9).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sdcpd.simulator.slicing.shapes import Runs, merged

__all__ = ["ctb_rle", "goo_rle", "hidden"]

_BLACK, _GREY, _DIFFERENCE, _WHITE = 0x00, 0x40, 0x80, 0xC0
_WIDEST = 15  # what a difference can say


def goo_rle(runs: Runs) -> bytes:
    """The chunks of a .goo; a difference where the greys are close, never for black, white or the first chunk."""
    greys, lengths = runs
    step = np.diff(greys.astype(np.int16), prepend=np.int16(0))
    close = (abs(step) <= _WIDEST) & (lengths <= 255) & (greys > 0) & (greys < 255)
    close[:1] = False
    kind = np.where(greys == 0, _BLACK, np.where(greys == 255, _WHITE, np.where(close, _DIFFERENCE, _GREY)))
    rest = np.where(close, lengths, lengths >> 4)
    extra = (rest > 0).astype(np.int64) + (rest > 0xFF) + (rest > 0xFFFF)
    extra[close] = lengths[close] > 1
    head = kind | extra << 4
    head |= np.where(close, np.where(step < 0, 0x20, 0) | abs(step), lengths & 0xF)
    named = kind == _GREY
    size = 1 + named + extra
    out, at = _placed(size, head)
    out[at[named] + 1] = greys[named]
    _big_endian(out, at + 1 + named, rest, extra)
    return out.tobytes()


def ctb_rle(runs: Runs) -> bytes:
    """The runs of a .ctb: seven bits of grey, and a length unless it is one pixel."""
    greys, lengths = merged(runs[0] >> np.uint8(1), runs[1])
    extra = (lengths > 1).astype(np.int64) + (lengths > 0x7F) + (lengths > 0x3FFF) + (lengths > 0x1F_FFFF)
    out, at = _placed(1 + extra, greys.astype(np.int64) | np.where(extra > 0, 0x80, 0))
    marks = np.array([0, 0, 0x8000, 0xC0_0000, 0xE000_0000])
    _big_endian(out, at + 1, lengths | marks[extra], extra)
    return out.tobytes()


def hidden(rle: bytes, key: int, layer: int) -> bytes:
    """A layer's bytes under the stream of its number; a key of 0 leaves them in clear."""
    if not key:
        return rle
    step = (key * 0x2D83CDAC + 0xD8A83423) & 0xFFFF_FFFF
    start = (layer * 0x1E1530CD + 0xEC3D47CD) * step & 0xFFFF_FFFF
    words = np.arange(-(-len(rle) // 4), dtype=np.uint32) * np.uint32(step) + np.uint32(start)
    stream = words.astype("<u4").view(np.uint8)[: len(rle)]
    return (np.frombuffer(rle, np.uint8) ^ stream).tobytes()


def _placed(size: NDArray[np.int64], head: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Room for chunks of these sizes with their first bytes in it, and where each begins."""
    ends = np.cumsum(size)
    out = np.zeros(int(ends[-1]) if ends.size else 0, np.uint8)
    at = ends - size
    out[at] = head
    return out, at


def _big_endian(
    out: NDArray[np.uint8], at: NDArray[np.int64], values: NDArray[np.int64], sizes: NDArray[np.int64]
) -> None:
    """Put values of so many bytes there."""
    for place in range(4):
        some = np.flatnonzero(sizes > place)
        out[at[some] + place] = values[some] >> 8 * (sizes[some] - 1 - place) & 0xFF
