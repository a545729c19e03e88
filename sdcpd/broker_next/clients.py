"""The clients' door: any MQTT client with a key may hear what the printers say, and talk among its own.

One decision: there are three kinds of topics. ``/sdcp/...`` and ``sdcpd/...`` belong to the daemon: read with the
scope ``view``, written by nobody but for ``sdcpd/<slug>/command`` with the scope ``control``. Everything else is
the clients' own, and the daemon does not look at it; so a home needs no second broker.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

from sdcpd.broker_next.limits import Limits
from sdcpd.broker_next.policy import Identity, OpenPolicy, Verdict
from sdcpd.codec import mqtt
from sdcpd.config import MqttClients
from sdcpd.logs import logger

__all__ = ["CLIENTS_LIMITS", "ClientIdentity", "ClientsPolicy"]

CLIENTS_LIMITS = Limits(connections=2_000, connections_per_address=200, connects_per_second=50)
"""Dashboards and scripts, not a public service."""

_log = logger("sdcpd.broker.clients")


class ClientIdentity(Identity, frozen=True):
    """One client, by the key that it brought. Clients of different keys cannot take over each other's sessions."""

    name: str = ""
    scopes: frozenset[str] = frozenset()


def is_command(topic: str) -> bool:
    """Whether this is ``sdcpd/<slug>/command``."""
    parts = topic.split("/")
    return len(parts) == 3 and parts[0] == "sdcpd" and parts[2] == "command"


def is_ours(topic: str) -> bool:
    """Whether a topic belongs to the daemon (or to nobody: ``$...``)."""
    return topic.startswith(("/sdcp/", "sdcpd/", "$")) or topic in ("/sdcp", "sdcpd")


def may_match_ours(topic_filter: str) -> bool:
    """Whether a filter can match a topic of the daemon."""
    first, _, rest = topic_filter.partition("/")
    if first == "":
        second = rest.partition("/")[0]
        return second in ("sdcp", "+", "#")
    return first in ("sdcpd", "#", "+")


class ClientsPolicy(OpenPolicy):
    """Knows the keys by their SHA-256. ``obey(slug, payload, by)`` takes an allowed command."""

    def __init__(self, settings: MqttClients, obey: Callable[[str, bytes, str], object]) -> None:
        self._settings = settings
        self._obey = obey

    def connect(self, packet: mqtt.Connect, peer: str) -> Identity | mqtt.ConnectCode:
        """By the password, which is a key; the user name is free. Without one, only if anonymity is allowed."""
        if not packet.password:
            if packet.password is None and self._settings.anonymous:
                return ClientIdentity(f"client//{packet.client_id}", name="anonymous", scopes=frozenset({"view"}))
            return mqtt.ConnectCode.NOT_AUTHORIZED
        digest = hashlib.sha256(packet.password).hexdigest()
        # Every key is compared, so that the time tells nothing of which was near.
        found = [key for key in self._settings.keys if hmac.compare_digest(key.sha256.lower(), digest)]
        if not found:
            return mqtt.ConnectCode.BAD_USER_NAME_OR_PASSWORD
        key = found[0]
        return ClientIdentity(
            f"client/{key.name}/{packet.client_id}", name=f"key:{key.name}", scopes=frozenset(key.scopes)
        )

    def subscribe(self, identity: Identity, topic_filter: str, qos: int) -> int:
        """Its own topics freely; what the printers say with ``view``."""
        if may_match_ours(topic_filter) and "view" not in _client(identity).scopes:
            return mqtt.SUBACK_FAILURE
        return qos

    def publish(self, identity: Identity, packet: mqtt.Publish) -> Verdict:
        """Its own topics freely; a command with ``control``, never retained; nothing else of the daemon's."""
        if not is_ours(packet.topic):
            return Verdict.ALLOW
        client = _client(identity)
        if is_command(packet.topic) and "control" in client.scopes and not packet.retain:
            return Verdict.ALLOW
        _log.warn("{who} may not publish on {topic}", who=client.name, topic=packet.topic[:120])
        return Verdict.DROP

    def published(self, identity: Identity, packet: mqtt.Publish) -> None:
        """A command reaches who obeys it; sent again at QoS 1 it is not obeyed again."""
        if not is_command(packet.topic):
            return
        if packet.qos == 1 and packet.dup:
            _log.warn("A repeated command of {who} was not obeyed", who=_client(identity).name)
            return
        self._obey(packet.topic.split("/")[1], packet.payload, _client(identity).name)


def _client(identity: Identity) -> ClientIdentity:
    assert isinstance(identity, ClientIdentity)
    return identity
