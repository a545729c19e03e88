"""Encrypted .ctb files: what they tell without the key, and all of it with a key of the test's own."""

from __future__ import annotations

import hashlib
import struct

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.codec.ctb_encrypted import CtbKey, parse_key
from sdcpd.codec.sliced import BytesSource, Moves, Waits, layer_data, preview, read_head, read_layers
from sdcpd.codec.xor86 import reveal
from sdcpd.errors import BadFile, ConfigError, NotDecodable, Truncated
from tests.codec.vectors import patched, vector

KEY = CtbKey(bytes(range(32)), bytes(range(100, 116)))
XOR = 0xDCBE9950
RUNS = (b"\x80\xc0" + b"\x01\x02" * 300 + b"\xff\x81\x58", b"\xff\x84\xb0", b"\x05" * 100)
"""The first two fill the 40 x 30 pixels."""
SPANS = ((16, 512), (0, 0), (0, 104))
"""The last one is what a mistake of ChiTuBox leaves behind: no whole number of blocks."""
DISCLAIMER = b"Layout and record format, in words of our own"
SETTINGS = "<QIfffIIfffffIIIIIIII9fIHHI7fIIBHBIIffIffIfIfffff14I"


def encrypt(data: bytes) -> bytes:
    """With the test's key."""
    closing = Cipher(algorithms.AES(KEY.key), modes.CBC(KEY.iv)).encryptor()
    return closing.update(data) + closing.finalize()


def resettled(data: bytes, offset: int, layout: str, *values: float) -> bytes:
    """An encrypted file with other values in its settings."""
    return data[:48] + encrypt(patched(KEY.decrypt(data[48:336]), offset, layout, *values)) + data[336:]


def encrypted_file(signature_first: bool = False) -> bytes:
    """A file as ChiTuBox arranges it, or with the signature before the layers, as mslicer does."""
    at = 48 + 288
    middle = bytearray()
    previews = []
    for width, height in ((40, 30), (20, 10)):
        picture = struct.pack("<HH", 0xF800 | 0x20, 0x3000 | (width * height - 1))
        previews.append(at + len(middle))
        middle += struct.pack("<4I", width, height, at + len(middle) + 16, len(picture)) + picture
    name = at + len(middle)
    middle += b"ELEGOO Test\0" + DISCLAIMER
    table = at + len(middle)
    tail = 16 * len(RUNS)
    check = 1_700_000_000
    signature = encrypt(hashlib.sha256(struct.pack("<Q", check)).digest())
    mark = b""
    signed = 0
    if signature_first:
        mark = struct.pack("<II", 0x422052FA, 0) + signature + struct.pack("<I", 0x6D4232B3)
        signed = table + tail + 8
    pointers, layers = bytearray(), bytearray()
    for index, (runs, (offset, length)) in enumerate(zip(RUNS, SPANS, strict=True)):
        data = reveal(runs, XOR, index)
        if length % 16 == 0:
            data = data[:offset] + encrypt(data[offset : offset + length]) + data[offset + length :]
        here = table + tail + len(mark) + len(layers)
        pointers += struct.pack("<4I", here, 0, 88, 0)
        times = (0.05 * (index + 1), 30.0 if index == 0 else 2.5, 0.0)
        moves = (8.0, 65.0, 3.0, 180.0, 150.0, 2.0, 60.0, 0.5, 1.0, 1.5, 200.0)
        layers += struct.pack("<IfffIIIIII11fI", 88, *times, here + 88, 0, len(data), 0, offset, length, *moves, 0)
        layers += data
    body = bytes(middle + pointers) + mark + bytes(layers)
    signed = signed or at + len(body)
    settings = struct.pack(
        SETTINGS,
        *(check, table, 143.43, 89.6, 175.0, 0, 0, 0.15, 0.05, 2.5, 30.0, 0.0),
        *(1, 40, 30, len(RUNS), *previews, 77, 1),
        *(8.0, 65.0, 7.5, 70.0, 160.0, 1.5, 1.65, 0.05, 0.0),
        *(1, 200, 255, XOR, 3.0, 180.0, 3.5, 190.0, 2.0, 65.0, 0.75, name, 12),
        *(15, 0, 0x40, 0, 4, 1.25, 0.75, 5, 150.0, 60.0),
        *(0, 4.0, 0, 4.0, 1.25, 0.75, 0.25, 2.0, *[0] * 14),
    )
    version = 5 if signature_first else 4
    head = struct.pack("<8IHHIII", 0x12FD0107, 288, 48, 0, version, 32, signed, 0, 1, 1, 0, 42, 0)
    return head + encrypt(settings) + body + (b"" if signature_first else signature)


