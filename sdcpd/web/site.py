"""The web server below the routes: when a request is handled, how large it may be, how long it may take.

One decision: a streamed upload is routed as soon as its head is there, so it can be refused before its body is
sent, and its body never lies in memory or in a temporary file. Twisted itself routes a request when the body is
complete. Once an answer precedes the end of its body, the connection never parses another request: what follows
is thrown away, for a bounded while, so that a client that is still sending gets to read the answer.
"""

# ruff: noqa: N802 (nearly every method here is Twisted's)
from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from http import HTTPStatus
from io import BytesIO
from urllib.parse import unquote_to_bytes

from twisted.internet.interfaces import IReactorTime, ITransport
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web import http, server
from twisted.web.http_headers import Headers
from twisted.web.resource import IResource

from sdcpd.errors import Interrupted
from sdcpd.logs import listens, logger
from sdcpd.web.answer import secure, write
from sdcpd.web.errors import ErrorBody, error_answer
from sdcpd.web.redacted import redacted
from sdcpd.web.turns import TurnByTurn
from sdcpd.web.upload import Body
from sdcpd.web.way import Way, cleaned

__all__ = ["MAX_SMALL_BODY", "Channel", "Request", "Site", "redacted"]

IDLE_TIMEOUT = 60
HEAD_TIMEOUT = 20
BODY_TIMEOUT = 60
DRAIN_TIMEOUT = 5
MAX_DRAIN = 4 * 1024 * 1024
MAX_SMALL_BODY = 64 * 1024

_log = logger(__name__)


