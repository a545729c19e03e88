"""Messages, subscriptions and acknowledgements on the wire, and what happens to who breaks their rules."""

from __future__ import annotations

import re

from sdcpd.broker import Violation
from sdcpd.codec.mqtt import (
    PingReq,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    Subscribe,
    Unsubscribe,
)
from sdcpd.logs import WHILE
from tests.broker.kit import (
    Client,
    ConnAck,
    PingResp,
    ServerTestCase,
    StrictPolicy,
    SubAck,
    UnsubAck,
    connect_packet,
    ids,
    payloads,
)
from tests.client_packets import encode

CLAUSE = re.compile(r"\[MQTT-[^\]]+\]")


class PublishTests(ServerTestCase):
    """What a client publishes is answered by its QoS, and passed on."""

    def setUp(self) -> None:
        super().setUp()
        self.publisher = self.client("publisher")
        self.listener = self.subscriber("#", qos=2)

    def test_qos_0(self) -> None:
        """QoS 0 is not answered [MQTT-3.3.4-1]."""
        self.publisher.publish("a", b"m")
        self.assertEqual(self.publisher.take(), [])
        self.assertEqual(self.listener.take(), [Publish("a", b"m", 0, False, False, 0)])

    def test_qos_1(self) -> None:
        """QoS 1 is answered by PUBACK with the same identifier [MQTT-4.3.2-2] [MQTT-3.3.4-1] [MQTT-2.3.1-6]."""
        self.publisher.publish("a", b"m", 1, 0x1234)
        self.assertEqual(self.publisher.take(), [PubAck(0x1234)])
        self.assertEqual(payloads(self.listener.take()), [b"m"])

    def test_qos_1_again(self) -> None:
        """After PUBACK the same identifier is another message, DUP or not [MQTT-4.3.2-2]."""
        for dup in (False, True, True):
            self.publisher.publish("a", b"m", 1, 7, dup=dup)
        self.assertEqual(self.publisher.take(), [PubAck(7)] * 3)
        self.assertEqual(len(self.listener.take()), 3)

    def test_qos_2(self) -> None:
        """QoS 2 is answered by PUBREC, its release by PUBCOMP [MQTT-4.3.3-2] [MQTT-3.3.4-1] [MQTT-2.3.1-6]."""
        self.publisher.publish("a", b"m", 2, 0xFFFF)
        self.assertEqual(self.publisher.take(), [PubRec(0xFFFF)])
        self.publisher.say(PubRel(0xFFFF))
        self.assertEqual(self.publisher.take(), [PubComp(0xFFFF)])
        self.assertEqual(payloads(self.listener.take()), [b"m"])

    def test_qos_2_again(self) -> None:
        """What is repeated before its release is delivered once; after it, again [MQTT-4.3.3-2]."""
        self.publisher.publish("a", b"1", 2, 7)
        self.publisher.publish("a", b"1", 2, 7, dup=True)
        self.publisher.publish("a", b"other", 2, 8)
        self.publisher.say(PubRel(7), PubRel(7))
        self.publisher.publish("a", b"2", 2, 7)
        self.assertEqual(self.publisher.take(), [PubRec(7), PubRec(7), PubRec(8), PubComp(7), PubComp(7), PubRec(7)])
        self.assertEqual(payloads(self.listener.take()), [b"1", b"other", b"2"])

    def test_qos_2_over_connections(self) -> None:
        """Over a new connection of the same session, too [MQTT-4.3.3-2] [MQTT-4.1.0-1]."""
        publisher = self.client("stays", clean=False)
        publisher.publish("a", b"1", 2, 7)
        publisher.vanish()
        publisher = Client(self.server)
        self.assertEqual(publisher.connect("stays", clean=False), ConnAck(True, 0))
        publisher.publish("a", b"1", 2, 7, dup=True)
        publisher.say(PubRel(7), PubRel(9))
        self.assertEqual(publisher.take(), [PubRec(7), PubComp(7), PubComp(9)])
        self.assertEqual(payloads(self.listener.take()), [b"1"])

    def test_qos_2_new_session(self) -> None:
        """In a new session nothing of the old one is known [MQTT-3.1.2-6]."""
        for _ in range(2):
            publisher = self.client("clean")
            publisher.publish("a", b"m", 2, 7)
            publisher.vanish()
        self.assertEqual(len(self.listener.take()), 2)

    def test_acknowledged_in_order(self) -> None:
        """Acknowledgements go in the order of the messages [MQTT-4.6.0-2] [MQTT-4.6.0-3] [MQTT-4.6.0-6]."""
        self.publisher.say(*[Publish("a", b"", 1 + n % 2, False, False, 100 - n) for n in range(10)])
        answers = self.publisher.take()
        self.assertEqual(answers, [(PubRec if n % 2 else PubAck)(100 - n) for n in range(10)])
        self.assertEqual(self.publisher.wire.writes, 2)  # one of them the CONNACK

    def test_payloads(self) -> None:
        """A payload is any bytes, none at all and a lot of them too."""
        for payload in (b"", b"\x00", b"\xff" * 1000, b"x" * 500_000):
            self.publisher.publish("a", payload)
            self.assertEqual(payloads(self.listener.take()), [payload])

    def test_topics(self) -> None:
        """Topics are passed on as they are, U+FEFF and all [MQTT-1.5.3-3] [MQTT-4.7.3-4] [MQTT-3.3.2-3]."""
        for topic in ("\ufeffa", " ", "/", "a//b", "ä/\U0001f600", "A" * 65_535):
            self.publisher.publish(topic)
            (packet,) = self.listener.take()
            assert isinstance(packet, Publish)
            self.assertEqual(packet.topic, topic)

    def test_not_allowed(self) -> None:
        """What a client may not publish is acknowledged all the same, or closes [MQTT-3.3.5-2]."""
        server = self.door(StrictPolicy())
        for qos, answer in ((0, []), (1, [PubAck(1)]), (2, [PubRec(1)])):
            client = self.client(f"c{qos}", server=server)
            client.publish("secret", qos=qos)
            self.assertEqual((client.take(), client.over), (answer, False))
            client.publish("forbidden", qos=qos, packet_id=2 if qos else 0)
            self.assertEqual((client.take(), client.over), ([], True))
        self.assertEqual(self.listener.take(), [])
        self.assertEqual(server.violations[Violation.POLICY], 3)

    def test_bug(self) -> None:
        """A policy that fails ends that one connection, and the message goes nowhere."""
        client = self.client("c", server=self.door(StrictPolicy()))
        client.publish("bug", qos=1)
        client.publish("a", qos=1)
        self.assertTrue(client.wire.aborted)
        self.assertEqual((client.take(), self.listener.take()), ([], []))
        self.assertEqual(self.failures(), 1)
        self.publisher.publish("a")
        self.assertEqual(len(self.listener.take()), 1)


