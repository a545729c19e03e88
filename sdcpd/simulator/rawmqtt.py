"""MQTT packets written by hand, whole or broken.

One decision: paho-mqtt speaks for a printer; this module only makes what paho refuses to send, a repetition with DUP
(fault F12) and the broken packets of F8.
"""

from __future__ import annotations

import struct

__all__ = ["connect_packet", "oversized_length", "publish_packet"]


def _packet(first: int, body: bytes) -> bytes:
    length, encoded = len(body), bytearray()
    while True:
        length, digit = divmod(length, 128)
        encoded.append(digit | (0x80 if length else 0))
        if not length:
            return bytes([first]) + bytes(encoded) + body


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">H", len(data)) + data


def connect_packet(client_id: str, protocol: str = "MQTT", level: int = 4) -> bytes:
    """CONNECT, clean session, a keep-alive of 60 s, with whatever name and level."""
    head = _string(protocol) + struct.pack(">BBH", level, 0x02, 60)
    return _packet(0x10, head + _string(client_id))


def publish_packet(topic: str, payload: bytes, qos: int = 0, packet_id: int = 0, dup: bool = False) -> bytes:
    """PUBLISH."""
    first = 0x30 | (0x08 if dup else 0) | (qos << 1)
    return _packet(first, _string(topic) + (struct.pack(">H", packet_id) if qos else b"") + payload)


def oversized_length() -> bytes:
    """A PUBLISH whose remaining length has five bytes."""
    return b"\x30\xff\xff\xff\xff\x01"
