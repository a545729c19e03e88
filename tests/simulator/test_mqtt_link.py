"""The paho link against a broker on a real socket; only its time-outs are moved by a clock."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import reactor as installed  # noqa: TID251 - real sockets need the real one
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import TestCase

from sdcpd.simulator.faults import Faults
from sdcpd.simulator.journal import Journal
from sdcpd.simulator.link import LinkState, LinkTerms
from sdcpd.simulator.mqtt_link import MqttLinks
from sdcpd.simulator.requests import Delivery
from sdcpd.simulator.simtime import SimTime
from sdcpd.simulator.waiting import Waiters
from tests.quiet import quiet
from tests.simulator.broker import PATIENCE, Broker

reactor: Any = installed
HUB, PRINTER = "127.20.0.1", "127.20.8.2"
TOPIC = "/sdcp/status/ID"


class Owner:
    """Remembers what the link said."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.deliveries: list[Delivery] = []
        self.next: Deferred[None] | None = None

    def link_up(self) -> None:
        self._say("up")

    def link_refused(self, reason: str) -> None:
        self._say(f"refused: {reason}")

    def link_lost(self, reason: str) -> None:
        self._say(f"lost: {reason}")

    def delivered(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)
        self._say("delivered")

    def hears(self) -> Deferred[None]:
        self.next = Deferred()
        return self.next.addTimeout(PATIENCE, reactor)

    def _say(self, words: str) -> None:
        self.said.append(words)
        waiting, self.next = self.next, None
        if waiting is not None:
            waiting.callback(None)


