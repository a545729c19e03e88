"""What the native API says of printers, jobs and files: typed documents, made from the fleet's values.

One decision: a number here is one that a person can trust. Layers and percentages are clamped, 100 comes only with
the printer's own word, the time left is never negative, and a printer that is out of reach keeps its last values
beside their age.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from sdcpd.codec.status import RUNNING, Outcome, Phase, Status, outcome_of
from sdcpd.estimate import Estimate, estimate
from sdcpd.files import FileStore
from sdcpd.fleet import Fleet, Printer, Reachability
from sdcpd.glance import glance
from sdcpd.loaded import loaded
from sdcpd.plate import Gate
from sdcpd.progress import ENDED, Job
from sdcpd.records import Plate

__all__ = [
    "AckDocument",
    "Documents",
    "JobAnswer",
    "JobDocument",
    "PlateAnswer",
    "PlateDocument",
    "PrinterDocument",
    "RawStatus",
    "estimate_of",
    "eta_of",
    "plate_document",
    "progress_of",
]


class JobDocument(Struct, frozen=True):
    """One job. Times are seconds since the epoch, sizes bytes."""

    id: str
    printer: str | None
    file: str
    md5: str
    size: int
    state: str
    reason: str | None
    message: str | None
    sent: int
    created: float
    started: float | None
    ended: float | None
    queued: bool
    start: bool
    by: str
    attempts: int
    warnings: tuple[str, ...] = ()


class RawStatus(Struct, frozen=True):
    """The printer's own numbers, whatever they mean."""

    current_status: tuple[int, ...]
    print_status: int
    transfer_status: int
    error_number: int
    filename: str


class PlateDocument(Struct, frozen=True):
    """What is known of a build plate. ``revision`` goes with a confirmation; ``at`` is seconds since the epoch."""

    state: str
    revision: int
    by: str | None
    at: float | None
    job: str | None
    reason: str | None


class PlateAnswer(Struct, frozen=True):
    """The answer to a word about a plate."""

    plate: PlateDocument


class WearDocument(Struct, frozen=True):
    """What a printer has done since it is known; seconds of light as far as the files told."""

    layers: int
    exposure_s: float
    prints: int


class PrinterDocument(Struct, frozen=True):
    """One printer."""

    id: str
    mainboard_id: str
    name: str
    model: str
    firmware: str
    protocol: str
    address: str
    resolution: tuple[int, int] | None
    reachability: str
    online: bool
    phase: str
    state_text: str
    needs: str | None
    layer: int
    total_layers: int
    progress: float | None
    eta_s: int | None
    eta_source: str | None
    file: str | None
    md5: str | None
    """Of the stored file whose layers are printed now; null if there is none."""
    last_update: float | None
    age_s: float | None
    job: JobDocument | None
    plate: PlateDocument
    wear: WearDocument
    print: str | None
    hold_reason: str | None
    message: str | None
    raw: RawStatus | None
    rev: int
    port: int | None
    """An HTTP port of its own, where everything below ``/printers/<id>`` stands at the root."""
    urls: dict[str, str]
    """Paths at the daemon's port."""


class JobAnswer(Struct, frozen=True):
    """The answer to a wish that made a job."""

    job: JobDocument


class AckDocument(Struct, frozen=True):
    """The printer's acknowledgement; null when nothing had to be sent to it."""

    ack: int | None


def progress_of(printer: Printer) -> float | None:
    """Percent of the layers, 0 to 100; 100 only when the printer says that it is complete."""
    status = printer.status
    if status is None or status.print.total_layer <= 0 or printer.phase is Phase.TRANSFER:
        return None  # while a file arrives, the numbers are those of the print before
    if outcome_of(status, printer.generation) is Outcome.COMPLETE:
        return 100.0
    percent = 100.0 * max(0, status.print.current_layer) / status.print.total_layer
    return round(min(percent, 99.9), 1)


def estimate_of(printer: Printer) -> Estimate | None:
    """When the print ends, and who says so; None while nothing prints or nobody knows."""
    status = printer.status
    if status is None or printer.phase not in RUNNING:
        return None
    run = printer.run
    return estimate(status.print, run.planned_s if run else None, run.ratio if run else None)


def eta_of(printer: Printer) -> int | None:
    """Seconds until the print ends; never negative."""
    found = estimate_of(printer)
    return found.seconds if found is not None else None


