"""Pairing: a program asks for a key, an administrator says yes or no, and the program fetches it once.

One decision: nothing is open by itself. Somebody with an admin's key opens a window of a few minutes, in which a few
programs may ask; each gets two random words, one to fetch its key with and one by which the administrator decides, so
whoever sees the one cannot use the other. All of it is in memory and forgotten in time, a key that nobody fetched
included (reference apis.md 5.2, 7.1).
"""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Literal

from msgspec import Struct
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from sdcpd.detached import detached
from sdcpd.errors import KeyExists
from sdcpd.fleet import Printer
from sdcpd.keys import MOST as MOST_KEYS
from sdcpd.keys import Keys
from sdcpd.logs import logger
from sdcpd.records import Key
from sdcpd.web.buckets import Buckets
from sdcpd.web.client import Client
from sdcpd.web.errors import Refusal

__all__ = [
    "DECIDE_WITHIN",
    "MOST",
    "MOST_PER_ADDRESS",
    "POLL_WITHIN",
    "SCOPES",
    "TRIES",
    "AppScope",
    "Asked",
    "Pairing",
    "Window",
]

AppScope = Literal["view", "upload", "queue", "control", "plate"]
"""What a program can get in this way: everything but the right to make keys."""
SCOPES: tuple[AppScope, ...] = ("view", "upload", "control")
"""What a slicer needs, and what a program gets unless the window says otherwise."""
POLL_WITHIN = 15.0
"""Seconds after which a program that does not ask for the decision any more has given up."""
DECIDE_WITHIN = 300.0
"""Seconds that a request waits for a decision."""
MOST = 5
"""Requests that wait at once."""
MOST_PER_ADDRESS = 2
TRIES = 6
"""Requests that one address may make in a minute."""

_UNFIT = re.compile(r"\W+")
_OPEN = "An administrator lets programs ask for a few minutes: sdcp-key pair, or POST /v1/keys/pairing."
_audit = logger("sdcpd.audit")
_log = logger("sdcpd.web.pairing")


class Window(Struct, frozen=True):
    """The time in which programs may ask, and what they get."""

    until: float
    """By the monotonic clock."""
    scopes: tuple[str, ...]
    printers: tuple[str, ...]
    """The MainboardIDs that the keys are limited to; none is all."""


class Asked(Struct, eq=False):
    """One program that waits for a decision, or has got it and not yet fetched its key."""

    app: str
    user: str
    client: Client
    printer: str
    """The MainboardID of the printer at whose address it asks."""
    scopes: tuple[str, ...]
    printers: tuple[str, ...]
    since: float
    seen: float
    """When it last asked for the decision."""
    token: str
    """Fetches the key; only the program knows it."""
    ticket: str
    """Decides, together with an admin's key."""
    decided: bool = False
    key: Key | None = None
    secret: str = ""
    timer: IDelayedCall | None = None

    @property
    def ends(self) -> float:
        """When it is forgotten, as things are."""
        waits = self.seen + POLL_WITHIN
        return waits if self.decided else min(waits, self.since + DECIDE_WITHIN)


