"""Limits: each is kept, said in one line, counted, and costs nobody else anything."""

from __future__ import annotations

import tracemalloc
from typing import cast

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import ITCPTransport

from sdcpd.broker import Limits, Router, Storage, Violation
from sdcpd.broker.printers import PRINTERS_LIMITS
from sdcpd.broker.server import TICK, Refused
from sdcpd.codec.mqtt import PingReq, Publish, Subscribe, Will
from sdcpd.logs import LINES, WHILE, shown
from tests.broker.kit import Client, PingResp, ServerTestCase, Wire, connect_packet, payloads
from tests.client_packets import encode

NOWHERE = Wire()


class LimitsTests(ServerTestCase):
    """One limit after the other."""

    limits = Limits(
        packet_size=1000,
        connect_size=100,
        connections=10,
        connections_per_address=4,
        connects_per_second=6,
        subscriptions=3,
        topic_levels=4,
        queued_bytes=5000,
        unreleased=3,
    )

    def assert_counted(self, violation: Violation, what: str, count: int = 1) -> None:
        self.assertEqual(self.server.violations[violation], count)
        self.assertIn(f"({violation})", self.lines[-1])
        self.assertIn(what, self.lines[-1])
        for other in Violation:
            self.assertEqual(self.server.violations[other], count if other is violation else 0, other)

    def refused(self, address: str) -> bool:
        return isinstance(self.server.buildProtocol(IPv4Address("TCP", address, 1)), Refused)

    def test_packet_size(self) -> None:
        """A packet that announces more than is allowed is refused before it is there [MQTT-4.8.0-2]."""
        client = self.client()
        client.raw(b"\x30\xff\xff\xff\x7f")
        self.assertTrue(client.over)
        self.assert_counted(Violation.PACKET_SIZE, "268435460 bytes, 1000 are allowed")

    def test_packet_size_fits(self) -> None:
        """A packet of just that size is taken."""
        client = self.subscriber("a")
        client.publish("a", b"x" * (1000 - 3 - 3))
        self.assertEqual(len(client.take()), 1)
        client.publish("a", b"x" * (1000 - 3 - 2))
        self.assertTrue(client.over)

    def test_connect_size(self) -> None:
        """Before CONNECT much less is taken."""
        client = Client(self.server)
        client.say(connect_packet("c" * 100))
        self.assertEqual((client.over, client.wire.value()), (True, b""))
        self.assert_counted(Violation.CONNECT_SIZE, "CONNECT of 114 bytes")

    def test_connections(self) -> None:
        """No more connections than there may be, from wherever; room is made by each that ends."""
        clients = [Client(self.server, f"10.0.0.{number}") for number in range(10)]
        self.assertTrue(self.refused("10.0.0.99"))
        self.assert_counted(Violation.CONNECTIONS, "10.0.0.99 (connections): too many connections, there are 10")
        clients[0].vanish()
        self.assertFalse(self.refused("10.0.0.99"))

    def test_per_address(self) -> None:
        """No more connections than there may be from one address; others still come in."""
        clients = [Client(self.server) for _ in range(4)]
        self.assertTrue(self.refused("10.0.0.1"))
        self.assert_counted(Violation.CONNECTIONS_PER_ADDRESS, "too many connections, 4 are from there")
        self.assertFalse(self.refused("10.0.0.2"))
        clients[0].vanish()
        self.assertFalse(self.refused("10.0.0.1"))

    def test_connect_rate(self) -> None:
        """No more connections in a second than there may be from one address."""
        for _ in range(6):
            Client(self.server).vanish()
        self.assertTrue(self.refused("10.0.0.1"))
        self.assert_counted(Violation.CONNECT_RATE, "more than 6 connections from there in a second")
        self.assertFalse(self.refused("10.0.0.2"))
        self.clock.advance(1.0)
        self.assertFalse(self.refused("10.0.0.1"))

    def test_connect_time(self) -> None:
        """Who connects and says nothing, or not enough, is cut off."""
        mute, slow, fine = (Client(self.server, f"10.0.0.{n}") for n in range(3))
        fine.connect()
        slow.raw(b"\x10\x20\x00\x04MQTT")
        self.clock.pump([TICK] * 19)
        slow.raw(b"\x04")
        self.assertFalse(mute.over)
        self.clock.pump([TICK] * 2)
        self.assertEqual((mute.wire.aborted, slow.wire.aborted, fine.over), (True, True, False))
        self.assert_counted(Violation.CONNECT_TIME, "no CONNECT within 10 s", 2)
        self.clock.pump([TICK] * 20)
        self.assertEqual(self.server.violations[Violation.CONNECT_TIME], 2)

    def test_two_hundred_mute(self) -> None:
        """200 connections that never speak are gone after a while, and the log does not fill with them."""
        self.server = self.door(connections=500, connections_per_address=500, connects_per_second=500)
        mute = [Client(self.server) for _ in range(200)]
        client = self.subscriber("a")
        self.router.publish("a", b"m")
        self.assertEqual(payloads(client.take()), [b"m"])
        self.clock.pump([TICK] * 21)
        self.assertTrue(all(other.wire.aborted for other in mute))
        self.assertFalse(client.over)
        self.assertEqual(self.server.violations[Violation.CONNECT_TIME], 200)
        self.assertEqual(len(self.lines), LINES)

    def test_subscriptions(self) -> None:
        """No more subscriptions than there may be; those that it had before count."""
        client = self.client(clean=False)
        client.subscribe("a", "b")
        client.vanish()
        client = self.client(clean=False)
        client.subscribe("b", "c")
        self.assertFalse(client.over)
        client.say(Subscribe(1, (("d", 0),)))
        self.assertTrue(client.over)
        self.assert_counted(Violation.SUBSCRIPTIONS, "more than 3 subscriptions")

    def test_topic_levels(self) -> None:
        """Topics, filters and Wills have no more levels than they may."""
        fits, too_deep = "a/b/c/d", "a/b/c//d"
        client = self.client(will=Will(fits, b"", 0, False))
        client.subscribe(fits, "////"[:3])
        client.publish(fits)
        self.assertEqual(len(client.take()), 1)
        client.publish(too_deep)
        self.assertTrue(client.over)
        client = self.client()
        client.say(Subscribe(1, ((too_deep, 0),)))
        self.assertEqual((client.over, client.take()), (True, []))
        client = Client(self.server)
        client.say(connect_packet(will=Will(too_deep, b"", 0, False)))
        self.assertEqual((client.over, client.take()), (True, []))
        self.assert_counted(Violation.TOPIC_LEVELS, "a topic has 5 levels, 4 are allowed", 3)

    def test_unreleased(self) -> None:
        """No more QoS 2 messages than may be unreleased."""
        client = self.client()
        for packet_id in range(1, 5):
            self.assertFalse(client.over)
            client.publish("a", qos=2, packet_id=packet_id)
        self.assertTrue(client.over)
        self.assert_counted(Violation.UNRELEASED, "3 messages of QoS 2")

    def test_will(self) -> None:
        """Who is ended for a violation is as good as lost: its Will is published [MQTT-3.1.2-8]."""
        listener = self.subscriber("will")
        client = self.client(will=Will("will", b"gone", 0, False))
        client.raw(b"\x30\xff\xff\xff\x7f")
        self.assertEqual(payloads(listener.take()), [b"gone"])

    def test_seldom(self) -> None:
        """The same complaint is written a few times a minute; how many were not is said later."""
        for _ in range(LINES + 7):
            client = self.client()
            client.raw(b"\x00\x00")
            client.vanish()
            self.clock.advance(1.0)
        self.assertEqual(len(self.lines), LINES)
        self.clock.advance(WHILE)
        self.client().raw(b"\x00\x00")
        self.assertEqual(len(self.lines), LINES + 2)
        self.assertIn("7 more connections", self.lines[-2])


