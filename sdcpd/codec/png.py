"""PNG files by hand: eight bits of grey, or three times eight of colour.

One decision: filter 0 and zlib's level 3. The pictures of layers are flat areas that compress well whatever is done
to them, and the daemon's machine has better use for its time than the last percent; a few rows at a time go through
the compressor, so that the picture is never copied whole and other threads run meanwhile.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

__all__ = ["grey_png", "rgb_png"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB = 0, 2
_LEVEL = 3
_TOGETHER = 1 << 16  # bytes of rows that are compressed in one step


def grey_png(width: int, height: int, rows: bytes) -> bytes:
    """A picture of one byte a pixel, rows from the top. Raises ``ValueError`` if it has another size than told."""
    return _png(width, height, rows, _GREY, 1)


def rgb_png(width: int, height: int, rgb: bytes, shrink: int = 1) -> bytes:
    """A picture of three bytes a pixel (red, green, blue), rows from the top.

    ``shrink`` makes it so many times smaller, by the mean of each square; what does not fill a square at the right
    and bottom edge is left out, so a picture smaller than that cannot be shrunk. Raises ``ValueError`` for both.
    """
    if shrink > 1 and len(rgb) == 3 * width * height:
        width, height, rgb = _shrunk(width, height, rgb, shrink)
    return _png(width, height, rgb, _RGB, 3)


def _png(width: int, height: int, pixels: bytes, colour: int, depth: int) -> bytes:
    stride = width * depth
    if width < 1 or height < 1 or len(pixels) != stride * height:
        raise ValueError(f"{len(pixels)} bytes are no picture of {width}x{height} pixels of {depth} bytes")
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    data = b"".join(_compressed(pixels, stride))
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _compressed(pixels: bytes, stride: int) -> Iterator[bytes]:
    packer = zlib.compressobj(_LEVEL)
    view = memoryview(pixels)
    step = stride * max(_TOGETHER // stride, 1)
    for at in range(0, len(pixels), step):
        ends = range(at, min(at + step, len(pixels)), stride)
        yield packer.compress(b"\x00" + b"\x00".join(view[start : start + stride] for start in ends))
    yield packer.flush()


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))


def _shrunk(width: int, height: int, rgb: bytes, times: int) -> tuple[int, int, bytes]:
    """The mean of each square of so many pixels a side."""
    across, down = width // times, height // times
    out = bytearray(3 * across * down)
    for row in range(down):
        sums = [0] * (3 * across)
        for line in range(row * times, (row + 1) * times):
            start = 3 * width * line
            for channel in range(3):
                for column in range(times):
                    first = start + 3 * column + channel
                    part = rgb[first : start + 3 * across * times : 3 * times]
                    sums[channel::3] = map(int.__add__, sums[channel::3], part)
        area = times * times
        out[3 * across * row : 3 * across * (row + 1)] = bytes((total + area // 2) // area for total in sums)
    return across, down, bytes(out)
