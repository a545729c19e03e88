"""PNG files as a viewer sees them."""

from __future__ import annotations

import struct
import zlib


def opened(png: bytes) -> tuple[int, int, bytes]:
    """Width, height and pixels of an 8-bit PNG without filters, every checksum looked at."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    at, chunks = 8, {}
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        kind, content = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", png, at + 8 + length) == (zlib.crc32(kind + content),)
        chunks[kind] = content
        at += 12 + length
    width, height, depth, colour = struct.unpack_from(">IIBB", chunks[b"IHDR"])
    assert depth == 8
    stride = 1 + width * {0: 1, 2: 3}[colour]
    rows = zlib.decompress(chunks[b"IDAT"])
    assert len(rows) == stride * height
    assert not any(rows[::stride])
    return width, height, b"".join(rows[y * stride + 1 : (y + 1) * stride] for y in range(height))
