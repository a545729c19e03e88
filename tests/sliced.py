"""Small whole .goo files, for tests that care what is in them."""

from __future__ import annotations

import struct

HEAD = 195_477
TAIL = bytes.fromhex("00000007000000444C5000")


def goo_file(
    runs: bytes = b"layers",
    *,
    resolution: tuple[int, int] = (11520, 5120),
    bed: tuple[float, float, float] = (218.88, 122.88, 260.0),
    machine: str = "ELEGOO Saturn 3 Ultra",
    heights: tuple[float, ...] = (0.05,),
) -> bytes:
    """A .goo 3.0 without thumbnails; each layer has the same ``runs``, which mean nothing unless they do."""
    head = bytearray(HEAD)
    head[:12] = b"V3.0" + bytes.fromhex("07000000444C5000")
    head[92 : 92 + len(machine)] = machine.encode("ascii")
    for end in (194 + 2 * 116 * 116, 27_108 + 2 * 290 * 290):
        head[end : end + 2] = b"\r\n"
    struct.pack_into(">IHHBB", head, 195_310, len(heights), *resolution, 1, 0)
    struct.pack_into(">4f", head, 195_320, *bed, 0.05)
    struct.pack_into(">I", head, 0x2FB8E, HEAD)
    layers = b""
    for height in heights:
        layer = struct.pack(">H15fH2sI", 0, 0.0, height, 2.5, *[0.0] * 12, 255, b"\r\n", len(runs) + 2)
        layers += layer + b"\x55" + runs + bytes([~sum(runs) & 0xFF]) + b"\r\n"
    return bytes(head) + layers + TAIL