class Pairing:
    """The window and the requests; makes and revokes keys."""

    def __init__(self, keys: Keys, clock: IReactorTime) -> None:
        self._keys = keys
        self._clock = clock
        self._window = Window(float("-inf"), (), ())
        self._asked: dict[str, Asked] = {}
        self._tries = Buckets(clock, rate=TRIES / 60, burst=TRIES)
        keys.subscribe(self._revoked)

    # -- the administrator -----------------------------------------------------------------------------------

    def open(self, seconds: float, scopes: Iterable[str], printers: Iterable[str]) -> None:
        """Let programs ask for so long; another window that was open is replaced."""
        self._window = Window(self._clock.seconds() + seconds, tuple(scopes), tuple(printers))

    def close(self) -> None:
        """Let nobody ask any more, and forget who waits; who was let in still fetches its key."""
        self._window = Window(float("-inf"), (), ())
        for asked in self.waiting:
            self._forget(asked)

    def stop(self) -> None:
        """The daemon stops: nobody can fetch a key any more, so those that were not are revoked."""
        self._window = Window(float("-inf"), (), ())
        for asked in list(self._asked.values()):
            self._forget(asked)

    @property
    def window(self) -> Window | None:
        """The window, if one is open."""
        return self._window if self._window.until > self._clock.seconds() else None

    @property
    def now(self) -> float:
        """The monotonic clock, by which all times here are."""
        return self._clock.seconds()

    @property
    def waiting(self) -> list[Asked]:
        """Who waits for a decision, oldest first."""
        return [asked for asked in self._asked.values() if not asked.decided]

    def find(self, ticket: str, printer: str) -> Asked:
        """The request at this printer that waits for a decision under this ticket; a ``Refusal`` if none does."""
        for asked in self.waiting:
            if secrets.compare_digest(asked.ticket.encode(), ticket.encode()) and asked.printer == printer:
                return asked
        raise _over()

    def decide(self, asked: Asked, allow: bool, who: str) -> Deferred[Key | None]:
        """Let a program in, or not; fires with its key's record when that is on the disk, with None if it gets none.

        Fails as ``Keys.make`` does; then nothing is decided. An administrator who leaves in the middle has decided all
        the same.
        """
        if allow:
            asked.decided = True  # from now on it is nobody's to decide
            made = maybeDeferred(self._make, asked)
            return detached(made.addCallbacks(partial(self._made, asked, who), partial(self._unmade, asked)))
        words = {"who": who, "app": asked.app, "address": asked.client.address}
        _audit.info("{who} does not let {app} in, which asks from {address}", **words)
        self._forget(asked)
        return succeed(None)

    def _make(self, asked: Asked) -> Deferred[tuple[Key, str]]:
        for name in _names(asked):
            try:
                return self._keys.make(name, asked.scopes, asked.printers)
            except KeyExists:
                continue
        raise AssertionError("unreachable")

    def _made(self, asked: Asked, who: str, found: tuple[Key, str]) -> Key | None:
        key, asked.secret = found
        asked.key = key
        words = {"who": who, "name": key.name, "id": key.id, "app": asked.app, "scopes": ", ".join(key.scopes)}
        _audit.info("{who} lets {app} in with the key {name} ({id}) for {scopes}", **words)
        if asked.token not in self._asked:
            self._forget(asked)
            raise _over()
        return key

    def _unmade(self, asked: Asked, failure: Failure) -> Failure:
        asked.decided = False
        return failure

    # -- the program -----------------------------------------------------------------------------------------

    def ask(self, client: Client, printer: Printer, app: str, user: str) -> Asked:
        """Begin to wait; a ``Refusal`` that says what to do if nobody may ask, or not so many or so often."""
        window = self.window
        if window is None:
            raise Refusal(403, "pairing_closed", "Nobody may ask for a key just now.", _OPEN)
        if window.printers and printer.id not in window.printers:
            raise Refusal(403, "pairing_closed", "Keys are given for other printers just now.", _OPEN)
        seconds = self._tries.take(client.counted_as)
        if seconds:
            after = {"Retry-After": str(math.ceil(seconds))}
            raise Refusal(429, "too_many_requests", "This address asks for keys too often.", "Wait a little.", after)
        for old in list(self._asked.values()):
            if (old.app, old.user, old.printer, old.client.address) == (app, user, printer.id, client.address):
                self._forget(old)  # it has begun anew
        askers = [asked.client.counted_as for asked in self._asked.values()]
        if len(askers) >= MOST or askers.count(client.counted_as) >= MOST_PER_ADDRESS:
            hint = "An administrator has to decide on those first, by sdcp-key pair; or wait a little."
            raise Refusal(429, "too_many_requests", "Too many requests for keys wait already.", hint)
        now = self._clock.seconds()
        token, ticket = secrets.token_hex(20), secrets.token_hex(20)
        asked = Asked(app, user, client, printer.id, window.scopes, window.printers, now, now, token, ticket)
        self._asked[token] = asked
        self._watch(asked)
        words = {"app": app, "address": client.address, "printer": printer.slug}
        _audit.info("{app} at {address} asks for a key, at the address of {printer}", **words)
        return asked

    def poll(self, token: str, printer: str, *, fetch: bool = True) -> str:
        """The key, empty as long as there is none; after ``fetch`` it is told to nobody any more.

        A ``Refusal`` for who was not let in, was forgotten, or never asked.
        """
        asked = self._asked.get(token)
        if asked is None or asked.printer != printer:
            raise _over()
        asked.seen = self._clock.seconds()
        secret = asked.secret
        if secret and fetch:
            asked.secret = ""
            self._forget(asked)
        return secret

    # -- time ------------------------------------------------------------------------------------------------

    def _watch(self, asked: Asked) -> None:
        asked.timer = self._clock.callLater(max(0.0, asked.ends - self._clock.seconds()), self._due, asked)

    def _due(self, asked: Asked) -> None:
        asked.timer = None
        if self._clock.seconds() < asked.ends:
            self._watch(asked)
        else:
            _log.info("{app} at {address} waits for a key no more", app=asked.app, address=asked.client.address)
            self._forget(asked)

    def _forget(self, asked: Asked) -> None:
        """Wait for nothing any more; a key that was made for nobody is revoked."""
        self._asked.pop(asked.token, None)
        if asked.timer is not None:
            asked.timer.cancel()
            asked.timer = None
        if asked.key is not None and asked.secret:
            asked.secret = ""
            _audit.info("The key {name} ({id}) was never fetched; it is revoked", name=asked.key.name, id=asked.key.id)
            written = self._keys.revoke(asked.key.id)
            written.addErrback(lambda failure: _log.failure("That could not be recorded", failure))

    def _revoked(self, key: Key) -> None:
        """Somebody has revoked a key: if it was not fetched, it is told to nobody."""
        for asked in list(self._asked.values()):
            if asked.key is not None and asked.key.id == key.id:
                asked.secret = ""
                self._forget(asked)


def _over() -> Refusal:
    message = "This request is decided, or nobody waits for it any more."
    return Refusal(404, "no_request", message, "Let the program ask again.")


def _names(asked: Asked) -> Iterator[str]:
    """Names for the key, the best one first."""
    name = _UNFIT.sub("-", f"{asked.app}-{asked.user}").strip("-")[:56] or "program"
    return (name if not number else f"{name}-{number + 1}" for number in range(MOST_KEYS + 1))
