"""Whole files checked to their last run: what is found in sound ones, and in each kind of damaged one."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from sdcpd.codec import goo
from sdcpd.codec.sliced import BytesSource, CtbKey, FileSource, Layer, read_head, read_layers
from sdcpd.codec.verify import Finding, verify
from sdcpd.simulator.slicing import slice_ctb, slice_encrypted_ctb, slice_goo
from sdcpd.simulator.slicing.model import Vase
from sdcpd.simulator.slicing.recipe import Recipe
from tests.codec.test_ctb_encrypted import KEY, encrypted_file, resettled
from tests.codec.vectors import PLAIN, patched, vector

COUNT = 195_310
FIRST = 195_477
SAMPLES = ("mars4max-426-layers.goo", "stairs-400-layers-v3.ctb")


def found(data: bytes, key: CtbKey | None = None, quick: bool = False) -> list[Finding]:
    """All findings of a file in memory."""
    source = BytesSource(data)
    return list(verify(source, read_head(source, key), [], lambda done, count: None, key, quick))


def layers_of(data: bytes) -> list[Layer]:
    """The layers of a sound file."""
    return read_layers(BytesSource(data), read_head(BytesSource(data)))


def with_runs(data: bytes, index: int, rle: bytes) -> bytes:
    """A .goo with other runs in one layer, and all else as it should be."""
    layer = layers_of(data)[index]
    size = struct.pack(">I", len(rle) + 2)
    end = layer.offset + layer.length + 1
    return data[: layer.offset - 5] + size + b"\x55" + rle + bytes([goo.checksum(rle)]) + data[end:]


class SoundTests(SynchronousTestCase):
    def test_vectors(self) -> None:
        """A sound file of any format has nothing to be said about it."""
        for name in (*PLAIN, "runs.goo", *SAMPLES):
            with self.subTest(name):
                self.assertEqual(found(vector(name)), [])

    def test_written(self) -> None:
        """Readers and the simulator's writers, which share no code, agree about every format."""
        recipe = Recipe(machine="ELEGOO Saturn 3 Ultra", resolution=(720, 320), bed=(218.88, 122.88, 260.0))
        model = Vase(20, 1, 0.25)
        path = Path(self.mktemp())
        for key, written in (
            (None, slice_goo(path, model, recipe).read_bytes()),
            *((None, slice_ctb(path, model, recipe, version, 0xDCBE9950).read_bytes()) for version in (2, 3, 4, 5)),
            *(
                (KEY, slice_encrypted_ctb(path, model, recipe, KEY.key, KEY.iv, version, 7).read_bytes())
                for version in (4, 5)
            ),
        ):
            self.assertEqual(read_head(BytesSource(written), key).layer_count, 20)
            self.assertEqual(found(written, key), [])

    def test_progress(self) -> None:
        """Progress is told after each layer, with the number of all; three of them when it should be quick."""
        source = BytesSource(vector("tiny.goo"))
        for quick, steps in ((False, [(1, 4), (2, 4), (3, 4), (4, 4)]), (True, [(1, 3), (2, 3), (3, 3)])):
            told: list[tuple[int, int]] = []
            list(verify(source, read_head(source), [], lambda *step, told=told: told.append(step), quick=quick))
            self.assertEqual(told, steps)

    def test_known_layers(self) -> None:
        """Layers that were listed before are taken as they are, and not looked for again."""
        source = BytesSource(vector("tiny_v4.ctb"))
        layers = layers_of(vector("tiny_v4.ctb"))
        self.assertEqual(list(verify(source, read_head(source), layers, lambda *_: None)), [])
        self.assertEqual(len(layers), 4)

    def test_without_numpy(self) -> None:
        """A machine without numpy checks files all the same."""
        script = (
            "import sys; sys.modules['numpy'] = None\n"
            "from sdcpd.codec.sliced import BytesSource, read_head\n"
            "from sdcpd.codec.verify import verify\n"
            "source = BytesSource(sys.stdin.buffer.read())\n"
            "print([f.message for f in verify(source, read_head(source), [], lambda *_: None)])\n"
        )
        whole = vector(SAMPLES[0])
        layer = layers_of(whole)[200]
        damaged = patched(whole, layer.offset + 1, "B", whole[layer.offset + 1] ^ 1)
        for data, words in ((whole, "[]\n"), (damaged, "layer 201: image data corrupt")):
            done = subprocess.run([sys.executable, "-c", script], input=data, capture_output=True, check=True)
            self.assertIn(words, done.stdout.decode())


