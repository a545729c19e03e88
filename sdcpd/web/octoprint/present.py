"""The present of one printer in OctoPrint's data models: what the REST tree answers and what the push sends.

One decision: the pure documents of ``state`` get their file, its contents and its times here, in one place, so a poll
and a push tell the same.
"""

from __future__ import annotations

from msgspec.structs import replace
from twisted.internet.defer import Deferred

from sdcpd.errors import StoreError
from sdcpd.files import FileStore
from sdcpd.fleet import Printer
from sdcpd.index import FileIndex
from sdcpd.loaded import loaded
from sdcpd.web.octoprint.selection import Selection
from sdcpd.web.octoprint.state import JobInformation, Progress, Times, current_z, job_of, progress_of
from sdcpd.web.octoprint.times import PastTimes

__all__ = ["Present"]


class Present:
    """Over the selection, the store and what earlier prints took."""

    def __init__(self, selection: Selection, store: FileStore, past: PastTimes) -> None:
        self._selection = selection
        self._past = past
        self._store = store

    def job(self, printer: Printer) -> Deferred[JobInformation]:
        """The job."""
        return Deferred.fromCoroutine(self._job(printer))

    async def _job(self, printer: Printer) -> JobInformation:
        file, index = self._selection.of(printer), await self._index(printer)
        if file is None or index is None:
            return job_of(printer, file, Times())
        times = await self._past.of(printer, file)
        return job_of(printer, file, replace(times, estimated=index.print_time_s))

    def progress(self, printer: Printer) -> Progress:
        """The progress of the selected file; of another one that was printed before it tells nothing."""
        file = self._selection.of(printer)
        told = loaded(printer, self._store)
        if file is not None and told.name is not None and (told.stored is None or told.stored.md5 != file.md5):
            return Progress()
        return progress_of(printer, None if file is None else file.size)

    def current_z(self, printer: Printer) -> Deferred[float | None]:
        """The height of the model so far, in mm; None while nothing prints or nobody knows."""
        return Deferred.fromCoroutine(self._current_z(printer))

    async def _current_z(self, printer: Printer) -> float | None:
        return current_z(printer, await self._index(printer))

    def height(self, printer: Printer) -> Deferred[float | None]:
        """The height of the whole model of the selected file, in mm."""
        return Deferred.fromCoroutine(self._height(printer))

    async def _height(self, printer: Printer) -> float | None:
        index = await self._index(printer)
        return index.height if index is not None else None

    def bed(self, printer: Printer) -> Deferred[tuple[float, float, float] | None]:
        """The room that the selected file was sliced for: width, depth and height, in mm."""
        return Deferred.fromCoroutine(self._bed(printer))

    async def _bed(self, printer: Printer) -> tuple[float, float, float] | None:
        index = await self._index(printer)
        return index.sliced.bed if index is not None and index.sliced is not None else None

    async def _index(self, printer: Printer) -> FileIndex | None:
        """What the selected file tells; None if nothing is selected or the disk fails."""
        file = self._selection.of(printer)
        try:
            return None if file is None else await self._store.indexes.of(file)
        except (StoreError, OSError):
            return None
