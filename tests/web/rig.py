"""The whole web tree over a real core, in memory: requests go in as bytes, and answers come out as a client reads them.

Printers are links that note what was sent to them; a test says what they answer and report.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote

from msgspec.structs import asdict
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock, deferLater
from twisted.internet.tcp import Server
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from sdcpd.broker import Router, Storage
from sdcpd.codec.sdcp import Announcement
from sdcpd.codec.status import Generation, PrintInfo, Status, TransferInfo
from sdcpd.config import parse
from sdcpd.errors import PrinterOffline
from sdcpd.filenews import FileNews
from sdcpd.files import FileStore, Limits
from sdcpd.fleet import Beforehand, Fleet, Printer
from sdcpd.jobs import Jobs
from sdcpd.journal import Journal
from sdcpd.keys import Keys
from sdcpd.links import Links, Session
from sdcpd.logs import set_level
from sdcpd.machine import Machine
from sdcpd.names import base_name
from sdcpd.offers import Offers
from sdcpd.orders import Orders
from sdcpd.pictures import Pictures
from sdcpd.plate import Gate
from sdcpd.web.app import WebApp
from sdcpd.web.doors import Door
from sdcpd.web.metrics import MetricsApi
from tests.fakes import FakeKeyRecords, Pool, at_once
from tests.sliced import goo_file

T = TypeVar("T")

EPOCH = 1_786_000_000.0
SATURN = "0001D2AB12CD34EF"
MARS = "00FF99aabbcc0011"
P = "/printers/saturn-3-ultra"
"""Where the clients of one printer find the Saturn."""
CURL = ("-q", "-sS", "--expect100-timeout", "250")
"""As a script calls curl, without anybody's settings; of itself it waits for "100 Continue" a second and then sends."""
TRUSTED = '[access.trusted]\n"127.0.0.0/8" = ["view", "upload", "queue", "control", "plate"]\n'

SECURE = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "x-frame-options": "DENY",
}


def goo(content: bytes = b"layers", **more: Any) -> bytes:
    """A small whole .goo for the printer that ``announce`` announces; the content is in its only layer."""
    return goo_file(content or b"\0", **more)


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def printing(layer: int, total: int = 100, *, number: int = 3, current: int = 1, **more: Any) -> Status:
    """A V1 status in the middle of a print."""
    ticks = {"current_ticks": layer * 1000, "total_ticks": total * 1000, "filename": "plate.goo", **more}
    return Status((current,), 0, PrintInfo(number, layer, total, **ticks))


def transferring(offset: int, total: int = 1000, filename: str = "plate.goo") -> Status:
    return Status((2,), 0, transfer=TransferInfo(0, offset, 0, total, filename))


class Reply(NamedTuple):
    """One answer, as a client reads it."""

    status: int
    reason: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        """The ``error`` of a refusal, which has nothing beside its words."""
        return self.json["error"]


def replies(data: bytes, to_head: bool = False) -> list[Reply]:
    """What a client would make of these bytes."""
    found = []
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        assert len(headers) == len(lines), f"a header came twice: {lines}"
        assert "transfer-encoding" not in headers, "an answer in chunks"
        _, status, reason = first.split(" ", 2)
        bodiless = to_head or status in ("100", "204", "304")
        size = 0 if bodiless else int(headers["content-length"])
        assert len(data) >= size, "the answer is cut off"
        found.append(Reply(int(status), reason, headers, data[:size]))
        data = data[size:]
    return found


def head(method: str, target: str, body: bytes, headers: Mapping[str, str], host: str | None = "hub.local") -> bytes:
    """A request's head; its length is announced if it has a body."""
    lines = [f"{method} {target} HTTP/1.1"]
    if host is not None:
        lines.append(f"Host: {host}")
    if (body or method in ("PUT", "POST")) and "Content-Length" not in headers:
        lines.append(f"Content-Length: {len(body)}")
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Turns(Clock):
    """A clock whose calls of this turn are made in the next one, as the reactor's are."""

    def callLater(self, delay: float, *args: Any, **kwargs: Any) -> Any:  # noqa: N802 (Twisted)
        return super().callLater(delay or 0.001, *args, **kwargs)

    def turn(self, times: int = 1) -> None:
        """Let so many turns pass."""
        for _ in range(times):
            self.advance(0.001)