class ReceiveTests(ServerTestCase):
    """What a subscriber is sent, and what it answers."""

    def test_qos_1(self) -> None:
        """A message of QoS 1 is sent until PUBACK [MQTT-4.3.2-1]."""
        client = self.subscriber("a", qos=1, clean=False)
        self.router.publish("a", b"m", 1)
        self.assertEqual(client.take(), [Publish("a", b"m", 1, False, False, 1)])
        client.vanish()
        client = self.client("subscriber", clean=False)
        self.assertEqual(client.take(), [Publish("a", b"m", 1, False, True, 1)])
        client.say(PubAck(1))
        client.vanish()
        self.assertEqual(self.client("subscriber", clean=False).take(), [])

    def test_qos_2(self) -> None:
        """A message of QoS 2 takes four packets [MQTT-4.3.3-1]."""
        client = self.subscriber("a", qos=2)
        self.router.publish("a", b"m", 2)
        self.assertEqual(client.take(), [Publish("a", b"m", 2, False, False, 1)])
        client.say(PubRec(1))
        self.assertEqual(client.take(), [PubRel(1)])
        client.say(PubComp(1))
        self.assertEqual(client.take(), [])
        self.assertEqual(self.router.counters.waiting_bytes, 0)

    def test_qos_2_interrupted(self) -> None:
        """Interrupted at any step it goes on there [MQTT-4.4.0-1] [MQTT-4.3.3-1] [MQTT-3.3.1-1]."""
        client = self.subscriber("a", qos=2, clean=False)
        self.router.publish("a", b"m", 2)
        for again, answer in ((Publish("a", b"m", 2, False, True, 1), PubRec(1)), (PubRel(1), PubComp(1))):
            client.vanish()
            client = self.client("subscriber", clean=False)
            self.assertEqual(client.take(), [again])
            client.say(answer)
        client.vanish()
        self.assertEqual(self.client("subscriber", clean=False).take(), [])

    def test_wrong_answers(self) -> None:
        """The answer of another QoS closes; an answer to nothing does not [MQTT-4.8.0-1]."""
        for qos, wrong in ((1, PubRec(1)), (1, PubComp(1)), (2, PubAck(1)), (2, PubComp(1))):
            client = self.subscriber("a", qos=qos)
            client.say(PubAck(9), PubComp(9))
            self.assertFalse(client.over)
            self.router.publish("a", b"m", qos)
            client.say(wrong)
            self.assertTrue(client.over)

    def test_window(self) -> None:
        """A subscriber has 20 messages to acknowledge and no more; each answer brings the next."""
        client = self.subscriber("a", qos=1)
        for number in range(30):
            self.router.publish("a", str(number).encode(), 1)
        self.assertEqual(len(client.take()), 20)
        client.say(PubAck(5), PubAck(6))
        self.assertEqual(payloads(client.take()), [b"20", b"21", b"22", b"23"])  # it grows while more is waiting

    def test_away(self) -> None:
        """What was published while a client was away comes when it is back, in order [MQTT-3.1.2-5]."""
        self.subscriber("a", qos=1, clean=False).vanish()
        for number in range(5):
            self.router.publish("a", str(number).encode(), 2)
        client = self.client("subscriber", clean=False)
        packets = client.take()
        self.assertEqual((payloads(packets), ids(packets)), ([b"0", b"1", b"2", b"3", b"4"], [1, 2, 3, 4, 5]))

    def test_missed(self) -> None:
        """A client that misses messages is named in the log with how many."""
        self.subscriber("a", qos=1, clean=False).vanish()
        for _ in range(10_007):
            self.router.publish("a", b"m", 1)
        self.client("subscriber", clean=False)
        self.assertIn("subscriber missed 7 messages", self.lines[-1])


