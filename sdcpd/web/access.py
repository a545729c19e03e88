"""Who may do what, decided before anything else is looked at.

One decision, for now: loopback may do everything, and any other address what ``[access] trusted`` gives it.
Browsers are held to more: a Host that is not ours is refused (DNS rebinding), and so is a change that another
site's page asks for, because an address is an authority that every page opened on the machine would share.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from twisted.web.iweb import IRequest

from sdcpd import config
from sdcpd.scopes import SCOPES
from sdcpd.web.answer import header_of
from sdcpd.web.errors import Refusal

__all__ = ["Access", "Client"]

_SAFE = frozenset({b"GET", b"HEAD", b"OPTIONS"})
_NAME = re.compile(r"\[[0-9a-f:.%]+\]|[^\W.]([\w-]{0,62})(\.[\w-]{1,63})*\.?")
_FORWARDED = (b"x-forwarded-for", b"x-real-ip", b"forwarded")
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _networks(texts: Iterable[str]) -> list[_Network]:
    return [ipaddress.ip_network(text, strict=False) for text in texts]


def _address(text: str) -> _Address | None:
    try:
        address = ipaddress.ip_address(text.strip().strip("[]"))
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped if mapped is not None else address


class Client:
    """Who asks: an address, and what it may do."""

    __slots__ = ("address", "is_loopback", "scopes")

    def __init__(self, address: str, is_loopback: bool, scopes: frozenset[str]) -> None:
        self.address = address
        self.is_loopback = is_loopback
        self.scopes = scopes

    @property
    def name(self) -> str:
        """Who it is, for people: kept with what was asked for."""
        return self.address or "this machine"


_FORWARDER = Client("of an unknown proxy", False, frozenset())


class Access:
    """The rules of ``[access]`` and ``[web]``, replaced whole at a reload."""

    def __init__(self, access: config.Access, web: config.Web) -> None:
        self.configure(access, web)

    def configure(self, access: config.Access, web: config.Web) -> None:
        """Take over other rules."""
        self._trusted = [
            (ipaddress.ip_network(network, strict=False), frozenset(scopes))
            for network, scopes in access.trusted.items()
        ]
        self._hosts = frozenset(host.casefold() for host in web.hosts)
        self._origins = frozenset(origin.casefold().rstrip("/") for origin in web.origins)
        self._proxies = _networks(web.proxies)
        self._known: dict[str, Client] = {}
        self._familiar: set[str] = set()

    def client(self, request: IRequest) -> Client:
        """Who asks, by the connection; forwarded headers count only from configured proxies."""
        peer = getattr(request.getClientAddress(), "host", "") or ""
        if not self._is_proxy(peer) and any(request.requestHeaders.hasHeader(name) for name in _FORWARDED):
            return _FORWARDER  # or everybody behind a proxy on this machine would be this machine
        if self._proxies:
            peer = self._behind_proxies(request, peer)
        client = self._known.get(peer)
        if client is None:
            if len(self._known) > 4096:
                self._known.clear()
            client = self._known[peer] = self._judge(peer)
        return client

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

    def _judge(self, peer: str) -> Client:
        address = _address(peer)
        if address is None:  # a Unix socket: the file system decides who may connect
            return Client(peer, not peer, frozenset(SCOPES) if not peer else frozenset())
        if address.is_loopback:
            return Client(peer, True, frozenset(SCOPES))
        scopes: frozenset[str] = frozenset()
        for network, given in self._trusted:
            if address in network:
                scopes |= given
        return Client(peer, False, scopes)

    def check(self, request: IRequest, scope: str | None) -> Client:
        """Let the request pass or raise the ``Refusal`` that it gets; ``scope`` None needs no permission."""
        self._check_host(request)
        if request.method not in _SAFE:
            self._check_origin(request)
        client = self.client(request)
        if scope is not None and scope not in client.scopes:
            raise Refusal(
                403,
                "forbidden",
                f"Your address {client.address} may not do this: it needs the scope {scope!r}.",
                "An administrator can list the proxy under [web] proxies."
                if client is _FORWARDER
                else "An administrator can grant it to your network under [access] trusted.",
            )
        return client

    def _check_host(self, request: IRequest) -> None:
        header = header_of(request, "host")
        if header is None:
            return  # HTTP/1.0, no browser
        if header in self._familiar:
            return
        host = header.casefold().strip()
        name = host.rpartition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
        if name and not _NAME.fullmatch(name):
            raise Refusal(400, "bad_request", "The Host is no name and no address.", "Check the address.")
        local = name == "localhost" or name.endswith((".localhost", ".local")) or "." not in name
        if _address(name) is None and not local and name not in self._hosts and host not in self._hosts:
            raise Refusal(
                421,
                "foreign_host",
                f"This server is not known under the name {name[:100]!r}.",
                "Use its address, or add the name to [web] hosts.",
            )
        if len(self._familiar) >= 256:
            self._familiar.clear()
        self._familiar.add(header)

    def _check_origin(self, request: IRequest) -> None:
        origin = header_of(request, "origin")
        site = header_of(request, "sec-fetch-site")
        if origin is not None:
            host = (header_of(request, "host") or "").casefold()
            own = origin.casefold().partition("://")[2] == host
            if (own and host) or origin.casefold().rstrip("/") in self._origins:
                return
        elif site in (None, "same-origin", "none"):
            return
        raise Refusal(
            403,
            "foreign_origin",
            f"A page of another site ({(origin or site or '')[:100]}) may not change anything here.",
            "If that site is yours, add it to [web] origins.",
        )
