"""PNG files, read back by a reader that checks every chunk."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.codec.png import grey_png, rgb_png
from tests.codec.test_raster import unpacked


class PngTests(SynchronousTestCase):
    @given(st.integers(1, 40), st.integers(1, 40), st.binary(min_size=1, max_size=50))
    @settings(derandomize=True, max_examples=50, deadline=None)
    def test_back(self, width: int, height: int, some: bytes) -> None:
        """What is written is what a reader finds, grey and in colour."""
        pixels = (some * (3 * width * height // len(some) + 1))[: 3 * width * height]
        self.assertEqual(unpacked(rgb_png(width, height, pixels)), (width, height, pixels))
        grey = pixels[: width * height]
        self.assertEqual(unpacked(grey_png(width, height, grey)), (width, height, grey))

    def test_large(self) -> None:
        """A picture that goes through the compressor in many steps is whole."""
        pixels = bytes(range(251)) * 4000
        self.assertEqual(unpacked(grey_png(251, 4000, pixels)), (251, 4000, pixels))

    def test_shrink(self) -> None:
        """A smaller thumbnail has the mean colour of each square; what fills none is left out."""
        red, blue, black = b"\xff\0\0", b"\0\0\xff", b"\0\0\0"
        rows = red * 2 + blue * 2 + black, red + black + blue * 3, black * 5
        width, height, pixels = unpacked(rgb_png(5, 3, b"".join(rows), 2))
        self.assertEqual((width, height), (2, 1))
        self.assertEqual(pixels, bytes([191, 0, 0, 0, 0, 255]))

    def test_wrong_size(self) -> None:
        """A picture of another size than told is the caller's mistake."""
        self.assertRaises(ValueError, grey_png, 2, 2, b"123")
        self.assertRaises(ValueError, grey_png, 0, 2, b"")
        self.assertRaises(ValueError, rgb_png, 2, 2, b"1234")
        self.assertRaises(ValueError, rgb_png, 2, 2, b"1234", 2)
        self.assertRaises(ValueError, rgb_png, 2, 2, bytes(12), 3)