class SubscribeTests(ServerTestCase):
    """SUBSCRIBE and UNSUBSCRIBE on the wire."""

    def test_answered(self) -> None:
        """Each is answered once, with its own identifier [MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-2.3.1-7]."""
        client = self.client(server=self.door(StrictPolicy()))
        client.say(Subscribe(0xABCD, (("a", 0), ("b", 2), ("secret", 1))), Unsubscribe(0x1234, ("a", "b", "c")))
        self.assertEqual(client.take(), [SubAck(0xABCD, (0, 2, 0x80)), UnsubAck(0x1234)])

    def test_wildcards(self) -> None:
        """Wildcards are supported [MQTT-3.8.3-2] [MQTT-4.7.1-2] [MQTT-4.7.1-3] [MQTT-4.7.2-1]."""
        client = self.client()
        self.assertEqual(client.subscribe("#", "+", "a/+/#", "+/b", "/#", qos=1), (1,) * 5)
        for topic in ("a", "$SYS/a", "x/b"):
            self.router.publish(topic, topic.encode())
        self.assertEqual(payloads(client.take()), [b"a", b"x/b"])

    def test_dollar(self) -> None:
        """Who names it gets it: '$' topics have their own subscribers."""
        client = self.subscriber("$SYS/#")
        self.router.publish("$SYS/x", b"m")
        self.assertEqual(payloads(client.take()), [b"m"])

    def test_not_interrupted(self) -> None:
        """Subscribing again loses no message in between [MQTT-3.8.4-3]."""
        client = self.subscriber("a", qos=1)
        client.say(
            Publish("a", b"1", 0, False, False, 0), Subscribe(2, (("a", 0),)), Publish("a", b"2", 0, False, False, 0)
        )
        self.assertEqual(payloads(client.take()), [b"1", b"2"])

    def test_answer_before_retained(self) -> None:
        """A SUBACK comes before the retained messages of its filters."""
        self.router.publish("a", b"kept", retain=True)
        client = self.client()
        client.say(Subscribe(3, (("a", 0),)))
        self.assertEqual(client.take(), [SubAck(3, (0,)), Publish("a", b"kept", 0, True, False, 0)])


class PingTests(ServerTestCase):
    """PINGREQ."""

    def test_ping(self) -> None:
        """PINGREQ is answered, and the policy hears that the client lives [MQTT-3.12.4-1]."""
        policy = StrictPolicy()
        client = self.client(server=self.door(policy))
        client.say(PingReq(), PingReq())
        self.assertEqual(client.take(), [PingResp()] * 2)
        self.assertEqual(policy.told[1:], [("pinged", "c")] * 2)


