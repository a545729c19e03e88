"""What the daemon's modules are given in tests instead of a network, a disk and a printer.

One decision: each fake satisfies the seam of the code under test (``Link``, ``JobRecords``, ``IReactorUDP``) and
remembers; nothing is patched.
"""

from __future__ import annotations

# ruff: noqa: N802, N803  # a fake socket has the names that Twisted gives to sockets
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, execute, fail, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IUDPTransport
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides, implementer

from sdcpd.codec.sdcp import Announcement, Command, parse_announcement
from sdcpd.codec.sliced import Layer, SlicedFile, print_time
from sdcpd.discovery import Reactor
from sdcpd.errors import FileInUse, StoreFull
from sdcpd.files import FileStore, Limits, StoredFile, wire_name
from sdcpd.fleet import Fleet, Reachability
from sdcpd.index import FileIndex
from sdcpd.jobs import Jobs
from sdcpd.journal import PrintPage, PrintQuery
from sdcpd.links import Links, Session
from sdcpd.logs import set_level
from sdcpd.offers import Offer, Offers
from sdcpd.plate import Gate
from sdcpd.progress import Job
from sdcpd.records import Key, Plate, PrintRecord, PrintResult, Wear
from sdcpd.wishes import Wish
from tests.sliced import goo_file

ID = "0001D2AB12CD34EF"
OTHER_ID = "0001D2AB12CD0002"
WIRE_ID = "f25273b12b094c5a8b9513a30ca60049"
HOME = "192.0.2.31"
WALL = 1_700_000_000.0
GOO = goo_file(b"layers" * 100)
T = TypeVar("T")
J = TypeVar("J", bound=Jobs)

JsonObject = dict[str, Any]


def status_json(
    current: int = 0,
    state: int = 0,
    *,
    filename: str = "",
    layer: int = 0,
    layers: int = 0,
    ticks: int = 0,
    error: int = 0,
    transfer: tuple[int, int, int, str] = (0, 0, 0, ""),
) -> JsonObject:
    """A status as a V1 board writes it; ``transfer`` is status, offset, total, name."""
    return {
        "CurrentStatus": current,
        "PreviousStatus": 0,
        "PrintInfo": {
            "Status": state,
            "CurrentLayer": layer,
            "TotalLayer": layers,
            "CurrentTicks": ticks,
            "TotalTicks": 1000,
            "ErrorNumber": error,
            "Filename": filename,
        },
        "FileTransferInfo": {
            "Status": transfer[0],
            "DownloadOffset": transfer[1],
            "CheckOffset": 0,
            "FileTotalSize": transfer[2],
            "Filename": transfer[3],
        },
    }


def discovery_reply(mainboard_id: str = ID, status: JsonObject | None = None, **attributes: object) -> bytes:
    """What a V1 board answers to a probe."""
    found = {
        "Name": "Bench left",
        "MachineName": "ELEGOO Saturn 3 Ultra",
        "ProtocolVersion": "V1.0.0",
        "FirmwareVersion": "V1.4.2",
        "Resolution": "11520x5120",
        "MainboardIP": HOME,
        "MainboardID": mainboard_id,
        "SDCPStatus": 0,
        "LocalSDCPAddress": "",
        "SDCPAddress": "",
        "Capabilities": ["FILE_TRANSFER", "PRINT_CONTROL"],
    }
    data = {"Attributes": found | attributes, "Status": status or status_json()}
    return json.dumps({"Id": WIRE_ID, "Data": data}).encode()


def announcement(mainboard_id: str = ID, **attributes: object) -> Announcement:
    return parse_announcement(discovery_reply(mainboard_id, None, **attributes))


def status_payload(status: JsonObject, **envelope: object) -> bytes:
    data = {"Status": status, "MainboardID": ID, "TimeStamp": 8629636}
    return json.dumps({"Id": WIRE_ID, "Data": data} | envelope).encode()


def response_payload(request_id: str, command: int, ack: object = 0, **envelope: object) -> bytes:
    data = {"Cmd": command, "Data": {"Ack": ack}, "RequestID": request_id, "MainboardID": ID, "TimeStamp": 8567213}
    return json.dumps({"Id": WIRE_ID, "Data": data} | envelope).encode()


