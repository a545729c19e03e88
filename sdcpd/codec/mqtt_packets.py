"""MQTT 3.1.1 packets that a client sends: their values, their rules, and how a body becomes a value.

One decision: a decoder is a plain function of (first byte, bytes, start, end) that compares every inner length
with the packet's end, because a Python slice does not complain when it comes out short. Whether a packet may come
*now* is not known here; that is the table in ``sdcpd.codec.mqtt``.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from functools import lru_cache

from msgspec import Struct

from sdcpd.errors import WireError

__all__ = [
    "HEADERS",
    "NAMES",
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
    "Subscribe",
    "Unsubscribe",
    "Will",
    "filter_fault",
    "flags_fault",
    "topic_fault",
]

# A cached topic is at most this long, so that what a peer can make the cache hold stays under a few megabytes.
_CACHED_TOPICS = 4096
_CACHED_TOPIC_SIZE = 256


class ConnectCode(IntEnum):
    """The return codes of CONNACK, table 3.1 of the standard."""

    ACCEPTED = 0
    UNACCEPTABLE_PROTOCOL_VERSION = 1
    IDENTIFIER_REJECTED = 2
    SERVER_UNAVAILABLE = 3
    BAD_USER_NAME_OR_PASSWORD = 4
    NOT_AUTHORIZED = 5


class MalformedPacket(WireError):
    """The bytes cannot be read as a packet; the connection is closed without an answer."""

    code = "malformed_packet"

    def __init__(self, message: str, clause: str) -> None:
        super().__init__(f"{message} {clause}")
        self.clause = clause
        # [MQTT-3.1.4-1]: a malformed CONNECT gets no CONNACK.
        self.return_code: ConnectCode | None = None


class ProtocolViolation(WireError):
    """A packet that can be read and may not be sent (now).

    ``return_code`` is what a CONNACK has to say before the connection is closed; None: say nothing.
    """

    code = "protocol_violation"

    def __init__(self, message: str, clause: str, return_code: ConnectCode | None = None) -> None:
        super().__init__(f"{message} {clause}")
        self.clause = clause
        self.return_code = return_code


class Will(Struct, frozen=True, gc=False):
    """What the server publishes when the client ends without DISCONNECT."""

    topic: str
    payload: bytes
    qos: int
    retain: bool


class Connect(Struct, frozen=True, gc=False):
    """The first packet of a connection."""

    client_id: str
    clean_session: bool
    keep_alive: int
    username: str | None
    password: bytes | None
    will: Will | None


class Publish(Struct, frozen=True, gc=False):
    """A message; ``packet_id`` is 0 exactly when ``qos`` is 0."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    dup: bool
    packet_id: int


class PubAck(Struct, frozen=True, gc=False):
    """A QoS 1 message has arrived."""

    packet_id: int


class PubRec(Struct, frozen=True, gc=False):
    """A QoS 2 message has arrived, step 1."""

    packet_id: int


class PubRel(Struct, frozen=True, gc=False):
    """A QoS 2 message may be delivered, step 2."""

    packet_id: int


class PubComp(Struct, frozen=True, gc=False):
    """A QoS 2 message is done, step 3."""

    packet_id: int


class Subscribe(Struct, frozen=True, gc=False):
    """Filters with the QoS asked for, in the order of the packet."""

    packet_id: int
    filters: tuple[tuple[str, int], ...]


class Unsubscribe(Struct, frozen=True, gc=False):
    """Filters that are wanted no more."""

    packet_id: int
    filters: tuple[str, ...]


class PingReq(Struct, frozen=True, gc=False):
    """The client is alive and asks whether the server is."""


class Disconnect(Struct, frozen=True, gc=False):
    """The client ends in good order."""


Packet = Connect | Publish | PubAck | PubRec | PubRel | PubComp | Subscribe | Unsubscribe | PingReq | Disconnect
Fault = tuple[str, str]
Decoder = Callable[[int, bytes, int, int], Packet]

NAMES = (
    "reserved type 0", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP",
    "SUBSCRIBE", "SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "reserved type 15",
)  # fmt: skip


def flags_fault(first: int) -> Fault | None:
    """What is wrong with the flags of a fixed header, and the clause that says so."""
    kind, flags = first >> 4, first & 0x0F
    if kind == 3:
        if flags & 0x06 == 0x06:
            return "PUBLISH asks for QoS 3", "[MQTT-3.3.1-4]"
        if flags & 0x0E == 0x08:
            return "PUBLISH of QoS 0 is marked as a duplicate", "[MQTT-3.3.1-2]"
        return None
    if flags == (2 if kind in (6, 8, 10) else 0):
        return None
    clauses = {6: "[MQTT-3.6.1-1]", 8: "[MQTT-3.8.1-1]", 10: "[MQTT-3.10.1-1]", 14: "[MQTT-3.14.1-1]"}
    return f"{NAMES[kind]} has the flags {flags:#x}", clauses.get(kind, "[MQTT-2.2.2-2]")


