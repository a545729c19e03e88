"""OctoPrint's tree, composed: every endpoint of one printer.

One decision: this module alone knows all parts of the dialect; each of them knows only what it was handed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IReactorTime

from sdcpd.documents import Documents
from sdcpd.files import FileStore
from sdcpd.fleet import Fleet
from sdcpd.jobs import Jobs
from sdcpd.keys import Keys
from sdcpd.web.octoprint.absent import AbsentEndpoints
from sdcpd.web.octoprint.appkeys import AppKeysEndpoints
from sdcpd.web.octoprint.commands import CommandEndpoints
from sdcpd.web.octoprint.connection import ConnectionEndpoints
from sdcpd.web.octoprint.entries import Entries, Past
from sdcpd.web.octoprint.files import FilesEndpoints
from sdcpd.web.octoprint.folders import Folders
from sdcpd.web.octoprint.host import ServerEndpoint, VersionEndpoint
from sdcpd.web.octoprint.job import JobEndpoints
from sdcpd.web.octoprint.layers import LayerEndpoint
from sdcpd.web.octoprint.logins import Logins
from sdcpd.web.octoprint.present import Present
from sdcpd.web.octoprint.printer import PrinterEndpoints
from sdcpd.web.octoprint.profiles import ProfileEndpoints
from sdcpd.web.octoprint.push import Push
from sdcpd.web.octoprint.selection import Selection
from sdcpd.web.octoprint.settings import SettingsEndpoints
from sdcpd.web.octoprint.times import PastPrints, PastTimes
from sdcpd.web.octoprint.upload import UploadEndpoint
from sdcpd.web.octoprint.users import UserEndpoints
from sdcpd.web.pairing import Pairing
from sdcpd.web.routes import Route
from sdcpd.web.shelf import Shelf
from sdcpd.web.starts import Starts

__all__ = ["OctoPrintApi"]


class History(Past, PastPrints, Protocol):
    """Who remembers prints: how they ended and how long they took."""


class OctoPrintApi:
    """All routes of the dialect, relative to a printer."""

    def __init__(
        self,
        version: str,
        epoch: str,
        *,
        fleet: Fleet,
        store: FileStore,
        jobs: Jobs,
        documents: Documents,
        shelf: Shelf,
        starts: Starts,
        past: History,
        keys: Keys,
        pairing: Pairing,
        adopt: Callable[[str], None],
        clock: IReactorTime,
        wall: Callable[[], float],
    ) -> None:
        self.selection = Selection(fleet, store)
        """What is selected on each printer."""
        self.logins = Logins(keys, clock)
        """The sessions that a login hands out."""
        self.present = Present(self.selection, store, PastTimes(fleet, past))
        """State, job and progress, for the REST tree and the push."""
        self.push = Push(
            version,
            epoch,
            fleet=fleet,
            store=store,
            documents=documents,
            present=self.present,
            logins=self.logins,
            keys=keys,
            clock=clock,
            wall=wall,
        )
        """What is told without being asked for."""
        folders = Folders(shelf)
        self.routes: tuple[Route, ...] = (
            *VersionEndpoint(version).routes,
            *AppKeysEndpoints(pairing, fleet).routes,
            *ServerEndpoint().routes,
            *UserEndpoints(self.logins).routes,
            *ConnectionEndpoints(jobs, adopt).routes,
            *PrinterEndpoints(fleet).routes,
            *CommandEndpoints(fleet, jobs).routes,
            *JobEndpoints(self.present, self.selection, jobs, starts).routes,
            *SettingsEndpoints().routes,
            *ProfileEndpoints(self.present).routes,
            *LayerEndpoint(self.present, documents, wall).routes,
            *AbsentEndpoints().routes,
            *FilesEndpoints(store, shelf, Entries(store, past), folders, starts, self.selection).routes,
            *UploadEndpoint(fleet, store, shelf, folders, starts, self.selection).routes,
            *self.push.routes,
        )
