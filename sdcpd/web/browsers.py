"""What browsers are held to, because they do what any page tells them: Host, Origin, CORS.

One decision: an address is an authority that every page opened on a trusted machine would share. So a Host that is not
ours is refused (DNS rebinding), every change that another site's page asks for is refused whoever carries it, and no
page of another site may read an answer unless ``[web] origins`` lists it (reference apis.md 7.1).
"""

from __future__ import annotations

import ipaddress
import re

from twisted.web.iweb import IRequest

from sdcpd import config
from sdcpd.machine import Machine
from sdcpd.web.answer import Answer, header_of
from sdcpd.web.errors import Refusal

__all__ = ["HOST", "Browsers"]

_SAFE = frozenset({b"GET", b"HEAD", b"OPTIONS"})
HOST = re.compile(r"(\[[0-9a-f:.%]+\]|[^\W.][\w-]{0,62}(?:\.[\w-]{1,63})*\.?)(?::[0-9]{0,5})?")
"""A Host in lower case: a name or an address, with or without a port."""
_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
_HEADERS = (
    "X-Api-Key, Authorization, Content-Type, If-None-Match, If-Range, Range, Prefer, Idempotency-Key,"
    " Overwrite, Print-After-Upload, Create-Folder, Force"
)
"""What a listed page may send: whatever some route reads."""
_EXPOSED = b"ETag, Location, Content-Disposition, Content-Range, Retry-After, X-Sdcpd-Cursor, X-Sdcpd-Layer"


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


class Browsers:
    """The rules of ``[web] hosts`` and ``origins``."""

    def configure(self, web: config.Web) -> None:
        """Take over other rules."""
        self._hosts = frozenset(host.casefold() for host in web.hosts)
        self._origins = frozenset(origin.casefold().rstrip("/") for origin in web.origins)
        self._familiar: set[str] = set()

    def check(self, request: IRequest, machine: Machine) -> None:
        """Raise the ``Refusal`` of a request that names another host, or that another site's page makes."""
        self._check_host(request, machine)
        if request.method not in _SAFE:
            self.check_page(request)

    def _check_host(self, request: IRequest, machine: Machine) -> None:
        headers = request.requestHeaders.getRawHeaders(b"host") or []
        if len(headers) != 1:
            if not headers and getattr(request, "clientproto", b"") != b"HTTP/1.1":
                return  # no browser
            raise Refusal(400, "bad_request", f"Expected one Host header, found {len(headers)}.", "Check the client.")
        header = headers[0].decode("utf-8", "replace")
        if header in self._familiar:
            return
        host = header.casefold().strip()
        found = HOST.fullmatch(host)
        if host and not found:
            raise Refusal(400, "bad_request", "The Host is no name and no address.", "Check the address.")
        name = found[1] if found else ""
        if not self._is_ours(name, machine) and name not in self._hosts and host not in self._hosts:
            raise Refusal(
                421,
                "foreign_host",
                f"This server is not known under the name {name[:100]!r}.",
                "Use its address, or add the name to [web] hosts.",
            )
        if len(self._familiar) >= 256:
            self._familiar.clear()
        self._familiar.add(header)

    @staticmethod
    def _is_ours(name: str, machine: Machine) -> bool:
        """Addresses and names that nobody outside can point here: a page's own name is never one of them."""
        local = name == "localhost" or name.endswith((".localhost", ".local")) or "." not in name
        return local or name.rstrip(".") in machine.names or _is_address(name)

    def check_page(self, request: IRequest) -> None:
        """Raise the ``Refusal`` of a request that another site's page makes, whatever its method."""
        origin = header_of(request, "origin")
        site = header_of(request, "sec-fetch-site")
        if origin is not None:
            host = (header_of(request, "host") or "").casefold()
            own = origin.casefold().partition("://")[2] == host
            if (own and host) or self._listed(origin):
                return
        elif site in (None, "same-origin", "none"):
            return
        raise _foreign(origin or site or "")

    def _listed(self, origin: str) -> bool:
        return origin.casefold().rstrip("/") in self._origins

    def headers(self, request: IRequest) -> tuple[tuple[bytes, bytes], ...]:
        """The headers with which a listed page may read the answer; never with credentials."""
        if not self._origins:
            return ()
        origin = header_of(request, "origin")
        if origin is None or not self._listed(origin):
            return ((b"vary", b"Origin"),)
        return (
            (b"vary", b"Origin"),
            (b"access-control-allow-origin", origin.encode("utf-8")),
            (b"access-control-expose-headers", _EXPOSED),
        )

    def preflight(self, request: IRequest) -> Answer | None:
        """The answer to a browser that asks whether a page may ask; None if that is not what it is."""
        origin = header_of(request, "origin")
        if origin is None or header_of(request, "access-control-request-method") is None:
            return None
        if not self._listed(origin):
            raise _foreign(origin)
        allowed = {"Access-Control-Allow-Methods": _METHODS, "Access-Control-Allow-Headers": _HEADERS}
        if header_of(request, "access-control-request-private-network") == "true":
            allowed["Access-Control-Allow-Private-Network"] = "true"
        return Answer(204, headers={**allowed, "Access-Control-Max-Age": "600"})


def _foreign(who: str) -> Refusal:
    return Refusal(
        403,
        "foreign_origin",
        f"A page of another site ({who[:100]}) may not change anything here.",
        "If that site is yours, add it to [web] origins.",
    )
