"""mslicer's ``GET /status``: the array that widgets, scripts and shells already poll (reference apis.md 1.1).

One decision: both seeds are served at once (both key styles, numbers by default, names by ``?enums=name``), and the
board's numbers are normalised to the documented ones, with the raw number beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from msgspec import Struct, field
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorTime

from sdcpd.codec.status import RUNNING, Generation, Phase, Status
from sdcpd.documents import eta_of, progress_of
from sdcpd.fleet import Fleet, Printer, Reachability
from sdcpd.progress import ENDED
from sdcpd.web.access import Client
from sdcpd.web.answer import TEXT, Answer, has_etag
from sdcpd.web.errors import Refusal
from sdcpd.web.routes import Call, Parameter, Route
from sdcpd.web.updates import LONGEST, MAX_WAITING, Cursor

__all__ = ["StatusApi"]

_CURRENT = {0: "Ready", 1: "Busy", 2: "TransferringFile"}
_PRINT = {
    0: "None",
    1: "InitialLower",
    2: "Lowering",
    3: "Exposure",
    4: "Retracting",
    5: "Pausing",
    6: "Paused",
    7: "Stopping",
    10: "CheckingFile",
    12: "FinalRetract",
    13: "Canceled",
    16: "Complete",
}
_TRANSFER = {0: "None", 2: "Done", 3: "Error"}
_V1_NORMAL = {6: 4, 7: 6, 8: 6, 9: 7, 10: 7, 14: 13}
_V3_NORMAL = {8: 13, 9: 16}
_WORDS = {
    "offline": frozenset({Phase.OFFLINE}),
    "idle": frozenset({Phase.IDLE}),
    "transfer": frozenset({Phase.TRANSFER}),
    "printing": frozenset({Phase.CHECKING, Phase.PREPARING, Phase.PRINTING, Phase.PAUSING, Phase.STOPPING}),
    "paused": frozenset({Phase.PAUSED}),
    "attention": frozenset({Phase.ATTENTION}),
    "busy": frozenset({Phase.BUSY}),
    "error": frozenset[Phase](),
}


class ResolutionElement(Struct, frozen=True):
    """Pixels of the screen, in both spellings."""

    upper_x: int = field(name="X")
    upper_y: int = field(name="Y")
    x: int
    y: int


class AttributesElement(Struct, frozen=True, rename="pascal"):
    """What the discovery reply told."""

    name: str
    machine_name: str
    protocol_version: str
    firmware_version: str
    resolution: ResolutionElement
    mainboard_ip: str = field(name="MainboardIP")
    mainboard_id: str = field(name="MainboardID")
    sdcp_status: int = field(name="SDCPStatus")
    local_sdcp_address: str = field(name="LocalSDCPAddress")
    sdcp_address: str = field(name="SDCPAddress")
    capabilities: tuple[str, ...]


class PrintElement(Struct, frozen=True, rename="pascal"):
    """``PrintInfo``; ``RawStatus`` is the board's own number."""

    status: int | str
    current_layer: int
    total_layer: int
    current_ticks: int
    total_ticks: int
    error_number: int
    filename: str
    raw_status: int


class TransferElement(Struct, frozen=True, rename="pascal"):
    """``FileTransferInfo``."""

    status: int | str
    download_offset: int
    check_offset: int
    file_total_size: int
    filename: str


class StatusElement(Struct, frozen=True, rename="pascal"):
    """``status``."""

    current_status: int | str
    previous_status: int
    print_info: PrintElement
    file_transfer_info: TransferElement


class PrinterElement(Struct, frozen=True):
    """One printer, with the keys of both seeds and a few of our own."""

    machine_id: str
    machine_id_too: str = field(name="machineId")
    attributes: AttributesElement
    status: StatusElement
    last_update: int
    last_update_too: int = field(name="lastUpdate")
    state: str
    online: bool
    age_s: int | None
    progress: float | None
    eta_s: int | None
    hold_reason: str | None


