"""The person at the touch screen, for the faults that have one.

One decision: the person looks whenever the status changes and acts in a turn of their own, because a print must not be
stopped from inside the step that tells of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdcpd.simulator import outside_kinds as kinds
from sdcpd.simulator.simtime import Alarm

if TYPE_CHECKING:
    from sdcpd.simulator.printer import Printer

__all__ = ["Person"]

_LOOKS_AGAIN = 0.5  # printer's seconds

Act = kinds.ScreenPause | kinds.ScreenStop | kinds.ScreenStart


class Person:
    """Pauses, stops, and starts another file."""

    def __init__(self, printer: Printer) -> None:
        self._printer = printer
        self._hand = Alarm(printer.time)

    def look(self) -> None:
        """See whether the layer of a fault is reached."""
        printer = self._printer
        if self._hand.pending or not printer.printing.busy:
            return
        for kind in (kinds.ScreenPause, kinds.ScreenStop, kinds.ScreenStart):
            fault = printer.faults.get(kind)
            if isinstance(fault, Act) and printer.status.print_info.current_layer >= fault.layer:
                self._hand.set(0, self._act, fault)
                return

    def leave(self) -> None:
        """Go away."""
        self._hand.cancel()

    def _act(self, fault: Act) -> None:
        printer = self._printer
        happened = printer.pause_local() if isinstance(fault, kinds.ScreenPause) else printer.stop_local()
        if not happened:  # between two states; the next status is another chance
            return
        printer.faults.take(type(fault))
        printer.journal.note("screen", fault=fault.name, layer=printer.status.print_info.current_layer)
        if isinstance(fault, kinds.ScreenStart):
            self._hand.set(_LOOKS_AGAIN, self._start, fault.filename)

    def _start(self, filename: str) -> None:
        printer = self._printer
        if printer.store.get(filename) is None:
            printer.journal.note("screen", fault=kinds.ScreenStart.name, missing=filename)
        elif printer.start_local(filename):
            printer.journal.note("screen", fault=kinds.ScreenStart.name, started=filename)
        else:
            self._hand.set(_LOOKS_AGAIN, self._start, filename)