class LogTests(ServerTestCase):
    """What a peer says of itself stands in the log; it must not write the log."""

    EVIL = "me\n2026-01-01T00:00:00+0000 [sdcpd.audit#info] forged\r\x1b[31m\u2028" + "x" * 60_000

    def assert_clean(self, line: str) -> None:
        self.assertTrue(line.isprintable(), ascii(line[:300]))
        self.assertLess(len(line), 500)

    def test_name(self) -> None:
        """A client id with line ends, or as long as a book, is one short line."""
        client = self.client(self.EVIL)
        client.raw(b"\x00\x00")
        self.assertIn("me\\n2026", self.lines[-1])
        self.assert_clean(self.lines[-1])

    def test_missed(self) -> None:
        """So it is where a client is told of that missed messages, which does not fill the log either."""
        self.router = Router(self.clock.seconds, Storage(session_messages=1))
        self.server = self.door()
        for _ in range(LINES + 5):
            client = self.client(self.EVIL, clean=False)
            client.take()
            client.subscribe("a", qos=1)
            client.vanish()
            self.router.publish("a", b"1", 1)
            self.router.publish("a", b"2", 1)
        self.assertEqual(len([line for line in self.lines if "missed" in line]), LINES)
        for line in self.lines:
            self.assert_clean(line)

    def test_shown(self) -> None:
        """Plain names are shown as they are, letters of any language too."""
        self.assertEqual(shown("Drucker im Küchenschrank/日本"), "Drucker im Küchenschrank/日本")
        self.assertEqual(shown("a\tb\x00\x7f"), "a\\tb\\x00\\x7f")
        self.assertEqual(shown("x" * 1000), "x" * 120 + "...")


