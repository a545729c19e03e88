"""A broker and a file server, tiny and written for these tests, that a simulated printer can call.

One decision: it understands just what a V1 printer sends, and its misbehaviour is switched on by attributes.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

JsonObject = dict[str, Any]
PATIENCE = 60.0
"""Seconds after which a wait fails: far more than anything needs."""


def packet(first: int, body: bytes) -> bytes:
    """One MQTT packet; bodies here stay under 16 KiB."""
    if len(body) < 128:
        return bytes([first, len(body)]) + body
    return bytes([first, len(body) % 128 | 0x80, len(body) // 128]) + body


class Session(Protocol):
    """One printer at the broker."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._buffer = b""
        self._next_id = 1
        self.client_id = ""
        self.keepalive = -1
        self.filters: list[str] = []
        self.peer = ""
        self.pieces: list[int] = []  # the sizes in which the bytes came
        self.ended: str | None = None

    def connectionMade(self) -> None:
        self.peer = self.transport.getPeer().host  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        self.pieces.append(len(data))
        self._buffer += data
        while (one := self._cut()) is not None:
            self._received(*one)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended = self.ended or reason.getErrorMessage()
        self._broker.changed()

    def request(self, cmd: int, data: object = None, request_id: str = "", **changes: Any) -> str:
        """Send one request as a well-behaved hub does."""
        self._next_id += 1
        request_id = request_id or f"{self._next_id:032x}"
        envelope = {
            "Cmd": cmd,
            "Data": data,
            "From": 0,
            "MainboardID": self.client_id,
            "RequestID": request_id,
            "TimeStamp": 1693671336726,
        }
        message = {"Data": envelope | changes, "Id": self._broker.id}
        self.publish(json.dumps(message).encode())
        return request_id

    def publish(self, payload: bytes, packet_id: int | None = None, qos: int = 1) -> None:
        topic = f"/sdcp/request/{self.client_id}".encode()
        number = struct.pack(">H", self._next_id if packet_id is None else packet_id) if qos else b""
        self.write(packet(0x30 | qos << 1, struct.pack(">H", len(topic)) + topic + number + payload))

    def write(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)

    def lose(self) -> None:
        assert self.transport is not None
        self.transport.abortConnection()  # type: ignore[attr-defined]

    def _cut(self) -> tuple[int, bytes] | None:
        length = shift = 0
        for at, digit in enumerate(self._buffer[1:5], 1):
            length |= (digit & 0x7F) << shift
            shift += 7
            if not digit & 0x80:
                end = at + 1 + length
                if len(self._buffer) < end:
                    return None
                first, body = self._buffer[0], self._buffer[at + 1 : end]
                self._buffer = self._buffer[end:]
                return first, body
        return None

    def _received(self, first: int, body: bytes) -> None:
        broker = self._broker
        match first >> 4:
            case 1:
                self.keepalive = int.from_bytes(body[8:10], "big")
                self.client_id = body[12:].decode()
                broker.sessions.append(self)
                self.write(broker.connack)
            case 8:
                rest = body[2:]
                while rest:
                    size = int.from_bytes(rest[:2], "big")
                    self.filters.append(rest[2 : 2 + size].decode())
                    rest = rest[3 + size :]
                self.write(packet(0x90, body[:2] + b"\x01" * len(self.filters)))
            case 3:
                size = int.from_bytes(body[:2], "big")
                topic, number, payload = body[2 : 2 + size], body[2 + size : 4 + size], body[4 + size :]
                broker.messages.append((topic.decode(), payload, bool(first & 8)))
                if broker.acknowledges:
                    self.write(b"\x40\x02" + number)
            case 12:
                broker.pings += 1
                if broker.answers_pings:
                    self.write(b"\xd0\x00")
            case 14:
                self.ended = "DISCONNECT"
        broker.changed()


class Broker(Factory):
    """Accepts printers and remembers what they said."""

    noisy = False

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: list[tuple[Any, Deferred[None]]] = []
        self.id = "f25273b12b094c5a8b9513a30ca60049"
        self.sessions: list[Session] = []
        self.messages: list[tuple[str, bytes, bool]] = []
        self.connack = b"\x20\x02\x00\x00"
        self.acknowledges = True
        self.answers_pings = True
        self.pings = 0

    def buildProtocol(self, addr: IAddress | None) -> Session:
        return Session(self)

    def of(self, kind: str) -> Iterator[JsonObject]:
        """The messages of one topic that are JSON."""
        for topic, payload, _ in self.messages:
            if topic.startswith(f"/sdcp/{kind}/"):
                yield json.loads(payload)

    def statuses(self) -> list[JsonObject]:
        return [message["Data"]["Status"] for message in self.of("status")]

    def acks(self) -> list[tuple[int, int]]:
        return [(m["Data"]["Cmd"], m["Data"]["Data"]["Ack"]) for m in self.of("response")]

    def until(self, predicate: Any) -> Deferred[None]:
        """Fires as soon as the predicate holds after something came."""
        done: Deferred[None] = Deferred()
        self._waiting.append((predicate, done))
        self._clock.callLater(0, self.changed)
        return done.addTimeout(PATIENCE, self._clock)

    def changed(self) -> None:
        for entry in list(self._waiting):
            predicate, done = entry
            if done.called:
                self._waiting.remove(entry)
            elif predicate():
                self._waiting.remove(entry)
                done.callback(None)