def topic_fault(topic: str) -> Fault | None:
    """What makes ``topic`` no topic name that may be published to."""
    if not topic:
        return "a topic name is empty", "[MQTT-4.7.3-1]"
    if "+" in topic or "#" in topic:
        return f"the topic name {topic[:80]!r} holds a wildcard", "[MQTT-3.3.2-2]"
    return None


def filter_fault(topic_filter: str) -> Fault | None:
    """What makes ``topic_filter`` no filter that can be subscribed to."""
    if not topic_filter:
        return "a topic filter is empty", "[MQTT-4.7.3-1]"
    if "#" in topic_filter and ("#" in topic_filter[:-1] or topic_filter[-2:] not in ("#", "/#")):
        return f"'#' is not the last level of {topic_filter[:80]!r}", "[MQTT-4.7.1-2]"
    if "+" in topic_filter and any("+" in level and level != "+" for level in topic_filter.split("/")):
        return f"'+' is not a whole level of {topic_filter[:80]!r}", "[MQTT-4.7.1-3]"
    return None


def _text(raw: bytes) -> str:
    # Strict UTF-8 refuses surrogates, overlong forms and what is beyond U+10FFFF [MQTT-1.5.3-1], lets U+0000 pass,
    # and keeps U+FEFF [MQTT-1.5.3-3].
    try:
        text = str(raw, "utf-8")
    except UnicodeDecodeError as error:
        raise MalformedPacket("a string is not UTF-8", "[MQTT-1.5.3-1]") from error
    if "\0" in text:
        raise MalformedPacket("a string holds U+0000", "[MQTT-1.5.3-2]")
    return text


def _topic(raw: bytes) -> str:
    topic = _text(raw)
    if fault := topic_fault(topic):
        raise MalformedPacket(*fault)
    return topic


# A printer says the same few topics for ever: to look one up costs a third of checking it. Only good ones get in.
_known_topic = lru_cache(maxsize=_CACHED_TOPICS)(_topic)


def _field(data: bytes, at: int, end: int, what: str, clause: str = "[MQTT-4.8.0-1]") -> tuple[bytes, int]:
    start = at + 2
    if start > end:
        raise MalformedPacket(f"the packet ends where {what} is due", clause)
    stop = start + (data[at] << 8 | data[at + 1])
    if stop > end:
        raise MalformedPacket(f"{what} is longer than its packet", clause)
    return data[start:stop], stop


def _packet_id(data: bytes, at: int, end: int, clause: str = "[MQTT-2.3.1-1]") -> int:
    if at + 2 > end:
        raise MalformedPacket("the packet ends where its packet identifier is due", clause)
    packet_id = data[at] << 8 | data[at + 1]
    if not packet_id:
        raise MalformedPacket("a packet identifier is 0", clause)
    return packet_id


def _publish(first: int, data: bytes, at: int, end: int) -> Publish:
    start = at + 2
    # Two bytes may lie beyond ``end``, even beyond ``data``: compare before looking.
    if start > end or (at := start + (data[at] << 8 | data[at + 1])) > end:
        raise MalformedPacket("the topic name is longer than its packet", "[MQTT-3.3.2-1]")
    raw = data[start:at]
    topic = _known_topic(raw) if at - start <= _CACHED_TOPIC_SIZE else _topic(raw)
    qos = first >> 1 & 3
    if not qos:
        return Publish(topic, data[at:end], 0, first & 1 == 1, False, 0)
    packet_id = _packet_id(data, at, end)
    return Publish(topic, data[at + 2 : end], qos, first & 1 == 1, first & 8 == 8, packet_id)


def _acknowledgement(packet: type[PubAck] | type[PubRec] | type[PubRel] | type[PubComp]) -> Decoder:
    def decode(first: int, data: bytes, at: int, end: int) -> Packet:
        if end - at != 2:
            raise MalformedPacket(f"an acknowledgement has {end - at} bytes, not 2", "[MQTT-4.8.0-1]")
        # The identifier repeats that of a PUBLISH, which is never 0.
        return packet(_packet_id(data, at, end, "[MQTT-2.3.1-6]"))

    return decode


def _empty(packet: PingReq | Disconnect) -> Decoder:
    def decode(first: int, data: bytes, at: int, end: int) -> Packet:
        if end != at:
            raise MalformedPacket(f"{NAMES[first >> 4]} has a body of {end - at} bytes", "[MQTT-4.8.0-1]")
        return packet

    return decode


def _filter(data: bytes, at: int, end: int) -> tuple[str, int]:
    raw, at = _field(data, at, end, "a topic filter")
    topic_filter = _text(raw)
    if fault := filter_fault(topic_filter):
        raise MalformedPacket(*fault)
    return topic_filter, at


