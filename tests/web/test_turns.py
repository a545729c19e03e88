from __future__ import annotations

from twisted.internet.error import ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import HTTPChannel
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from sdcpd.web.site import IDLE_TIMEOUT, Channel, Request, Site
from tests.web.rig import Turns


class Desk(Resource):
    """Notes who asks, and answers with the path at once, but for ``/later``."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.later: list[IRequest] = []

    def render(self, request: IRequest) -> bytes | int:
        assert isinstance(request, Request)
        self.seen.append(request.path.decode())
        if request.path == b"/later":
            self.later.append(request)
            return NOT_DONE_YET
        request.setHeader(b"content-length", b"%d" % len(request.path))
        return request.path


def ask(*paths: str) -> bytes:
    return b"".join(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for path in paths)


class TurnsTests(SynchronousTestCase):
    """Requests of one connection that come without waiting for the answers."""

    def setUp(self) -> None:
        self.clock = Turns()
        self.desk = Desk()
        self.transport = StringTransport()
        channel = Site(self.desk, lambda method, path: method == b"PUT", self.clock).buildProtocol(None)
        assert isinstance(channel, Channel)
        self.channel = channel
        self.channel.makeConnection(self.transport)

    def test_one_in_a_turn(self) -> None:
        """A thousand requests in one packet are answered one after the other, with others' turns between."""
        paths = [f"/{number}" for number in range(1000)]
        self.channel.dataReceived(ask(*paths))
        for number in range(1000):
            self.assertEqual(self.desk.seen, paths[: number + 1])
            self.assertEqual(self.transport.producerState, "producing" if number == 999 else "paused")
            self.clock.turn()
        self.assertEqual(self.transport.value().count(b"HTTP/1.1 200"), 1000)
        self.channel.dataReceived(ask("/more"))
        self.assertEqual(self.desk.seen[1000:], ["/more"])

    def test_in_order(self) -> None:
        """What arrives while others wait comes behind them, and an answer that takes long holds up what follows it."""
        self.channel.dataReceived(ask("/a", "/later", "/b")[:-10])
        self.channel.dataReceived(ask("/b")[-10:] + ask("/c"))
        self.clock.turn(9)
        self.assertEqual(self.desk.seen, ["/a", "/later"])
        (request,) = self.desk.later
        request.finish()
        self.assertEqual(self.desk.seen, ["/a", "/later"])
        self.clock.turn(2)
        self.assertEqual(self.desk.seen, ["/a", "/later", "/b", "/c"])
        self.assertEqual(self.transport.producerState, "producing")

    def test_not_read(self) -> None:
        """Nothing is answered for a client that does not read the answers it has; it goes on when it does."""
        self.channel.dataReceived(ask(*"/" * 5))
        self.channel.pauseProducing()
        self.clock.turn(9)
        self.assertEqual(len(self.desk.seen), 1)
        for _ in range(3):
            self.channel.resumeProducing()
        self.clock.turn()
        self.assertEqual(len(self.desk.seen), 2)
        self.clock.turn(9)
        self.assertEqual(len(self.desk.seen), 5)
        self.assertEqual(self.transport.producerState, "producing")

    def test_never_read(self) -> None:
        """Who never reads the answers is cut off, with all that it asked for."""
        self.channel.dataReceived(ask(*"/" * 5))
        self.channel.pauseProducing()
        self.clock.advance(IDLE_TIMEOUT)
        self.clock.advance(self.channel.abortTimeout)
        self.assertTrue(self.transport.disconnected)
        self.channel.connectionLost(Failure(ConnectionLost()))
        self.clock.turn(9)
        self.assertEqual(len(self.desk.seen), 1)

    def test_last(self) -> None:
        """Behind a request that ends the connection nothing is answered, and an upload's bytes are no requests."""
        self.channel.dataReceived(ask("/a") + b"PUT /f HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi" + ask("/b"))
        self.clock.turn()
        self.assertEqual(self.desk.seen, ["/a", "/f"])
        self.assertTrue(self.transport.disconnecting)
        self.clock.turn()
        self.assertEqual(self.desk.seen, ["/a", "/f"])


class PrivatesTests(SynchronousTestCase):
    def test_still_there(self) -> None:
        """An update of Twisted that renames what ``TurnByTurn`` relies on is noticed here first."""
        used = {"_networkProducer", "_waitingForTransport"}
        functions = [getattr(member, "__code__", None) for member in vars(HTTPChannel).values()]
        self.assertEqual(used - {name for code in functions if code for name in code.co_names}, set())
        names = HTTPChannel.__mro__[1].dataReceived.__code__.co_names  # type: ignore[attr-defined]
        self.assertLessEqual({"_buffer", "paused"}, set(names))
