"""The twistd plugin's other half: the one place where everything is put together.

One decision: this module alone imports a reactor and knows every other module; each of them knows only what it is
handed here (docs/design.md, "Five sentences").
"""

from __future__ import annotations

import os
import resource
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from msgspec.structs import asdict
from twisted.application.internet import TimerService
from twisted.application.service import IService, MultiService
from twisted.internet.protocol import Factory
from twisted.internet.threads import deferToThreadPool
from twisted.logger import globalLogPublisher

from sdcpd import logs
from sdcpd.appliance import Appliance, Part
from sdcpd.broker.clients import CLIENTS_LIMITS, ClientsPolicy
from sdcpd.broker.commands import Commands
from sdcpd.broker.limits import Storage
from sdcpd.broker.printers import PRINTERS_LIMITS, PrintersPolicy
from sdcpd.broker.router import Router
from sdcpd.broker.server import Server
from sdcpd.broker.states import States
from sdcpd.config import Config
from sdcpd.discovery import Discovery
from sdcpd.documents import Documents
from sdcpd.errors import ConfigError, NotNow
from sdcpd.filenews import FileNews
from sdcpd.files import FileStore, Limits
from sdcpd.fleet import Beforehand, Fleet
from sdcpd.interfaces import interfaces_of
from sdcpd.jobs import Jobs
from sdcpd.journal import Journal
from sdcpd.keys import AdminKey, Keys
from sdcpd.links import Links
from sdcpd.listener import Listener, Sparing
from sdcpd.machine import look
from sdcpd.mdns import Announcer, Place, place_of
from sdcpd.notify import Supervision
from sdcpd.offers import Offers
from sdcpd.options import Options
from sdcpd.orders import Orders
from sdcpd.pictures import Pictures
from sdcpd.plate import Gate
from sdcpd.process import Hangup, Interpreter, JournalKeeper, JournalThread, guarded, next_descriptor, raise_limit
from sdcpd.records import Key
from sdcpd.roster import Roster
from sdcpd.statelock import StateLock
from sdcpd.web.announced import announced
from sdcpd.web.app import WebApp
from sdcpd.web.doors import Door
from sdcpd.web.downloads import DownloadsSite
from sdcpd.web.metrics import MetricsApi
from sdcpd.zeroconfig import Zeroconfig

__all__ = ["makeService"]

EXPIRY_INTERVAL = 3600.0
"""Seconds between two looks for files that are older than ``[files] keep``."""
CLIENTS_SHARE = 0.75
"""The part of all descriptors that clients may use; the rest is for printers and files."""

_log = logs.logger("sdcpd.tap")


def _beforehand(config: Config) -> list[Beforehand]:
    printers = config.printers.items()
    return [Beforehand(slug, known.mainboard_id, known.name or None, known.port) for slug, known in printers]


def _limits(config: Config) -> Limits:
    files = config.files
    return Limits(quota=files.quota_bytes, max_size=files.max_size_bytes, reserve=files.reserve_bytes)


def makeService(options: Options) -> IService:
    """Build the daemon from its options; a bad configuration ends with exit status 1 and one line."""
    from twisted.internet import reactor  # noqa: TID251 (the one place)

    try:
        config = options.load()
        return _assemble(options, config, reactor)
    except ConfigError as error:
        raise SystemExit(f"sdcpd: {error.message}. {error.hint}".rstrip(". ") + ".") from error
    except OSError as error:
        raise SystemExit(f"sdcpd: [sdcpd] state_directory: cannot be used: {error}.") from error


def _door(server: Server) -> Door:
    violations = {kind.value: count for kind, count in server.violations.items()}
    return Door(server.accepted, server.connections, server.queued_bytes, violations)


def _state_directory(config: Config) -> Path:
    directory = Path(config.sdcpd.state_directory).absolute()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"[sdcpd] state_directory: cannot use {directory}: {error.strerror}",
            "Create it for the user that runs the daemon, or set another one.",
        ) from error
    return directory


