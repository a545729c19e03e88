"""OctoPrint's push over SockJS: who may listen to a printer (reference apis.md 1.4).

One decision: a client hears what its rights let it see, and its rights are those of the request that opened its
session, or of the login it sends. They end with the key they came from, at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from sdcpd.documents import Documents
from sdcpd.files import FileStore
from sdcpd.fleet import Fleet, Printer
from sdcpd.keys import Keys
from sdcpd.records import Key
from sdcpd.web.client import Client
from sdcpd.web.octoprint.audience import Audience
from sdcpd.web.octoprint.host import OCTOPRINT_VERSION
from sdcpd.web.octoprint.listener import Listener
from sdcpd.web.octoprint.logins import Logins
from sdcpd.web.octoprint.present import Present
from sdcpd.web.routes import Call
from sdcpd.web.sockjs import Connection, Session, SockJs
from sdcpd.web.sockjs.frames import encoded

__all__ = ["Push"]

SCOPE = "view"
CHANGED_RULES = (1012, "the rules have changed")


class Push:
    """The application behind ``sockjs``."""

    def __init__(
        self,
        version: str,
        epoch: str,
        *,
        fleet: Fleet,
        store: FileStore,
        documents: Documents,
        present: Present,
        logins: Logins,
        keys: Keys,
        clock: IReactorTime,
        wall: Callable[[], float],
    ) -> None:
        self._version = version
        self._epoch = epoch
        self._reloads = 0
        self._fleet = fleet
        self._store = store
        self._documents = documents
        self._present = present
        self._logins = logins
        self._clock = clock
        self._wall = wall
        self.audiences: dict[str, Audience] = {}
        """Those that listen to a printer, by its MainboardID."""
        self._sockjs: SockJs[Printer] = SockJs(self, clock)
        self.sessions = self._sockjs.sessions
        self.routes = self._sockjs.routes
        keys.subscribe(self._revoked)

    # -- for SockJS (``Application``) ------------------------------------------------------------------------

    def name_of(self, printer: Printer) -> str:
        """Sessions are counted by printer."""
        return printer.id

    def opened(self, session: Session, call: Call, printer: Printer) -> Connection:
        """A client has come: it is greeted, and hears at once if its request lets it."""
        session.send(encoded({"connected": self._connected()}))
        audience = self.audiences.get(printer.id)
        if audience is None:
            audience = self.audiences[printer.id] = self._audience(printer.id)
        client = call.client if self._may_hear(call.client, printer.id) else None
        listener = Listener(session, audience, call.client.address, client, self._clock)
        audience.enter(listener)
        return listener

    def asked(self, connection: Connection, call: Call, printer: Printer) -> None:
        """A client asks again: it may have come to rights, or lost those of its address."""
        assert isinstance(connection, Listener)
        may = self._may_hear(call.client, printer.id)
        if connection.client is None and may:
            connection.admit(call.client)
        elif connection.client is not None and not connection.client.key and not call.client.key and not may:
            connection.dismiss("stale")

    # -- the daemon's life -----------------------------------------------------------------------------------

    def configure(self, *, rules: bool) -> None:
        """The configuration was read again; with other ``rules`` who came in by its address has to come again."""
        self._reloads += 1
        if rules:
            self._logins.distrust()
        for audience in list(self.audiences.values()):
            audience.tell_all([("SettingsUpdated", {"config_hash": self._config_hash()})])
            for listener in audience:
                if rules and listener.client is not None and not listener.client.key:
                    listener.close(*CHANGED_RULES)

    def stop(self) -> None:
        """The daemon stops."""
        for audience in list(self.audiences.values()):
            audience.tell_all([("Shutdown", {})])
        self._sockjs.stop()

    # -- rights ----------------------------------------------------------------------------------------------

    @staticmethod
    def _may_hear(client: Client, mainboard_id: str) -> bool:
        return SCOPE in client.scopes and client.sees(mainboard_id)

    def _revoked(self, key: Key) -> None:
        for audience in list(self.audiences.values()):
            for listener in audience:
                if listener.client is not None and listener.client.key == key.name:
                    listener.dismiss("removed")

    def _audience(self, mainboard_id: str) -> Audience:
        def find(user: str, session: str) -> Client | None:
            client = self._logins.client(user, session)
            return client if client is not None and self._may_hear(client, mainboard_id) else None

        return Audience(
            mainboard_id,
            fleet=self._fleet,
            store=self._store,
            documents=self._documents,
            present=self._present,
            wall=self._wall,
            find=find,
            empty=lambda: self.audiences.pop(mainboard_id, None),
        )

    # -- greeting --------------------------------------------------------------------------------------------

    def _config_hash(self) -> str:
        return _hash(f"{self._epoch}.{self._reloads}")

    def _connected(self) -> dict[str, object]:
        return {
            "apikey": "",  # never a key: whoever is told one here may be anybody
            "version": OCTOPRINT_VERSION,
            "display_version": f"{OCTOPRINT_VERSION} (sdcpd {self._version})",
            "branch": "sdcpd",
            "plugin_hash": _hash(self._version),
            "config_hash": self._config_hash(),
            "debug": False,
            "safe_mode": None,
            "online": True,
            "permissions": [],
        }


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8"), digest_size=16).hexdigest()
