"""A workbench for faults: the daemon's own parts and simulated printers in one process, on real loopback sockets.

One decision: the daemon is handed a clock that runs ``HASTE`` times as fast as the wall's, so its real waits (10 s for
an acknowledgement, 30 s of silence) are waited out in full, by its own unchanged numbers, in a fraction of the time;
the printers have the same clock without the haste, so that whose wait ends first is not for the machine to say.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor as installed  # noqa: TID251 - real sockets need the real one
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import LoopingCall, deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from sdcpd import config
from sdcpd.broker.limits import Storage
from sdcpd.broker.printers import PRINTERS_LIMITS, PrintersPolicy
from sdcpd.broker.router import Router
from sdcpd.broker.server import Server
from sdcpd.discovery import Discovery
from sdcpd.simulator.farm import Farm
from sdcpd.simulator.printer import Printer as SimulatedPrinter
from sdcpd.simulator.settings import PrinterSpec, Settings, plan
from sdcpd.simulator.slicing import write_goo
from sdcpd.web.downloads import DownloadsSite
from tests.course import Course, Hasty
from tests.end_to_end.processes import free_udp_port
from tests.quiet import quiet
from tests.web.rig import Reply, Rig

__all__ = ["HASTE", "HUB", "FaultCase", "Raw"]

reactor: Any = installed
HASTE = 20.0
"""Seconds of the daemon in a second of the printers' reactor."""
PATIENCE = 60.0
"""Seconds of the printers' reactor after which a wait fails: far more than anything needs."""
HUB = "127.0.0.1"
LAYERS = 60


class Raw(Protocol):
    """A TCP connection of somebody's own; ``ended`` fires when the other side has closed it."""

    def __init__(self) -> None:
        self.received = b""
        self.over = False
        self.ended: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.over = True
        self.ended.callback(None)

    def write(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)


