"""The clients' door: any MQTT client with a key may hear what the printers say, and talk among its own.

One decision: there are three kinds of topics. ``/sdcp/...`` and ``sdcpd/...`` belong to the daemon: read with the
scope ``view``, written by nobody but for ``sdcpd/<slug>/command`` with a scope that a command needs. Everything else is
the clients' own, and the daemon does not look at it; so a home needs no second broker.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

from sdcpd.broker.limits import Limits
from sdcpd.broker.policy import Identity, OpenPolicy, Verdict
from sdcpd.codec import mqtt
from sdcpd.config import MqttClients, MqttKey
from sdcpd.logs import Few, logger, shown
from sdcpd.records import Key
from sdcpd.scopes import granted

__all__ = ["CLIENTS_LIMITS", "ClientIdentity", "ClientsPolicy", "Obey"]

COMMANDING = frozenset({"queue", "control", "plate"})
"""Scopes that some command needs; which one, the command itself tells."""
CLIENTS_LIMITS = Limits(connections=2_000, connections_per_address=200, connects_per_second=50)
"""Dashboards and scripts, not a public service."""

Obey = Callable[[str, bytes, str, frozenset[str], bool], object]
"""Takes an allowed command: slug, payload, who asks, with which scopes, and whether the message may be a repetition."""

_log = logger("sdcpd.broker.clients")


class ClientIdentity(Identity, frozen=True):
    """One client, by the key that it brought. Clients of different keys cannot take over each other's sessions."""

    name: str = ""
    scopes: frozenset[str] = frozenset()
    key: str = ""
    """The id of its key; empty for a key of the configuration, and without one."""


def is_command(topic: str) -> bool:
    """Whether this is ``sdcpd/<slug>/command``."""
    parts = topic.split("/")
    return len(parts) == 3 and parts[0] == "sdcpd" and parts[2] == "command"


def is_ours(topic: str) -> bool:
    """Whether a topic belongs to the daemon and its printers (or to nobody: ``$...``)."""
    # Some boards leave the first slash of /sdcp/... out.
    first = topic.removeprefix("/").partition("/")[0]
    return first == "sdcp" or topic.startswith(("sdcpd/", "$")) or topic == "sdcpd"


def may_match_ours(topic_filter: str) -> bool:
    """Whether a filter can match a topic of the daemon."""
    first, _, rest = topic_filter.partition("/")
    if first == "":
        return rest.partition("/")[0] in ("sdcp", "+", "#")
    return first in ("sdcp", "sdcpd", "#", "+")


class ClientsPolicy(OpenPolicy):
    """Knows the keys of the configuration by their SHA-256, asks ``find`` for the others, and hands commands on.

    A key that is limited to printers is refused: what goes through this door cannot be told apart by printer.
    """

    def __init__(
        self, settings: MqttClients, obey: Obey, seconds: Callable[[], float], find: Callable[[str], Key | None]
    ) -> None:
        self._settings = settings
        self._obey = obey
        self._few = Few(seconds)
        self._find = find
        self._sessions: dict[str, set[str]] = {}

    def sessions(self, key: Key) -> list[str]:
        """The sessions of those who came in with this key and are connected."""
        return sorted(self._sessions.get(key.id, ()))

    def connect(self, packet: mqtt.Connect, peer: str) -> Identity | mqtt.ConnectCode:
        """By the password, which is a key; the user name is free. Without one, only if anonymity is allowed."""
        key = ""
        if packet.password:
            found = self._key(packet.password) or self._find(packet.password.decode("utf-8", "replace"))
            if found is None:
                return mqtt.ConnectCode.BAD_USER_NAME_OR_PASSWORD
            if isinstance(found, MqttKey):
                # No such name begins like the other kind's.
                prefix, scopes = f"client/{found.name}", frozenset[str](found.scopes)
            elif found.printers:
                self._warn(f"{peer} may not come in: this key is limited to printers:", found.name)
                return mqtt.ConnectCode.NOT_AUTHORIZED
            else:
                prefix, scopes, key = f"client/#{found.id}", granted(found.scopes), found.id
            name = f"key:{found.name}"
        elif packet.password is None and self._settings.anonymous:
            prefix, name, scopes = "client/", "anonymous", frozenset({"view"})
        else:
            return mqtt.ConnectCode.NOT_AUTHORIZED
        # A Will on one of our topics is a command stored for later, or forged: it would never be let out.
        if packet.will is not None and is_ours(packet.will.topic):
            self._warn(f"{name} at {peer} may not leave a Will on", packet.will.topic)
            return mqtt.ConnectCode.NOT_AUTHORIZED
        return ClientIdentity(f"{prefix}/{packet.client_id}", name=name, scopes=scopes, key=key)

    def _key(self, password: bytes) -> MqttKey | None:
        digest = hashlib.sha256(password).hexdigest()
        # Every key is compared, so that the time tells nothing of which was near.
        found = [key for key in self._settings.keys if hmac.compare_digest(key.sha256.lower(), digest)]
        return found[0] if found else None

    def connected(self, identity: Identity) -> None:
        """Remember it, for the day on which its key is revoked."""
        if key := _client(identity).key:
            self._sessions.setdefault(key, set()).add(identity.session)

    def ended(self, identity: Identity, reason: str) -> None:
        """It is gone, and the next of its name is told of after that."""
        key = _client(identity).key
        found = self._sessions.get(key, set())
        found.discard(identity.session)
        if not found:
            self._sessions.pop(key, None)

    def subscribe(self, identity: Identity, topic_filter: str, qos: int) -> int:
        """Its own topics freely; what the printers say with ``view``."""
        if may_match_ours(topic_filter) and "view" not in _client(identity).scopes:
            return mqtt.SUBACK_FAILURE
        return qos

    def publish(self, identity: Identity, packet: mqtt.Publish) -> Verdict:
        """Its own topics freely; a command with a scope for any, never retained; nothing else of the daemon's."""
        if not is_ours(packet.topic):
            return Verdict.ALLOW
        client = _client(identity)
        if not is_command(packet.topic) or not COMMANDING & client.scopes:
            self._warn(f"{client.name} may not publish on", packet.topic)
            return Verdict.DROP
        if packet.retain:
            self._warn(f"{client.name} may not publish a command with RETAIN on", packet.topic)
            return Verdict.DROP
        return Verdict.ALLOW

    def published(self, identity: Identity, packet: mqtt.Publish) -> None:
        """A command reaches who obeys it; with DUP, at any QoS, nobody knows whether it did so before."""
        if is_command(packet.topic):
            client = _client(identity)
            self._obey(packet.topic.split("/")[1], packet.payload, client.name, client.scopes, packet.dup)

    def _warn(self, what: str, topic: str) -> None:
        """Say it, unless the like was said often enough just now: a client can provoke it with every packet."""
        if self._few.may():
            _log.warn("{what} {topic}", what=what, topic=shown(topic))


def _client(identity: Identity) -> ClientIdentity:
    assert isinstance(identity, ClientIdentity)
    return identity
