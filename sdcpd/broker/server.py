"""A door of the MQTT server: admits connections, and watches all their deadlines with one timer.

One decision: a door is a factory with its own policy and limits; the router behind it may be shared with other doors.
"""

from __future__ import annotations

import secrets
from collections import Counter
from types import MappingProxyType
from typing import Any

from twisted.internet.interfaces import IAddress, IReactorTime, ITCPTransport
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import LoopingCall

from sdcpd.broker.complaints import Complaints
from sdcpd.broker.connection import Connection
from sdcpd.broker.limits import Limits, Violation
from sdcpd.broker.policy import Policy
from sdcpd.broker.router import Router
from sdcpd.logs import logger

__all__ = ["TICK", "Refused", "Server"]

TICK = 0.5
"""Seconds between two looks at the deadlines: so late may an end be."""

_log = logger("sdcpd.broker.server")


class Refused(Protocol):
    """A connection that is closed at once."""

    def makeConnection(self, transport: ITCPTransport) -> None:  # noqa: N802 (Twisted enters)
        """It is there."""
        transport.abortConnection()


class Server(Factory):
    """Connections of one port to one router."""

    noisy = False

    def __init__(self, clock: IReactorTime, router: Router, policy: Policy, limits: Limits) -> None:
        self.router = router
        self.policy = policy
        self.limits = limits
        self.seconds = clock.seconds
        self.complaints = Complaints(_log, clock.seconds)
        self.accepted = 0
        self._connections: set[Connection] = set()
        self._per_address: Counter[str] = Counter()
        self._recent: Counter[str] = Counter()
        self._expected: dict[str, int] = {}
        self._second = clock.seconds()
        self._watch = LoopingCall(self._look)
        self._watch.clock = clock

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._connections)

    @property
    def queued_bytes(self) -> int:
        """What waits for connections that do not read, beside what the kernel and their transports hold."""
        return sum(connection.queued_bytes for connection in self._connections)

    @property
    def violations(self) -> MappingProxyType[Violation, int]:
        """How many connections were refused or ended, by why."""
        return self.complaints.counts

    def stopFactory(self) -> None:
        """The port is closed: no connection outlives it."""
        if self._watch.running:
            self._watch.stop()
        for connection in list(self._connections):
            connection.close("the server stops")

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """One connection, unless there are too many already."""
        peer = str(getattr(addr, "host", addr))
        if (fault := self._fault(peer)) is not None:
            self.complaints.note(fault, peer, self._words(fault, peer))
            return Refused()  # not None: TLS around it could not bear that
        connection = Connection(self, peer)
        connection.factory = self
        return connection

    def remember(self, connection: Connection) -> None:
        """A connection is there."""
        self.accepted += 1
        self._connections.add(connection)
        if not self._watch.running:
            self._watch.start(TICK, now=False)
        self._per_address[connection.peer] += 1

    def forget(self, connection: Connection) -> None:
        """A connection is gone."""
        self._connections.discard(connection)
        self._per_address[connection.peer] -= 1
        if not self._per_address[connection.peer]:
            del self._per_address[connection.peer]

    def new_client_id(self) -> str:
        """For a client that brings none; nobody can guess it."""
        return f"auto-{secrets.token_hex(8)}"

    def _fault(self, peer: str) -> Violation | None:
        limits, now = self.limits, self.seconds()
        if now - self._second >= 1.0:
            self._second = now
            self._recent.clear()
            self._expected.clear()
        self._recent[peer] += 1
        if peer not in self._expected:
            self._expected[peer] = self.policy.expected(peer)
        if self._recent[peer] > limits.connects_per_second + self._expected[peer]:
            return Violation.CONNECT_RATE
        if len(self._connections) >= limits.connections:
            return Violation.CONNECTIONS
        if self._per_address[peer] >= limits.connections_per_address + self._expected[peer]:
            return Violation.CONNECTIONS_PER_ADDRESS
        return None

    def _words(self, fault: Violation, peer: str) -> str:
        limits, expected = self.limits, self._expected[peer]
        if fault is Violation.CONNECT_RATE:
            return f"more than {limits.connects_per_second + expected} connections from there in a second"
        if fault is Violation.CONNECTIONS:
            return f"too many connections, there are {limits.connections}"
        return f"too many connections, {limits.connections_per_address + expected} are from there"

    def _look(self) -> None:
        now = self.seconds()
        for connection in list(self._connections):
            try:
                connection.check(now)
            except Exception:
                _log.failure("The connection of {who} could not be ended", who=connection.name)
        self._relieve()
        self.router.expire()
        if not self._connections and not self.router.counters.stored:
            self._watch.stop()  # nothing has a deadline any more

    def _relieve(self) -> None:
        """Cut off who is furthest behind until what waits for all is no more than it may be."""
        limit = self.limits.queued_bytes_of_all
        waiting = self.queued_bytes
        if waiting <= limit:
            return
        for connection in sorted(self._connections, key=lambda each: each.queued_bytes, reverse=True):
            if waiting <= limit:
                return
            size = connection.queued_bytes
            try:
                connection.cut_off(f"{size} of {waiting} bytes wait for it to read, {limit} for all are allowed")
            except Exception:
                _log.failure("The connection of {who} could not be ended", who=connection.name)
            waiting -= size
