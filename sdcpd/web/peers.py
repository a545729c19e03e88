"""What an address may do by itself, and which address counts.

One decision: trust is by address alone, never by name, and forwarded headers count only from configured proxies, read
from the right: what a client wrote into them before it reached the proxy is worth nothing (reference apis.md 7.1, 7.2).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.web.iweb import IRequest

from sdcpd import config
from sdcpd.machine import Machine, Network
from sdcpd.scopes import granted
from sdcpd.web.client import Client

__all__ = ["FRESH", "Peers"]

FRESH = 30.0
"""Seconds for which is believed what was found out about the machine and its neighbours."""

_FORWARDED = (b"x-forwarded-for", b"x-real-ip", b"forwarded")
_LOOPBACK: tuple[Network, ...] = (ipaddress.IPv4Network("127.0.0.0/8"), ipaddress.IPv6Network("::1/128"))
_MOST = 4096
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _address(text: str) -> _Address | None:
    try:
        address = ipaddress.ip_address(text.strip().strip("[]"))
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped if mapped is not None else address


class Peers:
    """The rules of ``[access] trusted`` and ``[web] proxies``; ``look`` tells of the machine as it is now."""

    def __init__(self, look: Callable[[], Machine], clock: IReactorTime) -> None:
        self._look = look
        self._clock = clock
        self._trusted: list[tuple[str, frozenset[str]]] = []
        self._proxies: list[Network] = []
        self._known: dict[str, Client] = {}
        self._machine = Machine()
        self._looked = float("-inf")

    def configure(self, access: config.Access, web: config.Web) -> None:
        """Take over other rules."""
        self._trusted = [(network, granted(scopes)) for network, scopes in access.trusted.items()]
        self._proxies = [ipaddress.ip_network(text, strict=False) for text in web.proxies]
        self._known.clear()

    @property
    def machine(self) -> Machine:
        """This machine, as it was at most ``FRESH`` seconds ago."""
        now = self._clock.seconds()
        if now - self._looked >= FRESH:
            self._looked, self._machine = now, self._look()
            self._known.clear()
        return self._machine

    def find(self, request: IRequest) -> Client:
        """Who asks, as far as the connection tells."""
        peer = getattr(request.getClientAddress(), "host", "") or ""
        machine = self.machine
        through_proxy = bool(self._proxies) and self._is_proxy(peer)
        headers = request.requestHeaders
        told = through_proxy and headers.hasHeader(_FORWARDED[0])
        if not told and any(headers.hasHeader(name) for name in _FORWARDED):
            # Were it not for this, everybody behind a proxy on this machine would be this machine. The headers that
            # are not read come from who knows where, also through a proxy that is listed.
            return Client(peer, False, frozenset(), _counted_as(peer, machine), forwarded=True)
        if told:
            peer = self._behind_proxies(request, peer)
        client = self._known.get(peer)
        if client is None:
            if len(self._known) >= _MOST:
                self._known.clear()
            client = self._known[peer] = self._judge(peer, machine)
        return client

    def is_proxied(self, request: IRequest) -> bool:
        """Whether a configured proxy sent this: what it says about the client's request counts."""
        return self._is_proxy(getattr(request.getClientAddress(), "host", "") or "")

    def _behind_proxies(self, request: IRequest, peer: str) -> str:
        hops = [peer]
        for header in request.requestHeaders.getRawHeaders(b"x-forwarded-for") or []:
            found = header.decode("utf-8", "replace").split(",")
            hops[-1:-1] = [hop.strip() or "unknown" for hop in found]  # an empty name would be a Unix socket's
        while len(hops) > 1 and self._is_proxy(hops[-1]):
            hops.pop()
        return hops[-1]

    def _is_proxy(self, text: str) -> bool:
        address = _address(text)
        return address is not None and any(address in network for network in self._proxies)

    def _judge(self, peer: str, machine: Machine) -> Client:
        # Whoever may open a Unix socket of ours is on this machine.
        address = _address(peer) if peer else ipaddress.IPv4Address("127.0.0.1")
        if address is None:
            return Client(peer, False, frozenset(), peer)
        scopes: frozenset[str] = frozenset()
        for place, given in self._trusted:
            if any(address in network for network in _networks(place, machine)):
                scopes |= given
        return Client(peer, address.is_loopback, scopes, _counted_as(peer, machine))


def _networks(place: str, machine: Machine) -> tuple[Network, ...]:
    if place == config.LOOPBACK:
        return _LOOPBACK
    if place == config.LOCAL:
        return machine.networks
    return (ipaddress.ip_network(place, strict=False),)


def _counted_as(peer: str, machine: Machine) -> str:
    """A neighbour by its address, for all neighbours share a /64; from further away an IPv6 host has one to itself."""
    address = _address(peer)
    if isinstance(address, ipaddress.IPv6Address) and not any(address in network for network in machine.networks):
        return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))
    return peer if address is None else str(address)
