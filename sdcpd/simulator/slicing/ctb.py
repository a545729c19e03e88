"""A writer of .ctb files in clear text, versions 2 to 5, with or without the XOR stream (formats reference, section 4).

One decision: the order is that of ChiTuBox (4.7), for a printer or a reader that relies on it will be found sooner or
later. Everything before the layers has a size that is known beforehand, so layers stream to the disk and the records
that point at them follow.
"""

from __future__ import annotations

import struct
from pathlib import Path

from sdcpd.simulator.slicing import ctb_parts as parts
from sdcpd.simulator.slicing.recipe import Moves, Recipe, Totals, totals
from sdcpd.simulator.slicing.rle import ctb_rle, hidden
from sdcpd.simulator.slicing.slices import Slices, encoded

__all__ = ["write"]

_MAGIC = {2: 0x12FD0086, 3: 0x12FD0086, 4: 0x12FD0106, 5: 0x12FD0106}
_HEAD, _PREVIEW, _PARAMETERS, _SLICER, _V4, _V4_RECORD = 112, 32, 60, 76, 84, 464
_ENTRY, _EXTENSION = 36, 84
_V2_MARK = 0x1234


def write(path: Path, slices: Slices, recipe: Recipe, version: int = 4, xor_key: int = 0) -> Path:
    """Write the file; returns where. Raises ``ValueError`` for what the format cannot hold."""
    if version not in _MAGIC:
        raise ValueError(f"expected a version of 2 to 5, not {version}")
    parts.check(recipe)
    layout = _Layout(slices, recipe, version)
    entries, lit = [], []
    with path.open("wb") as ctb:
        ctb.seek(layout.table + _ENTRY * slices.count)
        for layer, (rle, pixels) in enumerate(encoded(slices, ctb_rle)):
            data = hidden(rle, xor_key, layer)
            at = ctb.tell() + layout.extension
            entry = _entry(recipe, layer, at, len(data), layout.extension)
            if layout.extension:
                ctb.write(entry + _extension(recipe, layer, len(data), layout.modern))
            ctb.write(data)
            entries.append(entry)
            lit.append(pixels)
        ctb.seek(0)
        ctb.write(layout.head(totals(recipe, lit), xor_key) + b"".join(entries))
    return path


