"""A service manager as far as the daemon hears of it: the socket that is notified.

One decision: it is a real socket, since that is the whole protocol; what it was told is read when a test asks.
"""

from __future__ import annotations

import socket
import time

__all__ = ["Manager"]


class Manager:
    """Listens at ``address``, a path or ``@`` and an abstract name; each message is its fields by name."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self._socket.setblocking(False)

    def told(self) -> list[dict[str, str]]:
        """Every message since the last look."""
        found: list[dict[str, str]] = []
        while True:
            try:
                text = self._socket.recv(65536).decode()
            except BlockingIOError:
                return found
            found.append(dict(line.split("=", 1) for line in text.splitlines()))

    def wait_for(self, name: str, within: float = 120.0) -> list[dict[str, str]]:
        """Every message until one has this field; an ``AssertionError`` if none comes."""
        deadline = time.monotonic() + within
        found: list[dict[str, str]] = []
        while not found or name not in found[-1]:
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                text = self._socket.recv(65536).decode()
            except TimeoutError:
                raise AssertionError(f"never told {name}; told: {found}") from None
            finally:
                self._socket.setblocking(False)
            found.append(dict(line.split("=", 1) for line in text.splitlines()))
        return found

    def close(self) -> None:
        """Nobody listens any more."""
        self._socket.close()
