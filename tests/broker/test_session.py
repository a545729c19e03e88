"""Sessions: what is sent again, what waits, and what is lost, without a connection."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.broker import Identity, Limits, OpenPolicy, Storage
from sdcpd.broker.limits import LimitExceeded, Violation
from sdcpd.broker.message import Message
from sdcpd.broker.session import Backlog, Session
from sdcpd.codec.mqtt import ProtocolViolation, Publish, PubRel
from tests.broker.kit import Answer, FakeOutlet, ids, payloads

WINDOW = 3
LIMITS = Limits(in_flight=WINDOW, in_flight_peak=WINDOW, unreleased=5)


def message(text: object = "m", qos: int = 2) -> Message:
    return Message("t", str(text).encode(), qos)


class SessionTestCase(SynchronousTestCase):
    """One session that stays, connected."""

    limits = LIMITS
    storage = Storage(session_messages=5, session_bytes=4000)

    def setUp(self) -> None:
        self.backlog = Backlog(100_000)
        self.session = Session(Identity("c"), OpenPolicy(), self.limits, self.storage, self.backlog)
        self.session.stays = True
        self.outlet = FakeOutlet()
        self.session.attach(self.outlet)

    def deliver(self, *texts: object, qos: int = 1) -> None:
        for text in texts:
            self.session.deliver(message(text), qos)

    def again(self) -> list[Answer]:
        """The client goes and comes back; what it is sent."""
        self.session.detach()
        self.outlet = FakeOutlet()
        self.session.attach(self.outlet)
        return self.outlet.take()


class DeliveryTests(SessionTestCase):
    """Messages to a client that is there."""

    def test_qos(self) -> None:
        """A message comes at the lower of its own QoS and the granted one [MQTT-3.8.4-6]."""
        got = []
        for granted in (0, 1, 2):
            for published in (0, 1, 2):
                self.session.deliver(message(qos=published), granted)
                for packet in self.outlet.take():
                    assert isinstance(packet, Publish)
                    got.append((granted, published, packet.qos))
                self.session.discard()
                self.setUp()
        self.assertEqual(got, [(g, p, min(g, p)) for g in (0, 1, 2) for p in (0, 1, 2)])

    def test_qos_0(self) -> None:
        """QoS 0 has no identifier, no DUP, and is not kept [MQTT-4.3.1-1] [MQTT-2.3.1-5] [MQTT-3.3.1-2]."""
        self.deliver("a", qos=0)
        self.assertEqual(self.outlet.take(), [Publish("t", b"a", 0, False, False, 0)])
        self.assertEqual(self.again(), [])

    def test_identifiers(self) -> None:
        """Identifiers are not 0, all different, first sent without DUP [MQTT-4.3.2-1] [MQTT-4.3.3-1] [MQTT-2.3.1-1]."""
        self.deliver("a", "b", qos=1)
        self.deliver("c", qos=2)
        self.assertEqual(
            self.outlet.take(),
            [
                Publish("t", b"a", 1, False, False, 1),
                Publish("t", b"b", 1, False, False, 2),
                Publish("t", b"c", 2, False, False, 3),
            ],
        )

    def test_identifiers_in_use(self) -> None:
        """Counting goes round after 65,535 and leaves out what is not acknowledged yet [MQTT-2.3.1-4]."""
        self.deliver("stuck")
        self.outlet.take()
        seen = set()
        for _ in range(65_534):
            self.deliver("m")
            (packet_id,) = ids(self.outlet.take())
            seen.add(packet_id)
            self.session.acknowledged(packet_id)
        self.assertEqual(seen, set(range(2, 65_536)))
        self.deliver("m")
        self.assertEqual(ids(self.outlet.take()), [2])

    def test_window(self) -> None:
        """So many are under way and no more; each acknowledgement lets the next one go, in order [MQTT-4.6.0-6]."""
        self.deliver(*range(7))
        self.assertEqual(payloads(self.outlet.take()), [b"0", b"1", b"2"])
        self.assertEqual((self.session.in_flight, self.session.waiting), (3, 4))
        self.session.acknowledged(2)
        self.assertEqual(payloads(self.outlet.take()), [b"3"])
        self.session.acknowledged(1)
        self.session.acknowledged(3)
        self.assertEqual(payloads(self.outlet.take()), [b"4", b"5"])

    def test_window_qos_2(self) -> None:
        """A QoS 2 message is under way until PUBCOMP."""
        self.deliver(*range(4), qos=2)
        self.outlet.take()
        self.session.received(1)
        self.assertEqual(self.outlet.take(), [PubRel(1)])
        self.session.completed(1)
        self.assertEqual(payloads(self.outlet.take()), [b"3"])

    def test_qos_0_overtakes(self) -> None:
        """A full window does not hold up QoS 0."""
        self.deliver(*range(5))
        self.outlet.take()
        self.deliver("now", qos=0)
        self.assertEqual(payloads(self.outlet.take()), [b"now"])

    def test_retained(self) -> None:
        """RETAIN is set on a retained message at every QoS, also when it is sent again [MQTT-3.3.1-8]."""
        for qos in (0, 1, 2):
            self.session.deliver(message(), qos, retain=True)
        self.session.deliver(message(), 1)
        self.session.deliver(message("waited"), 1, retain=True)
        flags = [(p.qos, p.retain) for p in self.outlet.take() if isinstance(p, Publish)]
        self.assertEqual(flags, [(0, True), (1, True), (2, True), (1, False)])
        again = [(p.qos, p.retain, p.dup) for p in self.again() if isinstance(p, Publish)]
        self.assertEqual(again, [(1, True, True), (2, True, True), (1, False, True)])
        self.session.acknowledged(1)
        self.assertEqual(self.outlet.take(), [Publish("t", b"waited", 1, True, False, 4)])

    def test_overflow(self) -> None:
        """Who is too slow loses the oldest of what waits, and it is counted."""
        self.deliver(*range(10))
        self.assertEqual((self.session.waiting, self.session.dropped), (5, 2))
        self.outlet.take()
        for packet_id in range(1, 9):
            self.session.acknowledged(packet_id)
        self.assertEqual(payloads(self.outlet.take()), [b"5", b"6", b"7", b"8", b"9"])

    def test_overflow_bytes(self) -> None:
        """What waits is also bounded in bytes; one message beyond the bound is lost alone."""
        self.deliver("a", "b", "c", "d", "x" * 1800, "y" * 1800)
        self.assertEqual((self.session.waiting, self.session.dropped), (1, 2))
        self.deliver("z" * 4000)
        self.assertEqual((self.session.waiting, self.session.dropped), (1, 3))

    def test_overflow_of_all(self) -> None:
        """When all sessions together hold too much nobody's old messages are thrown away for a new one."""
        self.deliver(*range(4))
        self.backlog.used += 100_000
        self.deliver("new")
        self.assertEqual((self.session.waiting, self.session.dropped), (1, 1))

    def test_bytes_under_way(self) -> None:
        """Large messages are under way until so many bytes are; what waits keeps its turn [MQTT-4.6.0-6]."""
        self.deliver("x" * 1500, "y" * 1500, "z" * 1500, "small")
        self.assertEqual([text[:1] for text in payloads(self.outlet.take())], [b"x", b"y"])
        self.assertEqual((self.session.in_flight, self.session.waiting, self.session.dropped), (2, 2, 0))
        self.session.acknowledged(1)
        self.assertEqual([text[:1] for text in payloads(self.outlet.take())], [b"z", b"s"])

    def test_bounded_under_way(self) -> None:
        """Whoever acknowledges little makes the server keep so much of what was sent, and as much of what waits."""
        for number in range(50):
            self.deliver(f"{number}" * 700)
            self.assertLessEqual(self.session.held_bytes, 8000)
            if not number % 10:
                self.session.acknowledged(ids(self.outlet.take())[0])
        self.assertGreater(self.session.held_bytes, 5000)
        self.assertEqual(self.session.held_bytes, self.backlog.used)
        self.session.discard()
        self.assertEqual(self.backlog.used, 0)

    def test_served_when_full(self) -> None:
        """When all sessions together hold too much, a client that acknowledges gets its messages one by one."""
        self.backlog.used += 100_000
        for number in range(5):
            self.deliver(number, "lost")
            packets = self.outlet.take()
            self.assertEqual(payloads(packets), [str(number).encode()])
            self.session.acknowledged(ids(packets)[0])
        self.assertEqual((self.session.dropped, self.backlog.used), (5, 100_000))

    def test_ends_while_sending(self) -> None:
        """A connection that is cut because of what it is sent is sent nothing more."""
        self.deliver(*range(8))
        self.outlet.take()
        self.session.detach()
        outlet = FakeOutlet(on_send=self.session.detach)
        self.session.attach(outlet)
        self.assertEqual(payloads(outlet.take()), [b"0"])
        self.assertEqual((self.session.in_flight, self.session.waiting), (3, 5))


