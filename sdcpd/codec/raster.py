"""From a layer's run lengths to a small grey picture of it, by the exact box filter (formats.md, section 6).

One decision: the picture of the screen is never built, for it would have up to 268 million pixels. A row of runs is a
step function, and the mean of a step function over a box follows from its steps alone: each is added where it falls
and to all cells right of it by one running sum, in whole numbers, so every pixel is exact to rounding. The sums are
kept for a band of the picture only. Beside the layer's bytes and the picture itself (twice, while it is handed over)
the work takes at most ``WORKING`` bytes, whatever the layer holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from sdcpd.codec.png import grey_png
from sdcpd.codec.runs import Encoding, Runs, runs_of
from sdcpd.codec.sliced_values import MAX_PIXELS, SlicedFile

__all__ = ["LARGEST", "WORKING", "Picture", "layer_picture", "shown"]

LARGEST = 4096
"""Pixels that a picture is wide and high at most."""
WORKING = 48 * 2**20
"""Bytes of memory that a picture takes at most beside the layer's bytes and the picture."""

_BAND = 2**18  # cells whose sums are kept together


class Picture(Struct, frozen=True):
    """Eight bits of grey for each pixel, rows from the top, without gaps."""

    width: int
    height: int
    rows: bytes

    def png(self) -> bytes:
        """As a PNG file."""
        return grey_png(self.width, self.height, self.rows)


