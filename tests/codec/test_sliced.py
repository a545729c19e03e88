"""Reading heads, layers and thumbnails of the reference's files."""

from __future__ import annotations

import hashlib
import os
import re
import struct
import tempfile

from twisted.trial.unittest import SynchronousTestCase

from sdcpd.codec.goo import checksum
from sdcpd.codec.sliced import (
    BytesSource,
    FileSource,
    Moves,
    SlicedFile,
    Waits,
    layer_data,
    preview,
    print_time,
    read_head,
    read_layers,
)
from sdcpd.errors import BadFile, NotDecodable, Truncated, UnknownFormat
from tests.codec.vectors import PLAIN, expected, patched, pixels, vector

GOO_BACK = 195_310
VERSIONS = {"2": "1.6.3.0", "3": "1.6.3.0", "4": "1.9.0.0", "5": "2.0.0.0"}
CHITUBOX = ("mars4max-426-layers.goo", "stairs-400-layers-v3.ctb")


def grey_goo(rle: bytes) -> bytes:
    """The picture of a GOO layer, chunk by chunk as the reference's table says."""
    picture = bytearray()
    grey = at = 0
    while at < len(rle):
        head = rle[at]
        at += 1
        kind, extra = head >> 6, head >> 4 & 3
        if kind == 2:
            grey += -(head & 15) if head & 0x20 else head & 15
            run = 1
            if head & 0x10:
                run = rle[at]
                at += 1
        else:
            grey = (0, rle[at], 0, 255)[kind]
            at += kind == 1
            run = int.from_bytes(rle[at : at + extra], "big") << 4 | head & 15
            at += extra
        picture += bytes([grey]) * run
    return bytes(picture)


def grey_ctb(rle: bytes) -> bytes:
    """The picture of a CTB layer in its seven bits."""
    picture = bytearray()
    at = 0
    while at < len(rle):
        grey, run = rle[at] & 0x7F, 1
        at += 1
        if rle[at - 1] & 0x80:
            more = next(n for n in range(4) if not rle[at] << n & 0x80)
            run = int.from_bytes(rle[at : at + more + 1], "big") & ((1 << 7 * (more + 1)) - 1)
            at += more + 1
        picture += bytes([grey]) * run
    return bytes(picture)


class ChecksumTests(SynchronousTestCase):
    def test_long(self) -> None:
        """A layer of any length is found sound by the sum of all its bytes."""
        for length in (0, 1, 131_071, 131_072, 131_073, 300_000):
            data = bytes(7 * n % 251 for n in range(length))
            self.assertEqual(checksum(data), 255 - sum(data) % 256)


