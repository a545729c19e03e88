"""Connections begin and end: CONNECT with all its answers, keep alive, DISCONNECT, take-over, half-open ones."""

from __future__ import annotations

from sdcpd.broker import Identity, OpenPolicy, Violation
from sdcpd.broker.server import TICK
from sdcpd.codec.mqtt import Connect, ConnectCode, Disconnect, PingReq, Publish, Subscribe, Will
from tests.broker.kit import (
    Client,
    ConnAck,
    PingResp,
    ServerTestCase,
    StrictPolicy,
    SubAck,
    connect_packet,
    payloads,
)
from tests.client_packets import encode

WILL = Will("will", b"gone", 0, False)


def frame(flags: int, fields: bytes, name: bytes = b"\x00\x04MQTT", level: int = 4, first: int = 0x10) -> bytes:
    """A CONNECT with anything in it."""
    body = name + bytes((level, flags)) + b"\x00\x00" + fields
    return bytes((first, len(body))) + body


def field(text: bytes) -> bytes:
    return len(text).to_bytes(2, "big") + text


class ConnectTests(ServerTestCase):
    """CONNECT and what it is answered."""

    def assert_closed_mute(self, data: bytes, client: Client | None = None) -> None:
        """The connection is closed, and nothing was answered."""
        client = Client(self.server) if client is None else client
        client.raw(data)
        self.assertTrue(client.over, data)
        self.assertEqual(client.wire.value(), b"", data)

    def test_accepted(self) -> None:
        """A client that may come in is told so first of all [MQTT-3.1.4-4] [MQTT-3.2.0-1]."""
        client = Client(self.server)
        client.say(connect_packet(), PingReq())
        self.assertEqual(client.take(), [ConnAck(False, 0), PingResp()])
        self.assertFalse(client.over)

    def test_client_ids(self) -> None:
        """Any client identifier will do, of the guaranteed form or not [MQTT-3.1.3-3] [MQTT-3.1.3-4] [MQTT-3.1.3-5]."""
        letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
        for client_id in (
            "x",
            letters[:23],
            letters[23:46],
            letters[46:],
            letters * 5,
            "/ #+$ äöü\ufeff",
            "\U0001f600",
        ):
            self.assertEqual(Client(self.server).connect(client_id).code, 0)
        self.assertEqual(self.router.counters.connected, 7)

    def test_no_client_id(self) -> None:
        """Clients without an identifier are all different ones [MQTT-3.1.3-6] [MQTT-3.1.3-7]."""
        clients = [Client(self.server) for _ in range(3)]
        self.assertEqual([client.connect("") for client in clients], [ConnAck(False, 0)] * 3)
        self.assertEqual([client.over for client in clients], [False] * 3)
        self.assertEqual(self.router.counters.connected, 3)

    def test_no_client_id_to_keep(self) -> None:
        """No identifier for a session to keep: code 2 [MQTT-3.1.3-8] [MQTT-3.2.2-4] [MQTT-3.2.2-5]."""
        client = Client(self.server)
        client.raw(frame(0, field(b"")))
        self.assertEqual(client.take(), [ConnAck(False, 2)])
        self.assertTrue(client.over)

    def test_other_levels(self) -> None:
        """MQTT 5, 3.1 and bridges are refused with code 1 [MQTT-3.1.2-2] [MQTT-3.1.2-1]."""
        for name, level in (
            (b"\x00\x04MQTT", 5),
            (b"\x00\x06MQIsdp", 3),
            (b"\x00\x04MQTT", 0x84),
            (b"\x00\x04mqtt", 4),
        ):
            client = Client(self.server)
            client.raw(frame(2, field(b"c"), name, level))
            self.assertEqual(client.take(), [ConnAck(False, 1)])
            self.assertTrue(client.over)

    def test_mqtt_5(self) -> None:
        """A whole MQTT 5 CONNECT is refused with code 1, and nothing behind it is read [MQTT-3.1.2-2]."""
        client = Client(self.server)
        client.raw(b"\x10\x13\x00\x04MQTT\x05\x02\x00\x3c\x05\x11\x00\x00\x00\x0a\x00\x01c" + b"\xc0\x00")
        self.assertEqual((client.take(), client.over), ([ConnAck(False, 1)], True))

    def test_refused_will(self) -> None:
        """The Will of a client that was not let in is nobody's: it is never published [MQTT-3.1.2-8]."""
        listener = self.subscriber("will")
        client = Client(self.door(StrictPolicy()))
        self.assertEqual(client.connect("not_authorized", will=WILL), ConnAck(False, 5))
        client.vanish()
        self.assertEqual(listener.take(), [])

    def test_every_code(self) -> None:
        """A policy can refuse with every code there is; then the connection is closed [MQTT-3.2.2-4] [MQTT-3.2.2-5]."""
        server = self.door(StrictPolicy())
        for name, code in StrictPolicy.CODES.items():
            client = Client(server)
            self.assertEqual(client.connect(name, clean=False), ConnAck(False, code))
            self.assertTrue(client.over)
            self.assertFalse(self.router.is_connected(name))
        self.assertEqual(len(StrictPolicy.CODES), 5)
        self.assertEqual(server.violations[Violation.POLICY], 5)

    def test_id_rejected(self) -> None:
        """An identifier that a policy does not like gets code 2 [MQTT-3.1.3-9]."""
        client = Client(self.door(StrictPolicy()))
        self.assertEqual(client.connect("identifier_rejected"), ConnAck(False, 2))
        self.assertTrue(client.over)

    def test_refused_reads_no_more(self) -> None:
        """Nothing that comes after a refused CONNECT is processed, in the same segment or later [MQTT-3.1.4-5]."""
        listener = self.subscriber("#")
        client = Client(self.door(StrictPolicy()))
        client.say(connect_packet("not_authorized"), Publish("a", b"m", 0, False, False, 0), Subscribe(1, (("#", 0),)))
        client.publish("a")
        self.assertEqual(client.take(), [ConnAck(False, 5)])
        self.assertEqual(listener.take(), [])

    def test_bug(self) -> None:
        """A policy that fails lets nobody in; no code fits, so none is sent [MQTT-3.2.2-6]."""
        client = Client(self.door(StrictPolicy()))
        client.say(connect_packet("bug"))
        self.assertEqual((client.wire.aborted, client.wire.value()), (True, b""))
        self.assertEqual(self.failures(), 1)

    def test_nobody(self) -> None:
        """A policy that says yes and not as whom lets nobody in."""

        class Vague(OpenPolicy):
            def connect(self, packet: Connect, peer: str) -> Identity | ConnectCode:
                return ConnectCode.ACCEPTED

        client = Client(self.door(Vague()))
        client.say(connect_packet())
        self.assertEqual((client.wire.aborted, client.wire.value(), self.failures()), (True, b"", 1))

    def test_before_connect(self) -> None:
        """What comes before CONNECT closes [MQTT-3.1.0-1]."""
        for packet in (PingReq(), Publish("a", b"", 0, False, False, 0), Subscribe(1, (("a", 0),)), Disconnect()):
            self.assert_closed_mute(encode(packet))

    def test_twice(self) -> None:
        """A second CONNECT closes, as any broken rule does: with the Will [MQTT-3.1.0-2] [MQTT-3.1.2-8]."""
        listener = self.subscriber("will")
        for again in ("twice", "another"):
            client = self.client("twice", will=WILL)
            client.take()
            self.assert_closed_mute(encode(connect_packet(again)), client)
            self.assertEqual(payloads(listener.take()), [b"gone"])
            self.assertFalse(self.router.is_connected(again))

    def test_flags(self) -> None:
        """CONNECTs whose flags contradict each other close without an answer [MQTT-3.1.4-1]."""
        one, will = field(b"c"), field(b"will") + field(b"x")
        for flags, fields, clause in (
            (0x03, one, "[MQTT-3.1.2-3]"),
            (0x02 | 0x08, one, "[MQTT-3.1.2-11] [MQTT-3.1.2-13]"),
            (0x02 | 0x10, one, "[MQTT-3.1.2-13]"),
            (0x02 | 0x20, one, "[MQTT-3.1.2-15]"),
            (0x02 | 0x04 | 0x18, one + will, "[MQTT-3.1.2-14]"),
            (0x02 | 0x04, one, "[MQTT-3.1.2-9]"),
            (0x02, one + will, "[MQTT-3.1.2-11]"),
            (0x02, one + field(b"user"), "[MQTT-3.1.2-18]"),
            (0x02 | 0x80, one, "[MQTT-3.1.2-19]"),
            (0x02 | 0x80, one + field(b"user") + field(b"pass"), "[MQTT-3.1.2-20]"),
            (0x02 | 0xC0, one + field(b"user"), "[MQTT-3.1.2-21]"),
            (0x02 | 0x40, one + field(b"pass"), "[MQTT-3.1.2-22]"),
        ):
            with self.subTest(clause):
                self.assert_closed_mute(frame(flags, fields))

    def test_fields(self) -> None:
        """Client identifier, Will, user name: UTF-8, complete, none missing [MQTT-3.1.3-3] [MQTT-3.1.4-1]."""
        for flags, fields, clause in (
            (0x02, b"", "[MQTT-3.1.3-3]"),
            (0x02, b"\x00\x05abc", "[MQTT-3.1.3-3]"),
            (0x02, field(b"\xff"), "[MQTT-3.1.3-4] [MQTT-1.5.3-1]"),
            (0x02, field(b"\xed\xa0\x80"), "[MQTT-1.5.3-1]"),
            (0x02, field(b"a\x00b"), "[MQTT-1.5.3-2]"),
            (0x06, field(b"c") + field(b"\xff") + field(b""), "[MQTT-3.1.3-10]"),
            (0x06, field(b"c") + field(b"a/#") + field(b""), "[MQTT-4.7.1-1]"),
            (0x06, field(b"c") + field(b"") + field(b""), "[MQTT-4.7.3-1]"),
            (0x82, field(b"c") + field(b"\xc0\x80"), "[MQTT-3.1.3-11]"),
        ):
            with self.subTest(clause):
                self.assert_closed_mute(frame(flags, fields))

    def test_order_of_fields(self) -> None:
        """Identifier, Will, user name and password are read in that order, and the last three may be any bytes
        where they may be [MQTT-3.1.3-1] [MQTT-3.1.2-9] [MQTT-3.1.2-19] [MQTT-3.1.2-21]."""
        seen: list[Connect] = []

        class Noting(StrictPolicy):
            def connect(self, packet, peer):  # type: ignore[no-untyped-def]  # ``super`` says it
                seen.append(packet)
                return super().connect(packet, peer)

        client = Client(self.door(Noting()))
        packet = connect_packet("c", False, 7, Will("w", b"\xff\x00", 1, True), "user", b"\x00\xff")
        client.say(packet)
        self.assertEqual((client.take(), seen), ([ConnAck(False, 0)], [packet]))

    def test_unread(self) -> None:
        """A client that never reads its refusal does not stay for ever."""
        client = Client(self.server)
        client.raw(frame(2, field(b"c"), level=5))
        self.clock.advance(self.limits.farewell_time + TICK)
        self.assertTrue(client.wire.aborted)

    def test_no_delay(self) -> None:
        """Answers do not wait for those of the peer."""
        self.assertTrue(Client(self.server).wire.no_delay)

    def test_before_answer(self) -> None:
        """A client need not wait for its CONNACK."""
        client = Client(self.server)
        client.say(connect_packet(), Subscribe(1, (("a", 1),)), Publish("a", b"m", 0, False, False, 0), PingReq())
        packets = client.take()
        self.assertEqual(packets[:2], [ConnAck(False, 0), SubAck(1, (1,))])
        self.assertEqual((payloads(packets), packets[-1]), ([b"m"], PingResp()))
        self.assertEqual(client.wire.writes, 1)

    def test_take_over(self) -> None:
        """A client that comes back before its old connection is missed replaces it [MQTT-3.1.4-2]."""
        listener = self.subscriber("will")
        old = self.client("c", clean=False, will=WILL)
        old.subscribe("a", qos=1)
        new = Client(self.server)
        self.assertEqual(new.connect("c", clean=False), ConnAck(True, 0))
        self.assertTrue(old.over)
        old.vanish()
        old.publish("a", b"from the dead")
        self.router.publish("a", b"live", 1)
        self.assertEqual(payloads(new.take()), [b"live"])
        self.assertEqual(payloads(listener.take()), [b"gone"])

    def test_three_hundred(self) -> None:
        """A client that connects 300 times over is one client with one connection."""
        clients = [self.client("c", clean=bool(number % 2)) for number in range(300)]
        self.assertEqual([client.over for client in clients], [True] * 299 + [False])
        for client in clients[:-1]:
            client.vanish()
        self.assertEqual((self.server.connections, self.router.counters.connected), (1, 1))
        self.assertTrue(self.router.is_connected("c"))

    def test_two_doors(self) -> None:
        """A client that changes the door is still the same client."""
        other = self.door()
        first = self.client("c", clean=False)
        second = self.client("c", clean=False, server=other)
        self.assertEqual((first.over, second.over), (True, False))


