"""HTTP Digest, for the clients of PrusaLink that know nothing else: the user is a key's name, the password the key.

One decision: the mathematics and the challenge are ``twisted.cred``'s; here stands only what it leaves open. A nonce is
good for 15 minutes, for this process and for the port it was given at, and tied to nothing that a client says; each of
its counts is good once, in any order within a window, because clients ask on several connections at a time. Only MD5
with ``qop=auth`` is understood: every client has it, and what lies behind is a key of 160 random bits (RFC 7616).
"""

from __future__ import annotations

import hmac
import re
from typing import Any, cast

from twisted.cred.credentials import DigestCredentialFactory, DigestedCredentials
from twisted.cred.error import LoginFailed
from twisted.internet.interfaces import IReactorTime
from twisted.web.iweb import IRequest

from sdcpd.keys import REALM, Keys
from sdcpd.records import Key
from sdcpd.web.site import Request

__all__ = ["LIFE", "MOST", "WINDOW", "Digests", "StaleNonce", "is_ours"]

LIFE = float(DigestCredentialFactory.CHALLENGE_LIFETIME_SECS)
"""Seconds that a nonce lives."""
MOST = 1024
"""Nonces in use at once, all of them those of right keys; beyond, every client is asked for a new one."""
WINDOW = 64
"""So many counts below the highest may still come."""

_OURS = re.compile(rb'digest\s(?:.*[\s,])?realm\s*=\s*"?' + re.escape(REALM.encode()) + rb'"?\s*(?:,|\Z)', re.I | re.S)
_FIELD = rb'[^\s=",]{1,32}=(?:"[^"]*+"|[^\s",]*+)'
_FIELDS = re.compile(rb"\s*+%b(?:\s*+,[\s,]*+%b)*+[\s,]*+" % (_FIELD, _FIELD))
"""An answer that can be read; Twisted's own reader takes seconds for 16 KB of something else."""
_NEEDED = ("username", "nonce", "opaque", "uri", "response", "qop", "nc", "cnonce")
_COUNT = re.compile(rb"[0-9a-fA-F]{8}")
_NOBODY = "0" * 32


class StaleNonce(Exception):
    """The key is right, but the answer is to an old challenge, or was sent before."""


def is_ours(authorization: bytes) -> bool:
    """Whether this header answers a challenge of ours; the other answers are for proxies, and nothing to us."""
    return _OURS.match(authorization) is not None


class _Response(bytes):
    """What a client has computed: Twisted's comparison with what is right takes the same time, whatever it is."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, bytes) and hmac.compare_digest(bytes(self), bytes(other))

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = bytes.__hash__


class _Factory(DigestCredentialFactory):
    """Twisted's, by a given clock, and with two questions where it has one: is it right, and is it fresh?

    ``_getTime`` and ``_verifyOpaque`` are private to Twisted; ``FactoryTests`` fails if they change.
    """

    def __init__(self, clock: IReactorTime) -> None:
        super().__init__(b"MD5", REALM.encode())
        self._clock = clock

    def _getTime(self) -> float:  # noqa: N802 (Twisted)
        return self._clock.seconds()

    def _verifyOpaque(self, opaque: bytes, nonce: bytes, clientip: object) -> bool:  # noqa: N802
        return True  # asked by ``is_fresh``, when it is known whose answer it is

    def is_fresh(self, fields: dict[str, bytes], within: bytes) -> bool:
        """Whether the nonce was given by this process, at this port, and lately."""
        try:
            return bool(super()._verifyOpaque(fields["opaque"], fields["nonce"], within))
        except (LoginFailed, ValueError):
            return False


class _Nonce:
    """The counts that came with one nonce: the highest, and which of those below it."""

    def __init__(self, until: float) -> None:
        self.until = until
        self._highest = 0
        self._seen = 0

    def take(self, count: int) -> bool:
        """Use a count up; False if it was used before, or lies too far back to tell."""
        ahead = count - self._highest
        if ahead > 0:
            self._seen = (self._seen << min(ahead, WINDOW) | 1) & ((1 << WINDOW) - 1)
            self._highest = count
            return True
        if count == 0 or -ahead >= WINDOW or self._seen >> -ahead & 1:
            return False
        self._seen |= 1 << -ahead
        return True


class Digests:
    """Makes challenges and judges the answers, for the keys that were made for this."""

    def __init__(self, keys: Keys, clock: IReactorTime) -> None:
        self._keys = keys
        self._clock = clock
        self._factory = _Factory(clock)
        self._nonces: dict[bytes, _Nonce] = {}

    def challenge(self, request: IRequest, *, stale: bool = False) -> str:
        """The value of ``WWW-Authenticate``; ``stale`` tells the client that its key was right."""
        told = cast(dict[str, bytes], self._factory.getChallenge(_within(request)))
        parts = [f'{name}="{told[name].decode("ascii")}"' for name in ("realm", "nonce", "opaque", "qop")]
        return f"Digest {', '.join(parts)}, algorithm=MD5{', stale=true' if stale else ''}"

    def find(self, credentials: bytes, request: IRequest, *, through_proxy: bool) -> Key | None:
        """The key in force that this answer proves; None if it proves none. Raises ``StaleNonce``.

        Through a configured proxy the client's path may have begun with what the proxy took away.
        """
        if not _FIELDS.fullmatch(credentials):
            return None
        try:
            answer = cast(DigestedCredentials, self._factory.decode(credentials, request.method, None))
        except (LoginFailed, ValueError):
            return None
        fields = cast(dict[str, bytes], answer.fields)
        if not self._understood(fields) or not _for(fields["uri"], request, through_proxy):
            return None
        key = self._keys.with_digest(fields["username"].decode("utf-8", "replace"))
        right = _right(answer, key.ha1 if key is not None else _NOBODY)  # in any case, so that the time tells nothing
        if key is None or not right:
            return None
        if not self._factory.is_fresh(fields, _within(request)) or not self._nonce(fields["nonce"]).take(
            int(fields["nc"], 16)
        ):
            raise StaleNonce
        return key

    def _understood(self, fields: dict[str, bytes]) -> bool:
        return (
            all(fields.get(name) for name in _NEEDED)
            and fields.get("algorithm", b"MD5").upper() == b"MD5"
            and fields["qop"] == b"auth"
            and _COUNT.fullmatch(fields["nc"]) is not None
        )

    def _nonce(self, nonce: bytes) -> _Nonce:
        found = self._nonces.get(nonce)
        if found is None:
            now = self._clock.seconds()
            if len(self._nonces) >= MOST:
                self._nonces = {text: known for text, known in self._nonces.items() if known.until > now}
            if len(self._nonces) >= MOST:  # to forget one would be to let its answers come again: forget all
                self._nonces, self._factory = {}, _Factory(self._clock)
                raise StaleNonce
            found = self._nonces[nonce] = _Nonce(now + LIFE)
        return found


def _within(request: IRequest) -> bytes:
    """What tells a printer's own port from others: paths are the same at all of them."""
    return cast(Request, request).way.within


def _for(uri: bytes, request: IRequest, through_proxy: bool) -> bool:
    """Whether an answer is for this very request: one for another path is somebody's who has overheard it."""
    return uri == request.uri or (through_proxy and request.uri.startswith(b"/") and uri.endswith(request.uri))


def _right(answer: Any, ha1: str) -> bool:
    answer.fields["response"] = _Response(answer.fields["response"])
    return bool(answer.checkHash(ha1.encode("ascii")))
