"""Plane shapes, and the runs of pixels that a section made of them lights.

One decision: a shape is never drawn. It says for each row of pixels where it begins and ends, in fractions of a pixel,
all rows at once; what overlaps is joined and what is cut out is taken away by one sum over the sorted ends. So the
work grows with the outlines of a section and not with its area, and the grey of an edge pixel is the covered part of
it along its row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sdcpd.simulator.slicing.recipe import Recipe

__all__ = ["Box", "Disc", "Grid", "Ring", "Runs", "Section", "Shape", "merged", "runs_of"]

Runs = tuple[NDArray[np.uint8], NDArray[np.int64]]
"""Grey values and lengths of the runs of a layer, row by row from the top left; neighbours differ."""
Spans = tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]
"""Rows, and where in them a shape begins and ends in mm."""

_CUT = -(2**20)


@dataclass(frozen=True)
class Grid:
    """The screen's pixels over a bed whose middle is the origin: x to the right, y to the back, as a slicer shows it.

    ``fine`` is the number of parts of a pixel that are told apart along a row.
    """

    columns: int
    rows: int
    pitch: tuple[float, float]
    fine: int
    mirror_x: bool = False
    mirror_y: bool = False

    @classmethod
    def of(cls, recipe: Recipe) -> Grid:
        """The screen of a recipe's machine."""
        return cls(*recipe.resolution, recipe.pitch, recipe.anti_aliasing, recipe.mirror_x, recipe.mirror_y)

    def row_at(self, y: float) -> float:
        """The row, counted from the top edge of the picture, at a height in mm."""
        return self.rows / 2 + (y if self.mirror_y else -y) / self.pitch[1]

    def rows_between(self, front: float, back: float) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """The rows whose middle is there, from the top, and how far to the back that is."""
        one, other = sorted((self.row_at(front), self.row_at(back)))
        rows = np.arange(max(int(np.ceil(one - 0.5)), 0), min(int(np.ceil(other - 0.5)), self.rows))
        y = np.multiply(self.rows / 2 - 0.5 - rows, self.pitch[1], dtype=np.float64)
        return rows, -y if self.mirror_y else y

    def places(self, rows: NDArray[np.intp], x: NDArray[np.float64]) -> NDArray[np.int64]:
        """Fine columns, counted over all rows; what is beside the screen is brought to its edge."""
        fine = np.rint((x / self.pitch[0] + self.columns / 2) * self.fine).astype(np.int64)
        return np.clip(fine, 0, self.columns * self.fine) + rows * (self.columns * self.fine)


class Shape(Protocol):
    """A figure that every row crosses in one or two spans."""

    def spans(self, grid: Grid) -> Spans:
        """Where the rows of the grid cross it."""


@dataclass(frozen=True)
class Box:
    """A rectangle."""

    left: float
    front: float
    right: float
    back: float

    def spans(self, grid: Grid) -> Spans:
        """The same span in every row."""
        rows, _ = grid.rows_between(self.front, self.back)
        return rows, np.full(rows.size, self.left), np.full(rows.size, self.right)


@dataclass(frozen=True)
class Disc:
    """A full circle."""

    x: float
    y: float
    radius: float

    def spans(self, grid: Grid) -> Spans:
        """A chord in every row."""
        rows, y = grid.rows_between(self.y - self.radius, self.y + self.radius)
        half = np.sqrt(np.maximum(self.radius**2 - (y - self.y) ** 2, 0))
        return rows, self.x - half, self.x + half


@dataclass(frozen=True)
class Ring:
    """A circle with a concentric hole."""

    x: float
    y: float
    radius: float
    hole: float

    def spans(self, grid: Grid) -> Spans:
        """A chord above and below the hole, two beside it."""
        rows, left, right = Disc(self.x, self.y, self.radius).spans(grid)
        inner, hole_left, hole_right = Disc(self.x, self.y, self.hole).spans(grid)
        if not inner.size:
            return rows, left, right
        first = int(inner[0] - rows[0])
        beside = slice(first, first + inner.size)
        around = np.r_[0:first, first + inner.size : rows.size]
        return (
            np.concatenate((rows[around], inner, inner)),
            np.concatenate((left[around], left[beside], hole_right)),
            np.concatenate((right[around], hole_left, right[beside])),
        )


@dataclass(frozen=True)
class Section:
    """One height of a model: what is solid, and what is cut out of all of it."""

    solids: tuple[Shape, ...]
    cuts: tuple[Shape, ...] = ()


def runs_of(section: Section, grid: Grid) -> Runs:
    """The runs of the picture of a section; they fill the grid exactly."""
    starts, ends = _joined(section, grid)
    fine = grid.fine
    # Each span is a pixel that it begins in, whole pixels, and a pixel that it ends in.
    first, last = starts // fine, ends // fine
    alone = first == last
    cut = starts % fine > 0
    at = np.column_stack((first, first + cut, last)).reshape(-1)
    length = np.column_stack((np.ones_like(first), last - first - cut, np.ones_like(first))).reshape(-1)
    begun = np.where(alone, ends - starts, np.where(cut, fine - starts % fine, 0))
    covered = np.column_stack((begun, np.full_like(first, fine), np.where(alone, 0, ends % fine))).reshape(-1)
    there = np.flatnonzero((covered > 0) & (length > 0))
    at, length, covered = at[there], length[there], covered[there]
    if not at.size:
        return np.zeros(1, np.uint8), np.array([grid.columns * grid.rows])
    # A span may begin in the pixel in which the one before it ends.
    heads = np.flatnonzero(np.append(True, at[1:] != at[:-1]))
    greys = np.rint(np.add.reduceat(covered, heads) * (255 / fine)).astype(np.uint8)
    return _filled(at[heads], length[heads], greys, grid.columns * grid.rows)


def _joined(section: Section, grid: Grid) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the lit stretches of the section begin and end, in fine columns counted over all rows."""
    places, weights = [], []
    for shapes, weight in ((section.solids, 1), (section.cuts, _CUT)):
        for shape in shapes:
            rows, left, right = shape.spans(grid)
            if grid.mirror_x:
                left, right = -right, -left
            for x, sign in ((left, weight), (right, -weight)):
                places.append(grid.places(rows, x))
                weights.append(np.full(rows.size, sign))
    place = np.concatenate(places) if places else np.empty(0, np.int64)
    if not place.size:
        return place, place
    order = np.argsort(place, kind="stable")
    place = place[order]
    level = np.cumsum(np.concatenate(weights)[order]) > 0
    # What counts at a place is the sum of all that happens there.
    settled = np.append(place[1:] != place[:-1], True)
    place, level = place[settled], level[settled]
    changes = np.flatnonzero(np.diff(level, prepend=False))
    return place[changes[::2]], place[changes[1::2]]


def _filled(at: NDArray[np.int64], length: NDArray[np.int64], grey: NDArray[np.uint8], pixels: int) -> Runs:
    """Lit runs with black between them, equal neighbours merged."""
    gaps = np.append(at, pixels) - np.concatenate(((0,), at + length))
    greys = np.zeros(2 * at.size + 1, np.uint8)
    lengths = np.empty(2 * at.size + 1, np.int64)
    greys[1::2], lengths[1::2], lengths[::2] = grey, length, gaps
    there = lengths > 0
    return merged(greys[there], lengths[there])


def merged(greys: NDArray[np.uint8], lengths: NDArray[np.int64]) -> Runs:
    """Runs of which no two neighbours are of one grey."""
    heads = np.flatnonzero(np.append(True, greys[1:] != greys[:-1]))
    return greys[heads], np.add.reduceat(lengths, heads)