class WindowTests(SessionTestCase):
    """A window that grows."""

    limits = Limits(in_flight=2, in_flight_peak=5)
    storage = Storage()

    def test_grows(self) -> None:
        """A client that acknowledges while more is waiting gets more at once, up to a peak."""
        self.deliver(*range(40))
        rounds = []
        while found := ids(self.outlet.take()):
            rounds.append(len(found))
            for packet_id in found:
                self.session.acknowledged(packet_id)
        self.assertEqual(rounds[:4], [2, 4, 5, 5])
        self.assertEqual(sum(rounds), 40)

    def test_mute(self) -> None:
        """A client that acknowledges nothing never gets more than the first few."""
        self.deliver(*range(40))
        self.assertEqual(len(self.outlet.take()), 2)
        self.assertEqual(len(self.again()), 2)

    def test_shrinks(self) -> None:
        """A new connection has to show it again; what is under way already is repeated whole."""
        self.deliver(*range(40))
        for packet_id in ids(self.outlet.take()):
            self.session.acknowledged(packet_id)
        self.assertEqual(self.session.in_flight, 4)
        self.assertEqual(len(self.again()), 4)
        self.session.acknowledged(3)
        self.session.acknowledged(4)
        self.assertEqual(self.session.in_flight, 4)


class AcknowledgementTests(SessionTestCase):
    """What the client answers."""

    def assert_breaks(self, answer: str, packet_id: int, clause: str) -> None:
        with self.assertRaises(ProtocolViolation) as caught:
            getattr(self.session, answer)(packet_id)
        self.assertEqual(caught.exception.clause, clause)

    def test_unknown(self) -> None:
        """PUBACK and PUBCOMP for nothing are ignored; PUBREC for nothing gets the PUBREL it waits for."""
        self.session.acknowledged(9)
        self.session.completed(9)
        self.assertEqual(self.outlet.take(), [])
        self.session.received(9)
        self.assertEqual(self.outlet.take(), [PubRel(9)])
        self.assertEqual(self.session.in_flight, 0)

    def test_wrong(self) -> None:
        """The acknowledgement of another QoS ends the connection [MQTT-4.3.2-1] [MQTT-4.3.3-1] [MQTT-4.8.0-1]."""
        self.deliver("one", qos=1)
        self.deliver("two", qos=2)
        self.assert_breaks("received", 1, "[MQTT-4.3.2-1]")
        self.assert_breaks("completed", 1, "[MQTT-4.3.3-1]")
        self.assert_breaks("acknowledged", 2, "[MQTT-4.3.3-1]")
        self.assert_breaks("completed", 2, "[MQTT-4.3.3-1]")
        self.session.received(2)
        self.assert_breaks("acknowledged", 2, "[MQTT-4.3.3-1]")

    def test_twice(self) -> None:
        """A repeated acknowledgement changes nothing; a repeated PUBREC gets its PUBREL again."""
        self.deliver("one", qos=1)
        self.deliver("two", qos=2)
        self.session.acknowledged(1)
        self.session.acknowledged(1)
        self.outlet.take()
        self.session.received(2)
        self.session.received(2)
        self.assertEqual(self.outlet.take(), [PubRel(2), PubRel(2)])
        self.session.completed(2)
        self.session.completed(2)
        self.assertEqual((self.session.in_flight, self.backlog.used), (0, 0))

    def test_told(self) -> None:
        """Who asked is told when the client owns the message: at PUBACK, or at PUBREC."""
        told: list[str] = []
        self.session.deliver(Message("t", b"", 1, lambda: told.append("one")), 1)
        self.session.deliver(Message("t", b"", 2, lambda: told.append("two")), 2)
        self.session.received(2)
        self.session.completed(2)
        self.session.acknowledged(1)
        self.assertEqual(told, ["two", "one"])

    def test_nothing_kept(self) -> None:
        """What is acknowledged, or discarded, no longer counts as kept."""
        self.deliver(*range(6))
        self.assertGreater(self.backlog.used, 6 * 200)
        for packet_id in range(1, 7):
            self.session.acknowledged(packet_id)
        self.assertEqual(self.backlog.used, 0)
        self.deliver(*range(6))
        self.session.discard()
        self.assertEqual(self.backlog.used, 0)


