"""The router: who hears what, who is whom, and what outlives a connection. No bytes but those that come out."""

from __future__ import annotations

from msgspec.structs import replace
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.broker import Limits, Policy, Router, Storage
from sdcpd.broker.limits import LimitExceeded, Violation
from sdcpd.broker.policy import Identity, OpenPolicy
from sdcpd.broker.session import Session
from sdcpd.codec import mqtt
from sdcpd.codec.mqtt import Publish, Subscribe, Unsubscribe, Will
from tests.broker.kit import ConnAck, FakeOutlet, StrictPolicy, SubAck, UnsubAck, connect_packet, payloads

BYE = "bye"


class RouterTestCase(SynchronousTestCase):
    """A router, and clients without connections."""

    storage = Storage(stored_sessions=3, stored_age=100.0, retained_messages=3)

    def setUp(self) -> None:
        self.clock = Clock()
        self.router = Router(self.clock.seconds, self.storage)
        self.policy = StrictPolicy()
        self.limits = Limits(in_flight=2, in_flight_peak=2, subscriptions=4)

    def connect(
        self,
        client_id: str = "c",
        clean: bool = True,
        will: Will | None = None,
        outlet: FakeOutlet | None = None,
        policy: Policy | None = None,
    ) -> tuple[Session, FakeOutlet]:
        """A client comes; its outlet has its CONNACK still in it."""
        outlet = FakeOutlet() if outlet is None else outlet
        rules = self.policy if policy is None else policy
        packet = connect_packet(client_id, clean, will=will)
        identity = rules.connect(packet, "10.0.0.1")
        assert isinstance(identity, Identity)
        return self.router.connect(outlet, packet, identity, rules, self.limits), outlet

    def subscriber(
        self, *filters: str, qos: int = 1, client_id: str = "s", clean: bool = True
    ) -> tuple[Session, FakeOutlet]:
        session, outlet = self.connect(client_id, clean)
        self.subscribe(session, *filters, qos=qos)
        outlet.take()
        return session, outlet

    def subscribe(self, session: Session, *filters: str, qos: int = 1) -> None:
        self.router.subscribe(session, Subscribe(1, tuple((f, qos) for f in filters)))

    def say(self, topic: str, payload: bytes = b"m", qos: int = 1, retain: bool = False, by: str = "p") -> None:
        """A client that lives for one message."""
        session, outlet = self.connect(by)
        self.router.received(session, Publish(topic, payload, qos, retain, False, 1 if qos else 0))
        self.router.disconnect(session, outlet, BYE, with_will=False)


class ConnectTests(RouterTestCase):
    """Sessions that are new, resumed, replaced and taken over."""

    def test_new(self) -> None:
        """A new client gets a CONNACK before anything else, without a session [MQTT-3.2.0-1] [MQTT-3.2.2-3]."""
        for clean in (True, False):
            _, outlet = self.connect(f"c{clean}", clean)
            self.assertEqual(outlet.take(), [ConnAck(False, 0)])

    def test_resumed(self) -> None:
        """A session that stays is found again, its subscriptions alive [MQTT-3.1.2-4] [MQTT-3.2.2-2] [MQTT-4.1.0-1]."""
        session, outlet = self.subscriber("a/#", clean=False)
        self.router.disconnect(session, outlet, BYE, with_will=False)
        self.say("a/b", b"while away")
        again, outlet = self.connect("s", clean=False)
        self.assertIs(again, session)
        self.assertEqual(outlet.take(), [ConnAck(True, 0), Publish("a/b", b"while away", 1, False, False, 1)])
        self.say("a/b", b"live")
        self.assertEqual(payloads(outlet.take()), [b"live"])

    def test_clean_replaces(self) -> None:
        """CleanSession ends the stored session with all that it held [MQTT-3.1.2-6] [MQTT-3.2.2-1] [MQTT-3.1.4-3]."""
        session, outlet = self.subscriber("a", clean=False)
        self.router.disconnect(session, outlet, BYE, with_will=False)
        self.say("a", b"while away")
        session, outlet = self.connect("s", clean=True)
        self.assertEqual(outlet.take(), [ConnAck(False, 0)])
        self.say("a", b"live")
        self.assertEqual(outlet.take(), [])
        self.router.disconnect(session, outlet, BYE, with_will=False)
        _, outlet = self.connect("s", clean=False)
        self.assertEqual(outlet.take(), [ConnAck(False, 0)])

    def test_clean_ends(self) -> None:
        """A clean session ends with its connection, and nothing of it is left [MQTT-3.1.2-6] [MQTT-4.1.0-2]."""
        session, outlet = self.subscriber("a", "b/+", clean=True)
        self.router.disconnect(session, outlet, BYE, with_will=False)
        self.assertEqual((self.router.counters.subscriptions, self.router.counters.connected), (0, 0))
        self.assertEqual(self.router._sessions, {})

    def test_by_client_id(self) -> None:
        """Sessions are told apart by their client identifiers, letter by letter [MQTT-3.1.3-2]."""
        session, outlet = self.connect("one", clean=False)
        self.router.disconnect(session, outlet, BYE, with_will=False)
        for other in ("One", "one ", "two"):
            self.assertEqual(self.connect(other, clean=False)[1].take(), [ConnAck(False, 0)])

    def test_qos_0_may_be_lost(self) -> None:
        """QoS 1 and 2 wait for a client that is away [MQTT-3.1.2-5]; QoS 0 does not."""
        session, outlet = self.subscriber("a", qos=2, clean=False)
        self.router.disconnect(session, outlet, BYE, with_will=False)
        for qos in (0, 1, 2):
            self.say("a", str(qos).encode(), qos)
        _, outlet = self.connect("s", clean=False)
        self.assertEqual(payloads(outlet.take()), [b"1", b"2"])

    def test_never_stored(self) -> None:
        """For a client that nothing is stored for nothing waits and nothing is sent twice, whatever it asks for."""
        session, outlet = self.subscriber("a", client_id="printer", clean=False)
        self.say("a", b"seen, not acknowledged")
        self.assertEqual(len(outlet.take()), 1)
        self.router.disconnect(session, outlet, BYE, with_will=False)
        self.assertEqual(self.router.counters.subscriptions, 0)
        self.say("a", b"while away")
        _, outlet = self.connect("printer", clean=False)
        self.assertEqual(outlet.take(), [ConnAck(False, 0)])
        self.assertEqual(self.router.counters.waiting_bytes, 0)

    def test_rules_changed(self) -> None:
        """What a client may no longer subscribe to is not given back to it with its session."""
        session, outlet = self.connect("s", clean=False, policy=OpenPolicy())
        self.subscribe(session, "secret/a", "a")
        self.router.disconnect(session, outlet, BYE, with_will=False)
        session, outlet = self.connect("s", clean=False)
        self.assertEqual(list(session.subscriptions), ["a"])
        self.say("a", b"1", by="other")
        self.router.publish("secret/a", b"2", 1)
        self.assertEqual(payloads(outlet.take()), [b"1"])

    def test_rules_fail(self) -> None:
        """A policy that fails while a session is resumed leaves the session as it was."""
        session, outlet = self.subscriber("a", clean=False)
        self.router.disconnect(session, outlet, BYE, with_will=False)

        class Broken(OpenPolicy):
            def subscribe(self, identity: Identity, topic_filter: str, qos: int) -> int:
                raise RuntimeError("the policy has a bug")

        with self.assertRaises(RuntimeError):
            self.connect("s", clean=False, policy=Broken())
        self.assertEqual(self.router.counters.stored, 1)
        self.assertEqual(self.connect("s", clean=False)[1].take(), [ConnAck(True, 0)])


