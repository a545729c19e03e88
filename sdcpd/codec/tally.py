"""The runs of a layer, counted one by one: what ``runs`` does, without its package and without its start-up cost.

One decision: a plain loop has its place. A layer of a few KB is counted before an array of it would be made, and a
machine that only wants to know whether a file is sound needs nothing but Python. What is wrong with a layer is said
here in the words that ``runs`` uses as well.
"""

from __future__ import annotations

from sdcpd.errors import BadLayer

__all__ = ["bad_grey", "check_ctb", "check_goo", "no_length", "overrun", "wrong_total"]

_AGAIN = "The file is damaged: slice or send it again."
_LONGEST = 5  # bytes of the longest chunk


def check_goo(rle: bytes, pixels: int) -> None:
    """See that the chunks of a .goo layer (formats.md, section 2.6) fill ``pixels`` exactly; else ``BadLayer``."""
    data = rle + bytes(_LONGEST)
    at = total = grey = 0
    while at < len(rle):
        head = data[at]
        kind = head >> 6
        if kind == 2:
            grey += -(head & 0xF) if head & 0x20 else head & 0xF
            if not 0 <= grey <= 255:
                raise bad_grey(grey)
            total += data[at + 1] if head & 0x10 else 1
            at += 1 + (head >> 4 & 1)
        else:
            grey = (0, data[at + 1], 0, 255)[kind]
            at += 2 if kind == 1 else 1
            extra = head >> 4 & 3
            total += int.from_bytes(data[at : at + extra]) << 4 | head & 0xF
            at += extra
    _check_end(at, len(rle), total, pixels)


def check_ctb(rle: bytes, pixels: int) -> None:
    """See that the runs of a .ctb layer (formats.md, section 4.8) fill ``pixels`` exactly; else ``BadLayer``."""
    data = rle + bytes(_LONGEST)
    at = total = 0
    while at < len(rle):
        if data[at] < 0x80:
            total += 1
            at += 1
            continue
        first = data[at + 1]
        width = 1 if first < 0x80 else 2 if first < 0xC0 else 3 if first < 0xE0 else 4 if first < 0xF0 else 0
        if not width:
            raise no_length(at, len(rle))
        total += int.from_bytes(data[at + 1 : at + 1 + width]) & ((1 << 7 * width) - 1)
        at += 1 + width
    _check_end(at, len(rle), total, pixels)


def wrong_total(found: int, pixels: int, least: str = "") -> BadLayer:
    """The runs fill another picture; ``least`` says that they were not counted to their end."""
    return BadLayer(
        f"The image data is corrupt: its runs fill {least}{found} pixels where the picture has {pixels}.",
        "Slice the model again, or send the file again if its copy elsewhere is whole.",
    )


def no_length(at: int, size: int) -> BadLayer:
    """Behind the byte ``at`` no length begins."""
    return BadLayer(
        f"The image data is corrupt: byte {at + 1} of {size} is no length of a run.",
        "The layer was read with a wrong key, or the file is damaged: slice or send it again.",
    )


def overrun(excess: int) -> BadLayer:
    """The last run is cut off."""
    return BadLayer(f"The image data is corrupt: its last run ends {excess} bytes behind the end of the layer.", _AGAIN)


def bad_grey(grey: int) -> BadLayer:
    """A difference leads out of the grey scale."""
    return BadLayer(f"The image data is corrupt: a difference leads to grey {grey}, which is not in 0 to 255.", _AGAIN)


def _check_end(at: int, size: int, total: int, pixels: int) -> None:
    if at > size:
        raise overrun(at - size)
    if total != pixels:
        raise wrong_total(total, pixels)