class Pending:
    """A request on a connection of its own."""

    def __init__(self, site: Any, peer: IAddress | None, to_head: bool) -> None:
        self.transport = StringTransport(peerAddress=peer)
        self.channel = site.buildProtocol(peer)
        self.channel.makeConnection(self.transport)
        self._to_head = to_head

    def send(self, data: bytes) -> None:
        self.channel.dataReceived(data)

    def leave(self) -> None:
        """The connection is lost: a transport's producer hears of it first."""
        producer = self.transport.producer
        if producer is not None:
            producer.stopProducing()
        self.channel.connectionLost(Failure(ConnectionLost()))

    @property
    def answered(self) -> bool:
        return bool(self.transport.value())

    @property
    def reply(self) -> Reply:
        (reply,) = replies(self.transport.value(), self._to_head)
        return reply


class Printing:
    """One printer's link: notes what is sent, and answers when the test says so."""

    def __init__(self, mainboard_id: str) -> None:
        self._id = mainboard_id
        self.sent: list[dict[str, Any]] = []
        self.ended: str | None = None
        self.session: Session

    @property
    def mainboard_id(self) -> str:
        return self._id

    def send(self, payload: bytes) -> None:
        self.sent.append(json.loads(payload)["Data"])

    def close(self, reason: str) -> None:
        self.ended = reason

    def answer(self, ack: int = 0) -> None:
        """Acknowledge everything that was sent and not yet answered, and what is sent because of that."""
        while self.sent:
            self.answer_first(ack)

    def answer_first(self, ack: int = 0) -> None:
        """Acknowledge the oldest of what was sent and not yet answered."""
        request = self.sent.pop(0)
        response = {"Data": {"Cmd": request["Cmd"], "RequestID": request["RequestID"], "Data": {"Ack": ack}}}
        self.session.received("response", json.dumps(response).encode())


