"""MQTT 3.1.1 packets that a server sends, as bytes.

One decision: what the standard forbids cannot be written; a bad argument is a ``ValueError`` here and never a packet
that a client has to close its connection for.
"""

from __future__ import annotations

from collections.abc import Iterable

from sdcpd.codec.mqtt_packets import ConnectCode, topic_fault

__all__ = [
    "PINGRESP",
    "SUBACK_FAILURE",
    "connack",
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
    identifier = _packet_id(packet_id) if qos else b""
    return _packet(0x30 | dup << 3 | qos << 1 | retain, _topic_field(topic), identifier, payload)


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


def _topic_field(topic: str) -> bytes:
    if fault := topic_fault(topic):
        raise ValueError(" ".join(fault))
    if "\0" in topic:
        raise ValueError("a string cannot hold U+0000")
    name = topic.encode()
    return _two_bytes(len(name)) + name
