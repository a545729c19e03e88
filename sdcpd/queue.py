"""The order of the jobs that wait, and what may be done next about each of them.

One decision: a job that does not go on always says why, by one of the words below, and what to do. The words are
decided here alone, from values; nothing is started that a person did not ask for, nothing before the plate is clear.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum

from msgspec import Struct
from msgspec.structs import replace

from sdcpd.codec.status import Phase
from sdcpd.plate import Gate, admits
from sdcpd.progress import Job, JobState
from sdcpd.records import Plate, PlateState

__all__ = ["REASONS", "Next", "Step", "View", "moved", "next_step", "ordered"]


class Step(Enum):
    """What is to be done about a job now."""

    WAIT = "wait"
    DELIVER = "deliver"
    START = "start"


REASONS: Mapping[str, str] = {
    "behind_another": "{name} has another job before it; it is this one's turn when that one is over or removed.",
    "printer_offline": "{name} is out of reach; switch it on. The job goes on by itself.",
    "owned_elsewhere": "{name} is used by another program; close that one, or POST /v1/printers/{slug}/adopt.",
    "printer_busy": "{name} is at work; the job goes on by itself when it is idle.",
    "needs_attention": "{name} waits for somebody to confirm its last print; confirm on the printer's screen.",
    "plate_not_clear": "The file is on {name}; look at the plate, and confirm that it is clear.",
    "waiting_for_start": "The file is on {name}; start it by POST /v1/jobs/{job}/start when you like.",
    "no_printer": "No printer that this file suits is free; the job goes to the first one that is.",
    "file_missing": "The file is not stored any more; upload it again, or remove the job.",
    "journal_unwritable": "The start cannot be noted on the disk; free some space. The job goes on by itself.",
}
"""Why a job waits, and what to do."""


class View(Struct, frozen=True):
    """What the next step depends on, of one printer."""

    name: str
    slug: str
    online: bool
    elsewhere: bool
    phase: Phase
    busy: bool
    """Whether a job of ours is under way on it."""
    plate: Plate
    gate: Gate
    writable: bool


class Next(Struct, frozen=True):
    """The next step, and why it is none."""

    step: Step
    reason: str | None = None
    message: str | None = None


def ordered(jobs: Iterable[Job]) -> list[Job]:
    """The jobs in the order in which they come."""
    return sorted(jobs, key=lambda job: (job.position, job.created, job.id))


def moved(jobs: Iterable[Job], job_id: str, before: str | None) -> list[Job]:
    """The queue with one job before another, or at its end, each with its new place; ``KeyError`` for strangers."""
    found = {job.id: job for job in ordered(jobs)}
    mover = found.pop(job_id)
    if before == job_id:
        before = None
    if before is not None and before not in found:
        raise KeyError(before)
    order: list[Job] = []
    for job in found.values():
        if job.id == before:
            order.append(mover)
        order.append(job)
    if before is None:
        order.append(mover)
    return [replace(job, position=float(place)) for place, job in enumerate(order, 1)]


def _may_start(job: Job, view: View, *, asked: bool) -> bool:
    """Whether a person's wish stands for this very start: by itself nothing follows a print unless the plate was
    confirmed since, also where the gate is off."""
    if not job.start:
        return False
    return asked or view.plate.state in (PlateState.CLEAR, PlateState.UNKNOWN) or view.gate is not Gate.OFF


def next_step(job: Job, view: View, *, first: bool, asked: bool = False) -> Next:
    """What to do about a job. ``first``: it is at the head; ``asked``: a person asks for its start just now."""
    if not first:
        return _wait("behind_another", job, view)
    if view.elsewhere:
        return _wait("owned_elsewhere", job, view)
    if not view.online:
        return _wait("printer_offline", job, view)
    if view.phase is Phase.ATTENTION:
        return _wait("needs_attention", job, view)
    if view.phase is not Phase.IDLE or view.busy:
        return _wait("printer_busy", job, view)
    if job.state is not JobState.DELIVERED:
        return Next(Step.DELIVER)
    if not _may_start(job, view, asked=asked):
        return _wait("waiting_for_start", job, view)
    if not admits(view.plate, view.gate):
        return _wait("plate_not_clear", job, view)
    return Next(Step.START) if view.writable else _wait("journal_unwritable", job, view)


def _wait(reason: str, job: Job, view: View) -> Next:
    return Next(Step.WAIT, reason, REASONS[reason].format(name=view.name, slug=view.slug, job=job.id))
