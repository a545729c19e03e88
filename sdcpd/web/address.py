"""At which address this client sees the printer that it talks to: what absolute URLs in answers begin with.

One decision: the address is built from the request itself, the way the client wrote it, and never from a guess in the
configuration; so it is right under every name, through every port and below a printer's path. What a proxy says of
itself counts only where the proxy is configured (reference apis.md 3.2 item 6, 7.1).
"""

from __future__ import annotations

import re
from typing import cast
from urllib.parse import quote, unquote_to_bytes

from twisted.internet.address import IPv4Address, IPv6Address

from sdcpd.web.browsers import HOST
from sdcpd.web.routes import Call
from sdcpd.web.site import Request
from sdcpd.web.way import PREFIX

__all__ = ["base", "here"]

_OUTSIDE = re.compile(r"(?:/[\w.~!$&'()*+,;=:@%-]+)+", re.ASCII)
_LONGEST = 200


def base(call: Call) -> str:
    """The URL of the tree that the request is in, without a slash at its end: ``http://hub:8080/printers/saturn``.

    At the root and on a printer's own port nothing follows the host, but for what a configured proxy has taken away
    from the path (``X-Forwarded-Prefix``, ``X-Script-Name``). Such a proxy also tells the scheme and the host that
    the client used (``X-Forwarded-Proto``, ``X-Forwarded-Host``); of several values the last is the proxy's own.
    """
    named = None if call.way.within or call.way.is_meant else PREFIX.match(call.way.path)
    return _root(call) + (_written(named[0]) if named is not None else "")


def here(call: Call) -> str:
    """The URL that the request itself went to, without its query."""
    return _root(call) + _written(call.way.asked)


def _root(call: Call) -> str:
    request = cast(Request, call.request)
    scheme, host, outside = "https" if request.isSecure() else "http", call.header("host").strip(), ""
    if call.is_proxied:
        told = _told(call, "x-forwarded-proto").casefold()
        scheme = told if told in ("http", "https") else scheme
        told = _told(call, "x-forwarded-host")
        host = told if HOST.fullmatch(told.casefold()) else host
        told = (_told(call, "x-forwarded-prefix") or _told(call, "x-script-name")).rstrip("/")
        outside = told if len(told) <= _LONGEST and _OUTSIDE.fullmatch(told) else ""
    return f"{scheme}://{host or _own(request)}{outside}"


def _written(path: bytes) -> str:
    return quote(unquote_to_bytes(path))


def _told(call: Call, header: str) -> str:
    return call.header(header).rpartition(",")[2].strip()


def _own(request: Request) -> str:
    """Where the connection ends, for a client of HTTP/1.0 that does not say what it calls us."""
    address = request.getHost()
    if isinstance(address, IPv6Address):
        return f"[{address.host.partition('%')[0]}]:{address.port}"
    return f"{address.host}:{address.port}" if isinstance(address, IPv4Address) else "localhost"