class ReturnTests(SessionTestCase):
    """A client that goes and comes back."""

    def test_again(self) -> None:
        """What is unacknowledged comes again: same id, DUP, in order [MQTT-4.4.0-1] [MQTT-3.3.1-1] [MQTT-4.6.0-1]."""
        self.deliver("a", "b")
        self.deliver("c", qos=2)
        self.session.acknowledged(1)
        again = [Publish("t", b"b", 1, False, True, 2), Publish("t", b"c", 2, False, True, 3)]
        self.assertEqual(self.again(), again)
        self.assertEqual(self.again(), again)

    def test_released_again(self) -> None:
        """After PUBREC only the PUBREL is repeated, never the message [MQTT-4.3.3-1] [MQTT-4.4.0-1]."""
        self.deliver("a", "b", "c", qos=2)
        self.session.received(1)
        self.assertEqual(
            self.again(), [Publish("t", b"b", 2, False, True, 2), Publish("t", b"c", 2, False, True, 3), PubRel(1)]
        )
        self.session.completed(1)
        self.assertEqual(ids(self.again()), [2, 3])

    def test_releases_in_order(self) -> None:
        """PUBRELs are repeated in the order of the PUBRECs [MQTT-4.6.0-4] [MQTT-4.6.0-6]."""
        self.deliver("a", "b", "c", qos=2)
        for packet_id in (2, 3, 1):
            self.session.received(packet_id)
        self.assertEqual(self.again(), [PubRel(2), PubRel(3), PubRel(1)])

    def test_waiting(self) -> None:
        """What was published meanwhile comes after what is repeated, and new, without DUP [MQTT-3.1.2-5]."""
        self.deliver("a")
        self.session.detach()
        self.deliver("b", "c", "d")
        self.deliver("nobody hears QoS 0", qos=0)
        packets = self.again()
        self.assertEqual(payloads(packets), [b"a", b"b", b"c"])
        self.assertEqual([p.dup for p in packets if isinstance(p, Publish)], [True, False, False])
        self.session.acknowledged(1)
        self.assertEqual(payloads(self.outlet.take()), [b"d"])

    def test_bounded(self) -> None:
        """Who stays away keeps the newest few messages, and how many are missing is known."""
        self.session.detach()
        self.deliver(*range(100))
        self.assertEqual((self.session.waiting, self.session.dropped), (5, 95))
        self.assertEqual(payloads(self.again()), [b"95", b"96", b"97"])

    def test_not_stored(self) -> None:
        """For a client that nothing is stored for nothing waits while it is away."""
        self.session.stays = False
        self.session.detach()
        self.deliver("a")
        self.assertEqual((self.session.waiting, self.session.in_flight, self.backlog.used), (0, 0, 0))


