"""MQTT 3.1.1 on the wire, the server's side: bytes in, packets out; answers in, bytes out.

One decision: the position in the stream belongs to the connection, not to the loop over its packets. A loop may be
left at any packet, and after ``close()`` or an error the bytes that already lie there are gone, so that nothing
behind a refused CONNECT [MQTT-3.1.4-5] or a DISCONNECT is ever seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from functools import lru_cache

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
    filter_fault,
    flags_fault,
    topic_fault,
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
    "encode",
    "matches",
    "puback",
    "pubcomp",
    "publish",
    "pubrec",
    "pubrel",
    "suback",
    "unsuback",
]

PINGRESP = b"\xd0\x00"
SUBACK_FAILURE = 0x80

_MAX_REMAINING = 268_435_455
_CACHED_TOPICS = 1024
_CACHED_TOPIC_SIZE = 256


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


def connack(session_present: bool, code: ConnectCode) -> bytes:
    """CONNACK; a refusal never speaks of a session [MQTT-3.2.2-4]."""
    if session_present and code:
        raise ValueError("a refused CONNECT has no session")
    return bytes((0x20, 2, session_present, ConnectCode(code)))


def publish(
    topic: str, payload: bytes, qos: int = 0, packet_id: int = 0, retain: bool = False, dup: bool = False
) -> bytes:
    """PUBLISH; ``packet_id`` is 0 exactly when ``qos`` is 0."""
    if qos not in (0, 1, 2):
        raise ValueError(f"no such QoS: {qos}")
    if not qos and (dup or packet_id):
        raise ValueError("QoS 0 has neither an identifier nor a duplicate")
    field = _known_topic_field(topic) if len(topic) <= _CACHED_TOPIC_SIZE else _topic_field(topic)
    identifier = _packet_id(packet_id) if qos else b""
    return _packet(0x30 | dup << 3 | qos << 1 | retain, field, identifier, payload)


def puback(packet_id: int) -> bytes:
    """PUBACK, the answer to a PUBLISH of QoS 1."""
    return b"\x40\x02" + _packet_id(packet_id)


def pubrec(packet_id: int) -> bytes:
    """PUBREC, the answer to a PUBLISH of QoS 2."""
    return b"\x50\x02" + _packet_id(packet_id)


def pubrel(packet_id: int) -> bytes:
    """PUBREL, the answer to PUBREC."""
    return b"\x62\x02" + _packet_id(packet_id)


def pubcomp(packet_id: int) -> bytes:
    """PUBCOMP, the answer to PUBREL."""
    return b"\x70\x02" + _packet_id(packet_id)


def suback(packet_id: int, codes: Iterable[int]) -> bytes:
    """SUBACK with one granted QoS or ``SUBACK_FAILURE`` for each filter, in order [MQTT-3.8.4-5]."""
    granted = bytes(codes)
    if not granted or granted.strip(b"\x00\x01\x02\x80"):
        raise ValueError(f"no such return codes: {granted!r}")
    return _packet(0x90, _packet_id(packet_id), granted)


def unsuback(packet_id: int) -> bytes:
    """UNSUBACK, the answer to UNSUBSCRIBE."""
    return b"\xb0\x02" + _packet_id(packet_id)


def encode(packet: Packet) -> bytes:
    """The bytes that a client sends for ``packet``: for the other end of tests and for load generators."""
    match packet:
        case Publish(topic, payload, qos, retain, dup, packet_id):
            return publish(topic, payload, qos, packet_id, retain, dup)
        case PubAck(packet_id):
            return puback(packet_id)
        case PubRec(packet_id):
            return pubrec(packet_id)
        case PubRel(packet_id):
            return pubrel(packet_id)
        case PubComp(packet_id):
            return pubcomp(packet_id)
        case PingReq():
            return b"\xc0\x00"
        case Disconnect():
            return b"\xe0\x00"
        case Subscribe(packet_id, pairs):
            if not pairs or any(qos not in (0, 1, 2) for _, qos in pairs):
                raise ValueError("SUBSCRIBE needs filters, each with a QoS of 0 to 2")
            return _packet(0x82, _packet_id(packet_id), *(_filter(f) + bytes((qos,)) for f, qos in pairs))
        case Unsubscribe(packet_id, filters):
            if not filters:
                raise ValueError("UNSUBSCRIBE needs filters")
            return _packet(0xA2, _packet_id(packet_id), *map(_filter, filters))
    return _connect(packet)


def _connect(packet: Connect) -> bytes:
    if not packet.client_id and not packet.clean_session:
        raise ValueError("a kept session needs a client identifier")
    if packet.username is None and packet.password is not None:
        raise ValueError("a password needs a user name")
    flags = packet.clean_session << 1
    fields = [_string(packet.client_id)]
    if packet.will is not None:
        if packet.will.qos not in (0, 1, 2):
            raise ValueError(f"no such QoS: {packet.will.qos}")
        flags |= 0x04 | packet.will.qos << 3 | packet.will.retain << 5
        fields += _topic_field(packet.will.topic), _binary(packet.will.payload)
    if packet.username is not None:
        flags |= 0x80
        fields.append(_string(packet.username))
    if packet.password is not None:
        flags |= 0x40
        fields.append(_binary(packet.password))
    return _packet(0x10, b"\x00\x04MQTT\x04", bytes((flags,)), _two_bytes(packet.keep_alive), *fields)


def _packet(first: int, *parts: bytes) -> bytes:
    size = sum(map(len, parts))
    if size > _MAX_REMAINING:
        raise ValueError(f"a packet cannot have {size} bytes")
    header = bytearray((first,))
    while size > 127:
        header.append(size & 0x7F | 0x80)
        size >>= 7
    header.append(size)
    return b"".join((header, *parts))


def _two_bytes(number: int) -> bytes:
    if not 0 <= number <= 0xFFFF:
        raise ValueError(f"{number} does not fit in two bytes")
    return number.to_bytes(2, "big")


def _packet_id(packet_id: int) -> bytes:
    if not packet_id:
        raise ValueError("a packet identifier is never 0")
    return _two_bytes(packet_id)


def _binary(raw: bytes) -> bytes:
    return _two_bytes(len(raw)) + raw


def _string(text: str) -> bytes:
    if "\0" in text:
        raise ValueError("a string cannot hold U+0000")
    return _binary(text.encode())


def _topic_field(topic: str) -> bytes:
    if fault := topic_fault(topic):
        raise ValueError(" ".join(fault))
    return _string(topic)


_known_topic_field = lru_cache(maxsize=_CACHED_TOPICS)(_topic_field)


def _filter(topic_filter: str) -> bytes:
    if fault := filter_fault(topic_filter):
        raise ValueError(" ".join(fault))
    return _string(topic_filter)
