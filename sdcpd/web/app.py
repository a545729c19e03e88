"""The web tree, composed: which API stands where.

One decision: each API is a list of routes made from what it was handed; this module alone knows all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import msgspec
from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource

from sdcpd.config import Config
from sdcpd.documents import Documents
from sdcpd.files import FileStore
from sdcpd.fleet import Fleet
from sdcpd.jobs import Jobs
from sdcpd.keys import Keys
from sdcpd.machine import Machine
from sdcpd.orders import Orders
from sdcpd.pictures import Pictures
from sdcpd.web.access import Access
from sdcpd.web.adoption import AdoptionApi
from sdcpd.web.answer import TEXT, Answer
from sdcpd.web.files import FilesApi
from sdcpd.web.front import FrontApi
from sdcpd.web.history import HistoryApi
from sdcpd.web.keys import KeysApi
from sdcpd.web.me import MeApi
from sdcpd.web.metrics import MetricsApi
from sdcpd.web.moonraker import MOONRAKER, MoonrakerApi
from sdcpd.web.moonraker.history import Prints
from sdcpd.web.mount import Mount, MountedSite
from sdcpd.web.mslicer import StatusApi
from sdcpd.web.native import NativeApi
from sdcpd.web.octoprint import OCTOPRINT, OctoPrintApi
from sdcpd.web.openapi import openapi
from sdcpd.web.ownport import OwnPortSite, PrinterFront
from sdcpd.web.pairing import Pairing
from sdcpd.web.pictures import PicturesApi
from sdcpd.web.prusalink import PrusaLinkApi, mounted
from sdcpd.web.queue import QueueApi
from sdcpd.web.routes import Call, Route, streams, tree
from sdcpd.web.shelf import Shelf
from sdcpd.web.site import Site
from sdcpd.web.starts import Starts
from sdcpd.web.updates import UpdatesApi, new_epoch

__all__ = ["WebApp"]


class WebApp:
    """All routes over one fleet; ``site`` serves them."""

    def __init__(
        self,
        config: Config,
        version: str,
        *,
        fleet: Fleet,
        jobs: Jobs,
        orders: Orders,
        store: FileStore,
        metrics: MetricsApi,
        keys: Keys,
        look: Callable[[], Machine],
        clock: IReactorTime,
        wall: Callable[[], float],
        failing: Callable[[], str | None],
        adopt: Callable[[str], None],
        prints: Prints,
        pictures: Pictures,
    ) -> None:
        self._failing = failing
        epoch = new_epoch()
        documents = Documents(fleet, store, wall, lambda: jobs.plates.gate)
        shelf = Shelf(store, jobs, fleet, wall)
        starts = Starts(fleet, orders)
        self._access = Access(config.access, config.web, keys=keys, identify=fleet.identify, look=look, clock=clock)
        self._status = StatusApi(fleet, clock, wall, epoch, config.status.mode)
        self._updates = UpdatesApi(fleet, documents, clock, wall, epoch)
        self._clock = clock
        pairing = self._pairing = Pairing(keys, clock)
        self._mount = Mount(fleet, config.sdcpd.default_printer)
        self._moonraker = MoonrakerApi(
            version,
            epoch,
            fleet=fleet,
            jobs=jobs,
            store=store,
            prints=prints,
            shelf=shelf,
            starts=starts,
            pictures=pictures,
            documents=documents,
            keys=keys,
            tokens=self._access.tokens,
            clock=clock,
            wall=wall,
        )
        self.octoprint = OctoPrintApi(
            version,
            epoch,
            fleet=fleet,
            store=store,
            jobs=jobs,
            documents=documents,
            shelf=shelf,
            starts=starts,
            past=prints,
            keys=keys,
            pairing=pairing,
            adopt=adopt,
            clock=clock,
            wall=wall,
        )
        pictures_api = PicturesApi(store, fleet, pictures)
        prusalink = PrusaLinkApi(
            jobs=jobs,
            store=store,
            shelf=shelf,
            starts=starts,
            present=self.octoprint.present,
            pictures=pictures_api,
            challenge=self._access.digests.challenge,
            wall=wall,
        )
        self._front = FrontApi(fleet, documents, self._updates.present, config.sdcpd.site)
        self._rules = (config.access, config.web)
        self.routes: tuple[Route, ...] = (
            *self._front.routes,
            Route("GET", "/healthz", None, self._healthz, content="text/plain"),
            Route("GET", "/openapi.json", None, self._openapi, gives=dict[str, Any]),
            *PrinterFront(fleet).routes,
            *self._status.routes,
            *NativeApi(fleet, jobs, orders, documents).routes,
            *AdoptionApi(fleet, adopt, documents).routes,
            *QueueApi(fleet, jobs, orders, documents).routes,
            *HistoryApi(prints, fleet, store).routes,
            *FilesApi(store, fleet).routes,
            *pictures_api.routes,
            *self._updates.routes,
            *metrics.routes,
            *MeApi(fleet).routes,
            *KeysApi(keys, fleet, self._access.tokens, pairing).routes,
            *self._mount.put(MOONRAKER, self._moonraker.routes),
            *self._mount.put(OCTOPRINT, self.octoprint.routes),
            *mounted(self._mount, prusalink.form, prusalink.routes),
        )
        self._tree = tree(self.routes, self._access, self._mount.form_of)
        self._streams = streams(self.routes)
        self._version = version

    def resource(self) -> IResource:
        """The tree of all routes."""
        return self._tree

    def site(self) -> Site:
        """The tree behind a server that streams uploads."""
        return MountedSite(self._mount, self._tree, self._streams, self._clock)

    def own_site(self, slug: str) -> OwnPortSite:
        """The same for a port of one printer's own: that printer's tree and nothing else."""
        return OwnPortSite(slug, self._mount, self._tree, self._streams, self._clock)

    def configure(self, config: Config) -> None:
        """Take over what can change without another port: access, status and the site's name."""
        self._access.configure(config.access, config.web)
        self._status.mode = config.status.mode
        self._mount.default = config.sdcpd.default_printer
        self._front.site = config.sdcpd.site
        before, self._rules = self._rules, (config.access, config.web)
        self.octoprint.push.configure(rules=before != self._rules)

    def stop(self) -> None:
        """Ask every poller to come back later, end the push, and revoke the keys that no program has fetched."""
        self._updates.stop()
        self._pairing.stop()
        self.octoprint.push.stop()

    def _healthz(self, call: Call) -> Answer:
        """Whether the daemon answers, and what it cannot do at the moment."""
        failing = self._failing()
        return Answer(200, b"ok" if failing is None else f"degraded: {failing}".encode(), TEXT)

    def _openapi(self, call: Call) -> Answer:
        """This API, described as OpenAPI 3.1."""
        return Answer(200, self._described)

    @cached_property
    def _described(self) -> bytes:
        return msgspec.json.encode(openapi(self.routes, self._version))