class WithoutKeyTests(SynchronousTestCase):
    def test_vectors(self) -> None:
        """Without the key, a file shows its thumbnails, its layers' number, heights and times."""
        for version in "45":
            source = BytesSource(vector(f"tiny_enc_v{version}.ctb"))
            sliced = read_head(source)
            self.assertEqual((sliced.format, sliced.version, sliced.encrypted), ("ctb", version, True))
            self.assertEqual((sliced.layer_count, sliced.layer_height, sliced.height), (3, 0.05, 0.15))
            self.assertEqual((sliced.exposure_s, sliced.bottom_exposure_s), (2.5, 30))
            self.assertEqual(sliced.bottom_moves, Moves(5, 65, 3, 180, 6, 150, 2, 60))
            self.assertEqual(sliced.bottom_waits, Waits(0, 0.5, 1, 1.5))
            self.assertEqual((sliced.resolution, sliced.print_time_s, sliced.xor_key), (None, None, 0))
            self.assertEqual([preview(source, sliced, n)[:2] for n in (0, 1)], [(400, 300), (200, 125)])
            layers = read_layers(source, sliced)
            self.assertEqual([(layer.z, layer.exposure_s) for layer in layers], [(0.05, 30), (0.1, 30), (0.15, 2.5)])
            self.assertEqual([layer.length for layer in layers], [3, 4096, 164])
            self.assertRaises(NotDecodable, layer_data, source, sliced, layers[0])

    def test_arrangements(self) -> None:
        """The table is found where ChiTuBox has it and where mslicer does, with a signature behind it."""
        for signature_first in (False, True):
            sliced = read_head(BytesSource(encrypted_file(signature_first)))
            self.assertEqual((sliced.layer_count, sliced.machine, len(sliced.previews)), (3, "ELEGOO Test", 2))

    def test_no_table(self) -> None:
        """A file in which no table is found is known by its previews alone."""
        data = encrypted_file()
        table = data.index(DISCLAIMER) + len(DISCLAIMER)
        lost = read_head(BytesSource(patched(data, table + 8, "<I", 87) + bytes(8192)))
        self.assertEqual((lost.layer_count, lost.layers_known, len(lost.previews)), (2, True, 2))
        for entry in range(3):
            data = patched(data, table + 16 * entry + 8, "<I", 87)
        lost = read_head(BytesSource(data + bytes(8192)))
        self.assertEqual((lost.layer_count, lost.layers_known, len(lost.previews)), (None, False, 2))
        self.assertRaises(NotDecodable, read_layers, BytesSource(data), lost)


class WithKeyTests(SynchronousTestCase):
    def test_settings(self) -> None:
        """With the key, a file tells as much as one in clear."""
        for signature_first in (False, True):
            source = BytesSource(encrypted_file(signature_first))
            sliced = read_head(source, KEY)
            self.assertEqual((sliced.resolution, sliced.bed), ((40, 30), (143.43, 89.6, 175)))
            self.assertEqual((sliced.layer_count, sliced.layer_height, sliced.height), (3, 0.05, 0.15))
            self.assertEqual((sliced.machine, sliced.date), ("ELEGOO Test", "2023-11-14T22:13:20Z"))
            self.assertEqual(sliced.moves, Moves(4, 70, 3.5, 190, 5.5, 160, 2, 65))
            self.assertEqual(sliced.bottom_moves, Moves(5, 65, 3, 180, 6, 150, 2, 60))
            self.assertEqual(sliced.waits, Waits(0, 0.25, 0.75, 1.25))
            self.assertEqual((sliced.print_time_s, sliced.volume_ml, sliced.weight_g), (77, 1.5, 1.65))
            self.assertEqual((sliced.light_pwm, sliced.bottom_light_pwm, sliced.transition_layers), (200, 255, 5))
            self.assertEqual(preview(source, sliced, 1), (20, 10, b"\xff\0\0" * 200))

    def test_layers(self) -> None:
        """Layers come out in clear; one that the slicer spoilt is named, and the others are none the worse."""
        source = BytesSource(encrypted_file())
        sliced = read_head(source, KEY)
        layers = read_layers(source, sliced)
        self.assertEqual([layer_data(source, sliced, layer, KEY) for layer in layers[:2]], list(RUNS[:2]))
        with self.assertRaises(NotDecodable) as caught:
            layer_data(source, sliced, layers[2], KEY)
        self.assertIn("layer 3", caught.exception.message)
        self.assertRaises(NotDecodable, layer_data, source, sliced, layers[0])

    def test_other_key(self) -> None:
        """A key that does not fit is noticed, by the signature or by settings that cannot be."""
        source = BytesSource(encrypted_file())
        self.assertRaises(BadFile, read_head, source, CtbKey(bytes(32), KEY.iv))
        tampered = encrypted_file()
        with self.assertRaises(BadFile) as caught:
            read_head(BytesSource(patched(tampered, len(tampered) - 1, "B", tampered[-1] ^ 1)), KEY)
        self.assertIn("signature", caught.exception.message)

    def test_cut(self) -> None:
        """A layer beyond the end is missing bytes, not a wrong file."""
        data = encrypted_file(signature_first=True)
        with self.assertRaises(Truncated) as caught:
            read_layers(BytesSource(data[:-1]), read_head(BytesSource(data), KEY))
        self.assertEqual(caught.exception.needed, len(data))


class KeyFileTests(SynchronousTestCase):
    def test_forms(self) -> None:
        """The key is taken as bytes or as digits, however they are grouped."""
        raw = KEY.key + KEY.iv
        mark = hashlib.sha256(raw).hexdigest()
        for written in (raw, raw.hex().encode(), raw.hex(" ").upper().encode() + b"\n"):
            self.assertEqual(parse_key(written, mark), KEY)

    def test_wrong(self) -> None:
        """Another key, or something that is none, is refused with what was expected."""
        for written, words in (
            (KEY.key + KEY.iv, "SHA-256"),
            (b"12", "48 bytes"),
            (b"\xff" * 47, "48 bytes"),
            (b"", "48"),
        ):
            with self.assertRaises(ConfigError) as caught:
                parse_key(written)
            self.assertIn(words, caught.exception.message)
