"""What a simulated printer is given in these tests instead of a network.

One decision: the fakes satisfy the simulator's own seams and remember; nothing is patched.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.simulator.dialling import Call, Over
from sdcpd.simulator.download import FetchFailed, Pace, Reply, Request
from sdcpd.simulator.faults import Faults
from sdcpd.simulator.journal import Journal
from sdcpd.simulator.link import Link, LinkOwner, LinkState, LinkTerms
from sdcpd.simulator.printer import Printer
from sdcpd.simulator.requests import Delivery
from sdcpd.simulator.settings import Settings, plan
from sdcpd.simulator.simtime import SimTime

JsonObject = dict[str, Any]
HUB = "127.20.0.1"
TAKEN = "127.20.9.9"


class FakeLink:
    """A connection that is up as soon as the test says so."""

    def __init__(self, owner: LinkOwner, terms: LinkTerms) -> None:
        self.owner = owner
        self.terms = terms
        self.state = LinkState.CONNACK_WAIT
        self.sent: list[tuple[str, bytes]] = []
        self.ended = ""

    def come_up(self) -> None:
        self.state = LinkState.UP
        self.owner.link_up()

    def publish(self, topic: str, payload: bytes, key: Hashable = None) -> None:
        self.sent.append((topic, payload))

    def disconnect(self) -> None:
        self._end("disconnect")
        self.owner.link_lost("disconnect")

    def drop(self, reset: bool = True) -> None:
        self._end("reset" if reset else "fin")

    def freeze(self) -> None:
        self.ended = "frozen"

    def _end(self, how: str) -> None:
        self.state = LinkState.DOWN
        self.ended = how


class FakeLinks:
    """Makes fake links, or refuses so many times."""

    def __init__(self) -> None:
        self.made: list[FakeLink] = []
        self.refusals = 0

    def connect(self, owner: LinkOwner, terms: LinkTerms, faults: Faults, journal: Journal) -> Link:
        if self.refusals:
            self.refusals -= 1
            raise ConnectionRefusedError("nobody listens")
        self.made.append(FakeLink(owner, terms))
        return self.made[-1]


class FakeCall:
    """A connection of somebody's."""

    def __init__(self, source: str, data: bytes, over: Over) -> None:
        self.source = source
        self.data = data
        self.over = over
        self.dropped = False

    def drop(self) -> None:
        self.dropped = True
        self.over(b"", "dropped")


class FakeDialler:
    """Remembers who called whom."""

    def __init__(self) -> None:
        self.calls: list[FakeCall] = []
        self.targets: set[tuple[str, int]] = set()

    def dial(self, host: str, port: int, source: str, data: bytes, over: Over) -> Call:
        self.targets.add((host, port))
        self.calls.append(FakeCall(source, data, over))
        return self.calls[-1]


class FakeFetcher:
    """Answers HEAD and GET for one body, at the pace that the printer wants."""

    def __init__(self, clock: Clock, scale: float) -> None:
        self._clock = clock
        self._scale = scale
        self.body = b""
        self.headers: dict[str, str] = {}
        self.status = 200
        self.requests: list[Request] = []
        self.piece = 1000

    def fetch(self, request: Request, pace: Pace, sink: Callable[[bytes], None]) -> Deferred[Reply]:
        self.requests.append(request)
        body, status = self.body, self.status
        if "Range" in request.headers:
            body, status = body[int(request.headers["Range"][6:-1]) :], 206
        reply = Reply(status, {"content-length": str(len(body))} | self.headers)
        done: Deferred[Reply] = Deferred(lambda _: None)
        if request.method == "HEAD" or status >= 400:
            self._clock.callLater(0, done.callback, reply)
        else:
            self._next(body, pace, sink, reply, done)
        return done

    def _next(
        self, rest: bytes, pace: Pace, sink: Callable[[bytes], None], reply: Reply, done: Deferred[Reply]
    ) -> None:
        if done.called:
            return
        data, rest = rest[: self.piece], rest[self.piece :]
        reply.received += len(data)
        try:
            sink(data)
        except FetchFailed as error:
            done.errback(Failure(error))
            return
        if rest:
            wait = max(pace(len(data)), 0) / self._scale
            self._clock.callLater(wait, self._next, rest, pace, sink, reply, done)
        else:
            self._clock.callLater(0, done.callback, reply)


