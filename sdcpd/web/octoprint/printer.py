"""``api/printer``: the printer's state, and the parts that a resin printer has not.

One decision: what it has not is refused as the real server refuses it of a machine without it, after the same checks
in the same order; nothing is answered as done that was not (reference apis.md 1.3).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from sdcpd.fleet import Fleet, Printer
from sdcpd.web.answer import Answer, json_answer
from sdcpd.web.errors import Refusal
from sdcpd.web.octoprint.form import NOT_OPERATIONAL, no
from sdcpd.web.octoprint.request import command_of, number_of
from sdcpd.web.octoprint.state import State, error_of, points_of, state_of, temperatures_of
from sdcpd.web.routes import Call, Parameter, Route

__all__ = ["PrinterEndpoints", "must_be_operational"]

_AXES = ("x", "y", "z")
_TOOL = re.compile(r"tool\d+")
_MOST_OFFSET = 50
_POINTS = 300
NO_TOOL = "Printer does not have a tool"
NO_BED = "Printer does not have a heated bed"
NO_CHAMBER = "Printer does not have a heated chamber"
NO_HEAD = "Print head commands are not supported by this printer"
NO_SD = "SD support is disabled"


class LastError(Struct, frozen=True):
    """The last error and its source; both empty if there is none."""

    error: str
    reason: str


def must_be_operational(printer: Printer) -> State:
    """The printer's state; refused with 409 while it is off or unusable."""
    state = state_of(printer)
    if not state.flags["operational"]:
        raise no(409, NOT_OPERATIONAL)
    return state