class TakeOverTests(RouterTestCase):
    """A client that connects while it is still connected."""

    def test_old_one_closed(self) -> None:
        """The new connection wins, the old one is closed [MQTT-3.1.4-2]."""
        for clean in (True, False):
            _, old = self.connect("c", clean)
            _, new = self.connect("c", clean)
            self.assertEqual((len(old.closed), new.closed), (1, []))
        self.assertEqual(self.router.counters.taken_over, 3)
        self.assertEqual(self.router.counters.connected, 1)

    def test_late_end(self) -> None:
        """The old connection's end, which comes later, does not touch the new one."""
        for clean in (True, False):
            session, old = self.connect("c", clean)
            self.subscribe(session, "a")
            again, new = self.connect("c", clean)
            self.subscribe(again, "a")
            new.take()
            self.router.disconnect(session, old, "late", with_will=True)
            self.assertTrue(self.router.is_connected("c"))
            self.say("a")
            self.assertEqual(payloads(new.take()), [b"m"])
            self.assertEqual(new.closed, [])
            self.router.disconnect(again, new, BYE, with_will=False)

    def test_will(self) -> None:
        """The old connection's Will is published, once: it was not said goodbye to [MQTT-3.1.2-8] [MQTT-3.1.2-10]."""
        _, outlet = self.subscriber("will")
        session, old = self.connect("c", will=Will("will", b"gone", 1, False))
        self.connect("c", will=Will("will", b"gone again", 1, False))
        self.assertEqual(payloads(outlet.take()), [b"gone"])
        self.router.disconnect(session, old, "late", with_will=True)
        self.assertEqual(payloads(outlet.take()), [])

    def test_session_inherited(self) -> None:
        """A session that stays moves to the new connection, its unacknowledged messages too [MQTT-3.1.2-4]."""
        _, old = self.subscriber("a", clean=False)
        self.say("a")
        self.assertEqual([p.dup for p in old.take() if isinstance(p, Publish)], [False])
        _, new = self.connect("s", clean=False)
        self.assertEqual(new.take(), [ConnAck(True, 0), Publish("a", b"m", 1, False, True, 1)])

    def test_connack_first(self) -> None:
        """Even where the client's own old Will is for itself the CONNACK comes first [MQTT-3.2.0-1]."""
        session, _ = self.connect("c", clean=False, will=Will("will", b"me", 1, False))
        self.subscribe(session, "will")
        _, new = self.connect("c", clean=False)
        self.assertEqual(new.take(), [ConnAck(True, 0), Publish("will", b"me", 1, False, False, 1)])

    def test_clean_over_stored(self) -> None:
        """A clean client that takes over ends the old session [MQTT-3.1.2-6]."""
        self.subscriber("a", clean=False)
        _, new = self.connect("s", clean=True)
        self.say("a")
        self.assertEqual(new.take(), [ConnAck(False, 0)])

    def test_told(self) -> None:
        """The policy hears of the old end first, then of the new beginning."""
        self.connect("c")
        self.connect("c")
        self.assertEqual([what[0] for what in self.policy.told], ["connected", "ended", "connected"])

    def test_too_slow_at_once(self) -> None:
        """A client that cannot even take what waited for it is not said to be connected."""
        session, outlet = self.subscriber("a", clean=False)
        self.router.disconnect(session, outlet, BYE, with_will=False)
        self.say("a")
        self.policy.told.clear()
        slow = FakeOutlet()

        def cut() -> None:
            if len(slow.data) > 4:
                self.router.disconnect(session, slow, "it does not read", with_will=True)

        slow.on_send = cut
        self.connect("s", clean=False, outlet=slow)
        self.assertEqual([what[0] for what in self.policy.told], ["ended"])
        self.assertFalse(self.router.is_connected("s"))
        self.assertEqual(self.router.counters.stored, 1)


