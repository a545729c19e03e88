"""Row ``pictures``: how long a layer's picture takes, and what that does to whoever else wants the interpreter.

One decision: the plain decoder beside it looks at every pixel of the middle rows only, and is scaled up by its pixels;
all of them would take a minute. Lateness is that of a reactor's turn (select, send, recv: each gives the interpreter's
lock away and wants it back) while pictures are made in another thread.
"""

from __future__ import annotations

import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sdcpd.codec.raster import layer_picture
from sdcpd.codec.runs import Encoding
from sdcpd.codec.sliced import FileSource, layer_data, read_head, read_layers
from sdcpd.process import SWITCH
from tests.bench.table import Line, Scale, Table, say

__all__ = ["run"]

_SAMPLES = Path(__file__).parents[2].parent / "shared" / "samples"
_WIDTH = 960
_CROP = 96  # rows
_BUDGET = {"12K, rings": 60.0}
_LATE = 20.0
_TICK = 0.002
Rows = Iterator["np.ndarray[Any, Any]"]


def _rings(width: int, height: int) -> Rows:
    """18 rings with soft edges."""
    x = np.arange(width) - width / 2
    pitch = height / 36
    for y in range(height):
        radius = np.hypot(x, y - height / 2)
        soft = np.clip((0.06 - np.abs(radius / pitch % 1 - 0.5)) * pitch + 0.5, 0, 1) * (radius < height / 2)
        yield (soft * 255).astype(np.uint8)


def _supports(width: int, height: int) -> Rows:
    """60 parts and 4,000 thin supports, with soft edges."""
    rng = np.random.default_rng(1)
    at = np.column_stack((rng.uniform(0, width, 4060), rng.uniform(0, height, 4060)))
    size = np.concatenate((rng.uniform(100, 260, 60), rng.uniform(6, 14, 4000)))
    for y in range(height):
        row = np.zeros(width)
        for n in np.flatnonzero(np.abs(at[:, 1] - y) < size):
            half = np.sqrt(size[n] ** 2 - (at[n, 1] - y) ** 2)
            first, last = max(0, int(at[n, 0] - half)), min(width - 1, int(at[n, 0] + half))
            row[first : last + 1] = 255
            row[first], row[last] = max(row[first], rng.integers(1, 255)), rng.integers(1, 255)
        yield row.astype(np.uint8)


def _lattice(width: int, height: int) -> Rows:
    """A lattice over the whole plate, 29 % lit."""
    x = np.arange(width) / 26
    for y in range(height):
        wave = np.sin(x) * np.cos(y / 26) + np.sin(y / 26)
        yield (np.clip((0.32 - np.abs(wave - 0.2)) * 12 + 0.5, 0, 1) * 255).astype(np.uint8)


def encoded(rows: Rows) -> bytes:
    """A layer as .goo writes it, every grey value named (formats.md, section 2.6)."""
    out = bytearray()
    before, length = -1, 0
    for row in rows:
        starts = np.flatnonzero(np.diff(row.astype(np.int16), prepend=-1))
        for start, end, grey in zip(
            starts.tolist(), [*starts[1:].tolist(), row.size], row[starts].tolist(), strict=True
        ):
            if grey != before:
                _chunk(out, before, length)
                before, length = grey, 0
            length += end - start
    _chunk(out, before, length)
    return bytes(out)


def _chunk(out: bytearray, grey: int, length: int) -> None:
    if not length:
        return
    more = length >> 4
    extra = more.to_bytes((more.bit_length() + 7) // 8, "big")
    kind = 0x00 if grey == 0 else 0xC0 if grey == 255 else 0x40
    out.append(kind | len(extra) << 4 | length & 15)
    if kind == 0x40:
        out.append(grey)
    out += extra


def _plainly(rle: bytes, width: int, rows: int, factor: int) -> int:
    """Some rows, pixel by pixel; the number of pixels that were looked at."""
    sums = [0] * (-(-width // factor) * -(-rows // factor))
    across = -(-width // factor)
    at = place = 0
    while place < width * rows and at < len(rle):
        head = rle[at]
        extra = head >> 4 & 3
        at += 1
        grey = (0, rle[at], 0, 255)[head >> 6]
        at += head >> 6 == 1
        length = int.from_bytes(rle[at : at + extra], "big") << 4 | head & 15
        at += extra
        for pixel in range(place, min(place + length, width * rows)):
            y, x = divmod(pixel, width)
            sums[y // factor * across + x // factor] += grey
        place += length
    return min(place, width * rows)


def _best(work: Callable[[], object], rounds: int) -> float:
    """Milliseconds of the fastest of so many times."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


def _late(work: Callable[[], object], seconds: float) -> list[float]:
    """By how many milliseconds a turn that waits, sends and receives is late while another thread works; sorted."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH)  # as the daemon does
    here, there = socket.socketpair()
    over = threading.Event()

    def busy() -> None:
        while not over.is_set():
            work()

    worker = threading.Thread(target=busy)
    worker.start()
    late = []
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        select.select([], [], [], _TICK)
        here.send(b"1")
        there.recv(1)
        late.append(1000 * (time.perf_counter() - start - _TICK))
    over.set()
    worker.join()
    here.close()
    there.close()
    sys.setswitchinterval(before)
    return sorted(late)


def _samples(rounds: int) -> Iterator[Line]:
    for path in sorted(_SAMPLES.glob("*.*")):
        with path.open("rb") as file:
            source = FileSource(file.fileno(), path.stat().st_size)
            sliced = read_head(source)
            layers = read_layers(source, sliced)
            assert sliced.resolution is not None
            resolution, encoding = sliced.resolution, Encoding(sliced.format)
            some = layers[:: max(1, len(layers) // 40)]

            def every() -> None:
                for layer in some:  # noqa: B023 (called before the next file)
                    layer_picture(layer_data(source, sliced, layer), encoding, resolution, _WIDTH).png()  # noqa: B023

            yield Line(f"{path.name}: mean layer, from the disk to PNG", _best(every, rounds) / len(some), "ms")


def run(scale: Scale) -> Table:
    """Run the row."""
    rounds = 3 * scale.rounds
    lines = list(_samples(scale.rounds))
    notes = [f"Best of {rounds}; pictures at most {_WIDTH} pixels wide, one thread.", "Late: wanted after 2 ms."]
    screens = {"12K": (11520, 5120), "16K": (15120, 6230)}
    for kind, make in (("rings", _rings), ("supports", _supports), ("lattice", _lattice)):
        for name, (width, height) in screens.items():
            say(f"pictures: {name}, {kind}")
            rows = list(make(width, height))
            rle, crop = encoded(iter(rows)), encoded(iter(rows[height // 2 : height // 2 + _CROP]))
            del rows

            def work(rle: bytes = rle, size: tuple[int, int] = (width, height)) -> None:
                layer_picture(rle, Encoding.GOO, size, _WIDTH).png()

            start = time.perf_counter()
            seen = _plainly(crop, width, _CROP, -(-width // _WIDTH))
            plain = 1000 * (time.perf_counter() - start) * width * height / seen
            title = f"{name}, {kind}"
            lines.append(
                Line(f"{title}: {len(rle) / 1e6:.1f} MB", _best(work, rounds), "ms", plain, _BUDGET.get(title))
            )
            late = _late(work, scale.looped)
            lines.append(Line(f"{title}: p99 late", late[len(late) * 99 // 100], "ms", None, _LATE))
            lines.append(Line(f"{title}: latest", late[-1], "ms"))
    return Table("pictures: a layer's picture", "the plain decoder, pixel by pixel", tuple(lines), tuple(notes))
