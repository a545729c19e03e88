"""The paths of SockJS below ``sockjs``: who may come, which session is meant, and what the protocol's refusals say.

One decision: a session is opened without a permission, as the real server does it, because a client says who it is by
a message of its own; what it gets to know is the application's to decide. No page of another site opens one, unless
``[web] origins`` lists it, for a browser on a trusted machine would lend it its address (reference apis.md 7.3).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from msgspec import Struct
from twisted.internet.interfaces import IReactorTime

from sdcpd.web.answer import Answer, json_answer
from sdcpd.web.routes import Call, Result, Route
from sdcpd.web.sockjs.frames import Broken, closing, received
from sdcpd.web.sockjs.receivers import EVENT_SOURCE, FRESH, SCRIPT, XHR_STREAMING, Poll, Stream, Wire
from sdcpd.web.sockjs.session import Connection, Session
from sdcpd.web.sockjs.sessions import Sessions

__all__ = ["GO_AWAY", "NO_WEBSOCKET", "Application", "SockJs"]

NO_WEBSOCKET = b"WebSocket is not available"
TEXT = "text/plain; charset=UTF-8"
GO_AWAY = (3000, "Go away!")
TOO_MANY = (1013, "Too many sessions")


class Info(Struct, frozen=True):
    """What a client can choose from. ``origins`` is a relic that every client ignores."""

    entropy: int
    """A random number below 2**32, for browsers that have no good ones."""
    websocket: bool = False
    origins: tuple[str, ...] = ("*:*",)
    cookie_needed: bool = False


P_contra = TypeVar("P_contra", contravariant=True)
P = TypeVar("P")


class Application(Protocol[P_contra]):
    """What is at the other end of the sessions; the place is what the routes are mounted below."""

    def name_of(self, place: P_contra) -> str:
        """Under which name sessions at this place are kept and counted."""
        ...

    def opened(self, session: Session, call: Call, place: P_contra) -> Connection:
        """A client has opened a session with this request."""
        ...

    def asked(self, connection: Connection, call: Call, place: P_contra) -> None:
        """The client of a session asks again, with the rights that it has now."""
        ...


class SockJs(Generic[P]):
    """Handlers over the sessions of one application."""

    def __init__(self, application: Application[P], clock: IReactorTime) -> None:
        self.sessions = Sessions(clock)
        self._application = application
        self._stopped = False
        session = "/sockjs/<dotless:server>/<dotless:session>"
        self.routes = (
            Route("GET", "/sockjs", None, self.greet, content="text/plain"),
            Route("GET", "/sockjs/info", None, self.info, Info),
            Route("GET", "/sockjs/websocket", None, self.no_websocket, status=404, content="text/plain"),
            Route("GET", f"{session}/websocket", None, self.no_websocket, status=404, content="text/plain"),
            Route("POST", f"{session}/xhr", None, self.poll, content="application/javascript", audited=False),
            Route("POST", f"{session}/xhr_send", None, self.send, status=204, content="", also=(404,), audited=False),
            Route(
                "POST", f"{session}/xhr_streaming", None, self.stream, content="application/javascript", audited=False
            ),
            Route("GET", f"{session}/eventsource", None, self.event_source, content="text/event-stream"),
        )

    def stop(self) -> None:
        """End all sessions, and open no more."""
        self._stopped = True
        for session in self.sessions:
            session.close(*GO_AWAY)

    # -- what needs no session -------------------------------------------------------------------------------

    def greet(self, call: Call, place: P) -> Answer:
        """That SockJS is spoken here."""
        return Answer(200, b"Welcome to SockJS!\n", TEXT)

    def info(self, call: Call, place: P) -> Answer:
        """What a client can choose from: everything but WebSocket."""
        return json_answer(
            Info(secrets.randbits(32)), headers={"Content-Type": "application/json; charset=UTF-8", **FRESH}
        )

    def no_websocket(self, call: Call, place: P, server: str = "", session: str = "") -> Answer:
        """There is no WebSocket: ``info`` says so, and the other transports do the same."""
        return Answer(404, NO_WEBSOCKET, TEXT)

    # -- what has one ----------------------------------------------------------------------------------------

    def poll(self, call: Call, place: P, server: str, session: str) -> Result:
        """The next frame of the session, which begins with the first one, at once or as soon as there is one."""
        found = self._session(call, place, session)
        if found is None:
            return Answer(200, self._refusal() + b"\n", SCRIPT, FRESH)
        poll = Poll(found)
        found.attach(poll)
        if not poll.answer.called:
            call.waits()
        return poll.answer

    def stream(self, call: Call, place: P, server: str, session: str) -> Result:
        """The frames of the session, one a line, until 128 KiB were sent."""
        return self._stream(call, place, session, XHR_STREAMING)

    def event_source(self, call: Call, place: P, server: str, session: str) -> Result:
        """The frames of the session as server-sent events, until 128 KiB were sent."""
        call.must_be_own_page()
        if call.request.method == b"HEAD":
            return Answer(200, b"", EVENT_SOURCE.type, FRESH)
        return self._stream(call, place, session, EVENT_SOURCE)

    def send(self, call: Call, place: P, server: str, session: str) -> Answer:
        """Messages from the client: a JSON array of strings."""
        found = self.sessions.find(self._application.name_of(place), call.client, session)
        if found is None or not found.is_open:
            return Answer(404, b"There is no such session.", TEXT)
        try:
            messages = received(call.request.content.read())
        except Broken as error:
            return Answer(500, str(error).encode("ascii"), TEXT)
        for message in messages:
            found.received(message)
        # Firefox takes an empty answer without a type for broken XML.
        return Answer(204, headers={"Content-Type": TEXT, **FRESH})

    def _stream(self, call: Call, place: P, name: str, wire: Wire) -> Result:
        found = self._session(call, place, name)
        if found is None:
            return Answer(200, wire.prelude + wire.before + self._refusal() + wire.after, wire.type, FRESH)
        return Stream(found, wire)

    def _session(self, call: Call, place: P, name: str) -> Session | None:
        """The session of this name, perhaps a new one; None if there can be none."""
        where = self._application.name_of(place)
        found = self.sessions.find(where, call.client, name)
        if found is None:
            return (
                None if self._stopped else self.sessions.open(where, call.client, name, self._connecting(call, place))
            )
        if found.connection is not None:
            self._application.asked(found.connection, call, place)
        return found

    def _connecting(self, call: Call, place: P) -> Callable[[Session], Connection]:
        return lambda session: self._application.opened(session, call, place)

    def _refusal(self) -> bytes:
        return closing(*(GO_AWAY if self._stopped else TOO_MANY))