class HeadTests(SynchronousTestCase):
    def test_goo(self) -> None:
        """Every field of a .goo is shown with its unit and in its place."""
        self.assertEqual(
            read_head(BytesSource(vector("tiny.goo"))),
            SlicedFile(
                format="goo",
                version="3.0",
                machine="Test Printer 12px",
                slicer="sdcpd test writer",
                slicer_version="1.0.0",
                date="2026-01-02T03:04:05",
                resolution=(16, 12),
                bed=(0.8, 0.6, 100),
                layer_count=4,
                layer_height=0.05,
                height=0.2,
                exposure_s=2.5,
                bottom_exposure_s=30,
                bottom_layers=2,
                transition_layers=1,
                moves=Moves(4, 70, 3.5, 190, 5.5, 160, 2, 65),
                bottom_moves=Moves(5, 65, 3, 180, 6, 150, 2, 60),
                waits=Waits(None, 0.25, 0.75, 1.25),
                bottom_waits=Waits(None, 0.5, 1, 1.5),
                print_time_s=123,
                volume_ml=1.4405,
                weight_g=1.5845,
                cost=0.047535,
                currency="$",
                anti_aliasing=4,
                mirror_x=True,
                mirror_y=False,
                light_pwm=200,
                bottom_light_pwm=255,
                per_layer=False,
                previews=read_head(BytesSource(vector("tiny.goo"))).previews,
                layers_at=195_477,
                byte_order="big",
            ),
        )

    def test_ctb(self) -> None:
        """Every version of .ctb says the same of the same print, as far as it can."""
        for version in "2345":
            for name, key in ((f"tiny_v{version}.ctb", 0), (f"tiny_v{version}_key.ctb", 0xDCBE9950)):
                with self.subTest(name):
                    modern = version in "45"
                    found = read_head(BytesSource(vector(name)))
                    self.assertEqual(
                        (found.format, found.version, found.encrypted, found.machine, found.xor_key),
                        ("ctb", version, False, "Test Printer 12px", key),
                    )
                    self.assertEqual((found.slicer, found.slicer_version), (None, VERSIONS[version]))
                    self.assertEqual(found.date, "2026-01-02T03:00:00Z")
                    self.assertEqual((found.resolution, found.bed), ((16, 12), (0.8, 0.6, 100)))
                    self.assertEqual((found.layer_count, found.layer_height, found.height), (4, 0.05, 0.2))
                    self.assertEqual((found.exposure_s, found.bottom_exposure_s, found.bottom_layers), (2.5, 30, 2))
                    self.assertEqual((found.print_time_s, found.volume_ml, found.weight_g), (123, 1.4405, 1.5845))
                    self.assertEqual((found.light_pwm, found.bottom_light_pwm), (200, 255))
                    self.assertEqual((found.mirror_x, found.anti_aliasing, found.transition_layers), (True, 4, 1))
                    if modern:
                        self.assertEqual(found.moves, Moves(4, 70, 3.5, 190, 5.5, 160, 2, 65))
                        self.assertEqual(found.bottom_moves, Moves(5, 65, 3, 180, 6, 150, 2, 60))
                        self.assertEqual(found.waits, Waits(0, 0.25, 0.75, 1.25))
                    else:
                        self.assertEqual(found.moves, Moves(4, 70, 0, 0, 4, 160, 0, 0))

    def test_chitubox(self) -> None:
        """What a slicer on the market wrote is read, dates that are none included."""
        goo, ctb = (read_head(BytesSource(vector(name))) for name in CHITUBOX)
        self.assertEqual(
            (goo.machine, goo.slicer, goo.slicer_version, goo.date, goo.resolution, goo.layer_count, goo.currency),
            ("ELEGOO Mars 4 Max", "CHITUBOX Basic v2.1.0", "v2.1.0", None, (5760, 3600), 426, "$/L"),
        )
        self.assertEqual(
            (ctb.machine, ctb.slicer_version, ctb.date, ctb.resolution, ctb.layer_count, ctb.print_time_s),
            ("ELEGOO MARS Pro", "1.6.5.1", "2020-09-24T00:46:00Z", (1440, 2560), 400, 5621),
        )

    def test_silly_numbers(self) -> None:
        """A number that nobody can mean is shown as unknown, and the file prints all the same."""
        goo = vector("tiny.goo")
        for value in (float("nan"), float("inf"), -1.0, 1e30):
            silly = patched(patched(goo, 0x2FB08, ">f", value), 0x2FAF8, ">f", value)
            found = read_head(BytesSource(silly))
            self.assertEqual((found.exposure_s, found.bed, found.layer_count), (None, None, 4))

    def test_hostile_text(self) -> None:
        """A name with control characters or broken UTF-8 in it is shown without them."""
        goo = bytearray(vector("tiny.goo"))
        goo[0x5C : 0x5C + 32] = b"Mars\x1b[31m\xff\n<b>\0hidden".ljust(32, b"\0")
        self.assertEqual(read_head(BytesSource(bytes(goo))).machine, "Mars[31m\ufffd<b>")

    def test_impossible(self) -> None:
        """Counts and resolutions that cannot be are refused before anything is done with them."""
        goo, ctb = vector("tiny.goo"), vector("tiny_v4.ctb")
        for data in (
            patched(goo, GOO_BACK, ">I", 0),
            patched(goo, GOO_BACK, ">I", 2**32 - 1),
            patched(goo, GOO_BACK + 4, ">HH", 0, 12),
            patched(goo, GOO_BACK + 4, ">HH", 65535, 65535),
            patched(goo, 0x2FB8E, ">I", 100),
            patched(goo, 0x69E2, ">H", 0),
            patched(ctb, 0x44, "<I", 2**32 - 1),
            patched(ctb, 0x34, "<II", 65536, 1),
        ):
            with self.assertRaises(BadFile) as caught:
                read_head(BytesSource(data))
            self.assertNotIsInstance(caught.exception, Truncated)

    def test_foreign(self) -> None:
        """Other kinds of files and unknown versions are called by their name."""
        for data, name in (
            (b"PK\x03\x04" + bytes(100), "ZIP"),
            (b"V4.0" + vector("tiny.goo")[4:], "version 4.0"),
            (patched(vector("tiny_v4.ctb"), 4, "<I", 9), "version 9"),
        ):
            with self.assertRaises(UnknownFormat) as caught:
                read_head(BytesSource(data))
            self.assertIn(name, caught.exception.message)

    def test_goo_5(self) -> None:
        """A GOO of version 5 shows its settings and thumbnails, and says that its layers cannot be seen."""
        data = vector("tiny.goo")
        swapped = b"".join(data[at : at + size][::-1] for at, size in _fields(GOO_BACK, ">IHHBB5fB8fI16fHHBI3f8sIBH"))
        five = b"V5.1" + data[4:GOO_BACK] + swapped + data[195_477:]
        found = read_head(BytesSource(five))
        self.assertEqual(
            (found.version, found.byte_order, found.resolution, found.moves.retract, found.layers_known),
            ("5.1", "little", (16, 12), 5.5, False),
        )
        self.assertEqual(preview(BytesSource(five), found, 1)[:2], (116, 116))
        self.assertRaises(NotDecodable, read_layers, BytesSource(five), found)

    def test_byte_order(self) -> None:
        """A version 3 that is written the other way round is read that way round."""
        data = vector("tiny.goo")
        swapped = b"".join(data[at : at + size][::-1] for at, size in _fields(GOO_BACK, ">IHHBB5fB8fI16fHHBI3f8sIBH"))
        found = read_head(BytesSource(data[:GOO_BACK] + swapped + data[195_477:]))
        self.assertEqual((found.byte_order, found.layer_count, found.layer_height), ("little", 4, 0.05))

    def test_file(self) -> None:
        """A file on the disk reads as the same bytes in memory do; one that shrank is truncated."""
        data = vector("tiny_v5_key.ctb")
        with tempfile.TemporaryFile() as file:
            file.write(data)
            file.flush()
            source = FileSource(file.fileno(), len(data))
            self.assertEqual(read_head(source), read_head(BytesSource(data)))
            file.truncate(1000)
            self.assertRaises(Truncated, read_layers, source, read_head(BytesSource(data)))
            self.assertEqual(os.lseek(file.fileno(), 0, os.SEEK_CUR), len(data))