def logged(test: SynchronousTestCase, level: str = "info") -> list[str]:
    """What a person would read in the log from now on, for the rest of the test."""
    lines: list[str] = []

    def note(event: LogEvent) -> None:
        lines.append(formatEvent(event))

    observer: ILogObserver = note  # type: ignore[assignment]  # mypy-zope: a callable does provide it
    globalLogPublisher.addObserver(observer)
    test.addCleanup(globalLogPublisher.removeObserver, observer)
    test.addCleanup(set_level, "info")
    set_level(level)
    return lines


class FakeLink:
    """A ``Link`` on which a scripted printer answers at once, or not at all.

    ``acks`` gives the Ack for a command, or None for silence; ``diary`` may be shared with a journal.
    """

    def __init__(self, links: Links, mainboard_id: str = ID, diary: list[str] | None = None) -> None:
        self._links = links
        self._mainboard_id = mainboard_id
        self.diary: list[str] = [] if diary is None else diary
        self.sent: list[JsonObject] = []
        self.closed: list[str] = []
        self.acks: dict[Command, object] = {}
        self.session: Session | None = None

    @property
    def mainboard_id(self) -> str:
        """Whose connection it is."""
        return self._mainboard_id

    def open(self) -> Session:
        """Come up, as after SUBSCRIBE."""
        self.session = self._links.opened(self)
        return self.session

    def send(self, payload: bytes) -> None:
        """One request has left."""
        request: JsonObject = json.loads(payload)
        self.sent.append(request)
        command = Command(request["Data"]["Cmd"])
        self.diary.append(command.name)
        session = self._present()
        ack = self.acks.get(command, 0)
        if ack is not None and session is not None:
            session.received("response", response_payload(request["Data"]["RequestID"], command, ack))

    def _present(self) -> Session | None:
        if self.session is None and self._mainboard_id in self._links:
            return self._links.session(self._mainboard_id)  # the greeting, while ``opened`` has not returned
        return self.session

    def close(self, reason: str) -> None:
        """The daemon ends the connection."""
        self.closed.append(reason)
        self.drop(reason)

    def drop(self, reason: str = "the printer closed the connection") -> None:
        """The connection ends."""
        if self.session is not None:
            session, self.session = self.session, None
            self._links.closed(session, reason)

    def says(self, status: JsonObject) -> None:
        """The printer pushes a status."""
        assert self.session is not None
        self.session.received("status", status_payload(status))

    def answers(self, index: int, ack: object = 0) -> None:
        """The printer answers the request of this place."""
        assert self.session is not None
        request = self.sent[index]["Data"]
        self.session.received("response", response_payload(request["RequestID"], request["Cmd"], ack))

    def commands(self) -> list[Command]:
        """What was sent, the greeting left out."""
        greeting = (Command.STATUS, Command.ATTRIBUTES, Command.PERIOD)
        found = [Command(request["Data"]["Cmd"]) for request in self.sent]
        return [command for command in found if command not in greeting]

    def requests(self, command: Command) -> list[Mapping[str, Any]]:
        """The data of each request of this kind."""
        return [r["Data"]["Data"] for r in self.sent if r["Data"]["Cmd"] == command]


