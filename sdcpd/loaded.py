"""Which file a printer has in hand: the one on its way to it, the one that it prints, else the one it printed last.

One decision: it is told here alone, for every document and every dialect, so none of them names another file than the
next. A job of ours knows its bytes, whatever they are called by now; of everything else the printer's own name for the
file decides, and that tells the bytes as well (``names.wire_stem``).
"""

from __future__ import annotations

from contextlib import suppress

from msgspec import Struct

from sdcpd.codec.status import Phase
from sdcpd.errors import FileMissing
from sdcpd.files import FileStore, StoredFile
from sdcpd.printer import Printer
from sdcpd.progress import MOVING, Job, JobState

__all__ = ["Loaded", "loaded"]


class Loaded(Struct, frozen=True):
    """The file that a printer has in hand."""

    name: str | None = None
    """As people call it now; the printer's own name for what is not stored here; None if there is none."""
    stored: StoredFile | None = None
    """None if it came from elsewhere, even if a stored one has its name, or if it is not stored any more."""

    @property
    def size(self) -> int:
        """Its bytes; 0 if it is not stored here."""
        return 0 if self.stored is None else self.stored.size


def loaded(printer: Printer, store: FileStore) -> Loaded:
    """What the printer has in hand; nothing while no status of it is known."""
    if printer.status is None:
        return Loaded()
    wire = printer.status.print.filename
    arriving = printer.phase is Phase.TRANSFER
    if arriving:
        wire = printer.status.transfer.filename or wire
    job = printer.job
    if job is not None and not _is_of(job, wire, arriving):
        job = None
    stored = store.by_wire_name(wire) if job is None else _of(job, store)
    if stored is not None:
        return Loaded(stored.name, stored)
    return Loaded(wire or None if job is None else job.file)


def _is_of(job: Job, wire: str, arriving: bool) -> bool:
    """Whether what the printer has in hand is the job's."""
    if arriving:
        return job.state is JobState.DELIVERING
    return job.state in MOVING and wire in ("", job.wire_name)


def _of(job: Job, store: FileStore) -> StoredFile | None:
    """The job's bytes: under the name that it was wished by if they still have it, else under the newest."""
    named = store.find(job.file)
    if named is not None and named.md5 == job.md5:
        return named
    with suppress(FileMissing):
        return store.get(job.md5)
    return None
