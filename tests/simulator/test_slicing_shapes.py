"""Sections as runs, against the geometry that they are made from, pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.simulator.slicing.model import Parts, Stairs, Vase
from sdcpd.simulator.slicing.recipe import Recipe
from sdcpd.simulator.slicing.shapes import Box, Disc, Grid, Ring, Section, runs_of
from sdcpd.simulator.slicing.view import view

Span = tuple[float, float]


def drawn(section: Section, grid: Grid) -> list[bytes]:
    """The rows of a section's picture."""
    greys, lengths = runs_of(section, grid)
    assert lengths.min() > 0
    assert int(lengths.sum()) == grid.columns * grid.rows
    assert not np.any(greys[1:] == greys[:-1])
    flat = np.repeat(greys, lengths).tobytes()
    return [flat[at : at + grid.columns] for at in range(0, len(flat), grid.columns)]


def row_of(spans: list[Span], grid: Grid) -> bytes:
    """A row with these spans, counted part by part of each pixel."""
    parts = bytearray(grid.columns * grid.fine)
    for left, right in spans:
        start, end = (round((x / grid.pitch[0] + grid.columns / 2) * grid.fine) for x in (left, right))
        for place in range(max(start, 0), min(end, len(parts))):
            parts[place] = 1
    covered = (sum(parts[at : at + grid.fine]) for at in range(0, len(parts), grid.fine))
    return bytes(round(count * 255 / grid.fine) for count in covered)


def chord(y: float, radius: float) -> float:
    """Half of it; nothing beside the circle."""
    return math.sqrt(radius * radius - y * y) if abs(y) < radius else 0.0


class ShapeTests(SynchronousTestCase):
    def y_of(self, grid: Grid, row: int) -> float:
        """The middle of a row, to the back."""
        return (grid.rows / 2 - row - 0.5) * grid.pitch[1]

    def test_disc(self) -> None:
        """A disc is lit between its chords, its edge pixels as far as they are covered, on any shape of pixel."""
        for fine in (1, 2, 4, 16):
            for pitch in ((0.05, 0.05), (0.014, 0.019)):
                grid = Grid(97, 64, pitch, fine)
                x, y, radius = 3 * pitch[0], -5.3 * pitch[1], 20.7 * pitch[0]
                for row, found in enumerate(drawn(Section((Disc(x, y, radius),)), grid)):
                    half = chord(self.y_of(grid, row) - y, radius)
                    self.assertEqual(found, row_of([(x - half, x + half)], grid), (fine, pitch, row))

    def test_ring(self) -> None:
        """A ring has a hole, also one so wide that the wall is thinner than a pixel."""
        grid = Grid(120, 80, (0.05, 0.05), 4)
        for hole in (0.0, 0.9, 1.5, 1.77):
            for row, found in enumerate(drawn(Section((Ring(0, 0, 1.8, hole),)), grid)):
                y = self.y_of(grid, row)
                outer, inner = chord(y, 1.8), chord(y, hole)
                self.assertEqual(found, row_of([(-outer, -inner), (inner, outer)], grid), (hole, row))

    def test_overlap(self) -> None:
        """What overlaps is lit once, what touches has no seam, and what is cut out is dark in all of it."""
        grid = Grid(40, 10, (0.1, 0.1), 4)
        left, right, on_top = Box(-1.5, -0.3, 0, 0.3), Box(0, -0.3, 1, 0.3), Box(-0.5, -0.3, 0.5, 0.3)
        rows = drawn(Section((left, right, on_top, on_top)), grid)
        self.assertEqual(rows[5], row_of([(-1.5, 1)], grid))
        rows = drawn(Section((left, right, on_top), (Box(-0.2, -1, 0.33, 1),)), grid)
        self.assertEqual(rows[5], row_of([(-1.5, -0.2), (0.33, 1)], grid))
        self.assertEqual([any(row) for row in rows], [False] * 2 + [True] * 6 + [False] * 2)

    def test_shared_pixel(self) -> None:
        """Two edges within one pixel add up to its grey."""
        grid = Grid(10, 1, (1, 1), 4)
        rows = drawn(Section((Box(-3, -1, 0.25, 1), Box(0.75, -1, 3, 1))), grid)
        self.assertEqual(rows, [bytes([0, 0, 255, 255, 255, 128, 255, 255, 0, 0])])
        rows = drawn(Section((Box(0.25, -1, 0.5, 1), Box(0.75, -1, 1, 1))), grid)
        self.assertEqual(rows, [bytes([0, 0, 0, 0, 0, 128, 0, 0, 0, 0])])

    def test_screen_edge(self) -> None:
        """A model larger than the screen fills it, and one beside it lights nothing."""
        grid = Grid(33, 17, (1, 1), 4)
        self.assertEqual(drawn(Section((Box(-99, -99, 99, 99),)), grid), [b"\xff" * 33] * 17)
        for nothing in (Section(()), Section((Disc(90, 0, 5),)), Section((Disc(0, 90, 5),))):
            self.assertEqual(drawn(nothing, grid), [bytes(33)] * 17)

    def test_mirror(self) -> None:
        """A mirrored screen gets the same picture, turned over exactly."""
        section = Section((Disc(3, 4, 2.3), Box(-7, -6.1, -2, 1.1)), (Disc(-4, -3, 1.1),))
        plain = drawn(section, Grid(60, 40, (0.3, 0.4), 4))
        self.assertEqual(
            drawn(section, Grid(60, 40, (0.3, 0.4), 4, mirror_x=True)), [bytes(reversed(row)) for row in plain]
        )
        self.assertEqual(drawn(section, Grid(60, 40, (0.3, 0.4), 4, mirror_y=True)), plain[::-1])


