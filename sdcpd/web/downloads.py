"""The port from which printers fetch their files, and nothing else.

One decision: a path is good for one file, one printer's address and the time of one delivery; whoever else asks
hears 403 or 404, and nothing here can be listed or guessed (DESIGN.md section 6).
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource, Resource
from twisted.web.server import Site

from sdcpd.logs import logger
from sdcpd.offers import Offers
from sdcpd.web.serve import ServedFile

__all__ = ["DownloadsSite"]

IDLE = 60
"""Seconds after which a connection without a request is closed."""

_log = logger("sdcpd.web.downloads")


class _Refused(Resource):
    isLeaf = True

    def __init__(self, status: int, text: bytes) -> None:
        super().__init__()
        self._status = status
        self._text = text

    def render(self, request: IRequest) -> bytes:
        """The same short text for every method."""
        request.setResponseCode(self._status)
        request.setHeader(b"content-type", b"text/plain; charset=utf-8")
        request.setHeader(b"x-content-type-options", b"nosniff")
        if self._status == 405:
            request.setHeader(b"allow", b"GET, HEAD")
        request.setHeader(b"content-length", b"%d" % len(self._text))
        return self._text


class _Root(Resource):
    """Looks offers up by their token."""

    def __init__(self, offers: Offers) -> None:
        super().__init__()
        self._offers = offers

    def getChild(self, path: bytes, request: IRequest) -> IResource:
        """The file of this token, if it is offered to the one who asks."""
        offer = self._offers.find(path.decode("ascii", "replace"))
        if offer is None or request.postpath:
            return _Refused(404, b"There is no such file here, or its delivery is over.\n")
        peer = getattr(request.getClientAddress(), "host", "").removeprefix("::ffff:")
        if peer != offer.address:
            _log.warn("{peer} asked for a file that is offered to {printer}", peer=peer, printer=offer.address)
            return _Refused(403, b"This file is offered to another address.\n")
        if request.method not in (b"GET", b"HEAD"):
            return _Refused(405, b"Only GET and HEAD are possible here.\n")
        offer.watcher.requested()
        return ServedFile(str(offer.path), offer.token[:32], offer.token, offer.watcher)


class DownloadsSite(Site):
    """The printers' file server."""

    noisy = False

    def __init__(self, offers: Offers, reactor: IReactorTime) -> None:
        super().__init__(_Root(offers), reactor=reactor, timeout=IDLE)

    def log(self, request: object) -> None:
        """Nothing: the paths are secrets."""