class PaceTests(ServerTestCase):
    """Clients that say more than anybody has to hear."""

    limits = Limits(packets=10)

    def held(self, client: Client) -> bool:
        return client.wire.producerState == "paused"

    def test_held(self) -> None:
        """Who talks without end is listened to so many packets a tick; the rest waits at its end, and none is lost."""
        listener, talker = self.subscriber("t"), self.client("talker")
        self.clock.advance(TICK)
        talker.say(*[Publish("t", b"%d" % number, 0, False, False, 0) for number in range(35)])
        self.assertEqual(len(payloads(listener.take())), 35)
        ticks = 0
        while self.held(talker):
            self.clock.advance(TICK)
            ticks += 1
        self.assertEqual(ticks, 3)
        talker.publish("t")
        self.assertEqual(payloads(listener.take()), [b"m"])

    def test_usual(self) -> None:
        """Who says as much as is allowed, tick for tick, is never held up."""
        talker = self.client("talker")
        for _ in range(20):
            self.clock.advance(TICK)
            talker.say(*[PingReq()] * 10)
            self.assertFalse(self.held(talker))

    def test_others(self) -> None:
        """One that is held up holds up nobody else."""
        talker, other = self.client("talker"), self.client("other")
        talker.say(*[PingReq()] * 50)
        other.say(PingReq())
        self.assertEqual((self.held(talker), self.held(other)), (True, False))

    def test_ended(self) -> None:
        """One that is held up and ended is let go: its end arrives."""
        talker = self.client("talker")
        talker.say(*[PingReq()] * 50)
        self.router.end("talker", "enough")
        self.assertTrue(talker.over)
        self.clock.advance(TICK)
        talker.vanish()
        self.assertEqual(self.server.connections, 0)

    def test_boards(self) -> None:
        """At the printers' door there is such a limit: a board that goes mad costs little."""
        self.assertLessEqual(PRINTERS_LIMITS.packets, 100)
        self.assertGreater(PRINTERS_LIMITS.packets, 0)


