"""The middle of the MQTT server: sessions, subscriptions, retained messages, and who hears what. No socket, no reactor.

One decision: a connection is known here only as its session's ``outlet``. Everything that ends a connection goes
through one comparison, ``session.outlet is outlet``, so the late end of a connection that was taken over is nobody's.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from sdcpd.broker.limits import LimitExceeded, Limits, Storage, Violation
from sdcpd.broker.message import Message
from sdcpd.broker.policy import Identity, Policy, Verdict
from sdcpd.broker.retained import Retained
from sdcpd.broker.session import Backlog, Outlet, Session
from sdcpd.broker.topics import Subscriptions, filter_size
from sdcpd.codec import mqtt
from sdcpd.codec.mqtt import Connect, ConnectCode, Publish, Subscribe, Unsubscribe
from sdcpd.codec.mqtt_packets import filter_fault, topic_fault
from sdcpd.logs import Few, logger, shown

__all__ = ["Counters", "Router"]

_log = logger("sdcpd.broker.router")
_ALLOW = Verdict.ALLOW


class Counters(Struct, frozen=True):
    """What a router has done since its start, and what it holds now."""

    received: int
    """Messages from clients that were allowed, and those of the daemon."""
    delivered: int
    """Copies handed to sessions and internal subscribers, those included that wait."""
    refused: int
    """Messages that a policy dropped."""
    dropped: int
    """Copies lost because too much waited; known when the client comes back or its session ends."""
    not_retained: int
    taken_over: int
    expired: int
    """Sessions that ended because their clients stayed away, too many others did, or too much waited already."""
    connected: int
    stored: int
    """Sessions whose clients are away."""
    subscriptions: int
    retained: int
    retained_bytes: int
    waiting_bytes: int
    """Of all messages that clients have not acknowledged or not yet been sent."""


class _Watcher:
    """An internal subscriber."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[str, bytes], object]) -> None:
        self.callback = callback

    def deliver(self, message: Message, qos: int) -> None:
        self.callback(message.topic, message.payload)


