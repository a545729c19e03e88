"""Parts that clear and encrypted .ctb files have in common: previews, texts, version, the resin's record.

One decision: a part is bytes that know their own place. Whoever arranges a file hands in the offset and gets bytes
back, so the two layouts differ only in which parts they put where (formats reference, sections 4 and 5).
"""

from __future__ import annotations

import struct

import numpy as np

from sdcpd.simulator.slicing.recipe import Moves, Recipe
from sdcpd.simulator.slicing.slices import Slices, rgb565
from sdcpd.simulator.slicing.view import Picture

__all__ = [
    "AA_OFF",
    "AA_ON",
    "DISCLAIMER",
    "LARGE",
    "PER_LAYER",
    "SMALL",
    "check",
    "lifts",
    "preview",
    "resin",
    "rle15",
    "slicer_version",
]

LARGE, SMALL = (400, 300), (200, 125)
DISCLAIMER = b"(test file, no disclaimer text)".ljust(320)
"""In place of the vendor's text, as long as that."""
AA_ON, AA_OFF = 0x0F, 0x07
PER_LAYER = 0x40

_RUN = 0x20
_REPEAT = 0x3000
_LONGEST = 0xFFF


def check(recipe: Recipe) -> None:
    """Raises ``ValueError`` for what no .ctb can say."""
    if recipe.mirror_y:
        raise ValueError("a .ctb cannot say that its pictures are mirrored top to bottom")
    if recipe.pauses:
        raise ValueError("a .ctb has no pauses")


def rle15(picture: Picture) -> bytes:
    """A preview's colours, five bits each; three or more alike are one with a count."""
    colours = (rgb565(picture) & 0xFFDF).reshape(-1)
    heads = np.flatnonzero(np.append(True, colours[1:] != colours[:-1]))
    words: list[int] = []
    for colour, length in zip(colours[heads].tolist(), np.diff(np.append(heads, colours.size)).tolist(), strict=True):
        while length > 2:
            run = min(length, _LONGEST)
            words += (colour | _RUN, _REPEAT | run - 1)
            length -= run
        words += [colour] * length
    return struct.pack(f"<{len(words)}H", *words)


def preview(slices: Slices, size: tuple[int, int], at: int, record: int) -> bytes:
    """A preview's record of so many bytes, and its picture behind it."""
    data = rle15(slices.preview(*size))
    return struct.pack("<4I", *size, at + record, len(data)).ljust(record, b"\0") + data


def lifts(moves: Moves) -> tuple[float, ...]:
    """As layers of version 4 and later have them, whose lift is the total of both stages."""
    return (
        *(moves.lift + moves.second_lift, moves.lift_speed, moves.second_lift, moves.second_lift_speed),
        *(moves.retract_speed, moves.second_retract, moves.second_retract_speed),
    )


def resin(recipe: Recipe, at: int) -> bytes:
    """The record of version 5 and its texts."""
    kind, name, machine = recipe.resin_type.encode(), recipe.resin.encode(), recipe.machine.encode()
    texts = at + 40
    red, green, blue = recipe.resin_colour
    record = struct.pack(
        "<I4B6IfI",
        *(0, blue, green, red, 255),
        texts + len(kind) + len(name),
        *(len(kind), texts),
        *(len(name), texts + len(kind)),
        len(machine),
        recipe.density,
        0,
    )
    return record + kind + name + machine


def slicer_version(text: str) -> int:
    """``1.9.4.0`` as a number, one byte each from the top; raises ``ValueError`` for another form."""
    parts = [int(part) for part in text.split(".")]
    return int.from_bytes(bytes(parts + [0] * (4 - len(parts))), "big")
