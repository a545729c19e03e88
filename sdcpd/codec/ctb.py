"""CTB files in clear text, read: records that point at each other (formats.md, section 4).

One decision: an offset is a claim. Every record is taken by ``take``, counts are bounded before a table is read, and
records that lie over each other do no harm, because nothing is read twice for the other's sake.
"""

from __future__ import annotations

import struct
from datetime import datetime, timedelta
from typing import Any

from sdcpd.codec.identify import Identity
from sdcpd.codec.previews import possible
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
from sdcpd.errors import BadFile, NotDecodable, Truncated, UnknownFormat

__all__ = ["check_version", "moment", "moves", "name", "place", "preview", "read_head", "read_layers"]

_HEAD = Record(
    "<IIfffIIfffffIIIIIIIIIIIIHHIII",
    """
    _ _ bed_x bed_y bed_z _ _ height layer_height exposure bottom_exposure light_off bottom_layers width tall
    large_at table_at count small_at print_time mirror parameters_at _ _ pwm bottom_pwm key slicer_at _
    """,
)
_PARAMETERS = Record(
    "<10f5I",
    """
    bottom_lift bottom_lift_speed lift lift_speed retract_speed volume weight cost bottom_light_off _ _ _ _ _ _
    """,
)
_SLICER = Record(
    "<7fIIBHBIIIffIIII",
    """
    bottom_lift2 bottom_lift2_speed lift2 lift2_speed retract2 retract2_speed after name_at name_size
    _ _ per_layer minutes anti_aliasing version retracted _ transition v4_at _ _
    """,
)
_V4 = Record("<ffIfIfffff11I", "bottom_retract bottom_retract2_speed _ _ _ _ _ _ before bottom_retract2" + 11 * " _")
_PREVIEW = struct.Struct("<4I")
_ENTRY = struct.Struct("<fffIIIIII")
_EXTENSION = 84
_LONGEST_NAME = 1024
_EPOCH = datetime(1970, 1, 1)
_LATEST = 253_402_300_799
"""The last second of the year 9999."""


def read_head(source: Source, identity: Identity) -> SlicedFile:
    """What head, parameters, slicer's record and version 4's record say; below 2 KB are read.

    Raises ``Truncated`` where one of them lies beyond the end, ``BadFile`` where counts or resolution are impossible.
    """
    check_version(identity)
    modern = int(identity.version) >= 4
    head = _HEAD.read(take(source, 0, _HEAD.size, "the head"))
    parameters = _record(source, head.parameters_at, _PARAMETERS, "the record of print parameters")
    slicer = _record(source, head.slicer_at, _SLICER, "the slicer's record")
    v4_at = slicer.v4_at if modern else 0
    v4 = _record(source, v4_at, _V4, "the record of version 4")
    told = bool(head.slicer_at)
    costs = bool(head.parameters_at)
    stages = slicer if modern else _SLICER.absent()
    rests = (
        seconds(v4.before) if v4_at else None,
        seconds(slicer.after) if told else None,
        seconds(slicer.retracted) if told else None,
    )
    return SlicedFile(
        format="ctb",
        version=identity.version,
        machine=name(source, slicer.name_at, slicer.name_size),
        slicer_version=".".join(map(str, slicer.version.to_bytes(4, "big"))) if slicer.version else None,
        date=moment(60 * slicer.minutes),
        resolution=check_resolution(head.width, head.tall),
        bed=bed(head.bed_x, head.bed_y, head.bed_z),
        layer_count=check_layer_count(head.count),
        layer_height=number(head.layer_height, 0.001, 1),
        height=millimetres(head.height),
        exposure_s=seconds(head.exposure),
        bottom_exposure_s=seconds(head.bottom_exposure),
        bottom_layers=head.bottom_layers,
        transition_layers=slicer.transition if told else None,
        moves=moves(
            *(parameters.lift, parameters.lift_speed, stages.lift2, stages.lift2_speed),
            *(parameters.retract_speed, stages.retract2, stages.retract2_speed),
        ),
        bottom_moves=moves(
            *(parameters.bottom_lift, parameters.bottom_lift_speed, stages.bottom_lift2, stages.bottom_lift2_speed),
            *(v4.bottom_retract or parameters.retract_speed, v4.bottom_retract2, v4.bottom_retract2_speed),
        ),
        waits=Waits(seconds(head.light_off), *rests),
        bottom_waits=Waits(seconds(parameters.bottom_light_off), *rests),
        print_time_s=head.print_time or None,
        volume_ml=number(parameters.volume, 0, 1e6) if costs else None,
        weight_g=number(parameters.weight, 0, 1e6) if costs else None,
        cost=number(parameters.cost, 0, 1e6) if costs else None,
        anti_aliasing=slicer.anti_aliasing if told else None,
        mirror_x=bool(head.mirror),
        mirror_y=False,
        light_pwm=head.pwm,
        bottom_light_pwm=head.bottom_pwm,
        per_layer=bool(slicer.per_layer) if told else None,
        previews=tuple(found for at in (head.large_at, head.small_at) if at and (found := preview(source, at))),
        layers_at=head.table_at,
        xor_key=head.key,
    )