class Router:
    """Takes messages from connections and the daemon, and hands them to sessions and internal subscribers."""

    def __init__(self, seconds: Callable[[], float], storage: Storage) -> None:
        self._seconds = seconds
        self._storage = storage
        self._few = Few(seconds)
        self._backlog = Backlog(storage.stored_bytes)
        self._sessions: dict[str, Session] = {}
        self._away: dict[str, Session] = {}  # in the order in which they went
        self._subscriptions: Subscriptions[Session | _Watcher] = Subscriptions()
        self._subscription_bytes = 0
        self._retained = Retained(storage.retained_messages, storage.retained_bytes)
        self._received = self._delivered = self._refused = self._dropped = 0
        self._not_retained = self._taken_over = self._expired = 0

    # -- connections come and go -----------------------------------------------------------------------------------

    def connect(self, outlet: Outlet, packet: Connect, identity: Identity, policy: Policy, limits: Limits) -> Session:
        """A client was let in: give it its session, the old one or a new one, and its CONNACK."""
        key = identity.session
        session = self._sessions.get(key)
        if session is not None and session.outlet is not None:
            self._taken_over += 1
            older = session.outlet
            self._leave(session, "the client connected again", with_will=True)
            older.close("the client connected again")  # [MQTT-3.1.4-2]
            session = self._sessions.get(key)
        stays = identity.stored and not packet.clean_session
        if session is not None and not stays:
            self._forget(session)  # [MQTT-3.1.2-6]
            session = None
        present = session is not None
        if session is None:
            session = Session(identity, policy, limits, self._storage, self._backlog)
            self._sessions[key] = session
        else:
            self._resume(session, identity, policy, limits)
            self._away.pop(key, None)
        session.stays = stays
        session.will = packet.will
        outlet.send(mqtt.connack(present, ConnectCode.ACCEPTED))
        session.attach(outlet)
        if session.outlet is outlet:  # else what waited was more than it could read
            self._tell(policy.connected, identity)
        return session

    def disconnect(self, session: Session, outlet: Outlet, reason: str, with_will: bool) -> None:
        """A connection has ended; the Will goes out unless the client said goodbye [MQTT-3.14.4-3]."""
        if session.outlet is outlet:
            self._leave(session, reason, with_will)

    def end(self, name: str, reason: str) -> None:
        """Close the connection of the session with this name, if it has one, as if the network had failed."""
        session = self._sessions.get(name)
        if session is not None and session.outlet is not None:
            outlet = session.outlet
            self._leave(session, reason, with_will=True)
            outlet.close(reason)

    def is_connected(self, name: str) -> bool:
        """Whether the client of the session with this name is connected now."""
        session = self._sessions.get(name)
        return session is not None and session.outlet is not None

    def expire(self) -> None:
        """End the sessions of clients that were away too long. To be called now and then."""
        oldest_allowed = self._seconds() - self._storage.stored_age
        while self._away:
            session = next(iter(self._away.values()))
            if session.left_at > oldest_allowed:
                break
            self._expire(session)

    def _resume(self, session: Session, identity: Identity, policy: Policy, limits: Limits) -> None:
        """Take a stored session up again; what the client may no longer subscribe to is not given back to it."""
        session.identity, session.policy, session.limits = identity, policy, limits
        for topic_filter, qos in list(session.subscriptions.items()):
            if policy.subscribe(identity, topic_filter, qos) == mqtt.SUBACK_FAILURE:
                self._unsubscribe(session, topic_filter)
        if session.dropped:
            if self._few.may():
                who = shown(identity.session)
                _log.warn("{id} missed {count} messages while it was away", id=who, count=session.dropped)
            self._dropped += session.dropped
            session.dropped = 0

    def _leave(self, session: Session, reason: str, with_will: bool) -> None:
        session.detach()
        will, session.will = session.will, None  # [MQTT-3.1.2-10]
        if session.stays:
            session.left_at = self._seconds()
            self._away[session.identity.session] = session
            if session.held_bytes and self._backlog.used > self._backlog.limit:
                self._expire(session)  # it was served beyond the limit as long as it was here
            elif len(self._away) > self._storage.stored_sessions:
                self._expire(next(iter(self._away.values())))
        else:
            self._forget(session)
        self._tell(session.policy.ended, session.identity, reason)
        if will is not None and with_will:
            packet = Publish(will.topic, will.payload, will.qos, will.retain, False, 0)
            # Whoever ends this connection has nothing to do with what comes of its Will.
            self._tell(self.received, session, packet)

    def _expire(self, session: Session) -> None:
        self._expired += 1
        self._forget(session)

    def _forget(self, session: Session) -> None:
        key = session.identity.session
        self._away.pop(key, None)
        if self._sessions.get(key) is session:
            del self._sessions[key]
        for topic_filter in session.subscriptions:
            self._subscriptions.remove(topic_filter, session)
        session.subscriptions = {}
        self._subscription_bytes -= session.subscription_bytes
        session.subscription_bytes = 0
        self._dropped += session.dropped
        session.discard()

    # -- what clients say --------------------------------------------------------------------------------------------

    def received(self, session: Session, packet: Publish) -> bool:
        """A client publishes; False: its policy wants the connection closed."""
        policy, identity = session.policy, session.identity
        verdict = policy.publish(identity, packet)
        if verdict is _ALLOW:
            self._publish(packet.topic, packet.payload, packet.qos, packet.retain and identity.stored)
            try:
                policy.published(identity, packet)
            except Exception:
                _log.failure("An observer of {topic} failed", topic=shown(packet.topic))
            return True
        self._refused += 1
        return verdict is Verdict.DROP

    def subscribe(self, session: Session, packet: Subscribe) -> None:
        """A client subscribes: its SUBACK, then the retained messages of each filter in turn."""
        outlet, policy, identity = session.outlet, session.policy, session.identity
        if outlet is None:
            return
        limit = session.limits.subscriptions
        codes = []
        granted: list[tuple[str, int]] = []
        for topic_filter, wanted in packet.filters:
            qos = policy.subscribe(identity, topic_filter, wanted)
            if qos != mqtt.SUBACK_FAILURE:
                qos = min(qos, wanted)
                if len(granted) >= limit:
                    # The same one again costs a search for retained messages, and 250,000 of them fit into a packet.
                    raise LimitExceeded(Violation.SUBSCRIPTIONS, f"more than {limit} subscriptions in one packet")
                self._grant(session, topic_filter, qos)
                granted.append((topic_filter, qos))
            codes.append(qos)
        outlet.send(mqtt.suback(packet.packet_id, codes))
        for topic_filter, qos in granted if identity.routed else ():
            for message in self._retained.match(topic_filter):
                if session.outlet is not outlet:
                    return  # more than it could read
                self._delivered += 1
                session.remind(message, qos)
        if granted:
            self._tell(policy.subscribed, identity, tuple(topic_filter for topic_filter, _ in granted))

    def unsubscribe(self, session: Session, packet: Unsubscribe) -> None:
        """A client unsubscribes; it is answered whether it was subscribed or not [MQTT-3.10.4-5]."""
        known = tuple(f for f in dict.fromkeys(packet.filters) if self._unsubscribe(session, f))
        if session.outlet is not None:
            session.outlet.send(mqtt.unsuback(packet.packet_id))
        if known:
            self._tell(session.policy.unsubscribed, session.identity, known)

    def pinged(self, session: Session) -> None:
        """A client says that it is alive."""
        self._tell(session.policy.pinged, session.identity)

    def _grant(self, session: Session, topic_filter: str, qos: int) -> None:
        if topic_filter not in session.subscriptions:
            self._make_room(session, filter_size(topic_filter))
        session.subscriptions[topic_filter] = qos
        if session.identity.routed:
            self._subscriptions.add(topic_filter, session, qos)

    def _make_room(self, session: Session, size: int) -> None:
        limits, total = session.limits, self._storage.subscription_bytes
        if len(session.subscriptions) >= limits.subscriptions:
            raise LimitExceeded(Violation.SUBSCRIPTIONS, f"more than {limits.subscriptions} subscriptions")
        if session.subscription_bytes + size > limits.subscription_bytes:
            raise LimitExceeded(
                Violation.SUBSCRIPTIONS, f"subscriptions that cost more than {limits.subscription_bytes} bytes"
            )
        if self._subscription_bytes + size > total:
            raise LimitExceeded(Violation.SUBSCRIPTIONS, f"those of all clients cost more than {total} bytes already")
        session.subscription_bytes += size
        self._subscription_bytes += size

    def _unsubscribe(self, session: Session, topic_filter: str) -> bool:
        if session.subscriptions.pop(topic_filter, None) is None:
            return False
        self._subscriptions.remove(topic_filter, session)
        size = filter_size(topic_filter)
        session.subscription_bytes -= size
        self._subscription_bytes -= size
        return True

    # -- what the daemon says and hears --------------------------------------------------------------------------------

    def publish(self, topic: str, payload: bytes, qos: int = 0, retain: bool = False) -> None:
        """Publish in the name of the daemon."""
        if fault := topic_fault(topic):
            raise ValueError(" ".join(fault))
        self._publish(topic, payload, qos, retain, limited=False)

    def deliver(
        self, name: str, topic: str, payload: bytes, qos: int, acknowledged: Callable[[], object] | None = None
    ) -> bool:
        """Send a message to the client of the session ``name`` alone, now or not at all: it never waits in a queue.

        False: the client is away, has not subscribed to the topic, or has not acknowledged what it was sent before
        (``Limits.in_flight``). ``acknowledged`` is called when the client owns the message; at once at QoS 0. Where
        the identity is not ``stored`` the message is never sent again.
        """
        session = self._sessions.get(name)
        if session is None:
            return False
        granted = [q for f, q in session.subscriptions.items() if mqtt.matches(f, topic)]
        if not granted:
            return False
        qos = min(qos, max(granted))
        callback = None if acknowledged is None else self._isolated(acknowledged, topic)
        if not session.deliver_now(Message(topic, payload, qos, callback), qos):
            return False
        self._delivered += 1
        if not qos and callback is not None:
            callback()
        return True

    def watch(self, topic_filter: str, callback: Callable[[str, bytes], object]) -> Callable[[], None]:
        """Call ``callback(topic, payload)`` for each message from now on; returns what ends that."""
        if fault := filter_fault(topic_filter):
            raise ValueError(" ".join(fault))
        watcher = _Watcher(callback)
        self._subscriptions.add(topic_filter, watcher, 2)

        def end() -> None:
            self._subscriptions.remove(topic_filter, watcher)

        return end

    def retained(self, topic_filter: str) -> list[tuple[str, bytes]]:
        """The retained messages of these topics."""
        return [(message.topic, message.payload) for message in self._retained.match(topic_filter)]

    @property
    def counters(self) -> Counters:
        """A snapshot."""
        return Counters(
            received=self._received,
            delivered=self._delivered,
            refused=self._refused,
            dropped=self._dropped,
            not_retained=self._not_retained,
            taken_over=self._taken_over,
            expired=self._expired,
            connected=len(self._sessions) - len(self._away),
            stored=len(self._away),
            subscriptions=len(self._subscriptions),
            retained=len(self._retained),
            retained_bytes=self._retained.bytes,
            waiting_bytes=self._backlog.used,
        )

    def _publish(self, topic: str, payload: bytes, qos: int, retain: bool, limited: bool = True) -> None:
        self._received += 1
        if retain and not self._retained.put(topic, payload, qos, limited):
            self._not_retained += 1
        matched = self._subscriptions.match(topic)
        if not matched:
            return
        message = Message(topic, payload, qos)
        self._delivered += len(matched)
        for subscriber, granted in matched:
            try:
                subscriber.deliver(message, granted)
            except Exception:
                # The publisher is not to blame, nor are the others who wait for the message.
                _log.failure("A message on {topic} could not be delivered", topic=shown(topic))

    def _isolated(self, callback: Callable[[], object], topic: str) -> Callable[[], None]:
        def call() -> None:
            self._tell(callback)

        return call

    def _tell(self, hook: Callable[..., object], *details: object) -> None:
        try:
            hook(*details)
        except Exception:
            _log.failure("{hook} failed", hook=hook)
