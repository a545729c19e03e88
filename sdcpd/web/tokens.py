"""One-shot tokens, for addresses that a program hands to something that can send no header: a picture, a download.

One decision: a token is the client that asked for it, for five seconds and one GET from the same address. It is made
by POST and good for nothing but reading, so an address with a token in it that leaks is worth nothing any more
(reference apis.md 1.2 and 7.1).
"""

from __future__ import annotations

import base64
import secrets

from msgspec.structs import replace
from twisted.internet.interfaces import IReactorTime

from sdcpd.web.client import Client
from sdcpd.web.errors import Refusal

__all__ = ["LIFE", "Tokens"]

LIFE = 5.0
"""Seconds that a token lives."""
MOST = 4096
"""Tokens that live at once; beyond, the oldest make room."""
MOST_PER_ADDRESS = 64


class Tokens:
    """The tokens that live."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._live: dict[str, tuple[float, Client]] = {}

    def make(self, client: Client) -> str:
        """A token for this client: 32 characters, 160 random bits. A ``Refusal`` if it came with a token itself."""
        if client.once:
            raise Refusal(403, "forbidden", "A one-shot token makes no other one.", "Ask with the key.")
        self._sweep()
        own = [text for text, (_, known) in self._live.items() if known.counted_as == client.counted_as]
        if len(own) >= MOST_PER_ADDRESS:
            del self._live[own[0]]
        elif len(self._live) >= MOST:
            del self._live[next(iter(self._live))]
        text = base64.b32encode(secrets.token_bytes(20)).decode("ascii")
        self._live[text] = (self._clock.seconds() + LIFE, replace(client, once=True))
        return text

    def take(self, text: str, address: str) -> Client | None:
        """Use a token up: the client that it was made for, or None if it is none of this address."""
        self._sweep()
        found = self._live.get(text)
        if found is None or found[1].address != address:
            return None
        del self._live[text]
        return found[1]

    def revoke(self, key: str) -> None:
        """Forget the tokens that were made with this key."""
        self._live = {text: found for text, found in self._live.items() if found[1].key != key}

    def __len__(self) -> int:
        return len(self._live)

    def _sweep(self) -> None:
        now = self._clock.seconds()
        for text in [text for text, (end, _) in self._live.items() if end <= now]:
            del self._live[text]
