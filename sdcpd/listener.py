"""A stream server whose real port number can be asked.

One decision: the port is bound when the service starts, synchronously, so a busy port is one clear error at the
place where it can still be said, and port 0 has become a number before anything needs to tell it to a printer.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import AdoptedStreamServerEndpoint, serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocolFactory, ITCPTransport
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure

from sdcpd import tls
from sdcpd.activation import Activation
from sdcpd.checks import ENDPOINT_HINT
from sdcpd.errors import ConfigError
from sdcpd.logs import logger

__all__ = ["Listener", "Sparing"]

BACKLOG = 512
"""Connections that may wait to be accepted."""

WARN_EVERY = 60.0
"""Seconds between two complaints that too many clients are there."""

_HINTS: dict[object, str] = {
    errno.EADDRINUSE: "Stop the program that uses the port (ss -ltnp shows it), or set another port there.",
    errno.EACCES: "Ports below 1024 need a privilege: set a higher one there, or let the daemon have"
    " CAP_NET_BIND_SERVICE. A Unix socket needs a directory that the daemon may write to.",
    errno.EADDRNOTAVAIL: "This machine has no such address (ip address shows those it has): set another one there,"
    " or leave interface= out.",
}
_OTHERWISE = "Set an endpoint there that this machine can use, such as tcp:8080."
_SYSTEMD = (
    "Write systemd:domain=INET:index=0, or domain=INET6 for a port that listens on [::], and start the daemon by a"
    " socket unit that has that many TCP ports; docs/operations.md shows one."
)
_FILES = "The files that it names must be there, be readable for the daemon, and hold a key and its certificate."

_log = logger("sdcpd.listener")


class Listener(Service):
    """Serves ``factory`` at an endpoint string; ``place`` is the key of the configuration it comes from."""

    def __init__(self, reactor: object, place: str, description: str, factory: IProtocolFactory) -> None:
        self._reactor = reactor
        self.place = place
        self.description = description
        self._factory = factory
        self._port: IListeningPort | None = None
        self._activation: Activation | None = None

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
        if self._activation is not None:
            return other.description == self.description
        wanted = other.description.partition(":")[2].partition(":")[0].removeprefix("port=").removeprefix("address=")
        return wanted == (str(self.port) if self.port else self.address or None)

    def privilegedStartService(self) -> None:
        """Bind the port; raises ``ConfigError`` that names the key if that fails."""
        if self._port is not None:
            return
        tls.check(self.description, self.place)
        unusable: tuple[type[Exception], ...]
        unusable = (ValueError, TypeError, LookupError, OSError, *tls.errors(self.description))
        try:
            endpoint = serverFromString(self._reactor, _with_backlog(self.description))
            if isinstance(endpoint, AdoptedStreamServerEndpoint):
                activation = Activation(endpoint)
                endpoint = activation.take(self._reactor)
                self._activation = activation
        except unusable as error:
            raise ConfigError(
                f"{self.place}: cannot use the endpoint {self.description!r}: {error}", self._advice(error)
            ) from error
        outcome: list[object] = []
        endpoint.listen(self._factory).addBoth(outcome.append)
        result = outcome[0] if outcome else None
        if isinstance(result, Failure):
            self._release()
            why = result.value
            reason = why.socketError if isinstance(why, CannotListenError) else why
            words = str(getattr(reason, "strerror", None) or reason).rstrip(".")
            raise ConfigError(
                f"{self.place}: cannot listen on {self.description}: {words}",
                _HINTS.get(getattr(reason, "errno", None), _OTHERWISE),
            )
        assert IListeningPort.providedBy(result)
        self._port = result

    def _release(self) -> None:
        if self._activation is not None:
            self._activation.release()
            self._activation = None

    def _advice(self, error: Exception) -> str:
        if self.description.startswith("systemd:"):
            return _SYSTEMD
        return _FILES if isinstance(error, (OSError, *tls.errors(self.description))) else ENDPOINT_HINT

    def startService(self) -> None:
        """Bind the port if that was not done with privileges before."""
        self.privilegedStartService()
        super().startService()

    def stopService(self) -> Deferred[None]:
        """Close the port; connections that are open live on until their factory ends them."""
        super().stopService()
        port, self._port = self._port, None
        self._release()
        closed = port.stopListening() if port is not None else None
        return succeed(None) if closed is None else closed


def _with_backlog(description: str) -> str:
    """Room for a farm whose boards, or clients, all come back at once; Twisted's own is 50."""
    if description.startswith("tcp:") and "backlog=" not in description:
        return f"{description}:backlog={BACKLOG}"
    return description


class _Refused(Protocol):
    """A connection that is closed at once."""

    def makeConnection(self, transport: ITCPTransport) -> None:  # noqa: N802 (Twisted enters)
        """Twisted: it is there."""
        transport.abortConnection()


class Sparing(Factory):
    """Hands connections on to ``factory`` while descriptors can be spared; the last ones are for printers and files.

    The kernel gives the lowest number that is free. So as long as nobody is let in when that has reached ``most``,
    idle clients hold none of the numbers from there on, however many clients there are and on however many ports.
    """

    noisy = False

    def __init__(
        self, factory: Factory[Any], most: float, next_descriptor: Callable[[], float], seconds: Callable[[], float]
    ) -> None:
        self._factory = factory
        self._most = most
        self._next_descriptor = next_descriptor
        self._seconds = seconds
        self._refused = 0
        self._quiet_until = seconds()

    def startFactory(self) -> None:
        """The port is open."""
        self._factory.doStart()

    def stopFactory(self) -> None:
        """The port is closed."""
        self._factory.doStop()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A connection of the factory's, or one that is closed at once."""
        if self._next_descriptor() <= self._most:  # the connection has got one already, and that is lower
            return self._factory.buildProtocol(addr)
        self._refused += 1
        now = self._seconds()
        if now >= self._quiet_until:
            _log.warn(
                "Too many connections: {count} of clients closed at once, the last from {peer}; the descriptors from"
                " {most:.0f} on are for printers and files. Raise LimitNOFILE (ulimit -n) if so many are to be served",
                count=self._refused,
                peer=getattr(addr, "host", addr),
                most=self._most,
            )
            self._refused, self._quiet_until = 0, now + WARN_EVERY
        return _Refused()  # not None: TLS around it could not bear that
