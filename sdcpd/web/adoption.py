"""``POST /v1/printers/<slug>/adopt``: take a printer over from another program.

One decision: the answer is 202 and the printer's document, because the printer decides; that it has come is seen in
its state and by the event ``back``.
"""

from __future__ import annotations

from collections.abc import Callable

from sdcpd.documents import Documents, PrinterDocument
from sdcpd.fleet import Fleet
from sdcpd.web.answer import Answer, json_answer
from sdcpd.web.routes import Call, Route

__all__ = ["AdoptionApi"]


class AdoptionApi:
    """One route over whoever can invite printers."""

    def __init__(self, fleet: Fleet, adopt: Callable[[str], None], documents: Documents) -> None:
        self._fleet = fleet
        self._adopt = adopt
        self._documents = documents
        path = "/v1/printers/<name>/adopt"
        self.routes = (Route("POST", path, "control", self.adopt, PrinterDocument, 202, also=(404, 409, 503)),)

    def adopt(self, call: Call, name: str) -> Answer:
        """Invite a printer that another program controls, also while it prints; nothing to do if it is here."""
        printer = self._fleet.get(name)
        self._adopt(printer.id)
        return json_answer(self._documents.printer(self._fleet[printer.id]), 202)