class NowTests(SessionTestCase):
    """Messages that are sent now or not at all."""

    def now(self, text: str = "m", qos: int = 1) -> bool:
        return self.session.deliver_now(message(text), qos)

    def test_now(self) -> None:
        """They go while there is room, and are refused when they would have to wait."""
        self.assertEqual([self.now(), self.now(qos=2), self.now(), self.now()], [True, True, True, False])
        self.assertTrue(self.now(qos=0))
        self.assertEqual(self.session.waiting, 0)
        self.session.acknowledged(1)
        self.assertTrue(self.now())

    def test_when_full(self) -> None:
        """They are sent however much waits for others: there are few, and they are the daemon's own."""
        self.backlog.used += 100_000
        self.assertEqual([self.now(), self.now()], [True, True])
        self.assertEqual(len(self.outlet.take()), 2)

    def test_behind_others(self) -> None:
        """They do not overtake what waits already."""
        self.deliver(*range(4))
        self.assertFalse(self.now())

    def test_away(self) -> None:
        """Nobody is there: it is refused."""
        self.session.detach()
        self.assertFalse(self.now())
        self.assertFalse(self.now(qos=0))
        self.assertEqual(self.again(), [])


class UnreleasedTests(SessionTestCase):
    """QoS 2 messages from the client."""

    def test_once(self) -> None:
        """A message that comes again before PUBREL is not new; after it the identifier is [MQTT-4.3.3-2]."""
        self.assertTrue(self.session.is_new(7))
        self.assertFalse(self.session.is_new(7))
        self.assertTrue(self.session.is_new(8))
        self.session.released(7)
        self.assertTrue(self.session.is_new(7))
        self.assertFalse(self.session.is_new(8))

    def test_survives(self) -> None:
        """What was not released is remembered over a new connection [MQTT-4.1.0-1]."""
        self.session.is_new(7)
        self.again()
        self.assertFalse(self.session.is_new(7))

    def test_unknown(self) -> None:
        """A release of nothing is nothing."""
        self.session.released(7)

    def test_bounded(self) -> None:
        """A client that never releases is stopped."""
        for packet_id in range(1, 6):
            self.session.is_new(packet_id)
        with self.assertRaises(LimitExceeded) as caught:
            self.session.is_new(6)
        self.assertIs(caught.exception.violation, Violation.UNRELEASED)
        self.assertFalse(self.session.is_new(5))

    def test_independent(self) -> None:
        """The client's identifiers and the server's are two sets: both may use 1 at a time."""
        self.deliver("a", qos=2)
        self.assertTrue(self.session.is_new(1))
        self.session.received(1)
        self.session.released(1)
        self.assertEqual(self.outlet.take()[-1], PubRel(1))


