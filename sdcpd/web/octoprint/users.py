"""``api/login``, ``api/logout``, ``api/currentuser``: who somebody is, by their key.

One decision: there are no accounts, so a name with a password is refused in the real server's words, three times in a
minute at most. A passive login tells what the key or the address may do and hands out a session for the push, which
is no key and never shows one (reference apis.md 7.1).
"""

from __future__ import annotations

import math

from msgspec import Struct

from sdcpd.fleet import Printer
from sdcpd.web.answer import Answer, json_answer
from sdcpd.web.client import Client
from sdcpd.web.errors import Refusal
from sdcpd.web.octoprint.form import no
from sdcpd.web.octoprint.logins import Logins, user_of
from sdcpd.web.octoprint.request import DONE, body_of
from sdcpd.web.routes import Call, Route

__all__ = ["UserEndpoints", "groups_of", "permissions_of"]

_PERMISSIONS = {
    "view": ("STATUS", "FILES_LIST", "FILES_DOWNLOAD", "SETTINGS_READ", "MONITOR_TERMINAL"),
    "upload": ("FILES_UPLOAD", "FILES_DELETE"),
    "control": ("CONNECTION", "CONTROL", "PRINT", "FILES_SELECT"),
    "admin": ("ADMIN",),
}
"""What a scope is called here; the queue and the plate have no name in this dialect."""


class User(Struct, frozen=True):
    """Who is logged in."""

    name: str
    session: str
    """What the push takes as ``auth``: ``"<name>:<session>"``."""
    permissions: tuple[str, ...]
    groups: tuple[str, ...]
    admin: bool
    roles: tuple[str, ...]
    needs: dict[str, tuple[str, ...]]
    active: bool = True
    user: bool = True
    apikey: None = None
    settings: dict[str, str] = {}
    _is_external_client: bool = False
    _login_mechanism: str | None = None


class CurrentUser(Struct, frozen=True):
    """Who asks."""

    name: str
    permissions: tuple[str, ...]
    groups: tuple[str, ...]


class UserEndpoints:
    """Handlers over the logins."""

    def __init__(self, logins: Logins) -> None:
        self._logins = logins
        also = (400, 403, 415, 429)
        self.routes = (
            Route("POST", "/api/login", "view", self.login, gives=User, also=also, audited=False),
            Route("POST", "/api/logout", "view", self.logout, content="", status=204, audited=False),
            Route("GET", "/api/currentuser", "view", self.current, gives=CurrentUser),
        )

    def login(self, call: Call, printer: Printer) -> Answer:
        """Who the key belongs to, with a session for the push; a name and a password are always refused."""
        body = body_of(call)
        client = call.client
        if "user" in body and "pass" in body:
            self._refuse(client)
        if not body.get("passive"):
            raise no(400, 'Expected {"passive": true}: there are no accounts, the key says who asks.')
        admin = "admin" in client.scopes
        groups = groups_of(client)
        document = User(
            name=user_of(client),
            session=self._logins.issue(client),
            permissions=permissions_of(client),
            groups=groups,
            admin=admin,
            roles=("user", "admin") if admin else ("user",),
            needs={"group": groups, "role": tuple(word.lower() for word in permissions_of(client))},
            _login_mechanism="apikey" if client.key else None,
        )
        return json_answer(document, headers={"Cache-Control": "no-store"})

    def _refuse(self, client: Client) -> None:
        seconds = self._logins.tried(client)
        if seconds:
            later = {"Retry-After": str(math.ceil(seconds))}
            raise Refusal(429, "no", "You have made too many failed login attempts. Please try again later.", "", later)
        raise no(403, "User unknown or password invalid")

    def logout(self, call: Call, printer: Printer) -> Answer:
        """Forget the sessions of this key at this address; a key itself stays in force."""
        self._logins.end(call.client)
        return DONE

    def current(self, call: Call, printer: Printer) -> Answer:
        """Who asks, and what they may do."""
        client = call.client
        return json_answer(CurrentUser(user_of(client), permissions_of(client), groups_of(client)))


def permissions_of(client: Client) -> tuple[str, ...]:
    """What a client may do, in OctoPrint's words."""
    return tuple(word for scope, words in _PERMISSIONS.items() if scope in client.scopes for word in words)


def groups_of(client: Client) -> tuple[str, ...]:
    """The groups of its user."""
    if "admin" in client.scopes:
        return ("admins", "users")
    return ("users",) if client.scopes - {"view"} else ("readonly",)
