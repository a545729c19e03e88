"""The server on real sockets, with a client that nobody here wrote, and with many that do nothing."""

from __future__ import annotations

import gc
import resource
import socket
import ssl
import tracemalloc
from collections.abc import Callable
from typing import Any, TypeVar, cast

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from twisted.internet import reactor as installed  # noqa: TID251 (real sockets need the real one)
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, DeferredQueue, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.ssl import PrivateCertificate
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from sdcpd.broker import Limits, OpenPolicy, Router, Server, Storage, Violation
from sdcpd.codec.mqtt import PingReq, Publish, Subscribe
from tests.broker.kit import ConnAck, PingResp, SubAck, connect_packet, read
from tests.certificates import certificate_pem
from tests.client_packets import encode

PATIENCE = 60.0
"""Seconds after which something is not waited for any more: far more than it needs."""
T = TypeVar("T")
reactor: Any = installed


class Paho:
    """A paho client; what its thread hears comes out of queues here."""

    def __init__(
        self, port: int, client_id: str = "", clean: bool = True, version: int = paho.MQTTv311, tls: bool = False
    ) -> None:
        protocol = MQTTProtocolVersion(version)
        session = None if version == paho.MQTTv5 else clean
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id, session, protocol=protocol)
        if tls:
            self.client.tls_set(cert_reqs=ssl.CERT_NONE)
            self.client.tls_insecure_set(True)
        self.port = port
        self.connected: DeferredQueue[tuple[bool, str]] = DeferredQueue()
        self.messages: DeferredQueue[tuple[str, bytes, int, bool]] = DeferredQueue()
        self.published: DeferredQueue[int] = DeferredQueue()
        self.subscribed: DeferredQueue[list[int]] = DeferredQueue()
        self.client.on_connect = lambda c, u, flags, reason, p: self._put(
            self.connected, (flags.session_present, str(reason))
        )
        self.client.on_message = lambda c, u, m: self._put(self.messages, (m.topic, m.payload, m.qos, m.retain))
        self.client.on_publish = lambda c, u, mid, r, p: self._put(self.published, mid)
        self.client.on_subscribe = lambda c, u, mid, codes, p: self._put(
            self.subscribed, [code.value for code in codes]
        )

    def _put(self, queue: DeferredQueue[Any], what: object) -> None:
        reactor.callFromThread(queue.put, what)

    async def connect(self) -> tuple[bool, str]:
        self.client.connect_async("127.0.0.1", self.port, keepalive=60)
        self.client.loop_start()
        return await soon(self.connected.get())

    async def subscribe(self, topic_filter: str, qos: int) -> list[int]:
        self.client.subscribe(topic_filter, qos)
        return await soon(self.subscribed.get())

    async def publish(self, topic: str, payload: bytes, qos: int, retain: bool = False) -> None:
        self.client.publish(topic, payload, qos, retain)
        await soon(self.published.get())

    async def message(self) -> tuple[str, bytes, int, bool]:
        return await soon(self.messages.get())

    def stop(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def soon(d: Deferred[T]) -> Deferred[T]:
    """The same, unless it takes too long."""
    d.addTimeout(PATIENCE, reactor)
    return d


async def until(condition: Callable[[], object]) -> None:
    """Let the reactor turn until the condition holds."""
    deadline = reactor.seconds() + PATIENCE
    while not condition():
        assert reactor.seconds() < deadline, "it did not happen in time"
        await deferLater(reactor, 0.001)


class SocketTestCase(TestCase):
    """A server on a free port of 127.0.0.1."""

    limits = Limits()
    timeout = 5 * PATIENCE

    def setUp(self) -> None:
        self.router = Router(reactor.seconds, Storage())
        self.server = Server(reactor, self.router, OpenPolicy(), self.limits)
        self.port = self.listen()

    def listen(self) -> int:
        return self.listening(reactor.listenTCP(0, self.server, backlog=4096, interface="127.0.0.1"))

    def listening(self, port: IListeningPort) -> int:
        self.addCleanup(self.stopped)
        self.addCleanup(lambda: maybeDeferred(port.stopListening))
        return cast("IPv4Address", port.getHost()).port

    async def stopped(self) -> None:
        await until(lambda: not self.server.connections)

    def paho(self, client_id: str = "", clean: bool = True, version: int = paho.MQTTv311, tls: bool = False) -> Paho:
        client = Paho(self.port, client_id, clean, version, tls)
        self.addCleanup(client.stop)
        return client

    def plain(self) -> socket.socket:
        """A plain client that is not yet connected."""
        client = socket.socket()
        self.addCleanup(client.close)
        client.settimeout(PATIENCE)
        return client


class PahoTests(SocketTestCase):
    """paho-mqtt 2 finds an MQTT server."""

    async def test_both_ways(self) -> None:
        """Messages go both ways at every QoS, each at the lower of the two [MQTT-7.1.1-1] [MQTT-7.0.0-2]."""
        one, two = self.paho("one"), self.paho("two")
        for client, topic in ((one, "to/one/+"), (two, "to/two/#")):
            self.assertEqual(await client.connect(), (False, "Success"))
            self.assertEqual(await client.subscribe(topic, 2), [2])
        for qos in (0, 1, 2):
            for sender, receiver, topic in ((one, two, "to/two/x"), (two, one, "to/one/x")):
                await sender.publish(topic, b"payload" * qos, qos)
                self.assertEqual(await receiver.message(), (topic, b"payload" * qos, qos, False))
        await until(lambda: not self.router.counters.waiting_bytes)

    async def test_many(self) -> None:
        """A thousand messages of QoS 2 arrive once each, in order."""
        client = self.paho("many")
        client.client.max_queued_messages_set(0)
        await client.connect()
        await client.subscribe("a", 2)
        for number in range(1000):
            client.client.publish("a", str(number), 2)
        got = [int((await client.message())[1]) for _ in range(1000)]
        self.assertEqual(got, list(range(1000)))

    async def test_session(self) -> None:
        """What was published while a client was away is there when it is back [MQTT-3.1.2-5] [MQTT-3.2.2-2]."""
        client = self.paho("away", clean=False)
        await client.connect()
        await client.subscribe("a", 1)
        client.stop()
        await until(lambda: self.router.counters.stored)
        self.router.publish("a", b"meanwhile", 1)
        client = self.paho("away", clean=False)
        self.assertEqual(await client.connect(), (True, "Success"))
        self.assertEqual(await client.message(), ("a", b"meanwhile", 1, False))

    async def test_retained_will(self) -> None:
        """A client that dies leaves its retained Will for those who come later [MQTT-3.1.2-8] [MQTT-3.1.2-17]."""
        dying = self.paho("dying")
        dying.client.will_set("will", b"gone", 1, retain=True)
        await dying.connect()
        dying.client.loop_stop()
        dying.client.socket().close()  # type: ignore[union-attr]  # it is connected
        await until(lambda: self.router.retained("will"))
        later = self.paho("later")
        await later.connect()
        await later.subscribe("#", 1)
        self.assertEqual(await later.message(), ("will", b"gone", 1, True))

    async def test_mqtt_5(self) -> None:
        """An MQTT 5 client is told that its version is not spoken here [MQTT-3.1.2-2]."""
        _, reason = await self.paho("five", version=paho.MQTTv5).connect()
        self.assertEqual(reason, "Unsupported protocol version")

    async def test_no_id(self) -> None:
        """Clients without identifiers do not drive each other out [MQTT-3.1.3-6]."""
        clients = [self.paho() for _ in range(3)]
        for client in clients:
            client.client._client_id = b""  # paho would make one up
            self.assertEqual(await client.connect(), (False, "Success"))
        self.assertEqual(self.router.counters.connected, 3)

    async def test_large(self) -> None:
        """A message of nearly a megabyte comes through."""
        client = self.paho("large")
        await client.connect()
        await client.subscribe("a", 1)
        await client.publish("a", b"x" * 1_000_000, 1)
        self.assertEqual(len((await client.message())[1]), 1_000_000)


class TlsTests(SocketTestCase):
    """The same over TLS."""

    def listen(self) -> int:
        certificate = cast("PrivateCertificate", PrivateCertificate.loadPEM(b"".join(certificate_pem())))
        return self.listening(reactor.listenSSL(0, self.server, certificate.options(), interface="127.0.0.1"))

    async def test_tls(self) -> None:
        """A client on TLS is a client like any other, also with more than one buffer full."""
        client = self.paho("safe", tls=True)
        await client.connect()
        await client.subscribe("a", 2)
        for qos in (0, 1, 2):
            await client.publish("a", b"x" * 500_000, qos)
            self.assertEqual((await client.message())[2], qos)


class SlowTests(SocketTestCase):
    """Clients on real sockets that do not read."""

    limits = Limits(queued_bytes=1 << 20)
    KERNEL = 1 << 16

    def listen(self) -> int:
        """Connections inherit it: the kernel keeps as little for each on every machine."""
        port = reactor.listenTCP(0, self.server, backlog=4096, interface="127.0.0.1")
        port.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.KERNEL)
        return self.listening(port)

    async def test_cut_off(self) -> None:
        """A subscriber that does not read is cut off; the server keeps little of what it was sent."""
        client = self.plain()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", self.port))
        client.sendall(encode(connect_packet("slow")) + encode(Subscribe(1, (("a", 0),))))
        await until(lambda: self.router.counters.subscriptions)
        for number in range(3000):
            self.router.publish("a", number.to_bytes(2, "big") * 5000)
            await deferLater(reactor, 0)
            if not self.server.connections:
                break
        self.assertLess(number, 500)
        self.assertEqual(self.server.violations[Violation.QUEUED_BYTES], 1)

    async def test_reads_late(self) -> None:
        """A subscriber that reads late gets everything, in order, as long as it is not too late."""
        client = self.plain()
        client.connect(("127.0.0.1", self.port))
        client.sendall(encode(connect_packet("late")) + encode(Subscribe(1, (("a", 0),))))
        await until(lambda: self.router.counters.subscriptions)
        for number in range(100):
            self.router.publish("a", number.to_bytes(2, "big") * 5000)
        client.setblocking(False)
        data = b""
        while len(data) < 9 + 100 * 10_006:
            await deferLater(reactor, 0)
            try:
                data += client.recv(1 << 20)
            except BlockingIOError:
                continue
        packets = read(data)
        self.assertEqual(packets[:2], [ConnAck(False, 0), SubAck(1, (0,))])
        numbers = [int.from_bytes(packet.payload[:2], "big") for packet in packets if isinstance(packet, Publish)]
        self.assertEqual(numbers, list(range(100)))


