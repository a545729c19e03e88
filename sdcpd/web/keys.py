"""Keys over HTTP: who may come in and who may ask to (``/v1/keys``, for admins), tokens for addresses (``/v1/token``).

One decision: the key itself is in exactly one answer, the one to the request that made it, which nobody may store.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct
from twisted.internet.defer import Deferred

from sdcpd.errors import BadKey
from sdcpd.fleet import Fleet
from sdcpd.keys import Keys
from sdcpd.logs import logger
from sdcpd.records import Key
from sdcpd.web.answer import Answer, json_answer
from sdcpd.web.pairing import SCOPES, AppScope, Pairing
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


class PairingRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """For how long programs may ask for a key, and what they get; 0 minutes let nobody ask any more."""

    minutes: Annotated[int, Meta(ge=0, le=15)]
    scopes: tuple[AppScope, ...] = SCOPES
    printers: tuple[str, ...] = ()


class AskedDocument(Struct, frozen=True):
    """A program that waits for a decision: POST ``{"decision": true}``, or false, to ``decision``."""

    app: str
    user: str
    address: str
    printer: str
    scopes: tuple[str, ...]
    printers: tuple[str, ...]
    age_s: float
    decision: str


class PairingDocument(Struct, frozen=True):
    """Whether programs may ask for a key, for how many seconds more, and which of them wait."""

    open: bool
    expires_in: float
    scopes: tuple[str, ...]
    printers: tuple[str, ...]
    waiting: tuple[AskedDocument, ...]


class TokenAnswer(Struct, frozen=True):
    """A token for ``?token=``, and the seconds that it lives."""

    token: str
    expires_in: int


class KeysApi:
    """Handlers over the keys."""

    def __init__(self, keys: Keys, fleet: Fleet, tokens: Tokens, pairing: Pairing) -> None:
        self._keys = keys
        self._fleet = fleet
        self._tokens = tokens
        self._pairing = pairing
        one = "/v1/keys/<key_id>"
        also = (404, 409, 422, 507)
        self.routes = (  # which say themselves who did what: the paths do not name the keys
            Route("GET", "/v1/keys", "admin", self.list, list[KeyDocument]),
            Route("POST", "/v1/keys", "admin", self.make, KeyAnswer, 201, KeyRequest, also=also, audited=False),
            Route("DELETE", one, "admin", self.revoke, status=204, content="", also=(404,), audited=False),
            Route("GET", "/v1/keys/pairing", "admin", self.pairing, PairingDocument),
            Route(
                "POST",
                "/v1/keys/pairing",
                "admin",
                self.pair,
                PairingDocument,
                takes=PairingRequest,
                also=(404, 422),
                audited=False,
            ),
            Route("POST", "/v1/token", "view", self.token, TokenAnswer, 201, limited=True, audited=False),
        )

    def _slugs(self, mainboard_ids: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(self._fleet.slug_of(mainboard_id) for mainboard_id in mainboard_ids)

    def _document(self, key: Key) -> KeyDocument:
        return KeyDocument(key.id, key.name, key.scopes, self._slugs(key.printers), key.created, bool(key.ha1))

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

    def pair(self, call: Call) -> Answer:
        """Let programs ask for keys, as OctoPrint's clients do, or end that; each still has to be let in."""
        wish = call.json(PairingRequest)
        if not wish.minutes:
            self._pairing.close()
            _audit.info("{who} lets programs ask for keys no more", who=call.client.who)
        else:
            if not wish.scopes:
                raise BadKey("scopes: expected at least one, found none.", "Leave them out for the usual ones.")
            printers = [self._fleet.get(name).id for name in wish.printers]
            self._pairing.open(wish.minutes * 60, dict.fromkeys(wish.scopes), dict.fromkeys(printers))
            words = {"who": call.client.who, "minutes": wish.minutes, "scopes": ", ".join(wish.scopes)}
            _audit.info("{who} lets programs ask for keys with {scopes} for {minutes} min", **words)
        return self.pairing(call)

    def pairing(self, call: Call) -> Answer:
        """Whether programs may ask for keys now, and who waits for a decision."""
        window, now = self._pairing.window, self._pairing.now
        waiting = tuple(
            AskedDocument(
                asked.app,
                asked.user,
                asked.client.address,
                slug,
                asked.scopes,
                self._slugs(asked.printers),
                round(now - asked.since, 1),
                f"/printers/{slug}/plugin/appkeys/decision/{asked.ticket}",
            )
            for asked in self._pairing.waiting
            for slug in self._slugs((asked.printer,))
        )
        if window is None:
            return json_answer(PairingDocument(False, 0.0, (), (), waiting))
        left = round(window.until - now, 1)
        return json_answer(PairingDocument(True, left, window.scopes, self._slugs(window.printers), waiting))

    def token(self, call: Call) -> Answer:
        """A token that lets one GET from this address do what the one who asks may do, within 5 s."""
        return json_answer(TokenAnswer(self._tokens.make(call.client), int(LIFE)), 201, _SECRET)
