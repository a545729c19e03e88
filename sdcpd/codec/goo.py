"""GOO files, read: a fixed head, then layer after layer, then a footer (formats.md, sections 2 and 3).

One decision: the layers are walked, not searched. Each record says how long it is, and a walk that ends on the
footer is the proof that nothing is missing; no byte of a picture is read for it.
"""

from __future__ import annotations

import re
import struct
from datetime import datetime
from typing import Any, Literal

from sdcpd.codec.identify import Identity
from sdcpd.codec.sliced_values import (
    DAMAGED,
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
    speed,
)
from sdcpd.codec.source import Record, Source, number, take, text
from sdcpd.errors import BadFile, NotDecodable, Truncated

__all__ = ["FIRST", "FOOTER", "checksum", "read_head", "read_layers"]

FOOTER = bytes.fromhex("000000 07000000 444C5000")

_FRONT = Record(">4s8s32s24s24s32s32s32sHHH", "_ _ slicer slicer_version date machine _ _ anti_aliasing _ _")
_BACK_LAYOUT = "IHHBB5fB8fI16fHHBI3f8sIBH"
_BACK_NAMES = """
    count width height mirror_x mirror_y bed_x bed_y bed_z layer_height exposure static light_off
    bottom_before bottom_after bottom_retracted before after retracted bottom_exposure bottom_layers
    bottom_lift bottom_lift_speed lift lift_speed bottom_retract bottom_retract_speed retract retract_speed
    bottom_lift2 bottom_lift2_speed lift2 lift2_speed bottom_retract2 bottom_retract2_speed retract2 retract2_speed
    bottom_pwm pwm per_layer print_time volume weight cost currency layers_at _ transition
"""
_BACK = {"big": Record(">" + _BACK_LAYOUT, _BACK_NAMES), "little": Record("<" + _BACK_LAYOUT, _BACK_NAMES)}
_LAYER = {"big": struct.Struct(">H15fH2sI"), "little": struct.Struct("<H15fH2sI")}
_SMALL = (116, 116, 194)
_LARGE = (290, 290, 27_108)
_BACK_AT = 195_310
_OFFSET_AT = 0x2FB8E
FIRST = 195_477
"""Where the layers begin."""
_CRLF = b"\r\n"
_MARK = 0x55
_RECORD = 71
"""A layer's definition and the mark behind it."""
_LEAST = 74
"""Bytes of the smallest layer: definition, mark, checksum, CRLF."""
_DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)")

Order = Literal["big", "little"]
_PIECE = 128 * 1024
"""Bytes that are summed in one step."""


def checksum(rle: bytes) -> int:
    """What stands behind a layer's runs: the complement of their sum."""
    # In pieces: one sum over 10 MB would keep every other thread waiting for 80 ms.
    view = memoryview(rle)
    return ~sum(sum(view[at : at + _PIECE]) for at in range(0, len(rle), _PIECE)) & 0xFF


def read_head(source: Source, identity: Identity) -> SlicedFile:
    """What the head of a GOO says; 196 KB are read, most of it previews.

    Raises ``Truncated`` before the first layer is reached, ``BadFile`` where marks or numbers are impossible.
    """
    head = take(source, 0, FIRST, "the head")
    front = _FRONT.read(head)
    for _, height, offset in (_SMALL, _LARGE):
        end = offset + 2 * height * height
        if head[end : end + 2] != _CRLF:
            raise BadFile(f"the head is damaged: expected a line end at byte {end}, found {head[end : end + 2].hex()}")
    order = _byte_order(head, identity.version)
    back = _BACK[order].read(head, _BACK_AT)
    decoded = identity.version.startswith("3.")
    if decoded and back.layers_at < FIRST:
        raise BadFile(f"the head is damaged: the first layer cannot be at byte {back.layers_at}, inside of it", DAMAGED)
    thickness = number(back.layer_height, 0.001, 1)
    count = check_layer_count(back.count)
    return SlicedFile(
        format="goo",
        version=identity.version,
        layers_known=decoded,
        pictures_known=decoded,
        machine=text(front.machine),
        slicer=text(front.slicer),
        slicer_version=text(front.slicer_version),
        date=_date(text(front.date)),
        resolution=check_resolution(back.width, back.height),
        bed=bed(back.bed_x, back.bed_y, back.bed_z),
        layer_count=count,
        layer_height=thickness,
        height=thickness and number(thickness * count, 0, 10_000),
        exposure_s=seconds(back.exposure),
        bottom_exposure_s=seconds(back.bottom_exposure),
        bottom_layers=back.bottom_layers,
        transition_layers=back.transition,
        moves=_moves(
            *(back.lift, back.lift_speed, back.lift2, back.lift2_speed),
            *(back.retract, back.retract_speed, back.retract2, back.retract2_speed),
        ),
        bottom_moves=_moves(
            *(back.bottom_lift, back.bottom_lift_speed, back.bottom_lift2, back.bottom_lift2_speed),
            *(back.bottom_retract, back.bottom_retract_speed, back.bottom_retract2, back.bottom_retract2_speed),
        ),
        waits=_waits(back.static, back.light_off, back.before, back.after, back.retracted),
        bottom_waits=_waits(back.static, back.light_off, back.bottom_before, back.bottom_after, back.bottom_retracted),
        print_time_s=back.print_time or None,
        volume_ml=number(back.volume / 1000, 0, 1e6),
        weight_g=number(back.weight, 0, 1e6),
        cost=number(back.cost, 0, 1e6),
        currency=text(back.currency),
        anti_aliasing=front.anti_aliasing,
        mirror_x=bool(back.mirror_x),
        mirror_y=bool(back.mirror_y),
        light_pwm=back.pwm,
        bottom_light_pwm=back.bottom_pwm,
        per_layer=bool(back.per_layer),
        previews=tuple(_preview(head, *place) for place in (_LARGE, _SMALL) if _drawn(head, *place)),
        layers_at=back.layers_at if decoded else 0,
        byte_order=order,
    )