class SessionMachine(RuleBasedStateMachine):
    """Any order of messages, acknowledgements and interruptions, seen by a client that keeps its side of the deal."""

    def __init__(self) -> None:
        super().__init__()
        self.backlog = Backlog(1 << 20)
        self.session = Session(Identity("c"), OpenPolicy(), LIMITS, Storage(session_messages=1000), self.backlog)
        self.session.stays = True
        self.outlet: FakeOutlet | None = None
        self.number = 0
        self.published: list[bytes] = []
        self.delivered: list[bytes] = []
        self.owed: list[tuple[str, int]] = []
        self.owned: set[int] = set()

    @rule(qos=st.sampled_from([1, 2]))
    def publish(self, qos: int) -> None:
        self.number += 1
        self.published.append(str(self.number).encode())
        self.session.deliver(message(self.number), qos)
        self.look()

    @rule()
    def come(self) -> None:
        if self.outlet is None:
            self.owed.clear()  # what was not answered is asked again
            self.outlet = FakeOutlet()
            self.session.attach(self.outlet)
            self.look()

    @rule(loses=st.booleans())
    def go(self, loses: bool) -> None:
        if self.outlet is not None:
            self.session.detach()
            self.outlet = None

    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        if self.outlet is None or not self.owed:
            return
        what, packet_id = self.owed.pop(data.draw(st.integers(0, len(self.owed) - 1)))
        if what == "puback":
            self.session.acknowledged(packet_id)
        elif what == "pubrec":
            self.session.received(packet_id)
        else:
            self.owned.discard(packet_id)
            self.session.completed(packet_id)
        self.look()

    def look(self) -> None:
        """The client reads: it takes a QoS 2 message once, a QoS 1 message once unless it is marked as repeated."""
        for packet in self.outlet.take() if self.outlet is not None else ():
            if isinstance(packet, PubRel):
                self.owed.append(("pubcomp", packet.packet_id))
            elif isinstance(packet, Publish):
                if packet.qos == 1:
                    self.owed.append(("puback", packet.packet_id))
                    if not packet.dup:
                        self.delivered.append(packet.payload)
                else:
                    self.owed.append(("pubrec", packet.packet_id))
                    if packet.packet_id not in self.owned:
                        self.owned.add(packet.packet_id)
                        self.delivered.append(packet.payload)

    @invariant()
    def window(self) -> None:
        assert self.session.in_flight <= WINDOW
        assert self.backlog.used >= 0

    @invariant()
    def order(self) -> None:
        """Each message once, in order [MQTT-4.6.0-6] [MQTT-4.5.0-1]."""
        assert self.delivered == self.published[: len(self.delivered)]

    def teardown(self) -> None:
        """In the end the client gets everything, and nothing is kept."""
        self.come()
        while self.owed:
            what, packet_id = self.owed.pop(0)
            step = {"puback": "acknowledged", "pubrec": "received", "pubcomp": "completed"}[what]
            if what == "pubcomp":
                self.owned.discard(packet_id)
            getattr(self.session, step)(packet_id)
            self.look()
        assert self.delivered == self.published
        assert (self.session.in_flight, self.session.waiting, self.backlog.used) == (0, 0, 0)


SessionMachineTests = SessionMachine.TestCase
SessionMachineTests.settings = settings(max_examples=150, stateful_step_count=40, derandomize=True, deadline=None)
