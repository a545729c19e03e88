"""Encrypted CTB files, read: all of them without the key as far as they are in clear, the rest with it.

One decision: the key is the owner's to give, never ours to ship (formats.md, section 5.2). Without it the settings
are closed, but what they point to is not: previews, the table of layers and every layer's height and exposure stand
behind them in clear, and are found by their shape.
"""

from __future__ import annotations

import hashlib
import re
import struct
from itertools import takewhile
from typing import Any

from msgspec import Struct

from sdcpd.codec import ctb
from sdcpd.codec.identify import Identity
from sdcpd.codec.sliced_values import (
    DAMAGED,
    MAX_LAYERS,
    MAX_RLE,
    Layer,
    Moves,
    Preview,
    SlicedFile,
    Waits,
    bed,
    check_layer_count,
    check_resolution,
    layer_seconds,
    millimetres,
    seconds,
)
from sdcpd.codec.source import Record, Source, number, take, text
from sdcpd.errors import BadFile, ConfigError, NotDecodable

__all__ = ["FINGERPRINT", "WANTED", "CtbKey", "open_span", "parse_key", "read_head", "read_layers"]

FINGERPRINT = "3f2fc0894fbf4a65681c23fa953b6cf2003c72cfece98b37f1c9310148b9a389"
"""SHA-256 of the key and the IV that every machine knows."""
WANTED = "It takes the key of such files: [files] ctb_key_file for the daemon, --key-file for sdcp-info."
"""What to do about a picture that is locked up."""

_HEAD = Record("<8IHHIII", "_ size at _ _ signature_size signature_at _ _ _ _ _ _")
_SETTINGS = Record(
    "<QIfffIIfffffIIIIIIII9fIHHI7fIIBHBIIffIffIfIfffff14I",
    """
    check table_at bed_x bed_y bed_z _ _ height layer_height exposure bottom_exposure light_off
    bottom_layers width tall count large_at small_at print_time mirror
    bottom_lift bottom_lift_speed lift lift_speed retract_speed volume weight cost bottom_light_off
    _ pwm bottom_pwm key bottom_lift2 bottom_lift2_speed lift2 lift2_speed retract2 retract2_speed after
    name_at name_size _ _ per_layer minutes anti_aliasing retracted _ transition
    bottom_retract bottom_retract2_speed _ _ _ _ _ _ before bottom_retract2
    """
    + 14 * " _",
)
_POINTER = struct.Struct("<4I")
_LAYER = Record(
    "<IfffIIIIII11fI",
    """
    size z exposure light_off offset page length _ aes_offset aes_length
    lift lift_speed lift2 lift2_speed retract_speed retract2 retract2_speed before after retracted pwm _
    """,
)
_KEY = 32
_IV = 16
_WINDOW = 4096
"""Bytes after a record in which the next one is looked for."""
_CLEAR = 48
_DISCLAIMER = b"Layout and record"


class CtbKey(Struct, frozen=True):
    """AES-256 in CBC mode: 32 and 16 bytes."""

    key: bytes
    iv: bytes

    def decrypt(self, data: bytes) -> bytes:
        """One block of whole 16 bytes; the IV starts anew with each."""
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        opened = Cipher(algorithms.AES(self.key), modes.CBC(self.iv)).decryptor()
        return opened.update(data) + opened.finalize()


def parse_key(raw: bytes, fingerprint: str = FINGERPRINT) -> CtbKey:
    """The key in a file of 48 bytes, or of 96 hexadecimal digits; raises ``ConfigError`` for another."""
    found = raw
    if len(raw) != _KEY + _IV:
        try:
            found = bytes.fromhex(re.sub(r"[\s,:]|0x", "", raw.decode("ascii")))
        except ValueError:
            found = b""
    if len(found) != _KEY + _IV:
        raise ConfigError(
            f"expected 48 bytes (32 of the key, 16 of the IV) or 96 hexadecimal digits, found {len(raw)} bytes",
            "Write key and IV one behind the other.",
        )
    if (digest := hashlib.sha256(found).hexdigest()) != fingerprint:
        raise ConfigError(
            f"expected the key and IV with the SHA-256 {fingerprint[:16]}..., found {digest[:16]}...",
            "Check that the key stands before the IV, and that both are of encrypted .ctb files.",
        )
    return CtbKey(found[:_KEY], found[_KEY:])


def read_head(source: Source, identity: Identity, key: CtbKey | None) -> SlicedFile:
    """What the file tells: everything with the key, else previews, layers' number, heights and times.

    Reads a few KB. Raises ``Truncated``, ``BadFile`` for settings that cannot be, or that the key does not open.
    """
    ctb.check_version(identity)
    head = _HEAD.read(take(source, 0, _CLEAR, "the head"))
    if not _SETTINGS.size <= head.size <= _WINDOW or head.size % 16 or head.at < _CLEAR:
        raise BadFile(f"the head is damaged: the settings cannot have {head.size} bytes at byte {head.at}", DAMAGED)
    closed = take(source, head.at, head.size, "the encrypted settings")
    if key is None:
        return _surveyed(source, identity, head.at + head.size)
    settings = _SETTINGS.read(key.decrypt(closed))
    _check_signature(source, head, settings.check, key)
    return _told(source, identity, settings)


