"""A model cut into layers and seen from the front: what every writer asks for.

One decision: the seam between geometry and formats is three questions (how many layers, which runs, what picture), so
a test can have any pixels written, and layers that are alike are made and encoded once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sdcpd.simulator.slicing.model import Model
from sdcpd.simulator.slicing.recipe import Recipe
from sdcpd.simulator.slicing.shapes import Grid, Runs, Section, runs_of
from sdcpd.simulator.slicing.view import Picture, view

__all__ = ["Sliced", "Slices", "encoded", "rgb565"]


class Slices(Protocol):
    """A print's pictures."""

    @property
    def count(self) -> int:
        """How many layers there are, at least 1."""

    def runs(self, layer: int) -> Runs:
        """The picture of a layer, from 0; the same object again where it is the same picture as before."""

    def preview(self, width: int, height: int) -> Picture:
        """The print from outside."""


class Sliced:
    """The layers of a model; each is cut in the middle of its height."""

    def __init__(self, model: Model, recipe: Recipe) -> None:
        self.count = max(1, round(model.size[2] / recipe.layer_height))
        self._model = model
        self._colour = recipe.resin_colour
        self._height = recipe.layer_height
        self._grid = Grid.of(recipe)
        self._last: tuple[Section, Runs] | None = None

    def runs(self, layer: int) -> Runs:
        """The section of the model there."""
        section = self._model.section((layer + 0.5) * self._height)
        if self._last is None or self._last[0] != section:
            self._last = section, runs_of(section, self._grid)
        return self._last[1]

    def preview(self, width: int, height: int) -> Picture:
        """The model from the front and above."""
        return view(self._model, width, height, self._colour)


def encoded(slices: Slices, encode: Callable[[Runs], bytes]) -> Iterator[tuple[bytes, float]]:
    """Each layer's bytes, and how many pixels are lit in it, grey ones in part."""
    last: Runs | None = None
    rle, lit = b"", 0.0
    for layer in range(slices.count):
        if (runs := slices.runs(layer)) is not last:
            last = runs
            rle, lit = encode(runs), int((runs[0] * runs[1]).sum()) / 255
        yield rle, lit


def rgb565(picture: Picture) -> NDArray[np.uint16]:
    """Five, six and five bits of red, green and blue."""
    red, green, blue = (picture[:, :, channel].astype(np.uint16) for channel in range(3))
    return ((red >> 3 << 11) | (green >> 2 << 5) | (blue >> 3)).astype(np.uint16)