class PrinterEndpoints:
    """Handlers over the printer's value; ``fleet`` knows when it was heard of."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        history = Parameter("history", "whether to add the points of the past", "boolean")
        limit = Parameter("limit", f"points in the history; {_POINTS} if absent", "integer")
        exclude = Parameter("exclude", "what to leave out, with commas: temperature, sd, state")
        points = (history, limit)
        document = dict[str, Any]

        def look(path: str, handle: Callable[..., Answer], *also: int) -> Route:
            return Route("GET", f"/api/printer{path}", "view", handle, gives=document, query=points, also=also)

        def wish(path: str, handle: Callable[..., Answer], *also: int) -> Route:
            return Route("POST", f"/api/printer{path}", "control", handle, content="", status=204, also=also)

        self.routes = (
            Route("GET", "/api/printer", "view", self.state, gives=document, query=(exclude, *points), also=(409,)),
            wish("/printhead", self.move, 400, 409, 415),
            look("/tool", self.tool, 409),
            wish("/tool", self.set_tool, 400, 409, 415),
            look("/bed", self.bed, 409),
            wish("/bed", self.bed, 409),
            look("/chamber", self.chamber, 409),
            wish("/chamber", self.set_chamber, 400, 409, 415),
            *(look(path, self.sd, 404) for path in ("/sd", "/storage")),
            *(wish(path, self.sd, 404) for path in ("/sd", "/storage")),
            Route("GET", "/api/printer/error", "view", self.error, gives=LastError),
        )

    def state(self, call: Call, printer: Printer) -> Answer:
        """What the printer does; 409 while it is off. Temperatures are those that the board measures, often none."""
        state = must_be_operational(printer)
        document = {"temperature": self._temperature(call, printer), "state": state}
        excluded = call.words("exclude")
        return json_answer({name: part for name, part in document.items() if name not in excluded})

    def move(self, call: Call, printer: Printer) -> Answer:
        """Move the print head: always refused, after the checks of the real server."""
        command, body = command_of(call, {"jog": (), "home": ("axes",), "feedrate": ("factor",)})
        flags = state_of(printer).flags
        if not flags["operational"] or (flags["printing"] and command != "feedrate"):
            raise no(409, "Printer is not operational or currently printing")
        if command == "jog" and any(axis in body and number_of(body[axis]) is None for axis in _AXES):
            raise no(400, "axis value is invalid")
        if command == "home" and not (isinstance(body["axes"], list) and all(axis in _AXES for axis in body["axes"])):
            raise no(400, "axis is invalid")
        if command == "feedrate":
            _must_be_rate(body["factor"])
        raise no(409, NO_HEAD)

    def tool(self, call: Call, printer: Printer) -> Answer:
        """The temperatures of the tools: there is none. 409 while the printer is off."""
        must_be_operational(printer)
        return json_answer(self._history(call, {}))

    def set_tool(self, call: Call, printer: Printer) -> Answer:
        """Select or heat a tool, or extrude: always refused, after the checks of the real server."""
        state = must_be_operational(printer)
        needed = {
            "select": ("tool",),
            "target": ("targets",),
            "offset": ("offsets",),
            "extrude": ("amount",),
            "flowrate": ("factor",),
        }
        command, body = command_of(call, needed)
        if command == "select":
            if not _is_tool(body["tool"]):
                raise no(400, "tool is invalid")
        elif command in ("target", "offset"):
            _must_be_of_tools(body, needed[command][0])
        elif command == "extrude":
            if state.flags["printing"]:
                raise no(409, "Printer is currently printing")
            if number_of(body["amount"]) is None:
                raise no(400, "amount is invalid")
        else:
            _must_be_rate(body["factor"])
        raise no(409, NO_TOOL)

    def bed(self, call: Call, printer: Printer) -> Answer:
        """The heated bed: there is none."""
        must_be_operational(printer)
        raise no(409, NO_BED)

    def chamber(self, call: Call, printer: Printer) -> Answer:
        """The temperature of the chamber; 409 where the board does not measure it."""
        must_be_operational(printer)
        found = temperatures_of(printer)
        if not found:
            raise no(409, NO_CHAMBER)
        return json_answer(self._temperature(call, printer))

    def set_chamber(self, call: Call, printer: Printer) -> Answer:
        """Heat the chamber: always refused, for the board may measure it and never heats it on demand."""
        must_be_operational(printer)
        if temperatures_of(printer):
            command, body = command_of(call, {"target": ("target",), "offset": ("offset",)})
            value = number_of(body[command])
            if value is None or (command == "offset" and abs(value) > _MOST_OFFSET):
                raise no(400, f"{command} is invalid")
        raise no(409, NO_CHAMBER)

    def sd(self, call: Call, printer: Printer) -> Answer:
        """The SD card: files are kept here, not on a card that could be looked at."""
        raise no(404, NO_SD)

    def error(self, call: Call, printer: Printer) -> Answer:
        """The error that the printer is in or that its last job ended with."""
        return json_answer(LastError(*error_of(printer)))

    def _temperature(self, call: Call, printer: Printer) -> dict[str, object]:
        points = points_of(printer, self._fleet.heard(printer.id))
        return self._history(call, temperatures_of(printer), points)

    def _history(self, call: Call, found: Mapping[str, object], points: Sequence[object] = ()) -> dict[str, object]:
        """With the points of the past where they are asked for; only the present is kept."""
        if not call.flag("history"):
            return dict(found)
        limit = call.text("limit")
        return {**found, "history": points[: int(limit)] if limit.isdecimal() and len(limit) < 9 else points}


def _is_tool(name: object) -> bool:
    return isinstance(name, str) and _TOOL.match(name) is not None


def _must_be_of_tools(body: Mapping[str, Any], what: str) -> None:
    """``targets`` and ``offsets``: numbers by the names of tools."""
    wanted = body[what]
    if not isinstance(wanted, dict):
        raise _invalid(what, "value")
    for name, value in wanted.items():
        if not _is_tool(name):
            raise _invalid(what, "tool")
        number = number_of(value)
        if number is None or (what == "offsets" and abs(number) > _MOST_OFFSET):
            raise _invalid(what, "value")


def _invalid(what: str, part: str) -> Refusal:
    return no(400, f"{what} contains invalid {part}")


def _must_be_rate(factor: object) -> None:
    """A rate: percent, or a factor of one with a point in it; at least one percent."""
    number = number_of(factor)
    if number is None or (number * 100 if isinstance(factor, float) else number) < 1:
        raise no(400, "factor is invalid")
