"""Which printers a waiting file fits, for jobs that any printer may take.

One decision: a job that nobody gave to a printer goes only where the preflight knows that it fits. What a person would
be warned of stands in the job; where the file or the printer does not say its resolution, somebody has to choose.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from sdcpd.codec.sliced import SlicedFile
from sdcpd.codec.status import Generation
from sdcpd.errors import StoreError
from sdcpd.index import FileIndex
from sdcpd.judging import target_of
from sdcpd.logs import logger
from sdcpd.preflight import judge
from sdcpd.printer import Printer
from sdcpd.progress import Job

__all__ = ["Fitting"]

_log = logger("sdcpd.fitting")


class _Content(Struct, frozen=True):
    """What the preflight asks of a file; its layers would be too much to keep for each waiting job."""

    sliced: SlicedFile
    height: float | None


class Fitting:
    """What is known of the files that wait for any printer; ``index_of`` reads a stored content by its MD5."""

    def __init__(self, index_of: Callable[[str], Deferred[FileIndex | None]]) -> None:
        self._index_of = index_of
        self._known: dict[str, _Content] = {}

    def learn(self, md5: str) -> Deferred[None]:
        """Read the file; until this has fired it fits nowhere. A disk that fails is said in the log, and no more."""
        read = self._index_of(md5).addCallback(self._remember, md5)
        return read.addErrback(self._unread, md5)

    def _remember(self, index: FileIndex | None, md5: str) -> None:
        if index is not None and index.sliced is not None and not index.problem:
            self._known[md5] = _Content(index.sliced, index.height)

    def _unread(self, failure: Failure, md5: str) -> None:
        failure.trap(StoreError)
        _log.warn("What {md5} holds cannot be read: {error}", md5=md5, error=failure.value)

    def keep(self, wanted: set[str]) -> None:
        """Forget all files but these."""
        for md5 in self._known.keys() - wanted:
            del self._known[md5]

    def warnings(self, printer: Printer, job: Job) -> tuple[str, ...] | None:
        """What a person would be warned of if the job went to this printer; None if it must not."""
        found = self._known.get(job.md5)
        if found is None or printer.generation is not Generation.V1:
            return None
        if found.sliced.resolution is None or printer.announcement.resolution is None:
            return None
        findings = judge(found.sliced, target_of(printer), found.height)
        return None if findings.refusals else tuple(finding.message for finding in findings.warnings)