def read_layers(source: Source, sliced: SlicedFile, found: list[Layer]) -> list[Layer]:
    """The table, in one read of 36 bytes a layer; every layer ends within the file.

    ``found`` gets those before the first one that does not. Raises ``Truncated`` with the end of the last one,
    ``BadFile`` for a layer where none can be.
    """
    if sliced.layer_count is None or sliced.resolution is None:
        raise NotDecodable("the layers of this file are not known")
    count = sliced.layer_count
    width, height = sliced.resolution
    first = _HEAD.size + (_EXTENSION if int(sliced.version) >= 3 else 0)
    table = take(source, sliced.layers_at, _ENTRY.size * count, "the table of layers")
    layers: list[Layer] = []
    last = 0
    for index, (z, exposure, _, offset, length, page, _, _, _) in enumerate(_ENTRY.iter_unpack(table)):
        at = place(offset, page)
        if at < first or length > min(2 * width * height, MAX_RLE):
            found[:] = layers[: last - 1] if last else layers
            damaged = BadFile(
                f"layer {index + 1} of {count} is damaged: it cannot have {length} bytes at byte {at}", DAMAGED
            )
            damaged.layer = index + 1
            raise damaged
        if at + length > source.size and not last:
            last = index + 1
        bottom = index < (sliced.bottom_layers or 0)
        shown = seconds(exposure)
        layers.append(
            Layer(
                index=index,
                offset=at,
                length=length,
                z=millimetres(z),
                exposure_s=shown,
                seconds=layer_seconds(
                    shown,
                    sliced.bottom_moves if bottom else sliced.moves,
                    sliced.bottom_waits if bottom else sliced.waits,
                ),
                light_pwm=sliced.bottom_light_pwm if bottom else sliced.light_pwm,
            )
        )
    found[:] = layers[: last - 1] if last else layers
    if last:
        truncated = Truncated(
            f"the file is incomplete: it ends at byte {source.size}, in or before layer {last} of {count}",
            max(layer.offset + layer.length for layer in layers),
            "Send the file again, or export it again.",
        )
        truncated.layer = last
        raise truncated
    return found


def check_version(identity: Identity) -> None:
    """Raises ``UnknownFormat`` for a CTB that is none of 2 to 5."""
    if identity.version not in {"2", "3", "4", "5"}:
        raise UnknownFormat(
            f"a CTB file of version {identity.version}; 2 to 5 are known", "Save it in another version in the slicer."
        )


def place(offset: int, page: int) -> int:
    """An address in a file that may be larger than 4 GiB."""
    return (page << 32) + offset


def preview(source: Source, at: int) -> Preview | None:
    """The preview whose record is there; None for one of impossible size."""
    width, height, offset, length = _PREVIEW.unpack(take(source, at, _PREVIEW.size, "the record of a preview"))
    return Preview(width, height, offset, length, "rle15") if possible(width, height, length) else None


def name(source: Source, at: int, size: int) -> str | None:
    """A text that is not terminated; None for an absent one, or one of impossible length."""
    return text(take(source, at, size, "the machine's name")) if at and 0 < size <= _LONGEST_NAME else None


def moment(since_1970: int) -> str | None:
    """Seconds since 1970 in UTC as ISO 8601; None for 0 and for what is no date."""
    if not 0 < since_1970 <= _LATEST:
        return None
    return (_EPOCH + timedelta(seconds=since_1970)).isoformat() + "Z"


def moves(
    total: float,
    lift_speed: float,
    second_lift: float,
    second_lift_speed: float,
    retract_speed: float,
    second_retract: float,
    second_retract_speed: float,
) -> Moves:
    """The stages by themselves: a CTB holds the whole lift and the second stages."""
    return Moves(
        millimetres(total - second_lift),
        speed(lift_speed),
        millimetres(second_lift),
        speed(second_lift_speed),
        millimetres(total - second_retract),
        speed(retract_speed),
        millimetres(second_retract),
        speed(second_retract_speed),
    )


def _record(source: Source, at: int, record: Record, what: str) -> Any:
    """A record by its fields; zeros where the file has none."""
    return record.read(take(source, at, record.size, what)) if at else record.absent()
