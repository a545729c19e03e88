"""One SockJS session: what waits for its client, who receives at the moment, and how it ends.

One decision: a session holds at most ``MOST_WAITING`` messages and never drops one: when they are too many, it ends
and says so. Whoever sends a state of which only the latest counts sends it when the session is ``ready``, so an older
one never waits behind it; there is nothing to drop.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from sdcpd.logs import logger
from sdcpd.web.sockjs.frames import HEARTBEAT, OPEN, closing, framed

__all__ = ["EXPIRY", "HEARTBEAT_EVERY", "MOST_WAITING", "STALL", "Connection", "Receiver", "Session"]

HEARTBEAT_EVERY = 25.0
"""Seconds without a frame after which a receiver gets a heartbeat: below what proxies wait."""
EXPIRY = 5.0
"""Seconds that a session lives without a receiver, and that its end is told to who asks again."""
STALL = 30.0
"""Seconds after which a receiver is cut off that takes nothing."""
MOST_WAITING = 64
"""Messages that may wait for a client."""
MOST_BYTES = 256 * 1024
"""Bytes that may wait for a client, unless it is a single message."""

SLOW = (1011, "slow client")
INTERRUPTED = (1002, "Connection interrupted")
OTHER_OPEN = (2010, "Another connection still open")

_log = logger("sdcpd.web.sockjs")


class Receiver(Protocol):
    """An HTTP answer that takes frames."""

    @property
    def blocked(self) -> bool:
        """Whether it can take nothing now, because what it took is not on its way yet."""
        ...

    def take(self, frame: bytes) -> bool:
        """Take one frame; false if that was the last that it takes."""
        ...

    def finish(self) -> None:
        """There is nothing more for it; never called after ``take`` said that it was the last."""
        ...

    def cut(self) -> None:
        """Its client reads nothing: hang up."""
        ...


class Connection(Protocol):
    """The application's end of a session."""

    def received(self, message: object) -> None:
        """The client has sent this."""
        ...

    def ready(self) -> None:
        """Everything that was sent is on its way, and the client waits for more."""
        ...

    def closed(self) -> None:
        """The session has ended, whoever ended it; nothing follows."""
        ...


class _State(Enum):
    NEW = auto()
    """No receiver has come yet, so not even the opening frame was sent."""
    OPEN = auto()
    CLOSED = auto()
    """Whoever asks gets the closing frame, until the session is forgotten."""


class Session:
    """One session.

    ``connect`` makes the application's end, when the opening frame was sent; ``forget`` is called when nothing may ask
    for the session any more.
    """

    __slots__ = (
        "_call",
        "_clock",
        "_connect",
        "_end",
        "_forget",
        "_receiver",
        "_size",
        "_state",
        "_waiting",
        "connection",
    )

    def __init__(
        self, clock: IReactorTime, forget: Callable[[], None], connect: Callable[[Session], Connection]
    ) -> None:
        self.connection: Connection | None = None
        self._clock = clock
        self._forget = forget
        self._connect: Callable[[Session], Connection] | None = connect
        self._state = _State.NEW
        self._receiver: Receiver | None = None
        self._waiting: list[bytes] = []
        self._size = 0
        self._end = b""
        self._call: IDelayedCall | None = None
        self._later(EXPIRY, self._expire)

    # -- the application's side ------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether something may still be sent."""
        return self._state is not _State.CLOSED

    @property
    def ready(self) -> bool:
        """Whether a message would be on its way at once."""
        receiver = self._receiver
        return self.is_open and receiver is not None and not receiver.blocked and not self._waiting

    @property
    def room(self) -> int:
        """How many messages may still be added to those that wait."""
        return MOST_WAITING - len(self._waiting)

    def send(self, message: bytes) -> None:
        """Send an encoded message, now or when the client asks; too many that wait end the session."""
        if not self.is_open:
            return
        if self._waiting and (self.room <= 0 or self._size + len(message) > MOST_BYTES):
            self._give_up()
            return
        self._waiting.append(message)
        self._size += len(message)
        self._flush()

    def close(self, code: int, reason: str) -> None:
        """End the session; the client is told as soon as it can be, and whenever it asks again."""
        if not self.is_open:
            return
        self._state = _State.CLOSED
        self._end = closing(code, reason)
        self._waiting.clear()
        receiver, self._receiver = self._receiver, None
        if receiver is not None and receiver.take(self._end):
            receiver.finish()
        self._later(EXPIRY, self._expire)
        if self.connection is not None:
            self.connection.closed()

    # -- the transport's side --------------------------------------------------------------------------------

    def attach(self, receiver: Receiver) -> None:
        """From now on this answer receives, unless another one does."""
        if self._receiver is not None:
            self._refuse(receiver, closing(*OTHER_OPEN))
        elif not self.is_open:
            self._refuse(receiver, self._end)
        else:
            self._receiver = receiver
            self._later(HEARTBEAT_EVERY, self._beat)
            if self._state is _State.NEW:
                self._begin()
            self._flush()
            self._tell_ready()

    def received(self, message: object) -> None:
        """The client has sent this."""
        if self.is_open and self.connection is not None:
            self.connection.received(message)

    def unblocked(self, receiver: Receiver) -> None:
        """A receiver that was blocked takes frames again."""
        if receiver is self._receiver:
            self._later(HEARTBEAT_EVERY, self._beat)
            self._flush()
            self._tell_ready()

    def blocked(self, receiver: Receiver) -> None:
        """A receiver takes no more for the moment."""
        if receiver is self._receiver:
            self._later(STALL, self._give_up)

    def lost(self, receiver: Receiver) -> None:
        """The client has left a receiver; nobody knows what has reached it, so the session is over."""
        if receiver is self._receiver:
            self._receiver = None
            self.close(*INTERRUPTED)

    # -- between them ----------------------------------------------------------------------------------------

    def _begin(self) -> None:
        connect, self._connect = self._connect, None
        assert connect is not None
        self._state = _State.OPEN
        self._give(OPEN)
        self.connection = connect(self)
        if not self.is_open:
            self.connection.closed()

    @staticmethod
    def _refuse(receiver: Receiver, frame: bytes) -> None:
        if receiver.take(frame):
            receiver.finish()

    def _flush(self) -> None:
        receiver = self._receiver
        if receiver is not None and self._waiting and not receiver.blocked:
            frame = framed(self._waiting)
            self._waiting.clear()
            self._size = 0
            self._give(frame)

    def _give(self, frame: bytes) -> None:
        """Hand a frame to the receiver there is."""
        receiver = self._receiver
        assert receiver is not None
        if not receiver.take(frame):
            self._receiver = None
            self._later(EXPIRY, self._expire)
        elif not receiver.blocked:
            self._later(HEARTBEAT_EVERY, self._beat)

    def _tell_ready(self) -> None:
        if self.ready and self.connection is not None:
            self.connection.ready()

    def _beat(self) -> None:
        self._call = None
        self._give(HEARTBEAT)

    def _give_up(self) -> None:
        """The client reads too slowly, or not at all."""
        receiver = self._receiver
        if receiver is not None and receiver.blocked:
            self._receiver = None  # even the word that it is too slow would only wait
            receiver.cut()
        self.close(*SLOW)

    def _expire(self) -> None:
        self._call = None
        if self.is_open:
            self._state = _State.CLOSED
            if self.connection is not None:
                self.connection.closed()
        self._forget()

    def _later(self, seconds: float, what: Callable[[], None]) -> None:
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = self._clock.callLater(seconds, what)