class ManyTests(SocketTestCase):
    """Two thousand clients at once."""

    MANY = 2000
    limits = Limits(connects_per_second=3000, connections_per_address=3000)

    def setUp(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = 2 * self.MANY + 200
        if soft < wanted:
            if hard < wanted:
                self.skipTest(f"{hard} files may be open, {wanted} are needed")
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        super().setUp()

    async def subscribed(self, count: int) -> None:
        """So many are let in and have subscribed."""
        await until(lambda: self.router.counters.subscriptions == count)

    async def test_idle(self) -> None:
        """2,000 idle clients cost less than 8 kB each, are all served, and leave nothing."""
        clients = [self.plain() for _ in range(self.MANY)]
        gc.collect()
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        before, _ = tracemalloc.get_traced_memory()
        for number, client in enumerate(clients):
            client.connect(("127.0.0.1", self.port))
            client.sendall(
                encode(connect_packet(f"{number:016x}", keep_alive=3600))
                + encode(Subscribe(1, ((f"/sdcp/request/{number:016x}", 1),)))
            )
            if number % 100 == 99:  # no more wait to be let in than a kernel keeps for a port
                await self.subscribed(number + 1)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        self.assertLess((after - before) / self.MANY, 8000)
        clients[1234].sendall(encode(PingReq()))
        client = clients[1234]
        client.setblocking(False)
        data = b""
        while len(data) < 11:
            await deferLater(reactor, 0)
            try:
                data += client.recv(100)
            except BlockingIOError:
                continue
        self.assertEqual(read(data), [ConnAck(False, 0), SubAck(1, (1,)), PingResp()])
        for client in clients:
            client.close()
        await until(lambda: not self.server.connections)
        self.assertEqual(self.router.counters.subscriptions, 0)
