"""The writer of .goo files, read back by the layout of the format."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from sdcpd.simulator.slicing import write_goo
from sdcpd.simulator.storage import HeaderProbe

MAGIC = bytes.fromhex("07000000444c5000")


def layers_of(goo: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The definition and the data of each layer, up to where no layer can be."""
    at = struct.unpack_from(">I", goo, 0x2FB8E)[0]
    while len(goo) - at > 11:
        (size,) = struct.unpack_from(">I", goo, at + 66)
        yield goo[at : at + 70], goo[at + 70 : at + 70 + size]
        assert goo[at + 70 + size : at + 72 + size] == b"\r\n"
        at += 72 + size
    assert goo[at:] == b"\x00\x00\x00" + MAGIC


def runs_of(rle: bytes) -> Iterator[tuple[int, int]]:
    """An independent reader of the run lengths."""
    at = 0
    while at < len(rle):
        head = rle[at]
        kind, size = head >> 6, head >> 4 & 3
        grey = {0: 0, 3: 255}.get(kind, rle[at + 1])
        at += 2 if kind == 1 else 1
        yield grey, int.from_bytes(rle[at : at + size], "big") << 4 | head & 15
        at += size


class WriteGooTests(SynchronousTestCase):
    def write(self, layers: int, resolution: tuple[int, int]) -> bytes:
        path = Path(self.mktemp())
        return write_goo(path, layers=layers, resolution=resolution).read_bytes()

    def test_layout(self) -> None:
        """Magic, delimiters, layer count, resolution and layer offset are where every reader looks for them."""
        goo = self.write(12, (640, 400))
        self.assertEqual(goo[:12], b"V3.0" + MAGIC)
        self.assertEqual((goo[27106:27108], goo[195308:195310]), (b"\r\n", b"\r\n"))
        self.assertEqual(struct.unpack_from(">IHH", goo, 0x2FAEE), (12, 640, 400))
        self.assertEqual(struct.unpack_from(">I", goo, 0x2FB8E), (195477,))

    def test_layers(self) -> None:
        """Every layer has a right checksum and exactly as many pixels as the screen, up to the footer."""
        found = list(layers_of(self.write(12, (640, 400))))
        self.assertEqual(len(found), 12)
        for index, (definition, data) in enumerate(found):
            self.assertEqual(data[0], 0x55)
            self.assertEqual(data[-1], ~sum(data[1:-1]) & 0xFF)
            runs = list(runs_of(data[1:-1]))
            self.assertEqual(sum(length for _, length in runs), 640 * 400)
            self.assertTrue(all(length > 0 for _, length in runs))
            z = struct.unpack_from(">f", definition, 6)[0]
            self.assertAlmostEqual(z, (index + 1) * 0.05, places=4)

    def test_many_sizes(self) -> None:
        """Odd and tiny screens are filled exactly, too."""
        for resolution in ((8, 8), (33, 17), (257, 300), (1440, 2560)):
            for _, data in layers_of(self.write(7, resolution)):
                total = sum(length for _, length in runs_of(data[1:-1]))
                self.assertEqual(total, resolution[0] * resolution[1], resolution)

    def test_twelve_k(self) -> None:
        """A 12K file of hundreds of layers stays small, and the printer can read its layer count."""
        goo = self.write(300, (11520, 5120))
        self.assertLess(len(goo), 12_000_000)
        probe = HeaderProbe()
        for at in range(0, len(goo), 65536):
            probe.feed(goo[at : at + 65536])
        self.assertEqual(probe.geometry(), (300, (11520, 5120)))

    def test_nonsense(self) -> None:
        """What the format cannot hold is refused before a file is begun."""
        path = Path(self.mktemp())
        self.assertRaises(ValueError, write_goo, path, layers=0)
        self.assertRaises(ValueError, write_goo, path, resolution=(70000, 10))
        self.assertFalse(path.exists())

    def test_light(self) -> None:
        """A simulated printer that slices nothing does not carry what slicing needs."""
        asked = "import sys, sdcpd.simulator; print('numpy' in sys.modules)"
        found = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
        self.assertEqual(found.stdout.strip(), "False")
