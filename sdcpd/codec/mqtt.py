"""MQTT 3.1.1 on the wire, the server's side: a stream of bytes in, packets out, and whether a filter takes a topic in.

One decision: the position in the stream belongs to the connection, not to the loop over its packets. A loop may be
left at any packet, and after ``close()`` or an error the bytes that already lie there are gone, so that nothing
behind a refused CONNECT [MQTT-3.1.4-5] or a DISCONNECT is ever seen. Packets and answers have modules of their own,
and are named here as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

from sdcpd.codec.mqtt_answers import (
    PINGRESP,
    SUBACK_FAILURE,
    connack,
    puback,
    pubcomp,
    publish,
    pubrec,
    pubrel,
    suback,
    unsuback,
)
from sdcpd.codec.mqtt_packets import (
    HEADERS,
    NAMES,
    Connect,
    ConnectCode,
    Disconnect,
    MalformedPacket,
    Packet,
    PingReq,
    ProtocolViolation,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    Subscribe,
    Unsubscribe,
    Will,
    flags_fault,
)

__all__ = [
    "PINGRESP",
    "SUBACK_FAILURE",
    "Connect",
    "ConnectCode",
    "Disconnect",
    "MalformedPacket",
    "Packet",
    "PingReq",
    "ProtocolViolation",
    "PubAck",
    "PubComp",
    "PubRec",
    "PubRel",
    "Publish",
    "ServerConnection",
    "State",
    "Subscribe",
    "Unsubscribe",
    "Will",
    "connack",
    "matches",
    "puback",
    "pubcomp",
    "publish",
    "pubrec",
    "pubrel",
    "suback",
    "unsuback",
]


class State(Enum):
    """How far a connection is."""

    NEW = "nothing but CONNECT may come"
    OPEN = "anything but CONNECT may come"
    CLOSED = "nothing is read any more"

    __hash__ = object.__hash__  # as good as Enum's own, which is a Python call, once for each packet


_CLOSED = State.CLOSED  # looked up for each read, where an Enum's attribute costs ten times as much

# A pair that is missing is the protocol violation.
_NEXT: dict[tuple[State, type[Packet]], State] = {
    (State.NEW, Connect): State.OPEN,
    (State.OPEN, Publish): State.OPEN,
    (State.OPEN, PubAck): State.OPEN,
    (State.OPEN, PubRec): State.OPEN,
    (State.OPEN, PubRel): State.OPEN,
    (State.OPEN, PubComp): State.OPEN,
    (State.OPEN, Subscribe): State.OPEN,
    (State.OPEN, Unsubscribe): State.OPEN,
    (State.OPEN, PingReq): State.OPEN,
    (State.OPEN, Disconnect): State.CLOSED,
}


class ServerConnection:
    """What one client says, from its CONNECT to its DISCONNECT.

    ``max_connect`` and ``max_packet`` are the sizes of whole packets, before and after CONNECT was read; what a
    fixed header claims is compared with them before anything is kept.
    """

    __slots__ = ("_at", "_data", "_limit", "_max_packet", "_need", "_rest", "state")

    def __init__(self, max_packet: int, max_connect: int) -> None:
        self.state = State.NEW
        self._max_packet = max_packet
        self._limit = max_connect
        self._data = b""
        self._at = 0
        # The unfinished packet. It is looked at again when it may be complete, not at every read: a megabyte that
        # trickles in stays linear.
        self._rest = bytearray()
        self._need = 0

    def receive(self, data: bytes) -> Iterator[Packet]:
        """Take what the client sent; iterate over the packets that are complete now, each decoded when asked for.

        The iterator raises ``MalformedPacket`` or ``ProtocolViolation`` where the stream breaks a rule. The
        connection is ``CLOSED`` then; the error's ``return_code``, if any, is due in a CONNACK.
        """
        if self.state is _CLOSED:
            return iter(())
        if self._at < len(self._data):  # a loop over packets was left early
            self._rest += self._data[self._at :]
            self._need = 0
        if self._rest:
            self._rest += data
            data = b""
            if len(self._rest) >= self._need:
                data = bytes(self._rest)
                self._rest.clear()
        self._data = data
        self._at = 0
        return self._packets()

    def close(self) -> None:
        """Read nothing more, not even what has arrived already."""
        self.state = _CLOSED
        self._data = b""
        self._at = 0
        self._rest = bytearray()

    def _packets(self) -> Iterator[Packet]:
        try:
            while self._at < len(self._data) and (packet := self._read()) is not None:
                yield packet
            self._data = b""
            self._at = 0
        except Exception:
            self.close()
            raise

    def _read(self) -> Packet | None:
        data, at = self._data, self._at
        have = len(data) - at
        if have < 2:
            self._wait(2)
            return None
        first = data[at]
        header = HEADERS[first]
        if header is None:
            raise _refusal(self.state, first)
        packet_type, decode = header
        state = _NEXT.get((self.state, packet_type))
        if state is None:
            raise _refusal(self.state, first)
        size, start = data[at + 1], at + 2
        if size > 127:
            usual = have > 2 and data[at + 2] < 128
            size, start = ((size & 127) | data[at + 2] << 7, at + 3) if usual else _remaining_length(data, at + 1)
            if not start:
                self._wait(have + 1)
                return None
        end = start + size
        # Nothing in the standard limits a packet below 256 MB: this is the "buffer full" of section 4.8.
        if end - at > self._limit:
            message = f"{NAMES[first >> 4]} of {end - at} bytes, {self._limit} are allowed"
            raise ProtocolViolation(message, "[MQTT-4.8.0-2]")
        if end > len(data):
            self._wait(end - at)
            return None
        packet = decode(first, data, start, end)
        self._at = end
        if state is not self.state:
            self.state = state
            self._limit = self._max_packet
            if state is _CLOSED:
                self.close()
        return packet

    def _wait(self, need: int) -> None:
        self._rest += self._data[self._at :]
        self._need = need


def _remaining_length(data: bytes, at: int) -> tuple[int, int]:
    """The length and where the body starts; (0, 0) while the length itself is cut."""
    # A longer form than necessary is not forbidden before MQTT 5.
    size = 0
    for i, byte in enumerate(data[at : at + 4]):
        size |= (byte & 0x7F) << 7 * i
        if byte < 128:
            return size, at + i + 1
    if len(data) >= at + 4:
        raise MalformedPacket("a remaining length has more than four bytes", "[MQTT-4.8.0-1]")
    return 0, 0


def _refusal(state: State, first: int) -> MalformedPacket | ProtocolViolation:
    """Why this first byte may not come in this state."""
    kind = first >> 4
    name = NAMES[kind]
    if state is State.NEW and kind != 1:
        return ProtocolViolation(f"{name} before CONNECT", "[MQTT-3.1.0-1]")
    if state is State.OPEN and kind == 1:
        return ProtocolViolation("a second CONNECT", "[MQTT-3.1.0-2]")
    if kind in (0, 15):
        return MalformedPacket(f"{name} is not a packet", "[MQTT-4.8.0-1]")
    if fault := flags_fault(first):
        return MalformedPacket(*fault)
    return ProtocolViolation(f"{name} is sent by servers only", "[MQTT-4.8.0-1]")


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a message to ``topic`` belongs to the (valid) ``topic_filter``."""
    if "+" not in topic_filter and "#" not in topic_filter:
        return topic_filter == topic
    # [MQTT-4.7.2-1]: a wildcard in front does not reach the server's own topics.
    if topic.startswith("$") and topic_filter[0] in "+#":
        return False
    levels = topic.split("/")
    wanted = topic_filter.split("/")
    for i, want in enumerate(wanted):
        if want == "#":  # also of nothing: "a/#" is "a" as well
            return True
        if i == len(levels) or want not in ("+", levels[i]):
            return False
    return len(wanted) == len(levels)
