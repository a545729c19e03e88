"""A writer of small valid .goo files (V3), for when no sliced file is at hand.

One decision: the model (a vase with a solid foot) is drawn analytically, spans of a circle per row turned into runs
at once, and its radius takes few distinct values, each encoded once; so a 12K file of hundreds of layers is written in
a fraction of a second with no bitmap and no library. Layout: section 2 of the formats reference.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

__all__ = ["encode_runs", "write_goo"]

_MAGIC = b"\x07\x00\x00\x00DLP\x00"
_CRLF = b"\r\n"
_FIRST_LAYER = 195_477
_SMALL, _LARGE = 116, 290
_EDGE = 0x80  # a grey pixel at both ends of each span
_RADII = 32  # distinct outlines in a file

Run = tuple[int, int]  # grey value, length


@dataclass(frozen=True)
class _Job:
    layers: int
    resolution: tuple[int, int]
    machine: str
    layer_height: float
    pixel: float
    exposure: float
    bottom_exposure: float
    bottom_layers: int


def write_goo(
    path: Path,
    layers: int = 200,
    resolution: tuple[int, int] = (11520, 5120),
    machine: str = "ELEGOO Saturn 3 Ultra",
    layer_height: float = 0.05,
    *,
    pixel: float = 0.019,
    exposure: float = 2.5,
    bottom_exposure: float = 30.0,
    bottom_layers: int = 5,
) -> Path:
    """Write a vase of so many layers; lengths in mm, times in s."""
    if not (0 < layers < 2**32 and all(8 <= side <= 0xFFFF for side in resolution)):
        raise ValueError(f"{layers} layers of {resolution} pixels cannot be written as .goo")
    job = _Job(layers, resolution, machine, layer_height, pixel, exposure, bottom_exposure, bottom_layers)
    shapes: dict[tuple[int, bool], tuple[bytes, int]] = {}
    lit = 0
    with path.open("wb") as goo:
        goo.write(_front(job) + _preview(_SMALL) + _CRLF + _preview(_LARGE) + _CRLF + _back(job, 0))
        for layer in range(layers):
            shape = _radius(job, layer), layer < bottom_layers
            if shape not in shapes:
                runs = list(_vase_runs(resolution, *shape))
                shapes[shape] = encode_runs(runs), sum(length for grey, length in runs if grey)
            data, pixels = shapes[shape]
            lit += pixels
            goo.write(_layer(job, layer, data))
        goo.write(b"\x00\x00\x00" + _MAGIC)
        goo.seek(_FIRST_LAYER - len(_back(job, 0)))
        goo.write(_back(job, lit))
    return path


def encode_runs(runs: list[Run]) -> bytes:
    """Runs as GOO's RLE; equal neighbours must have been merged."""
    return b"".join(_chunk(grey, length) for grey, length in runs)


@lru_cache(maxsize=65_536)
def _chunk(grey: int, length: int) -> bytes:
    extra = length >> 4
    size = (extra.bit_length() + 7) // 8
    kind = {0: 0x00, 255: 0xC0}.get(grey, 0x40)
    head = bytes([kind | size << 4 | length & 0xF])
    return head + (bytes([grey]) if kind == 0x40 else b"") + extra.to_bytes(size, "big")


def _radius(job: _Job, layer: int) -> int:
    """The outline of the vase at a layer, in pixels, one of few values."""
    height = layer / max(job.layers - 1, 1)
    swell = 0.6 + 0.25 * math.sin(height * 5.0) + 0.15 * height
    largest = min(job.resolution) * 0.2
    step = max(largest / _RADII, 1.0)
    return max(round(round(swell * largest / step) * step), 2)


def _spans(half: int) -> tuple[Run, ...]:
    """A span of white with its grey edges, ``half`` pixels to both sides of the middle."""
    return ((_EDGE, 1), (255, 2 * half - 1), (_EDGE, 1))


def _vase_runs(resolution: tuple[int, int], radius: int, solid: bool) -> Iterator[Run]:
    """A disc, or a ring with an eighth of the radius as its wall, in the middle of the plate."""
    width, height = resolution
    inner = 0 if solid else radius - max(radius // 8, 2)
    x0, y0 = width // 2, height // 2
    at = 0  # pixels told so far
    for dy in range(-radius + 1, radius):
        start = (y0 + dy) * width + x0
        half = math.isqrt(radius * radius - dy * dy)
        hole = math.isqrt(inner * inner - dy * dy) if abs(dy) < inner else 0
        if hole < 2 or half - hole < 4:
            yield 0, start - half - at
            yield from _spans(half)
        else:
            wall = half - hole
            yield 0, start - half - at
            yield from ((_EDGE, 1), (255, wall - 2), (_EDGE, 1), (0, 2 * hole + 1))
            yield from ((_EDGE, 1), (255, wall - 2), (_EDGE, 1))
        at = start + half + 1
    yield 0, width * height - at


def _preview(side: int) -> bytes:
    """The vase from the side, orange on dark blue, RGB565."""
    back, front = struct.pack(">H", 0x0887), struct.pack(">H", 0xFC60)
    rows = []
    for y in range(side):
        height = 1 - y / side
        swell = 0.6 + 0.25 * math.sin(height * 5.0) + 0.15 * height
        wide = round(swell * side * 0.7) if 0.1 < height < 0.9 else 0
        left = (side - wide) // 2
        rows.append(back * left + front * wide + back * (side - left - wide))
    return b"".join(rows)


def _front(job: _Job) -> bytes:
    return struct.pack(
        ">4s8s32s24s24s32s32s32sHHH",
        b"V3.0",
        _MAGIC,
        b"sdcpd simulator",
        b"1",
        b"2026-01-01 00:00:00",
        job.machine.encode()[:31],
        job.machine.encode()[:31],
        b"simulated resin",
        1,
        0,
        0,
    )


def _back(job: _Job, lit: int) -> bytes:
    width, height = job.resolution
    bottom = min(job.bottom_layers, job.layers)
    seconds = bottom * (job.bottom_exposure + 5) + (job.layers - bottom) * (job.exposure + 5)
    volume = lit * job.pixel**2 * job.layer_height
    return struct.pack(
        ">IHHBB5fB8fI16fHHBI3f8sIBH",
        job.layers,
        width,
        height,
        0,
        0,
        width * job.pixel,
        height * job.pixel,
        260.0,
        job.layer_height,
        job.exposure,
        1,  # static waits
        *(0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0),
        job.bottom_exposure,
        bottom,
        *(6.0, 65.0, 6.0, 65.0, 6.0, 150.0, 6.0, 150.0),
        *(0.0,) * 8,
        255,
        255,
        0,
        round(seconds),
        volume,
        volume * 1.1 / 1000,
        0.0,
        b"$",
        _FIRST_LAYER,
        1,
        0,
    )


def _layer(job: _Job, layer: int, data: bytes) -> bytes:
    z = (layer + 1) * job.layer_height
    exposure = job.bottom_exposure if layer < job.bottom_layers else job.exposure
    times = (0.0, 0.0, 0.0, 1.0)  # light off; wait before lift, after lift, after retract
    moves = (6.0, 65.0, 0.0, 0.0, 6.0, 150.0, 0.0, 0.0)  # lift, 2nd lift, retract, 2nd retract
    definition = struct.pack(">H15fH2sI", 0, z, z, exposure, *times, *moves, 255, _CRLF, len(data) + 2)
    return definition + b"\x55" + data + bytes([~sum(data) & 0xFF]) + _CRLF
