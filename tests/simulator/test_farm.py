"""The farm on real sockets: a hub written for these tests meets printers on their own addresses."""

from __future__ import annotations

import hashlib
import socket
from typing import Any, cast

from twisted.internet import reactor as installed  # noqa: TID251 - real sockets need the real one
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import DatagramProtocol
from twisted.python.filepath import FilePath
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.static import File

from sdcpd.simulator import settings as simulated
from sdcpd.simulator.farm import Farm
from sdcpd.simulator.settings import Settings
from tests.course import Course
from tests.quiet import quiet
from tests.simulator.broker import PATIENCE, Broker

reactor: Any = installed
FIRST = "127.20.7.2"
HUB = "127.20.0.1"
BODY = bytes(range(256)) * 2000


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((FIRST, 0))
        return cast(int, sock.getsockname()[1])


class Ear(DatagramProtocol):
    """The hub's UDP socket."""

    noisy = False

    def __init__(self) -> None:
        self.heard: list[tuple[bytes, tuple[str, int]]] = []
        self._waiting: tuple[int, Deferred[None]] | None = None

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.heard.append((datagram, addr))
        if self._waiting is not None and len(self.heard) >= self._waiting[0]:
            waiting, self._waiting = self._waiting[1], None
            waiting.callback(None)

    def until(self, count: int) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        self._waiting = (count, done)
        return done.addTimeout(PATIENCE, reactor)

    def say(self, data: bytes, address: str, port: int) -> None:
        assert self.transport is not None
        self.transport.write(data, (address, port))


class FarmCase(TestCase):
    """A farm, a broker, a file server and a UDP socket of the hub."""

    profiles: tuple[str, ...] = ("S3U-1.4.2",)

    def setUp(self) -> None:
        self.port = free_port()
        self.course = Course()
        self.farm = Farm(cast(Any, self.course), simulated.plan(self.profiles, FIRST), self.settings())
        self.farm.privilegedStartService()
        self.farm.startService()
        self.broker = Broker(reactor)
        self.mqtt = reactor.listenTCP(0, self.broker, interface=HUB)
        root = Resource()
        path = FilePath(self.mktemp())
        path.setContent(BODY)
        root.putChild(b"f" * 32 + b".goo", File(path.path, "text/plain"))
        self.files = Site(root)
        self.files.noisy = False
        self.http = reactor.listenTCP(0, self.files, interface=HUB)
        self.ear = Ear()
        self.udp = reactor.listenUDP(0, self.ear, interface=HUB, maxPacketSize=65536)
        self.udp.setBroadcastAllowed(True)

    def tearDown(self) -> Deferred[Any]:  # type: ignore[override]  # trial waits for it
        for session in self.broker.sessions:
            session.lose()
        stopping = [self.farm.stopService(), self.mqtt.stopListening(), self.http.stopListening()]
        stopped = gatherResults([d for d in [*stopping, self.udp.stopListening()] if d is not None])
        return stopped.addCallback(lambda _: quiet()).addBoth(self._over)

    def _over(self, result: Any) -> Any:
        self.course.stop()
        return result

    def settings(self) -> Settings:
        return Settings(port=self.port, scale=500, strict=True, layer_time=1.0, bottom_layers=0, layers=4)

    def invite(self, address: str = FIRST) -> None:
        self.ear.say(b"M66666 %d" % self.mqtt.getHost().port, address, self.port)

    def fetch(self, **changes: object) -> dict[str, object]:
        return {
            "Check": 0,
            "CleanCache": 1,
            "Compress": 0,
            "FileSize": len(BODY),
            "Filename": "plate.goo",
            "MD5": hashlib.md5(BODY).hexdigest(),
            "URL": f"http://${{ipaddr}}:{self.http.getHost().port}/{'f' * 32}.goo",
        } | changes

    async def connected(self) -> None:
        self.invite()
        await self.broker.until(lambda: self.broker.messages)


class OneFarmTests(FarmCase):
    def test_whole_journey(self) -> Deferred[None]:
        """A printer is invited, fetches a file from its own address, prints it, and breaks no rule with us."""

        async def journey() -> None:
            await self.connected()
            session = self.broker.sessions[0]
            self.assertEqual(session.peer, FIRST)
            self.assertEqual(session.filters, [f"/sdcp/request/{self.farm.printers[0].id}"])
            session.request(0)
            session.request(256, self.fetch())
            await self.broker.until(lambda: self.broker.statuses()[-1]["FileTransferInfo"]["Status"] == 2)
            session.request(128, {"Filename": "plate.goo", "StartLayer": 0})
            await self.broker.until(lambda: self.broker.statuses()[-1]["PrintInfo"]["Status"] == 16)
            self.assertEqual([ack for _, ack in self.broker.acks()], [0, 0, 0])
            self.assertEqual(self.farm.violations, [])
            self.assertEqual(self.farm.printers[0].counts.commands[128], 1)
            http = [e.detail["method"] for e in self.farm.printers[0].log if e.kind == "http"]
            self.assertEqual(http, ["HEAD", "GET"])

        return Deferred.fromCoroutine(journey())

    def test_polite_end(self) -> Deferred[None]:
        """Cmd 64 is answered, then the printer says DISCONNECT."""

        async def journey() -> None:
            await self.connected()
            self.broker.sessions[0].request(64)
            await self.broker.until(lambda: self.broker.sessions[0].ended is not None)
            self.assertEqual(self.broker.sessions[0].ended, "DISCONNECT")
            self.assertEqual(self.broker.acks(), [(64, 0)])

        return Deferred.fromCoroutine(journey())

    def test_busy_port(self) -> None:
        """A second farm on the same address and port cannot start."""
        second = Farm(reactor, simulated.plan(self.profiles, FIRST), self.settings())
        self.assertRaises(CannotListenError, second.privilegedStartService)


class BroadcastTests(FarmCase):
    profiles = ("S3U-1.4.2", "S3U-1.5.4", "M4U-1.3.0", "MARS4MAX-1.0.0")

    def test_broadcast(self) -> Deferred[None]:
        """One broadcast probe finds every printer, each answering from its own address."""
        heard = self.ear.until(4)
        self.ear.say(b"M99999", "127.255.255.255", self.port)

        def check(_: None) -> None:
            sources = sorted(addr for _, addr in self.ear.heard)
            self.assertEqual(sources, [(f"127.20.7.{k}", self.port) for k in range(2, 6)])

        return heard.addCallback(check)
