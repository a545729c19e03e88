"""Files that are cut, damaged or made by somebody who means harm: only the declared errors ever escape."""

from __future__ import annotations

import os
import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.codec.sliced import BytesSource, SlicedFile, layer_data, preview, print_time, read_head, read_layers
from sdcpd.errors import BadFile, NotDecodable, Truncated
from tests.codec.vectors import PLAIN, vector

CASES = int(os.environ.get("SDCPD_CASES", "1000"))
"""How many damaged files are tried; ``make nightly`` tries 100,000."""
MEMORY = 64 * 2**20
"""What reading a file of 200 KB may ever need."""
NAMES = (*PLAIN, "runs.goo", "tiny_enc_v4.ctb", "tiny_enc_v5.ctb")
HEADS = (
    range(194),
    range(195_308, 195_800),
    range(0x200),
    range(29_000, 32_000),
)
"""Where the numbers are that a reader believes."""

numbers = st.sampled_from([0, 1, 0x55, 88, 0x7F, 0x80, 0xFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 195_477])
places = st.one_of(st.integers(0, 200_000), *(st.integers(part.start, part.stop) for part in HEADS))
changes = st.lists(
    st.tuples(places, st.one_of(st.integers(0, 2**32 - 1), numbers), st.sampled_from([1, 2, 4]), st.booleans()),
    max_size=5,
)


def read_all(data: bytes, shown: int | None = None) -> None:
    """Ask everything of a file that can be asked, of all previews or one."""
    source = BytesSource(data)
    sliced = read_head(source)
    if sliced.layers_known:
        read_pictures(source, sliced)
    for number in [n for n in range(len(sliced.previews)) if shown in (None, n)]:
        width, height, rgb = preview(source, sliced, number)
        assert len(rgb) == 3 * width * height


def read_pictures(source: BytesSource, sliced: SlicedFile) -> None:
    """Ask for every layer."""
    layers = read_layers(source, sliced)
    assert len(layers) == sliced.layer_count
    print_time(sliced, layers)
    for layer in layers:
        try:
            data = layer_data(source, sliced, layer)
        except NotDecodable:
            continue
        assert len(data) == layer.length


class HostileTests(SynchronousTestCase):
    def test_cut(self) -> None:
        """Wherever a file is cut off, that is said, with how many bytes would be needed to go on."""
        for name in NAMES:
            whole = vector(name)
            cuts = {*range(400), *range(0, len(whole), 4999), *range(max(0, len(whole) - 1200), len(whole))}
            for cut in sorted(cuts):
                with self.subTest(name, cut=cut):
                    try:
                        read_all(whole[:cut])
                    except Truncated as error:
                        self.assertGreater(error.needed, cut)
                        self.assertLessEqual(error.needed, len(whole))
                    else:
                        self.assertIn("enc", name)  # its signature is the last, and is not needed without the key
                        self.assertGreater(cut, len(whole) - 80)

    def test_arriving(self) -> None:
        """Reading again whenever the needed bytes have come leads to the end, in few steps."""
        for name in NAMES:
            whole = vector(name)
            have = steps = 0
            while have < len(whole):
                try:
                    read_all(whole[:have])
                except Truncated as error:
                    have = error.needed
                    steps += 1
                else:
                    break
            self.assertLess(steps, 40, name)
            read_all(whole)

    @settings(derandomize=True, deadline=None, max_examples=CASES, database=None)
    @given(st.sampled_from(NAMES), changes, st.one_of(st.none(), st.integers(0, 200_000)))
    def test_damaged(self, name: str, damages: list[tuple[int, int, int, bool]], cut: int | None) -> None:
        """Whatever is changed in a file, it is read or refused by name, within a bound of memory."""
        data = bytearray(vector(name))
        for at, value, size, big in damages:
            at %= len(data)
            data[at : at + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "big" if big else "little")
        tracemalloc.start()
        try:
            read_all(bytes(data[:cut]), len(damages) % 4)
        except BadFile as error:
            self.assertTrue(error.message)
        finally:
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        self.assertLess(peak, MEMORY)