class FaultCase(TestCase):
    """Printers of the farm, found by the daemon's parts by unicast probes, each with its own faults."""

    profiles: tuple[str, ...] = ("S3U-1.5.4",)
    haste = HASTE
    timeout = 1200

    def setUp(self) -> Deferred[None]:  # type: ignore[override]  # trial waits for it
        network = f"127.{random.randint(64, 250)}.{random.randint(0, 250)}"
        self.first = f"{network}.2"
        self.udp_port = free_udp_port(self.first)
        self.directory = Path(self.mktemp())
        self.directory.mkdir(parents=True)
        self.course = Course()
        self.clock = Hasty(self.course, self.haste)
        self.farm = Farm(cast(Any, self.course), self.specs(), self.settings())
        self.farm.privilegedStartService()
        self.farm.startService()
        self.raws: list[Raw] = []
        self.prepare()
        self.rig = Rig(
            self.directory, 'access.trusted = {"127.0.0.0/8" = ["control", "upload", "plate"]}', clock=self.clock
        )
        self.rig.adopt = lambda mainboard_id: self.discovery.adopt(mainboard_id)  # type: ignore[method-assign]
        self._open()
        return Deferred.fromCoroutine(self.arrive())

    def _open(self) -> None:
        rig, clock = self.rig, cast(Any, self.clock)
        router = Router(clock.seconds, Storage())
        self.server = Server(clock, router, PrintersPolicy(router, rig.fleet, rig.links, clock), PRINTERS_LIMITS)
        self.broker = reactor.listenTCP(0, self.server, interface=HUB)
        self.downloads = reactor.listenTCP(0, DownloadsSite(rig.offers, clock), interface=HUB)
        rig.downloads_port = self.downloads.getHost().port
        targets = tuple(f"{address}:{self.udp_port}" for address in self.addresses())
        self.broker_port = int(self.broker.getHost().port)
        port = partial(int, self.broker_port)
        found: Callable[[Any], list[Any]] = lambda wanted: []  # noqa: E731
        settings = config.Discovery(targets=targets)
        self.discovery = Discovery(clock, settings, (), rig.fleet, rig.links, port, found)
        self.sweeping = LoopingCall(self._sweep)
        self.sweeping.clock = clock
        self.sweeping.start(1.0, now=False)
        self.discovery.startService()

    def _sweep(self) -> None:
        self.rig.links.sweep()
        self.rig.jobs.sweep()

    def tearDown(self) -> Deferred[Any]:  # type: ignore[override]  # trial waits for it
        self.sweeping.stop()
        self.rig.jobs.stop_all()
        self.rig.web.stop()
        self.rig.fleet.stop()
        stopping: list[Deferred[Any]] = [maybeDeferred(self.discovery.stopService)]
        self.rig.links.close_all("the test is over")
        for raw in self.raws:
            if raw.transport is not None:
                cast(Any, raw.transport).abortConnection()
        stopping += [maybeDeferred(self.broker.stopListening), maybeDeferred(self.downloads.stopListening)]
        stopping.append(self.farm.stopService())
        stopping += [raw.ended for raw in self.raws]
        return gatherResults(stopping).addCallback(lambda _: quiet()).addBoth(self._over)

    def _over(self, result: Any) -> Any:
        self.course.stop()
        return result

    # -- what a test may change ------------------------------------------------------------------------------

    def specs(self) -> tuple[PrinterSpec, ...]:
        """Who is in the farm."""
        return plan(self.profiles, self.first)

    def addresses(self) -> list[str]:
        """Where the daemon looks for printers."""
        return [printer.spec.address for printer in self.farm.printers]

    def settings(self) -> Settings:
        """A layer takes 10 ms, the download of a file about 20 ms."""
        return Settings(port=self.udp_port, broadcast=False, scale=200, strict=True, layer_time=2.0, bottom_layers=0)

    def prepare(self) -> None:
        """Faults that are there before the daemon is."""

    async def arrive(self) -> None:
        """Wait until every printer is online, and knows it."""
        await self.until(lambda: len(self.rig.links) == len(self.farm.printers))
        await self.until(lambda: all(printer.counts.kinds["up"] for printer in self.farm.printers))

    # -- the daemon's side -----------------------------------------------------------------------------------

    @property
    def printer(self) -> SimulatedPrinter:
        """The first simulated printer."""
        return self.farm.printers[0]

    def ask(self, method: str, target: str, body: object = None) -> Reply:
        """One request of a client that closes its connection afterwards."""
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        pending = self.rig.begin(method, target, raw)
        reply = pending.reply
        pending.leave()
        return reply

    def shown(self, number: int = 0) -> dict[str, Any]:
        """What the API says of a printer."""
        return cast(dict[str, Any], self.ask("GET", f"/v1/printers/{self.farm.printers[number].id}").json)

    def job(self) -> dict[str, Any]:
        """What the API says of the first printer's job."""
        return self.shown()["job"] or {}

    def happenings(self) -> list[str]:
        """The types of all events of printers so far."""
        return [event.type for event in self.rig.fleet.events if event.printer]

    async def until(self, reached: Callable[[], object]) -> None:
        """Wait until something is so; asked at each turn of a hundredth of a second."""
        deadline = self.course.seconds() + PATIENCE
        while not reached():
            if self.course.seconds() > deadline:
                said = [(p.to_json()["status"], p.log[-6:]) for p in self.farm.printers]
                shown = self.ask("GET", "/v1/printers").json
                raise AssertionError(f"waited in vain: {shown}\n{self.happenings()}\n{said}")
            await deferLater(self.course, 0.01)

    def wait(self, seconds: float) -> Deferred[None]:
        """Let so many of the daemon's seconds pass."""
        return deferLater(cast(Any, self.clock), seconds)

    async def probed(self, number: int = 0) -> None:
        """Ask everybody, and wait until this printer has heard it and its answer has come, if there is one."""
        before = self.farm.printers[number].counts.kinds["probe"]
        self.discovery.probe()
        await self.until(lambda: self.farm.printers[number].counts.kinds["probe"] > before)
        await self.wait(1)  # an answer takes 50 ms of the printer's, and time stands still while it is not read

    def put(self, name: str = "vase.goo", layers: int = LAYERS) -> dict[str, Any]:
        """Upload a sliced file of a size that the printer can print."""
        path = self.directory / name
        write_goo(path, layers=layers)
        reply = self.ask("PUT", f"/v1/files/{name}", path.read_bytes())
        self.assertEqual(reply.status, 201, reply.body)
        return cast(dict[str, Any], reply.json["file"])

    def print(self, name: str = "vase.goo", status: int = 202) -> dict[str, Any]:
        """Ask for a print with a clear plate; the answer."""
        reply = self.ask("POST", f"/v1/printers/{self.printer.id}/print", {"file": name, "plate_clear": True})
        self.assertEqual(reply.status, status, reply.body)
        return cast(dict[str, Any], reply.json)

    async def ended(self, state: str) -> dict[str, Any]:
        """Wait for the end of the job, which must be this one; the job."""
        await self.until(lambda: self.job().get("ended"))
        self.assertEqual(self.job()["state"], state, self.job())
        return self.job()

    async def printing(self) -> dict[str, Any]:
        """Upload, print, and wait until it prints; the file."""
        file = self.put()
        self.print()
        await self.until(lambda: self.shown()["phase"] == "PRINTING")
        return file

    @property
    def starts(self) -> int:
        """How often the printer was told to start."""
        return self.printer.counts.commands[128]

    def assert_stored(self, file: dict[str, Any]) -> None:
        """The printer has the whole file."""
        stored = self.printer.store.get(file["wire_name"])
        assert stored is not None
        self.assertEqual((stored.size, stored.md5), (file["size"], file["md5"]))

    async def connect(self, source: str, port: int) -> Raw:
        """A TCP connection from an address."""
        endpoint = TCP4ClientEndpoint(reactor, HUB, port, bindAddress=(source, 0))
        raw = cast(Raw, await connectProtocol(endpoint, Raw()))
        self.raws.append(raw)
        return raw
