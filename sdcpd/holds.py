"""The files that jobs and prints need: nobody may delete those of a job, and they do not expire.

One decision: a job holds its file once, however often it is asked to, and lets it go once; so whoever ends a job need
not know how it came to be.
"""

from __future__ import annotations

from contextlib import suppress

from sdcpd.codec.status import RUNNING
from sdcpd.errors import FileMissing
from sdcpd.files import FileStore, StoredFile
from sdcpd.printer import Printer
from sdcpd.progress import MOVING, Job

__all__ = ["Holds", "printed"]


def printed(printer: Printer, store: FileStore) -> StoredFile | None:
    """The stored file that the print on a machine is made of; None while nothing prints, or what is not stored."""
    status, job = printer.status, printer.job
    if status is None or printer.phase not in RUNNING:
        return None
    wire = status.print.filename
    if job is not None and job.state in MOVING and wire in ("", job.wire_name):
        with suppress(FileMissing):
            return store.get(job.md5)  # held, though its name may stand for other bytes by now
    return store.by_wire_name(wire) if wire else None


class Holds:
    """Which jobs hold files of ``store``."""

    def __init__(self, store: FileStore) -> None:
        self._store = store
        self._jobs: set[str] = set()

    def hold(self, job: Job) -> None:
        """The job needs its file from now on; raises ``FileMissing`` if it is not stored."""
        if job.id not in self._jobs:
            self._store.hold(job.md5)
            self._jobs.add(job.id)

    def release(self, job: Job) -> None:
        """The job does not need its file any more."""
        if job.id in self._jobs:
            self._jobs.remove(job.id)
            self._store.release(job.md5)