class ModelTests(SynchronousTestCase):
    GRID = Grid(240, 80, (0.3, 0.3), 4)

    def test_vase(self) -> None:
        """A vase has a solid foot, then walls around nothing, and keeps within its size."""
        vase = Vase(15, 20, foot=1)
        foot, body = (drawn(vase.section(z), self.GRID) for z in (0.5, 10))
        self.assertEqual(foot[40][120], 255)
        self.assertEqual(body[40][120], 0)
        radius = vase.radius_at(10)
        wall = radius * 7 / 8
        half, hole = chord(-0.15, radius), chord(-0.15, wall)
        self.assertEqual(body[40], row_of([(-half, -hole), (hole, half)], self.GRID))
        self.assertLessEqual(2 * radius, vase.size[0])

    def test_stairs(self) -> None:
        """A stair goes up to the right, and near its top a step has its number, readable from the front."""
        stairs = Stairs()
        bottom, below, top = (drawn(stairs.section(z), self.GRID) for z in (1, 8.9, 9.5))
        self.assertEqual(bottom[40], row_of([(-30, 30)], self.GRID))
        self.assertEqual(below[40], row_of([(-7.5, 30)], self.GRID))
        square = 1.75
        left = -7.5 + (7.5 - 3 * square) / 2
        written = []
        for row in range(5):
            y = square * (2 - row)
            line = top[int(40 - y / 0.3)]
            columns = (int((left + square * (place + 0.5)) / 0.3 + 120) for place in range(3))
            written.append("".join(" #"[line[column] == 0] for column in columns))
        self.assertEqual(written, ["# #", "# #", "###", "  #", "  #"])
        self.assertEqual(stairs.section(99), Section(()))

    def test_parts(self) -> None:
        """Parts stand on rafts and thin supports, differ in height, and every second one has a hole."""
        parts = Parts()
        raft, supports, body, high = (parts.section(z) for z in (0.5, 3, 8, 19))
        self.assertEqual([len(section.solids) for section in (raft, supports, body, high)], [6, 96, 6, 1])
        self.assertEqual(len(body.cuts), 3)
        lit = [sum(map(sum, drawn(section, Grid(320, 240, (0.3, 0.3), 4)))) for section in (raft, supports, body)]
        self.assertLess(lit[1], lit[0] / 10)
        self.assertGreater(lit[0], lit[2])

    def test_view(self) -> None:
        """The preview shows the model from the front: a stair rises to the right, with nothing above or beside it."""
        picture = view(Stairs(), 100, 80, (255, 128, 0))
        background = picture[0, 0].tolist()
        tops = [
            next(row for row in range(80) if picture[row, column].tolist() != background) for column in (12, 50, 88)
        ]
        self.assertEqual(tops, sorted(tops, reverse=True))
        self.assertGreater(tops[0] - tops[2], 15)
        edge = np.concatenate((picture[0], picture[-1], picture[:, 0], picture[:, -1]))
        self.assertTrue((edge == background).all())
        red, _, blue = picture[tops[1] + 1, 50].tolist()
        self.assertGreater(red, blue)

    def test_view_hides(self) -> None:
        """A vase is seen from above: its rim is whole, and its near wall hides what is behind it."""
        picture = view(Vase(15, 30, 1), 90, 90, (200, 200, 200)).astype(int)
        column = picture[:, 45, 0]
        seen = np.flatnonzero(column != column[0])
        self.assertEqual(seen.size, seen[-1] - seen[0] + 1)
        self.assertLess(column[seen[-1] - 3], column[seen[0] + 1])


class GridTests(SynchronousTestCase):
    def test_of(self) -> None:
        """A recipe's screen has its pixels' shape, its steps of grey and its mirrors."""
        recipe = Recipe(resolution=(15120, 6230), bed=(211.68, 118.37, 220), anti_aliasing=8, mirror_y=True)
        grid = Grid.of(recipe)
        self.assertEqual((grid.columns, grid.rows, grid.fine), (15120, 6230, 8))
        self.assertEqual([round(side, 6) for side in grid.pitch], [0.014, 0.019])
        self.assertEqual((grid.mirror_x, grid.mirror_y), (True, True))
