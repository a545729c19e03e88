"""``api/v1/...`` that only looks: storage, status, info, job, transfer, cameras.

One decision: what there is not is answered as the real server answers it of a printer without it: 204 for no job and no
transfer, an empty list of cameras (reference apis.md 2.1b, 2.9, 5.4).
"""

from __future__ import annotations

import platform
from collections.abc import Callable

from msgspec import UNSET, Struct, UnsetType
from twisted.internet.defer import Deferred

from sdcpd.files import FileStore
from sdcpd.fleet import Printer
from sdcpd.loaded import loaded
from sdcpd.web.answer import Answer, json_answer
from sdcpd.web.errors import Refusal
from sdcpd.web.octoprint.present import Present
from sdcpd.web.prusalink.entries import HERE, Entries
from sdcpd.web.prusalink.present import (
    JobAnswer,
    JobFile,
    StatusJob,
    StatusPrinter,
    StatusTransfer,
    TransferAnswer,
    job_of,
    printer_of,
    status_job_of,
    status_transfer_of,
    transfer_of,
)
from sdcpd.web.routes import Call, Route

__all__ = ["LookEndpoints"]

_NAME = "Spool"
_NOTHING = Answer(204)


class Storage(Struct, frozen=True):
    """One storage; sizes in bytes."""

    path: str
    name: str
    type: str
    read_only: bool
    available: bool
    free_space: int
    total_space: int
    print_files: int


class StorageAnswer(Struct, frozen=True):
    """All storages. PrusaSlicer wants this key to be the first."""

    storage_list: list[Storage]


class StatusStorage(Struct, frozen=True):
    """The storage in short."""

    path: str
    name: str
    read_only: bool
    free_space: int


class StatusAnswer(Struct, frozen=True, omit_defaults=True):
    """The present of the printer; what there is not is left out."""

    printer: StatusPrinter
    storage: StatusStorage
    job: StatusJob | UnsetType = UNSET
    transfer: StatusTransfer | UnsetType = UNSET


class InfoAnswer(Struct, frozen=True):
    """Who the printer is. A resin printer has neither nozzle nor extruder."""

    name: str
    serial: str
    hostname: str
    port: str
    mmu: bool = False
    farm_mode: bool = False
    sd_ready: bool = False
    active_camera: bool = False
    nozzle_diameter: None = None
    min_extrusion_temp: None = None


class CamerasAnswer(Struct, frozen=True):
    """The cameras: none."""

    camera_list: tuple[()] = ()


class LookEndpoints:
    """Handlers over the present of the printer; ``wall`` gives seconds since the epoch."""

    def __init__(self, store: FileStore, entries: Entries, present: Present, wall: Callable[[], float]) -> None:
        self._store = store
        self._entries = entries
        self._present = present
        self._wall = wall
        also = (401,)
        none = (204, 401)
        cameras = "/api/v1/cameras"
        self.routes = (
            Route("GET", "/api/v1/storage", "view", self.storage, StorageAnswer, also=also),
            Route("GET", "/api/v1/status", "view", self.status, StatusAnswer, also=also),
            Route("GET", "/api/v1/info", "view", self.info, InfoAnswer, also=also),
            Route("GET", "/api/v1/job", "view", self.job, JobAnswer, also=none),
            Route("GET", "/api/v1/transfer", "view", self.transfer, TransferAnswer, also=none),
            Route("GET", cameras, "view", self.cameras, CamerasAnswer, also=also),
            Route("GET", f"{cameras}/snap", "view", self.snap, also=(401, 404)),
        )

    def storage(self, call: Call, printer: Printer) -> Answer:
        """The one storage, with its room; read-only for who may not upload."""
        usage = self._store.usage
        total = usage.quota or usage.used + usage.free
        mine = Storage(f"/{HERE}", _NAME, "LOCAL", _read_only(call), True, usage.room, total, usage.used)
        return json_answer(StorageAnswer([mine]))

    def status(self, call: Call, printer: Printer) -> Deferred[Answer]:
        """The printer's state, its print and the file on its way in short."""
        storage = StatusStorage(f"/{HERE}", _NAME, _read_only(call), self._store.usage.room)

        def answer(z: float | None) -> Answer:
            told = printer_of(printer, z), storage, status_job_of(printer), status_transfer_of(printer, self._wall())
            return json_answer(StatusAnswer(*told))

        return self._present.current_z(printer).addCallback(answer)

    def info(self, call: Call, printer: Printer) -> Answer:
        """Who the printer is; the serial is its MainboardID."""
        return json_answer(InfoAnswer(printer.name, printer.id, platform.node(), printer.announcement.protocol))

    def job(self, call: Call, printer: Printer) -> Deferred[Answer]:
        """The print on the machine; 204 while there is none."""

        def answer(file: JobFile) -> Answer:
            job = job_of(printer, file)
            return _NOTHING if job is None else json_answer(job)

        return self._entries.of_job(loaded(printer, self._store)).addCallback(answer)

    def transfer(self, call: Call, printer: Printer) -> Answer:
        """The file on its way to the printer; 204 while there is none."""
        transfer = transfer_of(printer, self._wall())
        return _NOTHING if transfer is None else json_answer(transfer)

    def cameras(self, call: Call, printer: Printer) -> Answer:
        """The cameras: none are known."""
        return json_answer(CamerasAnswer())

    def snap(self, call: Call, printer: Printer) -> Answer:
        """A camera's picture: there is none."""
        raise Refusal(404, "no_camera", "This printer has no camera that is known here.")


def _read_only(call: Call) -> bool:
    return "upload" not in call.client.scopes
