"""How frames reach a client: one answer for each frame (xhr), or one answer for many (xhr_streaming, eventsource).

One decision: a stream asks its transport. Twisted pauses a producer while more than its buffer's size waits; then
nothing more is written, so a client that does not read costs that much memory and no more.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from sdcpd.web.answer import Answer
from sdcpd.web.sockjs.session import Session

__all__ = ["EVENT_SOURCE", "FRESH", "LIMIT", "SCRIPT", "XHR_STREAMING", "Poll", "Stream", "Wire"]

LIMIT = 128 * 1024
"""Bytes of frames after which a stream ends, so that the browser can forget them; its client comes back at once."""
SCRIPT = "application/javascript; charset=UTF-8"
FRESH = {"Cache-Control": "no-store, no-cache, must-revalidate, max-age=0"}
"""Old iPhones cache even what they POST."""


class Poll:
    """One answer with one frame; ``answer`` fires with it."""

    blocked = False

    def __init__(self, session: Session) -> None:
        self.answer: Deferred[Answer] = Deferred(lambda _: session.lost(self))

    def take(self, frame: bytes) -> bool:
        """The frame is the answer."""
        self.answer.callback(Answer(200, frame + b"\n", SCRIPT, FRESH))
        return False

    def finish(self) -> None:
        """It has finished with its only frame."""

    def cut(self) -> None:
        """It is never blocked, so there is nothing to cut."""


class Wire(Struct, frozen=True):
    """How a stream writes its frames."""

    type: str
    prelude: bytes
    """What comes first: enough for browsers that read nothing before it is much."""
    before: bytes
    after: bytes


XHR_STREAMING = Wire(SCRIPT, b"h" * 2048 + b"\n", b"", b"\n")
EVENT_SOURCE = Wire("text/event-stream; charset=UTF-8", b"\r\n", b"data: ", b"\r\n\r\n")


@implementer(IPushProducer)
class Stream(Resource):
    """One answer with many frames, until ``LIMIT``."""

    isLeaf = True

    def __init__(self, session: Session, wire: Wire) -> None:
        super().__init__()
        self.blocked = False
        self._session = session
        self._wire = wire
        self._left = LIMIT
        self._over = False
        self._request: Any = None

    def render(self, request: IRequest) -> int:
        """Begin the answer, and receive from now on."""
        self._request = request
        request.setHeader(b"content-type", self._wire.type.encode("ascii"))
        request.setHeader(b"cache-control", FRESH["Cache-Control"].encode("ascii"))
        request.setHeader(b"x-accel-buffering", b"no")
        self._request.notifyFinish().addErrback(lambda _: self._lost())
        self._request.registerProducer(self, True)
        request.write(self._wire.prelude)
        self._session.attach(self)
        return NOT_DONE_YET

    def take(self, frame: bytes) -> bool:
        """Write the frame; the last is the one with which the answer is long enough."""
        written = self._wire.before + frame + self._wire.after
        self._left -= len(written)
        self._request.write(written)
        if self._left > 0:
            return True
        self.finish()
        return False

    def finish(self) -> None:
        """End the answer."""
        if not self._over:
            self._over = True
            self._request.unregisterProducer()
            self._request.finish()

    def cut(self) -> None:
        """Hang up; what was written and not read is lost."""
        self._over = True
        self._request.transport.abortConnection()

    def _lost(self) -> None:
        self._over = True
        self._session.lost(self)

    def pauseProducing(self) -> None:
        """Twisted: too much waits for the client."""
        self.blocked = True
        self._session.blocked(self)

    def resumeProducing(self) -> None:
        """Twisted: what was written is on its way."""
        if self.blocked:
            self.blocked = False
            self._session.unblocked(self)

    def stopProducing(self) -> None:
        """Twisted: the connection is gone; ``notifyFinish`` tells the same."""