class FakeJournal:
    """``JobRecords`` in memory; ``diary`` may be shared with a link.

    ``full`` makes it fail, ``slow`` keeps every write on its way to the disk until ``land``.
    """

    def __init__(self, jobs: list[Job] | None = None, diary: list[str] | None = None) -> None:
        self.kept = {job.id: job for job in jobs or []}
        self.laid: dict[str, Plate] = {}
        self.worn: dict[str, Wear] = {}
        self.printed: dict[str, PrintRecord] = {}
        self.diary: list[str] = [] if diary is None else diary
        self.full = False
        self.slow = False
        self.commits: list[tuple[object, ...]] = []
        self.failing: str | None = None
        self._flying: list[Deferred[None]] = []

    def jobs(self) -> list[Job]:
        """All remembered jobs, oldest first."""
        return list(self.kept.values())

    def plates(self) -> dict[str, Plate]:
        """The plates by MainboardID."""
        return dict(self.laid)

    def wears(self) -> dict[str, Wear]:
        """The wear by MainboardID."""
        return dict(self.worn)

    def open_prints(self) -> list[PrintRecord]:
        """The prints that have not ended."""
        return [record for record in self.printed.values() if record.result is PrintResult.PRINTING]

    def prints(self, query: PrintQuery) -> Deferred[PrintPage]:
        """The finished prints of a printer, newest first."""
        found = [p for p in self.printed.values() if p.printer == query.printer and p.result is query.result]
        return succeed(PrintPage(tuple(found[::-1][: query.limit]), None))

    def write(self, *records: Job | Plate | PrintRecord | Wear) -> Deferred[None]:
        """Remember these; what fails is remembered, too, but is not safe."""
        for record in records:
            match record:
                case Job():
                    self.kept[record.id] = record
                case Plate():
                    self.laid[record.printer] = record
                case PrintRecord():
                    self.printed[record.id] = record
                case Wear():
                    self.worn[record.printer] = record
        if self.full:
            self.failing = "the journal has no room"
            return fail(StoreFull("the journal has no room", "Free some space on its disk."))
        self.failing = None
        self.commits.append(records)
        self.diary.extend(f"journal {record.state.value}" for record in records if isinstance(record, Job))
        if self.slow:
            self._flying.append(Deferred())
            return self._flying[-1]
        return succeed(None)

    def land(self) -> None:
        """Everything that is on its way has reached the disk."""
        flying, self._flying = self._flying, []
        for deferred in flying:
            deferred.callback(None)


class FakeKeyRecords:
    """Records of keys in memory; a test may hold a write back or let it fail."""

    def __init__(self) -> None:
        self.kept: dict[str, Key] = {}
        self._waiting: list[Deferred[None]] | None = None
        self._error: Exception | None = None

    def keys(self) -> list[Key]:
        """All of them, oldest first."""
        return list(self.kept.values())

    def write(self, *records: Key) -> Deferred[None]:
        """At once, unless the test says otherwise."""
        if self._error is not None:
            error, self._error = self._error, None
            return fail(error)
        self.kept.update((key.id, key) for key in records)
        if self._waiting is None:
            return succeed(None)
        self._waiting.append(Deferred())
        return self._waiting[-1]

    def wait(self) -> None:
        """From now on the disk takes its time."""
        self._waiting = []

    def go_on(self) -> None:
        """What waits is on the disk."""
        waiting, self._waiting = self._waiting or [], None
        for waiter in waiting:
            waiter.callback(None)

    def fail_next(self, error: Exception) -> None:
        """The next write fails."""
        self._error = error


@implementer(IListeningPort, IUDPTransport)
class FakeUDPPort:
    """One UDP socket."""

    def __init__(self, reactor: FakeReactor, number: int, protocol: DatagramProtocol, interface: str) -> None:
        self._reactor = reactor
        self.number = number
        self.protocol = protocol
        self.interface = interface
        self.sent: list[tuple[bytes, tuple[str, int]]] = []
        self.broadcast = False
        self.open = False

    def startListening(self) -> None:
        """Bind."""
        self.open = True
        self.protocol.makeConnection(self)

    def stopListening(self) -> Deferred[None]:
        """Close, now."""
        self.open = False
        self.protocol.doStop()
        return succeed(None)

    def getHost(self) -> IPv4Address:
        """Where it is bound."""
        return IPv4Address("UDP", self.interface or "0.0.0.0", self.number)

    def write(self, datagram: bytes, addr: tuple[str, int] | None = None) -> None:
        """Send one datagram, if the network is up."""
        assert self.open
        assert addr is not None
        if self._reactor.unreachable:
            raise OSError(101, "Network is unreachable")
        self.sent.append((datagram, addr))

    def setBroadcastAllowed(self, enabled: bool) -> None:
        """Allow broadcasts."""
        self.broadcast = enabled

    def getBroadcastAllowed(self) -> bool:
        """Whether broadcasts may be sent."""
        return self.broadcast

    def connect(self, host: str, port: int) -> None:
        """Not used here."""
        raise NotImplementedError

    def take(self) -> list[tuple[bytes, tuple[str, int]]]:
        """What was sent since the last look."""
        sent, self.sent = self.sent, []
        return sent