class LayerTests(SynchronousTestCase):
    def test_pictures(self) -> None:
        """The four layers are the same pictures in every format, to the bit, with and without a key."""
        facts = expected()
        for name in PLAIN:
            source = BytesSource(vector(name))
            sliced = read_head(source)
            for layer in read_layers(source, sliced):
                with self.subTest(name, layer=layer.index):
                    known = facts[f"tiny layer {layer.index}"]
                    data = layer_data(source, sliced, layer)
                    self.assertEqual(data.hex(" "), known["goo_rle" if name.endswith("goo") else "ctb_rle"])
                    if sliced.format == "goo":
                        self.assertEqual(hashlib.sha256(grey_goo(data)).hexdigest(), known["sha256_pixels"])
                    else:
                        self.assertEqual(grey_ctb(data), bytes(grey >> 1 for grey in pixels(layer.index)))

    def test_settings(self) -> None:
        """Every layer has its height and its exposure, and takes as long as its settings add up to."""
        for name in PLAIN:
            source = BytesSource(vector(name))
            layers = read_layers(source, read_head(source))
            self.assertEqual([layer.z for layer in layers], [0.05, 0.1, 0.15, 0.2])
            self.assertEqual([layer.exposure_s for layer in layers], [30, 30, 2.5, 2.5])
            self.assertEqual([layer.light_pwm for layer in layers], [255, 255, 200, 200])
        goo = BytesSource(vector("tiny.goo"))
        first = read_layers(goo, read_head(goo))[0]
        moving = 60 * (5 / 65 + 3 / 180 + 6 / 150 + 2 / 60)
        self.assertAlmostEqual(first.seconds or 0, 30 + 0.5 + 1 + 1.5 + moving)

    def test_chitubox(self) -> None:
        """Real files are walked to their last byte, and every layer's checksum is right."""
        for name, last in zip(CHITUBOX, (21.29996, 20.0), strict=True):
            source = BytesSource(vector(name))
            sliced = read_head(source)
            layers = read_layers(source, sliced)
            self.assertEqual((len(layers), layers[-1].z), (sliced.layer_count, last))
            for layer in layers:
                self.assertEqual(len(layer_data(source, sliced, layer)), layer.length)
            end = layers[-1].offset + layers[-1].length + (14 if sliced.format == "goo" else 0)
            self.assertEqual(end, source.size)

    def test_print_time(self) -> None:
        """A file without a print time is estimated from its layers, within a second of what ChiTuBox says."""
        data = vector(CHITUBOX[0])
        silent = BytesSource(patched(data, 0x2FB76, ">I", 0))
        sliced = read_head(silent)
        self.assertEqual(read_head(BytesSource(data)).print_time_s, 4246)
        self.assertEqual(print_time(sliced, read_layers(silent, sliced)), 4247)
        self.assertEqual(print_time(read_head(BytesSource(data)), []), 4246)

    def test_damaged(self) -> None:
        """A layer without its marks, of impossible size or with a wrong checksum is named."""
        goo = vector("tiny.goo")
        for offset, value, words in (
            (195_477 + 0x40, 0, "definition"),
            (195_477 + 0x46, 0x54, "mark 55"),
            (195_477 + 0x46 + 18, 0, "line end"),
            (195_477 + 0x42, 0x80, "bytes"),
            (195_948, 1, "footer"),
        ):
            damaged = BytesSource(patched(goo, offset, "B", value))
            with self.assertRaises(BadFile) as caught:
                read_layers(damaged, read_head(damaged))
            self.assertIn(words, caught.exception.message)
        wrong = BytesSource(patched(goo, 195_477 + 0x45 + 18, "B", 0))
        sliced = read_head(wrong)
        layers = read_layers(wrong, sliced)
        with self.assertRaises(BadFile) as caught:
            layer_data(wrong, sliced, layers[0])
        self.assertIn("layer 1 is damaged: its checksum", caught.exception.message)

    def test_too_many(self) -> None:
        """A head that promises a layer more than there is finds no room for it, or no mark where it should be."""
        goo = BytesSource(patched(vector("tiny.goo"), GOO_BACK, ">I", 5))
        self.assertRaises(BadFile, read_layers, goo, read_head(goo))

    def test_ctb_places(self) -> None:
        """Layers beyond the end, in the head, or larger than a picture can be are refused."""
        ctb = vector("tiny_v4.ctb")
        table = struct.unpack_from("<I", ctb, 0x40)[0]
        beyond = BytesSource(patched(ctb, table + 12, "<I", len(ctb)))
        with self.assertRaises(Truncated) as caught:
            read_layers(beyond, read_head(beyond))
        self.assertEqual(caught.exception.needed, len(ctb) + 14)
        far = BytesSource(patched(ctb, table + 20, "<I", 1))
        with self.assertRaises(Truncated) as caught:
            read_layers(far, read_head(far))
        self.assertEqual(caught.exception.needed, 2**32 + 30727 + 14)
        for offset, value in ((12, 100), (16, 16 * 12 * 2 + 1)):
            bad = BytesSource(patched(ctb, table + offset, "<I", value))
            with self.assertRaises(BadFile) as refused:
                read_layers(bad, read_head(bad))
            self.assertIn("layer 1 of 4", refused.exception.message)

    def test_going_on(self) -> None:
        """While a .goo arrives, its layers are walked once and not from the beginning each time."""
        data = vector("tiny.goo")
        sliced = read_head(BytesSource(data))
        found = read_layers(BytesSource(data), sliced)[:2]
        with self.assertRaises(Truncated):
            read_layers(BytesSource(data[:-1]), sliced, found)
        self.assertEqual(len(found), 4)
        with self.assertRaises(Truncated) as caught:
            read_layers(BytesSource(data[:195_480]), sliced)
        self.assertEqual((caught.exception.needed, caught.exception.layer), (195_477 + 4 * 74 + 11, 1))
        self.assertEqual(read_layers(BytesSource(data), sliced, found), read_layers(BytesSource(data), sliced))


