"""Counting a layer's runs in plain Python: the same verdict as with arrays."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.codec.runs import Encoding, runs_of
from sdcpd.codec.tally import check_ctb, check_goo
from sdcpd.errors import BadLayer

GOO = (
    (bytes.fromhex("05418083B204A19F03D0025520011C07"), 192),
    (bytes.fromhex("3F555657"), 0x555657F),
    (bytes.fromhex("75AABBCC15"), 0xBBCC155),
    (bytes.fromhex("F1CCBBAA"), 0xCCBBAA1),
    (bytes.fromhex("81A1"), 2),
    (bytes.fromhex("92FF"), 255),
    (bytes.fromhex("55200192FFB2EE"), 21 + 255 + 238),
)
CTB = (
    (bytes.fromhex("80054041C005C703FF209015807C"), 192),
    (b"\x7f", 1),
    (b"\x80\x05", 5),
    (b"\xff\x80\xc0", 192),
    (b"\xff\xc1\x00\x00", 0x1_0000),
    (b"\xff\xef\xff\xff\xff", 268_435_455),
)


def with_arrays(rle: bytes, encoding: Encoding, pixels: int) -> str:
    """The verdict of ``runs``: why the layer is bad, or nothing."""
    try:
        for _ in runs_of(rle, encoding, pixels):
            pass
    except BadLayer as error:
        return error.message
    return ""


def plainly(rle: bytes, encoding: Encoding, pixels: int) -> str:
    """The verdict of ``tally``."""
    try:
        (check_goo if encoding is Encoding.GOO else check_ctb)(rle, pixels)
    except BadLayer as error:
        return error.message
    return ""


class TallyTests(SynchronousTestCase):
    def test_examples(self) -> None:
        """The reference's examples fill what it says, and neither a pixel less nor one more."""
        for encoding, examples in ((Encoding.GOO, GOO), (Encoding.CTB, CTB)):
            for rle, pixels in examples:
                with self.subTest(rle=rle.hex()):
                    self.assertEqual(plainly(rle, encoding, pixels), "")
                    for wrong in (pixels - 1, pixels + 1):
                        self.assertIn(f"{pixels} pixels where the picture has {wrong}", plainly(rle, encoding, wrong))

    def test_wrong(self) -> None:
        """A layer that ends within a run, leaves the grey scale or has no length where one should be says so."""
        for rle, encoding, words in (
            (b"\x3f\x55", Encoding.GOO, "ends 2 bytes behind"),
            (b"\x41", Encoding.GOO, "ends 1 bytes behind"),
            (b"\xa1", Encoding.GOO, "grey -1"),
            (b"\xc1\x81", Encoding.GOO, "grey 256"),
            (b"\xff\xf5", Encoding.CTB, "byte 1 of 2 is no length"),
            (b"\xff\x80", Encoding.CTB, "ends 1 bytes behind"),
            (b"", Encoding.CTB, "fill 0 pixels where the picture has 192"),
        ):
            with self.subTest(rle=rle.hex()):
                self.assertIn(words, plainly(rle, encoding, 192))
                self.assertTrue(with_arrays(rle, encoding, 192))

    @settings(derandomize=True, deadline=None, max_examples=600, database=None)
    @given(st.binary(max_size=40), st.sampled_from(Encoding), st.integers(0, 500))
    @example(b"\xc5\x95\x03\xb5\x03", Encoding.GOO, 11)
    def test_alike(self, rle: bytes, encoding: Encoding, pixels: int) -> None:
        """Whatever the bytes are, it does not depend on the machine's packages whether a layer counts as sound."""
        plain, arrays = plainly(rle, encoding, pixels), with_arrays(rle, encoding, pixels)
        self.assertEqual(bool(plain), bool(arrays), (plain, arrays))
        if arrays and "fill" in arrays and "at least" not in arrays:
            self.assertEqual(plain, arrays)
            filled = int(arrays.split("fill ")[1].split()[0])
            self.assertEqual((plainly(rle, encoding, filled), with_arrays(rle, encoding, filled)), ("", ""))
