"""A TCP connection that says a few bytes, or none, and is watched until it ends.

One decision: who uses it sees two calls, dial and drop, and one report at the end, so strangers are tested without
sockets; a connection that was never made ends like any other, with its reason.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol as Seam
from typing import cast

from twisted.internet.interfaces import IAddress, IConnector, IReactorTCP, ITCPTransport
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.python.failure import Failure

__all__ = ["Call", "Dialler", "Over", "TcpDialler"]

_KEPT = 4096
_TIMEOUT = 30.0

Over = Callable[[bytes, str], None]
"""Told at the end: the first bytes that came back, and why it ended."""


class Call(Seam):
    """One connection."""

    def drop(self) -> None:
        """Reset it."""


class Dialler(Seam):
    """Makes connections; the network, or a test's."""

    def dial(self, host: str, port: int, source: str, data: bytes, over: Over) -> Call:
        """Connect from this address, say this, and wait until the other side has closed."""


class _Talk(Protocol):
    def __init__(self, data: bytes, over: Over) -> None:
        self._data = data
        self._over = over
        self._received = b""

    def connectionMade(self) -> None:
        if self._data:
            cast(ITCPTransport, self.transport).write(self._data)

    def dataReceived(self, data: bytes) -> None:
        self._received = (self._received + data)[:_KEPT]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._over(self._received, reason.getErrorMessage())


class _Call(ClientFactory):
    noisy = False

    def __init__(self, data: bytes, over: Over) -> None:
        self._data = data
        self._over = over
        self._talk: _Talk | None = None
        self.connector: IConnector | None = None

    def buildProtocol(self, addr: IAddress | None) -> _Talk:
        self._talk = _Talk(self._data, self._over)
        return self._talk

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self._over(b"", reason.getErrorMessage())

    def drop(self) -> None:
        if self._talk is not None and self._talk.transport is not None:
            cast(ITCPTransport, self._talk.transport).abortConnection()
        elif self.connector is not None:
            self.connector.disconnect()


class TcpDialler:
    """Dials through the reactor."""

    def __init__(self, reactor: IReactorTCP) -> None:
        self._reactor = reactor

    def dial(self, host: str, port: int, source: str, data: bytes, over: Over) -> Call:
        """Connect from this address, say this, and wait until the other side has closed."""
        call = _Call(data, over)
        call.connector = self._reactor.connectTCP(host, port, call, timeout=_TIMEOUT, bindAddress=(source, 0))
        return call
