"""PrusaLink's tree, composed: every endpoint of one printer.

One decision: this module alone knows all parts of the dialect; each of them knows only what it was handed.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.web.iweb import IRequest

from sdcpd.files import FileStore
from sdcpd.jobs import Jobs
from sdcpd.web.octoprint.present import Present
from sdcpd.web.pictures import PicturesApi
from sdcpd.web.prusalink.control import ControlEndpoints
from sdcpd.web.prusalink.entries import Entries
from sdcpd.web.prusalink.files import FileEndpoints
from sdcpd.web.prusalink.form import form_of
from sdcpd.web.prusalink.look import LookEndpoints
from sdcpd.web.prusalink.upload import UploadEndpoint
from sdcpd.web.routes import Route
from sdcpd.web.shelf import Shelf
from sdcpd.web.starts import Starts

__all__ = ["PrusaLinkApi"]


class PrusaLinkApi:
    """All routes of the dialect, relative to a printer."""

    def __init__(
        self,
        *,
        jobs: Jobs,
        store: FileStore,
        shelf: Shelf,
        starts: Starts,
        present: Present,
        pictures: PicturesApi,
        challenge: Callable[[IRequest], str],
        wall: Callable[[], float],
    ) -> None:
        self.form = form_of(challenge)
        """How it refuses."""
        entries = Entries(store, shelf)
        self.routes: tuple[Route, ...] = (
            *LookEndpoints(store, entries, present, wall).routes,
            *FileEndpoints(store, shelf, entries, starts, pictures).routes,
            *UploadEndpoint(store, shelf, entries, starts).routes,
            *ControlEndpoints(jobs).routes,
        )
