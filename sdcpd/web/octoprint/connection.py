"""``api/connection``: the connection between the daemon and the printer.

One decision: there is one port, ``SDCP``, and the daemon keeps it open by itself. To disconnect is to let go of the
connection, which is built anew at once and leaves a print alone; to connect is to invite the printer, but never away
from another program that has it: a client that connects by itself must not begin a tug-of-war.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from sdcpd.errors import PrinterOffline
from sdcpd.fleet import Printer, Reachability
from sdcpd.jobs import Jobs
from sdcpd.web.answer import Answer, json_answer
from sdcpd.web.octoprint.form import no
from sdcpd.web.octoprint.profiles import PROFILE, profile_name
from sdcpd.web.octoprint.request import DONE, command_of
from sdcpd.web.octoprint.state import state_of
from sdcpd.web.routes import Call, Route

__all__ = ["PORT", "ConnectionEndpoints"]

PORT = "SDCP"
"""What stands for the serial port; there is no baud rate."""


class Current(Struct, frozen=True, rename="camel"):
    """The connection as it is."""

    state: str
    port: str | None
    baudrate: None = None
    printer_profile: str = PROFILE


class Options(Struct, frozen=True, rename="camel"):
    """What could be chosen."""

    ports: tuple[str, ...]
    baudrates: tuple[int, ...]
    printer_profiles: tuple[dict[str, str], ...]
    port_preference: str = PORT
    baudrate_preference: None = None
    printer_profile_preference: str = PROFILE


class ConnectionAnswer(Struct, frozen=True):
    """The connection, and what could be chosen."""

    current: Current
    options: Options


class ConnectionEndpoints:
    """Handlers over the jobs and over ``adopt``, which invites a printer by its MainboardID."""

    def __init__(self, jobs: Jobs, adopt: Callable[[str], None]) -> None:
        self._jobs = jobs
        self._adopt = adopt
        path = "/api/connection"
        self.routes = (
            Route("GET", path, "view", self.look, gives=ConnectionAnswer),
            Route("POST", path, "control", self.command, content="", status=204, also=(400, 409, 415)),
        )

    def look(self, call: Call, printer: Printer) -> Answer:
        """Whether the printer is connected: ``Closed`` while it is off."""
        off = printer.reachability is Reachability.OFFLINE
        current = Current("Closed", None) if off else Current(state_of(printer).text, PORT)
        options = Options((PORT,), (), ({"id": PROFILE, "name": profile_name(printer)},))
        return json_answer(ConnectionAnswer(current, options))

    def command(self, call: Call, printer: Printer) -> Answer:
        """Connect: invite the printer. Disconnect: let go of the connection; the daemon builds it anew."""
        command, body = command_of(call, {"connect": (), "disconnect": ()})
        if command == "connect":
            _must_be_offered(body)
            self._connect(printer)
        else:
            self._disconnect(printer)
        return DONE

    def _connect(self, printer: Printer) -> None:
        if printer.reachability is Reachability.ELSEWHERE:
            why = printer.message or f"{printer.name} is connected to another program."
            raise no(409, f"{why} POST /v1/printers/{printer.slug}/adopt takes it over.")
        try:
            self._adopt(printer.id)
        except PrinterOffline as error:
            raise no(409, error.sentence) from error

    def _disconnect(self, printer: Printer) -> None:
        try:
            self._jobs.reconnect(printer.id)
        except PrinterOffline:
            return  # there is none


def _must_be_offered(body: dict[str, Any]) -> None:
    """Refuse a port, a baud rate or a profile that does not exist."""
    offered = {"port": (PORT, "AUTO", None), "baudrate": (0, None), "printerProfile": (PROFILE, None)}
    for name, values in offered.items():
        if body.get(name) not in values:
            raise no(400, f"{name} is invalid")
