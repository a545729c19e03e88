"""Sockets that systemd opened for the daemon: ``systemd:domain=INET:index=0`` in the configuration.

One decision: what was handed over stays open as long as the process lives, and each listener serves a copy of it.
Twisted closes the original as soon as it is adopted, and a reload would find another connection under its number; here
a reload finds the same socket, and connections that come meanwhile wait in its queue. What does not suit is refused
before it is served: two listeners at one socket, another family than the configuration says, no TCP port.
"""

from __future__ import annotations

import os
import socket

from twisted.internet.endpoints import AdoptedStreamServerEndpoint

__all__ = ["Activation"]

_POSSIBLE = {socket.AF_INET: "INET", socket.AF_INET6: "INET6"}


class Activation:
    """One socket of systemd's, as one listener uses it. Raises ``ValueError`` that says what does not suit."""

    _served: set[int] = set()  # noqa: RUF012 (as descriptors are, it is the process's)

    def __init__(self, endpoint: AdoptedStreamServerEndpoint) -> None:
        self._original: int = endpoint.fileno
        self._family: socket.AddressFamily = endpoint.addressFamily

    def take(self, reactor: object) -> AdoptedStreamServerEndpoint:
        """Where to listen; ``release`` it afterwards."""
        os.set_inheritable(self._original, False)
        with socket.socket(fileno=os.dup(self._original)) as found:
            self._judge(found)
            if self._original in self._served:
                raise ValueError("another listener serves that socket already")
            copy = os.dup(found.fileno())  # Twisted makes one of its own and closes this one
        self._served.add(self._original)
        return AdoptedStreamServerEndpoint(reactor, copy, self._family)

    def release(self) -> None:
        """Another listener may serve it."""
        self._served.discard(self._original)

    def _judge(self, found: socket.socket) -> None:
        if found.family not in _POSSIBLE or found.type != socket.SOCK_STREAM:
            raise ValueError("expected a TCP port, found another kind of socket")
        if found.family != self._family:
            raise ValueError(
                f"expected a socket of domain={_POSSIBLE.get(self._family, '?')}, found one of"
                f" domain={_POSSIBLE[found.family]}"
            )
        if not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise ValueError("expected a port that listens, found one connection (Accept=yes)")
