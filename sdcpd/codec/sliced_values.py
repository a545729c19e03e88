"""What a sliced file holds, whatever its format: one value for the file, one for each layer.

One decision: None is "the file does not tell, or tells nonsense". A silly number in a field that nobody needs never
refuses a file that prints; what decides about reading on (counts, offsets, resolution) does.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from sdcpd.codec.source import number
from sdcpd.errors import BadFile

__all__ = [
    "MAX_LAYERS",
    "MAX_PIXELS",
    "MAX_RLE",
    "Layer",
    "Moves",
    "Preview",
    "SlicedFile",
    "Waits",
    "bed",
    "check_layer_count",
    "check_resolution",
    "layer_seconds",
    "millimetres",
    "seconds",
    "speed",
]

MAX_LAYERS = 100_000
"""More than 300 mm at the thinnest layers that are sold; about 25 MB of ``Layer`` values."""
MAX_RLE = 32 * 2**20
"""Bytes of one layer that are taken into memory; real ones stay below 10 MB."""
MAX_PIXELS = 2**28 - 1
"""Of a screen: what one run of a .goo can fill."""
DAMAGED = "The file is damaged: slice the model again, or export the file again."
"""What to do about a file whose numbers cannot be."""


class Preview(Struct, frozen=True):
    """Where a thumbnail lies, and as what; ``sliced.preview`` makes a picture of it."""

    width: int
    height: int
    offset: int
    length: int
    encoding: Literal["rgb565", "rle15"]


class Moves(Struct, frozen=True):
    """How the plate leaves the film and comes back, each way in two stages; mm and mm/min.

    The stages add up, in a .ctb too, whose file holds the total: second stages are 0 where there is one only.
    """

    lift: float | None = None
    lift_speed: float | None = None
    second_lift: float | None = None
    second_lift_speed: float | None = None
    retract: float | None = None
    retract_speed: float | None = None
    second_retract: float | None = None
    second_retract_speed: float | None = None


class Waits(Struct, frozen=True):
    """Rests in seconds: ``light_off`` is the older single one, a machine heeds that or the other three."""

    light_off: float | None = None
    before_lift: float | None = None
    after_lift: float | None = None
    after_retract: float | None = None


class SlicedFile(Struct, frozen=True, kw_only=True):
    """The head of a .goo or .ctb file: mm, seconds, ml, grams."""

    format: Literal["goo", "ctb"]
    version: str
    """``3.0`` of a GOO, ``4`` of a CTB."""
    encrypted: bool = False
    layers_known: bool = True
    """Whether ``read_layers`` can list the layers."""
    pictures_known: bool = True
    """Whether ``layer_data`` can give a layer's runs: not of GOO 5, nor of an encrypted file without the key."""
    machine: str | None = None
    slicer: str | None = None
    slicer_version: str | None = None
    date: str | None = None
    """ISO 8601: in the slicer's own time in a .goo, in UTC with a Z in a .ctb."""
    resolution: tuple[int, int] | None = None
    """1 to 65535 each way, below 2^28 pixels; None of an encrypted file without the key."""
    bed: tuple[float, float, float] | None = None
    layer_count: int | None = None
    """1 to ``MAX_LAYERS``; None where an encrypted file hides it."""
    layer_height: float | None = None
    height: float | None = None
    """Top of the last layer as the head tells it; the last ``Layer.z`` is exact."""
    exposure_s: float | None = None
    bottom_exposure_s: float | None = None
    bottom_layers: int | None = None
    """As written: can be more than there are layers."""
    transition_layers: int | None = None
    moves: Moves = Moves()
    bottom_moves: Moves = Moves()
    waits: Waits = Waits()
    bottom_waits: Waits = Waits()
    print_time_s: int | None = None
    volume_ml: float | None = None
    weight_g: float | None = None
    cost: float | None = None
    currency: str | None = None
    anti_aliasing: int | None = None
    mirror_x: bool | None = None
    mirror_y: bool | None = None
    light_pwm: int | None = None
    bottom_light_pwm: int | None = None
    per_layer: bool | None = None
    """Whether the printer has to heed the layers' own settings."""
    previews: tuple[Preview, ...] = ()
    """The largest first."""
    layers_at: int = 0
    """Where the first layer (.goo) or the table of layers (.ctb) is."""
    byte_order: Literal["big", "little"] = "little"
    xor_key: int = 0


class Layer(Struct, frozen=True, gc=False):
    """One layer: where its runs are, and how it is printed."""

    index: int
    """From 0."""
    offset: int
    """Of the run-length encoded bytes, without marks and checksum."""
    length: int
    z: float | None
    exposure_s: float | None
    seconds: float | None
    """What it takes by its settings: exposure, waits, and the way up and down."""
    light_pwm: int | None = None
    pause: bool = False
    """Whether the print pauses here for somebody to go on."""
    aes_offset: int = 0
    """Where the encrypted part begins, from ``offset``; its length is 0 for none."""
    aes_length: int = 0


def millimetres(value: float) -> float | None:
    """A length that a machine could have."""
    return number(value, 0, 10_000)


def bed(x: float, y: float, z: float) -> tuple[float, float, float] | None:
    """The build volume in mm, if it is one."""
    sides = millimetres(x), millimetres(y), millimetres(z)
    return (sides[0], sides[1], sides[2]) if sides[0] and sides[1] and sides[2] else None


def seconds(value: float) -> float | None:
    """A time that a layer could take."""
    return number(value, 0, 1000)


def speed(value: float) -> float | None:
    """A speed that a machine could go at, in mm/min."""
    return number(value, 0, 10_000)


def layer_seconds(exposure: float | None, moves: Moves, waits: Waits) -> float | None:
    """How long a layer takes (formats.md, section 7): light-off counts where no waits are given."""
    if exposure is None:
        return None
    rests = sum(filter(None, (waits.before_lift, waits.after_lift, waits.after_retract))) or waits.light_off or 0.0
    stages = (
        (moves.lift, moves.lift_speed),
        (moves.second_lift, moves.second_lift_speed),
        (moves.retract, moves.retract_speed),
        (moves.second_retract, moves.second_retract_speed),
    )
    return exposure + rests + sum(60 * way / pace for way, pace in stages if way and pace)


def check_layer_count(count: int) -> int:
    """``count``, if a file can have so many layers; raises ``BadFile``."""
    if not 1 <= count <= MAX_LAYERS:
        raise BadFile(f"expected 1 to {MAX_LAYERS} layers, found {count}", DAMAGED)
    return count


def check_resolution(width: int, height: int) -> tuple[int, int]:
    """The resolution, if it can be one; raises ``BadFile``."""
    if not (1 <= width <= 65535 and 1 <= height <= 65535 and width * height <= MAX_PIXELS):
        raise BadFile(f"expected a resolution of 1 to 65535 pixels each way, found {width} x {height}", DAMAGED)
    return width, height