class KeepAliveTests(ServerTestCase):
    """Clients that fall silent."""

    def test_due(self) -> None:
        """After one and a half times its keep alive a silent client is lost, Will and all [MQTT-3.1.2-24]."""
        listener = self.subscriber("will")
        client = Client(self.server)
        client.connect("c", keep_alive=10, will=WILL)
        self.clock.pump([TICK] * 30)
        self.assertFalse(client.over)
        self.clock.pump([TICK] * 2)
        self.assertTrue(client.wire.aborted)
        self.assertEqual(payloads(listener.take()), [b"gone"])
        self.clock.pump([TICK] * 20)
        self.assertEqual(self.server.violations[Violation.KEEP_ALIVE], 1)
        self.assertIn("silent for 16 s", self.lines[-1])

    def test_packets_count(self) -> None:
        """Every whole packet of the client counts, PINGREQ like any other [MQTT-3.1.2-24] [MQTT-3.12.4-1]."""
        client = Client(self.server)
        client.connect("c", keep_alive=2)
        for packet in (PingReq(), Publish("a", b"", 0, False, False, 0), Subscribe(1, (("a", 0),))) * 5:
            self.clock.pump([TICK] * 5)
            client.say(packet)
        self.assertFalse(client.over)
        self.assertEqual(client.take()[0], PingResp())

    def test_pieces_do_not(self) -> None:
        """The bytes of a packet that never ends do not."""
        client = Client(self.server)
        client.connect("c", keep_alive=2)
        data = encode(Publish("a", b"x" * 100, 0, False, False, 0))
        for at in range(8):
            client.raw(data[at : at + 1])
            self.clock.pump([TICK])
        self.assertTrue(client.wire.aborted)

    def test_answers_do_not(self) -> None:
        """What the server sends is no sign of life."""
        client = Client(self.server)
        client.connect("c", keep_alive=2)
        client.subscribe("a")
        for _ in range(8):
            self.router.publish("a", b"m")
            if not client.over:
                self.clock.pump([TICK])
        self.assertTrue(client.wire.aborted)

    def test_zero(self) -> None:
        """Keep alive 0 is for ever."""
        client = self.client("c")
        self.clock.pump([TICK, 3600.0, 86400.0])
        self.assertFalse(client.over)

    def test_most(self) -> None:
        """The longest keep alive is kept, too."""
        client = Client(self.server)
        client.connect("c", keep_alive=65_535)
        self.clock.advance(65_535 * 1.5)
        self.clock.pump([TICK])
        self.assertTrue(client.wire.aborted)

    def test_half_open(self) -> None:
        """A printer that lost its power is found by its silence, though messages for it still go out."""
        client = Client(self.server)
        client.connect("c", clean=False, keep_alive=4)
        client.subscribe("a", qos=1)
        for _ in range(12):
            self.router.publish("a", b"m", 1)
            self.clock.pump([TICK])
        self.router.publish("a", b"m", 1)
        self.clock.pump([TICK])
        self.assertTrue(client.wire.aborted)
        self.assertEqual((self.router.counters.connected, self.router.counters.stored), (0, 1))
        client.vanish()
        self.assertEqual(self.server.connections, 0)

    def test_goes_on(self) -> None:
        """One connection that cannot be ended does not stop the watch over the others."""

        def fail() -> None:
            raise OSError("out of order")

        broken = Client(self.server)
        broken.wire.abortConnection = fail  # type: ignore[method-assign]  # a fault that only this one has
        others = [Client(self.server) for _ in range(10)]
        self.clock.pump([self.limits.connect_time + TICK])
        self.assertEqual((self.failures(), {other.wire.aborted for other in others}), (1, {True}))
        client = Client(self.server)
        client.connect("c", keep_alive=2)
        self.clock.pump([TICK] * 8)
        self.assertTrue(client.wire.aborted)


