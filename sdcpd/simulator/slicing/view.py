"""The picture of a model that a file carries: seen from the front and from above, lit from the left.

One decision: the model is asked for its sections, as the slicer asks it, on a grid as coarse as the picture. With the
right steps each section is a picture that lies one row higher than the one below, so painting them from the bottom up
hides what is hidden; the front edge of a section is a piece of wall, the rest of it a piece of top, and what is cut out
of it lies in shadow.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sdcpd.simulator.slicing.model import Model
from sdcpd.simulator.slicing.shapes import Grid, Section, runs_of

__all__ = ["Picture", "view"]

Picture = NDArray[np.uint8]
"""Rows from the top, columns, red-green-blue."""

_BACKGROUND = (24, 28, 40)
_SINE, _COSINE = math.sin(math.radians(35)), math.cos(math.radians(35))
_MARGIN = 0.9
_SHADOW = 0.35
_BLUR = 1
_WINDOW = 6  # pixels to each side that tell which way a wall faces


def view(model: Model, width: int, height: int, colour: tuple[int, int, int]) -> Picture:
    """The model in a picture of that size, as large as it can be."""
    across, deep, tall = model.size
    scale = max(across / width, (deep * _SINE + tall * _COSINE) / height) / _MARGIN  # mm in a pixel
    rows = max(1, math.ceil(deep * _SINE / scale))
    grid = Grid(width, rows, (scale, scale / _SINE), 1)
    sections = max(1, round(tall * _COSINE / scale))
    shades = np.zeros((height, width), np.float64)
    bottom = (height + rows + sections) // 2  # of the lowest section's front
    last: tuple[Section, NDArray[np.bool_], NDArray[np.float64]] | None = None
    for level in range(sections):
        section = model.section((level + 0.5) * tall / sections)
        if last is None or last[0] != section:
            solid = _mask(section, grid)
            whole = _mask(Section(section.solids), grid) if section.cuts else solid
            last = section, whole, np.where(solid, _shades(solid), _SHADOW)
        top = bottom - rows - level
        first, behind = max(0, -top), min(rows, height - top)
        np.copyto(shades[top + first : top + behind], last[2][first:behind], where=last[1][first:behind])
    lit = _smooth(shades)[:, :, None] * np.array(colour)
    return np.where(shades[:, :, None] > 0, lit, _BACKGROUND).astype(np.uint8)


def _mask(section: Section, grid: Grid) -> NDArray[np.bool_]:
    """Which places of the grid a section lights."""
    greys, lengths = runs_of(section, grid)
    return np.repeat(greys > 0, lengths).reshape(grid.rows, grid.columns)


def _shades(solid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """How bright each place of a section is: tops are bright, walls by the side that they face."""
    width = solid.shape[1]
    front = solid.copy()
    front[:-1] &= ~solid[1:]
    sums = np.cumsum(np.pad(solid, ((0, 0), (_WINDOW + 1, _WINDOW))), axis=1, dtype=np.int32)
    here = sums[:, _WINDOW : _WINDOW + width]
    left = here - sums[:, :width]
    right = sums[:, 2 * _WINDOW + 1 :] - sums[:, _WINDOW + 1 : _WINDOW + 1 + width]
    walls: NDArray[np.float64] = 0.55 + 0.25 * (right - left) / _WINDOW
    return np.where(front, walls, 1.0)


def _smooth(shades: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean over a few places around that the model covers: a slope is made of tops and walls in turn."""
    around = np.zeros((2, *shades.shape))
    for layer, values in enumerate((shades, (shades > 0).astype(np.float64))):
        padded = np.pad(values, _BLUR)
        for down in range(2 * _BLUR + 1):
            for right in range(2 * _BLUR + 1):
                around[layer] += padded[down : down + shades.shape[0], right : right + shades.shape[1]]
    mean: NDArray[np.float64] = around[0] / np.maximum(around[1], 1)
    return mean