class PrinterCase(SynchronousTestCase):
    """One printer, a clock, and a hub made of fakes."""

    profile = "S3U-1.4.2"

    def setUp(self) -> None:
        self.clock = Clock()
        self.links = FakeLinks()
        self.dialler = FakeDialler()
        self.addresses: list[str] = []
        self.houses: list[str] = []
        self.printer = self.make(self.settings())
        self.addCleanup(self.check_nothing_left)

    def settings(self) -> Settings:
        return Settings(strict=True, seed=1, layers=3, layer_time=8, bottom_layers=0, rate=1000.0)

    def make(self, settings: Settings) -> Printer:
        self.fetcher = FakeFetcher(self.clock, settings.scale)
        (spec,) = plan([self.profile], "127.20.9.2")
        return Printer(spec, settings, self.clock, self.links, self.fetcher_for, self.dialler, self.rehouse)

    def fetcher_for(self, time: SimTime, address: str) -> FakeFetcher:
        self.addresses.append(address)
        return self.fetcher

    def rehouse(self, printer: Printer, address: str) -> None:
        if address == TAKEN:
            raise ValueError(f"{address} is taken")
        self.houses.append(address)

    def check_nothing_left(self) -> None:
        """A printer that is shut down leaves no call behind."""
        self.printer.shut_down()
        self.clock.advance(100_000)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def advance(self, seconds: float, step: float = 0.05) -> None:
        for _ in range(round(seconds / step)):
            self.clock.advance(step)

    @property
    def link(self) -> FakeLink:
        return self.links.made[-1]

    def udp(self, data: bytes) -> list[bytes]:
        replies: list[bytes] = []
        self.printer.datagram(data, HUB, replies.append)
        self.clock.advance(0.1)
        return replies

    def connect(self) -> None:
        self.printer.datagram(b"M66666 1883", HUB, self.fail)
        self.clock.advance(5)
        self.link.come_up()

    def request(self, cmd: int, data: object = None, request_id: str = "", **changes: object) -> None:
        envelope = {
            "Cmd": cmd,
            "Data": data,
            "From": 0,
            "MainboardID": self.printer.id,
            "RequestID": request_id or f"{len(self.printer.log):032x}",
            "TimeStamp": 1,
        }
        message = {"Data": envelope | changes, "Id": self.printer.identity.id}
        self.deliver(json.dumps(message).encode())

    def deliver(self, payload: bytes, qos: int = 1, packet_id: int = 7, subscribed: bool = True) -> None:
        topic = f"/sdcp/request/{self.printer.id}"
        self.link.owner.delivered(Delivery(topic, payload, qos, packet_id, False, subscribed))
        self.clock.advance(0.1)

    def fetch_order(self, **changes: object) -> JsonObject:
        return {
            "Check": 0,
            "CleanCache": 1,
            "Compress": 0,
            "FileSize": len(self.fetcher.body),
            "Filename": "plate.goo",
            "MD5": hashlib.md5(self.fetcher.body).hexdigest(),
            "URL": "http://${ipaddr}:8081/" + "a" * 32 + ".goo",
        } | changes

    def messages(self, kind: str) -> list[JsonObject]:
        return [json.loads(payload) for topic, payload in self.link.sent if f"/{kind}/" in topic]

    def statuses(self) -> list[JsonObject]:
        return [message["Data"]["Status"] for message in self.messages("status")]

    def acks(self) -> list[object]:
        return [message["Data"]["Data"]["Ack"] for message in self.messages("response")]

    def codes(self) -> list[str]:
        return [violation.code for violation in self.printer.violations]

    def course(self) -> Sequence[tuple[int, int]]:
        """(CurrentStatus, PrintInfo.Status) as published, repetitions left out."""
        seen: list[tuple[int, int]] = []
        for status in self.statuses():
            pair = status["CurrentStatus"], status["PrintInfo"]["Status"]
            if not seen or seen[-1] != pair:
                seen.append(pair)
        return seen