def _assemble(options: Options, config: Config, reactor: Any) -> Appliance:
    # Time-outs follow the monotonic clock: a machine without a battery clock jumps by years after its start.
    reactor.seconds = time.monotonic
    wall = time.time  # noqa: TID251 (the one place; it is handed out as ``wall``)
    logs.set_level(config.sdcpd.log_level)
    globalLogPublisher.addObserver(logs.RECENT)

    limit = raise_limit()
    state = _state_directory(config)
    lock = StateLock(state)  # before anything else looks into it
    offload = partial(deferToThreadPool, reactor, reactor.getThreadPool())
    thread = JournalThread(0, 1, "journal")
    journal = Journal(config.journal.url, state, partial(deferToThreadPool, reactor, thread), reactor)
    roster = Roster(journal)
    fleet = Fleet(reactor, wall, _beforehand(config), journal.printers())
    fleet.subscribe(roster.changed)
    links = Links(fleet, reactor, wall)
    store = FileStore(state / "files", _limits(config), offload, wall)
    store.indexes.configure(config.files.ctb_key())
    store.subscribe(FileNews(fleet).changed)
    offers = Offers(lambda: _port(appliance, "downloads"))
    jobs = Jobs(
        fleet=fleet,
        links=links,
        store=store,
        offers=offers,
        journal=journal,
        clock=reactor,
        wall=wall,
        gate=Gate(config.plate.gate),
        index_of=store.index_of,
    )

    def adopt(mainboard_id: str) -> None:
        discovery = appliance.namedServices.get("discovery")
        if not isinstance(discovery, Discovery):
            raise NotNow("The daemon takes over new settings just now.", "Ask again in a moment.")
        discovery.adopt(mainboard_id)

    router = Router(reactor.seconds, Storage())
    orders = Orders(fleet, jobs, store)
    commands = Commands(router, fleet, jobs, orders)
    made: WeakKeyDictionary[IService, Server] = WeakKeyDictionary()

    def doors() -> dict[str, Server]:
        """The doors of the MQTT server in force: a reload that is refused in its end has made others."""
        services = {"printers": appliance.namedServices.get("mqtt"), "clients": appliance.namedServices.get("clients")}
        return {name: made[service] for name, service in services.items() if service is not None and service in made}

    release = version("sdcpd")
    metrics = MetricsApi(
        release, fleet, lambda: asdict(router.counters), lambda: {n: _door(s) for n, s in doors().items()}
    )
    keys = Keys(journal, wall)
    web = WebApp(
        config,
        release,
        fleet=fleet,
        jobs=jobs,
        orders=orders,
        store=store,
        metrics=metrics,
        keys=keys,
        look=look,
        clock=reactor,
        wall=wall,
        failing=lambda: journal.failing,
        prints=journal,
        adopt=adopt,
        pictures=Pictures(store.indexes, offload),
    )

    def expire() -> None:
        keep = appliance.config.files.keep_seconds
        if keep:
            store.expire(wall(), keep).addErrback(lambda f: _log.failure("Old files could not be deleted", f))

    def sparing(factory: Factory[Any]) -> Sparing:
        most = float("inf") if limit == resource.RLIM_INFINITY else limit * CLIENTS_SHARE
        return Sparing(factory, most, next_descriptor, reactor.seconds)

    def revoked(key: Key) -> None:
        door = doors().get("clients")
        if door is not None and isinstance(door.policy, ClientsPolicy):
            for session in door.policy.sessions(key):
                router.end(session, "its key was revoked")

    keys.subscribe(revoked)

    def make_mqtt(config: Config) -> IService:
        policy = PrintersPolicy(router, fleet, links, reactor)
        server = Server(reactor, router, policy, PRINTERS_LIMITS)
        listener = Listener(reactor, "[mqtt] listen", config.mqtt.listen, server)
        made[listener] = server
        return listener

    def make_clients(config: Config) -> IService:
        service = MultiService()
        settings = config.mqtt.clients
        if settings.listen:
            policy = ClientsPolicy(settings, commands.obey, reactor.seconds, keys.find)
            server = made[service] = Server(reactor, router, policy, CLIENTS_LIMITS)
            listener = Listener(reactor, "[mqtt.clients] listen", settings.listen, sparing(server))
            listener.setName("mqtt clients")
            listener.setServiceParent(service)
            States(router, fleet, Documents(fleet, store, wall, lambda: jobs.plates.gate)).setServiceParent(service)
        return service

    def make_downloads(config: Config) -> IService:
        return Listener(reactor, "[downloads] listen", config.downloads.listen, DownloadsSite(offers, reactor))

    def make_web(config: Config) -> IService:
        service = MultiService()
        for number, listen in enumerate(config.web.listen):
            listener = Listener(reactor, "[web] listen", listen, sparing(web.site()))
            listener.setName("web" if not number else f"web {number + 1}")
            listener.setServiceParent(service)
        return service

    def make_own_ports(config: Config) -> IService:
        service = MultiService()
        for slug, endpoints in config.own_ports.items():
            for number, endpoint in enumerate(endpoints):
                listener = Listener(reactor, f"[printers.{slug}] port", endpoint, sparing(web.own_site(slug)))
                listener.setName(f"printers.{slug}" if not number else f"printers.{slug} {number + 1}")
                listener.setServiceParent(service)
        return service

    def reached() -> Place | None:
        service = appliance.namedServices.get("web")
        listeners = service if isinstance(service, MultiService) else ()
        own = [interface.address for interface in interfaces_of(["auto"])]
        return place_of(((each.description, each.address) for each in listeners if isinstance(each, Listener)), own)

    def make_mdns(config: Config) -> IService:
        if not config.mdns.enabled:
            return MultiService()
        return Announcer(fleet, reached, announced, Zeroconfig, sla=config.mdns.sl1, offload=offload, clock=reactor)

    def make_discovery(config: Config) -> IService:
        known = [printer.address for printer in config.printers.values() if printer.address]
        return Discovery(
            reactor, config.discovery, known, fleet, links, lambda: _port(appliance, "mqtt"), interfaces_of
        )

    def make_watch(config: Config) -> IService:
        service = MultiService()
        for period, functions in ((1.0, (links.sweep, jobs.sweep)), (EXPIRY_INTERVAL, (expire,))):
            timer = TimerService(period, guarded, *functions)
            timer.clock = reactor
            timer.setServiceParent(service)
        Hangup(reactor, lambda: appliance.reload()).setServiceParent(service)
        Interpreter().setServiceParent(service)
        return service

    def reconfigured(config: Config) -> None:
        logs.set_level(config.sdcpd.log_level)
        fleet.configure(_beforehand(config))
        store.configure(_limits(config))
        store.indexes.configure(config.files.ctb_key())
        jobs.plates.gate = Gate(config.plate.gate)
        web.configure(config)

    def ended() -> None:
        jobs.stop_all()
        web.stop()
        fleet.stop()
        links.close_all("the daemon stops")

    supervision = Supervision(os.environ, fleet, reactor)
    appliance = Appliance(
        config,
        (
            Part("lock", (), lambda config: lock),
            Part("journal", (), lambda config: JournalKeeper(journal, thread)),
            Part("keys", (), lambda config: AdminKey(keys, state / "admin.key")),
            Part("mqtt", ("mqtt.listen",), make_mqtt),
            Part("clients", ("mqtt.clients",), make_clients),
            Part("downloads", ("downloads",), make_downloads),
            Part("web", ("web.listen",), make_web),
            Part("own ports", ("own_ports",), make_own_ports),
            Part("mdns", ("mdns", "web.listen"), make_mdns),
            Part("discovery", ("discovery", "mqtt.listen", "printers"), make_discovery),
            Part("watch", (), make_watch),
            Part("supervision", (), lambda config: supervision),  # the last: it says that everything is there
        ),
        reload=options.load,
        reconfigured=reconfigured,
        ended=ended,
        clock=reactor,
        supervisor=supervision,
    )
    return appliance


def _port(appliance: Appliance, name: str) -> int:
    """The port in use, or 0: a reload may be replacing the listener just now."""
    listener = appliance.namedServices.get(name)
    return listener.port if isinstance(listener, Listener) else 0
