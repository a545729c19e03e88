"""How much one client, and all of them, may cost; and the word for each way of breaking that.

One decision: what a connection may do is a value of its door (``Limits``), what the router keeps for all doors is a
value of the router (``Storage``). Nothing grows with what a peer wishes but what is bounded by a number here.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from sdcpd.errors import WireError

__all__ = ["LimitExceeded", "Limits", "Storage", "Violation"]


class Limits(Struct, frozen=True):
    """What one door allows. Sizes in bytes, times in seconds."""

    packet_size: int = 1 << 20
    """A whole packet, after CONNECT."""
    connect_size: int = 1 << 16
    """The first packet: nobody has been let in yet who sends it."""
    connections: int = 12_000
    connections_per_address: int = 1_000
    connects_per_second: int = 500
    """From one address."""
    packets: int = 0
    """From one client, in each tick of the door; what it sends beyond that waits at its end. 0 is no limit."""
    subscriptions: int = 500
    """Of one client, and in one SUBSCRIBE."""
    subscription_bytes: int = 2 << 20
    """What the filters of one client may cost to keep."""
    topic_levels: int = 64
    queued_bytes: int = 8 << 20
    """What may wait for a client that reads slower than it is written to; then it is cut off."""
    queued_bytes_of_all: int = 128 << 20
    """What may wait for all of them; then those are cut off that are furthest behind."""
    in_flight: int = 20
    """Messages of QoS 1 and 2 sent to a client and not yet acknowledged; the rest waits in its session ..."""
    in_flight_peak: int = 1_000
    """... and so many to one that has shown how fast it acknowledges while more was waiting."""
    unreleased: int = 1_000
    """QoS 2 messages from a client that it has not released yet."""
    connect_time: float = 10.0
    """Until a connection must have sent its CONNECT."""
    farewell_time: float = 3.0
    """Until the last bytes must have left; then the connection is cut."""


class Storage(Struct, frozen=True):
    """What the router keeps for all doors. Sizes in bytes, times in seconds."""

    retained_messages: int = 10_000
    retained_bytes: int = 4 << 20
    """Less than ``Limits.queued_bytes``, so that who subscribes to ``#`` is not cut off for what it is given."""
    session_messages: int = 10_000
    """Waiting for one client, whether it is slow or away."""
    session_bytes: int = 4 << 20
    """Of the messages that wait for one client, and as many again of those that were sent and not acknowledged."""
    stored_sessions: int = 1_000
    """Sessions whose clients are away."""
    stored_bytes: int = 64 << 20
    """Of all messages that wait for anyone or were not acknowledged. When it is used up each client that is here still
    gets them one by one."""
    subscription_bytes: int = 256 << 20
    """What the filters of all clients may cost to keep."""
    stored_age: float = 7 * 86400.0
    """How long a client may be away."""


class Violation(StrEnum):
    """Why a connection was refused or ended by the server; also the names of the counters."""

    PROTOCOL = "protocol"
    POLICY = "policy"
    PACKET_SIZE = "packet_size"
    CONNECT_SIZE = "connect_size"
    CONNECTIONS = "connections"
    CONNECTIONS_PER_ADDRESS = "connections_per_address"
    CONNECT_RATE = "connect_rate"
    CONNECT_TIME = "connect_time"
    KEEP_ALIVE = "keep_alive"
    SUBSCRIPTIONS = "subscriptions"
    TOPIC_LEVELS = "topic_levels"
    QUEUED_BYTES = "queued_bytes"
    UNRELEASED = "unreleased"


class LimitExceeded(WireError):
    """A client did what is legal in MQTT and too much here; its connection is closed."""

    code = "limit_exceeded"

    def __init__(self, violation: Violation, message: str) -> None:
        super().__init__(message)
        self.violation = violation