def read_layers(source: Source, sliced: SlicedFile, found: list[Layer]) -> list[Layer]:
    """Every layer by its own header, 104 bytes each, added to ``found``; goes on behind those that are there.

    Raises ``Truncated``, ``BadFile``, ``NotDecodable``.
    """
    if sliced.layer_count is None:
        raise NotDecodable("the layers of this encrypted file are not known without its key")
    table = take(source, sliced.layers_at, _POINTER.size * sliced.layer_count, "the table of layers")
    try:
        while len(found) < sliced.layer_count:
            offset, page, _, _ = _POINTER.unpack_from(table, len(found) * _POINTER.size)
            found.append(_layer(source, ctb.place(offset, page), len(found), sliced))
    except BadFile as error:
        error.layer = len(found) + 1
        raise
    return found


def open_span(data: bytes, layer: Layer, key: CtbKey | None) -> bytes:
    """``data`` of a layer with its encrypted part in clear.

    Raises ``NotDecodable`` without the key, and for the parts that a known mistake of ChiTuBox cut off.
    """
    if not layer.aes_length:
        return data
    end = layer.aes_offset + layer.aes_length
    if key is None:
        raise NotDecodable(f"layer {layer.index + 1} is encrypted", WANTED)
    if layer.aes_length % 16 or end > len(data):
        raise NotDecodable(
            f"layer {layer.index + 1} cannot be decoded: its encrypted part is cut off",
            "A mistake of the slicer; the other layers can be seen, and the printer copes.",
        )
    return data[: layer.aes_offset] + key.decrypt(data[layer.aes_offset : end]) + data[end:]


def _layer(source: Source, at: int, index: int, sliced: SlicedFile) -> Layer:
    """The layer whose header is at ``at``."""
    name = f"layer {index + 1} of {sliced.layer_count}"
    largest = min(2 * sliced.resolution[0] * sliced.resolution[1], MAX_RLE) if sliced.resolution else MAX_RLE
    head = _LAYER.read(take(source, at, _LAYER.size, name))
    start = ctb.place(head.offset, head.page)
    if head.size != _LAYER.size or start < _CLEAR or head.length > largest:
        raise BadFile(f"{name} is damaged: it cannot have {head.length} bytes at byte {start}", DAMAGED)
    if head.length:
        take(source, start + head.length - 1, 1, name)
    shown = seconds(head.exposure)
    return Layer(
        index=index,
        offset=start,
        length=head.length,
        z=millimetres(head.z),
        exposure_s=shown,
        seconds=layer_seconds(shown, _moves(head), _waits(head)),
        light_pwm=_byte(head.pwm),
        aes_offset=head.aes_offset,
        aes_length=head.aes_length,
    )


def _told(source: Source, identity: Identity, settings: Any) -> SlicedFile:
    """The value of a file whose settings are open."""
    waits = Waits(
        seconds(settings.light_off), seconds(settings.before), seconds(settings.after), seconds(settings.retracted)
    )
    return SlicedFile(
        format="ctb",
        version=identity.version,
        encrypted=True,
        machine=ctb.name(source, settings.name_at, settings.name_size),
        date=ctb.moment(60 * settings.minutes) or ctb.moment(settings.check),
        resolution=check_resolution(settings.width, settings.tall),
        bed=bed(settings.bed_x, settings.bed_y, settings.bed_z),
        layer_count=check_layer_count(settings.count),
        layer_height=number(settings.layer_height, 0.001, 1),
        height=millimetres(settings.height),
        exposure_s=seconds(settings.exposure),
        bottom_exposure_s=seconds(settings.bottom_exposure),
        bottom_layers=settings.bottom_layers,
        transition_layers=settings.transition,
        moves=_moves(settings),
        bottom_moves=ctb.moves(
            *(settings.bottom_lift, settings.bottom_lift_speed, settings.bottom_lift2, settings.bottom_lift2_speed),
            *(settings.bottom_retract, settings.bottom_retract2, settings.bottom_retract2_speed),
        ),
        waits=waits,
        bottom_waits=Waits(
            seconds(settings.bottom_light_off), waits.before_lift, waits.after_lift, waits.after_retract
        ),
        print_time_s=settings.print_time or None,
        volume_ml=number(settings.volume, 0, 1e6),
        weight_g=number(settings.weight, 0, 1e6),
        cost=number(settings.cost, 0, 1e6),
        anti_aliasing=settings.anti_aliasing,
        mirror_x=bool(settings.mirror),
        mirror_y=False,
        light_pwm=settings.pwm,
        bottom_light_pwm=settings.bottom_pwm,
        per_layer=bool(settings.per_layer),
        previews=tuple(
            found for at in (settings.large_at, settings.small_at) if at and (found := ctb.preview(source, at))
        ),
        layers_at=settings.table_at,
        xor_key=settings.key,
    )