class WillTests(RouterTestCase):
    """Last words."""

    def end(self, will: Will | None, with_will: bool = True) -> FakeOutlet:
        """A client with a Will ends; who listens to it."""
        _, listener = self.subscriber("will", qos=2)
        session, outlet = self.connect("dying", will=will)
        self.router.disconnect(session, outlet, BYE, with_will)
        return listener

    def test_lost(self) -> None:
        """The Will goes out when the connection is lost, at its QoS [MQTT-3.1.2-8] [MQTT-3.1.2-9]."""
        for qos in (0, 1, 2):
            (packet,) = self.end(Will("will", b"gone", qos, False)).take()
            self.assertEqual(packet, Publish("will", b"gone", qos, False, False, 1 if qos else 0))

    def test_goodbye(self) -> None:
        """After a goodbye there is no Will [MQTT-3.14.4-3] [MQTT-3.1.2-10]."""
        self.assertEqual(self.end(Will("will", b"gone", 1, False), with_will=False).take(), [])

    def test_none(self) -> None:
        """Without a Will nothing is said [MQTT-3.1.2-12]."""
        self.assertEqual(self.end(None).take(), [])

    def test_retain(self) -> None:
        """A Will is retained if it asks for that, and only then [MQTT-3.1.2-16] [MQTT-3.1.2-17]."""
        self.end(Will("will", b"gone", 1, False))
        self.assertEqual(self.router.retained("will"), [])
        self.end(Will("will", b"gone", 1, True))
        self.assertEqual(self.router.retained("will"), [("will", b"gone")])
        self.end(Will("will", b"", 1, True))
        self.assertEqual(self.router.retained("will"), [])

    def test_empty(self) -> None:
        """An empty Will is a Will."""
        self.assertEqual(payloads(self.end(Will("will", b"", 0, False)).take()), [b""])

    def test_stored_session(self) -> None:
        """A Will belongs to the connection: the next one of the same session has none [MQTT-3.1.2-10]."""
        _, listener = self.subscriber("will")
        session, outlet = self.connect("c", clean=False, will=Will("will", b"gone", 0, False))
        self.router.disconnect(session, outlet, BYE, with_will=False)
        self.assertIsNone(session.will)
        session, outlet = self.connect("c", clean=False)
        self.router.disconnect(session, outlet, BYE, with_will=True)
        self.assertEqual(listener.take(), [])

    def test_not_allowed(self) -> None:
        """A Will that its client may not publish is not published."""
        for topic in ("secret/will", "forbidden/will"):
            _, listener = self.subscriber("#")
            session, outlet = self.connect("c", will=Will(topic, b"gone", 0, False))
            self.router.disconnect(session, outlet, BYE, with_will=True)
            self.assertEqual(listener.take(), [])
        self.assertEqual(self.router.counters.refused, 2)

    def test_bug(self) -> None:
        """A policy that fails over a Will harms neither the end nor whoever caused it."""
        session, outlet = self.connect("c", will=Will("bug", b"gone", 0, False))
        _, new = self.connect("c")
        self.assertEqual(len(outlet.closed), 1)
        self.assertEqual(new.take(), [ConnAck(False, 0)])
        self.router.disconnect(session, outlet, BYE, with_will=True)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class SubscribeTests(RouterTestCase):
    """Return codes, replacements, retained messages."""

    def test_codes(self) -> None:
        """One code for each filter, in order; what is refused is 0x80 [MQTT-3.8.4-5] [MQTT-3.9.3-1] [MQTT-3.9.3-2]."""
        session, outlet = self.connect()
        outlet.take()
        self.router.subscribe(session, Subscribe(77, (("a", 1), ("secret", 2), ("b/#", 0), ("+", 2))))
        self.assertEqual(outlet.take(), [SubAck(77, (1, 0x80, 0, 2))])

    def test_granted_less(self) -> None:
        """A policy may grant less than was asked for, never more [MQTT-3.8.4-6]."""
        session, outlet = self.connect()
        outlet.take()
        self.policy.most = 1
        self.router.subscribe(session, Subscribe(1, (("a", 0), ("b", 1), ("c", 2))))
        self.assertEqual(outlet.take(), [SubAck(1, (0, 1, 1))])
        self.say("c", qos=2)
        self.assertEqual([p.qos for p in outlet.take() if isinstance(p, Publish)], [1])

    def test_refused_hears_nothing(self) -> None:
        """A filter that was refused delivers nothing, not even what is retained."""
        session, outlet = self.connect()
        self.router.publish("secret/a", b"m", retain=True)
        self.subscribe(session, "secret/a")
        self.router.publish("secret/a", b"m")
        self.assertEqual(payloads(outlet.take()), [])

    def test_replaced(self) -> None:
        """The same filter again: another QoS, retained messages again, one copy [MQTT-3.8.4-3]."""
        session, outlet = self.connect()
        self.router.publish("a", b"kept", retain=True, qos=1)
        self.subscribe(session, "a", qos=1)
        self.subscribe(session, "a", qos=0)
        got = [(p.payload, p.qos) for p in outlet.take() if isinstance(p, Publish)]
        self.assertEqual(got, [(b"kept", 1), (b"kept", 0)])
        self.say("a", b"new")
        self.assertEqual([(p.payload, p.qos) for p in outlet.take() if isinstance(p, Publish)], [(b"new", 0)])
        self.assertEqual(self.router.counters.subscriptions, 1)

    def test_many_in_one(self) -> None:
        """Several filters in one packet are as several packets with one answer [MQTT-3.8.4-4]."""
        session, outlet = self.connect()
        self.router.publish("a", b"kept", retain=True)
        outlet.take()
        self.subscribe(session, "a", "b", "+", "a")
        packets = outlet.take()
        self.assertEqual(packets[0], SubAck(1, (1, 1, 1, 1)))
        self.assertEqual(payloads(packets), [b"kept"] * 3)

    def test_retained(self) -> None:
        """A new subscriber gets the last of each topic, marked, at the lower QoS [MQTT-3.3.1-6] [MQTT-3.3.1-8]."""
        self.router.publish("a/1", b"old", 2, retain=True)
        self.router.publish("a/1", b"new", 2, retain=True)
        self.router.publish("a/2", b"two", 0, retain=True)
        session, outlet = self.connect()
        outlet.take()
        self.subscribe(session, "a/+", qos=1)
        self.assertEqual(
            sorted((p.topic, p.payload, p.qos, p.retain) for p in outlet.take() if isinstance(p, Publish)),
            [("a/1", b"new", 1, True), ("a/2", b"two", 0, True)],
        )

    def test_not_marked(self) -> None:
        """Who is subscribed already gets it without the mark [MQTT-3.3.1-9]."""
        _, outlet = self.subscriber("a")
        self.say("a", b"m", retain=True)
        self.assertEqual([p.retain for p in outlet.take() if isinstance(p, Publish)], [False])

    def test_retained_cleared(self) -> None:
        """An empty retained message is delivered, and ends what was retained [MQTT-3.3.1-10] [MQTT-3.3.1-11]."""
        _, outlet = self.subscriber("a")
        self.say("a", b"m", retain=True)
        self.say("a", b"", retain=True)
        self.assertEqual(payloads(outlet.take()), [b"m", b""])
        self.assertEqual(self.router.retained("#"), [])

    def test_not_retained(self) -> None:
        """A message without RETAIN leaves what is retained alone [MQTT-3.3.1-12]."""
        self.say("a", b"kept", retain=True)
        self.say("a", b"passing")
        self.say("a", b"")
        self.assertEqual(self.router.retained("a"), [("a", b"kept")])

    def test_retained_qos_0(self) -> None:
        """A retained QoS 0 message replaces what was there [MQTT-3.3.1-7]."""
        self.say("a", b"kept", 1, retain=True)
        self.say("a", b"newer", 0, retain=True)
        self.assertEqual(self.router.retained("a"), [("a", b"newer")])

    def test_retained_survives(self) -> None:
        """Retained messages do not belong to the session that brought them [MQTT-3.1.2-7]."""
        for clean in (True, False):
            session, outlet = self.connect("p", clean)
            self.router.received(session, Publish(f"a/{clean}", b"m", 0, True, False, 0))
            self.router.disconnect(session, outlet, BYE, with_will=False)
        self.connect("p", clean=True)
        self.assertEqual(len(self.router.retained("#")), 2)

    def test_retained_full(self) -> None:
        """When no more can be retained a message is still delivered, and counted."""
        _, outlet = self.subscriber("#")
        for number in range(5):
            self.say(f"t/{number}", b"m", 0, retain=True)
        self.assertEqual(len(outlet.take()), 5)
        self.assertEqual((self.router.counters.retained, self.router.counters.not_retained), (3, 2))

    def test_retained_full_for_clients(self) -> None:
        """When clients have filled the room for retained messages, the daemon's own are kept all the same."""
        for number in range(5):
            self.say(f"t/{number}", b"m", 0, retain=True)
        for word in (b"m", b"longer"):
            self.router.publish("state", word, retain=True)
            self.assertEqual(self.router.retained("state"), [("state", word)])

    def test_too_many(self) -> None:
        """A client cannot have more subscriptions than its door allows; the same one again is none more."""
        session, _ = self.subscriber("1", "2", "3", "4")
        self.subscribe(session, "1", "2", "3", "4")
        with self.assertRaises(LimitExceeded):
            self.subscribe(session, "5")

    def test_too_many_in_one(self) -> None:
        """The same filter in one packet a thousand times over is too many, too: each costs a search."""
        session, _ = self.connect()
        self.subscribe(session, *["#"] * 4)
        with self.assertRaises(LimitExceeded) as caught:
            self.subscribe(session, *["#"] * 5)
        self.assertIs(caught.exception.violation, Violation.SUBSCRIPTIONS)

    def test_refused_do_not_count(self) -> None:
        """Filters that are refused cost nothing and end nothing."""
        session, outlet = self.connect()
        outlet.take()
        self.subscribe(session, *["secret"] * 100, "a")
        self.assertEqual(outlet.take(), [SubAck(1, (0x80,) * 100 + (1,))])

    def test_long_filters(self) -> None:
        """A client cannot have the server keep megabytes of filters; those that it gives up make room."""
        self.limits = replace(self.limits, subscriptions=500, subscription_bytes=200_000)
        session, _ = self.subscriber(*(f"{number}" + "x" * 60_000 for number in range(3)))
        for topic_filter in ("y" * 60_000, "+/" * 60):
            with self.assertRaises(LimitExceeded) as caught:
                self.subscribe(session, topic_filter)
            self.assertIs(caught.exception.violation, Violation.SUBSCRIPTIONS)
        self.subscribe(session, "0" + "x" * 60_000)
        self.router.unsubscribe(session, Unsubscribe(1, ("0" + "x" * 60_000,)))
        self.subscribe(session, "y" * 60_000)
        self.assertEqual(session.subscription_bytes, self.router._subscription_bytes)

    def test_filters_of_all(self) -> None:
        """Nor can many clients together; when one ends there is room for another's."""
        self.router = Router(self.clock.seconds, replace(self.storage, subscription_bytes=150_000))
        first, outlet = self.subscriber("1" + "x" * 60_000, client_id="1")
        self.subscriber("2" + "x" * 60_000, client_id="2")
        third, _ = self.connect("3")
        with self.assertRaises(LimitExceeded) as caught:
            self.subscribe(third, "3" + "x" * 60_000)
        self.assertIs(caught.exception.violation, Violation.SUBSCRIPTIONS)
        self.router.disconnect(first, outlet, BYE, with_will=False)
        self.subscribe(third, "3" + "x" * 60_000)

    def test_filters_give_back(self) -> None:
        """What filters cost is known to be nothing when all have gone, however they went."""
        session, outlet = self.connect("s", clean=False, policy=OpenPolicy())
        self.subscribe(session, "secret/a", "a", "a/+", "a")
        self.router.disconnect(session, outlet, BYE, with_will=False)
        self.assertGreater(self.router._subscription_bytes, 0)
        session, outlet = self.connect("s", clean=False)  # one is taken from it
        self.router.unsubscribe(session, Unsubscribe(1, ("a", "never")))
        self.connect("s", clean=True)
        self.assertEqual(self.router._subscription_bytes, 0)

    def test_asked_over_and_over(self) -> None:
        """A client that asks again and again for what it does not take is stopped before that costs much."""
        storage = replace(self.storage, retained_messages=10, session_messages=20)
        self.router = Router(self.clock.seconds, storage)
        for number in range(10):
            self.router.publish(f"t/{number}", b"m", 1, retain=True)
        session, _ = self.connect()
        for _ in range(4):  # 2 are under way, 20 wait, and some are lost; any client may be so clumsy
            self.subscribe(session, "#")
        with self.assertRaises(LimitExceeded) as caught:
            self.subscribe(session, "#")
        self.assertIs(caught.exception.violation, Violation.QUEUED_BYTES)
        self.assertLess(self.router.counters.delivered, 50)

    def test_cut_off(self) -> None:
        """A subscriber that is cut off amid its retained messages is sent nothing more."""
        for number in range(3):
            self.router.publish(f"t/{number}", b"m", retain=True)
        session, outlet = self.connect()
        outlet.take()

        def cut() -> None:
            if len(outlet.data) > 5:
                self.router.disconnect(session, outlet, "it does not read", with_will=True)

        outlet.on_send = cut
        self.subscribe(session, "#", qos=0)
        self.assertEqual(len(payloads(outlet.take())), 1)
        self.subscribe(session, "#", qos=0)  # too late, and harmless

    def test_unsubscribe(self) -> None:
        """Only the very filters go, all are answered at once [MQTT-3.10.4-1] [MQTT-3.10.4-4] [MQTT-3.10.4-6]."""
        session, outlet = self.subscriber("a", "a/b", "#")
        self.router.unsubscribe(session, Unsubscribe(9, ("a", "#", "+", "a")))
        self.assertEqual(outlet.take(), [UnsubAck(9)])
        self.say("a")  # [MQTT-3.10.4-2]
        self.say("a/b", b"still")
        self.assertEqual(payloads(outlet.take()), [b"still"])

    def test_unsubscribe_unknown(self) -> None:
        """What was never subscribed is answered all the same [MQTT-3.10.4-5]."""
        session, outlet = self.connect()
        outlet.take()
        self.router.unsubscribe(session, Unsubscribe(9, ("never",)))
        self.assertEqual(outlet.take(), [UnsubAck(9)])

    def test_unsubscribe_under_way(self) -> None:
        """What was sent before is completed after unsubscribing [MQTT-3.10.4-3]."""
        session, outlet = self.subscriber("a", qos=2)
        self.say("a", qos=2)
        self.router.unsubscribe(session, Unsubscribe(9, ("a",)))
        outlet.take()
        session.received(1)
        self.assertEqual(outlet.take(), [mqtt.PubRel(1)])
        session.completed(1)
        self.assertEqual(session.in_flight, 0)