class StatusApi:
    """Handlers over the fleet; ``mode`` is ``off``, ``trusted`` or ``public``."""

    def __init__(
        self,
        fleet: Fleet,
        clock: IReactorTime,
        wall: Callable[[], float],
        epoch: str,
        mode: str,
    ) -> None:
        self.mode = mode
        self._fleet = fleet
        self._clock = clock
        self._wall = wall
        self._epoch = epoch
        self._cached: dict[tuple[object, ...], bytes] = {}
        self._cached_at: tuple[str, int] = ("", 0)
        query = (
            Parameter("enums", "name: names instead of numbers"),
            Parameter("printer", "slugs or MainboardIDs, with commas"),
            Parameter("status", "printing, paused, idle, offline, error, transfer, attention, busy, or a number"),
            Parameter("sort", "active: the printer at work first"),
            Parameter("connected", "1: only printers that are connected now", "integer"),
            Parameter("wait", "seconds to wait for news since ?since= or If-None-Match, 0 to 55", "number"),
            Parameter("since", "the ETag of the last answer"),
        )
        gives = list[PrinterElement]
        self.routes = (
            Route("GET", "/status", None, self.all, gives, query=query, also=(304, 403)),
            Route("GET", "/printers/<name>/status", None, self.one, gives, query=query, also=(304, 403, 404)),
        )

    def all(self, call: Call) -> Answer | Deferred[Answer]:
        """All printers as mslicer tells them: attributes, status, time of the last word."""
        return self._status(call, call.words("printer"))

    def one(self, call: Call, name: str) -> Answer | Deferred[Answer]:
        """The same array with one printer in it."""
        return self._status(call, [name])

    def _status(self, call: Call, names: list[str]) -> Answer | Deferred[Answer]:
        if self.mode == "off":
            return Answer(403, b"Proxy is disabled", TEXT)
        self._admit(call.client)  # before anything is said of printers
        wanted = call.client.wanted(self._fleet, names)
        wait = self._wait(call)
        for state in call.words("status"):
            if state not in _WORDS and not state.isdecimal():
                words = ", ".join(sorted(_WORDS))
                raise Refusal(400, "bad_parameter", f"status: expected {words} or a number, found {state!r}")
        known = call.text("since") or call.header("if-none-match")
        cursor = Cursor.parse(known, self._epoch, self._fleet.version)
        crowded = self._fleet.waiting >= MAX_WAITING
        if wait > 0 and cursor.version is not None and not crowded and not self._news(cursor.version, wanted):
            return Deferred.fromCoroutine(self._later(call, wanted, cursor.version, wait))
        return self._answer(call, wanted)

    def _admit(self, client: Client) -> None:
        if self.mode != "public" and "view" not in client.scopes:
            raise Refusal(
                403,
                "forbidden",
                f"Your address {client.address} may not read the status.",
                'Give your network the scope "view" under [access] trusted, or set [status] mode = "public".',
            )

    @staticmethod
    def _wait(call: Call) -> float:
        wait = call.number("wait", 0.0, 0.0, LONGEST)
        for preference in call.header("prefer").split(","):
            key, _, value = preference.strip().partition("=")
            if key.casefold() == "wait" and value.strip('" ').isdecimal():
                wait = min(float(value.strip('" ')), LONGEST)
        return wait

    def _news(self, since: int, wanted: frozenset[str] | None) -> bool:
        return bool(self._fleet.since(since, wanted))

    async def _later(self, call: Call, wanted: frozenset[str] | None, since: int, wait: float) -> Answer:
        call.waits()
        deadline = self._clock.seconds() + wait
        while not self._fleet.stopped and not self._news(since, wanted):
            left = deadline - self._clock.seconds()
            if left <= 0:
                break
            try:
                await self._fleet.changed(self._fleet.version, wanted).addTimeout(left, self._clock)
            except DeferredTimeout:
                break
        return self._answer(call, wanted)

    # -- the array -------------------------------------------------------------------------------------------

    def _answer(self, call: Call, wanted: frozenset[str] | None) -> Answer:
        named = call.text("enums") == "name"
        states = tuple(call.words("status"))
        active, connected = call.text("sort") == "active", call.flag("connected")
        now = int(self._wall())
        heard = int(self._fleet.last_heard)
        etag = f'W/"{self._epoch}.{self._fleet.version}.{heard}"'
        headers = {"ETag": etag, "Vary": "X-Api-Key, Authorization"}
        if has_etag(call.header("if-none-match"), etag):
            return Answer(304, headers=headers)
        if self._cached_at != (etag, now):
            self._cached.clear()
            self._cached_at = (etag, now)
        key = (wanted, named, states, active, connected)
        body = self._cached.get(key)
        if body is None:
            printers = [p for p in self._fleet if self._listed(p, wanted, states, connected)]
            if active:
                printers.sort(key=lambda p: p.phase not in RUNNING)
            body = self._cached[key] = msgspec.json.encode([self._element(p, named) for p in printers])
        return Answer(200, body, headers=headers)

    def _listed(
        self, printer: Printer, wanted: frozenset[str] | None, states: tuple[str, ...], connected: bool
    ) -> bool:
        if wanted is not None and printer.id not in wanted:
            return False
        if connected and printer.reachability is not Reachability.ONLINE:
            return False
        return not states or any(self._is(printer, state) for state in states)

    @staticmethod
    def _is(printer: Printer, state: str) -> bool:
        if state.isdecimal():
            return str(_current(printer.status or Status())) == state
        if state == "error":
            return printer.status is not None and printer.status.print.error_number != 0
        return printer.phase in _WORDS[state]

    def _element(self, printer: Printer, names: bool) -> PrinterElement:
        known = printer.announcement
        status = printer.status or Status()
        heard = self._fleet.heard(printer.id)
        last = int(heard or 0)
        width, height = known.resolution or (0, 0)
        online = printer.reachability is Reachability.ONLINE
        job = printer.job
        return PrinterElement(
            machine_id=printer.id,
            machine_id_too=printer.id,
            attributes=AttributesElement(
                name=printer.name,
                machine_name=known.machine_name,
                protocol_version=known.protocol,
                firmware_version=known.firmware,
                resolution=ResolutionElement(width, height, width, height),
                mainboard_ip=printer.address or known.mainboard_ip,
                mainboard_id=printer.id,
                sdcp_status=int(online),
                local_sdcp_address=known.local_sdcp_address,
                sdcp_address=known.sdcp_address,
                capabilities=known.capabilities,
            ),
            status=_status(status, printer, names),
            last_update=last,
            last_update_too=last,
            state=printer.phase.value,
            online=online,
            age_s=None if heard is None else max(0, int(self._wall() - heard)),
            progress=progress_of(printer),
            eta_s=eta_of(printer),
            hold_reason=job.reason if job is not None and job.state not in ENDED else None,
        )


def _current(status: Status) -> int:
    if 2 in status.current:
        return 2
    return 1 if any(status.current) else 0


def _normal(printer: Printer, status: Status) -> int:
    raw = status.print.status
    if printer.phase is Phase.CHECKING:
        return 10
    return (_V1_NORMAL if printer.generation is Generation.V1 else _V3_NORMAL).get(raw, raw)


def _status(status: Status, printer: Printer, names: bool) -> StatusElement:
    def word(number: int, words: Mapping[int, str]) -> int | str:
        return words.get(number, str(number)) if names else number

    info, moved = status.print, status.transfer
    return StatusElement(
        current_status=word(_current(status), _CURRENT),
        previous_status=status.previous,
        print_info=PrintElement(
            status=word(_normal(printer, status), _PRINT),
            current_layer=info.current_layer,
            total_layer=info.total_layer,
            current_ticks=info.current_ticks,
            total_ticks=info.total_ticks,
            error_number=info.error_number,
            filename=info.filename,
            raw_status=info.status,
        ),
        file_transfer_info=TransferElement(
            status=word(moved.status, _TRANSFER),
            download_offset=moved.download_offset,
            check_offset=moved.check_offset,
            file_total_size=moved.total_size,
            filename=moved.filename,
        ),
    )
