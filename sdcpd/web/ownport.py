"""A port of one printer's own: its tree stands at ``/`` there, for clients that cannot keep a path.

One decision: the printer's path is put before the path of each request, and all that follows is the same as
everywhere. So there is no way from such a port to another printer or to what concerns all of them, but for
``/healthz``, which says the same at every port (reference apis.md 3.2 item 2).
"""

from __future__ import annotations

import html
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource

from sdcpd.fleet import Fleet
from sdcpd.web.address import base
from sdcpd.web.answer import Answer
from sdcpd.web.mount import Mount, MountedSite
from sdcpd.web.routes import Call, Route
from sdcpd.web.way import Way

__all__ = ["OwnPortSite", "PrinterFront"]

_COMMON = frozenset({b"/healthz"})
_FRONT = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{name}</title>
<h1>{name}</h1>
<p>Programs find this printer at {base}</p>
<ul>
<li><a href="{base}/status">{base}/status</a>: the printer as mslicer tells it</li>
<li><a href="{base}/v1/updates?timeout=0">{base}/v1/updates</a>: what it does, and by long poll what changes</li>
<li><a href="{base}/api/version">{base}/api/version</a>: OctoPrint's API</li>
<li><a href="{base}/server/info">{base}/server/info</a>: Moonraker's API</li>
<li><a href="{base}/api/v1/status">{base}/api/v1/status</a>: PrusaLink's API;
{base}/sl1 for PrusaSlicer's resin profiles, {base}/prusalink for programs that ask who answers</li>
</ul>
</html>
"""


class OwnPortSite(MountedSite):
    """The factory of the connections at one printer's own port."""

    def __init__(
        self,
        slug: str,
        mount: Mount,
        resource: IResource,
        streams: Callable[[bytes, bytes], bool],
        reactor: IReactorTime,
    ) -> None:
        super().__init__(mount, resource, streams, reactor)
        self._within = f"/printers/{slug}".encode("ascii")

    def way(self, asked: bytes) -> Way:
        """Where this path leads: below the printer's own, whatever it is."""
        if asked in _COMMON or not asked.startswith(b"/"):
            return Way(asked, asked)
        return self._mount.way(asked, self._within)


class PrinterFront:
    """What a person finds who opens a printer's address in a browser."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.routes = (Route("GET", "/printers/<name>", "view", self.front, content="text/html", also=(404,)),)

    def front(self, call: Call, name: str) -> Answer:
        """Where this printer's APIs are."""
        words = {"name": self._fleet.get(name).name, "base": base(call)}
        page = _FRONT.format(**{word: html.escape(text) for word, text in words.items()})
        return Answer(200, page.encode(), "text/html; charset=utf-8")