class PublishTests(RouterTestCase):
    """From a client to those who listen."""

    def test_fan_out(self) -> None:
        """Everybody who subscribed gets a copy at the right QoS, nobody else one [MQTT-3.8.4-6] [MQTT-4.5.0-1]."""
        listeners = [self.subscriber("a/#", qos=qos, client_id=f"s{qos}")[1] for qos in (0, 1, 2)]
        _, deaf = self.subscriber("b", client_id="deaf")
        for qos in (0, 1, 2):
            self.say("a/b", b"m", qos)
            got = [[p.qos for p in outlet.take() if isinstance(p, Publish)] for outlet in listeners]
            self.assertEqual(got, [[0], [min(qos, 1)], [qos]])
        self.assertEqual(deaf.take(), [])

    def test_overlap(self) -> None:
        """Filters that overlap bring one copy, at the highest QoS of them [MQTT-3.3.5-1]."""
        _, outlet = self.subscriber("a/b", qos=0)
        session, outlet = self.connect()
        self.subscribe(session, "a/b", qos=0)
        self.subscribe(session, "a/#", qos=2)
        self.subscribe(session, "+/b", qos=1)
        outlet.take()
        self.say("a/b", qos=2)
        self.assertEqual([p.qos for p in outlet.take() if isinstance(p, Publish)], [2])

    def test_dup(self) -> None:
        """A publisher's DUP is not passed on [MQTT-3.3.1-3]."""
        _, outlet = self.subscriber("a", qos=2)
        session, _ = self.connect("p")
        self.router.received(session, Publish("a", b"m", 1, False, True, 5))
        self.assertEqual([p.dup for p in outlet.take() if isinstance(p, Publish)], [False])

    def test_same_bytes(self) -> None:
        """All subscribers of a QoS 0 message share its bytes."""

        class Keeping(FakeOutlet):
            def send(self, data: bytes) -> None:
                kept.append(data)

        kept: list[bytes] = []
        for number in range(3):
            session, _ = self.connect(f"s{number}", outlet=Keeping())
            self.subscribe(session, "a", qos=0)
        kept.clear()
        self.say("a", b"x" * 100, 0)
        self.assertEqual(len(kept), 3)
        self.assertEqual(len({id(data) for data in kept}), 1)

    def test_order(self) -> None:
        """Messages of a client arrive in the order in which it sent them [MQTT-4.6.0-5] [MQTT-4.6.0-6]."""
        for qos in (0, 1, 2):
            session, outlet = self.subscriber("#", qos=qos)
            for number in range(10):
                self.say("a", str(number).encode(), qos)
            got = []
            while packets := outlet.take():
                for packet in packets:
                    if isinstance(packet, Publish):
                        got.append(packet.payload)
                        if qos == 1:
                            session.acknowledged(packet.packet_id)
                        elif qos == 2:
                            session.received(packet.packet_id)
                    elif isinstance(packet, mqtt.PubRel):
                        session.completed(packet.packet_id)
            self.assertEqual(got, [str(number).encode() for number in range(10)])

    def test_own(self) -> None:
        """Who subscribes to what it publishes gets it."""
        session, outlet = self.subscriber("a")
        self.router.received(session, Publish("a", b"mine", 0, False, False, 0))
        self.assertEqual(payloads(outlet.take()), [b"mine"])

    def test_verdicts(self) -> None:
        """What a policy drops reaches nobody and counts as taken; what it forbids says so [MQTT-3.3.5-2]."""
        _, listener = self.subscriber("#")
        session, _ = self.connect("p")
        packets = [Publish(topic, b"m", 0, True, False, 0) for topic in ("a", "secret/a", "forbidden/a")]
        self.assertEqual([self.router.received(session, packet) for packet in packets], [True, True, False])
        self.assertEqual([p.topic for p in listener.take() if isinstance(p, Publish)], ["a"])
        self.assertEqual([topic for topic, _ in self.router.retained("#")], ["a"])
        self.assertEqual(self.router.counters.refused, 2)
        self.assertEqual([what for what in self.policy.told if what[0] == "published"], [("published", "p", "a", b"m")])

    def test_broken_subscriber(self) -> None:
        """A subscriber that fails does not keep a message from the others, nor from being taken."""

        class Broken(FakeOutlet):
            def send(self, data: bytes) -> None:
                if data[0] >> 4 == 3:
                    raise OSError("out of order")

        session, _ = self.connect("broken", outlet=Broken())
        self.subscribe(session, "a")
        _, outlet = self.subscriber("a")
        self.say("a")
        self.assertEqual(payloads(outlet.take()), [b"m"])
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_leaves_while_delivering(self) -> None:
        """Subscribers that end in the middle of a delivery, or whose ends are messages, confuse nobody."""
        outlets = []
        for number in range(6):
            outlet = FakeOutlet()
            session, _ = self.connect(f"s{number}", will=Will("a", b"will", 0, False), outlet=outlet)
            self.subscribe(session, "a", qos=0)
            outlet.take()
            outlets.append(outlet)
            if number % 2:

                def cut(session: Session = session, outlet: FakeOutlet = outlet) -> None:
                    self.router.disconnect(session, outlet, "it does not read", with_will=True)

                outlet.on_send = cut
        self.say("a", b"m", 0)
        self.assertEqual(self.router.counters.connected, 3)
        self.assertEqual([sorted(payloads(outlet.take()))[0] for outlet in outlets[::2]], [b"m"] * 3)