@implementer(Reactor)
class FakeReactor(Clock):
    """A clock with UDP sockets. ``gone`` are addresses that cannot be bound, ``unreachable`` a network that is down."""

    def __init__(self) -> None:
        super().__init__()
        self.ports: list[FakeUDPPort] = []
        self.gone: set[str] = set()
        self.unreachable = False

    def listenUDP(
        self, port: int, protocol: DatagramProtocol, interface: str = "", maxPacketSize: int = 8192
    ) -> FakeUDPPort:
        """Open one socket."""
        if interface in self.gone:
            raise CannotListenError(interface, port, OSError(99, "Cannot assign requested address"))
        found = FakeUDPPort(self, port or 50_000 + len(self.ports), protocol, interface)
        self.ports.append(found)
        found.startListening()
        return found

    def at(self, interface: str) -> FakeUDPPort:
        """The open socket of this interface."""
        return next(port for port in self.ports if port.open and port.interface == interface)


class FakePort:
    """One listening socket of ``FakeStreams``."""

    def __init__(self, reactor: FakeStreams, port: Any) -> None:
        self._reactor = reactor
        self._port = port
        directlyProvides(self, IListeningPort)

    def getHost(self) -> Any:
        """Where it is bound."""
        return self._port.getHost()

    def startListening(self) -> None:
        """Nothing is left to do."""

    def stopListening(self) -> Deferred[None]:
        """Close when the test says so, as a real port does in a later turn."""
        closed: Deferred[None] = Deferred()
        self._reactor.callLater(0, closed.callback, None)
        return closed.addCallback(lambda _: self._reactor.closed(self))


class FakeStreams(MemoryReactorClock):
    """A reactor whose stream ports exist in memory; ``busy`` are ports that another program holds."""

    def __init__(self) -> None:
        super().__init__()
        self.busy: set[int] = set()
        self.open: dict[int, tuple[str, Any]] = {}
        self._ports: dict[FakePort, int] = {}

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        """Bind a port, or a free one for 0."""
        if port in self.busy or port in self.open:
            raise CannotListenError(interface, port, OSError(98, "Address already in use"))
        number = port or max([*self.open, 49_999]) + 1
        found = FakePort(self, super().listenTCP(number, factory, backlog, interface))
        self._ports[found] = number
        self.open[number] = (interface, factory)
        factory.doStart()
        return found

    def closed(self, port: FakePort) -> None:
        """A port is free again."""
        _, factory = self.open.pop(self._ports.pop(port))
        factory.doStop()


def wall() -> float:
    return WALL


def events(fleet: Fleet) -> list[str]:
    """The types of all happenings."""
    return [event.type for event in fleet.events]


def pump(clock: Clock, seconds: float, *each_second: Callable[[], None]) -> None:
    """Let time pass, with what the daemon does every second."""
    for _ in range(round(seconds)):
        clock.advance(1)
        for function in each_second:
            function()


def at_once(function: Callable[..., T], *args: object) -> Deferred[T]:
    """An ``Offload`` without a pool."""
    return execute(function, *args)


class Pool:
    """An ``Offload`` that works at once, or while it is ``slow`` when it is told to."""

    def __init__(self, *, slow: bool = False) -> None:
        self.slow = slow
        self.begun: list[Callable[[], object]] = []

    def __call__(self, function: Callable[..., T], *args: object) -> Deferred[T]:
        if not self.slow:
            return execute(function, *args)
        done: Deferred[T] = Deferred()
        self.begun.append(lambda: execute(function, *args).chainDeferred(done))
        return done

    def work(self) -> None:
        """Do what was begun first."""
        self.begun.pop(0)()

    def work_off(self) -> None:
        """Do what was begun, and what comes of it."""
        while self.begun:
            self.work()