class EndTests(ServerTestCase):
    """Connections end."""

    def test_disconnect(self) -> None:
        """After DISCONNECT there is no Will, and the server closes if the client does not [MQTT-3.14.4-3]."""
        listener = self.subscriber("will")
        client = self.client("c", will=WILL)
        client.say(Disconnect())
        client.vanish()
        self.assertTrue(client.over)
        self.assertEqual(listener.take(), [])

    def test_nothing_after(self) -> None:
        """Nothing behind DISCONNECT is processed, in the same segment or later [MQTT-3.14.4-2]."""
        listener = self.subscriber("#")
        client = self.client("c")
        client.say(PingReq(), Disconnect(), Publish("a", b"m", 0, False, False, 0), PingReq())
        client.publish("a")
        client.raw(b"\xff\xff\xff")
        self.assertEqual((client.take(), listener.take()), ([PingResp()], []))

    def test_disconnect_flags(self) -> None:
        """A DISCONNECT with flags is none: the Will is published [MQTT-3.14.1-1]."""
        listener = self.subscriber("will")
        client = self.client("c", will=WILL)
        client.raw(b"\xe1\x00")
        self.assertTrue(client.over)
        self.assertEqual(payloads(listener.take()), [b"gone"])

    def test_lost(self) -> None:
        """A connection that is lost publishes its Will [MQTT-3.1.2-8]."""
        listener = self.subscriber("will")
        self.client("c", will=WILL).vanish()
        self.assertEqual(payloads(listener.take()), [b"gone"])

    def test_malformed(self) -> None:
        """A connection that is closed for nonsense publishes its Will [MQTT-3.1.2-8] [MQTT-4.8.0-1]."""
        listener = self.subscriber("will")
        client = self.client("c", will=WILL)
        client.raw(b"\x00\x00")
        client.vanish()
        self.assertTrue(client.over)
        self.assertEqual(payloads(listener.take()), [b"gone"])

    def test_stopped(self) -> None:
        """When the server stops every connection is closed."""
        server = self.door()
        clients = [self.client(f"c{number}", server=server) for number in range(3)]
        waiting = Client(server)
        server.stopFactory()
        self.assertEqual([client.over for client in [*clients, waiting]], [True] * 4)
        server.startFactory()

    def test_ended_by_daemon(self) -> None:
        """A connection that the daemon ends is closed, and its policy hears why."""
        policy = StrictPolicy()
        client = self.client("c", server=self.door(policy))
        self.router.end("c", "enough")
        self.assertTrue(client.over)
        self.assertEqual(policy.told[-1], ("ended", "c", "enough"))
        client.vanish()
        self.assertEqual(len(policy.told), 2)

    def test_nothing_left(self) -> None:
        """When all have gone nothing of them is left."""
        for number in range(20):
            client = self.client(f"c{number}")
            client.subscribe("a", "+/b", qos=2)
            self.router.publish("a", b"m", 2)
            client.say(*[Disconnect()] * (number % 2))
            client.vanish()
        counters = self.router.counters
        self.assertEqual((counters.connected, counters.stored, counters.subscriptions), (0, 0, 0))
        self.assertEqual((counters.waiting_bytes, self.server.connections, self.server._per_address), (0, 0, {}))

    def test_asleep(self) -> None:
        """A server wakes the processor only as long as somebody is connected, or a session is kept for who went."""
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.client("c").vanish()
        self.clock.pump([TICK] * 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.client("kept", clean=False).vanish()
        self.clock.advance(self.storage.stored_age / 2)
        self.assertEqual((self.router.counters.stored, len(self.clock.getDelayedCalls())), (1, 1))
        self.clock.advance(self.storage.stored_age)
        self.assertEqual((self.router.counters.stored, self.clock.getDelayedCalls()), (0, []))
        late = Client(self.server)
        self.clock.pump([TICK] * int(self.limits.connect_time / TICK + 1))
        self.assertTrue(late.over)
