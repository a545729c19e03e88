"""The writers against the reference's files: the same print comes out byte for byte."""

from __future__ import annotations

import struct
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.codec.sliced import BytesSource, preview, read_head
from sdcpd.simulator.slicing import Moves, Recipe, Waits, ctb, goo
from sdcpd.simulator.slicing.rle import ctb_rle, goo_rle, hidden
from sdcpd.simulator.slicing.shapes import Runs, merged
from sdcpd.simulator.slicing.view import Picture
from tests.codec.vectors import expected, pixels, vector

KEY = 0xDCBE9950
TINY = Recipe(
    machine="Test Printer 12px",
    slicer="sdcpd test writer",
    slicer_version="1.0.0",
    date=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    resolution=(16, 12),
    bed=(0.8, 0.6, 100),
    bottom_layers=2,
    moves=Moves(4, 70, 3.5, 190, 5.5, 160, 2, 65),
    bottom_moves=Moves(5, 65, 3, 180, 6, 150, 2, 60),
    waits=Waits(0.25, 0.75, 1.25),
    bottom_waits=Waits(0.5, 1, 1.5),
    light_pwm=200,
    print_time=123,
    volume=1.4405,
    weight=1.5845,
    cost=0.047535,
    resin="Test resin profile",
    resin_colour=(240, 128, 16),
    grey_level=2,
    blur_level=1,
)
"""What the reference tells of its small files, but for the transition layer, which they name and do not make."""
GOO_TRANSITION = 0x2FB93


def runs(*pairs: tuple[int, int]) -> Runs:
    """Grey values and lengths."""
    greys, lengths = zip(*pairs, strict=True)
    return np.array(greys, np.uint8), np.array(lengths, np.int64)


class Given:
    """Pictures out of a file of the reference's."""

    count = 4

    def __init__(self, name: str) -> None:
        data = BytesSource(vector(name))
        head = read_head(data)
        self._previews = {}
        for number in range(2):
            width, height, rgb = preview(data, head, number)
            self._previews[width, height] = np.frombuffer(rgb, np.uint8).reshape(height, width, 3)

    def runs(self, layer: int) -> Runs:
        greys = np.frombuffer(pixels(layer), np.uint8)
        return merged(greys, np.ones(greys.size, np.int64))

    def preview(self, width: int, height: int) -> Picture:
        return self._previews[width, height]


class VectorTests(SynchronousTestCase):
    def test_goo(self) -> None:
        """A .goo has every record, every field and every chunk where the reference has it."""
        found = goo.write(Path(self.mktemp()), Given("tiny.goo"), replace(TINY, machine_type="MSLA")).read_bytes()
        patched = bytearray(found)
        struct.pack_into(">H", patched, GOO_TRANSITION, 1)
        self.assertEqual(bytes(patched), vector("tiny.goo"))

    def test_ctb(self) -> None:
        """A .ctb of each version has its records in the order and with the content of the reference's."""
        for version, slicer in ((2, "1.6.3.0"), (3, "1.6.3.0"), (4, "1.9.0.0"), (5, "2.0.0.0")):
            recipe = replace(TINY, slicer_version=slicer, date=datetime(2026, 1, 2, 3, tzinfo=UTC))
            if version < 4:  # one stage is all that they can tell
                recipe = replace(recipe, moves=Moves(4, 70, 0, 0, 4, 160), bottom_moves=Moves(5, 65, 0, 0, 5, 150))
            for name, key in ((f"tiny_v{version}.ctb", 0), (f"tiny_v{version}_key.ctb", KEY)):
                with self.subTest(name):
                    found = bytearray(
                        ctb.write(Path(self.mktemp()), Given(name), recipe, version, key).read_bytes(),
                    )
                    (slicer_at,) = struct.unpack_from("<I", found, 0x68)
                    struct.pack_into("<I", found, slicer_at + 0x3C, 1)  # the transition layer
                    self.assertEqual(bytes(found), vector(name))


class RunTests(SynchronousTestCase):
    def test_goo_chunks(self) -> None:
        """The reference's own examples of chunks come out as printed there."""
        self.assertEqual(goo_rle(runs((0, 5))), bytes.fromhex("05"))
        self.assertEqual(goo_rle(runs((0, 0x555657F))), bytes.fromhex("3f555657"))
        self.assertEqual(goo_rle(runs((0xAA, 0xBBCC155))), bytes.fromhex("75aabbcc15"))
        self.assertEqual(goo_rle(runs((255, 0xCCBBAA1))), bytes.fromhex("f1ccbbaa"))
        layer = runs((0, 1_100_000), (255, 70_000), (0x40, 5000), (0x41, 255), (0, 921_897))
        whole = bytes.fromhex(expected()["runs layer 0"]["goo_data"])
        self.assertEqual(goo_rle(layer), whole[1:-1])

    def test_goo_differences(self) -> None:
        """A difference is never the first chunk, never leads to black or white, and never counts beyond 255."""
        self.assertEqual(goo_rle(runs((5, 1))), bytes.fromhex("4105"))
        self.assertEqual(goo_rle(runs((250, 1), (255, 2), (250, 1))), bytes.fromhex("41fa c2 a5"))
        self.assertEqual(goo_rle(runs((0, 1), (9, 256), (0, 1))), bytes.fromhex("01 50 09 10 01"))
        self.assertEqual(goo_rle(runs((20, 1), (35, 1), (51, 1))), bytes.fromhex("4114 8f 4133"))

    def test_ctb_runs(self) -> None:
        """Lengths of one to four bytes, and greys that seven bits cannot tell apart as one run."""
        self.assertEqual(ctb_rle(runs((255, 1))), bytes.fromhex("7f"))
        self.assertEqual(ctb_rle(runs((0, 5))), bytes.fromhex("8005"))
        self.assertEqual(ctb_rle(runs((255, 192))), bytes.fromhex("ff80c0"))
        self.assertEqual(ctb_rle(runs((255, 0x3FFF))), bytes.fromhex("ffbfff"))
        self.assertEqual(ctb_rle(runs((255, 0x4000))), bytes.fromhex("ffc04000"))
        self.assertEqual(ctb_rle(runs((255, 268_435_455))), bytes.fromhex("ffefffffff"))
        self.assertEqual(ctb_rle(runs((128, 3), (129, 4))), bytes.fromhex("c007"))

    def test_stream(self) -> None:
        """The XOR stream is the reference's, layer by layer."""
        self.assertEqual(hidden(bytes(12), KEY, 20), bytes.fromhex("5373bba236b927f019ff933d"))
        self.assertEqual(hidden(bytes(8), KEY, 0), bytes.fromhex("c7eb2cf2aa31993f"))
        self.assertEqual(hidden(bytes(7), 1, 0), bytes.fromhex("c3db106892dd3c"))
        self.assertEqual(hidden(b"abc", 0, 5), b"abc")
