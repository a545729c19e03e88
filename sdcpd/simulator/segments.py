"""Sockets that cut what is sent through them into segments of another size (fault F7).

One decision: the cut is made in the socket's ``send``, under paho-mqtt, so everything above speaks as ever and the
whole life of a printer can be played through such a connection.
"""

from __future__ import annotations

import socket
from enum import Enum
from typing import Any

__all__ = ["JoinedSocket", "Segments", "SplitSocket", "make_socket", "send_whole"]


class Segments(Enum):
    """How the bytes of a connection are cut."""

    WHOLE = "whole"
    SPLIT = "split"
    JOINED = "joined"


class SplitSocket(socket.socket):
    """Takes one byte in a turn of the reactor, so that a reader of the same process sees each alone."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sated = False

    def send(self, data: Any, flags: int = 0) -> int:
        """Send the first byte, and be full the next time; the caller comes again with the rest."""
        self._sated = not self._sated
        if not self._sated:
            raise BlockingIOError
        return super().send(data[:1], flags)


class JoinedSocket(socket.socket):
    """Keeps what it is given until it is flushed."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._kept = bytearray()

    def send(self, data: Any, flags: int = 0) -> int:
        """Keep all of it."""
        self._kept += data
        return len(data)

    def flush(self) -> bool:
        """Send what was kept, at once; False where the network took only a part, so there is more to flush."""
        while self._kept:
            try:
                sent = super().send(self._kept)
            except BlockingIOError:
                return False
            del self._kept[:sent]
        return True


_KINDS: dict[Segments, type[socket.socket]] = {
    Segments.WHOLE: socket.socket,
    Segments.SPLIT: SplitSocket,
    Segments.JOINED: JoinedSocket,
}


def make_socket(segments: Segments) -> socket.socket:
    """A TCP socket that does not block."""
    sock = _KINDS[segments](socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    return sock


def send_whole(sock: Any, data: bytes) -> bool:
    """Send a packet of one's own beside paho's, in one go; False where the network took only a part of it."""
    if isinstance(sock, SplitSocket):
        return socket.socket.send(sock, data) == len(data)
    sent = sock.send(data)
    return sock.flush() if isinstance(sock, JoinedSocket) else sent == len(data)