@dataclass(frozen=True)
class _Grid:
    """How the screen's pixels fall into the picture's: boxes of ``sx`` by ``sy``; the last ones may be cut short."""

    columns: int
    rows: int
    sx: int
    sy: int

    @property
    def width(self) -> int:
        return -(-self.columns // self.sx)

    @property
    def height(self) -> int:
        return -(-self.rows // self.sy)


def layer_picture(
    rle: bytes,
    encoding: Encoding,
    resolution: tuple[int, int],
    width: int,
    pitch: tuple[float, float] | None = None,
    mirror_x: bool = False,
    mirror_y: bool = False,
) -> Picture:
    """The picture of a layer, at most ``width`` pixels wide (which is brought into 1 to ``LARGEST`` and the screen's).

    ``resolution`` is the screen's, ``pitch`` the width and height of one of its pixels, in any unit; where it is not
    known the pixels count as square. ``mirror_x`` and ``mirror_y`` are the file's own flags: with them the picture is
    turned to what the slicer showed, without them it is what the screen lights up (formats.md, 6.5).

    The picture has the largest whole factor that fits, so it may be narrower than ``width``; its height follows from
    the pixels' shape and is ``LARGEST`` at most. A box that the right edge cuts is filled up with the last pixel.

    Raises ``BadLayer`` when the runs are not such a layer, and ``ValueError`` for a resolution that no screen has.
    """
    grid = _grid(resolution, width, pitch)
    picture = np.empty((grid.height, grid.width), np.uint8)
    canvas = _Canvas(grid, picture[:: -1 if mirror_y else 1, :: -1 if mirror_x else 1])
    for runs in runs_of(rle, encoding, grid.columns * grid.rows):
        canvas.add(runs)
    return Picture(grid.width, grid.height, picture.tobytes())


def shown(rle: bytes, sliced: SlicedFile, width: int) -> Picture:
    """The picture of a layer of a file as its slicer showed it, by ``layer_picture``; its resolution is known."""
    assert sliced.resolution is not None, "known of every file whose layers can be shown"
    columns, rows = sliced.resolution
    pitch = (sliced.bed[0] / columns, sliced.bed[1] / rows) if sliced.bed else None
    mirror = bool(sliced.mirror_x), bool(sliced.mirror_y)
    return layer_picture(rle, Encoding(sliced.format), (columns, rows), width, pitch, *mirror)


def _grid(resolution: tuple[int, int], width: int, pitch: tuple[float, float] | None) -> _Grid:
    """The factors of formats.md 6.3; a very tall screen is made smaller both ways, that the height fits, too."""
    columns, rows = resolution
    if not (0 < columns <= 0xFFFF and 0 < rows <= 0xFFFF and columns * rows <= MAX_PIXELS):
        raise ValueError(f"a layer of {columns}x{rows} pixels is on no screen")
    px, py = pitch or (1.0, 1.0)
    # A silly bed size in a file is no reason to show nothing: beyond 8:1 the pixels count as square.
    shape = px / py if px > 0 and py > 0 and 1 / 8 <= px / py <= 8 else 1.0
    sx = -(-columns // max(1, min(width, columns, LARGEST)))
    sy = max(1, round(sx * shape))
    if sy * LARGEST < rows:
        sy = -(-rows // LARGEST)
        sx = min(max(sx, round(sy / shape)), columns)
    return _Grid(columns, rows, sx, min(sy, rows))


class _Canvas:
    """The sums of the band that the runs have come to, and the picture that finished bands go into."""

    def __init__(self, grid: _Grid, picture: NDArray[np.uint8]) -> None:
        self._grid = grid
        self._picture = picture
        self._per_band = max(1, _BAND // (grid.width + 1))
        self._grey = 0
        # Twice a box's sum and its area are at most 511 times its area: nearly always 32 bits, which is twice as fast.
        self._dtype = np.int32 if 511 * grid.sx * grid.sy < 2**31 else np.int64
        self._row = 1  # the first row of the screen whose beginning has not been seen; the first begins with nothing
        self._begin(0)

    def _begin(self, first: int) -> None:
        grid = self._grid
        self._first = first
        self._last = min(first + self._per_band, grid.height)  # the row of the picture behind the band
        self._behind = min(self._last * grid.sy, grid.rows)  # the same row on the screen
        self._cells = np.zeros((self._last - first, grid.width + 1), self._dtype)
        self._lit = range(0)  # the rows of the band from the first to the last that is not black

    def add(self, runs: Runs) -> None:
        """Take the next runs of the layer; the bands that they fill are done."""
        start, ends, greys = runs
        columns, rows = self._grid.columns, self._grid.rows
        behind = int(ends[-1])
        steps = np.diff(greys, prepend=np.int16(self._grey))
        changes = np.flatnonzero(steps)
        # A step stands where the run before it ended. Runs of no length behind the last pixel light nothing.
        places = ends[changes - 1]
        if changes.size and changes[0] == 0:
            places[0] = start
        inside = int(np.searchsorted(places, columns * rows))
        step = steps[changes[:inside]].astype(np.int32)
        place = places[:inside].astype(np.int32)
        row = place // columns
        column = place - row * columns
        # A row of the screen begins with the grey of the pixel before it.
        starts = np.arange(self._row, min(behind // columns + 1, rows))
        begins = greys[np.searchsorted(ends, starts * columns)]
        self._row += starts.size
        self._grey = int(greys[-1])
        while True:
            edge, begun = np.searchsorted(row, self._behind), np.searchsorted(starts, self._behind)
            self._sum(row[:edge], column[:edge], step[:edge])
            self._start(starts[:begun], begins[:begun])
            if behind < self._behind * columns:
                return
            self._finish()
            if self._last == self._grid.height:
                return
            self._begin(self._last)
            row, column, step = row[edge:], column[edge:], step[edge:]
            starts, begins = starts[begun:], begins[begun:]

    def _start(self, starts: NDArray[np.intp], greys: NDArray[np.int16]) -> None:
        """Rows of the screen begin with these greys."""
        bright = np.flatnonzero(greys)
        if bright.size:
            row = starts[bright] // self._grid.sy - self._first
            np.add.at(self._cells[:, 0], row, greys[bright].astype(self._dtype) * self._grid.sx)
            self._light(row)

    def _light(self, row: NDArray[Any]) -> None:
        """Something falls into these rows of the band, which are in order."""
        first, last = int(row[0]), int(row[-1]) + 1
        self._lit = range(min(first, self._lit.start), max(last, self._lit.stop)) if self._lit else range(first, last)

    def _sum(self, row: NDArray[np.int32], column: NDArray[np.int32], step: NDArray[np.int32]) -> None:
        """Add steps to the cells they fall into, and what is left of each box to the cell right of it."""
        if not row.size:
            return
        sx, across = self._grid.sx, self._grid.width + 1
        down = row // self._grid.sy - self._first
        self._light(down)
        cell = column // sx
        rest = (cell + 1) * sx - column  # pixels of the box from the step on
        cell += down * across
        step = step.astype(self._dtype, copy=False)
        here = step * rest
        cells = self._cells.reshape(-1)
        np.add.at(cells, cell, here)
        cell += 1
        np.add.at(cells, cell, step * sx - here)

    def _finish(self) -> None:
        """Turn the sums of the band into grey values: the mean of each box, halves upward."""
        grid, lit = self._grid, self._lit
        picture = self._picture[self._first : self._last]
        picture[: lit.start] = 0
        picture[lit.stop :] = 0
        if not lit:
            return
        sums: Any = np.cumsum(self._cells[lit.start : lit.stop, : grid.width], axis=1, dtype=self._dtype)
        sums *= 2
        whole, tall = len(lit), grid.sy
        if self._first + lit.stop == grid.height:  # the last boxes may be cut short
            whole, tall = whole - 1, grid.rows - (grid.height - 1) * grid.sy
        for part, rows in ((slice(whole), grid.sy), (slice(whole, None), tall)):
            area = rows * grid.sx
            sums[part] += area
            sums[part] //= 2 * area
        np.copyto(picture[lit.start : lit.stop], sums, casting="unsafe")
