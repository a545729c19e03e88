"""What OctoPrint has and this server has not: time-lapses, slicers, languages, users, plugins, system commands.

One decision: where the real server has an empty answer, so has this one; where it would have to act, the answer says
that there is nothing of the kind. A client that looks through everything is never stopped by a surprise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sdcpd.fleet import Printer
from sdcpd.web.answer import Answer, json_answer
from sdcpd.web.octoprint.form import no
from sdcpd.web.routes import Call, Route

__all__ = ["AbsentEndpoints"]

SYSTEM: dict[str, list[str]] = {"core": [], "plugin": [], "custom": []}
TIMELAPSE: dict[str, Any] = {"files": [], "unrendered": [], "config": {"type": "off"}, "enabled": False}


class AbsentEndpoints:
    """Handlers over nothing."""

    def __init__(self) -> None:
        system = "/api/system/commands"
        self.routes = (
            Route(
                "GET",
                system,
                "view",
                _tells("The system commands: there are none.", SYSTEM),
                gives=dict[str, list[str]],
            ),
            Route("GET", f"{system}/<source>", "view", self.commands, gives=list[str], also=(404,)),
            Route("POST", f"{system}/<source>/<command>", "admin", self.command, content="", also=(404,)),
            _empty("/api/timelapse", "The time-lapses: there is no camera.", TIMELAPSE),
            _empty("/api/slicing", "The slicers: there are none.", {}),
            _empty("/api/languages", "The language packs: there are none.", {"language_packs": {}}),
            _none("GET", "/api/access/users", "admin", 403, "There are no users here, only keys: see GET /v1/keys"),
            _none("GET", "/api/users", "admin", 403, "There are no users here, only keys: see GET /v1/keys"),
            _none("GET", "/api/plugin/<path:plugin>", "view", 404, "There is no such plugin"),
            _none("POST", "/api/plugin/<path:plugin>", "control", 404, "There is no such plugin"),
            _none("GET", "/plugin/logging/logs", "admin", 404, "The log is the system's: see journalctl -u sdcpd"),
        )

    def commands(self, call: Call, printer: Printer, source: str) -> Answer:
        """The system commands of one source: there are none."""
        if source not in SYSTEM:
            raise no(404, f"There is no source of commands {source[:80]!r}; there are {', '.join(SYSTEM)}.")
        return json_answer(SYSTEM[source])

    def command(self, call: Call, printer: Printer, source: str, command: str) -> Answer:
        """Run a system command: there is none."""
        raise no(404, "Command not found")


def _empty(path: str, meaning: str, document: dict[str, Any]) -> Route:
    return Route("GET", path, "view", _tells(meaning, document), gives=dict[str, Any])


def _tells(meaning: str, document: object) -> Callable[..., Answer]:
    def tell(call: Call, printer: Printer) -> Answer:
        return json_answer(document)

    tell.__doc__ = meaning
    return tell


def _none(method: str, path: str, scope: str | None, status: int, sentence: str) -> Route:
    def refuse(call: Call, printer: Printer, **parts: str) -> Answer:
        raise no(status, sentence)

    refuse.__doc__ = f"Always refused: {sentence[0].lower()}{sentence[1:]}."
    return Route(method, path, scope, refuse, content="", also=(status,))
