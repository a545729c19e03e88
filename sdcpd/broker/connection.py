"""One TCP connection of an MQTT client: bytes to packets to the router, and back.

One decision: the transport tells when it has enough (it is a consumer, this is its producer), and what comes while it
does waits here, counted. So a client that does not read costs ``Limits.queued_bytes`` and then its connection, on TCP
as on TLS, and a client that reads slowly but steadily keeps it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol as Seam
from typing import cast

from msgspec.structs import replace
from twisted.internet.interfaces import IConsumer, IPushProducer, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from sdcpd.broker.complaints import Complaints
from sdcpd.broker.limits import LimitExceeded, Limits, Violation
from sdcpd.broker.policy import Identity, Policy
from sdcpd.broker.router import Router
from sdcpd.broker.session import Session
from sdcpd.broker.straight import read_little, write
from sdcpd.codec import mqtt
from sdcpd.codec.mqtt import ConnectCode, PingReq, PubAck, Publish
from sdcpd.errors import WireError
from sdcpd.logs import logger, shown

__all__ = ["Connection", "Door"]

_CHUNK = 128 * 1024
"""What is handed to the transport at once when it has caught up; the most that Twisted sends in one turn."""

_log = logger("sdcpd.broker.connection")
_CLOSED = mqtt.State.CLOSED


class Door(Seam):
    """What a connection needs of the door that it came through."""

    router: Router
    policy: Policy
    limits: Limits
    complaints: Complaints
    seconds: Callable[[], float]

    def remember(self, connection: Connection) -> None:
        """A connection is there."""

    def forget(self, connection: Connection) -> None:
        """A connection is gone."""

    def new_client_id(self) -> str:
        """For a client that brings none."""


@implementer(IPushProducer)
class Connection(Protocol):
    """What a client says goes to the router; what its session says goes to the client."""

    __slots__ = (
        "_answers", "_backlog", "_connection_due", "_door", "_full", "_heard", "_keep_alive", "_mqtt", "_queued",
        "_session", "_taken", "connected", "factory", "peer", "transport",
    )  # fmt: skip

    transport: ITCPTransport

    def __init__(self, door: Door, peer: str) -> None:
        self._door = door
        self.peer = peer
        limits = door.limits
        self._mqtt = mqtt.ServerConnection(limits.packet_size, limits.connect_size)
        self._session: Session | None = None
        self._heard = door.seconds()
        self._keep_alive = 0.0
        # Until when CONNECT, or the farewell, must have happened; 0 between the two.
        self._connection_due = self._heard + limits.connect_time
        self._answers: list[bytes] | None = None
        self._backlog: deque[bytes] | None = None
        self._queued = 0
        self._full = False
        self._taken = 0
        """Packets that count in this tick: those of earlier ones included that were more than could be taken."""

    @property
    def name(self) -> str:
        """Who this is, for people."""
        return self.peer if self._session is None else f"{shown(self._session.identity.session)} at {self.peer}"

    @property
    def queued_bytes(self) -> int:
        """What waits here because the client does not read."""
        return self._queued

    def connectionMade(self) -> None:
        """A peer has connected."""
        self._door.remember(self)
        # Without it a PUBACK and the next PUBLISH wait 40 ms for each other (reference mqtt.md 4.3).
        self.transport.setTcpNoDelay(True)
        read_little(self.transport)
        cast("IConsumer", self.transport).registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        """Bytes have arrived, cut anywhere. What they are answered with leaves in one piece."""
        self._answers = []
        now = self._door.seconds()
        try:
            for packet in self._mqtt.receive(data):
                self._heard = now
                self._taken += 1
                # In the order of how often they come; a session is there for all but CONNECT.
                if isinstance(packet, Publish):
                    self._publish(packet)
                elif isinstance(packet, PubAck):
                    cast("Session", self._session).acknowledged(packet.packet_id)
                elif isinstance(packet, PingReq):
                    self._door.router.pinged(cast("Session", self._session))
                    self.send(mqtt.PINGRESP)
                else:
                    self._seldom(packet)
        except LimitExceeded as error:
            self._violate(error.violation, error)
        except mqtt.ProtocolViolation as error:
            if error.return_code is not None:
                self.send(mqtt.connack(False, error.return_code))
            self._violate(self._kind(error), error)
        except WireError as error:
            self._violate(Violation.PROTOCOL, error)
        except Exception:
            # Ours, not the peer's. None of the return codes says so [MQTT-3.2.2-6].
            _log.failure("The connection of {who} is closed by a bug", who=self.name)
            self._abort("the daemon made a mistake")
        self._flush()
        if self._taken > self._door.limits.packets > 0 and self._mqtt.state is not _CLOSED:
            cast("IPushProducer", self.transport).pauseProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone, however it went."""
        self._leave("the client closed the connection", with_will=True)
        self._door.forget(self)

    # -- what arrives ------------------------------------------------------------------------------------------

    def _publish(self, packet: Publish) -> None:
        session = cast("Session", self._session)
        topic, qos = packet.topic, packet.qos
        if len(topic) >= self._door.limits.topic_levels:
            self._check_levels(topic)
        if qos == 2 and not session.is_new(packet.packet_id):
            self.send(mqtt.pubrec(packet.packet_id))
        elif not self._door.router.received(session, packet):
            self._violate(Violation.POLICY, f"it must not publish on {topic[:80]!r}")
        elif qos == 1:
            self.send(mqtt.puback(packet.packet_id))
        elif qos:
            self.send(mqtt.pubrec(packet.packet_id))

    def _seldom(self, packet: mqtt.Packet) -> None:
        if isinstance(packet, mqtt.Connect):
            self._connect(packet)
            return
        session = cast("Session", self._session)
        match packet:
            case mqtt.PubRec(packet_id):
                session.received(packet_id)
            case mqtt.PubRel(packet_id):
                session.released(packet_id)
                self.send(mqtt.pubcomp(packet_id))
            case mqtt.PubComp(packet_id):
                session.completed(packet_id)
            case mqtt.Subscribe(_, pairs):
                for topic_filter, _ in pairs:
                    self._check_levels(topic_filter)
                self._door.router.subscribe(session, packet)
            case mqtt.Unsubscribe():
                self._door.router.unsubscribe(session, packet)
            case mqtt.Disconnect():
                self._leave("the client said goodbye", with_will=False)
                self._hang_up()

    def _connect(self, packet: mqtt.Connect) -> None:
        door = self._door
        if not packet.client_id:
            packet = replace(packet, client_id=door.new_client_id())  # [MQTT-3.1.3-6]
        if packet.will is not None:
            self._check_levels(packet.will.topic)
        identity = door.policy.connect(packet, self.peer)
        if not isinstance(identity, Identity):
            code = ConnectCode(identity)
            if code is ConnectCode.ACCEPTED:
                raise ValueError("a policy that lets a client in says as whom")
            self.send(mqtt.connack(False, code))
            self._violate(Violation.POLICY, f"client {packet.client_id[:80]!r} was answered {code.name}")
            return
        self._keep_alive = packet.keep_alive * 1.5
        self._connection_due = 0.0
        session = door.router.connect(self, packet, identity, door.policy, door.limits)
        if self._mqtt.state is mqtt.State.CLOSED:  # it was given more than it could take
            door.router.disconnect(session, self, "it does not read", with_will=True)
        else:
            self._session = session

    def _check_levels(self, topic: str) -> None:
        limit = self._door.limits.topic_levels
        levels = topic.count("/") + 1
        if levels > limit:
            raise LimitExceeded(Violation.TOPIC_LEVELS, f"a topic has {levels} levels, {limit} are allowed")

    def _kind(self, error: mqtt.ProtocolViolation) -> Violation:
        if error.clause != "[MQTT-4.8.0-2]":
            return Violation.PROTOCOL
        return Violation.CONNECT_SIZE if self._session is None else Violation.PACKET_SIZE

    # -- what leaves -------------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Send whole packets: with the other answers, at once, or when the client has read what there is."""
        if self._answers is not None:
            self._answers.append(data)
            self._count(len(data))
        elif self._full:
            self._wait(data)
        elif self._mqtt.state is not _CLOSED:
            self.transport.write(data)

    def _flush(self) -> None:
        answers, self._answers = self._answers, None
        if not answers:
            return
        data = answers[0] if len(answers) == 1 else b"".join(answers)
        self._queued -= len(data)
        if self._full:
            self._wait(data)
        else:
            write(self.transport, data)

    def _wait(self, data: bytes) -> None:
        if self._backlog is None:
            self._backlog = deque()
        self._backlog.append(data)
        self._count(len(data))

    def _count(self, size: int) -> None:
        self._queued += size
        limit = self._door.limits.queued_bytes
        if self._queued > limit and self._mqtt.state is not _CLOSED:
            self.cut_off(f"{self._queued} bytes wait for it to read")

    def pauseProducing(self) -> None:
        """The transport has enough for now."""
        self._full = True

    def resumeProducing(self) -> None:
        """The transport has sent everything."""
        self._full = False
        while self._backlog and not self._full:
            chunk = []
            size = 0
            while self._backlog and size < _CHUNK:
                chunk.append(self._backlog.popleft())
                size += len(chunk[-1])
            self._queued -= size
            self.transport.write(b"".join(chunk))
        if not self._backlog:
            self._backlog = None

    def stopProducing(self) -> None:
        """The transport is gone; ``connectionLost`` follows."""

    # -- ends --------------------------------------------------------------------------------------------------

    def close(self, reason: str) -> None:
        """End the connection; its session is no longer, or was never, its own."""
        self._leave(reason, with_will=True)
        self._hang_up()

    def cut_off(self, what: str) -> None:
        """End the connection of a client that does not read, at once."""
        self._door.complaints.note(Violation.QUEUED_BYTES, self.name, what)
        self._abort("it does not read")

    def check(self, now: float) -> None:
        """Another tick: look at the deadlines (CONNECT, keep alive, farewell), and read on where enough was read."""
        if self._taken:
            self._count_anew()
        if self._connection_due:
            if now < self._connection_due:
                return
            if self._mqtt.state is mqtt.State.NEW:
                limit = self._door.limits.connect_time
                self._door.complaints.note(Violation.CONNECT_TIME, self.name, f"no CONNECT within {limit:.0f} s")
            self._abort("")
        elif self._keep_alive and now - self._heard > self._keep_alive:  # [MQTT-3.1.2-24]
            silent = now - self._heard
            self._door.complaints.note(Violation.KEEP_ALIVE, self.name, f"silent for {silent:.0f} s")
            self._abort("its keep alive passed without a packet")

    def _count_anew(self) -> None:
        most = self._door.limits.packets
        held = self._taken > most > 0
        self._taken = max(self._taken - most, 0) if most else 0
        if held and self._taken <= most:
            cast("IPushProducer", self.transport).resumeProducing()

    def _violate(self, kind: Violation, what: object) -> None:
        self._door.complaints.note(kind, self.name, what)
        self.close(str(what))

    def _leave(self, reason: str, with_will: bool) -> None:
        self._mqtt.close()
        session, self._session = self._session, None
        if session is not None:
            self._door.router.disconnect(session, self, reason, with_will)

    def _hang_up(self) -> None:
        """Let what was sent arrive, for a little while: a peer that is gone never reads it."""
        self._flush()
        self._let_go()
        self._connection_due = self._door.seconds() + self._door.limits.farewell_time
        self.transport.loseConnection()

    def _abort(self, reason: str) -> None:
        """Cut the connection: nothing that waits for it could be delivered."""
        self._leave(reason, with_will=True)
        self._let_go()
        self.transport.abortConnection()

    def _let_go(self) -> None:
        """Keep nothing for this connection, and watch no deadline."""
        self._answers = self._backlog = None
        self._queued = 0
        self._full = False
        self._taken = 0
        self._keep_alive = self._connection_due = 0.0
        # A transport waits for its producer before it closes.
        cast("IConsumer", self.transport).unregisterProducer()
