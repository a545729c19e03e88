"""UDP: find the printers, invite those of V1, watch those that belong to somebody else.

One decision: everything is asked from one socket per interface, and what a printer answers *to* tells which of our
addresses it can reach: the invitation leaves through that same socket, because a V1 board dials the source
address of the invitation (reference sdcp.md 1.7).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IReactorUDP, IUDPTransport
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import LoopingCall

from sdcpd import config
from sdcpd.codec.sdcp import PROBE, Announcement, invitation, parse_announcement
from sdcpd.codec.status import Generation, Phase
from sdcpd.custody import GRACE, INVITATIONS, Custody, owner_of
from sdcpd.errors import MalformedMessage, NotNow, PrinterOffline
from sdcpd.fleet import MOST, Fleet, Printer, Reachability
from sdcpd.interfaces import Interface, local_address_towards
from sdcpd.links import SILENCE, Links
from sdcpd.logs import Few, logger

__all__ = ["Discovery"]

MISSING_INTERVAL = 5.0
"""Seconds between two probes of a known printer that is not online."""
FIRST_PROBES = (0.0, 1.0, 2.5)
"""Seconds after the start at which everybody is asked: single datagrams get lost."""
ANSWERS = 10
"""Answers of one printer that count in a second: each probe may bring several, and anybody may make them up."""
SLICE = 64
"""Datagrams of a sweep over a network that leave at once."""

_log = logger("sdcpd.discovery")


class Reactor(IReactorTime, IReactorUDP):
    """What discovery needs of a reactor."""


class _Eye(DatagramProtocol):
    """One socket: of one interface, or of all (then the kernel chooses the way)."""

    noisy = False
    transport: IUDPTransport | None = None
    """None before it is open, and again when the network took it away."""

    def __init__(self, discovery: Discovery, interface: Interface | None) -> None:
        self._discovery = discovery
        self.interface = interface

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """Something arrived; whatever it is, it stops nothing."""
        try:
            announcement = parse_announcement(datagram)
        except MalformedMessage as error:
            _log.debug("Ignored a datagram from {peer}: {error}", peer=addr[0], error=error)
            return
        self._discovery.answered(self, announcement, addr)

    def send(self, datagram: bytes, host: str, port: int) -> None:
        """Send one datagram; a network that is down is no reason to stop."""
        if self.transport is None:
            return
        try:
            self.transport.write(datagram, (host, port))
        except OSError as error:
            _log.debug("Could not send to {host}: {error}", host=host, error=error)


class Discovery(Service):
    """Probes interfaces and targets, feeds the fleet, invites V1 printers to the broker's port."""

    def __init__(
        self,
        reactor: Reactor,
        settings: config.Discovery,
        beforehand: Iterable[str],
        fleet: Fleet,
        links: Links,
        broker_port: Callable[[], int],
        enumerate_interfaces: Callable[[Iterable[str]], list[Interface]],
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._targets = (*settings.targets, *beforehand)
        self._fleet = fleet
        self._links = links
        self._broker_port = broker_port
        self._enumerate = enumerate_interfaces
        self._eyes: dict[str, _Eye] = {}
        self._wide: _Eye | None = None
        self._ports: dict[str, int] = {}
        self._custodies: dict[str, Custody] = {}
        self._warned: set[str] = set()
        self._answers: dict[str, Few] = {}
        self._claims = Few(reactor.seconds)
        self._lies = Few(reactor.seconds)
        self._flips = Few(reactor.seconds)
        self._impostors: set[tuple[str, str]] = set()
        self._full = False
        self._probing = LoopingCall(self.probe)
        self._missing = LoopingCall(self._probe_missing)
        self._probing.clock = self._missing.clock = reactor
        self._calls: list[IDelayedCall] = []
        self._unsubscribe: Callable[[], None] = lambda: None

    @property
    def listening(self) -> list[str]:
        """The local ``address:port`` of each socket."""
        hosts = [eye.transport.getHost() for eye in self._all() if eye.transport is not None]
        return [f"{host.host}:{host.port}" for host in hosts]

    def _all(self) -> list[_Eye]:
        return [*self._eyes.values(), *([self._wide] if self._wide is not None else [])]

    def startService(self) -> None:
        """Open the sockets and ask, several times at first."""
        super().startService()
        self._unsubscribe = self._fleet.subscribe(self._changed)
        for delay in FIRST_PROBES[1:]:
            self._calls.append(self._reactor.callLater(delay, self.probe))
        self._probing.start(self._settings.interval)
        self._missing.start(MISSING_INTERVAL, now=False)

    def stopService(self) -> Deferred[None]:
        """Close every socket."""
        super().stopService()
        self._unsubscribe()
        for looping in (self._probing, self._missing):
            if looping.running:
                looping.stop()
        for call in self._calls:
            if call.active():
                call.cancel()
        self._calls.clear()
        closing = [maybeDeferred(eye.transport.stopListening) for eye in self._all() if eye.transport is not None]
        self._eyes.clear()
        self._wide = None
        return DeferredList(closing).addCallback(lambda _: None)

    def _changed(self, before: Printer | None, after: Printer) -> None:
        was_online = before is not None and before.reachability is Reachability.ONLINE
        if after.reachability is Reachability.ONLINE and not was_online:
            self._warned.discard(after.id)
            if self._custody(after.id).connected(self._reactor.seconds()):
                self._fleet.happened(after.id, "back", {})
        elif was_online and after.id not in self._links:
            self._custody(after.id).lost(self._reactor.seconds())
            self._later(GRACE, self._ask, after.id)

    def _custody(self, mainboard_id: str) -> Custody:
        if mainboard_id not in self._custodies:
            printer = self._fleet.find(mainboard_id)  # what comes back from an earlier life was connected then
            known = printer is not None and bool(printer.address) and self._fleet.heard(mainboard_id) is None
            self._custodies[mainboard_id] = Custody(known=known)
        return self._custodies[mainboard_id]

    def _later(self, delay: float, what: Callable[..., None], *arguments: object) -> None:
        self._calls = [call for call in self._calls if call.active()]
        self._calls.append(self._reactor.callLater(delay, what, *arguments))

    # -- asking ----------------------------------------------------------------------------------------------

    def probe(self) -> None:
        """Ask everybody: each interface's network, and each configured target."""
        self._open_eyes()
        port = self._settings.port
        for eye in self._eyes.values():
            if eye.interface is not None and eye.interface.broadcast:
                eye.send(PROBE, eye.interface.broadcast, port)
                if not ipaddress.IPv4Address(eye.interface.address).is_loopback:
                    eye.send(PROBE, "255.255.255.255", port)
        self._sweep(self._each_target())

    def _open_eyes(self) -> None:
        try:
            interfaces = self._enumerate(self._settings.interfaces)
        except OSError as error:
            _log.warn("Cannot list the interfaces of this machine: {error}", error=error)
            interfaces = [eye.interface for eye in self._eyes.values() if eye.interface is not None]
        found = {interface.address: interface for interface in interfaces}
        for address, eye in list(self._eyes.items()):
            if eye.interface != found.get(address) or eye.transport is None:
                del self._eyes[address]
                if eye.transport is not None:
                    eye.transport.stopListening()
        if self._wide is None or self._wide.transport is None:
            self._wide = self._open(None)
        for address, interface in found.items():
            if address not in self._eyes and (opened := self._open(interface)) is not None:
                self._eyes[address] = opened
                _log.info("Looking for printers on {name} ({address})", name=interface.name, address=address)

    def _open(self, interface: Interface | None) -> _Eye | None:
        eye = _Eye(self, interface)
        address = interface.address if interface is not None else ""
        try:
            port = self._reactor.listenUDP(0, eye, address, 65536)
        except CannotListenError as error:
            _log.warn("Cannot look for printers on {address}: {error}", address=address or "any", error=error)
            return None
        if interface is not None:
            IUDPTransport(port).setBroadcastAllowed(True)
        return eye

    def _each_target(self) -> Iterator[tuple[str, int]]:
        for target in self._targets:
            host, _, port = target.partition(":")
            network = ipaddress.IPv4Network(host, strict=False)
            for address in network.hosts():
                yield str(address), int(port or self._settings.port)

    def _sweep(self, targets: Iterator[tuple[str, int]]) -> None:
        if self._wide is None:
            return
        batch = list(islice(targets, SLICE))
        for host, port in batch:
            self._wide.send(PROBE, host, port)
        if len(batch) == SLICE:
            self._later(0.02, self._sweep, targets)

    def _probe_missing(self) -> None:
        for printer in self._fleet:
            if printer.reachability is not Reachability.ONLINE:
                self._ask(printer.id)

    def _ask(self, mainboard_id: str) -> None:
        printer = self._fleet.find(mainboard_id)
        if printer is not None and printer.address and self._wide is not None:
            self._wide.send(PROBE, printer.address, self._ports.get(printer.id, self._settings.port))

    def adopt(self, mainboard_id: str) -> None:
        """Invite a printer because a person asked for it, whoever has it now and whatever it does.

        Raises ``PrinterOffline`` if it has not been heard of lately, ``NotNow`` if it is none that can be invited.
        """
        printer = self._fleet[mainboard_id]
        if printer.generation is not Generation.V1:
            raise NotNow(f"{printer.name} speaks no SDCP V1; nobody can own it.", "There is nothing to adopt.")
        if printer.reachability is Reachability.OFFLINE:
            raise PrinterOffline(
                f"{printer.name} is offline: it does not answer.", "Switch it on and wait until it is shown again."
            )
        if printer.reachability is Reachability.ONLINE:
            return
        _log.info("{id} is asked to come here, because somebody wants it", id=printer.id)
        self._custody(printer.id).adopt()
        self._ask(printer.id)  # its answer tells which way the invitation has to take

    # -- answers ---------------------------------------------------------------------------------------------

    def answered(self, eye: _Eye, announcement: Announcement, peer: tuple[str, int]) -> None:
        """A printer has answered a probe from ``peer``."""
        address = peer[0]
        before = self._fleet.find(announcement.mainboard_id)
        if before is not None and before.id in self._links and before.address != address:
            self._claimed_twice(before, address)
            return
        if before is None and len(self._fleet) >= MOST:
            self._too_many(address)
            return
        if not self._answers.setdefault(announcement.mainboard_id, Few(self._reactor.seconds, ANSWERS, 1.0)).may():
            return
        self._ports[announcement.mainboard_id] = peer[1]
        custody = self._custody(announcement.mainboard_id)
        self._witness(before, announcement, address)
        printer = self._fleet.announced(announcement, address)
        owner = self._foreign_owner(announcement)
        if printer.id in self._links and not (owner and self._silent(printer.id, owner)):
            return
        reachability = Reachability.ELSEWHERE if owner else Reachability.STALE
        recovered = printer.reachability is Reachability.ELSEWHERE and not owner
        if recovered or (before is not None and before.generation is not printer.generation):
            self._fleet.explain(printer.id, None)
        if owner and printer.reachability is not Reachability.ELSEWHERE:
            # First the reason: whoever waits for the change is woken by it, and wants to know who has the printer.
            self._fleet.explain(printer.id, _owned(printer, owner, in_vain=False))
        printer = self._fleet.change(printer.id, status=announcement.status, reachability=reachability)
        if printer.generation is Generation.V1:
            self._advised(custody, eye, printer, peer, owner)
        else:
            version = announcement.protocol or "another protocol"
            self._fleet.explain(printer.id, f"It speaks {version}, which this version of sdcpd lists but cannot use.")

    def _silent(self, mainboard_id: str, owner: str) -> bool:
        """Whether a connection that says nothing any more was left for another one; then it is ended."""
        session = self._links.session(mainboard_id)
        if session.silence >= SILENCE:
            session.close(f"the printer has gone to {owner}")
        return mainboard_id not in self._links

    def _advised(self, custody: Custody, eye: _Eye, printer: Printer, peer: tuple[str, int], owner: str) -> None:
        """Do what follows from the answer of a V1 printer that is not connected."""
        now = self._reactor.seconds()
        port = self._broker_port()
        advice = custody.answered(now, owner, printer.phase not in (Phase.IDLE, Phase.ATTENTION))
        if owner:
            self._fleet.explain(printer.id, _owned(printer, owner, advice.in_vain))
        if advice.taken:
            _log.warn("{id} was taken over by {owner}", id=printer.id, owner=owner)
            self._fleet.happened(printer.id, "taken_over", {"owner": owner})
        if not port:
            return  # the broker is just being replaced
        if advice.in_vain and not owner:
            self._in_vain(eye, printer, peer, port)
        if advice.invite:
            eye.send(invitation(port), *peer)
            custody.invited(now)
            _log.debug("Invited {id} to port {port}", id=printer.id, port=port)

    def _claimed_twice(self, printer: Printer, address: str) -> None:
        """The connected printer stays what it is; if it has moved, its old connection soon falls silent."""
        if (printer.id, address) in self._impostors or not self._claims.may():
            return
        if len(self._impostors) >= MOST:
            self._impostors.clear()
        self._impostors.add((printer.id, address))
        _log.warn(
            "{address} says it is {id}, which is connected from {ours}; ignored",
            address=address,
            id=printer.id,
            ours=printer.address,
        )

    def _too_many(self, address: str) -> None:
        if not self._full:
            _log.warn("More printers than a fleet may have; those from {address} on are ignored", address=address)
        self._full = True

    def _witness(self, known: Printer | None, announcement: Announcement, address: str) -> None:
        told = announcement.mainboard_ip
        news = known is None or known.announcement.mainboard_ip != told or known.address != address
        if news and told and told != address and self._lies.may():
            _log.warn(
                "{id} answers from {address} but says it is {told}; the address it answers from is used",
                id=announcement.mainboard_id,
                address=address,
                told=told,
            )
        flipped = known is not None and known.announcement.protocol not in ("", announcement.protocol)
        if known is not None and flipped and self._flips.may():
            _log.warn(
                "{id} now says {new} instead of {old}; the last word counts",
                id=announcement.mainboard_id,
                new=announcement.protocol,
                old=known.announcement.protocol,
            )

    def _foreign_owner(self, announcement: Announcement) -> str:
        owner = owner_of(announcement.sdcp_status, announcement.local_sdcp_address)
        host, _, port = owner.rpartition(":")
        return "" if port == str(self._broker_port()) and self._is_ours(host) else owner

    def _is_ours(self, host: str) -> bool:
        try:
            address = ipaddress.IPv4Address(host)
        except ValueError:
            return False
        return address.is_loopback or any(str(address) == interface.address for interface in self._enumerate(("auto",)))

    def _in_vain(self, eye: _Eye, printer: Printer, peer: tuple[str, int], port: int) -> None:
        ours = eye.interface.address if eye.interface is not None else local_address_towards(*peer)
        self._fleet.explain(
            printer.id,
            f"The printer answers by UDP but does not connect to TCP port {port} at {ours}. Firewall? "
            f"Let {printer.address} reach that port on this machine.",
        )
        if printer.id not in self._warned:
            self._warned.add(printer.id)
            _log.warn(
                "{id} at {address} does not connect to port {port} at {ours}: firewall?",
                id=printer.id,
                address=printer.address,
                port=port,
                ours=ours,
            )
            self._fleet.happened(printer.id, "unreachable_back", {"port": port, "address": ours})


def _owned(printer: Printer, owner: str, in_vain: bool) -> str:
    asked = f" It was invited {INVITATIONS} times and did not come." if in_vain else ""
    return (
        f"Another program controls this printer ({owner}).{asked} Close it there, or take the printer over by "
        f"POST /v1/printers/{printer.slug}/adopt."
    )