def plate_document(plate: Plate) -> PlateDocument:
    """One plate."""
    return PlateDocument(plate.state.value, plate.revision, plate.by, plate.at, plate.job, plate.reason)


class Documents:
    """Makes documents of the present; ``wall`` gives seconds since the epoch, ``gate`` when plates must be clear."""

    def __init__(self, fleet: Fleet, store: FileStore, wall: Callable[[], float], gate: Callable[[], Gate]) -> None:
        self._fleet = fleet
        self._store = store
        self._wall = wall
        self._gate = gate

    def printer(self, printer: Printer) -> PrinterDocument:
        """Everything about one printer."""
        known = printer.announcement
        status = printer.status
        heard = self._fleet.heard(printer.id)
        job = printer.job
        file = loaded(printer, self._store)
        on_it = file.stored if printer.phase in RUNNING else None
        left = estimate_of(printer)
        seen = glance(printer, self._gate())
        total = max(0, status.print.total_layer) if status is not None else 0
        layer = max(0, status.print.current_layer) if status is not None else 0
        return PrinterDocument(
            id=printer.slug,
            mainboard_id=printer.id,
            name=printer.name,
            model=known.machine_name,
            firmware=known.firmware,
            protocol=known.protocol,
            address=printer.address,
            resolution=known.resolution,
            reachability=printer.reachability.value,
            online=printer.reachability is Reachability.ONLINE,
            phase=printer.phase.value,
            state_text=seen.text,
            needs=seen.needs,
            layer=min(layer, total) if total else layer,
            total_layers=total,
            progress=progress_of(printer),
            eta_s=left.seconds if left is not None else None,
            eta_source=left.source if left is not None else None,
            file=file.name,
            md5=on_it.md5 if on_it is not None else None,
            last_update=heard,
            age_s=None if heard is None else round(max(0.0, self._wall() - heard), 1),
            job=self.job(job) if job is not None else None,
            plate=plate_document(printer.plate),
            wear=WearDocument(printer.wear.layers, round(printer.wear.exposure_s, 1), printer.wear.prints),
            print=printer.run.id if printer.run is not None else None,
            hold_reason=job.reason if job is not None and job.state not in ENDED else None,
            message=self._message(printer),
            raw=None if status is None else _raw(status),
            rev=printer.version,
            port=printer.port or None,
            urls=_urls(printer.slug),
        )

    def _message(self, printer: Printer) -> str | None:
        if printer.message is not None:
            return printer.message
        if printer.run is not None and printer.run.stalled:
            return "No new layer has come for far too long; look at the printer."
        if printer.job is not None and printer.job.message is not None and not _is_past(printer, printer.job):
            return printer.job.message
        if printer.phase is Phase.ATTENTION:
            return "The print is over; confirm it on the printer's screen."
        return None

    def job(self, job: Job) -> JobDocument:
        """One job."""
        return JobDocument(
            id=job.id,
            printer=self._fleet.slug_of(job.printer) or None,
            file=job.file,
            md5=job.md5,
            size=job.size,
            state=job.state.value,
            reason=job.reason,
            message=job.message,
            sent=job.sent,
            created=job.created,
            started=job.started,
            ended=job.ended,
            queued=job.queued,
            start=job.start,
            by=job.by,
            attempts=job.attempts,
            warnings=job.warnings,
        )


def _urls(slug: str) -> dict[str, str]:
    tree = f"/printers/{slug}"
    base = f"/v1{tree}"
    return {
        "self": base,
        "layer": f"{base}/layer.png",
        "updates": f"{tree}/v1/updates",
        "octoprint": tree,
        "moonraker": tree,
        "prusalink": f"{tree}/prusalink",
        "sl1": f"{tree}/sl1",
        "sockjs": f"{tree}/sockjs",
    }


def _is_past(printer: Printer, job: Job) -> bool:
    """Whether another print has been on the machine since the job ended: its words would be taken for that one's."""
    return job.state in ENDED and (printer.run is not None or printer.plate.job not in (None, job.id))


def _raw(status: Status) -> RawStatus:
    return RawStatus(
        current_status=status.current,
        print_status=status.print.status,
        transfer_status=status.transfer.status,
        error_number=status.print.error_number,
        filename=status.print.filename,
    )
