"""What the tests of the MQTT server share: a client in memory, an outlet, and a reader of what a server sends."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar, NamedTuple, cast

from msgspec.structs import asdict
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.broker import Identity, Limits, OpenPolicy, Policy, Router, Server, Storage, Verdict
from sdcpd.broker.connection import Connection
from sdcpd.codec import mqtt
from sdcpd.codec.mqtt import Connect, ConnectCode, Publish, Subscribe, Unsubscribe, Will
from sdcpd.logs import set_level
from tests.client_packets import encode

__all__ = [
    "Client",
    "ConnAck",
    "FakeOutlet",
    "PingResp",
    "ServerTestCase",
    "StrictPolicy",
    "SubAck",
    "UnsubAck",
    "Wire",
    "connect_packet",
    "ids",
    "payloads",
    "read",
]


class ConnAck(NamedTuple):
    present: bool
    code: int


class SubAck(NamedTuple):
    packet_id: int
    codes: tuple[int, ...]


class UnsubAck(NamedTuple):
    packet_id: int


class PingResp(NamedTuple):
    pass


Answer = ConnAck | SubAck | UnsubAck | PingResp | Publish | mqtt.PubAck | mqtt.PubRec | mqtt.PubRel | mqtt.PubComp

_ACKS: dict[int, Callable[[int], Answer]] = {
    0x40: mqtt.PubAck,
    0x50: mqtt.PubRec,
    0x62: mqtt.PubRel,
    0x70: mqtt.PubComp,
}


def read(data: bytes) -> list[Answer]:
    """The packets that a server sent, to the last byte; written from the standard, not from the codec."""
    found = []
    at = 0
    while at < len(data):
        first, size, shift = data[at], 0, 0
        at += 1
        while True:
            size |= (data[at] & 0x7F) << shift
            shift += 7
            at += 1
            if data[at - 1] < 0x80:
                break
        body = data[at : at + size]
        assert len(body) == size, "the last packet is cut"
        at += size
        found.append(_packet(first, body))
    return found


def _packet(first: int, body: bytes) -> Answer:
    if first >> 4 == 3:
        stop = 2 + (body[0] << 8 | body[1])
        topic = str(body[2:stop], "utf-8")
        qos = first >> 1 & 3
        packet_id = 0
        if qos:
            packet_id = body[stop] << 8 | body[stop + 1]
            stop += 2
        return Publish(topic, body[stop:], qos, first & 1 == 1, first & 8 == 8, packet_id)
    if first == 0x20:
        assert len(body) == 2
        assert body[0] in (0, 1)
        return ConnAck(body[0] == 1, body[1])
    if first == 0xD0:
        assert not body
        return PingResp()
    packet_id = body[0] << 8 | body[1]
    if first == 0x90:
        return SubAck(packet_id, tuple(body[2:]))
    assert len(body) == 2
    if first == 0xB0:
        return UnsubAck(packet_id)
    return _ACKS[first](packet_id)


def payloads(packets: Iterable[Answer]) -> list[bytes]:
    """What the messages among the packets say."""
    return [packet.payload for packet in packets if isinstance(packet, Publish)]


def ids(packets: Iterable[Answer]) -> list[int]:
    """The identifiers of the messages among the packets."""
    return [packet.packet_id for packet in packets if isinstance(packet, Publish)]


def connect_packet(
    client_id: str = "c",
    clean: bool = True,
    keep_alive: int = 0,
    will: Will | None = None,
    username: str | None = None,
    password: bytes | None = None,
) -> Connect:
    """A CONNECT."""
    return Connect(client_id, clean, keep_alive, username, password, will)


class FakeOutlet:
    """A connection as a session or a router sees it."""

    def __init__(self, on_send: Callable[[], None] | None = None) -> None:
        self.data = b""
        self.closed: list[str] = []
        self.on_send = on_send

    def send(self, data: bytes) -> None:
        self.data += data
        if self.on_send is not None:
            self.on_send()

    def close(self, reason: str) -> None:
        self.closed.append(reason)

    def take(self) -> list[Answer]:
        """The packets since the last look."""
        data, self.data = self.data, b""
        return read(data)


class Wire(StringTransport):
    """A TCP connection as the server sees it; what was sent after its end would be found out."""

    aborted = False
    no_delay = False
    writes = 0

    def setTcpNoDelay(self, enabled: bool) -> None:  # noqa: N802 (Twisted's name)
        self.no_delay = enabled

    def write(self, data: bytes) -> None:
        assert not self.over, "nothing may be sent after the end"
        self.writes += 1
        super().write(data)

    def unregisterProducer(self) -> None:  # noqa: N802 (Twisted's name)
        self.producer = None  # once more than necessary is all right, as with real transports

    def abortConnection(self) -> None:
        self.aborted = True

    @property
    def over(self) -> bool:
        """Whether the server has ended it."""
        return bool(self.disconnecting or self.aborted)


class Client:
    """The other end of one connection, byte by byte."""

    def __init__(self, server: Server, address: str = "10.0.0.1") -> None:
        protocol = server.buildProtocol(IPv4Address("TCP", address, 40_000))
        assert isinstance(protocol, Connection), "refused"
        self.protocol: Connection = protocol
        self.wire = Wire(peerAddress=IPv4Address("TCP", address, 40_000))
        self.protocol.makeConnection(self.wire)

    def raw(self, data: bytes) -> None:
        self.protocol.dataReceived(data)

    def say(self, *packets: mqtt.Packet) -> None:
        """Send packets, all in one segment."""
        self.raw(b"".join(map(encode, packets)))

    def take(self) -> list[Answer]:
        """The packets that the server sent since the last look."""
        data: bytes = self.wire.value()
        self.wire.clear()
        return read(data)

    def connect(
        self,
        client_id: str = "c",
        clean: bool = True,
        keep_alive: int = 0,
        will: Will | None = None,
    ) -> ConnAck:
        """Connect; the first packet that comes back."""
        self.say(connect_packet(client_id, clean, keep_alive, will))
        data: bytes = self.wire.value()
        answer = read(data[:4])[0]
        self.wire.clear()
        super(Wire, self.wire).write(data[4:])
        assert isinstance(answer, ConnAck)
        return answer

    def subscribe(self, *filters: str, qos: int = 0, packet_id: int = 1) -> tuple[int, ...]:
        """Subscribe; the return codes. Messages that come with them stay for ``take``."""
        self.say(Subscribe(packet_id, tuple((f, qos) for f in filters)))
        data: bytes = self.wire.value()
        size = 4 + len(filters)
        answer = read(data[:size])[0]
        self.wire.clear()
        super(Wire, self.wire).write(data[size:])
        assert isinstance(answer, SubAck)
        assert answer.packet_id == packet_id
        return answer.codes

    def unsubscribe(self, *filters: str, packet_id: int = 1) -> None:
        self.say(Unsubscribe(packet_id, filters))

    def publish(
        self,
        topic: str,
        payload: bytes = b"m",
        qos: int = 0,
        packet_id: int = 0,
        retain: bool = False,
        dup: bool = False,
    ) -> None:
        self.say(Publish(topic, payload, qos, retain, dup, packet_id or (1 if qos else 0)))

    def vanish(self) -> None:
        """The connection is gone, without a word."""
        self.protocol.connectionLost(Failure(ConnectionDone()))

    @property
    def over(self) -> bool:
        return self.wire.over


class StrictPolicy(OpenPolicy):
    """Rules for tests: ids, filters and topics are refused by how they begin. It writes down what it is told."""

    CODES: ClassVar = {code.name.lower(): code for code in ConnectCode if code}

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []
        self.trouble: Exception | None = None
        self.most = 2

    def connect(self, packet: Connect, peer: str) -> Identity | ConnectCode:
        if packet.client_id == "bug":
            raise RuntimeError("the policy has a bug")
        if packet.client_id in self.CODES:
            return self.CODES[packet.client_id]
        return Identity(packet.client_id, stored=not packet.client_id.startswith("printer"))

    def subscribe(self, identity: Identity, topic_filter: str, qos: int) -> int:
        if topic_filter.startswith("secret"):
            return mqtt.SUBACK_FAILURE
        return self.most

    def publish(self, identity: Identity, packet: Publish) -> Verdict:
        if packet.topic == "bug":
            raise RuntimeError("the policy has a bug")
        if packet.topic.startswith("secret"):
            return Verdict.DROP
        return Verdict.CLOSE if packet.topic.startswith("forbidden") else Verdict.ALLOW

    def published(self, identity: Identity, packet: Publish) -> None:
        self._tell("published", identity.session, packet.topic, packet.payload)

    def connected(self, identity: Identity) -> None:
        self._tell("connected", identity.session)

    def subscribed(self, identity: Identity, topic_filters: tuple[str, ...]) -> None:
        self._tell("subscribed", identity.session, topic_filters)

    def unsubscribed(self, identity: Identity, topic_filters: tuple[str, ...]) -> None:
        self._tell("unsubscribed", identity.session, topic_filters)

    def pinged(self, identity: Identity) -> None:
        self._tell("pinged", identity.session)

    def ended(self, identity: Identity, reason: str) -> None:
        self._tell("ended", identity.session, reason)

    def _tell(self, *what: object) -> None:
        self.told.append(what)
        if self.trouble is not None:
            raise self.trouble


class ServerTestCase(SynchronousTestCase):
    """A server on a clock that only the test moves."""

    limits = Limits()
    storage = Storage()

    def setUp(self) -> None:
        self.clock = Clock()
        self.router = Router(self.clock.seconds, self.storage)
        self.server = self.door()
        self.lines: list[str] = []
        set_level("info")  # other tests leave theirs
        observer = cast("ILogObserver", self._line)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def _line(self, event: LogEvent) -> None:
        if str(event.get("log_namespace", "")).startswith("sdcpd.broker"):
            self.lines.append(str(event.get("log_format", "")).format(**event))

    def door(self, policy: Policy | None = None, **limits: float) -> Server:
        """A server in front of the test's router."""
        chosen = Limits(**{**asdict(self.limits), **limits})
        server = Server(self.clock, self.router, OpenPolicy() if policy is None else policy, chosen)
        server.startFactory()
        self.addCleanup(server.stopFactory)
        return server

    def client(
        self, client_id: str = "c", clean: bool = True, will: Will | None = None, server: Server | None = None
    ) -> Client:
        """A client that is connected."""
        client = Client(self.server if server is None else server)
        self.assertEqual(client.connect(client_id, clean, will=will).code, 0)
        return client

    def subscriber(self, *filters: str, qos: int = 0, client_id: str = "subscriber", clean: bool = True) -> Client:
        """A client that is connected and has subscribed."""
        client = self.client(client_id, clean)
        self.assertEqual(client.subscribe(*filters, qos=qos), (qos,) * len(filters))
        client.take()
        return client

    def failures(self) -> int:
        """How many exceptions were logged."""
        return len(self.flushLoggedErrors())
