"""``server/history/...``: the prints of this printer.

One decision: the journal answers, and what it counts is true: resin has no filament, so that is zero, and its volume
stands among the auxiliary data. Sums are sums over the history; they cannot be set to zero while the prints are
there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from msgspec import Struct
from msgspec.structs import replace
from twisted.internet.defer import Deferred

from sdcpd.errors import FileMissing
from sdcpd.files import FileStore, StoredFile
from sdcpd.journal import Outcomes, PrintQuery
from sdcpd.records import PrintRecord, PrintResult
from sdcpd.web import history
from sdcpd.web.moonraker.endpoint import Ask, Endpoint
from sdcpd.web.moonraker.form import no
from sdcpd.web.moonraker.metadata import Metadata
from sdcpd.web.routes import Parameter

__all__ = ["STATUSES", "HistoryEndpoints", "Prints"]

MOST = 500
"""Prints on a page, and at once from the journal."""

STATUSES = {
    PrintResult.PRINTING: "in_progress",
    PrintResult.FINISHED: "completed",
    PrintResult.STOPPED: "cancelled",
    PrintResult.FAILED: "error",
    PrintResult.LOST: "interrupted",
    PrintResult.UNVERIFIED: "interrupted",
}


class Prints(history.Prints, Protocol):
    """Who remembers prints, and forgets those that an administrator wants forgotten."""

    def outcomes(self, query: PrintQuery) -> Deferred[Mapping[str, Outcomes]]:
        """How the prints of each file ended."""
        ...

    def forget(self, kind: type[PrintRecord], key: str) -> Deferred[None]:
        """Drop one for good."""
        ...


class HistoryJob(Struct, frozen=True):
    """One print. Times are seconds since the epoch, durations seconds."""

    job_id: str
    user: str
    filename: str
    exists: bool
    status: str
    start_time: float
    end_time: float | None
    print_duration: float
    total_duration: float
    filament_used: float
    metadata: dict[str, Any]
    auxiliary_data: list[dict[str, Any]]


class HistoryList(Struct, frozen=True):
    """A page, and how many prints there are in all."""

    count: int
    jobs: list[HistoryJob]


class HistoryEndpoints:
    """Handlers over the journal; ``wall`` gives seconds since the epoch."""

    def __init__(self, prints: Prints, store: FileStore, metadata: Metadata, wall: Callable[[], float]) -> None:
        self._prints = prints
        self._store = store
        self._metadata = metadata
        self._wall = wall
        listing = (
            Parameter("limit", "jobs in the answer, 500 at most; 50 if absent, 0 for no other limit", "integer"),
            Parameter("start", "how many to leave out at the beginning", "integer"),
            Parameter("since", "begun at this time or later", "number"),
            Parameter("before", "begun before this time", "number"),
            Parameter("order", "asc or desc; desc if absent"),
        )
        uid = (Parameter("uid", "the job_id"),)
        every = Parameter("all", "true: every ended print of this printer", "boolean")
        job = "/server/history/job"
        self.endpoints = (
            Endpoint("GET", "/server/history/list", "view", self.page, HistoryList, query=listing, also=(400, 507)),
            Endpoint("GET", "/server/history/totals", "view", self.totals, also=(507,)),
            Endpoint("GET", job, "view", self.job, query=uid, also=(400, 507)),
            Endpoint("DELETE", job, "admin", self.delete, query=(*uid, every), also=(400, 507)),
            Endpoint("POST", "/server/history/reset_totals", "admin", self.reset_totals, also=(403,)),
        )

    def page(self, ask: Ask) -> Deferred[HistoryList]:
        """The prints of this printer, newest first unless asked otherwise."""
        return Deferred.fromCoroutine(self._page(ask))

    async def _page(self, ask: Ask) -> HistoryList:
        arguments = ask.arguments
        limit = int(arguments.number("limit", 50, 0, MOST)) or MOST
        start = int(arguments.number("start", 0, 0, 1e9))
        query = PrintQuery(
            printer=ask.printer.id,
            since=arguments.number("since", 0, 0, 1e12) if "since" in arguments else None,
            until=arguments.number("before", 0, 0, 1e12) if "before" in arguments else None,
            limit=MOST,
        )
        totals = await self._prints.totals(query)
        count = sum(totals.results.values())
        oldest_first = arguments.text("order", "desc").casefold() == "asc"
        first = max(0, count - start - limit) if oldest_first else start
        last = count - start if oldest_first else start + limit
        found = await self._slice(query, first, last)
        if oldest_first:
            found.reverse()
        return HistoryList(count, [await self._document(record) for record in found])

    async def _slice(self, query: PrintQuery, first: int, last: int) -> list[PrintRecord]:
        """The prints from place ``first`` up to ``last``, newest first; the journal pages by place, not by number."""
        found: list[PrintRecord] = []
        passed = 0
        while passed < last:
            page = await self._prints.prints(replace(query, limit=min(MOST, last - passed)))
            found += page.prints[max(0, first - passed) :]
            passed += len(page.prints)
            if page.next is None:
                break
            query = replace(query, cursor=page.next)
        return found

    async def _document(self, record: PrintRecord) -> HistoryJob:
        file = self._file(record)
        ended = record.ended if record.ended is not None else self._wall()
        total = max(0.0, ended - record.started)
        auxiliary = [
            {"provider": "sdcpd", "name": name, "value": value, "description": description, "units": units}
            for name, value, description, units in (
                ("resin_volume", record.volume_ml, "Resin used", "ml"),
                ("layers", record.layers, "Layers printed", None),
                ("exposure", record.exposure_s, "Time of light", "s"),
            )
            if value is not None
        ]
        return HistoryJob(
            job_id=record.id,
            user="",
            filename=record.file,
            exists=file is not None,
            status=STATUSES[record.result],
            start_time=record.started,
            end_time=record.ended,
            print_duration=record.printed_s if record.printed_s is not None else total,
            total_duration=total,
            filament_used=0.0,
            metadata=await self._metadata.of(file, record.printer) if file is not None else {},
            auxiliary_data=auxiliary,
        )

    def _file(self, record: PrintRecord) -> StoredFile | None:
        try:
            return self._store.get(record.md5) if record.md5 is not None else self._store.get(record.file)
        except FileMissing:
            return None

    def totals(self, ask: Ask) -> Deferred[dict[str, Any]]:
        """Sums over all prints of this printer."""
        return Deferred.fromCoroutine(self._totals(ask))

    async def _totals(self, ask: Ask) -> dict[str, Any]:
        query = PrintQuery(printer=ask.printer.id, limit=MOST)
        sums = await self._prints.totals(query)
        total = longest = longest_print = 0.0
        cursor: str | None = None
        while True:
            page = await self._prints.prints(replace(query, cursor=cursor))
            for record in page.prints:
                lasted = max(0.0, (record.ended or record.started) - record.started)
                total += lasted
                longest = max(longest, lasted)
                longest_print = max(longest_print, record.printed_s or 0.0)
            cursor = page.next
            if cursor is None:
                break
        return {
            "job_totals": {
                "total_jobs": sum(sums.results.values()),
                "total_time": total,
                "total_print_time": sums.printed_s,
                "total_filament_used": 0.0,
                "longest_job": longest,
                "longest_print": longest_print,
            },
            "auxiliary_totals": [
                {"provider": "sdcpd", "field": "resin_volume", "maximum": None, "total": sums.volume_ml}
            ],
        }

    def job(self, ask: Ask) -> Deferred[dict[str, Any]]:
        """One print of this printer."""
        return Deferred.fromCoroutine(self._job(ask))

    async def _job(self, ask: Ask) -> dict[str, Any]:
        uid = ask.arguments.text("uid")
        record = await self._prints.print_of(uid)
        if record is None or record.printer != ask.printer.id:
            raise no(404, f"Invalid job uid: {uid[:80]}")
        return {"job": await self._document(record)}

    def delete(self, ask: Ask) -> Deferred[dict[str, Any]]:
        """Take a print, or with ``all=true`` every ended one of this printer, out of the history for good."""
        return Deferred.fromCoroutine(self._delete(ask))

    async def _delete(self, ask: Ask) -> dict[str, Any]:
        if ask.arguments.flag("all"):
            gone = [r for r in await self._slice(PrintQuery(printer=ask.printer.id), 0, 10**9) if r.ended is not None]
        else:
            uid = ask.arguments.text("uid")
            record = await self._prints.print_of(uid)
            if record is None or record.printer != ask.printer.id:
                raise no(404, f"Invalid job uid: {uid[:80]}")
            if record.ended is None:
                raise no(400, "This print has not ended")
            gone = [record]
        for record in gone:
            await self._prints.forget(PrintRecord, record.id)
        return {"deleted_jobs": [record.id for record in gone]}

    def reset_totals(self, ask: Ask) -> dict[str, Any]:
        """Begin the sums anew: they are sums over the history, and stay true."""
        raise no(403, "The totals are sums over the history and cannot be reset")
