"""What a printer needs of its MQTT connection, whoever provides it.

One decision: the printer knows this seam only, so its whole behaviour is tested with a clock and a fake link, and
paho-mqtt stays in one module.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from sdcpd.simulator.faults import Faults
from sdcpd.simulator.journal import Journal
from sdcpd.simulator.requests import Delivery
from sdcpd.simulator.segments import Segments

__all__ = ["Link", "LinkOwner", "LinkState", "LinkTerms", "Links"]


class LinkState(Enum):
    """How far the connection to the broker has come."""

    DOWN = "down"
    CONNECTING = "connecting"
    CONNACK_WAIT = "connack-wait"
    SUBACK_WAIT = "suback-wait"
    UP = "up"


@dataclass(frozen=True)
class LinkTerms:
    """What the connection shall be."""

    host: str
    port: int
    bind_address: str
    client_id: str
    keepalive: int
    filters: tuple[str, ...]
    early: tuple[str, bytes] | None = None  # publish this before SUBSCRIBE
    segments: Segments = Segments.WHOLE


class Link(Protocol):
    """A connection to a broker."""

    @property
    def state(self) -> LinkState:
        """How far it has come."""

    def publish(self, topic: str, payload: bytes, key: Hashable = None) -> None:
        """Send with QoS 1, one at a time; of many waiting neighbours with one key only the newest is sent."""

    def disconnect(self) -> None:
        """Say DISCONNECT, and close."""

    def drop(self, reset: bool = True) -> None:
        """Close without a word, by RST or FIN; the owner is not told."""

    def freeze(self) -> None:
        """Neither read, write nor close from now on, as a printer without power; the owner is not told."""


class LinkOwner(Protocol):
    """Who has a link and hears of it."""

    def link_up(self) -> None:
        """SUBSCRIBE was acknowledged."""

    def link_refused(self, reason: str) -> None:
        """There was nobody to connect to."""

    def link_lost(self, reason: str) -> None:
        """The connection is gone."""

    def delivered(self, delivery: Delivery) -> None:
        """A PUBLISH came."""


class Links(Protocol):
    """Makes links."""

    def connect(self, owner: LinkOwner, terms: LinkTerms, faults: Faults, journal: Journal) -> Link:
        """Begin to connect to a broker; OSError where it is clear at once that nobody listens."""