class Rig:
    """Fleet, links, jobs, files and web over one clock and one directory."""

    def __init__(
        self,
        directory: Path,
        config: str = "",
        *,
        clock: Any = None,
        beforehand: Iterable[Beforehand] = (),
        limits: Limits | None = None,
    ) -> None:
        set_level("critical")
        self.clock: Any = Clock() if clock is None else clock
        self.start = self.clock.seconds()
        self.pool = Pool()
        """Where pictures are made: held back while it is ``slow``."""
        self.directory = directory
        self.fleet = Fleet(self.clock, self.wall, beforehand)
        self.links = Links(self.fleet, self.clock, self.wall)
        self.limits = limits or Limits(quota=0, max_size=2**31 - 1, reserve=0)
        self.store = FileStore(directory / "files", self.limits, at_once, self.wall)
        self.store.subscribe(FileNews(self.fleet).changed)
        self.downloads_port = 8081
        self.offers = Offers(lambda: self.downloads_port)
        self.journal = Journal("", directory, at_once, self.clock)
        self.jobs = Jobs(
            fleet=self.fleet,
            links=self.links,
            store=self.store,
            offers=self.offers,
            journal=self.journal,
            clock=self.clock,
            wall=self.wall,
            gate=Gate(parse(config).plate.gate),
            index_of=self.store.index_of,
        )
        self.adopted: list[str] = []
        self.deaf: set[str] = set()
        self.router = Router(self.clock.seconds, Storage())
        self.doors: dict[str, Door] = {}
        metrics = MetricsApi("1.2.3", self.fleet, lambda: asdict(self.router.counters), lambda: self.doors)
        self.keys = Keys(FakeKeyRecords(), self.wall)
        self.admin = self.key("admin")
        self.machine = Machine(frozenset({"hub", "hub.local", "hub.lan"}), (IPv4Network("10.77.0.0/24"),))
        self.web = WebApp(
            parse(config),
            "1.2.3",
            fleet=self.fleet,
            jobs=self.jobs,
            orders=Orders(self.fleet, self.jobs, self.store),
            store=self.store,
            metrics=metrics,
            keys=self.keys,
            look=lambda: self.machine,
            clock=self.clock,
            wall=self.wall,
            failing=lambda: self.journal.failing,
            adopt=lambda mainboard_id: self.adopt(mainboard_id),
            prints=self.journal,
            pictures=Pictures(self.store.indexes, self.pool),
        )
        self.site = self.web.site()

    def wall(self) -> float:
        return EPOCH + float(self.clock.seconds()) - self.start

    def adopt(self, mainboard_id: str) -> None:
        """Who invites printers: it takes note, unless the printer is deaf."""
        if mainboard_id in self.deaf:
            raise PrinterOffline("It does not answer.", "Switch it on.")
        self.adopted.append(mainboard_id)

    def key(self, *scopes: str, name: str = "", printers: Iterable[str] = ()) -> str:
        """A key with these scopes."""
        made: Any = self.keys.make(name or "-".join(scopes), scopes, printers)
        return str(made.result[1])

    # -- printers --------------------------------------------------------------------------------------------

    def announce(
        self,
        mainboard_id: str = SATURN,
        name: str = "Saturn 3 Ultra",
        address: str = "192.168.1.100",
        generation: Generation = Generation.V1,
        resolution: tuple[int, int] = (11520, 5120),
    ) -> Printer:
        announcement = Announcement(
            mainboard_id=mainboard_id,
            wire_id="f25273b12b094c5a8b9513a30ca60049",
            name=name,
            machine_name=f"ELEGOO {name}",
            protocol=f"{generation.value}.0.0",
            firmware="V1.4.2",
            resolution=resolution,
            mainboard_ip=address,
            sdcp_status=1,
            capabilities=("FILE_TRANSFER", "PRINT_CONTROL"),
            generation=generation,
        )
        return self.fleet.announced(announcement, address)

    def connect(self, mainboard_id: str = SATURN) -> Printing:
        """Open a link of an announced printer; it has answered the greeting."""
        link = Printing(mainboard_id)
        link.session = self.links.opened(link)
        link.answer()
        return link

    def report(self, status: Status, mainboard_id: str = SATURN) -> None:
        """The printer reports; published at once or within half a second."""
        self.fleet.hear(mainboard_id)
        self.fleet.change(mainboard_id, status=status)

    def publish(self, status: Status, mainboard_id: str = SATURN) -> None:
        """The printer reports, and the change is published before this returns."""
        self.report(status, mainboard_id)
        self.clock.advance(0.5)

    # -- requests --------------------------------------------------------------------------------------------

    def begin(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        host: str | None = "hub.local",
        address: str | IAddress | None = None,
        key: str | None = None,
    ) -> Pending:
        """Send a request; it may be answered later.

        It comes from ``address`` with ``key``, or without one; if neither is given, from this machine with the
        admin's key.
        """
        if key is None and address is None:
            key = self.admin
        if key is not None:
            headers = {"X-Api-Key": key, **(headers or {})}
        address = "127.0.0.1" if address is None else address
        peer = IPv4Address("TCP", address, 50_000) if isinstance(address, str) else address
        pending = Pending(self.site, peer, method == "HEAD")
        pending.send(head(method, target, body, headers or {}, host))
        if body:
            pending.send(body)
        return pending

    def ask(self, method: str, target: str, body: bytes = b"", headers: Any = None, **more: Any) -> Reply:
        """Send a request that is answered at once."""
        return self.begin(method, target, body, headers, **more).reply

    def get(self, target: str, headers: Any = None, **more: Any) -> Reply:
        return self.ask("GET", target, b"", headers, **more)

    def post(self, target: str, document: object, headers: Any = None, **more: Any) -> Reply:
        return self.ask("POST", target, json.dumps(document).encode(), headers, **more)

    def put(self, name: str = "plate.goo", content: bytes | None = None) -> Reply:
        return self.ask("PUT", f"/v1/files/{name}", goo() if content is None else content)


class WebCase(SynchronousTestCase):
    """A test with a rig; ``config`` is the text of its configuration."""

    config = ""

    def setUp(self) -> None:
        self.rig = self.make()

    def make(self, config: str | None = None, **more: Any) -> Rig:
        directory = Path(self.mktemp())
        directory.mkdir(parents=True)
        return Rig(directory, self.config if config is None else config, **more)

    def assert_refused(self, reply: Reply, status: int, code: str) -> Any:
        """The reply is this refusal, in the words and with the headers that every refusal has."""
        self.assertEqual((reply.status, reply.error["code"]), (status, code), reply.body)
        self.assertEqual(reply.headers["content-type"], "application/json")
        self.assertLessEqual(SECURE.items(), reply.headers.items())
        self.assertTrue(reply.error["message"])
        return reply.error


class IdleCase(WebCase):
    """One Saturn, connected and idle; loopback may do what a slicer may."""

    config = TRUSTED

    def setUp(self) -> None:
        super().setUp()
        self.rig.announce()
        self.link = self.rig.connect()
        self.rig.publish(Status((0,)))

    @property
    def printer(self) -> Printer:
        return self.rig.fleet.get(SATURN)

    def clear(self) -> None:
        """Somebody looked: the plate is clear."""
        self.rig.jobs.plates.confirm(self.printer, self.printer.plate.revision, "a test")

    def complete(self, name: str = "plate.goo") -> None:
        """A print has ended well."""
        self.rig.publish(Status((0,), 0, PrintInfo(16, 100, 100, 100_000, 100_000, 0, name)))


