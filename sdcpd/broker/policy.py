"""Who may do what: the questions that a door asks, and the answers of a door that is open to everybody.

One decision: a policy answers at CONNECT with a value, the ``Identity``, and is handed that value with every later
question. It keeps nothing for a connection itself, and a session that waits for its client is judged by the identity
that it was made for.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from msgspec import Struct

from sdcpd.codec.mqtt import Connect, ConnectCode, Publish

__all__ = ["Identity", "OpenPolicy", "Policy", "Verdict"]


class Verdict(Enum):
    """What becomes of a message that a client publishes [MQTT-3.3.5-2]."""

    ALLOW = "it goes to its subscribers"
    DROP = "it is acknowledged and goes nowhere"
    CLOSE = "the connection is closed"


# A member of an Enum takes ten times as long to look up as a name of the module, and this is asked for each message.
_ALLOW = Verdict.ALLOW


class Identity(Struct, frozen=True):
    """As whom a client was let in. A policy that wants to remember more derives its own.

    ``session`` names its state for take-over, resumption and ``Router.deliver``: the client identifier, or what the
    door makes of it where two doors share a router. ``stored`` is whether anything may be kept while it is away, what
    it publishes with RETAIN included.
    ``routed`` is whether its subscriptions bring it what others publish, or only what ``Router.deliver`` sends it.
    """

    session: str
    stored: bool = True
    routed: bool = True


class Policy(Protocol):
    """The rules of one door.

    ``expected``, ``connect``, ``subscribe`` and ``publish`` are asked. The other methods are told, and a policy that
    does not listen inherits them; what they raise is logged and goes no further.
    """

    def connect(self, packet: Connect, peer: str) -> Identity | ConnectCode:
        """Let a client in from the address ``peer``, or say why not. The client identifier is never empty here."""

    def subscribe(self, identity: Identity, topic_filter: str, qos: int) -> int:
        """The QoS that is granted, ``qos`` at most, or ``SUBACK_FAILURE``."""

    def publish(self, identity: Identity, packet: Publish) -> Verdict:
        """Whether a message may go out; a Will is asked for when it is due."""

    def expected(self, peer: str) -> int:
        """How many clients are known to be at this address: so many more may connect from there than from another."""
        return 0

    def published(self, identity: Identity, packet: Publish) -> None:
        """An allowed message has come; once, also where it was sent twice at QoS 2."""
        return

    def connected(self, identity: Identity) -> None:
        """The client has its CONNACK."""
        return

    def subscribed(self, identity: Identity, topic_filters: tuple[str, ...]) -> None:
        """The client has its SUBACK for these filters, those that were refused left out."""
        return

    def unsubscribed(self, identity: Identity, topic_filters: tuple[str, ...]) -> None:
        """The client has its UNSUBACK for these filters, those that it never had left out."""
        return

    def pinged(self, identity: Identity) -> None:
        """The client says that it is alive."""
        return

    def ended(self, identity: Identity, reason: str) -> None:
        """The connection is over, however it went."""
        return


class OpenPolicy(Policy):
    """Any client identifier, any topic, anonymous; it listens to nothing. Also what other policies may derive from."""

    def connect(self, packet: Connect, peer: str) -> Identity | ConnectCode:
        """Everybody is welcome."""
        return Identity(packet.client_id)

    def subscribe(self, identity: Identity, topic_filter: str, qos: int) -> int:
        """Everything is granted as asked for."""
        return qos

    def publish(self, identity: Identity, packet: Publish) -> Verdict:
        """Everything may be said."""
        return _ALLOW