class Request(server.Request):
    """A request whose body is either a stream (``body``) or small and complete (``content``).

    ``path`` is where its ``way`` leads; ``args`` are those of the query, never those of a form.
    """

    channel: Channel
    content: BytesIO  # None where the body is streamed
    _body: Body | None = None
    expects_continue = False
    way: Way
    also: tuple[tuple[bytes, bytes], ...] = ()
    """Headers that the answer has whoever gives it; where it has them already, these values are added."""

    @property
    def body(self) -> Body:
        """The body of a streamed upload."""
        if self._body is None:
            raise RuntimeError(f"{self!r} is not one of the site's streamed uploads")
        return self._body

    @property
    def streamed(self) -> bool:
        """Was this request routed before its body had arrived?"""
        return self._body is not None

    def take_head(self, method: bytes, uri: bytes, version: bytes) -> None:
        """Learn what is wanted, before anything of the body is here."""
        self.method, self.uri, self.clientproto = method, uri, version
        path, _, query = uri.partition(b"?")
        self.way = self.channel.site.way(cleaned(path))
        self.path = self.way.path
        self.args = http.parse_qs(query, True)

    def gotLength(self, length: int | None) -> None:
        """Twisted: the head is complete."""
        if self.channel.site.streams(self.method, unquote_to_bytes(self.path)):
            self._body = Body(length, self.channel)
        else:
            self.content = BytesIO()

    def handleContentChunk(self, data: bytes) -> None:
        """Twisted: a piece of the body is here."""
        if self.finished:
            return
        if self._body is not None:
            self._body.arrived(data)
        elif self.channel.site.takes(self.content.tell() + len(data)):
            self.content.write(data)
        else:
            self.refuse_body()

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Twisted: the body is complete."""
        if self._body is None:
            self.content.seek(0)
            self.process()
        else:
            self._body.complete()
            if self._body.length == 0:
                self.process()

    def process(self) -> None:
        """Find the resource and render it."""
        if self.path.startswith(b"/") or self.path == b"*":
            super().process()
        else:
            self.refuse(400, "bad_request", "The request's target is no path.", "Ask for /status, for example.")

    def refuse_body(self) -> None:
        """Say that the body is larger than any that is not a file."""
        message = f"The body of this request may have {MAX_SMALL_BODY} bytes; this one is larger."
        self.refuse(413, "body_too_large", message, "Files go to PUT /v1/files/<name>.")

    def refuse(self, status: int, code: str, message: str, hint: str, **headers: str) -> None:
        """Answer with an error that no route had a part in."""
        self.write(write(self, error_answer(status, ErrorBody(code, message, hint), headers)))
        self.finish()

    def connectionLost(self, reason: Failure) -> None:
        """Twisted: the client has left before the answer was complete."""
        # The handler's own end comes first: it may be waiting for the body, and must not answer nobody.
        super().connectionLost(reason)
        if self._body is not None:
            self._body.fail(_interrupted(self._body, "the client left"))

    def __repr__(self) -> str:
        return f"<Request {self.method.decode('ascii', 'replace')} {redacted(self.uri)}>"


class _Phase(Enum):
    IDLE = auto()  # between requests
    HEAD = auto()  # a head has begun
    SMALL = auto()  # a body arrives that is handled when complete
    HELD = auto()  # a streamed body, and nobody takes its bytes: not yet, or not any more
    STREAM = auto()  # a streamed body arrives and is taken
    ANSWER = auto()  # the request is complete, its answer is not
    DRAIN = auto()  # the answer is complete, the request is not and will be thrown away
    CLOSED = auto()  # nothing that still arrives matters


# How long a phase may last, STREAM without a byte; the others are not ours to end.
_SECONDS = {
    _Phase.IDLE: IDLE_TIMEOUT,
    _Phase.HEAD: HEAD_TIMEOUT,
    _Phase.SMALL: BODY_TIMEOUT,
    _Phase.STREAM: BODY_TIMEOUT,
    _Phase.DRAIN: DRAIN_TIMEOUT,
}
_ARRIVING = frozenset({_Phase.SMALL, _Phase.HELD, _Phase.STREAM})


class Channel(TurnByTurn):
    """One client's connection.

    Everything that Twisted keeps private and headers-first needs is used in this class and nowhere else:
    ``_command``, ``_path``, ``_version`` (the request line, otherwise handed out only when the body is
    complete), ``_send100Continue`` and ``_respondToBadRequestAndDisconnect`` (called without asking anybody),
    ``_transferDecoder``, ``_networkProducer``, ``_waitingForTransport``, ``_abortingCall`` and
    ``_receivedHeaderSize``. Twisted has no public way to see a request before its body.
    ``ChannelPrivatesTests`` fails if any of them changes.
    """

    site: Site
    transport: ITransport
    _phase = _Phase.IDLE
    _drained = 0

    def _enter(self, phase: _Phase) -> None:
        self._phase = phase
        # Twisted looks for a timer that is moved to an earlier time among all timers of the process, and thousands
        # of polls have one each; to cancel it and make another is O(log n).
        self.setTimeout(None)
        self.setTimeout(_SECONDS.get(phase))

    # The head.

    def dataReceived(self, data: bytes) -> None:
        """Twisted: bytes from the client."""
        if self._phase is _Phase.CLOSED:
            return
        if self._phase is _Phase.IDLE:
            self._enter(_Phase.HEAD)
        super().dataReceived(data)

    def headerReceived(self, line: bytes) -> bool:
        """Twisted: a header is complete."""
        try:
            return bool(super().headerReceived(line))
        except ValueError:  # a Content-Length of more digits than Python will make a number of
            self._respondToBadRequestAndDisconnect()
            return False

    def allHeadersReceived(self) -> None:
        """Twisted: the head is complete; the body, if any, is not."""
        request = self.requests[-1]
        request.take_head(self._command, self._path, self._version)
        super().allHeadersReceived()
        if self.length == 0:
            return  # allContentReceived is called next
        if request.streamed:
            self._enter(_Phase.HELD)
            request.process()
        else:
            self._enter(_Phase.SMALL)
            if not self.site.takes(self.length):
                request.refuse_body()

    def _send100Continue(self) -> None:
        request = self.requests[-1]
        if request.streamed:
            request.expects_continue = True
        elif self.length != 0 and self.site.takes(self.length):
            super()._send100Continue()

    # The body.

    def take_body(self) -> None:
        """``Body`` has a reader from now on: let the client send."""
        if self._phase is not _Phase.HELD:
            return
        self._enter(_Phase.STREAM)
        request = self.requests[0]
        if request.expects_continue and not request.startedWriting and not request.body.received:
            super()._send100Continue()
        self._resume_reading()

    def hold_body(self) -> None:
        """``Body`` has no use for more: let the client wait."""
        if self._phase in (_Phase.HELD, _Phase.STREAM):
            self._enter(_Phase.HELD)
            self._networkProducer.pauseProducing()

    def resumeProducing(self) -> None:
        """Twisted: what we wrote is on its way."""
        super().resumeProducing()
        if self._phase is _Phase.HELD:
            self._networkProducer.pauseProducing()

    def _resume_reading(self) -> None:
        if not self._waitingForTransport:
            self._networkProducer.resumeProducing()

    def rawDataReceived(self, data: bytes) -> None:
        """Twisted: bytes of a body, or of what follows a complete request."""
        if self._phase is _Phase.DRAIN:
            self._drained += len(data)
            if self._drained > MAX_DRAIN:
                self._hang_up()
                return
        if self._phase is _Phase.CLOSED or (self._phase is not _Phase.ANSWER and self._transferDecoder is None):
            return
        super().rawDataReceived(data)

    def allContentReceived(self) -> None:
        """Twisted: the body is complete."""
        if self._phase is _Phase.DRAIN:
            self._hang_up()
            return
        # Twisted stops the clock here and puts back, when the answer is complete, what the clock showed last.
        self.setTimeout(IDLE_TIMEOUT)
        held, self._phase = self._phase is _Phase.HELD, _Phase.ANSWER
        if held:
            self._resume_reading()
        super().allContentReceived()

    def _respondToBadRequestAndDisconnect(self) -> None:
        if self._phase in (_Phase.HELD, _Phase.STREAM):
            # The end of this body will never be found; whoever handles the upload still has to answer.
            self._transferDecoder = None
            body = self.requests[0].body
            self.hold_body()
            body.fail(_interrupted(body, "its chunks are malformed"))
            return
        if self._receivedHeaderSize > self.totalHeadersSize:
            self.lineLengthExceeded(b"")
        else:
            self._reject(400, "bad_request", "This is not HTTP as RFC 9112 has it.", "Check the client or the proxy.")

    def lineLengthExceeded(self, line: bytes) -> None:
        """Twisted: a line is longer than the whole head may be."""
        message = f"The head of a request may have {self.totalHeadersSize} bytes; this one is larger."
        self._reject(431, "head_too_large", message, "Send fewer or shorter headers and a shorter address.")

    def _reject(self, status: int, code: str, message: str, hint: str) -> None:
        """Answer to what is no request, and hang up."""
        if self._phase not in (_Phase.DRAIN, _Phase.CLOSED):
            error = error_answer(status, ErrorBody(code, message, hint)).body
            headers = Headers({b"Content-Type": [b"application/json"], b"Content-Length": [b"%d" % len(error)]})
            secure(headers)
            lines = b"".join(b"%b: %b\r\n" % (name, values[0]) for name, values in headers.getAllRawHeaders())
            phrase = HTTPStatus(status).phrase.upper().encode()
            self.transport.write(b"HTTP/1.1 %d %b\r\nConnection: close\r\n%b\r\n" % (status, phrase, lines))
            self.transport.write(b"" if getattr(self, "_command", b"") == b"HEAD" else error)
        self.loseConnection()

    # The answer.

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:
        """Twisted: the answer begins."""
        secure(headers)
        for name, value in self.requests[0].also:
            headers.setRawHeaders(name, [b", ".join([*(headers.getRawHeaders(name) or ()), value])])
        if self._phase in _ARRIVING:
            self.persistent = False
            headers.setRawHeaders(b"Connection", [b"close"])
        super().writeHeaders(version, code, reason.upper(), headers)  # small displays know the first line by heart

    def requestDone(self, request: Request) -> None:
        """Twisted: the answer is complete."""
        if self._phase in _ARRIVING:
            self.requests.remove(request)
            self._enter(_Phase.DRAIN)
            self._resume_reading()
            if request.streamed:
                request.body.fail(_interrupted(request.body, "it was answered before its end"))
        elif self._phase is _Phase.CLOSED:
            self.requests.remove(request)
        else:
            self._phase = _Phase.IDLE
            super().requestDone(request)

    # The end.

    def resetTimeout(self) -> None:
        """Twisted: something arrived."""
        if self._phase is _Phase.STREAM:  # every other phase is bounded as a whole
            super().resetTimeout()

    def timeoutConnection(self) -> None:
        """Twisted: the phase has lasted too long."""
        _log.debug("{peer}: {phase} took too long", peer=self.transport.getPeer(), phase=self._phase.name)
        if self._phase is _Phase.STREAM:
            body = self.requests[0].body
            body.fail(_interrupted(body, f"nothing arrived for {BODY_TIMEOUT} s"))
        self._hang_up()

    def _hang_up(self) -> None:
        if self._phase is not _Phase.CLOSED:
            self._abortingCall = self.callLater(self.abortTimeout, self.forceAbortClient)
            self.loseConnection()

    def loseConnection(self) -> None:
        """Close when everything written has been sent."""
        if self._phase is not _Phase.CLOSED:
            self._enter(_Phase.CLOSED)
            super().loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Twisted: the connection is gone."""
        self._phase = _Phase.CLOSED
        super().connectionLost(reason)


