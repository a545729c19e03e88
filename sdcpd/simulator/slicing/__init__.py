"""Sliced files made on the spot, for tests and the demo: real geometry in every format that printers take.

One decision: what makes a file (numpy with it) is imported when the first one is made, because a simulated printer
never makes any.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sdcpd.simulator.slicing.recipe import Moves, Recipe, Waits

if TYPE_CHECKING:
    from sdcpd.simulator.slicing.model import Model

__all__ = ["Moves", "Recipe", "Waits", "slice_ctb", "slice_encrypted_ctb", "slice_goo", "write_goo"]


def write_goo(
    path: Path,
    layers: int = 200,
    resolution: tuple[int, int] = (11520, 5120),
    machine: str = "ELEGOO Saturn 3 Ultra",
    layer_height: float = 0.05,
    *,
    pixel: float = 0.019,
    exposure: float = 2.5,
    bottom_exposure: float = 30.0,
    bottom_layers: int = 5,
) -> Path:
    """Write a vase of so many layers; lengths in mm, times in s. ``slice_goo`` writes any model by any recipe."""
    from sdcpd.simulator.slicing.model import Vase

    if not (0 < layers < 2**32 and min(resolution) >= 8):
        raise ValueError(f"{layers} layers of {resolution} pixels cannot be written as .goo")
    recipe = Recipe(
        machine=machine,
        resolution=resolution,
        bed=(resolution[0] * pixel, resolution[1] * pixel, 260.0),
        layer_height=layer_height,
        exposure=exposure,
        bottom_exposure=bottom_exposure,
        bottom_layers=bottom_layers,
    )
    radius = 0.2 * min(recipe.bed[:2])
    return slice_goo(path, Vase(radius, layers * layer_height, bottom_layers * layer_height), recipe)


def slice_goo(path: Path, model: Model, recipe: Recipe) -> Path:
    """Write a model as .goo, version 3. Raises ``ValueError`` for what the format cannot hold."""
    from sdcpd.simulator.slicing import goo
    from sdcpd.simulator.slicing.slices import Sliced

    return goo.write(path, Sliced(model, recipe), recipe)


def slice_ctb(path: Path, model: Model, recipe: Recipe, version: int = 4, xor_key: int = 0) -> Path:
    """Write a model as .ctb of version 2 to 5, its layers in clear or under a key. Raises ``ValueError``."""
    from sdcpd.simulator.slicing import ctb
    from sdcpd.simulator.slicing.slices import Sliced

    return ctb.write(path, Sliced(model, recipe), recipe, version, xor_key)


def slice_encrypted_ctb(
    path: Path, model: Model, recipe: Recipe, key: bytes, iv: bytes, version: int = 4, xor_key: int = 0
) -> Path:
    """Write a model as encrypted .ctb of version 4 or 5; ``key`` has 32 bytes, ``iv`` 16. Raises ``ValueError``."""
    from sdcpd.simulator.slicing import ctb_encrypted
    from sdcpd.simulator.slicing.slices import Sliced

    return ctb_encrypted.write(path, Sliced(model, recipe), recipe, key, iv, version, xor_key)