class MalformedTests(ServerTestCase):
    """Packets that break the rules close their connection, and only that."""

    BROKEN = (
        (b"\x00\x00", "type 0 [MQTT-4.8.0-1]"),
        (b"\xf0\x00", "type 15 [MQTT-4.8.0-1]"),
        (b"\x20\x02\x00\x00", "CONNACK is for servers [MQTT-4.8.0-1]"),
        (b"\xd0\x00", "PINGRESP is for servers [MQTT-4.8.0-1]"),
        (b"\xc1\x00", "flags of PINGREQ [MQTT-2.2.2-1] [MQTT-2.2.2-2]"),
        (b"\x41\x02\x00\x01", "flags of PUBACK [MQTT-2.2.2-1] [MQTT-2.2.2-2]"),
        (b"\x52\x02\x00\x01", "flags of PUBREC [MQTT-2.2.2-2]"),
        (b"\x60\x02\x00\x01", "flags of PUBREL [MQTT-3.6.1-1]"),
        (b"\x72\x02\x00\x01", "flags of PUBCOMP [MQTT-2.2.2-2]"),
        (b"\x80\x06\x00\x01\x00\x01a\x00", "flags of SUBSCRIBE [MQTT-3.8.1-1]"),
        (b"\xa0\x05\x00\x01\x00\x01a", "flags of UNSUBSCRIBE [MQTT-3.10.1-1]"),
        (b"\xc0\x80\x80\x80\x80\x01", "five bytes of length [MQTT-4.8.0-1]"),
        (b"\xc0\x01\x00", "PINGREQ with a body [MQTT-4.8.0-1]"),
        (b"\x36\x05\x00\x01a\x00\x01", "QoS 3 [MQTT-3.3.1-4]"),
        (b"\x38\x03\x00\x01a", "DUP with QoS 0 [MQTT-3.3.1-2]"),
        (b"\x30\x02\x00\x05", "a topic longer than its packet [MQTT-3.3.2-1]"),
        (b"\x30\x03\x00\x01\xff", "a topic that is not UTF-8 [MQTT-3.3.2-1] [MQTT-1.5.3-1]"),
        (b"\x30\x05\x00\x03\xed\xa0\x80", "a surrogate [MQTT-1.5.3-1]"),
        (b"\x30\x03\x00\x01\x00", "U+0000 in a topic [MQTT-1.5.3-2] [MQTT-4.7.3-2]"),
        (b"\x30\x02\x00\x00", "an empty topic [MQTT-4.7.3-1]"),
        (b"\x30\x05\x00\x03a/#", "a wildcard in a topic [MQTT-3.3.2-2] [MQTT-4.7.1-1]"),
        (b"\x30\x03\x00\x01+", "a wildcard in a topic [MQTT-3.3.2-2]"),
        (b"\x32\x05\x00\x01a\x00\x00", "identifier 0 [MQTT-2.3.1-1]"),
        (b"\x34\x05\x00\x01a\x00\x00", "identifier 0 [MQTT-2.3.1-1]"),
        (b"\x40\x02\x00\x00", "identifier 0 [MQTT-2.3.1-6]"),
        (b"\x40\x03\x00\x01\x00", "PUBACK of three bytes [MQTT-4.8.0-1]"),
        (b"\x82\x06\x00\x00\x00\x01a\x00", "SUBSCRIBE with identifier 0 [MQTT-2.3.1-1]"),
        (b"\x82\x02\x00\x01", "SUBSCRIBE of nothing [MQTT-3.8.3-3]"),
        (b"\x82\x05\x00\x01\x00\x01a", "a filter without QoS [MQTT-3.8.3-3] [MQTT-3-8.3-4]"),
        (b"\x82\x06\x00\x01\x00\x01a\x03", "QoS 3 for a filter [MQTT-3-8.3-4]"),
        (b"\x82\x06\x00\x01\x00\x01a\x80", "a reserved bit of a filter [MQTT-3-8.3-4]"),
        (b"\x82\x06\x00\x01\x00\x01\xff\x00", "a filter that is not UTF-8 [MQTT-3.8.3-1] [MQTT-1.5.3-1]"),
        (b"\x82\x06\x00\x01\x00\x01\x00\x00", "U+0000 in a filter [MQTT-4.7.3-2] [MQTT-1.5.3-2]"),
        (b"\x82\x05\x00\x01\x00\x00\x00", "an empty filter [MQTT-4.7.3-1]"),
        (b"\x82\x07\x00\x01\x00\x02a#\x00", "'#' not behind a separator [MQTT-4.7.1-2]"),
        (b"\x82\x08\x00\x01\x00\x03#/a\x00", "'#' not last [MQTT-4.7.1-2]"),
        (b"\x82\x08\x00\x01\x00\x03#/#\x00", "'#' twice [MQTT-4.7.1-2]"),
        (b"\x82\x07\x00\x01\x00\x02a+\x00", "'+' not a whole level [MQTT-4.7.1-3]"),
        (b"\xa2\x02\x00\x01", "UNSUBSCRIBE of nothing [MQTT-3.10.3-2]"),
        (b"\xa2\x05\x00\x00\x00\x01a", "UNSUBSCRIBE with identifier 0 [MQTT-2.3.1-1]"),
        (b"\xa2\x05\x00\x01\x00\x01\xff", "a filter that is not UTF-8 [MQTT-3.10.3-1] [MQTT-1.5.3-1]"),
        (b"\xe0\x01\x00", "DISCONNECT with a body [MQTT-4.8.0-1]"),
    )

    def test_each(self) -> None:
        """Each broken packet closes at once; nothing before it is lost, nothing behind it is done [MQTT-4.8.0-1]."""
        listener = self.subscriber("#")
        before, behind = Publish("t", b"before", 0, False, False, 0), Publish("t", b"behind", 0, False, False, 0)
        for broken, what in self.BROKEN:
            with self.subTest(what):
                self.clock.advance(WHILE)  # else not every line would be said
                client = self.client("c")
                client.raw(encode(before) + broken + encode(behind))
                client.say(behind)
                self.assertTrue(client.over)
                self.assertEqual(client.take(), [])
                self.assertEqual(payloads(listener.take()), [b"before"])
                self.assertTrue(any(clause in self.lines[-1] for clause in CLAUSE.findall(what)), self.lines[-1])
                client.vanish()
        self.assertFalse(listener.over)
        self.assertEqual(self.server.violations[Violation.PROTOCOL], len(self.BROKEN))
        self.assertEqual(self.failures(), 0)

    def test_not_malformed(self) -> None:
        """A length in more bytes than necessary is not forbidden."""
        client = self.client()
        client.raw(b"\xc0\x80\x00")
        self.assertEqual(client.take(), [PingResp()])