class MqttLinkTests(TestCase):
    def setUp(self) -> None:
        self.broker = Broker(reactor)
        self.port = reactor.listenTCP(0, self.broker, interface=HUB)
        self.clock = Clock()
        time = SimTime(self.clock, 1.0)
        self.links = MqttLinks(reactor, time)
        self.faults = Faults()
        self.waiters = Waiters()
        self.journal = Journal(time, "ID", True, self.waiters.check)
        self.owner = Owner()

    def tearDown(self) -> Deferred[Any]:  # type: ignore[override]  # trial waits for it
        for session in self.broker.sessions:
            session.lose()
        self.link.drop()
        stopping: Deferred[Any] = self.port.stopListening()
        return stopping.addCallback(lambda _: quiet())

    def connect(self, **terms: Any) -> Deferred[None]:
        given = {
            "host": HUB,
            "port": self.port.getHost().port,
            "bind_address": PRINTER,
            "client_id": "ID",
            "keepalive": 60,
            "filters": ("/sdcp/request/ID",),
        }
        heard = self.owner.hears()
        self.link = self.links.connect(self.owner, LinkTerms(**(given | terms)), self.faults, self.journal)
        return heard

    def until_reported(self, code: str) -> Deferred[None]:
        return self.waiters.until(lambda: self.codes() == [code]).addTimeout(PATIENCE, reactor)

    def roundtrip(self) -> Deferred[None]:
        """Fires when the link has read all that the broker sent before."""
        heard = self.owner.hears()
        self.broker.sessions[0].publish(b"{}", qos=0)
        return heard

    def codes(self) -> list[str]:
        return [violation.code for violation in self.journal.violations]

    async def test_up(self) -> None:
        """The link comes up from the printer's address, with its client id, keep-alive and filter."""
        await self.connect(keepalive=20)
        session = self.broker.sessions[0]
        self.assertEqual(self.owner.said, ["up"])
        self.assertIs(self.link.state, LinkState.UP)
        self.assertEqual((session.peer, session.client_id, session.keepalive), (PRINTER, "ID", 20))
        self.assertEqual(session.filters, ["/sdcp/request/ID"])

    async def test_nobody_listens(self) -> None:
        """A port where nobody listens is told, at once or a moment later."""
        with socket.socket() as unused:
            unused.bind((HUB, 0))
            try:
                heard = self.connect(port=unused.getsockname()[1])
            except OSError:
                await self.connect()
            else:
                await heard
                self.assertEqual(self.owner.said, ["refused: Connection refused"])
                self.assertIs(self.link.state, LinkState.DOWN)

    async def test_one_in_flight(self) -> None:
        """The second PUBLISH waits for the PUBACK of the first."""
        await self.connect()
        self.broker.acknowledges = False
        self.link.publish(TOPIC, b"1")
        self.link.publish(TOPIC, b"2")
        await self.broker.until(lambda: self.broker.messages)
        await self.roundtrip()
        self.assertEqual(self.broker.messages, [(TOPIC, b"1", False)])

    async def test_order(self) -> None:
        """Everything published arrives once, in order."""
        await self.connect()
        for number in range(50):
            self.link.publish(TOPIC, b"%d" % number)
        await self.broker.until(lambda: len(self.broker.messages) == 50)
        self.assertEqual([payload for _, payload, _ in self.broker.messages], [b"%d" % n for n in range(50)])

    async def test_crowd(self) -> None:
        """Of many waiting statuses of one kind only the newest is sent."""
        await self.connect()
        for number in range(500):
            self.link.publish(TOPIC, b"%d" % number, "printing")
        await self.broker.until(lambda: self.broker.messages and self.broker.messages[-1][1] == b"499")
        self.assertLess(len(self.broker.messages), 20)

    async def test_missing_puback(self) -> None:
        """Without PUBACK the PUBLISH is repeated with DUP after ten seconds, reported, and given up after three."""
        await self.connect()
        self.broker.acknowledges = False
        self.link.publish(TOPIC, b"1")
        for count in (1, 2, 3):
            await self.broker.until(lambda count=count: len(self.broker.messages) == count)
            self.clock.advance(10)
        self.assertEqual([dup for _, _, dup in self.broker.messages], [False, True, True])
        self.assertEqual(self.codes(), ["puback"] * 3)
        self.assertEqual(self.owner.said, ["up", "lost: no PUBACK"])

    async def test_lost_puback(self) -> None:
        """A PUBACK that counts as lost leads to one repetition, after which all goes on."""
        await self.connect()
        self.faults.inject("no-puback", times=1)
        self.link.publish(TOPIC, b"1")
        self.link.publish(TOPIC, b"2")
        await self.broker.until(lambda: self.broker.messages)
        await self.roundtrip()
        self.clock.advance(10)
        await self.broker.until(lambda: len(self.broker.messages) == 3)
        self.assertEqual(self.broker.messages, [(TOPIC, b"1", False), (TOPIC, b"1", True), (TOPIC, b"2", False)])
        self.assertEqual(self.codes(), [])

    async def test_duplicates(self) -> None:
        """The fault duplicate-publish repeats each PUBLISH with DUP."""
        await self.connect()
        self.faults.inject("duplicate-publish")
        self.link.publish(TOPIC, b"1")
        await self.broker.until(lambda: len(self.broker.messages) == 2)
        self.assertEqual(self.broker.messages, [(TOPIC, b"1", False), (TOPIC, b"1", True)])

    async def test_early(self) -> None:
        """A status can come before SUBSCRIBE."""
        await self.connect(early=(TOPIC, b"early"), filters=("/sdcp/#", "/x"))
        self.assertEqual(self.broker.messages[0][1], b"early")
        self.assertEqual(self.broker.sessions[0].filters, ["/sdcp/#", "/x"])

    async def test_delivery(self) -> None:
        """Both kinds of QoS arrive, with their packet identifier."""
        await self.connect()
        for qos, packet_id in ((1, 9), (0, 0), (1, 0)):
            heard = self.owner.hears()
            self.broker.sessions[0].publish(b"{}", packet_id, qos)
            await heard
        self.assertEqual([(d.qos, d.packet_id) for d in self.owner.deliveries], [(1, 9), (0, 0), (1, 0)])
        self.assertEqual({d.subscribed for d in self.owner.deliveries}, {True})

    async def test_broken_packet(self) -> None:
        """A packet that cannot be read ends the link, and is reported."""
        await self.connect()
        heard = self.owner.hears()
        self.broker.sessions[0].write(b"\x32\x03\x00\x09x")
        await heard
        self.assertEqual((self.codes(), self.owner.said), (["mqtt"], ["up", "lost: Protocol error"]))
        self.assertIs(self.link.state, LinkState.DOWN)

    async def test_broker_gone(self) -> None:
        """The owner hears that the broker closed."""
        await self.connect()
        heard = self.owner.hears()
        self.broker.sessions[0].lose()
        await heard
        self.assertTrue(self.owner.said[-1].startswith("lost"))

    async def test_disconnect(self) -> None:
        """A polite end says DISCONNECT."""
        await self.connect()
        self.link.disconnect()
        await self.broker.until(lambda: self.broker.sessions[0].ended)
        self.assertEqual(self.broker.sessions[0].ended, "DISCONNECT")

    async def test_drop(self) -> None:
        """A dropped link is reset, and its owner is not told."""
        await self.connect()
        self.link.drop()
        await self.broker.until(lambda: self.broker.sessions[0].ended)
        self.assertIn("non-clean", self.broker.sessions[0].ended or "")
        self.assertEqual(self.owner.said, ["up"])

    async def test_fin(self) -> None:
        """A link can also be closed by an orderly FIN without DISCONNECT."""
        await self.connect()
        self.link.drop(reset=False)
        await self.broker.until(lambda: self.broker.sessions[0].ended)
        self.assertIn("cleanly", self.broker.sessions[0].ended or "")

    async def test_freeze(self) -> None:
        """A frozen link neither answers nor closes."""
        await self.connect()
        self.link.freeze()
        self.broker.sessions[0].publish(b"{}")
        await deferLater(reactor, 0.05)
        self.assertEqual((self.owner.deliveries, self.broker.sessions[0].ended), ([], None))

    async def test_no_connack(self) -> None:
        """Without an answer to CONNECT the printer gives up after ten seconds."""
        heard = self.connect()
        self.clock.advance(10)
        await heard
        self.assertEqual(self.owner.said, ["lost: no CONNACK"])
        self.assertIs(self.link.state, LinkState.DOWN)

    async def test_pings(self) -> None:
        """A keep-alive of one second makes for a PINGREQ every second of silence, unless the fault forbids it."""
        await self.connect(keepalive=1)
        await deferLater(reactor, 1.05)
        self.faults.inject("no-ping")
        self.clock.advance(1)
        await deferLater(reactor, 0.05)
        self.assertEqual(self.broker.pings, 0)
        self.faults.clear()
        self.clock.advance(1)
        await self.broker.until(lambda: self.broker.pings == 1)

    async def test_late_pingresp(self) -> None:
        """A PINGRESP that takes more than ten seconds is reported."""
        self.broker.answers_pings = False
        await self.connect(keepalive=1)
        await deferLater(reactor, 1.05)
        self.clock.advance(0.1)
        await self.broker.until(lambda: self.broker.pings == 1)
        self.faults.inject("no-ping")  # nor does paho look, by the wall's clock, whether the answer came in time
        self.clock.advance(11)
        self.broker.sessions[0].write(b"\xd0\x00")
        await self.until_reported("pingresp-late")

    async def test_refused_connect(self) -> None:
        """A broker that refuses CONNECT ends the link, and the reason is in the log."""
        self.broker.connack = b"\x20\x02\x00\x05"
        await self.connect()
        self.assertEqual(self.journal.counts.kinds["connack-refused"], 1)
        self.assertIs(self.link.state, LinkState.DOWN)

    async def test_strange_topic(self) -> None:
        """A topic that is no UTF-8 is reported, and the message dropped."""
        await self.connect()
        self.broker.sessions[0].write(b"\x30\x04\x00\x02\xff\xfe")
        await self.until_reported("topic")
        self.assertEqual(self.owner.deliveries, [])

    async def test_address_not_ours(self) -> None:
        """An address that this machine does not have is an OSError at once."""
        await self.connect()
        terms = LinkTerms(HUB, 1883, "192.0.2.1", "ID", 60, ())
        with self.assertRaises(OSError):
            self.links.connect(self.owner, terms, self.faults, self.journal)
