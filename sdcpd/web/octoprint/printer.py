"""``api/printer``: the printer's state.

One decision: what a resin printer has not is refused as the real server refuses it of a machine without it, after the
same checks in the same order; nothing is answered as done that was not (reference apis.md 1.3).
"""

from __future__ import annotations

from typing import Any

from sdcpd.fleet import Printer
from sdcpd.web.answer import Answer, json_answer
from sdcpd.web.octoprint.form import NOT_OPERATIONAL, no
from sdcpd.web.octoprint.state import State, state_of, temperatures_of
from sdcpd.web.routes import Call, Parameter, Route

__all__ = ["PrinterEndpoints", "must_be_operational"]


def must_be_operational(printer: Printer) -> State:
    """The printer's state; refused with 409 while it is off or unusable."""
    state = state_of(printer)
    if not state.flags["operational"]:
        raise no(409, NOT_OPERATIONAL)
    return state


class PrinterEndpoints:
    """Handlers over the printer's value."""

    def __init__(self) -> None:
        exclude = Parameter("exclude", "what to leave out, with commas: temperature, sd, state")
        self.routes = (
            Route("GET", "/api/printer", "view", self.state, gives=dict[str, Any], query=(exclude,), also=(409,)),
        )

    def state(self, call: Call, printer: Printer) -> Answer:
        """What the printer does; 409 while it is off. Temperatures are those that the board measures, often none."""
        state = must_be_operational(printer)
        excluded = call.words("exclude")
        document: dict[str, object] = {"temperature": temperatures_of(printer), "state": state}
        return json_answer({name: part for name, part in document.items() if name not in excluded})