class Workshop:
    """The daemon's core around one printer that is connected and idle; all of it is real but the edges."""

    def __init__(
        self,
        directory: Path,
        journalled: list[Job] | None = None,
        *,
        file: bool = True,
        full: bool = False,
        gate: Gate = Gate.AFTER_PRINT,
        journal: FakeJournal | None = None,
        sliced: Mapping[str, SlicedFile] | None = None,
    ) -> None:
        self.directory = directory
        self.diary: list[str] = []
        self.clock = Clock()
        self.fleet = Fleet(self.clock, wall, [])
        self.links = Links(self.fleet, self.clock, wall)
        self.store = FileStore(directory, Limits(quota=0, max_size=2**31 - 1, reserve=0), at_once, wall)
        self.offers = Offers(self._port)
        self.broken = False
        self.sliced = dict(sliced or {})
        self.layers: list[Layer] = []
        self.journal = journal or FakeJournal(journalled, self.diary)
        self.journal.full = full
        if file:
            self.upload()
        self.gate = gate
        self.jobs = self.hire(Jobs)
        self.link = FakeLink(self.links, ID, self.diary)

    def hire(self, kind: type[J]) -> J:
        """Jobs of this kind."""
        return kind(
            fleet=self.fleet,
            links=self.links,
            store=self.store,
            offers=self.offers,
            journal=self.journal,
            clock=self.clock,
            wall=wall,
            gate=self.gate,
            index_of=lambda md5: succeed(self._index(md5)),
        )

    def _index(self, md5: str) -> FileIndex | None:
        sliced = self.sliced.get(md5)
        if sliced is None:
            return None
        return FileIndex(1, 0, sliced, self.layers, print_time_s=print_time(sliced, self.layers))

    def _port(self) -> int:
        if self.broken:
            raise RuntimeError("a bug of ours")
        return 8081

    def upload(self) -> None:
        """Somebody uploads the file."""
        upload = self.store.begin("benchy.goo", None)
        upload.write(GOO)
        upload.finish()

    def announce(self, status: JsonObject | None = None) -> None:
        """The printer answers a probe."""
        found = parse_announcement(discovery_reply(ID, status))
        self.fleet.announced(found, HOME)
        self.fleet.change(ID, status=found.status, reachability=Reachability.STALE)

    def connect(self, status: JsonObject | None = None) -> None:
        """The printer is found, connects and reports."""
        self.announce(status)
        self.reconnect(status)

    def reconnect(self, status: JsonObject | None = None) -> None:
        """The printer connects again."""
        self.link.open()
        self.link.says(status or status_json())
        self.diary.clear()

    @property
    def file(self) -> StoredFile:
        return self.store.get("benchy.goo")

    @property
    def name(self) -> str:
        """What the printer calls the file."""
        return wire_name(self.file)

    @property
    def job(self) -> Job:
        """The printer's job, under way or over."""
        job = self.fleet.get(ID).job
        assert job is not None
        return job

    @property
    def happenings(self) -> list[str]:
        """What was told of jobs and prints."""
        return [type for type in events(self.fleet) if type not in ("online", "plate_clear", "needs_plate")]

    def print(self, plate_clear: bool | None = None) -> Job:
        return self.jobs.print(ID, self.file, Wish("somebody", plate_clear=plate_clear))

    def pump(self, seconds: float) -> None:
        """Let time pass as the daemon does; a connected printer is not silent."""
        pump(self.clock, seconds, self.jobs.sweep)

    def offer(self) -> Offer:
        """The only offer; found by the URL that the printer was told."""
        url = self.link.requests(Command.FETCH)[-1]["URL"]
        offer = self.offers.find(url.rpartition("/")[2])
        assert offer is not None
        return offer

    def fetch(self) -> None:
        """The printer downloads the file."""
        size = self.file.size
        watcher = self.offer().watcher
        watcher.requested()
        self.link.says(status_json(2, transfer=(0, size // 2, size, self.name)))
        watcher.served(size)

    def told_done(self) -> JsonObject:
        """The status after a download that went well."""
        size = self.file.size
        return status_json(transfer=(2, size, size, self.name))

    def deliver(self) -> None:
        """The printer downloads the file and says that it has it."""
        self.fetch()
        self.link.says(self.told_done())

    def at_work(self, state: int = 3, *, current: int = 1, layer: int = 1) -> JsonObject:
        """A status of a print of the file."""
        size = self.file.size
        done = (2, size, size, self.name)
        return status_json(current, state, filename=self.name, layer=layer, layers=9, ticks=layer, transfer=done)

    def held(self) -> bool:
        """Whether the store keeps the file for a job: then it cannot be deleted."""
        outcome: list[object] = []
        self.store.delete("benchy.goo").addBoth(outcome.append)
        refused = bool(outcome) and isinstance(outcome[0], Failure) and outcome[0].check(FileInUse) is not None
        if not refused:
            self.upload()
        return refused
