"""Logins: what a passive login hands out, and what the push takes back as ``"<user>:<session>"``.

One decision: there are no accounts. A session is a random word that stands for the very client that asked for it, for
an hour, so that a stream which can send no header has the rights of the key that it belongs to and no others; it dies
with its key.
"""

from __future__ import annotations

import hmac
import secrets

from msgspec.structs import replace
from twisted.internet.interfaces import IReactorTime

from sdcpd.keys import Keys
from sdcpd.records import Key
from sdcpd.web.buckets import Buckets
from sdcpd.web.client import Client

__all__ = ["LIFE", "TRIES", "Logins", "user_of"]

LIFE = 3600.0
"""Seconds that a session lives."""
MOST = 1024
"""Sessions that live at once; beyond, the oldest make room."""
MOST_PER_ADDRESS = 16
TRIES = 3
"""Logins with a password that one address may try in a minute."""


def user_of(client: Client) -> str:
    """The name of a client's user: its key's, for there are no others. It has no colon, which would part it."""
    return client.key or "trusted"


class Logins:
    """The sessions that live."""

    def __init__(self, keys: Keys, clock: IReactorTime) -> None:
        self._clock = clock
        self._live: dict[str, tuple[float, Client]] = {}
        self._tries = Buckets(clock, rate=TRIES / 60, burst=TRIES)
        keys.subscribe(self._changed)

    def issue(self, client: Client) -> str:
        """A session for this client."""
        self._sweep()
        own = [session for session, (_, known) in self._live.items() if known.counted_as == client.counted_as]
        if len(own) >= MOST_PER_ADDRESS:
            del self._live[own[0]]
        elif len(self._live) >= MOST:
            del self._live[next(iter(self._live))]
        session = secrets.token_hex(20)
        self._live[session] = (self._clock.seconds() + LIFE, replace(client, once=False))
        return session

    def client(self, user: str, session: str) -> Client | None:
        """Who a session was issued to; None if there is no such session of this user."""
        self._sweep()
        found = self._live.get(session)
        if found is None or not hmac.compare_digest(user_of(found[1]).encode(), user.encode()):
            return None
        return found[1]

    def end(self, client: Client) -> None:
        """Forget the sessions that this client has from its address."""
        self._live = {
            session: found
            for session, found in self._live.items()
            if (found[1].key, found[1].address) != (client.key, client.address)
        }

    def distrust(self) -> None:
        """Forget the sessions of who came without a key: what an address may do has changed."""
        self._live = {session: found for session, found in self._live.items() if found[1].key}

    def tried(self, client: Client) -> float:
        """Somebody tries a password: 0 if that may be, else the seconds to wait."""
        return self._tries.take(client.counted_as)

    def __len__(self) -> int:
        return len(self._live)

    def _changed(self, key: Key) -> None:
        self._live = {session: found for session, found in self._live.items() if found[1].key != key.name}

    def _sweep(self) -> None:
        now = self._clock.seconds()
        for session in [session for session, (end, _) in self._live.items() if end <= now]:
            del self._live[session]
