"""``access/...``: keys and tokens, as far as this server has them.

One decision: there are no accounts, and no key is ever told twice. The one request that may make a key makes a new
one for this printer's clients and takes the one before out of force (reference apis.md 1.2).
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from twisted.internet.defer import Deferred

from sdcpd.errors import KeyMissing
from sdcpd.keys import Keys
from sdcpd.web.moonraker.endpoint import Ask, Endpoint
from sdcpd.web.moonraker.form import no
from sdcpd.web.tokens import Tokens

__all__ = ["SCOPES_OF_A_KEY", "AccessEndpoints"]

SCOPES_OF_A_KEY = ("view", "upload", "queue", "control")
"""What a key made here may do: all that Moonraker's clients do; neither say that a plate is clear nor rule."""
_SECRET = {"Cache-Control": "no-store"}


class AccessInfo(Struct, frozen=True):
    """How one comes in."""

    default_source: str
    available_sources: tuple[str, ...]
    login_required: bool
    trusted: bool


class AccessEndpoints:
    """Handlers over the keys and the tokens."""

    def __init__(self, keys: Keys, tokens: Tokens) -> None:
        self._keys = keys
        self._tokens = tokens
        key = "/access/api_key"
        self.endpoints = (
            Endpoint("GET", "/access/info", None, self.info, AccessInfo),
            Endpoint("GET", key, "admin", self.tell, None, also=(403,)),
            Endpoint("POST", key, "admin", self.make, str, also=(422, 507)),
            Endpoint("GET", "/access/oneshot_token", "view", self.token, str),
            Endpoint("POST", "/access/login", "view", self.login, None, also=(401,)),
        )

    def info(self, ask: Ask) -> AccessInfo:
        """Whether a key is needed, as far as looking goes."""
        return AccessInfo("moonraker", ("moonraker",), "view" not in ask.client.scopes, bool(ask.client.scopes))

    def tell(self, ask: Ask) -> str:
        """The key in force: only its hash is kept, so nobody can tell it."""
        raise no(403, "A key is told once, when it is made: POST access/api_key makes a new one")

    def make(self, ask: Ask) -> Deferred[str]:
        """A new key for clients of this printer; the one that was made here before is good for nothing now."""
        name = f"moonraker-{ask.printer.slug}"
        try:
            revoked: Any = self._keys.revoke(name)
        except KeyMissing:
            revoked = None
        ask.headers.update(_SECRET)
        made = self._keys.make(name, SCOPES_OF_A_KEY, (ask.printer.id,)).addCallback(lambda pair: pair[1])
        return made if revoked is None else revoked.addCallback(lambda _: made)

    def token(self, ask: Ask) -> str:
        """A token for ``?token=``: 5 s, one GET, from this address, for what the one who asks may do."""
        ask.headers.update(_SECRET)
        return self._tokens.make(ask.client)

    def login(self, ask: Ask) -> str:
        """Log in with a name and a password: there are no accounts."""
        raise no(401, "Unauthorized")
