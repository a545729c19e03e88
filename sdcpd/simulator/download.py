"""The printer's HTTP side: one request on one connection, read no faster than the printer writes to its flash.

One decision: a crude HTTP/1.1 client of its own instead of a library's, because that is what a firmware has, and
because a printer must be able to stall, to reset the connection in mid-body and to ask in odd ways. Each piece of the
body goes to a sink and is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol as Seam

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IProtocol, IPushProducer, IReactorTCP, ITCPTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from sdcpd.simulator.simtime import Alarm, SimTime

__all__ = ["Exchange", "FetchFailed", "Fetcher", "HttpFetcher", "Pace", "Reply", "Request"]

_PATIENCE = 20.0  # real seconds without a byte; assumed, Q12
_HEAD_LIMIT = 16_384


class FetchFailed(Exception):
    """The request did not come to a good end; the text says why."""


@dataclass(frozen=True)
class Request:
    """What to ask for."""

    method: str
    host: str
    port: int
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def encode(self) -> bytes:
        """As it is written."""
        lines = [
            f"{self.method} {self.path} HTTP/1.1",
            f"Host: {self.host}:{self.port}",
            "Accept: */*",
            "Connection: close",  # assumed, Q12: a connection for each request, and no User-Agent
            *(f"{name}: {value}" for name, value in self.headers.items()),
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii", "replace")


@dataclass
class Reply:
    """What came back; ``received`` counts the body."""

    status: int
    headers: Mapping[str, str]
    received: int = 0

    @property
    def length(self) -> int | None:
        """Content-Length, where it is a number."""
        text = self.headers.get("content-length", "")
        return int(text) if text.isdecimal() else None

    @property
    def chunked(self) -> bool:
        """Whether the body is in chunks, which no known peer ever sends: a printer cannot read them (assumed, Q12)."""
        return "chunked" in self.headers.get("transfer-encoding", "").lower()


class Pace:
    """How long to wait before reading on, so that bytes pass at a rate (per simulated second)."""

    def __init__(self, time: SimTime, rate: float) -> None:
        self._time = time
        self._rate = rate
        self._due = time.now()

    def __call__(self, size: int) -> float:
        """Simulated seconds to wait after so many more bytes."""
        self._due = max(self._due, self._time.now() - 1.0) + size / self._rate
        return max(self._due - self._time.now(), 0.0)

    def stall(self, seconds: float) -> None:
        """Wait so much longer."""
        self._due = max(self._due, self._time.now()) + seconds


class Fetcher(Seam):
    """Performs requests; the network, or a test's."""

    def fetch(self, request: Request, pace: Pace, sink: Callable[[bytes], None]) -> Deferred[Reply]:
        """The reply when it is complete; a sink that raises resets the connection and fails the Deferred."""


class Exchange(Protocol):
    """One request and its reply."""

    transport: ITCPTransport

    def __init__(self, request: Request, pace: Pace, sink: Callable[[bytes], None], time: SimTime) -> None:
        self.done: Deferred[Reply] = Deferred(lambda _: self._abort())
        self._request = request
        self._pace = pace
        self._sink = sink
        self._head = b""
        self._reply: Reply | None = None
        self._patience = Alarm(time)
        self._reading_on = Alarm(time)
        self._time = time

    def connectionMade(self) -> None:
        """Ask."""
        self.transport.write(self._request.encode())
        self._be_patient()

    def dataReceived(self, data: bytes) -> None:
        """Take the head apart once, then pass the body on."""
        self._be_patient()
        if self._reply is None:
            self._head += data
            head, end, data = self._head.partition(b"\r\n\r\n")
            if not end:
                if len(self._head) > _HEAD_LIMIT:
                    self._fail(FetchFailed("the reply's head is too long"))
                return
            try:
                self._reply = _parse(head)
            except ValueError as error:
                self._fail(FetchFailed(f"the reply is no HTTP: {error}"))
                return
        self._body(self._reply, data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Too early, unless the reply has no length and ends so."""
        self._patience.cancel()
        self._reading_on.cancel()
        if self._reply is not None and self._reply.length is None and not self._reply.chunked:
            self._finish(self._reply)
        else:
            self._fail(FetchFailed(f"the connection closed early: {reason.getErrorMessage()}"))

    def _body(self, reply: Reply, data: bytes) -> None:
        if self._request.method == "HEAD" or reply.status not in (200, 206) or reply.chunked:
            self._finish(reply)
            return
        if reply.length is not None:
            data = data[: reply.length - reply.received]
        if data:
            reply.received += len(data)
            try:
                self._sink(data)
            except FetchFailed as error:
                self._fail(error)
                return
        if reply.received == reply.length:
            self._finish(reply)
            return
        wait = self._pace(len(data))
        if wait / self._time.scale > 0.001:
            self._patience.cancel()
            IPushProducer(self.transport).pauseProducing()
            self._reading_on.set(wait, self._read_on)

    def _read_on(self) -> None:
        self._be_patient()
        IPushProducer(self.transport).resumeProducing()

    def _be_patient(self) -> None:
        self._patience.set_real(_PATIENCE, self._fail, FetchFailed(f"no byte for {_PATIENCE:g} s"))

    def _finish(self, reply: Reply) -> None:
        self._patience.cancel()
        self._reading_on.cancel()
        self.transport.loseConnection()
        if not self.done.called:
            self.done.callback(reply)

    def _fail(self, error: FetchFailed) -> None:
        self._abort()
        if not self.done.called:
            self.done.errback(Failure(error))

    def _abort(self) -> None:
        self._patience.cancel()
        self._reading_on.cancel()
        if self.transport is not None:
            self.transport.abortConnection()


class HttpFetcher:
    """Performs requests from the printer's own address."""

    def __init__(self, reactor: IReactorTCP, time: SimTime, address: str) -> None:
        self._reactor = reactor
        self._time = time
        self._address = address

    def fetch(self, request: Request, pace: Pace, sink: Callable[[bytes], None]) -> Deferred[Reply]:
        """One request on a new connection."""
        endpoint = TCP4ClientEndpoint(
            self._reactor, request.host, request.port, timeout=5, bindAddress=(self._address, 0)
        )
        exchange = Exchange(request, pace, sink, self._time)
        connected: Deferred[IProtocol] = endpoint.connect(Factory.forProtocol(lambda: exchange))

        def refused(failure: Failure) -> None:
            failure.trap(ConnectError)
            raise FetchFailed(f"no connection to {request.host}:{request.port}: {failure.getErrorMessage()}")

        return connected.addErrback(refused).addCallback(lambda _: exchange.done)


def _parse(head: bytes) -> Reply:
    first, *lines = head.decode("latin-1").split("\r\n")
    version, status, *_ = first.split(" ", 2)
    if not version.startswith("HTTP/1.") or not status.isdecimal():
        raise ValueError(first[:80])
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError(line[:80])
        headers[name.strip().lower()] = value.strip()
    return Reply(int(status), headers)