class _Layout:
    """Where everything before the layers lies, and its bytes."""

    def __init__(self, slices: Slices, recipe: Recipe, version: int) -> None:
        self._recipe = recipe
        self._version = version
        self._count = slices.count
        self._name = recipe.machine.encode()
        self._slicer_version = parts.slicer_version(recipe.slicer_version)
        self.modern = version >= 4
        self.extension = _EXTENSION if version >= 3 else 0
        self._large = parts.preview(slices, parts.LARGE, _HEAD, _PREVIEW)
        self._small_at = _HEAD + len(self._large)
        self._small = parts.preview(slices, parts.SMALL, self._small_at, _PREVIEW)
        self._parameters_at = self._small_at + len(self._small)
        self._slicer_at = self._parameters_at + _PARAMETERS
        self._name_at = self._slicer_at + _SLICER
        self._disclaimer_at = self._name_at + len(self._name)
        self._v4_at = self._disclaimer_at + len(parts.DISCLAIMER) if self.modern else 0
        self._resin_at = self._v4_at + _V4_RECORD if version >= 5 else 0
        self._resin = parts.resin(recipe, self._resin_at) if self._resin_at else b""
        end = self._v4_at + _V4_RECORD if self.modern else self._disclaimer_at
        self.table = end + len(self._resin)

    def head(self, sums: Totals, xor_key: int) -> bytes:
        """All up to the table of layers."""
        modern = parts.DISCLAIMER + self._v4() + self._resin if self.modern else b""
        records = self._parameters(sums) + self._slicer() + self._name
        return self._header(sums, xor_key) + self._large + self._small + records + modern

    def _header(self, sums: Totals, xor_key: int) -> bytes:
        recipe = self._recipe
        return struct.pack(
            "<IIfffIIfffffIIIIIIIIIIIIHHIII",
            *(_MAGIC[self._version], self._version, *recipe.bed, 0, 0),
            *(self._count * recipe.layer_height, recipe.layer_height),
            *(recipe.exposure, recipe.bottom_exposure, recipe.light_off, recipe.bottom_layers),
            *recipe.resolution,
            *(_HEAD, self.table, self._count, self._small_at),
            *(sums.seconds, recipe.mirror_x),
            *(self._parameters_at, _PARAMETERS, 1, recipe.light_pwm, recipe.bottom_light_pwm),
            *(xor_key, self._slicer_at, _SLICER),
        )

    def _parameters(self, sums: Totals) -> bytes:
        recipe = self._recipe
        return struct.pack(
            "<10f5I",
            *(_lift(recipe.bottom_moves), recipe.bottom_moves.lift_speed),
            *(_lift(recipe.moves), recipe.moves.lift_speed, recipe.moves.retract_speed),
            *(sums.volume, sums.weight, sums.cost),
            *(recipe.bottom_light_off, recipe.light_off, recipe.bottom_layers),
            *(0, 0, 0, _V2_MARK if self._version == 2 else 0),
        )

    def _slicer(self) -> bytes:
        recipe, bottom, moves = self._recipe, self._recipe.bottom_moves, self._recipe.moves
        stages = (
            *(bottom.second_lift, bottom.second_lift_speed, moves.second_lift, moves.second_lift_speed),
            *(moves.second_retract, moves.second_retract_speed, recipe.waits.after_lift),
        )
        rests = recipe.waits.after_retract, recipe.waits.after_lift
        return struct.pack(
            "<7fIIBHBIIIffIIII",
            *(stages if self.modern else (0.0,) * 7),
            *(self._name_at, len(self._name)),
            *(parts.AA_ON if recipe.anti_aliasing > 1 else parts.AA_OFF, 0, parts.PER_LAYER * recipe.per_layer),
            int(recipe.date.timestamp()) // 60,
            *(recipe.anti_aliasing, self._slicer_version),
            *(rests if self.modern else (0.0, 0.0)),
            *(recipe.transition_layers, self._v4_at, 0, 0),
        )

    def _v4(self) -> bytes:
        bottom, waits = self._recipe.bottom_moves, self._recipe.waits
        return struct.pack(
            "<ffIfIfffff11I",
            *(bottom.retract_speed, bottom.second_retract_speed, 0, 4.0, 0, 4.0),
            *(waits.after_retract, waits.after_lift, waits.before_lift, bottom.second_retract),
            *(0, 0, 4, self._count - 1, 0, 0, 0, 0),
            *(self._disclaimer_at, len(parts.DISCLAIMER), self._resin_at),
        ).ljust(_V4_RECORD, b"\0")


def _lift(moves: Moves) -> float:
    """The whole way: the second stage, where there is one, is told elsewhere."""
    return moves.lift + moves.second_lift


def _entry(recipe: Recipe, layer: int, at: int, length: int, extension: int) -> bytes:
    page, offset = divmod(at, 2**32)
    return struct.pack(
        "<fffIIIIII",
        *(recipe.z(layer), recipe.exposure_of(layer), recipe.light_off_of(layer)),
        *(offset, length, page, extension or _ENTRY, 0, 0),
    )


def _extension(recipe: Recipe, layer: int, length: int, modern: bool) -> bytes:
    """What stands between a layer's entry, written again, and its bytes."""
    moves = recipe.moves_of(layer)
    if modern:
        told = (*parts.lifts(moves), *recipe.waits_of(layer).in_order())
    else:
        told = (_lift(moves), moves.lift_speed, 0, 0, moves.retract_speed, 0, 0, 0, 0, 0)
    return struct.pack("<I11f", _EXTENSION + length, *told, recipe.pwm_of(layer))
