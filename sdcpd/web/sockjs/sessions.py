"""All sessions, by place, address and name, and how many there may be.

One decision: the name that a client gives its session means something only for its own address. So nobody can receive
another one's messages by knowing or guessing a name, and whoever opens too many takes the room of nobody but himself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from twisted.internet.interfaces import IReactorTime

from sdcpd.web.client import Client
from sdcpd.web.sockjs.session import Connection, Session

__all__ = ["MOST", "MOST_PER_ADDRESS", "Sessions"]

MOST = 256
"""Sessions at one place."""
MOST_PER_ADDRESS = 8
"""Sessions of one address other than loopback, at all places together."""

_Key = tuple[str, str, str]


class Sessions:
    """The sessions that live; a place is whatever the application calls so."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._sessions: dict[_Key, Session] = {}
        self._places: Counter[str] = Counter()
        self._addresses: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._sessions.values()))

    def find(self, place: str, client: Client, name: str) -> Session | None:
        """The session of this name that this client's address has here."""
        return self._sessions.get((place, client.address, name))

    def open(self, place: str, client: Client, name: str, connect: Callable[[Session], Connection]) -> Session | None:
        """A new session, or None if there are too many."""
        crowded = not client.is_loopback and self._addresses[client.counted_as] >= MOST_PER_ADDRESS
        if crowded or self._places[place] >= MOST:
            return None
        key = (place, client.address, name)
        address = client.counted_as

        def forget() -> None:
            del self._sessions[key]
            for counter, counted in ((self._places, place), (self._addresses, address)):
                counter[counted] -= 1
                if not counter[counted]:
                    del counter[counted]

        session = self._sessions[key] = Session(self._clock, forget, connect)
        self._places[place] += 1
        self._addresses[address] += 1
        return session
