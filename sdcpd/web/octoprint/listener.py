"""One client of the push: what it may hear, what it wants to hear, and what it was told.

One decision: ``current`` is made when it can be sent, and never waits: nothing is queued behind a client that reads
slowly, and what it reads next is the present. Only what happened is queued, in the session, within its bounds.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Any, Protocol

import msgspec
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from sdcpd.fleet import TICK
from sdcpd.logs import logger
from sdcpd.web.client import Client
from sdcpd.web.octoprint.subscription import EVERYTHING, Subscription, subscription_of, throttle_of
from sdcpd.web.sockjs import Session
from sdcpd.web.sockjs.frames import encoded

__all__ = ["LOGIN_WAIT", "Listener", "Room"]

LOGIN_WAIT = 60.0
"""Seconds in which a client has to say who it is, if its request did not: nobody keeps others out by being nobody."""
NOBODY = (1008, "auth expected")
RESERVE = 32
"""Messages of a session that are kept free of news about other clients."""

LONGEST = 4096
"""Characters of a message of a client."""

_log = logger("sdcpd.web.octoprint")


class Room(Protocol):
    """Where a listener hears: one printer's news."""

    @property
    def moment(self) -> int:
        """The version of the present, 0 until it is known; whoever was told it has nothing to hear."""
        ...

    def history(self, wanted: Subscription) -> tuple[bytes, bytes]:
        """The message ``history`` of the present, and its lasting part."""
        ...

    def current(self, wanted: Subscription, since: int, before: bytes) -> tuple[bytes, bytes]:
        """The message ``current`` of the present, for who was told up to a version, and its lasting part.

        Empty if that is what it was ``before``, and there are no new lines.
        """
        ...

    def leave(self, listener: Listener) -> None:
        """It hears no more."""
        ...

    def find(self, user: str, session: str) -> Client | None:
        """Who has this login; None if nobody has who may hear of this printer."""
        ...

    def visited(self, name: str, listener: Listener) -> None:
        """Tell the others that a client came, logged in or went."""
        ...


class _State(Enum):
    NOBODY = auto()
    """It has not said who it is."""
    NEW = auto()
    """It may hear, and gets the history first."""
    TOLD = auto()
    GONE = auto()


class Listener:
    """One client; ``client`` is who asked for its session, if that one may hear of the printer."""

    __slots__ = (
        "_asked",
        "_clock",
        "_core",
        "_due",
        "_last",
        "_room",
        "_seen",
        "_session",
        "_state",
        "_throttle",
        "_wait",
        "_wanted",
        "address",
        "client",
    )

    def __init__(self, session: Session, room: Room, address: str, client: Client | None, clock: IReactorTime) -> None:
        self.client: Client | None = None
        """Whose rights it has; None for nobody's."""
        self.address = address
        self._session = session
        self._room = room
        self._clock = clock
        self._state = _State.NOBODY
        self._wanted = EVERYTHING
        self._asked: object = None
        self._throttle = 1
        self._seen = 0
        self._core = b""
        self._last = float("-inf")
        self._due: IDelayedCall | None = None
        self._wait: IDelayedCall | None = clock.callLater(LOGIN_WAIT, self._unknown)
        if client is not None:
            self.admit(client)

    # -- rights ----------------------------------------------------------------------------------------------

    def admit(self, client: Client) -> None:
        """From now on it hears with these rights."""
        self.client = client
        self._hush()
        if self._state is _State.NOBODY:
            self._state = _State.NEW
            self._subscribe()
            self.offer()

    def dismiss(self, reason: str) -> None:
        """It hears no more until it says again who it is."""
        self.client = None
        self._state = _State.NOBODY
        self._hush()
        self._wait = self._clock.callLater(LOGIN_WAIT, self._unknown)
        self._session.send(encoded({"reauthRequired": {"reason": reason}}))

    def _unknown(self) -> None:
        self._wait = None
        self._session.close(*NOBODY)

    # -- what it says ----------------------------------------------------------------------------------------

    def received(self, message: object) -> None:
        """A message of the client; what cannot be understood is ignored, as the real server does."""
        text = message if isinstance(message, str) else msgspec.json.encode(message)
        try:
            if len(text) > LONGEST:
                raise ValueError(f"expected at most {LONGEST} characters, found {len(text)}")
            said = msgspec.json.decode(text)
            if isinstance(said, dict):
                self._obey(said)
        except (ValueError, RecursionError) as error:
            self._puzzled(error)

    def _obey(self, said: dict[str, Any]) -> None:
        if "auth" in said:
            user, colon, session = str(said["auth"]).partition(":")
            client = self._room.find(user, session) if colon else None
            if client is not None:
                self.admit(client)
                self._room.visited("ClientAuthed", self)
        elif "throttle" in said:
            self._throttle = throttle_of(said["throttle"])
            if self._due is not None:
                self._due.cancel()
                self._on_time()
        elif "subscribe" in said:
            self._asked = said["subscribe"]
            if self._state is not _State.NOBODY:
                self._subscribe()
                self.offer()

    def _subscribe(self) -> None:
        """Read its last wishes, which costs something: not before it has a right to any."""
        asked, self._asked = self._asked, None
        try:
            self._wanted = self._wanted if asked is None else subscription_of(asked)
        except ValueError as error:
            self._puzzled(error)

    def _puzzled(self, error: Exception) -> None:
        _log.debug("{address} says what cannot be understood: {error}", address=self.address, error=error)

    # -- what it hears ---------------------------------------------------------------------------------------

    def ready(self) -> None:
        """The client waits for more."""
        self.offer()

    def tell(self, event: str, message: bytes, *, spare: bool = False) -> None:
        """Something has happened. What is ``spare`` is left out when much waits already."""
        if self._state is _State.TOLD and self._wanted.wants(event) and not (spare and self._session.room <= RESERVE):
            self._session.send(message)

    def offer(self) -> None:
        """Tell it the present, if there is something new in it and it is time."""
        if not self._room.moment or not self._session.is_open:
            return
        if self._state is _State.NEW:
            self._state = _State.TOLD
            self._seen = self._room.moment
            if self._wanted.state:
                message, self._core = self._room.history(self._wanted)
                self._last = self._clock.seconds()
                self._session.send(message)
        if self._state is _State.TOLD and self._wanted.state and self._room.moment > self._seen and self._session.ready:
            left = self._last + self._throttle * TICK - self._clock.seconds()
            if left <= 0.001:
                self._tell_current()
            elif self._due is None:
                self._due = self._clock.callLater(left, self._on_time)

    def _on_time(self) -> None:
        self._due = None
        self.offer()

    def _tell_current(self) -> None:
        message, self._core = self._room.current(self._wanted, self._seen, self._core)
        self._seen = self._room.moment
        if message:
            self._last = self._clock.seconds()
            self._session.send(message)

    def close(self, code: int, reason: str) -> None:
        """End its session."""
        self._session.close(code, reason)

    def closed(self) -> None:
        """The session is over."""
        self._state = _State.GONE
        self._hush()
        self._room.leave(self)

    def _hush(self) -> None:
        for call in (self._due, self._wait):
            if call is not None and call.active():
                call.cancel()
        self._due = self._wait = None
