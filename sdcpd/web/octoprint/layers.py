"""``plugin/DisplayLayerProgress/values``: the layers, as a plugin of OctoPrint tells them, for small displays.

One decision: it is shaped like the plugin's answer, texts included, because the displays print what they get: a dash
is what nobody knows (reference apis.md 2.13). It is answered with 200 whatever the printer does.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from msgspec import Struct
from twisted.internet.defer import Deferred

from sdcpd.dialects import condition_of
from sdcpd.documents import Documents, PrinterDocument
from sdcpd.fleet import Printer
from sdcpd.web.answer import Answer, json_answer
from sdcpd.web.octoprint.present import Present
from sdcpd.web.octoprint.state import Progress
from sdcpd.web.routes import Call, Route

__all__ = ["LayerEndpoint"]

_UNKNOWN = "-"


class Layer(Struct, frozen=True, rename="camel"):
    """Which layer it is."""

    current: str
    total: str
    average_layer_duration: str
    average_layer_duration_in_seconds: int | str
    last_layer_duration: str = _UNKNOWN
    last_layer_duration_in_seconds: str = _UNKNOWN


class Height(Struct, frozen=True, rename="camel"):
    """How high the model is, in mm."""

    current: str
    current_formatted: str
    total: str
    total_formatted: str
    total_with_extrusion: str


class Print(Struct, frozen=True, rename="camel"):
    """How far it is."""

    progress: str
    time_left: str
    time_left_in_seconds: int | str
    estimated_end_time: str
    """The time of day."""
    printer_state: str


class Values(Struct, frozen=True, rename="camel"):
    """What the plugin tells; a resin printer has no fan and no feed rate."""

    layer: Layer
    height: Height
    print: Print
    current_filename: str
    fan_speed: str = _UNKNOWN
    feedrate: str = _UNKNOWN
    feedrate_g0: str = _UNKNOWN
    feedrate_g1: str = _UNKNOWN


class LayerEndpoint:
    """A handler over the present; ``wall`` gives seconds since the epoch."""

    def __init__(self, present: Present, documents: Documents, wall: Callable[[], float]) -> None:
        self._present = present
        self._documents = documents
        self._wall = wall
        path = "/plugin/DisplayLayerProgress/values"
        self.routes = (Route("GET", path, "view", self.values, gives=Values),)

    def values(self, call: Call, printer: Printer) -> Deferred[Answer]:
        """The layers of the print, and when it ends; dashes while nothing prints."""
        return Deferred.fromCoroutine(self._values(printer))

    async def _values(self, printer: Printer) -> Answer:
        document = self._documents.printer(printer)
        progress = self._present.progress(printer)
        shown = progress.print_time is not None
        now, total = await self._present.current_z(printer), await self._present.height(printer)
        answer = Values(
            layer=_layer(document, progress) if shown else Layer(_UNKNOWN, _UNKNOWN, _UNKNOWN, _UNKNOWN),
            height=Height(_mm(now), _mm(now), _mm(total), _mm(total), _mm(total)),
            print=self._print(printer, progress),
            current_filename=document.file or _UNKNOWN,
        )
        return json_answer(answer)

    def _print(self, printer: Printer, progress: Progress) -> Print:
        left = progress.print_time_left
        end = _UNKNOWN if left is None else time.strftime("%H:%M", time.localtime(self._wall() + left))
        percent = _UNKNOWN if progress.completion is None else f"{progress.completion:.0f}"
        in_seconds: int | str = _UNKNOWN if left is None else left
        return Print(percent, _duration(left), in_seconds, end, condition_of(printer).value)


def _layer(document: PrinterDocument, progress: Progress) -> Layer:
    average = round((progress.print_time or 0) / document.layer) if document.layer else None
    in_seconds: int | str = _UNKNOWN if average is None else average
    return Layer(str(document.layer), str(document.total_layers), _duration(average), in_seconds)


def _mm(height: float | None) -> str:
    return _UNKNOWN if height is None else f"{height:.2f}"


def _duration(seconds: int | None) -> str:
    if seconds is None:
        return _UNKNOWN
    return f"{seconds // 3600}h:{seconds // 60 % 60:02}m:{seconds % 60:02}s"
