"""The printer's HTTP client, byte by byte."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.simulator.download import Exchange, FetchFailed, Pace, Reply, Request
from sdcpd.simulator.simtime import SimTime


class Wire(StringTransport):
    """A transport that can be reset and says whether it reads."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


class ExchangeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.body = b""

    def ask(self, method: str = "GET", rate: float = 1e9, **headers: str) -> Deferred[Reply]:
        time = SimTime(self.clock, 1.0)
        request = Request(method, "127.20.0.1", 8081, "/a.goo", headers)
        self.exchange = Exchange(request, Pace(time, rate), self.take, time)
        self.wire = Wire()
        self.exchange.makeConnection(self.wire)
        return self.exchange.done

    def take(self, data: bytes) -> None:
        self.body += data

    def answer(self, data: bytes) -> None:
        self.exchange.dataReceived(data)

    def test_request(self) -> None:
        """The request is plain HTTP/1.1 with Host, and the headers asked for."""
        self.ask(Range="bytes=5-")
        head = self.wire.value().split(b"\r\n")
        self.assertEqual(head[:2], [b"GET /a.goo HTTP/1.1", b"Host: 127.20.0.1:8081"])
        self.assertIn(b"Range: bytes=5-", head)
        self.assertEqual(head[-2:], [b"", b""])

    def test_every_cut(self) -> None:
        """The reply is understood however it is cut into pieces."""
        reply = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nEtag: x\r\n\r\nhello"
        for cut in range(len(reply)):
            self.body = b""
            done = self.ask()
            self.answer(reply[:cut])
            self.answer(reply[cut:])
            result = self.successResultOf(done)
            self.assertEqual((self.body, result.status, result.length, result.received), (b"hello", 200, 5, 5))

    def test_head(self) -> None:
        """A reply to HEAD ends with its head."""
        done = self.ask("HEAD")
        self.answer(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")
        self.assertEqual(self.successResultOf(done).length, 5)

    def test_until_close(self) -> None:
        """A body without a length ends with the connection."""
        done = self.ask()
        self.answer(b"HTTP/1.0 200 OK\r\n\r\nhel")
        self.answer(b"lo")
        self.assertNoResult(done)
        self.exchange.connectionLost()
        self.assertEqual((self.successResultOf(done).length, self.body), (None, b"hello"))

    def test_chunked(self) -> None:
        """A chunked reply is recognised and not read."""
        done = self.ask()
        self.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
        self.assertTrue(self.successResultOf(done).chunked)
        self.assertEqual(self.body, b"")

    def test_refused(self) -> None:
        """The body of an error is not taken for the file."""
        done = self.ask()
        self.answer(b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nsorr")
        self.assertEqual((self.successResultOf(done).status, self.body), (404, b""))

    def test_short(self) -> None:
        """A connection that closes too early is a failure."""
        done = self.ask()
        self.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel")
        self.exchange.connectionLost()
        self.failureResultOf(done, FetchFailed)

    def test_nonsense(self) -> None:
        """What is no HTTP is a failure."""
        for data in (b"\r\n\r\n", b"hello\r\n\r\n", b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", b"x" * 20_000):
            done = self.ask()
            self.answer(data)
            self.failureResultOf(done, FetchFailed)
            self.assertTrue(self.wire.aborted)

    def test_patience(self) -> None:
        """Twenty seconds without a byte are a failure."""
        done = self.ask()
        self.answer(b"HTTP/1.1 200 OK\r\n")
        self.clock.advance(19)
        self.answer(b"Content-Length: 5\r\n\r\nhel")
        self.clock.advance(19)
        self.assertNoResult(done)
        self.clock.advance(1)
        self.failureResultOf(done, FetchFailed)

    def test_rate(self) -> None:
        """A fast sender is held back to the rate."""
        self.ask(rate=1000)
        self.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 2000)
        self.assertEqual(self.wire.producerState, "paused")
        self.clock.advance(1.9)
        self.assertEqual(self.wire.producerState, "paused")
        self.clock.advance(0.2)
        self.assertEqual(self.wire.producerState, "producing")

    def test_sink_refuses(self) -> None:
        """A sink that has enough resets the connection."""

        def enough(data: bytes) -> None:
            raise FetchFailed("enough")

        self.take = enough  # type: ignore[method-assign]  # the sink of this test
        done = self.ask()
        self.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel")
        self.failureResultOf(done, FetchFailed)
        self.assertTrue(self.wire.aborted)

    def test_cancel(self) -> None:
        """A cancelled request resets the connection."""
        done = self.ask()
        done.cancel()
        self.failureResultOf(done)
        self.assertTrue(self.wire.aborted)
        self.assertEqual(self.clock.getDelayedCalls(), [])