class GooTests(SynchronousTestCase):
    """One damage each, and the words for it."""

    def setUp(self) -> None:
        self.whole = vector("tiny.goo")

    def expect(self, data: bytes, *expected: tuple[str, str, int | None]) -> None:
        """Exactly these findings: the code, the beginning of the message, the layer."""
        findings = found(data)
        self.assertEqual(len(findings), len(expected), findings)
        for item, (code, words, layer) in zip(findings, expected, strict=True):
            self.assertEqual((item.code, item.message[: len(words)], item.layer), (code, words, layer))

    def test_checksum(self) -> None:
        """A flipped checksum is told with both values; the picture is none the worse."""
        last = layers_of(self.whole)[0]
        self.expect(
            patched(self.whole, last.offset + last.length, "B", 0x53),
            ("checksum_mismatch", "layer 1: checksum mismatch: the file says 53, its bytes make 52", 1),
        )

    def test_flipped_run(self) -> None:
        """A flipped bit in the runs is found by both proofs, and the other layers are checked as well."""
        third = layers_of(self.whole)[2]
        self.expect(
            patched(self.whole, third.offset + 1, "B", 0x0D),
            ("checksum_mismatch", "layer 3: checksum mismatch", 3),
            ("image_corrupt", "layer 3: image data corrupt: its runs fill 208 pixels where the picture has 192", 3),
        )

    def test_total(self) -> None:
        """One pixel short or long is a corrupt image, also where the checksum is right."""
        for rle, pixels in ((b"\xdf\x0b", 191), (b"\xd1\x0c", 193)):
            self.expect(
                with_runs(self.whole, 1, rle),
                ("image_corrupt", f"layer 2: image data corrupt: its runs fill {pixels} pixels", 2),
            )

    def test_blank(self) -> None:
        """A layer without image data, as some tools write it, is odd and no error."""
        self.expect(with_runs(self.whole, 1, b""), ("blank_layer", "layer 2: no image data", 2))

    def test_cut(self) -> None:
        """A file that is cut off is told with the layer in which it ends; those before are checked."""
        self.expect(self.whole[:195_500], ("truncated", "truncated in layer 1 of 4: the file ends at byte 195500", 1))
        self.expect(self.whole[:195_700], ("truncated", "truncated in layer 3 of 4", 3))
        self.expect(self.whole[:195_950], ("footer_missing", "file is incomplete: footer missing", None))
        first = layers_of(self.whole)[0]
        self.expect(
            patched(self.whole, first.offset + first.length, "B", 0)[:195_700],
            ("checksum_mismatch", "layer 1: checksum mismatch", 1),
            ("truncated", "truncated in layer 3 of 4", 3),
        )

    def test_count(self) -> None:
        """A layer more than there are is missing; one less leaves no footer where it should be."""
        more, less = (patched(self.whole, COUNT, ">I", count) for count in (5, 3))
        self.expect(more, ("truncated", "truncated in layer 5 of 5", 5))
        self.expect(less, ("footer_missing", "file is incomplete: footer missing", None))

    def test_size(self) -> None:
        """A layer of 2 GiB, or of one byte, is corrupt."""
        for size in (2**31, 2**32 - 1, 1, 0):
            self.expect(
                patched(self.whole, FIRST + 0x42, ">I", size),
                ("corrupt_layer", f"corrupt layer 1: it cannot have {size} bytes", 1),
            )

    def test_marks(self) -> None:
        """A line end or a mark that is dropped or overwritten makes a corrupt layer."""
        second = layers_of(self.whole)[1]
        for data, words in (
            (self.whole[: FIRST + 0x40] + self.whole[FIRST + 0x42 :], "corrupt layer 1: its definition"),
            (patched(self.whole, second.offset - 1, "B", 0x54), "corrupt layer 2: expected the mark 55"),
            (patched(self.whole, second.offset + second.length + 1, "B", 0), "corrupt layer 2: expected a line end"),
        ):
            self.expect(data, ("corrupt_layer", words, int(words[14])))

    def test_behind(self) -> None:
        """Bytes behind the footer are odd and no error."""
        self.expect(self.whole + b"12345", ("extra_bytes", "5 extra bytes behind the footer", None))

    def test_start(self) -> None:
        """Layers that do not begin where every slicer has them are odd and no error."""
        moved = patched(self.whole, 0x2FB8E, ">I", FIRST + 3)
        self.expect(
            moved[:FIRST] + b"gap" + moved[FIRST:],
            ("odd_start", "the layers begin at byte 195480, expected 195477", None),
        )

    def test_heights(self) -> None:
        """A layer below the one before, and a print above the machine, are odd; heights that are none are not."""
        third = layers_of(self.whole)[2].offset - 71
        self.expect(
            patched(self.whole, third + 6, ">f", 0.05),
            ("z_decreasing", "layer 3: Z decreasing from 0.1 to 0.05 mm", 3),
        )
        self.expect(patched(self.whole, third + 6, ">f", float("nan")))
        low = patched(self.whole, 0x2FB00, ">f", 0.1)
        self.expect(low, ("too_high", "the print is 0.2 mm high, the machine 0.1 mm", None))
        self.expect(patched(self.whole, 0x2FB00, ">f", 0.2))

    def test_levels(self) -> None:
        """What only is odd is a warning, what keeps a layer from printing is an error."""
        third = layers_of(self.whole)[2].offset - 71
        odd = patched(self.whole, third + 6, ">f", 0.05) + b"1"
        self.assertEqual({item.level for item in found(odd)}, {"warning"})
        self.assertEqual({item.level for item in found(self.whole[:-1])}, {"error"})

    def test_quick(self) -> None:
        """The quick way sees the first, the middle and the last layer, and every cut."""
        sums = [layer.offset + layer.length for layer in layers_of(self.whole)]
        damaged = self.whole
        for at in sums:
            damaged = patched(damaged, at, "B", damaged[at] ^ 0xFF)
        self.assertEqual([item.layer for item in found(damaged, quick=True)], [1, 3, 4])
        self.assertEqual([item.layer for item in found(damaged)], [1, 2, 3, 4])
        self.assertEqual([item.code for item in found(self.whole[:195_500], quick=True)], ["truncated"])

    def test_version_5(self) -> None:
        """The layers of a GOO that cannot be decoded are said to be unchecked."""
        data = patched(b"V5.1" + self.whole[4:], 0x2FB8E, ">I", FIRST)
        (only,) = found(data)
        self.assertEqual((only.level, only.code), ("warning", "not_decodable"))
        self.assertIn("GOO version 5.1", only.message)

    def test_shrinking(self) -> None:
        """A file that becomes shorter while it is checked is truncated where it ends now."""
        with tempfile.TemporaryFile() as file:
            file.write(self.whole)
            file.flush()
            source = FileSource(file.fileno(), len(self.whole))
            told = verify(source, read_head(source), [], lambda *_: os.ftruncate(file.fileno(), 195_600))
            findings = list(told)
        self.assertEqual([(item.code, item.layer) for item in findings], [("truncated", 2)])


