"""What is between the server and one client, whether it is connected or away: no reactor, no clock.

One decision: the table of unacknowledged packets is a dict in the order in which they were sent. PUBREC moves its entry
to the end, because the PUBREL was sent then; so "again, in the original order" is one loop over the dict.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from sdcpd.broker.limits import LimitExceeded, Limits, Storage, Violation
from sdcpd.broker.message import Message
from sdcpd.broker.policy import Identity, Policy
from sdcpd.codec import mqtt
from sdcpd.codec.mqtt import ProtocolViolation, Will

__all__ = ["Backlog", "Outlet", "Session"]

_LAST_ID = 65535

_Copy = tuple[Message, int, bool]
"""A message for this client: at which QoS, and whether it is a retained one."""


class Outlet(Protocol):
    """Where a session's packets go: a connection."""

    def send(self, data: bytes) -> None:
        """Send whole packets. It may find that the client is too slow, and end the connection at once."""

    def close(self, reason: str) -> None:
        """End the connection: its session does not need it any more."""


class Backlog:
    """How many bytes wait in all sessions together."""

    __slots__ = ("limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0


class Session:
    """Subscriptions, what was sent and not acknowledged, what waits, and what was received and not released.

    ``stays`` says whether the session outlives its connection; one that does not is never delivered to again.
    """

    __slots__ = (
        "_backlog", "_bytes", "_in_flight", "_last_id", "_overasked", "_queued", "_storage", "_unreleased", "_waiting",
        "_window", "dropped", "identity", "left_at", "limits", "outlet", "policy", "stays", "subscription_bytes",
        "subscriptions", "will",
    )  # fmt: skip

    def __init__(self, identity: Identity, policy: Policy, limits: Limits, storage: Storage, backlog: Backlog) -> None:
        self.identity = identity
        self.policy = policy
        self.limits = limits
        self.stays = False
        self.outlet: Outlet | None = None
        self.will: Will | None = None
        self.left_at = 0.0
        self.subscriptions: dict[str, int] = {}
        self.subscription_bytes = 0
        self.dropped = 0
        self._storage = storage
        self._backlog = backlog
        self._bytes = self._queued = 0  # of all messages here, and of those that wait
        self._last_id = 0
        self._overasked = 0
        self._window = limits.in_flight
        # A released message needs its identifier only.
        self._in_flight: dict[int, _Copy | None] = {}
        self._waiting: deque[_Copy] | None = None
        self._unreleased: set[int] | None = None

    # -- to the client -----------------------------------------------------------------------------------------

    def deliver(self, message: Message, qos: int, retain: bool = False) -> None:
        """Send a copy at ``qos`` or at that of the message, the lower one [MQTT-3.8.4-6]; now, or when it can be."""
        outlet = self.outlet
        if message.qos < qos:
            qos = message.qos
        if not qos:
            if outlet is not None:
                outlet.send(message.special(0, 0, True, False) if retain else message.plain())
        elif outlet is not None and not self._waiting and self._fits(message.size) and self._may_hold(message.size):
            self._hold(message.size)
            self._launch(outlet, message, qos, retain)
        elif outlet is not None or self.stays:
            self._queue(message, qos, retain)

    def remind(self, message: Message, qos: int) -> None:
        """Send a retained message, because the client asked.

        Raises ``LimitExceeded`` where it asks, over and over, for more than may wait for it.
        """
        dropped = self.dropped
        self.deliver(message, qos, retain=True)
        if self.dropped != dropped:
            self._overasked += self.dropped - dropped
            if self._overasked > self._storage.session_messages:
                what = f"{self._overasked} retained messages that it asked for are more than may wait for it"
                raise LimitExceeded(Violation.QUEUED_BYTES, what)

    def deliver_now(self, message: Message, qos: int) -> bool:
        """Send it at once, or say that it cannot be sent: it never waits here."""
        outlet = self.outlet
        if outlet is None or (qos and (self._waiting or len(self._in_flight) >= self._window)):
            return False
        if qos:
            self._hold(message.size)
            self._launch(outlet, message, qos, False)
        else:
            outlet.send(message.plain())
        return True

    def attach(self, outlet: Outlet) -> None:
        """The client is (back) here: what it did not acknowledge again [MQTT-4.4.0-1], then what waits."""
        self.outlet = outlet
        self._window = self.limits.in_flight
        self._overasked = 0
        for packet_id, copy in list(self._in_flight.items()):
            if self.outlet is not outlet:
                return  # already too slow for that
            if copy is None:
                outlet.send(mqtt.pubrel(packet_id))
            else:
                message, qos, retain = copy
                outlet.send(message.special(qos, packet_id, retain, True))
        self._pump()

    def detach(self) -> None:
        """The client is away."""
        self.outlet = None

    def discard(self) -> None:
        """The session is over; nothing of it is kept."""
        self.outlet = None
        self.stays = False
        self._backlog.used -= self._bytes
        self._bytes = self._queued = 0
        self._in_flight.clear()
        self._waiting = self._unreleased = None

    @property
    def waiting(self) -> int:
        """How many messages wait to be sent."""
        return len(self._waiting) if self._waiting else 0

    @property
    def held_bytes(self) -> int:
        """What the messages that wait, or were sent and not acknowledged, cost to keep."""
        return self._bytes

    @property
    def in_flight(self) -> int:
        """How many messages were sent and not acknowledged to the end."""
        return len(self._in_flight)

    def _fits(self, size: int) -> bool:
        """Whether one more message may be under way. The first one always may: who acknowledges is always served."""
        under_way = len(self._in_flight)
        if not under_way:
            return True
        return under_way < self._window and self._bytes - self._queued + size <= self._storage.session_bytes

    def _may_hold(self, size: int) -> bool:
        return not self._in_flight or self._backlog.used + size <= self._backlog.limit

    def _launch(self, outlet: Outlet, message: Message, qos: int, retain: bool) -> None:
        packet_id = self._last_id % _LAST_ID + 1
        while packet_id in self._in_flight:
            packet_id = packet_id % _LAST_ID + 1
        self._last_id = packet_id
        self._in_flight[packet_id] = (message, qos, retain)
        if retain:
            outlet.send(message.special(qos, packet_id, True, False))
        else:
            outlet.send(message.numbered(qos, packet_id))

    def _queue(self, message: Message, qos: int, retain: bool) -> None:
        """Let it wait; what does not fit pushes out the oldest: who comes back asks how things are now."""
        waiting = self._waiting
        if waiting is None:
            waiting = self._waiting = deque()
        size, storage = message.size, self._storage
        if size > storage.session_bytes or self._backlog.used + size > self._backlog.limit:
            self.dropped += 1
            return
        while waiting and (len(waiting) >= storage.session_messages or self._queued + size > storage.session_bytes):
            oldest = waiting.popleft()[0].size
            self._queued -= oldest
            self._release(oldest)
            self.dropped += 1
        self._queued += size
        self._hold(size)
        waiting.append((message, qos, retain))

    def _pump(self) -> None:
        while self._waiting and self.outlet is not None and self._fits(self._waiting[0][0].size):
            message, qos, retain = self._waiting.popleft()
            self._queued -= message.size
            self._launch(self.outlet, message, qos, retain)
        if not self._waiting:
            self._waiting = None

    def _hold(self, size: int) -> None:
        self._bytes += size
        self._backlog.used += size

    def _release(self, size: int) -> None:
        self._bytes -= size
        self._backlog.used -= size

    # -- the client's answers ------------------------------------------------------------------------------------

    def acknowledged(self, packet_id: int) -> None:
        """PUBACK. One for nothing is ignored: it may be late."""
        if packet_id not in self._in_flight:
            return
        copy = self._in_flight[packet_id]
        if copy is None or copy[1] != 1:
            raise ProtocolViolation(f"PUBACK for the QoS 2 message {packet_id}", "[MQTT-4.3.3-1]")
        del self._in_flight[packet_id]
        self._owned(copy[0])
        if self._waiting:
            self._pump()

    def received(self, packet_id: int) -> None:
        """PUBREC: the client owns the message, which is never sent again [MQTT-4.3.3-1]."""
        copy = self._in_flight.get(packet_id)
        if copy is not None:
            if copy[1] != 2:
                raise ProtocolViolation(f"PUBREC for the QoS 1 message {packet_id}", "[MQTT-4.3.2-1]")
            del self._in_flight[packet_id]
            self._in_flight[packet_id] = None
            self._owned(copy[0])
        # Also for an unknown one: the client waits for it since before this session began.
        if self.outlet is not None:
            self.outlet.send(mqtt.pubrel(packet_id))

    def completed(self, packet_id: int) -> None:
        """PUBCOMP. One for nothing is ignored."""
        if packet_id not in self._in_flight:
            return
        if self._in_flight[packet_id] is not None:
            raise ProtocolViolation(f"PUBCOMP for message {packet_id} without PUBREC", "[MQTT-4.3.3-1]")
        del self._in_flight[packet_id]
        if self._waiting:
            self._pump()

    def _owned(self, message: Message) -> None:
        self._release(message.size)
        # Twice as much after each full round, as long as something waits: 20 at a time is 2 % of what a subscriber of
        # 1,000 busy publishers can read.
        if self._waiting and self._window < self.limits.in_flight_peak:
            self._window += 1
        if message.acknowledged is not None:
            message.acknowledged()

    # -- from the client, at QoS 2 -----------------------------------------------------------------------------

    def is_new(self, packet_id: int) -> bool:
        """Take note of a QoS 2 message; False where it was sent before and not released since [MQTT-4.3.3-2]."""
        if self._unreleased is None:
            self._unreleased = set()
        if packet_id in self._unreleased:
            return False
        if len(self._unreleased) >= self.limits.unreleased:
            message = f"more than {self.limits.unreleased} messages of QoS 2 are not released"
            raise LimitExceeded(Violation.UNRELEASED, message)
        self._unreleased.add(packet_id)
        return True

    def released(self, packet_id: int) -> None:
        """PUBREL: the identifier is free for another message."""
        if self._unreleased is not None:
            self._unreleased.discard(packet_id)
            if not self._unreleased:
                self._unreleased = None
