"""The key stream that hides the layers of a CTB (formats.md, section 4.9).

One decision: the words of the stream are lanes of one large integer, so that a block of them is made by one addition
and laid over the data by one exclusive or. That takes milliseconds for the largest layer, and no package.
"""

from __future__ import annotations

from functools import cache

__all__ = ["reveal"]

_WORDS = 8192
"""Words of a block: 64 KiB of lanes, 32 KiB of data."""
_MASK = 0xFFFF_FFFF


def reveal(data: bytes, key: int, index: int) -> bytes:
    """``data`` of the layer ``index`` without the stream, or with it: twice is nothing. A key of 0 hides nothing.

    Needs twice the memory of ``data`` and half a megabyte.
    """
    if not key:
        return data
    step = (key * 0x2D83CDAC + 0xD8A83423) & _MASK
    start = (index * 0x1E1530CD + 0xEC3D47CD) * step & _MASK
    ones, numbers, mask = _lanes()
    steps = (numbers * step) & mask  # 13 bits times 32 bits stay within a lane
    clear = bytearray()
    for at in range(0, len(data), 4 * _WORDS):
        lanes = (steps + ones * ((start + at // 4 * step) & _MASK)) & mask
        stream = memoryview(lanes.to_bytes(8 * _WORDS, "little")).cast("I")[::2].tobytes()
        block = data[at : at + 4 * _WORDS]
        hidden = int.from_bytes(block, "little") ^ int.from_bytes(stream[: len(block)], "little")
        clear += hidden.to_bytes(len(block), "little")
    return bytes(clear)


@cache
def _lanes() -> tuple[int, int, int]:
    """In lanes of 64 bits: 1 in each, the number of each, the lower 32 bits of each."""
    ones = int.from_bytes(b"".join((1).to_bytes(8, "little") for _ in range(_WORDS)), "little")
    numbers = int.from_bytes(b"".join(lane.to_bytes(8, "little") for lane in range(_WORDS)), "little")
    return ones, numbers, ones * _MASK