def read_layers(source: Source, sliced: SlicedFile, found: list[Layer]) -> list[Layer]:
    """Walk the layers to the footer, adding to ``found``; 73 bytes are read for each.

    A walk that ended in ``Truncated`` goes on where it was, if it is given the same list. Raises ``BadFile`` where
    a mark is missing, ``NotDecodable`` for versions whose layers are not known.
    """
    if not sliced.layers_known or sliced.layer_count is None or sliced.resolution is None:
        raise NotDecodable(
            f"the layers of GOO version {sliced.version} cannot be read", "Save it as GOO 3.0 to see its layers."
        )
    count = sliced.layer_count
    at = found[-1].offset + found[-1].length + 3 if found else sliced.layers_at
    least = at + _LEAST * (count - len(found)) + len(FOOTER)
    try:
        while len(found) < count:
            found.append(_walked(source, at, len(found), sliced))
            at = found[-1].offset + found[-1].length + 3
    except BadFile as error:
        error.layer = len(found) + 1
        if isinstance(error, Truncated):
            error.needed = max(error.needed, least)
        raise
    if (footer := take(source, at, len(FOOTER), "the footer")) != FOOTER:
        raise BadFile(f"the footer is missing: expected it behind the last layer, found {footer.hex()}", DAMAGED)
    return found


def _walked(source: Source, at: int, index: int, sliced: SlicedFile) -> Layer:
    """The layer whose definition is at ``at``; the marks around its runs are looked at, not the runs."""
    name = f"layer {index + 1} of {sliced.layer_count}"
    record = take(source, at, _RECORD, name)
    layer = _layer(index, at, _LAYER[sliced.byte_order].unpack_from(record), sliced.waits, name)
    if record[-1] != _MARK:
        raise BadFile(f"{name} is damaged: expected the mark 55 before its runs, found {record[-1]:02x}", DAMAGED)
    if (mark := take(source, layer.offset + layer.length + 1, 2, name)) != _CRLF:
        raise BadFile(f"{name} is damaged: expected a line end behind it, found {mark.hex()}", DAMAGED)
    return layer


def _layer(index: int, at: int, record: tuple[Any, ...], rests: Waits, name: str) -> Layer:
    """A layer's value out of its definition."""
    pause, _, z, exposure, off, before, after, retracted, *moves, pwm, mark, size = record
    if mark != _CRLF:
        raise BadFile(f"{name} is damaged: its definition does not end in a line end", DAMAGED)
    if not 2 <= size <= MAX_RLE:
        raise BadFile(f"{name} is damaged: it cannot have {size} bytes", DAMAGED)
    waits = _waits(rests.light_off is None, off, before, after, retracted)
    shown = seconds(exposure)
    return Layer(
        index=index,
        offset=at + _RECORD,
        length=size - 2,
        z=millimetres(z),
        exposure_s=shown,
        seconds=layer_seconds(shown, _moves(*moves), waits),
        light_pwm=pwm,
        pause=bool(pause),
    )


def _byte_order(head: bytes, version: str) -> Order:
    """The order in which the first layer's offset reads right; without one that does, the version's own."""
    place = head[_OFFSET_AT : _OFFSET_AT + 4]
    if int.from_bytes(place, "big") == FIRST:
        return "big"
    if int.from_bytes(place, "little") == FIRST:
        return "little"
    return "big" if version.startswith("3.") else "little"


def _moves(*values: float) -> Moves:
    """Distance and speed, in turn: lift, second lift, retract, second retract."""
    return Moves(*(speed(value) if place % 2 else millimetres(value) for place, value in enumerate(values)))


def _waits(static: float, off: float, before: float, after: float, retracted: float) -> Waits:
    """The rests that the file's mode heeds."""
    if static:
        return Waits(None, seconds(before), seconds(after), seconds(retracted))
    return Waits(light_off=seconds(off))


def _date(written: str | None) -> str | None:
    """A date that is one; ChiTuBox writes ``0``, and UVtools minutes in the place of the month."""
    if not (parts := _DATE.fullmatch(written or "")):
        return None
    try:
        return datetime(*(int(part) for part in parts.groups())).isoformat()  # type: ignore[arg-type]
    except ValueError:
        return None


def _drawn(head: bytes, width: int, height: int, offset: int) -> bool:
    """Whether there is anything but black."""
    return head.count(0, offset, offset + 2 * width * height) < 2 * width * height


def _preview(head: bytes, width: int, height: int, offset: int) -> Preview:
    return Preview(width, height, offset, 2 * width * height, "rgb565")
