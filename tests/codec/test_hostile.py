"""Files that are cut, damaged or made by somebody who means harm: only the declared errors ever escape."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from functools import cache, partial
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from sdcpd.codec.sliced import (
    BytesSource,
    CtbKey,
    SlicedFile,
    Source,
    layer_data,
    preview,
    print_time,
    read_head,
    read_layers,
)
from sdcpd.codec.verify import verify
from sdcpd.errors import BadFile, NotDecodable, Truncated
from tests.codec.test_ctb_encrypted import KEY, encrypt, encrypted_file
from tests.codec.vectors import PLAIN, vector

CASES = int(os.environ.get("SDCPD_CASES", "1000"))
"""How many damaged files are tried; ``make nightly`` tries 100,000."""
FIRST = int(os.environ.get("SDCPD_FIRST_CASE", "0"))
"""The number of the first one: a case that failed is found again by its number."""
MEMORY = 64 * 2**20
"""What reading a file of 200 KB may ever need."""
MEASURED = 20
"""Every so many cases the memory is measured, which takes longer than the case."""

CLOSED = {"own_enc.ctb": False, "own_enc_mslicer.ctb": True}
"""Encrypted files of the tests' own, whose key is known: with the signature behind or before the layers."""
VECTORS = (*PLAIN, "runs.goo", "tiny_enc_v4.ctb", "tiny_enc_v5.ctb")
HEADS = (range(194), range(195_308, 195_800), range(0x200), range(29_000, 32_000))
"""Where the numbers are that a reader believes."""
NUMBERS = (0, 1, 0x55, 88, 0x7F, 0x80, 0xFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 195_477)


class Prefix:
    """The first bytes of a file; nothing is copied but what is read."""

    def __init__(self, data: bytes, size: int) -> None:
        self._data = data
        self.size = size

    def read(self, offset: int, length: int) -> bytes:
        """Exactly these; a reader that asks for more than there is has not looked."""
        assert offset >= 0 <= length and (not length or offset + length <= self.size)
        return self._data[offset : offset + length]


@cache
def whole(name: str) -> bytes:
    """A sound file."""
    return encrypted_file(CLOSED[name]) if name in CLOSED else vector(name)


def key_of(name: str) -> CtbKey | None:
    """What opens it, where we know."""
    return KEY if name in CLOSED else None


def read_all(source: Source, key: CtbKey | None = None, shown: int | None = None, checked: bool = False) -> None:
    """Ask everything of a file that can be asked, of all previews or one."""
    sliced = read_head(source, key)
    if checked:
        for finding in verify(source, sliced, [], lambda *_: None, key):
            assert finding.message
    if sliced.layers_known:
        read_pictures(source, sliced, key)
    for number in [n for n in range(len(sliced.previews)) if shown in (None, n)]:
        width, height, rgb = preview(source, sliced, number)
        assert len(rgb) == 3 * width * height


def read_pictures(source: Source, sliced: SlicedFile, key: CtbKey | None) -> None:
    """Ask for every layer."""
    layers = read_layers(source, sliced)
    assert len(layers) == sliced.layer_count
    print_time(sliced, layers)
    for layer in layers:
        try:
            data = layer_data(source, sliced, layer, key)
        except NotDecodable:
            continue
        assert len(data) == layer.length


def damaged(name: str, chance: Random) -> bytes:
    """The file with up to five numbers changed, its encrypted settings included, and now and then cut off."""
    data = bytearray(whole(name))
    if name in CLOSED:
        data[48:336] = KEY.decrypt(bytes(data[48:336]))
    for _ in range(chance.randrange(6)):
        part = chance.choice((range(len(data)), *HEADS))
        at = chance.choice(part) % len(data)
        size = chance.choice((1, 2, 4))
        value = chance.choice((chance.getrandbits(32), chance.choice(NUMBERS))) & ((1 << 8 * size) - 1)
        data[at : at + size] = value.to_bytes(size, chance.choice(("big", "little")))
    if name in CLOSED:
        data[48:336] = encrypt(bytes(data[48:336]))
    return bytes(data[: chance.randrange(len(data) + 1)] if chance.random() < 0.3 else data)


def outcome(source: Source, key: CtbKey | None, shown: int, checked: bool) -> str:
    """Why the file is refused, or nothing."""
    try:
        read_all(source, key, shown, checked)
    except BadFile as error:
        assert error.message
        return error.code
    return ""


def peak_of(work: Callable[[], object]) -> int:
    """Bytes of memory that some work takes at most."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class HostileTests(SynchronousTestCase):
    def test_cut(self) -> None:
        """Wherever a file is cut off, to the byte, that is said, with how many bytes would be needed to go on."""
        for name in (*VECTORS, *CLOSED):
            data = whole(name)
            for cut in range(len(data)):
                try:
                    read_all(Prefix(data, cut), key_of(name))
                except Truncated as error:
                    if not cut < error.needed <= len(data):
                        self.fail(f"{name} cut at {cut}: {error.needed} bytes are wanted")
                else:  # the signature is the last, and is not needed to read on
                    if "enc" not in name or cut < len(data) - 80:
                        self.fail(f"{name} cut at {cut} is taken for whole")

    def test_arriving(self) -> None:
        """Reading again whenever the needed bytes have come leads to the end, in few steps."""
        for name in (*VECTORS, *CLOSED):
            data = whole(name)
            have = steps = 0
            while have < len(data):
                try:
                    read_all(Prefix(data, have), key_of(name))
                except Truncated as error:
                    have = error.needed
                    steps += 1
                else:
                    break
            self.assertLess(steps, 40, name)
            read_all(BytesSource(data), key_of(name), checked=True)

    def test_damaged(self) -> None:
        """Whatever is changed in a file, it is read or refused by name, within a bound of memory."""
        names = (*VECTORS, *CLOSED)
        for case in range(FIRST, FIRST + CASES):
            chance = Random(case)
            name = names[case % len(names)]
            data = damaged(name, chance)
            shown, checked = chance.randrange(4), chance.random() < 0.5

            work = partial(outcome, BytesSource(data), key_of(name), shown, checked)
            try:
                if case % MEASURED:
                    work()
                else:
                    self.assertLess(peak_of(work), MEMORY)
            except BaseException as error:
                error.add_note(f"SDCPD_FIRST_CASE={case} SDCPD_CASES=1: {name}")
                raise