class DaemonTests(RouterTestCase):
    """The daemon itself publishes, listens and asks."""

    def test_publish(self) -> None:
        """What the daemon says reaches clients, and can be retained, without a policy."""
        _, outlet = self.subscriber("#")
        self.router.publish("secret/state", b"{}", qos=1, retain=True)
        self.assertEqual(outlet.take(), [Publish("secret/state", b"{}", 1, False, False, 1)])
        self.assertEqual(self.router.retained("secret/#"), [("secret/state", b"{}")])

    def test_topics(self) -> None:
        """The daemon cannot publish to a wildcard or watch nonsense by mistake [MQTT-4.7.1-1] [MQTT-4.7.3-1]."""
        for topic in ("", "a/+", "#"):
            with self.assertRaises(ValueError):
                self.router.publish(topic, b"")
        for topic_filter in ("", "a#", "#/a", "a+"):
            with self.assertRaises(ValueError):
                self.router.watch(topic_filter, lambda topic, payload: None)

    def test_watch(self) -> None:
        """The daemon hears what clients and itself say, until it no longer wants to."""
        heard: list[tuple[str, bytes]] = []
        end = self.router.watch("a/#", lambda topic, payload: heard.append((topic, payload)))
        self.say("a/b", b"1", 2)
        self.say("b", b"2")
        self.router.publish("a", b"3")
        end()
        end()
        self.say("a/b", b"4")
        self.assertEqual(heard, [("a/b", b"1"), ("a", b"3")])
        self.assertEqual(self.router.counters.subscriptions, 0)

    def test_watch_raises(self) -> None:
        """A callback that raises is logged, and the others hear the message all the same."""
        heard = []

        def broken(topic: str, payload: bytes) -> None:
            heard.append(topic)
            raise ValueError("a bug")

        self.router.watch("a", broken)
        self.router.watch("+", broken)
        _, outlet = self.subscriber("a")
        self.say("a")
        self.assertEqual((heard, payloads(outlet.take())), (["a", "a"], [b"m"]))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    def test_watch_speaks(self) -> None:
        """A callback may publish, watch and stop watching."""
        heard: list[bytes] = []

        def echo(topic: str, payload: bytes) -> None:
            end()
            self.router.watch("a", lambda topic, payload: heard.append(payload))
            self.router.publish("a", b"echo")

        end = self.router.watch("a", echo)
        self.say("a")
        self.assertEqual(heard, [b"echo"])

    def test_deliver(self) -> None:
        """A request goes to the one client that it is for, at the QoS it subscribed with."""
        _, outlet = self.subscriber("/sdcp/request/1", client_id="printer1")
        _, other = self.subscriber("/sdcp/request/+", client_id="other")
        self.assertTrue(self.router.deliver("printer1", "/sdcp/request/1", b"go", 2))
        self.assertEqual(outlet.take(), [Publish("/sdcp/request/1", b"go", 1, False, False, 1)])
        self.assertEqual(other.take(), [])

    def test_deliver_not(self) -> None:
        """It is not sent to who is unknown, away, or not subscribed, and the caller knows [MQTT-3.3.2-3]."""
        session, outlet = self.subscriber("a", clean=False)
        self.assertFalse(self.router.deliver("nobody", "a", b"", 1))
        self.assertFalse(self.router.deliver("s", "b", b"", 1))
        self.assertFalse(self.router.deliver("s", "$SYS", b"", 1))
        self.router.disconnect(session, outlet, BYE, with_will=False)
        self.assertFalse(self.router.deliver("s", "a", b"", 1))
        _, outlet = self.connect("s", clean=False)
        self.assertEqual(outlet.take(), [ConnAck(True, 0)])

    def test_deliver_full(self) -> None:
        """A client that does not acknowledge gets no more requests until it does; none is sent late."""
        session, outlet = self.subscriber("a")
        self.assertEqual([self.router.deliver("s", "a", b"", 1) for _ in range(3)], [True, True, False])
        session.acknowledged(1)
        self.assertEqual(len(outlet.take()), 2)
        self.assertTrue(self.router.deliver("s", "a", b"", 1))

    def test_deliver_told(self) -> None:
        """Who asked hears when the client has the request: by its acknowledgement, at once at QoS 0."""
        told: list[int] = []
        session, _ = self.subscriber("a")
        self.router.deliver("s", "a", b"", 1, lambda: told.append(1))
        self.assertEqual(told, [])
        session.acknowledged(1)
        self.router.deliver("s", "a", b"", 0, lambda: told.append(0))
        self.assertEqual(told, [1, 0])

    def test_deliver_told_raises(self) -> None:
        """A bug in who asked is not the client's fault."""
        session, _ = self.subscriber("a")
        self.router.deliver("s", "a", b"", 1, lambda: 1 // 0)
        session.acknowledged(1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_end(self) -> None:
        """The daemon can end a client's connection; its Will is published as for any lost one."""
        _, listener = self.subscriber("will")
        _, outlet = self.connect("c", will=Will("will", b"gone", 0, False))
        self.router.end("c", "enough")
        self.router.end("c", "enough")
        self.router.end("nobody", "enough")
        self.assertEqual((outlet.closed, payloads(listener.take())), (["enough"], [b"gone"]))
        self.assertFalse(self.router.is_connected("c"))

    def test_told(self) -> None:
        """A policy hears of everything that concerns it, in order."""
        session, outlet = self.connect("c")
        self.subscribe(session, "a", "secret")
        self.subscribe(session, "secret")
        self.router.received(session, Publish("x", b"m", 0, False, False, 0))
        self.router.pinged(session)
        self.router.unsubscribe(session, Unsubscribe(1, ("a", "b")))
        self.router.unsubscribe(session, Unsubscribe(1, ("b",)))
        self.router.disconnect(session, outlet, BYE, with_will=False)
        self.assertEqual(
            self.policy.told,
            [
                ("connected", "c"),
                ("subscribed", "c", ("a",)),
                ("published", "c", "x", b"m"),
                ("pinged", "c"),
                ("unsubscribed", "c", ("a",)),
                ("ended", "c", BYE),
            ],
        )

    def test_told_raises(self) -> None:
        """A policy that raises when it is told something changes nothing."""
        self.policy.trouble = KeyError("a bug")
        self.test_told()
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 6)


class StorageTests(RouterTestCase):
    """What is kept for clients that are away is bounded."""

    def leave(self, client_id: str) -> None:
        session, outlet = self.subscriber("a", client_id=client_id, clean=False)
        self.router.disconnect(session, outlet, BYE, with_will=False)

    def present(self, client_id: str) -> bool:
        _, outlet = self.connect(client_id, clean=False)
        answer = outlet.take()[0]
        assert isinstance(answer, ConnAck)
        return answer.present

    def test_count(self) -> None:
        """When too many are away the one that left first is forgotten, with its subscriptions."""
        for number in range(4):
            self.leave(f"c{number}")
        counters = self.router.counters
        self.assertEqual((counters.stored, counters.expired, counters.subscriptions), (3, 1, 3))
        self.assertEqual([self.present(f"c{number}") for number in range(4)], [False, True, True, True])

    def test_returning(self) -> None:
        """Who came back in between has not been away long."""
        self.leave("old")
        self.leave("c1")
        self.leave("old")
        self.leave("c2")
        self.leave("c3")
        self.assertEqual([self.present(client_id) for client_id in ("old", "c1")], [True, False])

    def test_age(self) -> None:
        """Who stays away too long is forgotten."""
        self.leave("early")
        self.clock.advance(60)
        self.leave("late")
        self.connect("here", clean=False)
        self.clock.advance(60)
        self.router.expire()
        self.assertEqual([self.present(client_id) for client_id in ("late", "early")], [True, False])
        self.assertTrue(self.router.is_connected("here"))

    def test_bytes(self) -> None:
        """All that waits for anybody is bounded together."""
        self.router = Router(self.clock.seconds, replace(self.storage, stored_bytes=2000))
        self.leave("c1")
        self.leave("c2")
        for _ in range(10):
            self.say("a", b"x" * 100)
        self.assertLessEqual(self.router.counters.waiting_bytes, 2000)
        self.present("c1")
        self.present("c2")
        self.assertEqual(self.router.counters.dropped, 15)

    def test_bytes_under_way(self) -> None:
        """What was sent and not acknowledged counts as well, when its clients stay away with it."""
        self.limits = replace(self.limits, in_flight=20, in_flight_peak=20)
        self.router = Router(self.clock.seconds, replace(self.storage, stored_bytes=20_000, stored_sessions=100))
        for number in range(50):
            session, outlet = self.subscriber("a", client_id=f"c{number}", clean=False)
            for _ in range(20):
                self.say("a", b"x" * 1000)
            self.router.disconnect(session, outlet, BYE, with_will=False)
        counters = self.router.counters
        self.assertLessEqual(counters.waiting_bytes, 20_000)
        self.assertGreater(counters.expired, 0)
        self.assertEqual(counters.stored + counters.expired, 50)
        self.assertTrue(self.present("c0"))
        self.assertFalse(self.present("c49"))

    def test_full_and_empty_handed(self) -> None:
        """A client that holds nothing may leave a session behind however much waits for others."""
        self.router = Router(self.clock.seconds, replace(self.storage, stored_bytes=1000))
        for number in range(2):
            self.subscriber("big", client_id=f"busy{number}")
        self.say("big", b"x" * 2000)
        self.assertGreater(self.router.counters.waiting_bytes, 1000)
        self.leave("idle")
        self.assertTrue(self.present("idle"))

    def test_dropped_while_connected(self) -> None:
        """What a session has lost is counted when it ends, too."""
        self.router = Router(self.clock.seconds, replace(self.storage, session_messages=1))
        session, outlet = self.subscriber("a")
        for _ in range(5):
            self.say("a")
        self.router.disconnect(session, outlet, BYE, with_will=False)
        self.assertEqual(self.router.counters.dropped, 2)
        self.assertEqual(self.router.counters.waiting_bytes, 0)

    def test_counters(self) -> None:
        """The counters say what happened."""
        _, _ = self.subscriber("a")
        self.leave("c1")
        self.say("a")
        self.router.publish("b", b"m", retain=True)
        counters = self.router.counters
        self.assertEqual(
            (counters.received, counters.delivered, counters.connected, counters.stored, counters.retained),
            (2, 2, 1, 1, 1),
        )
        self.assertGreater(counters.retained_bytes, 0)