def _surveyed(source: Source, identity: Identity, at: int) -> SlicedFile:
    """The value of a file whose settings, which end at ``at``, stay closed (formats.md, section 5.5)."""
    previews: list[Preview] = []
    table: tuple[int, int] | None = None
    machine: str | None = None
    moving = True
    while moving:
        moving = False
        window = source.read(at, max(0, min(_WINDOW, source.size - at)))
        for place in range(len(window) - _POINTER.size + 1):
            width, height, offset, length = _POINTER.unpack_from(window, place)
            here = at + place
            if offset == here + 16 and len(previews) < 2 and (found := ctb.preview(source, here)):
                previews.append(found)
                machine = machine or _name_before(window, place)
                at, moving = offset + length, True
                break
            if offset == 88 and not length and (count := _pointers(source, here, ctb.place(width, height))):
                table = here, count
                machine = machine or _name_before(window, place)
                break
        else:
            if len(window) < _WINDOW:
                take(source, at, _WINDOW, "the table of layers")
    if table is None:
        return SlicedFile(
            format="ctb",
            version=identity.version,
            encrypted=True,
            layers_known=False,
            pictures_known=False,
            machine=machine,
            previews=tuple(previews),
        )
    layers_at, count = table
    first, second, last = (_header(source, layers_at, min(index, count - 1)) for index in (0, 1, count - 1))
    return SlicedFile(
        format="ctb",
        version=identity.version,
        encrypted=True,
        pictures_known=False,
        machine=machine,
        layer_count=count,
        layer_height=number(second.z - first.z if count > 1 else first.z, 0.001, 1),
        height=millimetres(last.z),
        exposure_s=seconds(last.exposure),
        bottom_exposure_s=seconds(first.exposure),
        moves=_moves(last),
        bottom_moves=_moves(first),
        waits=_waits(last),
        bottom_waits=_waits(first),
        light_pwm=_byte(last.pwm),
        bottom_light_pwm=_byte(first.pwm),
        previews=tuple(previews),
        layers_at=layers_at,
    )


def _name_before(window: bytes, place: int) -> str | None:
    """The machine's name, which ends where the text of the disclaimer begins."""
    words = window.find(_DISCLAIMER, 0, place)
    return text(window[:words]) if words > 0 else None


def _pointers(source: Source, here: int, first: int) -> int:
    """How many layers a table at ``here`` points at, whose first one is at ``first``; 0 if it is no table.

    It ends where its entries end: right before the first layer, or, in mslicer's files, before the signature.
    """
    most = (first - here) // _POINTER.size
    if not 1 <= most <= MAX_LAYERS + 3 or take(source, first, 4, "the first layer") != b"X\0\0\0":
        return 0
    entries = _POINTER.iter_unpack(take(source, here, most * _POINTER.size, "the table of layers"))
    return min(sum(1 for _ in takewhile(lambda entry: entry[2:] == (88, 0), entries)), MAX_LAYERS)


def _header(source: Source, layers_at: int, index: int) -> Any:
    """The header of one layer."""
    pointer = take(source, layers_at + index * _POINTER.size, _POINTER.size, "the table of layers")
    offset, page, _, _ = _POINTER.unpack(pointer)
    return _LAYER.read(take(source, ctb.place(offset, page), _LAYER.size, f"layer {index + 1}"))


def _check_signature(source: Source, head: Any, check: int, key: CtbKey) -> None:
    """See that the key opened the settings; a signature that has not arrived yet cannot say."""
    if head.signature_size != 32 or head.signature_at + 32 > source.size:
        return
    signature = key.decrypt(source.read(head.signature_at, 32))
    if signature != hashlib.sha256(check.to_bytes(8, "little")).digest():
        raise BadFile("the settings are damaged, or encrypted by another key: their signature is wrong", DAMAGED)


def _moves(record: Any) -> Moves:
    """Moves out of a layer's header or the settings, which call them alike."""
    return ctb.moves(
        *(record.lift, record.lift_speed, record.lift2, record.lift2_speed),
        *(record.retract_speed, record.retract2, record.retract2_speed),
    )


def _waits(record: Any) -> Waits:
    return Waits(seconds(record.light_off), seconds(record.before), seconds(record.after), seconds(record.retracted))


def _byte(value: float) -> int | None:
    """A light's power, which layers hold as a float."""
    found = number(value, 0, 255)
    return None if found is None else round(found)