def _subscribe(first: int, data: bytes, at: int, end: int) -> Subscribe:
    packet_id = _packet_id(data, at, end)
    at += 2
    filters = []
    while at < end:
        topic_filter, at = _filter(data, at, end)
        # The clause's number is misprinted in the standard itself. Such a byte closes, it is not answered 0x80.
        if at == end:
            raise MalformedPacket("SUBSCRIBE ends where a QoS is due", "[MQTT-3-8.3-4]")
        if data[at] > 2:
            raise MalformedPacket(f"SUBSCRIBE asks for the QoS byte {data[at]:#04x}", "[MQTT-3-8.3-4]")
        filters.append((topic_filter, data[at]))
        at += 1
    if not filters:
        raise MalformedPacket("SUBSCRIBE without a topic filter", "[MQTT-3.8.3-3]")
    return Subscribe(packet_id, tuple(filters))


def _unsubscribe(first: int, data: bytes, at: int, end: int) -> Unsubscribe:
    packet_id = _packet_id(data, at, end)
    at += 2
    filters = []
    while at < end:
        topic_filter, at = _filter(data, at, end)
        filters.append(topic_filter)
    if not filters:
        raise MalformedPacket("UNSUBSCRIBE without a topic filter", "[MQTT-3.10.3-2]")
    return Unsubscribe(packet_id, tuple(filters))


def _check_connect_flags(flags: int) -> None:
    if flags & 0x01:
        raise MalformedPacket("CONNECT sets the reserved flag", "[MQTT-3.1.2-3]")
    if not flags & 0x04 and flags & 0x18:
        raise MalformedPacket("CONNECT gives a Will QoS and no Will", "[MQTT-3.1.2-13]")
    if not flags & 0x04 and flags & 0x20:
        raise MalformedPacket("CONNECT sets Will Retain and has no Will", "[MQTT-3.1.2-15]")
    if flags & 0x18 == 0x18:
        raise MalformedPacket("CONNECT asks for Will QoS 3", "[MQTT-3.1.2-14]")
    if flags & 0xC0 == 0x40:
        raise MalformedPacket("CONNECT has a password and no user name", "[MQTT-3.1.2-22]")


def _connect(first: int, data: bytes, at: int, end: int) -> Connect:
    raw, at = _field(data, at, end, "the protocol name", "[MQTT-3.1.2-1]")
    name = _text(raw)
    if at == end:
        raise MalformedPacket("CONNECT ends where the protocol level is due", "[MQTT-3.1.4-1]")
    level = data[at]
    # The rest of another level has another layout: it is refused unread. Bit 7 of the level is set by bridges.
    if name != "MQTT" or level != 4:
        clause = "[MQTT-3.1.2-1]" if name not in ("MQTT", "MQIsdp") else "[MQTT-3.1.2-2]"
        code = ConnectCode.UNACCEPTABLE_PROTOCOL_VERSION
        raise ProtocolViolation(f"CONNECT speaks {name[:20]!r} level {level}", clause, code)
    if at + 4 > end:
        raise MalformedPacket("CONNECT ends inside its variable header", "[MQTT-3.1.4-1]")
    flags = data[at + 1]
    _check_connect_flags(flags)
    keep_alive = data[at + 2] << 8 | data[at + 3]
    raw, at = _field(data, at + 4, end, "the client identifier", "[MQTT-3.1.3-3]")
    client_id = _text(raw)
    will = username = password = None
    if flags & 0x04:
        raw, at = _field(data, at, end, "the Will topic", "[MQTT-3.1.2-9]")
        payload, at = _field(data, at, end, "the Will message", "[MQTT-3.1.2-9]")
        will = Will(_topic(raw), payload, flags >> 3 & 3, flags & 0x20 != 0)
    if flags & 0x80:
        raw, at = _field(data, at, end, "the user name", "[MQTT-3.1.2-19]")
        username = _text(raw)
    if flags & 0x40:
        password, at = _field(data, at, end, "the password", "[MQTT-3.1.2-21]")
    if at != end:
        raise MalformedPacket(f"CONNECT has {end - at} bytes that no flag announces", "[MQTT-3.1.4-1]")
    # Judged last: only a well-formed CONNECT is answered.
    if not client_id and not flags & 0x02:
        code = ConnectCode.IDENTIFIER_REJECTED
        raise ProtocolViolation("CONNECT wants a kept session without an identifier", "[MQTT-3.1.3-8]", code)
    return Connect(client_id, flags & 0x02 != 0, keep_alive, username, password, will)


_DECODERS: dict[int, tuple[type[Packet], Decoder]] = {
    1: (Connect, _connect),
    3: (Publish, _publish),
    4: (PubAck, _acknowledgement(PubAck)),
    5: (PubRec, _acknowledgement(PubRec)),
    6: (PubRel, _acknowledgement(PubRel)),
    7: (PubComp, _acknowledgement(PubComp)),
    8: (Subscribe, _subscribe),
    10: (Unsubscribe, _unsubscribe),
    12: (PingReq, _empty(PingReq())),
    14: (Disconnect, _empty(Disconnect())),
}

# By the first byte: the packet's type and its decoder, or None where no client may send such a byte.
HEADERS = tuple(None if flags_fault(first) else _DECODERS.get(first >> 4) for first in range(256))
