"""``plugin/appkeys``: how Cura, Home Assistant and OctoRest get a key of their own without anybody typing it.

One decision: the words and the codes are the real plugin's, what stands behind them is ``Pairing``. While nobody has
opened the window a request is refused with 403 and a sentence, which Cura writes into its log and OctoRest shows; to
Home Assistant every refusal is the same (reference apis.md 2.4, 2.7, 2.8, 5.2).
"""

from __future__ import annotations

from urllib.parse import parse_qs

from msgspec import Struct
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from sdcpd.errors import SdcpdError
from sdcpd.fleet import Fleet, Printer
from sdcpd.web.address import base
from sdcpd.web.answer import Answer, json_answer
from sdcpd.web.client import Client
from sdcpd.web.errors import Refusal, verdict
from sdcpd.web.octoprint import approval
from sdcpd.web.octoprint.form import no
from sdcpd.web.octoprint.request import DONE, body_of
from sdcpd.web.pairing import Asked, Pairing
from sdcpd.web.routes import Call, Route

__all__ = ["AppKeysEndpoints"]

LONGEST = 100
"""Characters of a program's or a user's name."""

_AT = "/plugin/appkeys"
_SECRET = {"Cache-Control": "no-store"}


class AskedAnswer(Struct, frozen=True):
    """A request that waits; ``auth_dialog`` is where an administrator decides."""

    app_token: str
    auth_dialog: str


class WaitingAnswer(Struct, frozen=True):
    """No decision yet."""

    message: str = "Awaiting decision"


class GrantedAnswer(Struct, frozen=True):
    """The key, told this once."""

    api_key: str


class AppKeysEndpoints:
    """Handlers over the pairing."""

    def __init__(self, pairing: Pairing, fleet: Fleet) -> None:
        self._pairing = pairing
        self._fleet = fleet
        asked, dialog, decision = f"{_AT}/request/<token>", f"{_AT}/auth/<ticket>", f"{_AT}/decision/<ticket>"
        page = "text/html"
        self.routes = (  # which say themselves who did what: tokens and tickets are not for the log
            Route("GET", f"{_AT}/probe", None, self.probe, status=204, content=""),
            Route("POST", f"{_AT}/request", None, self.ask, AskedAnswer, 201, also=(400, 415, 429), audited=False),
            Route("GET", asked, None, self.poll, GrantedAnswer, also=(404,)),
            Route("GET", dialog, None, self.dialog, content=page, also=(404,)),
            Route("POST", dialog, None, self.decide_by_form, content=page, also=(404, 429), audited=False),
            Route("POST", decision, "admin", self.decide, status=204, content="", also=(400, 404), audited=False),
        )

    # -- the program -----------------------------------------------------------------------------------------

    def probe(self, call: Call, printer: Printer) -> Answer:
        """Programs may ask here, though not at any time."""
        return DONE

    def ask(self, call: Call, printer: Printer) -> Answer:
        """Ask for a key, as ``{"app": ..., "user": ...}``; possible while an administrator lets programs ask."""
        body = body_of(call)
        asked = self._pairing.ask(call.client, printer, _name(body, "app"), _name(body, "user"))
        here = f"{base(call)}{_AT}"
        answer = AskedAnswer(asked.token, f"{here}/auth/{asked.ticket}")
        return json_answer(answer, 201, {"Location": f"{here}/request/{asked.token}", **_SECRET})

    def poll(self, call: Call, printer: Printer, token: str) -> Answer:
        """Whether it is decided: 202 while it is not, the key exactly once, 404 for who is not let in."""
        secret = self._pairing.poll(token, printer.id, fetch=call.request.method == b"GET")
        if not secret:
            return json_answer(WaitingAnswer(), 202)
        return json_answer(GrantedAnswer(secret), 200, _SECRET)

    # -- the administrator -----------------------------------------------------------------------------------

    def dialog(self, call: Call, printer: Printer, ticket: str) -> Answer:
        """The page on which an administrator decides."""
        try:
            return approval.question(self._facts(self._pairing.find(ticket, printer.id)))
        except Refusal as refusal:
            return approval.over(refusal)

    def decide_by_form(self, call: Call, printer: Printer, ticket: str) -> Deferred[Answer]:
        """What that page sends: ``decision`` and the admin's ``key``, which was typed there."""
        try:
            asked = self._pairing.find(ticket, printer.id)
        except Refusal as refusal:
            return succeed(approval.over(refusal))
        fields = parse_qs(call.request.content.read().decode("utf-8", "replace"))
        facts, decision = self._facts(asked), fields.get("decision", [""])[-1]
        try:
            admin = _admin(call, fields.get("key", [""])[-1])
            if decision not in ("allow", "refuse"):
                raise Refusal(400, "bad_form", "Neither Allow nor Refuse was chosen.", "Choose one.")
        except Refusal as refusal:
            return succeed(approval.question(facts, refusal))
        return self._pairing.decide(asked, decision == "allow", admin.who).addCallbacks(
            lambda key: approval.done(facts, key), lambda failure: _still(facts, failure)
        )

    def decide(self, call: Call, printer: Printer, ticket: str) -> Deferred[Answer]:
        """The same for programs: ``{"decision": true}`` or false."""
        wish = body_of(call).get("decision")
        if not isinstance(wish, bool):
            raise no(400, "decision is invalid: expected true or false")
        asked = self._pairing.find(ticket, printer.id)
        return self._pairing.decide(asked, wish, call.client.who).addCallback(lambda _: DONE)

    def _facts(self, asked: Asked) -> approval.Facts:
        known = (self._fleet.find(mainboard_id) for mainboard_id in asked.printers)
        names = tuple(printer.name for printer in known if printer is not None)
        return approval.Facts(asked.app, asked.user, asked.client.address, asked.scopes, names)


def _admin(call: Call, key: str) -> Client:
    """The administrator who typed this key; a ``Refusal`` for a page, by which no browser asks for a password."""
    try:
        admin = call.with_key(key)
    except Refusal as refusal:
        if refusal.status == 401:
            raise Refusal(403, refusal.refusal, "No key in force reads like this.", "Type an admin's key.") from None
        raise
    if "admin" not in admin.scopes:
        raise Refusal(403, "forbidden", "This is the key of somebody who may not decide.", "Type an admin's key.")
    return admin


def _still(facts: approval.Facts, failure: Failure) -> Answer:
    """It could not be done: the page says why, and can be used again."""
    failure.trap(SdcpdError)
    status, body, headers = verdict(failure)
    return approval.question(facts, Refusal(status, body.code, body.message, body.hint, headers))


def _name(body: dict[str, object], field: str) -> str:
    """A name that somebody else chose, fit to be shown: in one line, without what changes the text around it."""
    value = body.get(field, "")
    if value is None and field == "user":
        return ""
    if not isinstance(value, str) or len(value) > LONGEST:
        raise no(400, f"{field} is invalid: expected a text of at most {LONGEST} characters")
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(value.split()))
    if field == "app" and not shown:
        raise no(400, "app is missing: expected the name of the program")
    return shown
