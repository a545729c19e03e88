"""A stream server whose real port number can be asked.

One decision: the port is bound when the service starts, synchronously, so a busy port is one clear error at the
place where it can still be said, and port 0 has become a number before anything needs to tell it to a printer.
"""

from __future__ import annotations

import os

from OpenSSL.crypto import Error as TLSError
from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.python.failure import Failure

from sdcpd.errors import ConfigError

__all__ = ["Listener"]

BACKLOG = 512
"""Connections that may wait to be accepted."""


class Listener(Service):
    """Serves ``factory`` at an endpoint string; ``place`` is the key of the configuration it comes from."""

    def __init__(self, reactor: object, place: str, description: str, factory: IProtocolFactory) -> None:
        self._reactor = reactor
        self.place = place
        self.description = description
        self._factory = factory
        self._port: IListeningPort | None = None

    @property
    def port(self) -> int:
        """The TCP port in use; 0 while there is none (not started, or a Unix socket)."""
        return int(getattr(self._port.getHost(), "port", 0)) if self._port is not None else 0

    @property
    def address(self) -> str:
        """Where it listens, as ``host:port`` or the path of a Unix socket."""
        if self._port is None:
            return ""
        host = self._port.getHost()
        if isinstance(host, IPv4Address | IPv6Address):
            return f"{host.host}:{host.port}"
        return os.fsdecode(getattr(host, "name", b""))

    def blocks(self, other: Listener) -> bool:
        """Whether ``other`` cannot be bound while this is: both want the same port or the same path."""
        wanted = other.description.partition(":")[2].partition(":")[0].removeprefix("port=").removeprefix("address=")
        return wanted == (str(self.port) if self.port else self.address or None)

    def privilegedStartService(self) -> None:
        """Bind the port; raises ``ConfigError`` that names the key if that fails."""
        if self._port is not None:
            return
        try:
            endpoint = serverFromString(self._reactor, _with_backlog(self.description))
        except (ValueError, TypeError, LookupError, OSError, TLSError) as error:
            raise ConfigError(f"{self.place}: cannot use the endpoint {self.description!r}: {error}") from error
        outcome: list[object] = []
        endpoint.listen(self._factory).addBoth(outcome.append)
        result = outcome[0] if outcome else None
        if isinstance(result, Failure):
            why = result.value
            reason = why.socketError if isinstance(why, CannotListenError) else why
            raise ConfigError(
                f"{self.place}: cannot listen on {self.description}: {getattr(reason, 'strerror', None) or reason}",
                "Stop the program that uses the port (ss -ltnp shows it), or set another port there.",
            )
        assert IListeningPort.providedBy(result)
        self._port = result

    def startService(self) -> None:
        """Bind the port if that was not done with privileges before."""
        self.privilegedStartService()
        super().startService()

    def stopService(self) -> Deferred[None]:
        """Close the port; connections that are open live on until their factory ends them."""
        super().stopService()
        port, self._port = self._port, None
        closed = port.stopListening() if port is not None else None
        return succeed(None) if closed is None else closed


def _with_backlog(description: str) -> str:
    """Room for a farm whose boards, or clients, all come back at once; Twisted's own is 50."""
    if description.startswith("tcp:") and "backlog=" not in description:
        return f"{description}:backlog={BACKLOG}"
    return description
