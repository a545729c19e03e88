"""OctoPrint's tree, composed: every endpoint of one printer.

One decision: this module alone knows all parts of the dialect; each of them knows only what it was handed.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from sdcpd.documents import Documents
from sdcpd.files import FileStore
from sdcpd.fleet import Fleet
from sdcpd.keys import Keys
from sdcpd.web.octoprint.host import Flavour, ServerEndpoint, VersionEndpoint
from sdcpd.web.octoprint.job import JobEndpoints
from sdcpd.web.octoprint.logins import Logins
from sdcpd.web.octoprint.present import Present
from sdcpd.web.octoprint.printer import PrinterEndpoints
from sdcpd.web.octoprint.selection import Selection
from sdcpd.web.routes import Route

__all__ = ["OctoPrintApi"]


class OctoPrintApi:
    """All routes of the dialect, relative to a printer."""

    def __init__(
        self,
        version: str,
        *,
        fleet: Fleet,
        store: FileStore,
        documents: Documents,
        keys: Keys,
        clock: IReactorTime,
    ) -> None:
        self.selection = Selection(fleet, store, documents)
        """What is selected on each printer."""
        self.logins = Logins(keys, clock)
        """The sessions that a login hands out."""
        self.present = Present(self.selection, store, documents)
        """State, job and progress, for the REST tree and the push."""
        self.common: tuple[Route, ...] = (
            *ServerEndpoint().routes,
            *PrinterEndpoints().routes,
            *JobEndpoints(self.present).routes,
        )
        """What every flavour of the tree has; a twin mount adds its own ``VersionEndpoint``."""
        self.routes: tuple[Route, ...] = (*VersionEndpoint(version, Flavour.OCTOPRINT).routes, *self.common)
