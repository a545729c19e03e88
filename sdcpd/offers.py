"""Files that printers may fetch just now: unguessable paths, each bound to one printer's address.

One decision: an offer lives as long as its delivery and is served as often as the printer likes (HEAD, GET,
Range, again after a broken connection); it ends by the printer's verdict, never by having been fetched once, or
because somebody stops the job: then the downloads that are still open are broken off.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from msgspec import Struct, field

__all__ = ["Offer", "Offers", "Watcher"]


class Watcher(Protocol):
    """Who wants to know what the printer does with an offer."""

    def requested(self) -> None:
        """The printer asked for the file (HEAD or GET)."""
        ...

    def served(self, offset: int) -> None:
        """The bytes up to ``offset`` were handed to the network."""
        ...


class Offer(Struct, frozen=True, eq=False):
    """One file for one printer."""

    token: str
    """32 lower-case hex digits and the extension: the one URL shape that firmware is known to fetch."""
    path: Path
    address: str
    """The only peer that may fetch it."""
    watcher: Watcher
    _downloads: set[Callable[[], object]] = field(default_factory=set)

    def opened(self, abort: Callable[[], object]) -> None:
        """A download has begun; ``abort`` breaks it off, at once."""
        self._downloads.add(abort)

    def closed(self, abort: Callable[[], object]) -> None:
        """That download is over."""
        self._downloads.discard(abort)

    def abort(self) -> None:
        """Break off every open download."""
        for abort in tuple(self._downloads):
            abort()


class Offers:
    """The offers of the moment, by token. ``port`` asks for the port that printers can reach."""

    def __init__(self, port: Callable[[], int]) -> None:
        self._port = port
        self._offers: dict[str, Offer] = {}

    def __len__(self) -> int:
        return len(self._offers)

    def make(self, path: Path, address: str, watcher: Watcher) -> Offer:
        """Offer the file at ``path`` to the printer at ``address``."""
        token = secrets.token_hex(16) + path.suffix
        offer = Offer(token, path, address, watcher)
        self._offers[token] = offer
        return offer

    def url(self, offer: Offer) -> str:
        """What Cmd 256 carries: the board itself puts the broker's address for ``${ipaddr}`` (sdcp.md 3.2)."""
        return f"http://${{ipaddr}}:{self._port()}/{offer.token}"

    def find(self, token: str) -> Offer | None:
        """The offer of this token, if it still stands."""
        return self._offers.get(token)

    def count(self, address: str) -> int:
        """How many files are offered to this peer: more than one, if several printers are behind one address."""
        return sum(offer.address == address for offer in self._offers.values())

    def withdraw(self, offer: Offer) -> None:
        """End an offer; a download under way may still come to its end."""
        self._offers.pop(offer.token, None)

    def revoke(self, offer: Offer) -> None:
        """End an offer and every download of it."""
        self.withdraw(offer)
        offer.abort()
