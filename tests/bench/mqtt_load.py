"""Load for any MQTT server: many publishers and one subscriber, a request and its reply, connects, idle connections.

One decision: everything is a closed loop. A publisher says its next word when the last one was acknowledged to the end
*and* has reached the subscriber, so at most one message per publisher is under way in any server, none has to drop
or queue without bound, and what is counted are messages that arrived.

Orders come as lines of JSON on standard input; each is answered by one line when it is done: ``idle``, ``close``,
``fan``, ``trip``, ``connects``. Idle connections stay until they are closed, and so do publishers. ``cpu`` is what the
server (``pid``) used, in seconds; ``pressed`` and ``busy`` are the shares of the time in which the server and this
process had something to do.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import select
import socket
import sys
import time
from typing import Any

from tests.bench.mqtt_client import AT_ONCE, PATIENCE, Lost, close, dial, opened, publish, subscriber
from tests.bench.processes import cpu_of, pressed

__all__: list[str] = []

PAYLOAD = 600
"""Bytes of a message: about a printer's status."""
_WARM = 0.3
_ACKNOWLEDGE = {1: b"\x40\x02", 2: b"\x50\x02"}


class Span:
    """What this process and the server have used since a moment."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._cpu = cpu_of(pid)
        self._server = pressed(pid)
        self._mine = pressed(os.getpid())
        self._start = time.perf_counter()

    def over(self) -> dict[str, float]:
        """The sum."""
        seconds = time.perf_counter() - self._start
        return {
            "seconds": seconds,
            "cpu": cpu_of(self._pid) - self._cpu,
            "busy": (pressed(os.getpid()) - self._mine) / seconds,
            "pressed": (pressed(self._pid) - self._server) / seconds,
        }


class Fan:
    """Publishers, each on a topic of its own, and one subscriber to all of them."""

    def __init__(self, port: int, qos: int, publishers: list[socket.socket]) -> None:
        self._qos = qos
        self._subscriber = subscriber(port, "bench/status/+", qos)
        self._publishers = publishers
        count = len(publishers)
        self._messages = [
            publish(f"bench/status/{number:016}", qos, number.to_bytes(2, "big") + bytes(PAYLOAD - 2))
            for number in range(count)
        ]
        self._number_at = len(self._messages[0]) - PAYLOAD
        self._missing = [0] * count
        self._rest = b""
        self.arrived = 0
        self._on = True

    def run(self, seconds: float, pid: int) -> dict[str, float]:
        """The loop, after a short while in which windows and caches find their size."""
        poll = select.epoll()
        poll.register(self._subscriber, select.EPOLLIN)
        by_descriptor = {}
        for number, publisher in enumerate(self._publishers):
            poll.register(publisher, select.EPOLLIN)
            by_descriptor[publisher.fileno()] = number
        for number in range(len(self._publishers)):
            self._send(number)
        self._turns(poll, by_descriptor, _WARM)
        span, before = Span(pid), self.arrived
        self._turns(poll, by_descriptor, seconds)
        late = time.perf_counter() + PATIENCE
        while self.arrived == before and time.perf_counter() < late:  # others had the machine for all that time
            self._turns(poll, by_descriptor, 0.02)
        found = span.over()
        found["messages"] = self.arrived - before
        self._on = False  # what is under way may arrive, so that no server begins the next run with it
        deadline = time.perf_counter() + PATIENCE
        while any(self._missing) and time.perf_counter() < deadline:
            self._turns(poll, by_descriptor, 0.02)
        found["lost"] = sum(map(bool, self._missing))
        close([self._subscriber])
        return found

    def _turns(self, poll: select.epoll, by_descriptor: dict[int, int], seconds: float) -> None:
        end = time.perf_counter() + seconds
        subscriber, publishers, acknowledged = self._subscriber.fileno(), self._publishers, self._acknowledged
        while time.perf_counter() < end:
            for descriptor, _ in poll.poll(0.02):
                if descriptor == subscriber:
                    self._receive()
                else:
                    number = by_descriptor[descriptor]
                    acknowledged(number, publishers[number].recv(64))

    def _send(self, number: int) -> None:
        self._missing[number] = 2 if self._qos else 1
        self._publishers[number].send(self._messages[number])

    def _done(self, number: int) -> None:
        self._missing[number] -= 1
        if not self._missing[number] and self._on:
            self._send(number)

    def _acknowledged(self, number: int, data: bytes) -> None:
        if data in (b"\x40\x02\0\1", b"\x70\x02\0\1"):
            self._done(number)
        elif data == b"\x50\x02\0\1":
            self._publishers[number].send(b"\x62\x02\0\1")
        else:
            raise Lost(f"a publisher was told {data[:8].hex() or 'to go'}")

    def _receive(self) -> None:
        """What the subscriber got: messages of one known size, and PUBREL at QoS 2."""
        arrived = self._subscriber.recv(1 << 17)
        if not arrived:
            raise Lost("the subscriber was cut off")
        data = self._rest + arrived
        at, have, size = 0, len(data), len(self._messages[0])
        number_at, acknowledge, done, answers = self._number_at, _ACKNOWLEDGE.get(self._qos), self._done, []
        while have - at >= 4:
            if data[at] >> 4 == 3:
                if have - at < size:
                    break
                where = at + number_at
                if acknowledge:
                    answers.append(acknowledge + data[where - 2 : where])
                self.arrived += 1
                done(data[where] << 8 | data[where + 1])
                at += size
            elif data[at] == 0x62:
                answers.append(b"\x70\x02" + data[at + 2 : at + 4])
                at += 4
            else:
                raise Lost(f"the subscriber got {data[at : at + 8].hex()}")
        self._rest = data[at:]
        if answers:
            self._subscriber.send(b"".join(answers))


class End:
    """One end of a conversation: counts the packets that come and acknowledges them."""

    def __init__(self, port: int, qos: int, hears: str, says: str) -> None:
        self.connection = subscriber(port, hears, qos)
        self._message = publish(says, qos, bytes(PAYLOAD))
        self._answer = _ACKNOWLEDGE.get(qos, b"")
        self._id_at = len(publish(hears, qos, b"")) + 1 - 2
        self._qos = qos
        self._rest = b""
        self.ready = True

    def say(self, with_answers: bytes = b"") -> None:
        """Send the message."""
        self.ready = not self._qos
        self.connection.send(with_answers + self._message)

    def receive(self, reply: bool) -> bool:
        """Read what there is, acknowledge it, reply to a message at once; whether there was one."""
        data = self._rest + self.connection.recv(65536)
        if not data:
            raise Lost("the server has closed the connection")
        at, answers, heard = 0, b"", False
        while len(data) - at >= 4:
            kind = data[at] >> 4
            size = 4 if kind != 3 else 3 + (data[at + 1] & 0x7F | data[at + 2] << 7)
            if len(data) - at < size:
                break
            if kind == 3:
                heard = True
                if self._qos:
                    answers += self._answer + data[at + self._id_at : at + self._id_at + 2]
            elif kind in (4, 7):
                self.ready = True
            else:
                answers += (b"\x62\x02" if kind == 5 else b"\x70\x02") + data[at + 2 : at + 4]
            at += size
        self._rest = data[at:]
        if heard and reply:
            self.say(answers)
        elif answers:
            self.connection.send(answers)
        return heard


def _trip(port: int, qos: int, seconds: float, pid: int) -> dict[str, float]:
    """Request and reply through the server, one at a time."""
    here = End(port, qos, "bench/response/a", "bench/request/b")
    there = End(port, qos, "bench/request/b", "bench/response/a")
    poll = select.epoll()
    ends = {end.connection.fileno(): end for end in (here, there)}
    for end in ends.values():
        poll.register(end.connection, select.EPOLLIN)
    waits: list[float] = []
    clock = time.perf_counter
    finish, span = clock() + seconds, Span(pid)
    while clock() < finish:
        heard = False
        begun = clock()
        here.say()
        while not (heard and here.ready and there.ready):
            events = poll.poll(PATIENCE)
            if not events:
                raise Lost("no reply")
            for descriptor, _ in events:
                if ends[descriptor] is there:
                    there.receive(reply=True)
                elif here.receive(reply=False):
                    heard = True
                    waits.append(clock() - begun)
    found = span.over()
    close([end.connection for end in ends.values()])
    waits.sort()
    tail = waits[len(waits) * 99 // 100]
    return {**found, "trips": len(waits), "p50": waits[len(waits) // 2], "p99": tail}


def _connects(port: int, seconds: float, pid: int) -> dict[str, float]:
    """Connect, be let in, leave; so many at a time, again and again."""
    poll = select.epoll()
    under_way: dict[int, socket.socket] = {}
    done = 0
    span, end = Span(pid), time.perf_counter() + seconds
    while time.perf_counter() < end:
        while len(under_way) < AT_ONCE:
            dialled = dial(port)
            under_way[dialled.fileno()] = dialled
            poll.register(dialled, select.EPOLLIN)
        for descriptor, _ in poll.poll(PATIENCE):
            connection = under_way.pop(descriptor)
            if connection.recv(64) != b"\x20\x02\0\0":
                raise Lost("a client was not let in")
            close([connection])
            done += 1
    found = span.over()
    close(list(under_way.values()))
    return {**found, "connects": done}


def _obey(order: dict[str, Any], held: list[socket.socket]) -> dict[str, float]:
    """Do it. ``held`` are the connections to this server that stay."""
    port, wanted = int(order["port"]), int(order.get("count", 0))
    held += opened(port, max(0, wanted - len(held)), subscribed=order["do"] == "idle")
    match order["do"]:
        case "idle":
            return {"held": len(held)}
        case "close":
            close(held)
            held.clear()
            return {}
        case "fan":
            found = Fan(port, order["qos"], held[:wanted]).run(order["seconds"], order["pid"])
            if found["lost"]:
                raise Lost(f"{found['lost']:.0f} messages did not arrive, or were not acknowledged")
            return found
        case "trip":
            return _trip(port, order["qos"], order["seconds"], order["pid"])
        case "connects":
            return _connects(port, order["seconds"], order["pid"])
    raise ValueError(f"no such order: {order['do']}")


def _main() -> None:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    gc.disable()  # nothing here makes cycles
    held: dict[int, list[socket.socket]] = {}
    for line in sys.stdin:
        order = json.loads(line)
        stay = held.setdefault(order["port"], [])
        answer: dict[str, Any]
        try:
            answer = _obey(order, stay)
        except (Lost, OSError) as error:
            close(stay)  # who knows what is still under way on them
            stay.clear()
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main()
