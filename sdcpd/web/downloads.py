"""The port from which printers fetch their files, and nothing else.

One decision: a path is good for one file, one printer's address and the time of one delivery; whoever else asks
hears 403 or 404, and nothing here can be listed or guessed. Nobody has anything to send here: a body is refused
before it is read. The paths are secrets, so no log line of this port has anything of one. Few strangers are listened
to at all, so that whoever keeps connections open here takes none away from printers.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.internet.interfaces import IAddress, IReactorTime, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import Request as AnyRequest
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET

from sdcpd.logs import Few, logger
from sdcpd.offers import Offer, Offers
from sdcpd.web.serve import ServedFile
from sdcpd.web.site import Channel, Request, Site

__all__ = ["DownloadsSite"]

_HINT = "Printers fetch here what a job offers them; everything else is on the daemon's web port."
PER_ADDRESS = 16
"""Connections of one address for each file offered there: a printer needs one, and more while broken ones are not
known to be; and behind a router with NAT several printers have one address."""
STRANGERS = 64
"""Connections of all addresses to which nothing is offered; they only come to hear that."""
_log = logger("sdcpd.web.downloads")


def _host(address: object) -> str:
    """The peer as offers name it."""
    return str(getattr(address, "host", "")).removeprefix("::ffff:")


class _Request(Request):
    channel: _Channel

    def process(self) -> None:
        """Refuse whatever cannot be a download, whoever asks."""
        if self.method in (b"GET", b"HEAD"):
            super().process()
        else:
            message = "Only GET and HEAD are possible here."
            self.refuse(405, "method_not_allowed", message, _HINT, Allow="GET, HEAD")

    def refuse_body(self) -> None:
        """No body is small enough."""
        self.refuse(413, "body_too_large", "Requests to this port have no body; this one has.", _HINT)

    def __repr__(self) -> str:
        return f"<Request {self.method.decode('ascii', 'replace')} ***>"


class _Channel(Channel):
    """A printer's connection. An offer can break it off until it is gone, for bytes may wait in it to the end."""

    site: DownloadsSite
    transport: ITCPTransport

    def connectionMade(self) -> None:
        """Twisted: somebody is here."""
        super().connectionMade()
        self._fetched: set[Offer] = set()
        self._peer = _host(self.transport.getPeer())
        self.site.open[self._peer] += 1

    def fetches(self, offer: Offer) -> None:
        """The file of this offer goes over this connection."""
        self._fetched.add(offer)
        offer.opened(self.abort)

    def abort(self) -> None:
        """Reset the connection: what has not arrived never will."""
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Twisted: the connection is gone."""
        for offer in self._fetched:
            offer.closed(self.abort)
        self.site.open -= Counter((self._peer,))
        super().connectionLost(reason)


class _Refused(Resource):
    isLeaf = True

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__()
        self._refusal = (status, code, message)

    def render(self, request: IRequest) -> int:
        """The same short error for everybody."""
        assert isinstance(request, Request)
        request.refuse(*self._refusal, _HINT)
        return NOT_DONE_YET


class _Root(Resource):
    """Looks offers up by their token."""

    def __init__(self, offers: Offers, few: Few) -> None:
        super().__init__()
        self._offers = offers
        self._few = few

    def getChild(self, path: bytes, request: IRequest) -> IResource:
        """The file of this token, if it is offered to the one who asks."""
        assert isinstance(request, _Request)
        offer = self._offers.find(path.decode("ascii", "replace"))
        if offer is None or request.postpath:
            return _Refused(404, "not_found", "There is no such file here, or its delivery is over.")
        peer = _host(request.getClientAddress())
        if peer != offer.address:
            if self._few.may():
                _log.warn("{peer} asked for a file that is offered to {printer}", peer=peer, printer=offer.address)
            return _Refused(403, "forbidden", "This file is offered to another address.")
        request.channel.fetches(offer)
        offer.watcher.requested()
        return ServedFile(str(offer.path), offer.token[:32], offer.token, offer.watcher)


class DownloadsSite(Site):
    """The printers' file server."""

    max_body = 0
    protocol = _Channel
    requestFactory = _Request

    def __init__(self, offers: Offers, reactor: IReactorTime) -> None:
        self._offers = offers
        self._crowd = Few(reactor.seconds)
        self.open: Counter[str] = Counter()
        """Connections by peer."""
        super().__init__(_Root(offers, Few(reactor.seconds)), lambda method, path: False, reactor)

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Twisted: a connection; None closes it at once."""
        peer = _host(addr)
        offered = self._offers.count(peer)
        if self.open[peer] < PER_ADDRESS * max(offered, 1) and (offered or self._strangers() < STRANGERS):
            return super().buildProtocol(addr)
        if self._crowd.may():
            _log.warn("Too many connections to the printers' downloads; one from {peer} was closed at once", peer=peer)
        return None

    def _strangers(self) -> int:
        return sum(count for peer, count in self.open.items() if not self._offers.count(peer))

    def log(self, request: AnyRequest) -> None:
        """Nothing: the paths are secrets."""