class Exchange(Protocol):
    """A client that sends one request and reads until the server closes; a slow one stops after the first bytes."""

    transport: Any

    def __init__(self, request: bytes, slow: bool) -> None:
        self.began: Deferred[None] = Deferred()
        self.done: Deferred[bytes] = Deferred()
        self._request = request
        self._slow = slow
        self._data = bytearray()

    def connectionMade(self) -> None:
        self.transport.write(self._request)

    def go_on(self) -> None:
        """Read the rest."""
        self.transport.resumeProducing()

    def leave(self) -> None:
        """Be gone, whatever has arrived."""
        if self.transport is not None:
            self.transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        if not self._data:
            if self._slow:
                self.transport.pauseProducing()
            self.began.callback(None)
        self._data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.done.callback(bytes(self._data))


class RealCase(TestCase):
    """A test in which bytes truly flow: a real port that the kernel chooses, on the loopback interface."""

    reactor: Any
    timeout = 300
    """Seconds that no machine needs, however slow: a test that hangs is to end."""

    def setUp(self) -> None:
        from twisted.internet import reactor  # noqa: TID251 (real sockets need the real one)

        self.reactor = reactor
        self.directory = Path(self.mktemp())
        self.directory.mkdir(parents=True)

    def listen(self, site: Any) -> int:
        port = self.reactor.listenTCP(0, site, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.addCleanup(self.alone)
        return int(port.getHost().port)

    async def alone(self) -> None:
        """Wait until the server has noticed that its clients are gone: a program's end is known before its sockets'."""
        deadline = self.reactor.seconds() + 60
        while open := {
            one for one in (*self.reactor.getReaders(), *self.reactor.getWriters()) if isinstance(one, Server)
        }:
            if self.reactor.seconds() > deadline:
                raise AssertionError(f"still open: {open}")
            await self.turn()

    def turn(self) -> Deferred[None]:
        """Let the reactor go round once."""
        return deferLater(self.reactor, 0)

    def connect(
        self,
        port: int,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        *,
        source: str = "127.0.0.1",
        slow: bool = True,
    ) -> Exchange:
        """Begin one request on a connection of its own."""
        request = head(method, target, b"", {"Connection": "close", **(headers or {})})
        exchange = Exchange(request, slow)
        endpoint = TCP4ClientEndpoint(self.reactor, "127.0.0.1", port, bindAddress=(source, 0))
        connectProtocol(endpoint, exchange).addErrback(exchange.done.errback)
        self.addCleanup(exchange.leave)
        return exchange

    async def exchange(self, port: int, method: str, target: str, headers: Any = None, **more: Any) -> Reply:
        """One whole request."""
        data = await self.connect(port, method, target, headers, slow=False, **more).done
        return replies(data, method == "HEAD")[0]


class DownloadCase(RealCase):
    """A stored file leaves, whichever route it is asked for by."""

    async def check_download(self, name: str, *paths: str) -> None:
        """From each path it comes whole or in part, as an attachment, with its identity, and not twice."""
        rig = Rig(self.directory, TRUSTED)
        rig.announce()
        port = self.listen(rig.site)
        content = goo(b"b")
        arriving = rig.store.begin(name, None)
        arriving.write(content)
        await arriving.finish()
        for path in paths:
            whole = await self.exchange(port, "GET", path)
            self.assertEqual((whole.status, whole.body, whole.headers["etag"]), (200, content, f'"{md5(content)}"'))
            called = f"attachment; filename*=UTF-8''{quote(base_name(name))}"
            self.assertEqual(whole.headers["content-disposition"], called)
            part = await self.exchange(port, "GET", path, {"Range": "bytes=4-7"})
            self.assertEqual((part.status, part.body), (206, content[4:8]))
            self.assertEqual((await self.exchange(port, "GET", path, {"Range": "bytes=99999999-"})).status, 416)
            again = await self.exchange(port, "GET", path, {"If-None-Match": whole.headers["etag"]})
            self.assertEqual((again.status, again.body), (304, b""))
            head = await self.exchange(port, "HEAD", path)
            self.assertEqual(head.headers["content-length"], str(len(content)))
