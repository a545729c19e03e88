"""``server/...`` but for files, jobs and history: what this server is, and what it said lately.

One decision: the server is up even when the printer is off, so ``server/info`` always answers; whatever this server
does not have is an empty list where the real one would have an empty list, and a refusal where it would refuse.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from sdcpd.dialects import klippy_of
from sdcpd.fleet import Event, Fleet
from sdcpd.logs import RECENT
from sdcpd.web.answer import TEXT, Answer
from sdcpd.web.lines import sentence_of
from sdcpd.web.moonraker.endpoint import Ask, Endpoint
from sdcpd.web.moonraker.form import no
from sdcpd.web.moonraker.temperatures import Temperatures
from sdcpd.web.routes import Parameter

__all__ = ["API_VERSION", "ServerEndpoints", "line_of"]

API_VERSION = (1, 5, 0)
"""Of the interface that is imitated."""
LIKE = "v0.9.3"
"""Of the server that is imitated: clients read the form of the version."""


class ServerInfo(Struct, frozen=True):
    """What this server is, and whether the printer is there."""

    klippy_connected: bool
    klippy_state: str
    components: tuple[str, ...]
    failed_components: tuple[str, ...]
    registered_directories: tuple[str, ...]
    warnings: tuple[str, ...]
    websocket_count: int
    moonraker_version: str
    missing_klippy_requirements: tuple[str, ...]
    api_version: tuple[int, int, int]
    api_version_string: str


class ServerEndpoints:
    """Handlers over the fleet."""

    def __init__(self, fleet: Fleet, temperatures: Temperatures, version: str) -> None:
        self._fleet = fleet
        self._temperatures = temperatures
        self._version = version
        monitors = (Parameter("include_monitors", "accepted; there are no monitors", "boolean"),)
        count = (Parameter("count", "how many of the newest lines, 1 to 1000; 100 if absent", "integer"),)
        self.endpoints = (
            Endpoint("GET", "/server/info", "view", self.info, ServerInfo),
            Endpoint("GET", "/server/config", "admin", self.config),
            Endpoint("GET", "/server/temperature_store", "view", self.temperatures, query=monitors),
            Endpoint("GET", "/server/gcode_store", "view", self.gcode_store, query=count),
            Endpoint("GET", "/server/webcams/list", "view", self.webcams),
            Endpoint("GET", "/server/webcams/item", "view", self.webcam, rpc="server.webcams.get_item"),
            Endpoint("GET", "/server/announcements/list", "view", self.announcements),
            Endpoint("GET", "/server/announcements/feeds", "view", self.feeds),
            Endpoint("POST", "/server/announcements/dismiss", "control", self.dismiss),
            *(
                Endpoint("GET", f"/server/files/{name}.log", "admin", self.log, None, rpc=None, content="text/plain")
                for name in ("klippy", "moonraker")
            ),
            Endpoint("POST", "/server/restart", "admin", self.restart, also=(403,)),
            Endpoint("POST", "/server/logs/rollover", "admin", self.rollover, also=(403,)),
        )

    def info(self, ask: Ask) -> ServerInfo:
        """What this server is, and the state of the printer; answered also when that is off."""
        state, _ = klippy_of(ask.printer)
        return ServerInfo(
            klippy_connected=state != "disconnected",
            klippy_state=state,
            components=("file_manager", "history", "job_queue", "webcam", "announcements"),
            failed_components=(),
            registered_directories=("gcodes", "config", "logs"),
            warnings=(),
            websocket_count=0,
            moonraker_version=f"{LIKE}-sdcpd-{self._version}",
            missing_klippy_requirements=(),
            api_version=API_VERSION,
            api_version_string=".".join(map(str, API_VERSION)),
        )

    def config(self, ask: Ask) -> dict[str, Any]:
        """The server's configuration: none that this interface could change."""
        return {"config": {}, "orig": {}, "files": []}

    def temperatures(self, ask: Ask) -> dict[str, Any]:
        """The temperatures of the last 20 minutes of the sensors that the board reports; most report none."""
        return self._temperatures.of(ask.printer)

    def gcode_store(self, ask: Ask) -> dict[str, Any]:
        """What happened to this printer lately, in lines for people."""
        count = int(ask.arguments.number("count", 100, 1, 1000))
        found = [event for event in self._fleet.happenings(0) if event.printer == ask.printer.slug][-count:]
        return {"gcode_store": [{"message": line_of(e), "time": e.time, "type": "response"} for e in found]}

    def webcams(self, ask: Ask) -> dict[str, Any]:
        """The cameras: this server has none."""
        return {"webcams": []}

    def webcam(self, ask: Ask) -> dict[str, Any]:
        """One camera: this server has none."""
        raise no(404, "Webcam not found")

    def announcements(self, ask: Ask) -> dict[str, Any]:
        """News of the server's makers: there are none."""
        return {"entries": [], "feeds": []}

    def feeds(self, ask: Ask) -> dict[str, Any]:
        """Where such news would come from."""
        return {"feeds": []}

    def dismiss(self, ask: Ask) -> dict[str, Any]:
        """Take note of an announcement: there are none."""
        raise no(404, f"No announcement {ask.arguments.text('entry_id')[:100]!r}")

    def log(self, ask: Ask) -> Answer:
        """The last lines of the daemon's log, under the names that clients know; no key is in them."""
        return Answer(200, RECENT.text.encode("utf-8", "replace"), TEXT)

    def restart(self, ask: Ask) -> dict[str, Any]:
        """Restart the server: not from here."""
        raise no(403, "Restarting the daemon is left to its machine: systemctl restart sdcpd")

    def rollover(self, ask: Ask) -> dict[str, Any]:
        """Begin another log file: the machine's log service does that."""
        raise no(403, "The log is kept by its machine: journalctl -u sdcpd")


def line_of(event: Event) -> str:
    """One happening as a line of text: what somebody said as it is, what happened as a comment."""
    text = sentence_of(event)
    return text if event.type == "message" else f"// {text}"
