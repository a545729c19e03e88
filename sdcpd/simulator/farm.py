"""Many printers in one process, on real sockets.

One decision: a farm is an ordinary Twisted service with nothing global in it, so ``twistd`` runs it as a product and a
test starts it as a fixture, through the same few names.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IListeningPort,
    IReactorFDSet,
    IReactorSocket,
    IReactorTCP,
    IReactorTime,
    IReactorUDP,
    IReactorUNIX,
)
from twisted.logger import Logger

from sdcpd.simulator.dialling import TcpDialler
from sdcpd.simulator.download import HttpFetcher
from sdcpd.simulator.journal import Violation
from sdcpd.simulator.mqtt_link import MqttLinks
from sdcpd.simulator.printer import Printer
from sdcpd.simulator.settings import PrinterSpec, Settings
from sdcpd.simulator.simtime import SimTime
from sdcpd.simulator.udp import Broadcasts, Mouth, listen, listen_for_broadcasts

__all__ = ["Farm", "FarmReactor"]


class FarmReactor(IReactorTime, IReactorTCP, IReactorUDP, IReactorSocket, IReactorFDSet, IReactorUNIX):
    """What a farm needs of a reactor."""


class Farm(MultiService):
    """Simulated printers, from start to stop."""

    _log = Logger()

    def __init__(self, reactor: FarmReactor, specs: Sequence[PrinterSpec], settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self._reactor = reactor
        self._ports: list[IListeningPort] = []
        links = MqttLinks(reactor, SimTime(reactor, settings.scale))
        fetcher = partial(HttpFetcher, reactor)
        self._mouths: list[Mouth] = []
        self.printers = [
            Printer(spec, settings, reactor, links, fetcher, TcpDialler(reactor), self._rehouse) for spec in specs
        ]

    @property
    def violations(self) -> list[Violation]:
        """Of all printers, in order of time."""
        return sorted((v for printer in self.printers for v in printer.violations), key=lambda v: v.time)

    def printer(self, key: int | str) -> Printer:
        """By index, MainboardID, name or address; ValueError lists the ids."""
        if isinstance(key, int) or (key.isdecimal() and len(key) < 8):
            if 0 <= int(key) < len(self.printers):
                return self.printers[int(key)]
        else:
            for printer in self.printers:
                if key in (printer.id, printer.identity.name, printer.spec.address):
                    return printer
        known = ", ".join(f"{index} ({printer.id})" for index, printer in enumerate(self.printers))
        raise ValueError(f"no printer {key!r}: use one of {known}")

    def privilegedStartService(self) -> None:
        """Open the sockets; CannotListenError where one is taken."""
        self._listen()
        super().privilegedStartService()

    def startService(self) -> None:
        """Open the sockets, unless that was done, and say who is here."""
        self._listen()
        for printer in self.printers:
            self._log.info(
                "{id} at {address}:{port} is a {profile}, {name!r}",
                id=printer.id,
                address=printer.spec.address,
                port=self.settings.port,
                profile=printer.spec.profile.name,
                name=printer.identity.name,
            )
        if self.settings.broadcast:
            self._log.info(
                'An sdcpd on this machine finds them with [discovery] interfaces = ["auto", "lo"], port = {port}',
                port=self.settings.port,
            )
        super().startService()

    def stopService(self) -> Deferred[object]:
        """Close everything."""
        for printer in self.printers:
            printer.shut_down()
        ports, self._ports = self._ports, []
        closing = [maybeDeferred(port.stopListening) for port in ports]
        return gatherResults([*closing, maybeDeferred(super().stopService)]).addCallback(lambda _: None)

    def _rehouse(self, printer: Printer, address: str) -> None:
        """Hear the printer's datagrams at another address; ValueError where that is taken."""
        if not self._ports:
            return
        index = self.printers.index(printer)
        mouth = Mouth(printer)
        try:
            port = listen(self._reactor, mouth, address, self.settings.port)
        except CannotListenError as error:
            raise ValueError(f"{address}:{self.settings.port} is taken: choose another address") from error
        former, self._ports[index], self._mouths[index] = self._ports[index], port, mouth
        former.stopListening()

    def _listen(self) -> None:
        if self._ports:
            return
        mouths = self._mouths = [Mouth(printer) for printer in self.printers]
        try:
            for mouth in mouths:
                self._ports.append(listen(self._reactor, mouth, mouth.printer.spec.address, self.settings.port))
            if self.settings.broadcast:
                shared = listen_for_broadcasts(self._reactor, self.settings.port, Broadcasts(mouths))
                self._ports.append(shared)
        except BaseException:
            for port in self._ports:
                port.stopListening()
            self._ports = []
            raise
