"""How long a file's prints took on this printer: ``averagePrintTime`` and ``lastPrintTime``.

One decision: the history is asked once for each printer, file and print, not once for each poll: what it says of a
file changes only when a print ends, and polls come every two seconds.
"""

from __future__ import annotations

from statistics import fmean
from typing import Protocol

from msgspec import Struct
from twisted.internet.defer import Deferred

from sdcpd.errors import SdcpdError
from sdcpd.files import StoredFile
from sdcpd.fleet import Fleet, Printer
from sdcpd.journal import PrintPage, PrintQuery
from sdcpd.logs import logger
from sdcpd.records import PrintResult
from sdcpd.web.octoprint.state import Times

__all__ = ["PastPrints", "PastTimes"]

MOST = 50
"""Prints of a file that its average is made of: the last ones."""

_log = logger("sdcpd.web.octoprint.times")


class PastPrints(Protocol):
    """Who remembers prints."""

    def prints(self, query: PrintQuery) -> Deferred[PrintPage]:
        """One page, newest first."""
        ...


class _Known(Struct, frozen=True):
    md5: str
    times: Times


class PastTimes:
    """What the history says of the file that is selected on each printer."""

    def __init__(self, fleet: Fleet, past: PastPrints) -> None:
        self._fleet = fleet
        self._past = past
        self._known: dict[str, _Known] = {}
        fleet.subscribe(self._changed)

    def of(self, printer: Printer, file: StoredFile) -> Deferred[Times]:
        """The times of this file's prints on this printer that ended well; without the file's own estimate.

        Other bytes that had its name before are another file.
        """
        return Deferred.fromCoroutine(self._of(printer, file))

    async def _of(self, printer: Printer, file: StoredFile) -> Times:
        known = self._known.get(printer.id)
        if known is not None and known.md5 == file.md5:
            return known.times
        wanted = PrintQuery(printer=printer.id, file=file.name, result=PrintResult.FINISHED, limit=MOST)
        try:
            page = await self._past.prints(wanted)
        except SdcpdError as error:
            _log.warn("The prints of {file} cannot be looked up: {error}", file=file.name, error=error)
            return Times()
        took = [print.printed_s for print in page.prints if print.md5 == file.md5 and print.printed_s is not None]
        times = Times(None, fmean(took), took[0]) if took else Times()
        now = self._fleet.find(printer.id)
        if now is not None and now.run is printer.run:  # else a print may have ended that the answer does not know of
            self._known[printer.id] = _Known(file.md5, times)
        return times

    def _changed(self, before: Printer | None, after: Printer) -> None:
        if before is not None and before.run is not None and before.run is not after.run:
            self._known.pop(after.id, None)
