"""Models to slice: a vase, a calibration stair with its numbers cut in, several parts on supports.

One decision: a model says what it looks like at a height, and nothing else. Slicing and previews both ask it that, so
a preview cannot show anything but the model that is in the layers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from sdcpd.simulator.slicing.shapes import Box, Disc, Ring, Section, Shape

__all__ = ["Model", "Parts", "Stairs", "Vase"]

_FIGURES = {
    "0": (7, 5, 5, 5, 7),
    "1": (2, 6, 2, 2, 7),
    "2": (7, 1, 7, 4, 7),
    "3": (7, 1, 7, 1, 7),
    "4": (5, 5, 7, 1, 1),
    "5": (7, 4, 7, 1, 7),
    "6": (7, 4, 7, 5, 7),
    "7": (7, 1, 1, 1, 1),
    "8": (7, 5, 7, 5, 7),
    "9": (7, 5, 7, 1, 7),
}
"""Three by five squares, rows from the top, the leftmost one in bit 2."""


class Model(Protocol):
    """A solid body; mm, the middle of the bed at the origin."""

    @property
    def size(self) -> tuple[float, float, float]:
        """Width, depth and height of what it keeps within."""

    def section(self, z: float) -> Section:
        """What is solid at a height."""


@dataclass(frozen=True)
class Vase:
    """A round vase with a belly and a narrow neck, walls of an eighth of its radius and a solid foot."""

    radius: float = 25.0
    height: float = 20.0
    foot: float = 1.0

    @property
    def size(self) -> tuple[float, float, float]:
        """As wide as its widest place."""
        widest = max(self.radius_at(self.height * step / 100) for step in range(101))
        return 2 * widest, 2 * widest, self.height

    def radius_at(self, z: float) -> float:
        """The outer radius at a height."""
        part = z / self.height
        return self.radius * (0.6 + 0.25 * math.sin(part * 5.0) + 0.15 * part)

    def section(self, z: float) -> Section:
        """A disc below, a ring above."""
        radius = self.radius_at(z)
        return Section((Disc(0, 0, radius) if z < self.foot else Ring(0, 0, radius, radius * 7 / 8),))


@dataclass(frozen=True)
class Stairs:
    """A calibration stair that goes up to the right; each step has its number cut into its top."""

    steps: int = 8
    width: float = 60.0
    depth: float = 15.0
    height: float = 20.0
    engraving: float = 1.0
    """How deep the numbers are."""

    @property
    def size(self) -> tuple[float, float, float]:
        """Of the whole stair."""
        return self.width, self.depth, self.height

    def top(self, step: int) -> float:
        """How high a step is, from 0."""
        return self.height * (step + 1) / self.steps

    def left(self, step: int) -> float:
        """Where a step begins."""
        return -self.width / 2 + self.width * step / self.steps

    def section(self, z: float) -> Section:
        """The steps that are higher than that, without the number of one of which this is the top."""
        first = next((step for step in range(self.steps) if z < self.top(step)), None)
        if first is None:
            return Section(())
        box = Box(self.left(first), -self.depth / 2, self.width / 2, self.depth / 2)
        return Section((box,), self._number(first) if z >= self.top(first) - self.engraving else ())

    def _number(self, step: int) -> tuple[Shape, ...]:
        """The number of a step as squares, in the middle of it."""
        text = str(step + 1)
        across = self.width / self.steps
        square = min(across * 0.7 / (4 * len(text) - 1), self.depth * 0.7 / 5)
        left = self.left(step) + (across - square * (4 * len(text) - 1)) / 2
        return tuple(
            Box(x, y, x + square, y + square)
            for place, figure in enumerate(text)
            for row, bits in enumerate(_FIGURES[figure])
            for column in range(3)
            if bits >> (2 - column) & 1
            for x, y in ((left + square * (4 * place + column), square * (1.5 - row)),)
        )


@dataclass(frozen=True)
class Parts:
    """Several boxes and cylinders of differing heights, each on a raft and a field of supports."""

    columns: int = 3
    rows: int = 2
    spacing: float = 30.0
    height: float = 20.0
    supports: int = 4
    """Along each side of a part."""

    @property
    def size(self) -> tuple[float, float, float]:
        """Of all parts together."""
        return self.columns * self.spacing, self.rows * self.spacing, self.height

    def section(self, z: float) -> Section:
        """Rafts, then supports that get thinner, then the parts that are as high as that."""
        raft, clear = 0.05 * self.height, 0.3 * self.height
        solids: list[Shape] = []
        cuts: list[Shape] = []
        half = 0.4 * self.spacing
        for part in range(self.columns * self.rows):
            x = (part % self.columns - (self.columns - 1) / 2) * self.spacing
            y = (part // self.columns - (self.rows - 1) / 2) * self.spacing
            top = self.height * (1 - 0.5 * part / (self.columns * self.rows))
            if z >= top:
                continue
            if z < raft:
                solids.append(Box(x - half, y - half, x + half, y + half))
            elif z < clear:
                thick = self.spacing * (0.03 - 0.02 * (z - raft) / (clear - raft))
                places = [(2 * place + 1) / self.supports - 1 for place in range(self.supports)]
                solids += [Disc(x + 0.6 * half * a, y + 0.6 * half * b, thick) for a in places for b in places]
            elif part % 2:
                solids.append(Box(x - 0.8 * half, y - 0.8 * half, x + 0.8 * half, y + 0.8 * half))
                cuts.append(Disc(x, y, 0.4 * half))
            else:
                solids.append(Disc(x, y, 0.9 * half))
        return Section(tuple(solids), tuple(cuts))
