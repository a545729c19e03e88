"""What somebody wants of a job, and the job that it makes.

One decision: a wish says who has it and under which key, so the same wish that is sent twice is one job.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from sdcpd.errors import KeyReused
from sdcpd.files import StoredFile, wire_name
from sdcpd.progress import Job, JobState

__all__ = ["EVENTS", "FILE_LACKING", "Wish", "job_of", "lacks", "repeated", "said", "waiting_again", "word"]


FILE_LACKING = frozenset({"start_refused_2", "start_refused_3", "start_refused_4"})
"""Reasons by which the printer says that it has not got this file, whatever its last transfer was."""


EVENTS = {
    JobState.DELIVERING: "transfer_started",
    JobState.DELIVERED: "transfer_done",
    JobState.HELD: "job_held",
    JobState.PRINTING: "print_started",
    JobState.PAUSED: "print_paused",
    JobState.FINISHED: "print_finished",
    JobState.STOPPED: "print_stopped",
    JobState.FAILED: "print_failed",
    JobState.LOST: "print_lost",
    JobState.UNVERIFIED: "print_unverified",
}
"""What it is called when a job comes into a state."""


class Wish(Struct, frozen=True):
    """What somebody, ``by``, wants of a job."""

    by: str
    start: bool = True
    plate_clear: bool | None = None
    warnings: tuple[str, ...] = ()
    """What does not quite fit between the file and the printer."""
    key: str | None = None
    """Whoever asks under this key again gets the same job."""
    asked: str = ""
    """What was asked, to tell a repetition from another wish."""


def job_of(wish: Wish, mainboard_id: str, file: StoredFile, now: float) -> Job:
    """A new job; ``now`` is in seconds since the epoch."""
    return Job(
        id=secrets.token_hex(6),
        printer=mainboard_id,
        file=file.name,
        md5=file.md5,
        size=file.size,
        wire_name=wire_name(file),
        state=JobState.QUEUED,
        created=now,
        plate_clear=wish.plate_clear,
        start=wish.start,
        by=wish.by,
        idempotency_key=wish.key,
        asked=wish.asked,
        warnings=wish.warnings,
    )


def waiting_again(job: Job) -> Job:
    """A job that was not started before the daemon ended, as it waits now.

    What a person wanted printed at once, then, may be unwanted by now: it waits for another word.
    """
    state = JobState.DELIVERED if job.state is JobState.DELIVERED else JobState.QUEUED
    return replace(job, state=state, start=job.start and job.queued, queued=True, reason=None, message=None)


def lacks(jobs: Iterable[Job], job: Job) -> bool:
    """Whether the printer, when it was last told to start this very file, said that it does not have it."""
    for old in reversed(list(jobs)):
        if (old.printer, old.wire_name) == (job.printer, job.wire_name):
            if (old.reason or "").startswith("start_"):
                return old.reason in FILE_LACKING
            if old.started is not None:
                return False
    return False


def repeated(jobs: Iterable[Job], by: str, key: str | None, asked: str) -> Job | None:
    """The job that ``by`` made under this key; ``KeyReused`` if something else was ``asked`` then."""
    if key is None:
        return None
    job = next((job for job in jobs if (job.by, job.idempotency_key) == (by, key)), None)
    if job is not None and job.asked != asked:
        raise _reused()
    return job


def word(by: str, key: str | None, asked: str) -> str | None:
    """What ``by`` asked under an Idempotency-Key, to be kept with what it was asked of; None without a key."""
    return None if key is None else f"{by}\n{key}\n{asked}"


def said(last: str | None, now: str | None) -> bool:
    """Whether the word that is said ``now`` was the ``last`` one; ``KeyReused`` if another was under its key."""
    if last is None or now is None or last.rpartition("\n")[0] != now.rpartition("\n")[0]:
        return False
    if last != now:
        raise _reused()
    return True


def _reused() -> KeyReused:
    return KeyReused("Something else was asked under this Idempotency-Key.", "Send another key with another wish.")