class Site(server.Site):
    """The factory of connections that share one tree of resources.

    ``streams(method, path)`` says which requests are streamed uploads. The path is as a router sees it: decoded,
    with single slashes, none at its end. ``max_body`` bounds every other body; with 0 there must be none at all.
    """

    noisy, max_body = False, MAX_SMALL_BODY
    protocol = Channel  # type: ignore[assignment]  # Twisted's own is a proxy that would choose HTTP/2
    requestFactory = Request

    def __init__(self, resource: IResource, streams: Callable[[bytes, bytes], bool], reactor: IReactorTime) -> None:
        super().__init__(resource, timeout=IDLE_TIMEOUT, reactor=reactor, parsePOSTFormSubmission=False)
        self.streams = streams

    def way(self, asked: bytes) -> Way:
        """Where this path leads: to what stands there."""
        return Way(asked, asked)

    def takes(self, length: int | None) -> bool:
        """May a body that is no upload be so long, ``None`` where that is not announced?"""
        return self.max_body > 0 if length is None else length <= self.max_body

    def startFactory(self) -> None:
        """There is no access log file to open and no time of day to keep for it."""

    def acceptableProtocols(self) -> list[bytes]:
        """HTTP/2 is not offered: its streams have no ``Channel``."""
        return [b"http/1.1"]

    def log(self, request: http.Request) -> None:
        """One line for each answer, for who wants to see them; where nobody does, none is made."""
        if listens("debug"):
            method, path = request.method.decode("ascii", "backslashreplace"), redacted(request.uri)
            _log.debug("{of.client} {method} {path} {of.code} {of.sentLength}", of=request, method=method, path=path)


def _interrupted(body: Body, why: str) -> Interrupted:
    announced = "an unknown number of" if body.length is None else body.length
    return Interrupted(f"The upload stopped after {body.received} of {announced} bytes: {why}.", "Send it again.")
