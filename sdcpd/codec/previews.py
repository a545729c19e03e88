"""Thumbnails out of sliced files, as rows of RGB bytes.

One decision: a thumbnail is judged before it is unpacked. Its sides and its area are bounded when the head is read,
so the picture has at most 12 MiB, whatever the file says; a stream that ends early leaves black, one that goes on is
cut (formats.md, sections 2.2 and 4.6).
"""

from __future__ import annotations

import struct
from array import array
from functools import lru_cache

from sdcpd.codec.sliced_values import Preview
from sdcpd.codec.source import Source, take

__all__ = ["MAX_AREA", "MAX_SIDE", "possible", "rgb"]

MAX_SIDE = 4096
MAX_AREA = 2**22

_RED = bytes(((byte >> 3) * 255 + 15) // 31 for byte in range(256))
_GREEN_HIGH = bytes((byte & 7) << 3 for byte in range(256))
_GREEN_LOW = bytes(byte >> 5 for byte in range(256))
_GREEN = bytes((byte * 255 + 31) // 63 if byte < 64 else 0 for byte in range(256))
_BLUE = bytes(((byte & 31) * 255 + 15) // 31 for byte in range(256))
_REPEAT = 0x20
_COUNT = 0x0FFF


def possible(width: int, height: int, length: int) -> bool:
    """Whether a preview can have these sides in pixels, and so many bytes."""
    return (
        1 <= width <= MAX_SIDE
        and 1 <= height <= MAX_SIDE
        and width * height <= MAX_AREA
        and 0 < length <= 4 * width * height
    )


def rgb(source: Source, preview: Preview) -> bytes:
    """The picture, three bytes a pixel, from the top left; raises ``Truncated`` where the file ends before it."""
    packed = take(source, preview.offset, preview.length, "a preview")
    if preview.encoding == "rgb565":
        return _rgb565(packed)
    return _rle15(packed, preview.width * preview.height)


def _rgb565(packed: bytes) -> bytes:
    """Big-endian words, all at once: each colour is a table over one byte or over the two halves of green."""
    high, low = packed[::2], packed[1::2]
    green = int.from_bytes(high.translate(_GREEN_HIGH), "little") | int.from_bytes(low.translate(_GREEN_LOW), "little")
    picture = bytearray(3 * len(high))
    picture[0::3] = high.translate(_RED)
    picture[1::3] = green.to_bytes(len(high), "little").translate(_GREEN)
    picture[2::3] = low.translate(_BLUE)
    return bytes(picture)


def _rle15(packed: bytes, pixels: int) -> bytes:
    """Words of which one bit says that the next one is a count of repetitions."""
    words = array("H", struct.unpack(f"<{len(packed) // 2}H", packed[: len(packed) // 2 * 2]))
    picture = bytearray()
    reading = iter(words)
    for word in reading:
        copies = (next(reading, 0) & _COUNT) + 1 if word & _REPEAT else 1
        picture += _colour(word) * copies
        if len(picture) >= 3 * pixels:
            break
    del picture[3 * pixels :]
    return bytes(picture.ljust(3 * pixels, b"\0"))


@lru_cache(4096)
def _colour(word: int) -> bytes:
    """Five bits each of red, green and blue."""
    return bytes((part * 255 + 15) // 31 for part in (word >> 11, word >> 6 & 31, word & 31))
