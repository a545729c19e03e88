"""An MQTT client as bytes, for loads: made once and sent often, answers compared and not decoded.

One decision: only what a well-behaved server says is understood; whatever else comes is ``Lost``, and ends the run.
"""

from __future__ import annotations

import select
import socket
from contextlib import suppress
from itertools import count

__all__ = ["AT_ONCE", "PATIENCE", "Lost", "close", "dial", "opened", "publish", "subscriber"]

AT_ONCE = 64
"""Connections that are being opened at the same time; asyncio lets 100 wait by default."""
PATIENCE = 120.0
"""Seconds after which an answer does not come any more."""
_DISCONNECT = b"\xe0\x00"
_BIND_LATE = 24
"""IP_BIND_ADDRESS_NO_PORT: the port is chosen at ``connect``, so one address has 28,000 of them for each server."""
_numbers = count()


def _packet(first: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    size = len(body)
    return bytes((first, size) if size < 128 else (first, size & 0x7F | 0x80, size >> 7)) + body


def _text(text: str) -> bytes:
    return len(text).to_bytes(2, "big") + text.encode()


def _connect() -> bytes:
    return _packet(0x10, _text("MQTT"), b"\x04\x02\x00\x00", _text(f"bench-{next(_numbers):08}"))


def _subscribe(topic: str, qos: int) -> bytes:
    return _packet(0x82, b"\0\1", _text(topic), bytes((qos,)))


def publish(topic: str, qos: int, payload: bytes) -> bytes:
    """PUBLISH with the identifier 1, which is always free here: at most one is under way."""
    return _packet(0x30 | qos << 1, _text(topic), b"\0\1" if qos else b"", payload)


def dial(port: int) -> socket.socket:
    number = next(_numbers)
    dialling = socket.socket()
    dialling.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    dialling.setsockopt(socket.IPPROTO_IP, _BIND_LATE, 1)
    dialling.bind((f"127.41.0.{number % 200 + 1}", 0))
    dialling.settimeout(PATIENCE)
    dialling.connect(("127.0.0.1", port))
    dialling.setblocking(False)
    dialling.send(_connect())
    return dialling


class Lost(Exception):
    """The server did what it should not."""


def _answer(poll: select.epoll, connection: socket.socket, expected: bytes) -> None:
    """Wait for one short packet."""
    data = b""
    while len(data) < len(expected):
        if not poll.poll(PATIENCE):
            raise Lost(f"no answer within {PATIENCE:.0f} s")
        piece = connection.recv(len(expected) - len(data))
        if not piece:
            raise Lost("the server has closed the connection")
        data += piece
    if data != expected:
        raise Lost(f"{data.hex()} instead of {expected.hex()}")


def subscriber(port: int, topic: str, qos: int) -> socket.socket:
    """One connection that has subscribed."""
    connection = dial(port)
    poll = select.epoll()
    poll.register(connection, select.EPOLLIN)
    _answer(poll, connection, b"\x20\x02\0\0")
    connection.send(_subscribe(topic, qos))
    _answer(poll, connection, b"\x90\x03\0\1" + bytes((qos,)))
    poll.close()
    return connection


def opened(port: int, wanted: int, subscribed: bool) -> list[socket.socket]:
    """So many connections, let in; if they are ``subscribed``, each to a topic of its own that nobody publishes to."""
    poll = select.epoll()
    under_way: dict[int, socket.socket] = {}
    found: list[socket.socket] = []
    begun = 0
    while len(found) < wanted:
        while begun < wanted and len(under_way) < AT_ONCE:
            dialled = dial(port)
            under_way[dialled.fileno()] = dialled
            poll.register(dialled, select.EPOLLIN)
            begun += 1
        events = poll.poll(PATIENCE)
        if not events:
            raise Lost(f"only {len(found)} of {wanted} connections could be opened")
        for descriptor, _ in events:
            connection = under_way[descriptor]
            data = connection.recv(64)
            if not data:
                raise Lost(f"connection {len(found)} was closed by the server")
            if subscribed and data == b"\x20\x02\0\0":
                connection.send(_subscribe(f"bench/idle/{descriptor:018}", 1))
                continue
            del under_way[descriptor]
            poll.unregister(descriptor)
            found.append(connection)
    poll.close()
    return found


def close(connections: list[socket.socket]) -> None:
    for connection in connections:
        with suppress(OSError):  # it is closed already; that is what is wanted
            connection.send(_DISCONNECT)
        connection.close()
