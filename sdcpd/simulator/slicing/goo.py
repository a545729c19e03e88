"""A writer of .goo files (V3): head with two previews, layer after layer, footer (formats reference, section 2).

One decision: the layers stream to the disk as they are made, and the head, whose size is fixed, is written again when
the sums are known. So memory holds one layer, whatever the print.
"""

from __future__ import annotations

import struct
from pathlib import Path

from sdcpd.simulator.slicing.recipe import Moves, Recipe, Totals, totals
from sdcpd.simulator.slicing.rle import goo_rle
from sdcpd.simulator.slicing.slices import Slices, encoded, rgb565

__all__ = ["write"]

_MAGIC = b"\x07\x00\x00\x00DLP\x00"
_CRLF = b"\r\n"
_FIRST_LAYER = 195_477
_SMALL, _LARGE = 116, 290
_MARK = b"\x55"
_ALL_GREYS = 1


def write(path: Path, slices: Slices, recipe: Recipe) -> Path:
    """Write the file; returns where."""
    previews = b"".join(rgb565(slices.preview(side, side)).astype(">u2").tobytes() + _CRLF for side in (_SMALL, _LARGE))
    front = _front(recipe) + previews
    lit = []
    with path.open("wb") as goo:
        goo.seek(_FIRST_LAYER)
        for layer, (rle, pixels) in enumerate(encoded(slices, goo_rle)):
            goo.write(_layer(recipe, layer, rle))
            lit.append(pixels)
        goo.write(b"\x00\x00\x00" + _MAGIC)
        goo.seek(0)
        goo.write(front + _back(recipe, slices.count, totals(recipe, lit)))
    return path


def _field(text: str, size: int) -> bytes:
    """A text in a field of so many bytes, with a NUL behind it; no letter is cut in two."""
    return text.encode()[: size - 1].decode("utf-8", "ignore").encode()


def _front(recipe: Recipe) -> bytes:
    return struct.pack(
        ">4s8s32s24s24s32s32s32sHHH",
        b"V3.0",
        _MAGIC,
        _field(recipe.slicer, 32),
        _field(recipe.slicer_version, 24),
        f"{recipe.date:%Y-%m-%d %H:%M:%S}".encode(),
        _field(recipe.machine, 32),
        _field(recipe.machine_type, 32),
        _field(recipe.resin, 32),
        recipe.anti_aliasing,
        recipe.grey_level,
        recipe.blur_level,
    )


def _stages(moves: Moves) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """Distance and speed of each stage, which the head sorts otherwise than a layer does."""
    values = moves.in_order()
    return values[0:2], values[2:4], values[4:6], values[6:8]


def _back(recipe: Recipe, count: int, sums: Totals) -> bytes:
    lift, lift2, retract, retract2 = _stages(recipe.moves)
    bottom_lift, bottom_lift2, bottom_retract, bottom_retract2 = _stages(recipe.bottom_moves)
    return struct.pack(
        ">IHHBB5fB8fI16fHHBI3f8sIBH",
        count,
        *recipe.resolution,
        recipe.mirror_x,
        recipe.mirror_y,
        *recipe.bed,
        recipe.layer_height,
        recipe.exposure,
        recipe.static_waits,
        recipe.light_off,
        *recipe.bottom_waits.in_order(),
        *recipe.waits.in_order(),
        recipe.bottom_exposure,
        recipe.bottom_layers,
        *(*bottom_lift, *lift, *bottom_retract, *retract),
        *(*bottom_lift2, *lift2, *bottom_retract2, *retract2),
        recipe.bottom_light_pwm,
        recipe.light_pwm,
        recipe.per_layer,
        sums.seconds,
        sums.volume * 1000,  # a .goo counts mm^3
        sums.weight,
        sums.cost,
        _field(recipe.currency, 8),
        _FIRST_LAYER,
        _ALL_GREYS,
        recipe.transition_layers,
    )


def _layer(recipe: Recipe, layer: int, rle: bytes) -> bytes:
    z = recipe.z(layer)
    definition = struct.pack(
        ">H15fH2sI",
        layer in recipe.pauses,
        z,  # where a pause takes the plate
        z,
        recipe.exposure_of(layer),
        recipe.light_off_of(layer),
        *recipe.waits_of(layer).in_order(),
        *recipe.moves_of(layer).in_order(),
        recipe.pwm_of(layer),
        _CRLF,
        len(rle) + 2,
    )
    return definition + _MARK + rle + bytes([~sum(rle) & 0xFF]) + _CRLF
