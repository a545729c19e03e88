"""The server itself: ``api/version`` and ``api/server``.

One decision: the text of the version is a flavour, because slicers decide by its first word whom they talk to. It
stands in the path and never in a guess: the same server is OctoPrint at a printer's own path and Prusa's at its twins
(reference apis.md 2.1, 3.2).
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from sdcpd.fleet import Printer
from sdcpd.web.answer import Answer, json_answer
from sdcpd.web.routes import Call, Route

__all__ = ["API", "OCTOPRINT_VERSION", "Flavour", "VersionEndpoint"]

API = "0.1"
OCTOPRINT_VERSION = "1.11.8"
"""The server whose answers these are."""


class Flavour(Enum):
    """Whom a slicer shall take us for, by the place at which it asks: a printer's own path, or a twin of it."""

    OCTOPRINT = b""
    SLA = b"/sl1"
    """For PrusaSlicer's resin profiles."""
    PRUSALINK = b"/prusalink"
    """For Home Assistant's PrusaLink and PrusaSlicer's filament profiles."""


_BEGINS = {
    Flavour.OCTOPRINT: f"OctoPrint {OCTOPRINT_VERSION}",
    Flavour.SLA: "Prusa SLA",
    Flavour.PRUSALINK: "PrusaLink",
}


class VersionAnswer(Struct, frozen=True):
    """Who answers, and in which dialect."""

    api: str
    server: str
    text: str
    hostname: str
    capabilities: dict[str, bool]


class ServerAnswer(Struct, frozen=True):
    """The server's version; it has no safe mode."""

    version: str
    safemode: str | None = None


class VersionEndpoint:
    """``api/version``; ``release`` is the daemon's own version."""

    def __init__(self, release: str) -> None:
        self._release = release
        self.routes = (Route("GET", "/api/version", "view", self.version, gives=VersionAnswer),)

    def version(self, call: Call, printer: Printer) -> Answer:
        """Who answers: the text begins as slicers expect it there."""
        text = f"{_BEGINS[Flavour(call.way.twin)]} (sdcpd {self._release})"
        return json_answer(VersionAnswer(API, OCTOPRINT_VERSION, text, printer.slug, {"upload-by-put": True}))


class ServerEndpoint:
    """``api/server``."""

    def __init__(self) -> None:
        self.routes = (Route("GET", "/api/server", "view", self.server, gives=ServerAnswer),)

    def server(self, call: Call, printer: Printer) -> Answer:
        """The version of the server whose answers these are."""
        return json_answer(ServerAnswer(OCTOPRINT_VERSION))
