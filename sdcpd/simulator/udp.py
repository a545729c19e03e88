"""The printers' UDP side: who hears what, and from where the answer comes.

One decision: each printer has one exclusive socket on its own address, from which every reply goes out; broadcasts
come through one more socket, bound to the loopback's broadcast address itself, so a unicast to somebody else is never
mistaken for one. That socket alone is shared (SO_REUSEADDR), for several farms on one port.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IReactorSocket, IReactorUDP
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import Logger

from sdcpd.simulator.printer import Printer

__all__ = ["BROADCAST", "Broadcasts", "Mouth", "listen", "listen_for_broadcasts"]

BROADCAST = "127.255.255.255"
_LARGEST = 65_536


class Mouth(DatagramProtocol):
    """One printer's own socket."""

    noisy = False

    _log = Logger()

    def __init__(self, printer: Printer) -> None:
        self.printer = printer

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """A unicast to the printer."""
        self.hear(datagram, addr)

    def hear(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """A datagram for the printer, which answers through this socket."""
        self.printer.datagram(datagram, addr[0], self._reply_to(addr))

    def _reply_to(self, addr: tuple[str, int]) -> Callable[[bytes], None]:
        def reply(data: bytes) -> None:
            if self.transport is None:
                return
            try:
                self.transport.write(data, addr)
            except OSError as error:
                self._log.warn("{name} cannot answer {addr}: {error}", name=self.printer.id, addr=addr, error=error)

        return reply


class Broadcasts(DatagramProtocol):
    """Passes each broadcast probe on to every printer."""

    noisy = False

    def __init__(self, mouths: Sequence[Mouth]) -> None:
        self._mouths = mouths

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """A broadcast."""
        for mouth in self._mouths:
            mouth.hear(datagram, addr)


def listen_for_broadcasts(reactor: IReactorSocket, port: int, protocol: Broadcasts) -> IListeningPort:
    """Open the shared socket; CannotListenError where the port is taken by a socket that does not share."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setblocking(False)
        try:
            sock.bind((BROADCAST, port))
        except OSError as error:
            raise CannotListenError(BROADCAST, port, error) from error
        return reactor.adoptDatagramPort(sock.fileno(), socket.AF_INET, protocol, _LARGEST)


def listen(reactor: IReactorUDP, mouth: Mouth, address: str, port: int) -> IListeningPort:
    """Open a printer's own socket at an address; CannotListenError where it is taken."""
    return reactor.listenUDP(port, mouth, interface=address, maxPacketSize=_LARGEST)
