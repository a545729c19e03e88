"""What an MQTT client says, as bytes: the other end of the broker in these tests.

One decision: written from the standard and not from the daemon's encoders, so that both ends cannot share a mistake;
it writes whatever it is told to, also what no client may send.
"""

from __future__ import annotations

from sdcpd.codec.mqtt import (
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    Subscribe,
    Unsubscribe,
)

__all__ = ["encode"]


def encode(packet: Packet) -> bytes:
    """The bytes of a packet."""
    match packet:
        case Connect():
            return _connect(packet)
        case Publish(topic, payload, qos, retain, dup, packet_id):
            identifier = _number(packet_id) if qos else b""
            return _packet(0x30 | dup << 3 | qos << 1 | retain, _field(topic), identifier, payload)
        case PubAck(packet_id):
            return _packet(0x40, _number(packet_id))
        case PubRec(packet_id):
            return _packet(0x50, _number(packet_id))
        case PubRel(packet_id):
            return _packet(0x62, _number(packet_id))
        case PubComp(packet_id):
            return _packet(0x70, _number(packet_id))
        case Subscribe(packet_id, pairs):
            return _packet(0x82, _number(packet_id), *(_field(each) + bytes((qos,)) for each, qos in pairs))
        case Unsubscribe(packet_id, filters):
            return _packet(0xA2, _number(packet_id), *map(_field, filters))
        case PingReq():
            return _packet(0xC0)
        case Disconnect():
            return _packet(0xE0)


def _connect(packet: Connect) -> bytes:
    will, name, password = packet.will, packet.username, packet.password
    flags = packet.clean_session << 1 | (name is not None) << 7 | (password is not None) << 6
    if will is not None:
        flags |= 0x04 | will.qos << 3 | will.retain << 5
    left = () if will is None else (will.topic, will.payload)
    fields = (packet.client_id, *left, *(each for each in (name, password) if each is not None))
    return _packet(0x10, _field("MQTT"), bytes((4, flags)), _number(packet.keep_alive), *map(_field, fields))


def _packet(first: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    size, length = len(body), bytearray()
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    return bytes((first, *length, size)) + body


def _number(number: int) -> bytes:
    return number.to_bytes(2, "big")


def _field(content: str | bytes) -> bytes:
    raw = content.encode() if isinstance(content, str) else content
    return _number(len(raw)) + raw