class PiecesTests(ServerTestCase):
    """Bytes come cut anywhere."""

    PACKETS = (
        connect_packet("piecemeal"),
        Subscribe(1, (("a/#", 2), ("b", 0))),
        Publish("a/b", b"x" * 300, 1, False, False, 5),
        Publish("b", b"", 2, False, False, 6),
        PubRel(6),
        PingReq(),
        Unsubscribe(2, ("b",)),
    )

    def test_bytewise(self) -> None:
        """A client that sends byte by byte gets what one that sends all at once gets."""
        data = b"".join(encode(packet) for packet in self.PACKETS)
        answers = []
        for size in (len(data), 1, 2, 3, 7, 64):
            client = Client(self.server)
            for at in range(0, len(data), size):
                client.raw(data[at : at + size])
            answers.append(client.take())
        self.assertEqual(len(answers[0]), 9)
        for other in answers[1:]:
            self.assertEqual(sorted(map(repr, other)), sorted(map(repr, answers[0])))

    def test_every_cut(self) -> None:
        """Wherever the stream is cut in two, nothing is lost and nothing comes twice."""
        data = b"".join(encode(packet) for packet in self.PACKETS)
        for at in range(1, len(data)):
            client = Client(self.server)
            client.raw(data[:at])
            client.raw(data[at:])
            self.assertEqual((len(client.take()), client.over), (9, False))
            client.vanish()

    def test_one_write(self) -> None:
        """What one segment is answered with leaves in one piece."""
        client = Client(self.server)
        client.raw(b"".join(encode(packet) for packet in self.PACKETS))
        self.assertEqual(client.wire.writes, 1)


class IsolationTests(ServerTestCase):
    """What one client does is no other client's trouble."""

    def test_noise(self) -> None:
        """Two hundred clients that send noise are closed, and others get their messages."""
        listener = self.subscriber("a", qos=1)
        for number in range(200):
            client = Client(self.server)
            if number % 2:
                client.connect(f"c{number}")
            client.raw(bytes((number * 7 + at * at * 31) % 256 for at in range(300)))
            client.vanish()
        self.router.publish("a", b"m", 1)
        self.assertEqual(payloads(listener.take()), [b"m"])
        self.assertFalse(listener.over)
        self.assertEqual((self.server.connections, self.failures()), (1, 0))
        self.assertLess(len(self.lines), 20)

    def test_broken_transport(self) -> None:
        """A connection whose transport fails costs the publisher nothing, and others get the message."""
        broken = self.subscriber("a", client_id="broken")
        listener = self.subscriber("a")
        publisher = self.client("publisher")

        def fail(data: bytes) -> None:
            raise OSError("out of order")

        broken.wire.write = fail  # type: ignore[method-assign]  # a fault that only this one has
        publisher.publish("a", b"m", 1)
        self.assertEqual(publisher.take(), [PubAck(1)])
        self.assertEqual(payloads(listener.take()), [b"m"])
        self.assertEqual(self.failures(), 1)
