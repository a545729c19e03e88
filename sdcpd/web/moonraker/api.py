"""Moonraker's tree, composed: every endpoint, and the dispatcher of JSON-RPC over all of them.

One decision: this module alone knows all parts of the dialect; each of them knows only what it was handed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from twisted.internet.interfaces import IReactorTime

from sdcpd.documents import Documents
from sdcpd.files import FileStore
from sdcpd.fleet import Fleet
from sdcpd.jobs import Jobs
from sdcpd.keys import Keys
from sdcpd.pictures import Pictures
from sdcpd.web.moonraker.access import AccessEndpoints
from sdcpd.web.moonraker.control import ControlEndpoints
from sdcpd.web.moonraker.endpoint import Endpoint, routes_of
from sdcpd.web.moonraker.files import FileEndpoints
from sdcpd.web.moonraker.folders import FolderEndpoints
from sdcpd.web.moonraker.history import HistoryEndpoints, Prints
from sdcpd.web.moonraker.host import Host
from sdcpd.web.moonraker.jsonrpc import JsonRpcEndpoint
from sdcpd.web.moonraker.machine import MachineEndpoints
from sdcpd.web.moonraker.metadata import Metadata
from sdcpd.web.moonraker.notifications import NotificationsEndpoint
from sdcpd.web.moonraker.queue import QueueEndpoints
from sdcpd.web.moonraker.server import ServerEndpoints
from sdcpd.web.moonraker.sockets import SocketEndpoints
from sdcpd.web.moonraker.status import StatusEndpoints
from sdcpd.web.moonraker.temperatures import Temperatures
from sdcpd.web.moonraker.upload import UploadEndpoint
from sdcpd.web.shelf import Shelf
from sdcpd.web.starts import Starts
from sdcpd.web.tokens import Tokens

__all__ = ["MoonrakerApi"]


class MoonrakerApi:
    """All routes of the dialect, relative to a printer."""

    def __init__(
        self,
        version: str,
        epoch: str,
        *,
        fleet: Fleet,
        jobs: Jobs,
        store: FileStore,
        prints: Prints,
        shelf: Shelf,
        starts: Starts,
        pictures: Pictures,
        documents: Documents,
        keys: Keys,
        tokens: Tokens,
        clock: IReactorTime,
        wall: Callable[[], float],
    ) -> None:
        metadata = Metadata(store, jobs, pictures)
        notifications = NotificationsEndpoint(fleet, store, documents, clock, epoch)
        endpoints: tuple[Endpoint, ...] = (
            *ServerEndpoints(fleet, Temperatures(fleet, clock.seconds), version).endpoints,
            *MachineEndpoints(Host(clock.seconds, wall, Path("/proc"), Path("/sys"))).endpoints,
            *StatusEndpoints(documents, store, clock.seconds, notifications.cursor).endpoints,
            *ControlEndpoints(fleet, jobs, store, starts).endpoints,
            *UploadEndpoint(store, shelf, starts).endpoints,
            *FolderEndpoints(store, shelf, metadata).endpoints,
            *FileEndpoints(store, shelf, metadata).endpoints,
            *HistoryEndpoints(prints, store, metadata, wall).endpoints,
            *QueueEndpoints(jobs, store, starts, wall).endpoints,
            *AccessEndpoints(keys, tokens).endpoints,
            *notifications.endpoints,
            *SocketEndpoints().endpoints,
        )
        rpc = JsonRpcEndpoint(endpoints, clock)
        self.methods = rpc.methods
        """The methods of JSON-RPC, by name."""
        self.routes = routes_of((*endpoints, *rpc.endpoints))
