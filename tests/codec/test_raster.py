"""Pictures of layers, against full pictures made pixel by pixel."""

from __future__ import annotations

import json
import struct
import tracemalloc
import zlib
from hashlib import sha256
from pathlib import Path
from typing import ClassVar

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.codec.raster import LARGEST, WORKING, layer_picture
from sdcpd.codec.runs import SEGMENT, Encoding, runs_of
from sdcpd.errors import BadLayer

SHARED = Path(__file__).parents[2].parent / "shared"
GOO, CTB = Encoding.GOO, Encoding.CTB
RunList = list[tuple[int, int]]  # grey, length


def goo_rle(run_list: RunList, differences: bool = True) -> bytes:
    """A plain encoder of .goo's chunks, with differences wherever they are possible."""
    out, before = bytearray(), 0
    for grey, length in run_list:
        change = grey - before
        if differences and out and abs(change) < 16 and 0 < length < 256:
            head = 0x80 | (0x20 if change < 0 else 0) | abs(change)
            out += bytes([head]) if length == 1 else bytes([head | 0x10, length])
        else:
            extra = (length >> 4).to_bytes(((length >> 4).bit_length() + 7) // 8, "big")
            kind = {0: 0x00, 255: 0xC0}.get(grey, 0x40)
            out += bytes([kind | len(extra) << 4 | length & 15, *([grey] if kind == 0x40 else []), *extra])
        before = grey
    return bytes(out)


def ctb_rle(run_list: RunList) -> bytes:
    """A plain encoder of RLE7; of the grey values only the upper seven bits remain."""
    out = bytearray()
    for grey, length in run_list:
        if length == 1:
            out.append(grey >> 1)
            continue
        width = next(n for n in (1, 2, 3, 4) if length < 1 << 7 * n)
        first = {1: 0, 2: 0x80, 3: 0xC0, 4: 0xE0}[width] << 8 * (width - 1)
        out += bytes([0x80 | grey >> 1]) + (first | length).to_bytes(width, "big")
    return bytes(out)


def counted(rle: bytes, encoding: Encoding) -> int:
    """How many pixels the runs fill, one chunk after the other; 0 where one cannot be read."""
    data, at, total = rle + bytes(5), 0, 0
    while at < len(rle):
        head, first = data[at], data[at + 1]
        if encoding is GOO:
            kind, extra = head >> 6, head >> 4 & 3
            if kind == 2:
                at += 1 + (extra & 1)
                total += first if extra & 1 else 1
                continue
            at += 2 if kind == 1 else 1
            total += int.from_bytes(data[at : at + extra], "big") << 4 | head & 15
            at += extra
        elif head < 0x80:
            at += 1
            total += 1
        elif first >= 0xF0:
            return 0
        else:
            width = 1 + (first >= 0x80) + (first >= 0xC0) + (first >= 0xE0)
            total += int.from_bytes(data[at + 1 : at + 1 + width], "big") & (1 << 7 * width) - 1
            at += 1 + width
    return total if at == len(rle) else 0


def as_ctb(grey: int) -> int:
    return (grey >> 1) << 1 | 1 if grey >> 1 else 0


def slowly(run_list: RunList, resolution: tuple[int, int], sx: int, sy: int) -> list[list[int]]:
    """The same filter by the full picture: the mean of each box, its right edge filled up with the last pixel."""
    columns, rows = resolution
    pixels = [grey for grey, length in run_list for _ in range(length)]
    full = [pixels[row * columns : (row + 1) * columns] for row in range(rows)]
    across = -(-columns // sx)
    full = [line + [line[-1]] * (across * sx - columns) for line in full]
    picture = []
    for top in range(0, rows, sy):
        lines = full[top : top + sy]
        area = sx * len(lines)
        boxes = (sum(sum(line[x * sx : x * sx + sx]) for line in lines) for x in range(across))
        picture.append([(2 * total + area) // (2 * area) for total in boxes])
    return picture


@st.composite
def layers(draw: st.DrawFn) -> tuple[tuple[int, int], RunList]:
    """A small screen and runs that fill it, some of no length."""
    columns, rows = draw(st.integers(1, 40)), draw(st.integers(1, 30))
    left, found = columns * rows, []
    greys = st.one_of(st.sampled_from([0, 255, 255, 1, 254]), st.integers(0, 255))
    lengths = st.one_of(st.integers(0, 4), st.integers(1, 400), st.just(columns))
    for grey, length in draw(st.lists(st.tuples(greys, lengths), max_size=60)):
        found.append((grey, min(length, left)))
        left -= found[-1][1]
    return (columns, rows), [*found, (draw(greys), left)]


class BoxFilterTests(SynchronousTestCase):
    @given(layers(), st.integers(1, 45), st.booleans(), st.booleans(), st.sampled_from([GOO, CTB]))
    @settings(derandomize=True, max_examples=400, deadline=None)
    def test_every_width(
        self, layer: tuple[tuple[int, int], RunList], width: int, mirror_x: bool, mirror_y: bool, encoding: Encoding
    ) -> None:
        """Each pixel is the mean of the pixels under it, whatever the runs, the width and the orientation."""
        resolution, run_list = layer
        rle = goo_rle(run_list) if encoding is GOO else ctb_rle(run_list)
        shown = run_list if encoding is GOO else [(as_ctb(grey), length) for grey, length in run_list]
        picture = layer_picture(rle, encoding, resolution, width, None, mirror_x, mirror_y)
        factor = -(-resolution[0] // min(width, resolution[0]))
        expected = slowly(shown, resolution, factor, min(factor, resolution[1]))
        expected = [line[:: -1 if mirror_x else 1] for line in expected[:: -1 if mirror_y else 1]]
        self.assertEqual((picture.width, picture.height), (len(expected[0]), len(expected)))
        self.assertEqual(picture.rows, bytes(grey for line in expected for grey in line))
        self.assertEqual(counted(rle, encoding), resolution[0] * resolution[1])

    def test_narrow(self) -> None:
        """A very narrow picture of a very wide screen is as bright as the screen, also where sums become large."""
        for columns, rows, width in ((30_000, 4, 10), (65_535, 4_000, 1), (60_000, 4_000, 3)):
            picture = layer_picture(goo_rle([(255, columns * rows)]), GOO, (columns, rows), width)
            self.assertEqual((picture.width, set(picture.rows)), (width, {255}))

    def test_dark_edges(self) -> None:
        """What lies in a few rows only is shown there, with black above and below, in every band."""
        columns, rows = 2000, 3000
        for first in (0, 1, 1499, 2998):
            run_list = [(0, first * columns), (200, 2 * columns), (0, (rows - first - 2) * columns)]
            picture = layer_picture(goo_rle(run_list), GOO, (columns, rows), columns)
            lines = [picture.rows[y * columns : (y + 1) * columns] for y in range(rows)]
            found = [y for y, line in enumerate(lines) if any(line)]
            self.assertEqual((found, {*lines[first]}), ([first, first + 1], {200}))

    def test_segments(self) -> None:
        """The runs of a layer are the same wherever it is cut into segments."""
        run_list = [
            (number * 37 % 256 if number % 3 else 90 + number % 7, 1 + number**3 % 301) for number in range(150)
        ]
        pixels = sum(length for _, length in run_list)
        for encoding, rle in ((GOO, goo_rle(run_list)), (CTB, ctb_rle(run_list))):
            for segment in range(1, len(rle) + 2):
                at = 0
                found: RunList = []
                for start, ends, greys in runs_of(rle, encoding, pixels, segment):
                    self.assertEqual(start, at)
                    found += zip(greys.tolist(), np.diff(ends, prepend=start).tolist(), strict=True)
                    at = int(ends[-1])
                shown = [(grey if encoding is GOO else as_ctb(grey), length) for grey, length in run_list]
                self.assertEqual(found, shown, segment)

    def test_bands(self) -> None:
        """A large picture is the same as a small one: nothing is lost where its bands meet."""
        columns, rows = 1500, 700
        run_list = [(number * 91 % 256, 1 + number * number % 2500) for number in range(800)]
        run_list.append((9, columns * rows - sum(length for _, length in run_list)))
        full = bytes(grey for grey, length in run_list for grey in [grey] * length)
        picture = layer_picture(goo_rle(run_list), GOO, (columns, rows), columns)
        self.assertEqual(picture.rows, full)
        lines = [full[at : at + columns] for at in range(0, len(full), columns)]
        turned = layer_picture(goo_rle(run_list), GOO, (columns, rows), columns, None, True, True)
        self.assertEqual(turned.rows, b"".join(line[::-1] for line in reversed(lines)))

    def test_many_chunks(self) -> None:
        """A dense layer of many segments is as exact as a small one."""
        resolution, run_list = (4000, 500), [(255 if n % 2 else 120 + n % 9, 1 + n % 4) for n in range(799_998)]
        run_list.append((3, 4000 * 500 - sum(length for _, length in run_list)))
        for encoding, rle in ((GOO, goo_rle(run_list)), (CTB, ctb_rle(run_list))):
            self.assertGreater(len(rle), 2 * SEGMENT)
            shown = [grey if encoding is GOO else as_ctb(grey) for grey, _ in run_list]
            full = np.repeat(shown, [length for _, length in run_list]).reshape(500, 4000)
            boxes = full.reshape(100, 5, 800, 5).sum(axis=(1, 3))
            picture = layer_picture(rle, encoding, resolution, 800)
            self.assertEqual(picture.rows, ((2 * boxes + 25) // 50).astype(np.uint8).tobytes())


class SizeTests(SynchronousTestCase):
    def size(
        self, resolution: tuple[int, int], width: int, pitch: tuple[float, float] | None = None
    ) -> tuple[int, int]:
        columns, rows = resolution
        picture = layer_picture(goo_rle([(255, columns * rows)]), GOO, resolution, width, pitch)
        self.assertEqual(set(picture.rows), {255})
        return picture.width, picture.height

    def test_factors(self) -> None:
        """The factor is whole, the picture at most as wide as asked for, and a circle stays a circle."""
        self.assertEqual(self.size((11520, 5120), 960), (960, 427))
        self.assertEqual(self.size((5760, 3600), 960), (960, 600))
        self.assertEqual(self.size((15120, 6230), 960, (0.014, 0.019)), (945, 520))
        self.assertEqual(self.size((1440, 2560), 5000), (1440, 2560))
        self.assertEqual(self.size((16, 12), 0), (1, 1))

    def test_largest(self) -> None:
        """No picture is wider or higher than it may be, however odd the screen."""
        for resolution in ((0xFFFF, 4096), (4096, 0xFFFF), (1, 0xFFFF), (0xFFFF, 1), (11520, 5120)):
            for pitch in (None, (1.0, 7.0), (7.0, 1.0), (1.0, 1e9), (float("nan"), 1.0), (0.0, 1.0)):
                width, height = self.size(resolution, 100_000, pitch)
                self.assertTrue(0 < width <= LARGEST and 0 < height <= LARGEST, (resolution, pitch, width, height))

    def test_no_screen(self) -> None:
        """A resolution that no screen has is the caller's mistake."""
        for resolution in ((0, 5), (5, 0), (70_000, 5), (0xFFFF, 0xFFFF)):
            self.assertRaises(ValueError, layer_picture, b"\x05", GOO, resolution, 10)


class HostileTests(SynchronousTestCase):
    """Damaged layers."""

    BAD: ClassVar = [
        (GOO, b""),
        (GOO, bytes([0x1F, 0x0B])),  # 191 of 192 pixels
        (GOO, bytes([0x11, 0x0C])),  # 193
        (GOO, bytes([0x10, 0x0C, 0x01])),
        (GOO, bytes([0x3F, 0xFF, 0xFF, 0xFF] * 200)),
        (GOO, bytes([0x10])),  # its length is missing
        (GOO, bytes([0x41])),
        (GOO, bytes([0xA1, 0x1F, 0x0B])),  # below black
        (GOO, bytes([0xC1, 0x81, 0x1E, 0x0B])),  # above white
        (GOO, bytes([0x41, 10, 0xAF, 0x1E, 0x0B])),
        (CTB, b""),
        (CTB, bytes([0x80, 0x80, 0xBF])),
        (CTB, bytes([0x80, 0x80, 0xC1])),
        (CTB, bytes([0x80])),
        (CTB, bytes([0x80, 0x80])),
        (CTB, bytes([0x80, 0xF5, 0, 0, 0xC0])),  # no such length
        (CTB, bytes([0xFF, 0xEF, 0xFF, 0xFF, 0xFF] * 200)),
    ]

    def test_refused(self) -> None:
        """A damaged layer is refused, with words that say what is wrong and what to do."""
        for encoding, rle in self.BAD:
            error = self.assertRaises(BadLayer, layer_picture, rle, encoding, (16, 12), 16)
            self.assertIn("corrupt", error.message, (encoding, rle))
            self.assertTrue(error.hint)

    def test_total(self) -> None:
        """A layer whose runs fill one pixel less or more than the screen has is refused, with both numbers."""
        rle = bytes([0x1F, 0x0B])
        self.assertEqual(counted(rle, GOO), 191)
        for pixels in (190, 192):
            error = self.assertRaises(BadLayer, list, runs_of(rle, GOO, pixels))
            self.assertIn("191", error.message)
            self.assertIn(str(pixels), error.message)

    @given(st.binary(max_size=300), st.sampled_from([GOO, CTB]), st.integers(1, 30))
    @settings(derandomize=True, max_examples=1000, deadline=None)
    def test_anything(self, rle: bytes, encoding: Encoding, width: int) -> None:
        """Bytes that anybody made up give a picture or the one error."""
        total = counted(rle, encoding)
        for columns in (16, 1):
            rows = min(total, 0xFFFF) or 7
            try:
                picture = layer_picture(rle, encoding, (columns, rows), width)
            except BadLayer:
                continue
            self.assertEqual(total, columns * rows)
            self.assertEqual(len(picture.rows), picture.width * picture.height)

    def test_memory(self) -> None:
        """Layers of many megabytes take no more memory than is said, whatever they hold and however wide they are."""
        megabytes = 3 * 2**20
        rows = 5120
        dense = bytes([0xC1, 0x01] * (megabytes // 2))
        steps = bytes([0x41, 0x7F]) + bytes([0x81, 0xA1] * (megabytes // 2))
        singles = bytes([0x7F, 0x00] * (megabytes // 2))
        rest = 11520 * rows - megabytes
        cases = [
            (GOO, dense + goo_rle([(0, rest)])),
            (GOO, steps + goo_rle([(0, rest - 1)])),
            (CTB, singles + ctb_rle([(0, rest)])),
            (GOO, goo_rle([(255, 11520 * rows)])),
            (CTB, bytes([0xFF, 0xEF, 0xFF, 0xFF, 0xFF] * 400_000)),
        ]
        for encoding, rle in cases:
            for width in (960, 4096):
                tracemalloc.start()
                try:
                    size = len(layer_picture(rle, encoding, (11520, rows), width).rows)
                except BadLayer:
                    size = 0
                finally:
                    peak = tracemalloc.get_traced_memory()[1]
                    tracemalloc.stop()
                self.assertLess(peak - 2 * size, WORKING, (encoding, len(rle), width))


def unpacked(png: bytes) -> tuple[int, int, bytes]:
    """A reader of PNG for what is written here, which checks each chunk."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at, found = 8, {}
    while at < len(png):
        (size,) = struct.unpack_from(">I", png, at)
        kind, content = png[at + 4 : at + 8], png[at + 8 : at + 8 + size]
        assert struct.unpack_from(">I", png, at + 8 + size)[0] == zlib.crc32(kind + content)
        found[kind] = content
        at += 12 + size
    assert list(found) == [b"IHDR", b"IDAT", b"IEND"]
    width, height, bits, colour, *rest = struct.unpack(">IIBBBBB", found[b"IHDR"])
    assert (bits, rest) == (8, [0, 0, 0])
    stride = width * {0: 1, 2: 3}[colour]
    raw = zlib.decompress(found[b"IDAT"])
    lines = [raw[at : at + stride + 1] for at in range(0, len(raw), stride + 1)]
    assert len(lines) == height and all(line[0] == 0 for line in lines)
    return width, height, b"".join(line[1:] for line in lines)


class FileTests(SynchronousTestCase):
    """The reference's vectors and the real files."""

    def setUp(self) -> None:
        if not SHARED.is_dir():
            self.skipTest("the vectors are not here")

    def test_vectors(self) -> None:
        """The vectors' layers come out pixel by pixel, from both encodings; .ctb has seven bits of grey."""
        expected = json.loads((SHARED / "vectors" / "expected.json").read_text())
        for number in range(4):
            about = expected[f"tiny layer {number}"]
            pixels = bytes.fromhex((SHARED / "vectors" / f"tiny_layer{number}.txt").read_text())
            goo = layer_picture(bytes.fromhex(about["goo_rle"]), GOO, (16, 12), 16)
            self.assertEqual(goo.rows, pixels)
            self.assertEqual(sha256(goo.rows).hexdigest(), about["sha256_pixels"])
            ctb = layer_picture(bytes.fromhex(about["ctb_rle"]), CTB, (16, 12), 16)
            self.assertEqual(ctb.rows, bytes(as_ctb(grey) for grey in pixels))
            self.assertEqual(unpacked(goo.png()), (16, 12, pixels))

    def test_long_runs(self) -> None:
        """Runs of the longest lengths fall where they belong."""
        rle = bytes.fromhex("30010C8E E0111768 400138 91FF 29E112")
        picture = layer_picture(rle, GOO, (2048, 1024), 2048)
        pixels = b"\0" * 1_100_000 + b"\xff" * 70_000 + b"\x40" * 5_000 + b"\x41" * 255 + b"\0" * 921_897
        self.assertEqual(picture.rows, pixels)


class SampleTests(SynchronousTestCase):
    """Real files, by a walk that is no part of the daemon."""

    def render(self, rle: bytes, encoding: Encoding, resolution: tuple[int, int]) -> None:
        full = np.concatenate([np.full(int(n), g, np.uint8) for g, n in slow_runs(rle, encoding)]).reshape(
            -1, resolution[0]
        )
        picture = layer_picture(rle, encoding, resolution, resolution[0] // 5)
        boxes = full.reshape(resolution[1] // 5, 5, resolution[0] // 5, 5).sum(axis=(1, 3), dtype=np.int64)
        self.assertGreater(int(boxes.max()), 0)
        self.assertEqual(picture.rows, ((2 * boxes + 25) // 50).astype(np.uint8).tobytes())

    def sample(self, name: str) -> bytes:
        path = SHARED / "samples" / name
        if not path.exists():
            self.skipTest("the samples are not here")
        return path.read_bytes()

    def test_goo(self) -> None:
        """Three layers of a real .goo file are what a plain decoder says they are."""
        content, at, layers = self.sample("mars4max-426-layers.goo"), 195_477, []
        while len(content) - at > 11:
            (size,) = struct.unpack_from(">I", content, at + 66)
            layers.append(content[at + 71 : at + 69 + size])
            at += 72 + size
        for number in (0, len(layers) // 2, len(layers) * 5 // 6):
            self.render(layers[number], GOO, (5760, 3600))

    def test_ctb(self) -> None:
        """Three layers of a real .ctb file are what a plain decoder says they are."""
        content = self.sample("stairs-400-layers-v3.ctb")
        table, count = struct.unpack_from("<II", content, 0x40)
        (key,) = struct.unpack_from("<I", content, 0x64)
        for number in (0, count // 2, count * 5 // 6):
            address, size = struct.unpack_from("<II", content, table + 36 * number + 12)
            step = (key * 0x2D83CDAC + 0xD8A83423) % 2**32
            word = (number * 0x1E1530CD + 0xEC3D47CD) * step % 2**32
            words = ((word + turn * step) % 2**32 for turn in range(size // 4 + 1))
            stream = b"".join(struct.pack("<I", word) for word in words)
            rle = bytes(a ^ b for a, b in zip(content[address : address + size], stream, strict=False))
            self.render(rle, CTB, (1440, 2560))


def slow_runs(rle: bytes, encoding: Encoding) -> RunList:
    """A plain decoder, chunk by chunk."""
    at, grey, found = 0, 0, []
    while at < len(rle):
        head = rle[at]
        if encoding is CTB:
            grey, length, at = as_ctb((head & 0x7F) << 1), 1, at + 1
            if head & 0x80:
                width = next(n for n, top in ((1, 0x80), (2, 0xC0), (3, 0xE0), (4, 0xF0)) if rle[at] < top)
                length = int.from_bytes(rle[at : at + width], "big") & (1 << 7 * width) - 1
                at += width
        elif head >> 6 == 2:
            grey += (head & 15) * (-1 if head & 32 else 1)
            length = rle[at + 1] if head & 16 else 1
            at += 2 if head & 16 else 1
        else:
            grey = {0: 0, 1: rle[at + 1] if head >> 6 == 1 else 0, 3: 255}[head >> 6]
            at += 2 if head >> 6 == 1 else 1
            width = head >> 4 & 3
            length = int.from_bytes(rle[at : at + width], "big") << 4 | head & 15
            at += width
        found.append((grey, length))
    return found
