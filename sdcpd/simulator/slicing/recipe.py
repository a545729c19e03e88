"""What a sliced file says beside its pictures: machine, slicer, exposures, moves, costs.

One decision: one frozen value for all formats. A writer takes from it what its format can hold; sums that a slicer
computes (print time, volume, weight, cost) are computed from the layers unless they are given, so that a file never
contradicts itself by accident and can be made to on purpose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

__all__ = ["Moves", "Recipe", "Totals", "Waits", "totals"]

_MOST_PIXELS = 2**28 - 1


@dataclass(frozen=True)
class Moves:
    """How the plate leaves the film and comes back, each way in two stages that add up; mm and mm/min."""

    lift: float = 6.0
    lift_speed: float = 65.0
    second_lift: float = 0.0
    second_lift_speed: float = 0.0
    retract: float = 6.0
    retract_speed: float = 150.0
    second_retract: float = 0.0
    second_retract_speed: float = 0.0

    def in_order(self) -> tuple[float, ...]:
        """Distance and speed: lift, second lift, retract, second retract."""
        return (
            *(self.lift, self.lift_speed, self.second_lift, self.second_lift_speed),
            *(self.retract, self.retract_speed, self.second_retract, self.second_retract_speed),
        )

    @property
    def seconds(self) -> float:
        """What the way up and down takes."""
        values = self.in_order()
        return sum(60 * way / pace for way, pace in zip(values[::2], values[1::2], strict=True) if way and pace)


@dataclass(frozen=True)
class Waits:
    """Rests in seconds."""

    before_lift: float = 0.0
    after_lift: float = 0.0
    after_retract: float = 1.0

    def in_order(self) -> tuple[float, float, float]:
        """As a layer has them."""
        return self.before_lift, self.after_lift, self.after_retract

    @property
    def seconds(self) -> float:
        """All of them."""
        return sum(self.in_order())


@dataclass(frozen=True)
class Recipe:
    """Every field of a header: mm, mm/min, seconds, ml, grams, power 0 to 255. Raises ``ValueError`` for nonsense."""

    machine: str = "ELEGOO Saturn 3 Ultra"
    machine_type: str = "MSLA"
    slicer: str = "sdcpd simulator"
    slicer_version: str = "1.0.0.0"
    date: datetime = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    resolution: tuple[int, int] = (11520, 5120)
    bed: tuple[float, float, float] = (218.88, 122.88, 260.0)
    layer_height: float = 0.05
    exposure: float = 2.5
    bottom_exposure: float = 30.0
    bottom_layers: int = 5
    transition_layers: int = 0
    """Layers after the bottom ones whose exposure falls in equal steps."""
    moves: Moves = Moves()
    bottom_moves: Moves = Moves()
    waits: Waits = Waits()
    bottom_waits: Waits = Waits()
    static_waits: bool = True
    """Whether a .goo is timed by its waits; by ``light_off`` otherwise."""
    light_off: float = 0.0
    bottom_light_off: float = 0.0
    light_pwm: int = 255
    bottom_light_pwm: int = 255
    per_layer: bool = False
    """Whether the printer has to heed the layers' own settings."""
    pauses: frozenset[int] = frozenset()
    """Layers, from 0, at which a .goo lets the print pause."""
    print_time: int | None = None
    volume: float | None = None
    weight: float | None = None
    cost: float | None = None
    density: float = 1.1
    """Of the resin, in g/ml."""
    price: float = 30.0
    """Of a litre of resin."""
    currency: str = "$"
    resin: str = "Simulated resin"
    resin_type: str = "Standard"
    resin_colour: tuple[int, int, int] = (255, 128, 0)
    anti_aliasing: int = 4
    """Steps of grey at the edges of a model: 1 for none, 16 at most."""
    grey_level: int = 0
    blur_level: int = 0
    mirror_x: bool = True
    """Whether the pictures are stored mirrored, left to right, as all screens want them."""
    mirror_y: bool = False

    def __post_init__(self) -> None:
        """Refuse what no format can hold."""
        width, height = self.resolution
        if not (1 <= width <= 0xFFFF and 1 <= height <= 0xFFFF and width * height <= _MOST_PIXELS):
            raise ValueError(f"a screen of {width} x {height} pixels cannot be written")
        if self.layer_height <= 0 or min(self.bed) <= 0:
            raise ValueError(f"layers of {self.layer_height} mm on a bed of {self.bed} mm cannot be written")
        if not 1 <= self.anti_aliasing <= 16:
            raise ValueError(f"expected 1 to 16 steps of grey, not {self.anti_aliasing}")

    @property
    def pitch(self) -> tuple[float, float]:
        """Width and height of a pixel in mm."""
        return self.bed[0] / self.resolution[0], self.bed[1] / self.resolution[1]

    def is_bottom(self, layer: int) -> bool:
        """Whether a layer, from 0, is one of the first that are exposed longer."""
        return layer < self.bottom_layers

    def z(self, layer: int) -> float:
        """The top of a layer."""
        return (layer + 1) * self.layer_height

    def exposure_of(self, layer: int) -> float:
        """How long a layer is lit."""
        if self.is_bottom(layer):
            return self.bottom_exposure
        after = layer - self.bottom_layers
        if after >= self.transition_layers:
            return self.exposure
        step = (self.bottom_exposure - self.exposure) / (self.transition_layers + 1)
        return self.bottom_exposure - (after + 1) * step

    def moves_of(self, layer: int) -> Moves:
        """How a layer is peeled off."""
        return self.bottom_moves if self.is_bottom(layer) else self.moves

    def waits_of(self, layer: int) -> Waits:
        """How long a layer rests."""
        return self.bottom_waits if self.is_bottom(layer) else self.waits

    def light_off_of(self, layer: int) -> float:
        """How long the light stays off between layers where that is what times a print."""
        return self.bottom_light_off if self.is_bottom(layer) else self.light_off

    def pwm_of(self, layer: int) -> int:
        """The light's power."""
        return self.bottom_light_pwm if self.is_bottom(layer) else self.light_pwm

    def seconds_of(self, layer: int) -> float:
        """What a layer takes."""
        rest = self.waits_of(layer).seconds
        if not self.static_waits:
            rest = self.light_off_of(layer)
        return self.exposure_of(layer) + rest + self.moves_of(layer).seconds


@dataclass(frozen=True)
class Totals:
    """What a print takes: seconds, ml, grams, money."""

    seconds: int
    volume: float
    weight: float
    cost: float


def totals(recipe: Recipe, lit: Sequence[float]) -> Totals:
    """The sums over layers of which so many pixels are lit, where the recipe does not name them itself."""
    px, py = recipe.pitch
    seconds, volume, weight, cost = recipe.print_time, recipe.volume, recipe.weight, recipe.cost
    if seconds is None:
        seconds = round(sum(map(recipe.seconds_of, range(len(lit)))))
    if volume is None:
        volume = sum(lit) * px * py * recipe.layer_height / 1000
    if weight is None:
        weight = volume * recipe.density
    if cost is None:
        cost = volume * recipe.price / 1000
    return Totals(seconds, volume, weight, cost)