class SlowReaderTests(ServerTestCase):
    """Clients that do not read what they are sent."""

    limits = Limits(queued_bytes=20_000)

    def stuck(self, qos: int = 0, clean: bool = True, will: Will | None = None) -> Client:
        """A subscriber whose transport has enough."""
        client = self.client("stuck", clean, will)
        client.subscribe("#", qos=qos)
        client.take()
        assert client.wire.producer is client.protocol
        client.wire.producer.pauseProducing()
        return client

    def test_counted(self) -> None:
        """An operator sees how much waits for clients that do not read, and that it is gone when they do."""
        client = self.stuck()
        self.router.publish("a", b"x" * 1000)
        waiting = self.server.queued_bytes
        self.assertGreater(waiting, 1000)
        self.assertEqual(waiting, client.protocol.queued_bytes)
        client.protocol.resumeProducing()
        self.assertEqual(self.server.queued_bytes, 0)

    def test_waits(self) -> None:
        """What a slow client is sent waits for it, in order, and is not handed to the transport."""
        client = self.stuck()
        for number in range(10):
            self.router.publish("a", str(number).encode())
        client.say(PingReq())
        self.assertEqual(client.take(), [])
        client.protocol.resumeProducing()
        packets = client.take()
        self.assertEqual(payloads(packets), [str(number).encode() for number in range(10)])
        self.assertEqual(packets[-1], PingResp())
        self.router.publish("a", b"live")
        self.assertEqual(payloads(client.take()), [b"live"])

    def test_steady(self) -> None:
        """A client that reads slowly but steadily keeps its connection, however much it is sent."""
        client = self.stuck()
        got = []
        for _ in range(100):
            for _ in range(10):
                self.router.publish("a", b"x" * 1000)
            client.protocol.resumeProducing()
            got += payloads(client.take())
            client.protocol.pauseProducing()
        self.assertEqual((len(got), client.over), (1000, False))

    def test_part(self) -> None:
        """What the transport does not take at once waits on."""
        server = self.door(queued_bytes=1 << 20)
        client = self.client("c", server=server)
        client.subscribe("#")
        client.protocol.pauseProducing()
        for _ in range(500):
            self.router.publish("a", b"x" * 1000)
        written = []

        def write(data: bytes) -> None:
            written.append(len(data))
            client.protocol.pauseProducing()

        client.wire.write = write  # type: ignore[method-assign]  # a transport that is full again at once
        while client.protocol._backlog:
            client.protocol.resumeProducing()
        self.assertEqual(sum(written), 500 * 1006)
        self.assertLess(max(written), 200_000)

    def test_cut_off(self) -> None:
        """When too much waits the client is cut off, with its Will, and nothing is kept [MQTT-3.1.2-8]."""
        listener = self.subscriber("will")
        client = self.stuck(will=Will("will", b"gone", 0, False))
        for _ in range(30):
            self.router.publish("a", b"x" * 1000)
        self.assertTrue(client.wire.aborted)
        self.assertEqual(payloads(listener.take()), [b"gone"])
        self.assertEqual(self.server.violations[Violation.QUEUED_BYTES], 1)
        self.assertIn("stuck at 10.0.0.1 (queued_bytes)", self.lines[-1])
        self.assertIsNone(client.protocol._backlog)

    def test_of_all(self) -> None:
        """Many that read slowly, none of them too slowly, cost no more together than they may: the last ones go."""
        self.server = self.door(queued_bytes_of_all=50_000)
        slow = []
        for number in range(10):
            client = self.client(f"c{number}")
            client.subscribe(f"t/{number}")
            client.take()
            client.protocol.pauseProducing()
            slow.append(client)
            for _ in range(number):
                self.router.publish(f"t/{number}", b"x" * 2000)
        self.assertGreater(self.server.queued_bytes, 90_000)
        self.clock.advance(TICK)
        self.assertLessEqual(self.server.queued_bytes, 50_000)
        self.assertEqual([client.over for client in slow], [False] * 7 + [True] * 3)
        self.assertEqual(self.server.violations[Violation.QUEUED_BYTES], 3)
        self.assertIn("50000 for all are allowed", self.lines[-1])
        self.clock.pump([TICK] * 4)
        self.assertEqual(self.server.violations[Violation.QUEUED_BYTES], 3)

    def test_memory(self) -> None:
        """However much is published to it, it costs no more than its limit."""
        client = self.stuck()
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        before, _ = tracemalloc.get_traced_memory()
        for number in range(4000):
            self.router.publish("a", number.to_bytes(2, "big") * 5000)
        _, peak = tracemalloc.get_traced_memory()
        self.assertTrue(client.over)
        self.assertLess(peak - before, 1_000_000)

    def test_qos_1(self) -> None:
        """At QoS 1 it is not sent more than it acknowledges; the rest waits in its session, bounded."""
        client = self.stuck(qos=1)
        for _ in range(3000):
            self.router.publish("a", b"x" * 500, 1)
        self.assertFalse(client.over)
        client.protocol.resumeProducing()
        self.assertEqual(len(client.take()), 20)

    def test_asks_and_does_not_read(self) -> None:
        """A client that asks and asks and does not read the answers is cut off."""
        client = self.stuck()
        client.say(*[PingReq()] * 10_001)
        self.assertTrue(client.wire.aborted)
        self.assertEqual(client.take(), [])

    def test_asks_for_much(self) -> None:
        """A client that asks in one segment for more than may wait for it is cut off before it is all made."""
        for number in range(9):
            self.router.publish(f"t/{number}", b"x" * 1000, retain=True)
        client = self.client()
        client.raw(encode(Subscribe(1, (("#", 0),))) * 3)
        self.assertTrue(client.wire.aborted)
        self.assertEqual(self.server.violations[Violation.QUEUED_BYTES], 1)

    def test_asks_for_much_at_qos_1(self) -> None:
        """At QoS 1, where little is under way at a time, asking on and on ends as well, and soon."""
        for number in range(1000):
            self.router.publish(f"t/{number}", b"x", 1, retain=True)
        client = self.client()
        client.raw(encode(Subscribe(1, (("#", 1),))) * 1000)
        self.assertTrue(client.over)
        self.assertEqual(self.server.violations[Violation.QUEUED_BYTES], 1)
        self.assertLess(self.router.counters.delivered, 25_000)

    def test_own_messages(self) -> None:
        """A client that is flooded by what it says itself is cut off in the middle, and only once."""
        client = self.stuck()
        client.say(*[Publish("a", b"x" * 1000, 1, False, False, n) for n in range(1, 31)])
        self.assertTrue(client.wire.aborted)
        self.assertEqual(self.server.violations[Violation.QUEUED_BYTES], 1)
        self.assertLess(self.router.counters.received, 25)
        client.vanish()
        self.assertEqual(self.failures(), 0)

    def test_session_kept(self) -> None:
        """Its session, if it is one that stays, is there when it comes back."""
        client = self.stuck(qos=1, clean=False)
        self.router.publish("a", b"kept", 1)
        for _ in range(30):
            self.router.publish("a", b"x" * 1000)
        self.assertTrue(client.wire.aborted)
        client.vanish()
        client = Client(self.server)
        self.assertTrue(client.connect("stuck", clean=False).present)
        self.assertEqual(payloads(client.take()), [b"kept"])

    def test_others(self) -> None:
        """Others are not held up by one that does not read, the publisher included."""
        stuck = self.stuck()
        listener = self.subscriber("a")
        publisher = self.client("publisher")
        for _ in range(100):
            publisher.publish("a", b"x" * 1000)
        self.assertEqual(len(listener.take()), 100)
        self.assertEqual((stuck.over, listener.over, publisher.over), (True, False, False))

    def test_too_much_at_once(self) -> None:
        """A client that cannot take what waited for it is cut off while it connects, and is not connected."""
        client = self.subscriber("a", qos=1, clean=False)
        client.vanish()
        for _ in range(30):
            self.router.publish("a", b"x" * 2000, 1)
        client = Client(self.server)
        client.say(connect_packet("subscriber", clean=False))
        self.assertTrue(client.wire.aborted)
        counters = self.router.counters
        self.assertEqual((counters.connected, counters.stored), (0, 1))
        client.vanish()
        self.assertEqual(self.server.connections, 0)

    def test_goodbye(self) -> None:
        """A stuck client that is ended is not waited for."""
        client = self.stuck()
        self.router.publish("a", b"m")
        self.router.end("stuck", "enough")
        self.assertTrue(client.over)
        self.assertIsNone(client.wire.producer)  # else the transport would wait for it
        self.clock.pump([TICK] * 7)
        self.assertTrue(client.wire.aborted)


class MemoryTests(ServerTestCase):
    """Many clients that do nothing."""

    def test_idle(self) -> None:
        """2,000 idle clients with one subscription each cost less than 4 kB apiece, the socket not counted."""
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        clients = []
        before, _ = tracemalloc.get_traced_memory()
        for number in range(2000):
            if not number % 400:
                self.clock.advance(1.0)
            client = Client(self.server, f"10.0.0.{number % 8}")
            client.connect(f"{number:016x}", keep_alive=60)
            client.subscribe(f"/sdcp/request/{number:016x}", qos=1)
            clients.append(client.protocol)
            client.protocol.transport = cast("ITCPTransport", NOWHERE)  # the test's own wire is not to be counted
        after, _ = tracemalloc.get_traced_memory()
        self.assertLess((after - before) / 2000, 4000)
        del clients