class CtbTests(SynchronousTestCase):
    def test_key_changed(self) -> None:
        """Layers that are opened with another key than they were closed with do not add up."""
        for version in "2345":
            findings = found(patched(vector(f"tiny_v{version}_key.ctb"), 0x64, "<I", 0xDCBE9951))
            self.assertEqual({item.code for item in findings}, {"image_corrupt"})
            self.assertEqual([item.layer for item in findings], [1, 2, 3, 4])
            self.assertTrue(findings[0].message.startswith("layer 1: image data corrupt: "))

    def test_length(self) -> None:
        """A length that begins with F5 is none, and one that is one pixel off is noticed."""
        for version in "2345":
            whole = vector(f"tiny_v{version}.ctb")
            second = layers_of(whole)[1]
            for byte, words in (
                (0xF5, "layer 2: image data corrupt: byte 1 of 3 is no length of a run"),
                (0x81, "layer 2: image data corrupt: its runs fill 448 pixels where the picture has 192"),
            ):
                (only,) = found(patched(whole, second.offset + 1, "B", byte))
                self.assertEqual((only.message, only.layer, only.level), (words, 2, "error"))
            (only,) = found(patched(whole, second.offset + 2, "B", 0xBF))
            self.assertIn("fill 191 pixels", only.message)

    def test_bounds(self) -> None:
        """A layer behind the end of the file, in its head or longer than any picture is named."""
        whole = vector("tiny_v4.ctb")
        entry = struct.unpack_from("<I", whole, 0x40)[0] + 36 * 2
        for offset, value, code, words in (
            (12, len(whole), "truncated", "truncated in layer 3 of 4"),
            (20, 1, "truncated", "truncated in layer 3 of 4"),
            (12, 100, "corrupt_layer", "corrupt layer 3: it cannot have"),
            (16, 2 * 192 + 1, "corrupt_layer", "corrupt layer 3: it cannot have 385 bytes"),
        ):
            with self.subTest(words, offset=offset):
                (only,) = found(patched(whole, entry + offset, "<I", value))
                self.assertEqual((only.code, only.layer, only.message[: len(words)]), (code, 3, words))

    def test_cut(self) -> None:
        """A file that is cut off in its layers or in their table says which; layers before the cut are checked."""
        whole = vector("tiny_v3.ctb")
        second = layers_of(whole)[1]
        (only,) = found(whole[:-1])
        self.assertEqual((only.code, only.layer), ("truncated", 4))
        damaged = patched(whole, second.offset + 1, "B", 0xF5)[:-1]
        self.assertEqual([item.layer for item in found(damaged)], [2, 4])
        (only,) = found(whole[: struct.unpack_from("<I", whole, 0x40)[0] + 40])
        self.assertEqual((only.code, only.layer), ("truncated", None))
        self.assertIn("the table of layers", only.message)

    def test_heights(self) -> None:
        """Heights that go down are odd here, too."""
        whole = vector("tiny_v3.ctb")
        entry = struct.unpack_from("<I", whole, 0x40)[0] + 36
        (only,) = found(patched(whole, entry, "<f", 0.04))
        self.assertEqual((only.code, only.layer), ("z_decreasing", 2))


class EncryptedTests(SynchronousTestCase):
    def test_without_key(self) -> None:
        """Without the key heights and bounds are checked, and it is said that nothing else is."""
        (only,) = found(vector("tiny_enc_v4.ctb"))
        self.assertEqual((only.level, only.code), ("warning", "not_decodable"))
        self.assertIn("--key-file", only.message)
        data = encrypted_file(signature_first=True)
        self.assertEqual([item.code for item in found(data[:-1])], ["not_decodable", "truncated"])

    def test_with_key(self) -> None:
        """With the key every layer is opened and counted; one that the slicer spoilt is a warning."""
        (only,) = found(encrypted_file(), KEY)
        self.assertEqual((only.level, only.code, only.layer), ("warning", "not_decodable", 3))
        self.assertIn("cut off", only.message)
        other = resettled(encrypted_file(), 0x80, "<I", 1)
        self.assertEqual([item.layer for item in found(other, KEY) if item.code == "image_corrupt"], [1, 2])
