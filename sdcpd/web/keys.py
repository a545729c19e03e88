"""Keys over HTTP: who may come in (``/v1/keys``, for admins) and tokens for addresses (``/v1/token``).

One decision: the key itself is in exactly one answer, the one to the request that made it, which nobody may store.
"""

from __future__ import annotations

from msgspec import Struct
from twisted.internet.defer import Deferred

from sdcpd.fleet import Fleet
from sdcpd.keys import Keys
from sdcpd.logs import logger
from sdcpd.records import Key
from sdcpd.web.answer import Answer, json_answer
from sdcpd.web.routes import Call, Route
from sdcpd.web.tokens import LIFE, Tokens

__all__ = ["KeysApi"]

_audit = logger("sdcpd.audit")
_SECRET = {"Cache-Control": "no-store"}


class KeyDocument(Struct, frozen=True):
    """One key, without itself. ``printers`` are slugs, empty for all; ``created`` is seconds since the epoch."""

    id: str
    name: str
    scopes: tuple[str, ...]
    printers: tuple[str, ...]
    created: float
    digest: bool = False
    """Whether it is good for HTTP Digest, too."""


class KeyRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A key to make: ``printers`` are slugs or MainboardIDs, empty for all; ``digest`` for HTTP Digest, too."""

    name: str
    scopes: tuple[str, ...]
    printers: tuple[str, ...] = ()
    digest: bool = False


class KeyAnswer(Struct, frozen=True):
    """A new key; ``secret`` is what its owner has to send, and is told nowhere else."""

    key: KeyDocument
    secret: str


class TokenAnswer(Struct, frozen=True):
    """A token for ``?token=``, and the seconds that it lives."""

    token: str
    expires_in: int


class KeysApi:
    """Handlers over the keys."""

    def __init__(self, keys: Keys, fleet: Fleet, tokens: Tokens) -> None:
        self._keys = keys
        self._fleet = fleet
        self._tokens = tokens
        one = "/v1/keys/<key_id>"
        also = (404, 409, 422, 507)
        self.routes = (  # which say themselves who did what: the paths do not name the keys
            Route("GET", "/v1/keys", "admin", self.list, list[KeyDocument]),
            Route("POST", "/v1/keys", "admin", self.make, KeyAnswer, 201, KeyRequest, also=also, audited=False),
            Route("DELETE", one, "admin", self.revoke, status=204, content="", also=(404,), audited=False),
            Route("POST", "/v1/token", "view", self.token, TokenAnswer, 201, limited=True, audited=False),
        )

    def _document(self, key: Key) -> KeyDocument:
        known = ((self._fleet.find(mainboard_id), mainboard_id) for mainboard_id in key.printers)
        slugs = tuple(printer.slug if printer is not None else mainboard_id for printer, mainboard_id in known)
        return KeyDocument(key.id, key.name, key.scopes, slugs, key.created, bool(key.ha1))

    def list(self, call: Call) -> Answer:
        """The keys in force, oldest first."""
        return json_answer([self._document(key) for key in self._keys.list()])

    def make(self, call: Call) -> Deferred[Answer]:
        """Make a key; its ``secret`` is told here and never again."""
        wish = call.json(KeyRequest)
        printers = [self._fleet.get(name).id for name in wish.printers]
        who = call.client.who

        def made(found: tuple[Key, str]) -> Answer:
            key, text = found
            document = self._document(key)
            limits = ", ".join(document.printers) or "all printers"
            limits += ", for HTTP Digest, too" if document.digest else ""
            words = {"who": who, "name": key.name, "id": key.id, "scopes": ", ".join(key.scopes), "limits": limits}
            _audit.info("{who} made the key {name} ({id}) for {scopes} on {limits}", **words)
            return json_answer(KeyAnswer(document, text), 201, {"Location": f"/v1/keys/{key.id}", **_SECRET})

        return self._keys.make(wish.name, wish.scopes, printers, digest=wish.digest).addCallback(made)

    def revoke(self, call: Call, key_id: str) -> Deferred[Answer]:
        """Revoke a key, by its id or its name; it is good for nothing from now on."""
        key = self._keys.get(key_id)
        written = self._keys.revoke(key.id)
        _audit.info("{who} revoked the key {name} ({id})", who=call.client.who, name=key.name, id=key.id)
        return written.addCallback(lambda _: Answer(204))

    def token(self, call: Call) -> Answer:
        """A token that lets one GET from this address do what the one who asks may do, within 5 s."""
        return json_answer(TokenAnswer(self._tokens.make(call.client), int(LIFE)), 201, _SECRET)
