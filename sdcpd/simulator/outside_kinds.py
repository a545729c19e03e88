"""The faults that come from beside the printer: other addresses, the person at its screen, packets of nobody's library.

One decision: like ``fault_kinds`` these are data only, one frozen dataclass each, in the order of the reference's
table, its docstring the description everywhere; nothing here needs what the printer itself is made of.
"""

from __future__ import annotations

from dataclasses import dataclass

from sdcpd.simulator.faults import Fault

__all__ = [
    "EmptyClientId",
    "HugePacket",
    "IdleConnections",
    "JoinedPackets",
    "LevelFive",
    "LongLength",
    "NewAddress",
    "SameName",
    "ScreenPause",
    "ScreenStart",
    "ScreenStop",
    "SplitSegments",
    "StrangerFetches",
    "UnknownClientId",
    "WrongProtocolName",
]

_STRANGER = "127.66.66.66"


@dataclass(frozen=True)
class SameName(Fault, name="same-name", number="F4"):
    """The printer goes by this name, whoever else does."""

    called: str = "Saturn"


@dataclass(frozen=True)
class NewAddress(Fault, name="new-address", number="F4"):
    """The printer moves to this loopback address, as by DHCP; what was connected hangs half-open."""

    address: str = "127.0.0.200"


@dataclass(frozen=True)
class SplitSegments(Fault, name="split-segments", number="F7"):
    """On the next connection every byte is a segment of its own."""


@dataclass(frozen=True)
class JoinedPackets(Fault, name="joined-packets", number="F7"):
    """On the next connection CONNECT and SUBSCRIBE come in one segment, and so does all that is ready together."""


@dataclass(frozen=True)
class WrongProtocolName(Fault, name="wrong-protocol-name", number="F8"):
    """A second connection, whose CONNECT names the protocol MQTTT."""


@dataclass(frozen=True)
class LevelFive(Fault, name="level-5", number="F8"):
    """A second connection, whose CONNECT asks for level 5."""


@dataclass(frozen=True)
class EmptyClientId(Fault, name="empty-client-id", number="F8"):
    """A second connection without a client id."""


@dataclass(frozen=True)
class UnknownClientId(Fault, name="unknown-client-id", number="F8"):
    """A second connection with the client id of no printer."""

    client_id: str = "0000000000000000"


@dataclass(frozen=True)
class HugePacket(Fault, name="huge-packet", number="F8"):
    """A second connection of the printer, with a PUBLISH of so many bytes."""

    size: int = 300_000


@dataclass(frozen=True)
class LongLength(Fault, name="long-length", number="F8"):
    """A second connection of the printer, with a remaining length of five bytes."""


@dataclass(frozen=True)
class StrangerFetches(Fault, name="stranger-fetches", number="F27"):
    """Another address asks for the file that is being offered, at once or with the next Cmd 256."""

    times: int = 1
    address: str = _STRANGER


@dataclass(frozen=True)
class ScreenPause(Fault, name="screen-pause", number="F32"):
    """A person pauses the print at the screen at this layer."""

    times: int = 1
    layer: int = 5


@dataclass(frozen=True)
class ScreenStop(Fault, name="screen-stop", number="F32"):
    """A person stops the print at the screen at this layer."""

    times: int = 1
    layer: int = 5


@dataclass(frozen=True)
class ScreenStart(Fault, name="screen-start", number="F32"):
    """A person stops the print at this layer, and starts this stored file at the screen instead."""

    times: int = 1
    layer: int = 5
    filename: str = "foreign.goo"


@dataclass(frozen=True)
class IdleConnections(Fault, name="idle-connections", number="F44"):
    """So many TCP connections from another address to the broker's port, which say nothing."""

    count: int = 200
    address: str = _STRANGER
