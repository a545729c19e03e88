"""What a port of the MQTT server has to tell of itself.

One decision: a value, made where everything is known, because the web and the broker do not see each other.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

__all__ = ["Door"]


class Door(Struct, frozen=True):
    """The numbers of one port. Sizes in bytes."""

    accepted: int
    connections: int
    queued_bytes: int
    violations: Mapping[str, int]
