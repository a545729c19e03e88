"""The reference's files, and what the tests say about all of them."""

from __future__ import annotations

import json
import struct
import unittest
from pathlib import Path
from typing import Any

SHARED = Path(__file__).parents[2].parent / "shared"
VECTORS = SHARED / "vectors"
SAMPLES = SHARED / "samples"
PLAIN = ("tiny.goo", *(f"tiny_v{version}{key}.ctb" for version in "2345" for key in ("", "_key")))
"""The same four layers of 16 x 12 pixels, in every clear format."""


def vector(name: str) -> bytes:
    """A file of the reference's; the test is skipped where the reference is not at hand."""
    for folder in (VECTORS, SAMPLES):
        if (path := folder / name).exists():
            return path.read_bytes()
    raise unittest.SkipTest(f"{name} is not at hand")


def expected() -> dict[str, Any]:
    """What the reference says is in the vectors."""
    found: dict[str, Any] = json.loads(vector("expected.json"))
    return found


def pixels(layer: int) -> bytes:
    """The picture of one of the four layers."""
    return bytes.fromhex(vector(f"tiny_layer{layer}.txt").decode())


def patched(data: bytes, offset: int, layout: str, *values: float) -> bytes:
    """``data`` with other values at one place."""
    changed = bytearray(data)
    struct.pack_into(layout, changed, offset, *values)
    return bytes(changed)
