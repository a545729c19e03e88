"""``printer/...`` that only looks: the printer's state, its objects, its endstops.

One decision: a subscription needs a connection, and there is none. Over HTTP it is answered as the old server
promised, with the present, and with the cursor for a long poll; nothing is kept here for anybody (reference apis.md
1.2).
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from sdcpd.dialects import klippy_of
from sdcpd.documents import Documents
from sdcpd.errors import PrinterOffline
from sdcpd.files import FileStore
from sdcpd.fleet import Printer
from sdcpd.loaded import loaded
from sdcpd.web.moonraker.arguments import Arguments
from sdcpd.web.moonraker.endpoint import Ask, Endpoint
from sdcpd.web.moonraker.form import OFFLINE, no
from sdcpd.web.moonraker.objects import available, query

__all__ = ["StatusEndpoints", "objects_of"]


class PrinterInfo(Struct, frozen=True):
    """Who the printer is, and whether it can be worked with; the paths are always empty."""

    state: str
    state_message: str
    hostname: str
    software_version: str
    cpu_info: str
    klipper_path: str = ""
    python_path: str = ""
    log_file: str = ""
    config_file: str = ""
    app: str = "sdcpd"
    process_id: int = 0
    user_id: int = 0
    group_id: int = 0


class QueryAnswer(Struct, frozen=True):
    """The objects that were asked for; ``eventtime`` is seconds of a clock that only goes forward."""

    eventtime: float
    status: dict[str, dict[str, Any]]


class ObjectsAnswer(Struct, frozen=True):
    """The names of the objects that can be asked for."""

    objects: list[str]


class StatusEndpoints:
    """Handlers over the documents and the store. ``cursor`` gives the present place in the stream of news."""

    def __init__(
        self, documents: Documents, store: FileStore, clock: Callable[[], float], cursor: Callable[[], str]
    ) -> None:
        self._store = store
        self._documents = documents
        self._clock = clock
        self._cursor = cursor
        also = (400, 503)
        listing = "/printer/objects/list"
        asking = "/printer/objects/query"
        subscribing = "/printer/objects/subscribe"
        self.endpoints = (
            Endpoint("GET", "/printer/info", "view", self.info, PrinterInfo, also=(503,)),
            Endpoint("GET", listing, "view", self.list, ObjectsAnswer, also=(503,)),
            Endpoint("GET POST", asking, "view", self.query, QueryAnswer, also=also, audited=False),
            Endpoint("POST", subscribing, "view", self.subscribe, QueryAnswer, also=also, rpc=None, audited=False),
            Endpoint("GET", "/printer/query_endstops/status", "view", self.endstops, dict[str, str], also=(503,)),
        )

    def info(self, ask: Ask) -> PrinterInfo:
        """Who the printer is, and its state: startup, ready or error; refused with 503 while it is off."""
        printer = _present(ask.printer)
        state, sentence = klippy_of(printer)
        known = printer.announcement
        return PrinterInfo(
            state=state,
            state_message=sentence,
            hostname=platform.node(),
            software_version=known.firmware,
            cpu_info=known.machine_name or printer.name,
            process_id=os.getpid(),
            user_id=os.getuid(),
            group_id=os.getgid(),
        )

    def list(self, ask: Ask) -> ObjectsAnswer:
        """The names of the objects that this printer has."""
        return ObjectsAnswer(available(_present(ask.printer)))

    def query(self, ask: Ask) -> QueryAnswer:
        """The objects that are asked for: ``?print_stats&display_status=progress``; unknown ones are left out."""
        wanted = objects_of(ask.arguments)
        printer = _present(ask.printer)
        document = self._documents.printer(printer)
        return QueryAnswer(self._clock(), query(printer, document, loaded(printer, self._store).size, wanted))

    def subscribe(self, ask: Ask) -> QueryAnswer:
        """The same as a query, and in the header ``X-Sdcpd-Cursor`` where a long poll goes on from here."""
        answer = self.query(ask)
        cursor = self._cursor()
        ask.headers["X-Sdcpd-Cursor"] = cursor
        ask.headers["Link"] = f'</printers/{ask.printer.slug}/v1/updates?since={cursor}>; rel="monitor"'
        return answer

    def endstops(self, ask: Ask) -> dict[str, str]:
        """The endstops: SDCP tells of none."""
        _present(ask.printer)
        return {}


def _present(printer: Printer) -> Printer:
    if klippy_of(printer)[0] == "disconnected":
        raise PrinterOffline(OFFLINE)
    return printer


def objects_of(arguments: Arguments) -> Mapping[str, frozenset[str] | None]:
    """The objects that are asked for, each with its attributes or None for all.

    By ``objects`` (in a body: a mapping, or its JSON in a form), where null and an empty list both mean all; else by
    every name in the query but those that begin with an underscore.
    """
    given = arguments.get("objects")
    if isinstance(given, str) and given.lstrip().startswith("{"):
        try:
            given = msgspec.json.decode(given)
        except msgspec.DecodeError as error:
            raise no(400, f"Error parsing JSON: {error}") from error
    if isinstance(given, dict):
        return {str(name): _attributes(wanted) for name, wanted in given.items()}
    if given is not None and not isinstance(given, str):
        raise no(400, "Invalid argument 'objects'")
    names = (name for name in arguments if not name.startswith("_"))
    return {name: _attributes(arguments.get(name)) for name in names}


def _attributes(wanted: object) -> frozenset[str] | None:
    if wanted is None or wanted in ("", []):
        return None
    if isinstance(wanted, str):
        return frozenset(word.strip() for word in wanted.split(",") if word.strip())
    if isinstance(wanted, list) and all(isinstance(word, str) for word in wanted):
        return frozenset(wanted)
    raise no(400, "Invalid attributes: expected a list of names or null")
