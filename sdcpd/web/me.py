"""``GET /v1/me``: who the daemon takes the asker for, and what that one may do.

One decision: anybody may ask this, because a program that knows its rights need not try what will be refused, and tells
a person which permission is missing.
"""

from __future__ import annotations

from msgspec import Struct

from sdcpd.fleet import Fleet
from sdcpd.scopes import SCOPES
from sdcpd.web.answer import Answer, json_answer
from sdcpd.web.client import Client
from sdcpd.web.routes import Call, Route

__all__ = ["MeApi", "MeDocument", "me_document"]


class MeDocument(Struct, frozen=True):
    """Who asks. ``printers`` are the slugs of those that the key is limited to, null for all."""

    name: str
    """The key's name; the address of whoever comes without one."""
    key: bool
    """Whether a key was sent."""
    scopes: tuple[str, ...]
    """All that are granted, included ones included."""
    printers: tuple[str, ...] | None


def me_document(client: Client, fleet: Fleet) -> MeDocument:
    """This client, as it may know itself."""
    limits = client.printers
    return MeDocument(
        name=client.key or client.address or "this machine",
        key=bool(client.key),
        scopes=tuple(scope for scope in SCOPES if scope in client.scopes),
        printers=None if limits is None else tuple(printer.slug for printer in fleet if printer.id in limits),
    )


class MeApi:
    """One route."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.routes = (Route("GET", "/v1/me", None, self.me, MeDocument),)

    def me(self, call: Call) -> Answer:
        """Who asks, by the key or the address, with the scopes."""
        return json_answer(me_document(call.client, self._fleet), headers={"Cache-Control": "no-store"})
