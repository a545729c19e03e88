"""Files that the simulator slices, read back by the daemon's readers: fields, layers, pixels, previews."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from sdcpd.codec import sliced
from sdcpd.codec.raster import layer_picture
from sdcpd.codec.runs import Encoding, runs_of
from sdcpd.codec.sliced import BytesSource, CtbKey, SlicedFile, layer_data, preview, read_head, read_layers
from sdcpd.errors import NotDecodable
from sdcpd.simulator.slicing import Moves, Recipe, Waits, slice_ctb, slice_encrypted_ctb, slice_goo
from sdcpd.simulator.slicing.model import Model, Stairs, Vase
from sdcpd.simulator.slicing.shapes import Grid
from tests.simulator.test_slicing_shapes import drawn

KEY = CtbKey(bytes(range(32)), bytes(range(200, 216)))
XOR = 0xDCBE9950
RECIPE = Recipe(
    machine="ELEGOO Jüpiter",
    machine_type="Mono",
    slicer="A slicer",
    slicer_version="1.9.4.7",
    date=datetime(2026, 3, 4, 5, 6, tzinfo=UTC),
    resolution=(640, 400),
    bed=(64.0, 40.5, 175.0),
    layer_height=0.25,
    exposure=2.25,
    bottom_exposure=27.5,
    bottom_layers=3,
    transition_layers=4,
    moves=Moves(4, 70, 3.5, 190, 5.5, 160, 2, 65),
    bottom_moves=Moves(5, 66, 3, 180, 5.5, 150, 2.5, 60),
    waits=Waits(0.25, 0.75, 1.25),
    bottom_waits=Waits(0.5, 1, 1.5),
    light_off=0.0,
    light_pwm=201,
    bottom_light_pwm=254,
    per_layer=True,
    print_time=1234,
    volume=14.25,
    weight=15.5,
    cost=1.125,
    currency="EUR",
    anti_aliasing=8,
)
"""No two fields are alike."""
MODEL = Stairs(steps=4, width=40, depth=20, height=10, engraving=0.5)

Slice = Callable[[Path, Model, Recipe], Path]


def ctb(version: int, xor_key: int = 0) -> Slice:
    return lambda path, model, recipe: slice_ctb(path, model, recipe, version, xor_key)


def encrypted(version: int) -> Slice:
    return lambda path, model, recipe: slice_encrypted_ctb(path, model, recipe, KEY.key, KEY.iv, version, XOR)


KINDS: dict[str, Slice] = {
    "goo": slice_goo,
    **{f"ctb {version}": ctb(version) for version in (2, 3, 4, 5)},
    **{f"ctb {version}, XOR": ctb(version, XOR) for version in (2, 3, 4, 5)},
    **{f"ctb {version}, encrypted": encrypted(version) for version in (4, 5)},
}


class ReadBack(SynchronousTestCase):
    """A file and what the daemon makes of it."""

    def read(self, kind: str, model: Model = MODEL, recipe: Recipe = RECIPE) -> tuple[BytesSource, SlicedFile]:
        source = BytesSource(KINDS[kind](Path(self.mktemp()), model, recipe).read_bytes())
        return source, read_head(source, KEY)


class FieldTests(ReadBack):
    def check(self, head: SlicedFile, **told: object) -> None:
        for name, value in told.items():
            self.assertEqual(getattr(head, name), value, f"{head.format} {head.version}: {name}")

    def test_common(self) -> None:
        """Every kind of file tells machine, screen, heights, exposures, times and costs as the recipe has them."""
        for kind in KINDS:
            _, head = self.read(kind)
            self.check(
                head,
                machine="ELEGOO Jüpiter",
                resolution=(640, 400),
                bed=(64, 40.5, 175),
                layer_count=40,
                layer_height=0.25,
                height=10,
                exposure_s=2.25,
                bottom_exposure_s=27.5,
                bottom_layers=3,
                transition_layers=4,
                print_time_s=1234,
                volume_ml=14.25,
                weight_g=15.5,
                cost=1.125,
                anti_aliasing=8,
                mirror_x=True,
                mirror_y=False,
                light_pwm=201,
                bottom_light_pwm=254,
                per_layer=True,
                layers_known=True,
                pictures_known=True,
            )

    def test_goo(self) -> None:
        """A .goo tells the slicer by name, its date as written, the currency, and all stages and rests."""
        _, head = self.read("goo")
        self.check(
            head,
            format="goo",
            version="3.0",
            slicer="A slicer",
            slicer_version="1.9.4.7",
            date="2026-03-04T05:06:00",
            currency="EUR",
            moves=sliced.Moves(4, 70, 3.5, 190, 5.5, 160, 2, 65),
            bottom_moves=sliced.Moves(5, 66, 3, 180, 5.5, 150, 2.5, 60),
            waits=sliced.Waits(None, 0.25, 0.75, 1.25),
            bottom_waits=sliced.Waits(None, 0.5, 1, 1.5),
            byte_order="big",
        )

    def test_goo_modes(self) -> None:
        """A .goo may be timed by its light-off time, mirrored both ways, and pause at a layer."""
        recipe = replace(
            RECIPE,
            static_waits=False,
            light_off=2.0,
            bottom_light_off=3.0,
            mirror_x=False,
            mirror_y=True,
            per_layer=False,
            pauses=frozenset({7}),
        )
        source, head = self.read("goo", recipe=recipe)
        self.check(head, waits=sliced.Waits(light_off=2), mirror_x=False, mirror_y=True, per_layer=False)
        self.assertEqual([layer.index for layer in read_layers(source, head) if layer.pause], [7])

    def test_ctb(self) -> None:
        """A .ctb tells its version, its key, the date in UTC, and from version 4 on both stages and all rests."""
        for version in (2, 3, 4, 5):
            for kind, key in ((f"ctb {version}", 0), (f"ctb {version}, XOR", XOR)):
                _, head = self.read(kind)
                self.check(head, version=str(version), encrypted=False, xor_key=key, slicer_version="1.9.4.7")
                self.check(head, date="2026-03-04T05:06:00Z")
                if version >= 4:
                    self.check(
                        head,
                        moves=sliced.Moves(4, 70, 3.5, 190, 5.5, 160, 2, 65),
                        bottom_moves=sliced.Moves(5, 66, 3, 180, 5.5, 150, 2.5, 60),
                        waits=sliced.Waits(0, 0.25, 0.75, 1.25),
                    )
                else:
                    self.assertEqual((head.moves.lift, head.bottom_moves.lift), (7.5, 8))

    def test_encrypted(self) -> None:
        """With its key an encrypted .ctb tells what a clear one does; without, what lies in clear."""
        for version in (4, 5):
            source, head = self.read(f"ctb {version}, encrypted")
            self.check(head, version=str(version), encrypted=True, xor_key=XOR, date="2026-03-04T05:06:00Z")
            self.check(
                head,
                moves=sliced.Moves(4, 70, 3.5, 190, 5.5, 160, 2, 65),
                bottom_moves=sliced.Moves(5, 66, 3, 180, 5.5, 150, 2.5, 60),
                waits=sliced.Waits(0, 0.25, 0.75, 1.25),
            )
            closed = read_head(source)
            self.check(closed, layer_count=40, layer_height=0.25, pictures_known=False, resolution=None)
            self.assertEqual(len(closed.previews), 2)
            self.assertRaises(NotDecodable, layer_data, source, closed, read_layers(source, closed)[0])

    def test_sums(self) -> None:
        """Time, volume, weight and cost that the recipe leaves open are those of the layers."""
        recipe = replace(RECIPE, print_time=None, volume=None, weight=None, cost=None)
        stairs = 20 * 10 * (2.5 + 5 + 7.5 + 10)
        for kind in ("goo", "ctb 5", "ctb 4, encrypted"):
            source, head = self.read(kind, recipe=recipe)
            assert head.volume_ml and head.weight_g and head.cost
            self.assertTrue(0.96 < head.volume_ml * 1000 / stairs < 1, head.volume_ml)  # less the numbers
            self.assertAlmostEqual(head.weight_g, head.volume_ml * 1.1, places=4)
            self.assertAlmostEqual(head.cost, head.volume_ml * 0.03, places=4)
            seconds = sum(layer.seconds or 0 for layer in read_layers(source, head))
            assert head.print_time_s
            # A clear .ctb's table has no rests of single layers, so the bottom ones count with the others' here.
            self.assertLess(abs(head.print_time_s - seconds), 3 if kind == "ctb 5" else 1)


class LayerTests(ReadBack):
    def test_settings(self) -> None:
        """Each layer has its height, and its exposure falls in equal steps from the bottom ones to the others."""
        exposures = [27.5] * 3 + [22.45, 17.4, 12.35, 7.3] + [2.25] * 33
        for kind in KINDS:
            source, head = self.read(kind)
            layers = read_layers(source, head)
            self.assertEqual([layer.z for layer in layers], [0.25 * (n + 1) for n in range(40)], kind)
            self.assertEqual([round(layer.exposure_s or 0, 3) for layer in layers], exposures, kind)
            self.assertEqual([layer.light_pwm for layer in layers], [254] * 3 + [201] * 37, kind)

    def test_pixels(self) -> None:
        """Every pixel of every layer is what the geometry says, read by a reader that shares no code."""
        grid = replace(Grid.of(RECIPE), mirror_x=False)
        truth = [b"".join(drawn(MODEL.section((n + 0.5) * 0.25), grid)) for n in range(40)]
        coarse = bytes(grey | 1 if grey > 1 else 0 for grey in range(256))
        for kind in KINDS:
            source, head = self.read(kind)
            encoding = Encoding(head.format)
            for layer in read_layers(source, head):
                rle = layer_data(source, head, layer, KEY)
                found = layer_picture(rle, encoding, (640, 400), 640, mirror_x=True).rows
                wanted = truth[layer.index] if kind == "goo" else truth[layer.index].translate(coarse)
                self.assertTrue(found == wanted, f"{kind}, layer {layer.index}")

    def test_middle(self) -> None:
        """A layer is the section through the middle of its height."""
        vase = Vase(15, 10, 0.5)
        source, head = self.read("goo", vase, replace(RECIPE, mirror_x=False))
        for layer in read_layers(source, head)[::13]:
            rows = layer_picture(layer_data(source, head, layer), Encoding.GOO, (640, 400), 640).rows
            radius = vase.radius_at((layer.index + 0.5) * 0.25)
            self.assertEqual(
                rows,
                b"".join(drawn(vase.section((layer.index + 0.5) * 0.25), Grid.of(replace(RECIPE, mirror_x=False)))),
            )
            lit = [n for n, grey in enumerate(rows[640 * 200 : 640 * 201]) if grey]
            self.assertEqual((lit[0], lit[-1]), (int(320 - radius * 10), int(320 + radius * 10)))

    def test_stored_mirrored(self) -> None:
        """The stair goes up to the left in the stored pictures, and to the right where nothing is mirrored."""
        for mirror in (True, False):
            source, head = self.read("goo", recipe=replace(RECIPE, mirror_x=mirror))
            layer = read_layers(source, head)[30]
            rows = layer_picture(layer_data(source, head, layer), Encoding.GOO, (640, 400), 640).rows
            middle = rows[640 * 200 : 640 * 201]
            self.assertEqual([middle[n] > 0 for n in (150, 490)], [mirror, not mirror])

    def test_encrypted_pieces(self) -> None:
        """Of some layers a piece is encrypted, at both of the places that real files have, and each reads well."""
        recipe = replace(RECIPE, resolution=(2048, 1280), layer_height=0.1)
        vase = Vase(18, 10, 0.5)
        source, head = self.read("ctb 4, encrypted", vase, recipe)
        layers = read_layers(source, head)
        pieces = {layer.index: (layer.aes_offset, layer.aes_length) for layer in layers if layer.aes_length}
        self.assertEqual(pieces, {0: (0, 512), 40: (1024, 512), 80: (0, 512)})
        for index in pieces:
            rle = layer_data(source, head, layers[index], KEY)
            self.assertTrue(list(runs_of(rle, Encoding.CTB, 2048 * 1280)))

    def test_twelve_k(self) -> None:
        """A 12K print of hundreds of layers is whole: walk, footer and run totals of each kind of chunk."""
        recipe = Recipe()
        source, head = self.read("goo", Vase(), recipe)
        layers = read_layers(source, head)
        self.assertEqual((len(layers), head.resolution), (400, (11520, 5120)))
        for layer in layers[::57]:
            self.assertTrue(list(runs_of(layer_data(source, head, layer), Encoding.GOO, 11520 * 5120)))


class PreviewTests(ReadBack):
    def test_previews(self) -> None:
        """Both previews show the stair in the resin's colour, rising to the right."""
        sizes = {"goo": [(290, 290), (116, 116)], "ctb": [(400, 300), (200, 125)]}
        for kind in KINDS:
            source, head = self.read(kind)
            for number, size in enumerate(sizes[head.format]):
                width, height, rgb = preview(source, head, number)
                self.assertEqual((width, height), size)
                first = [
                    next(y for y in range(height) if rgb[3 * (y * width + x)] > 100)
                    for x in (width * 15 // 100, width * 85 // 100)
                ]
                self.assertGreater(first[0] - first[1], height // 10, kind)
                self.assertLess(rgb[0], 100)


class StructureTests(ReadBack):
    def test_signature(self) -> None:
        """An encrypted file proves its key, and version 5 has the marks around the signature."""
        path = Path(self.mktemp())
        data = encrypted(5)(path, MODEL, RECIPE).read_bytes()
        self.assertEqual(data[-44:-36], struct.pack("<II", 0x422052FA, 0))
        self.assertEqual(data[-4:], struct.pack("<I", 0x6D4232B3))
        (check,) = struct.unpack_from("<Q", KEY.decrypt(data[48:336]))
        self.assertEqual(check, int(RECIPE.date.timestamp()))
        self.assertEqual(KEY.decrypt(data[-36:-4]), hashlib.sha256(struct.pack("<Q", check)).digest())

    def test_ends(self) -> None:
        """Nothing follows the last layer of a .ctb, nor the footer of a .goo."""
        for kind in KINDS:
            source, head = self.read(kind)
            last = read_layers(source, head)[-1]
            behind = {"goo": 3 + 11, "ctb": 0}[head.format]
            if head.encrypted:
                behind = 32 if head.version == "4" else 44
            self.assertEqual(last.offset + last.length + behind, source.size, kind)

    def test_refused(self) -> None:
        """What a format cannot say is refused before a file is begun."""
        path = Path(self.mktemp())
        self.assertRaises(ValueError, slice_ctb, path, MODEL, replace(RECIPE, mirror_y=True))
        self.assertRaises(ValueError, slice_ctb, path, MODEL, replace(RECIPE, pauses=frozenset({3})))
        self.assertRaises(ValueError, slice_ctb, path, MODEL, RECIPE, 6)
        self.assertRaises(ValueError, slice_encrypted_ctb, path, MODEL, RECIPE, KEY.key, KEY.iv, 3)
        self.assertRaises(ValueError, slice_encrypted_ctb, path, MODEL, RECIPE, KEY.iv, KEY.iv)
        self.assertRaises(ValueError, slice_ctb, path, MODEL, replace(RECIPE, slicer_version="two"))
        for wrong in ({"resolution": (70000, 10)}, {"layer_height": 0.0}, {"anti_aliasing": 0}):
            self.assertRaises(ValueError, replace, RECIPE, **wrong)
        self.assertFalse(path.exists())
