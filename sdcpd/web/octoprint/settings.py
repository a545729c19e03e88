"""``api/settings``: what clients look up about the server and about the printer's place in it.

One decision: it tells what is so and takes nothing: the daemon's settings are in its file, and no secret is among what
is told. The identifier by which Home Assistant knows a printer follows from its MainboardID, so it stays the same
through every restart, every address and every name.
"""

from __future__ import annotations

import uuid
from typing import Any

from sdcpd.fleet import Printer
from sdcpd.web.answer import Answer, json_answer
from sdcpd.web.octoprint.form import no
from sdcpd.web.routes import Call, Route

__all__ = ["SettingsEndpoints", "uuid_of"]

_NAMESPACE = uuid.UUID("0d3b2a35-0c3d-5d8c-9d5e-7b0f5f4d2f6a")
"""Of all printers; a random number that never changes."""


def uuid_of(printer: Printer) -> str:
    """The printer's identifier in this dialect and in its announcement by mDNS."""
    return str(uuid.uuid5(_NAMESPACE, printer.id))


class SettingsEndpoints:
    """Handlers over the printer's value."""

    def __init__(self) -> None:
        path = "/api/settings"
        self.routes = (
            Route("GET", path, "view", self.settings, gives=dict[str, Any]),
            Route("POST", path, "admin", self.refuse, content="", also=(403,)),
            Route("POST", f"{path}/apikey", "admin", self.refuse_key, content="", also=(403,)),
        )

    def settings(self, call: Call, printer: Printer) -> Answer:
        """The printer's name and identifier, and that there is no SD card and no camera."""
        return json_answer(
            {
                "api": {"allowCrossOrigin": False, "key": None},
                "appearance": {"name": printer.name, "color": "default", "colorTransparent": False},
                "feature": {
                    "sdSupport": False,
                    "temperatureGraph": False,
                    "gCodeVisualizer": False,
                    "keyboardControl": False,
                    "modelSizeDetection": False,
                },
                "folder": {},
                "plugins": {"appkeys": {}, "discovery": {"upnpUuid": uuid_of(printer), "publicHost": None}},
                "scripts": {"gcode": {}},
                "serial": {"port": None, "baudrate": None, "autoconnect": True},
                "server": {"commands": {}},
                "system": {"actions": [], "events": None},
                "temperature": {"profiles": [], "sendAutomatically": False},
                "terminalFilters": [],
                "webcam": {
                    "webcamEnabled": False,
                    "timelapseEnabled": False,
                    "streamUrl": "",
                    "snapshotUrl": "",
                    "flipH": False,
                    "flipV": False,
                    "rotate90": False,
                },
            }
        )

    def refuse(self, call: Call, printer: Printer) -> Answer:
        """Change the settings: they are in the daemon's configuration file."""
        raise no(403, "The settings are in sdcpd.toml on the daemon's machine and cannot be changed here.")

    def refuse_key(self, call: Call, printer: Printer) -> Answer:
        """Make a key: keys are made by their own API, or paired by plugin/appkeys."""
        raise no(403, "Keys are made by POST /v1/keys or paired by plugin/appkeys.")