class PreviewTests(SynchronousTestCase):
    def test_quadrants(self) -> None:
        """Thumbnails have the colours that were drawn: red, green, blue, a ramp to white."""
        for name in PLAIN:
            source = BytesSource(vector(name))
            sliced = read_head(source)
            for number in range(2):
                width, height, rgb = preview(source, sliced, number)
                self.assertEqual(len(rgb), 3 * width * height)
                with self.subTest(name, preview=number):
                    self.assertEqual(rgb[:3], b"\xff\0\0")
                    self.assertEqual(rgb[3 * (width - 1) : 3 * width], b"\0\xff\0")
                    self.assertEqual(rgb[3 * width * (height - 1) :][:3], b"\0\0\xff")
                    self.assertEqual(rgb[-3:], b"\xff\xff\xff")
            self.assertRaises(BadFile, preview, source, sliced, 2)

    def test_blank(self) -> None:
        """A thumbnail that is black all over is none."""
        data = bytearray(vector("tiny.goo"))
        data[194 : 194 + 26_912] = bytes(26_912)
        self.assertEqual([found.width for found in read_head(BytesSource(bytes(data))).previews], [290])

    def test_oversized(self) -> None:
        """A thumbnail of impossible size is left out, the file is read."""
        ctb = vector("tiny_v3.ctb")
        for size in ((4097, 1), (4096, 4096), (0, 5)):
            found = read_head(BytesSource(patched(ctb, 0x70, "<II", *size)))
            self.assertEqual([shown.width for shown in found.previews], [200])

    def test_short(self) -> None:
        """A packed thumbnail that ends early is black from there, one that goes on is cut."""
        ctb = vector("tiny_v3.ctb")
        short = BytesSource(patched(ctb, 0x70 + 12, "<I", 4))
        _, _, rgb = preview(short, read_head(short))
        self.assertEqual(rgb, b"\xff\0\0" * 200 + bytes(3 * (120_000 - 200)))
        small = BytesSource(patched(ctb, 0x70, "<II", 100, 100))
        self.assertEqual(len(preview(small, read_head(small))[2]), 30_000)


def _fields(at: int, layout: str) -> list[tuple[int, int]]:
    """Where each number of a layout stands, and its size."""
    places = []
    for count, kind in re.findall(r"(\d*)([a-zA-Z])", layout):
        size = struct.calcsize(f"<{kind}") if kind != "s" else int(count)
        for _ in range(int(count or 1) if kind != "s" else 1):
            places.append((at, size))
            at += size
    return places
