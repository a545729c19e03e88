"""The history of prints: ``/v1/history``, its sums, and the same as a table for spreadsheets.

One decision: the journal answers every question, page by page; nothing is kept here. In the table, a text that a
spreadsheet would take for a formula is made a text again.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Protocol

import msgspec
from msgspec import Struct
from twisted.internet.defer import Deferred

from sdcpd.errors import FileMissing
from sdcpd.files import FileStore
from sdcpd.fleet import Fleet
from sdcpd.journal import PrintPage, PrintQuery, Totals
from sdcpd.records import PrintRecord, PrintResult
from sdcpd.web.answer import Answer, json_answer
from sdcpd.web.errors import Refusal
from sdcpd.web.files import thumbnail_of
from sdcpd.web.routes import Call, Parameter, Route

__all__ = ["HistoryApi", "PrintDocument", "Prints"]

PAGE = 50
"""Prints on a page, unless another number is asked for."""
MOST = 500
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


class Prints(Protocol):
    """Who remembers prints."""

    def prints(self, query: PrintQuery) -> Deferred[PrintPage]:
        """One page, newest first."""
        ...

    def print_of(self, print_id: str) -> Deferred[PrintRecord | None]:
        """One print."""
        ...

    def totals(self, query: PrintQuery) -> Deferred[Totals]:
        """Sums over prints."""
        ...


class PrintDocument(Struct, frozen=True):
    """One print. Times are seconds since the epoch, durations seconds; null is what nobody knows."""

    id: str
    printer: str
    file: str
    md5: str | None
    job: str | None
    started: float
    ended: float | None
    result: str
    reason: str | None
    message: str | None
    layers: int
    total_layers: int
    planned_s: float | None
    printed_s: float | None
    exposure_s: float | None
    volume_ml: float | None
    thumbnail: str | None
    """Where its picture is; null once the file is stored no more."""


class HistoryDocument(Struct, frozen=True):
    """One page of the history, newest first; ``next`` is the cursor of the page after it."""

    prints: list[PrintDocument]
    next: str | None


class TotalsDocument(Struct, frozen=True):
    """Sums over the prints that were asked for; ``results`` counts them by their end."""

    prints: int
    results: Mapping[str, int]
    layers: int
    printed_s: float
    exposure_s: float
    volume_ml: float


class HistoryApi:
    """Handlers over the journal."""

    def __init__(self, prints: Prints, fleet: Fleet, store: FileStore) -> None:
        self._prints = prints
        self._fleet = fleet
        self._store = store
        filters = (
            Parameter("printer", "a slug or MainboardID"),
            Parameter("result", ", ".join(result.value for result in PrintResult)),
            Parameter("since", "begun at this time or later, in seconds since 1970", "number"),
            Parameter("until", "begun before this time", "number"),
            Parameter("q", "a part of the file's name"),
        )
        paging = (Parameter("cursor", "next of the page before"), Parameter("limit", "1 to 500", "integer"))
        base = "/v1/history"
        bad = (400, 404, 507)
        self.routes = (
            Route("GET", base, "view", self.page, HistoryDocument, query=(*filters, *paging), also=bad, limited=True),
            Route("GET", f"{base}/totals", "view", self.totals, TotalsDocument, query=filters, also=bad, limited=True),
            Route("GET", f"{base}.csv", "view", self.table, query=filters, content="text/csv", also=bad, limited=True),
            Route("GET", f"{base}/<print_id>", "view", self.one, PrintDocument, also=(404, 507), limited=True),
        )

    def page(self, call: Call) -> Deferred[Answer]:
        """The prints, newest first, page by page."""
        return self._prints.prints(self._query(call)).addCallback(
            lambda page: json_answer(HistoryDocument([self._document(p) for p in page.prints], page.next))
        )

    def one(self, call: Call, print_id: str) -> Deferred[Answer]:
        """One print."""

        def tell(record: PrintRecord | None) -> Answer:
            if record is None or not call.client.sees(record.printer):
                raise Refusal(404, "unknown_print", f"No print has the id {print_id!r}.", "GET /v1/history lists them.")
            return json_answer(self._document(record))

        return self._prints.print_of(print_id).addCallback(tell)

    def totals(self, call: Call) -> Deferred[Answer]:
        """How many prints there are, how they ended, and what they took."""

        def tell(found: Totals) -> Answer:
            count = sum(found.results.values())
            sums = (found.layers, found.printed_s, found.exposure_s, found.volume_ml)
            return json_answer(TotalsDocument(count, found.results, *sums))

        return self._prints.totals(self._query(call)).addCallback(tell)

    def table(self, call: Call) -> Deferred[Answer]:
        """All prints that are wanted, as a table for spreadsheets."""
        return Deferred.fromCoroutine(self._table(self._query(call)))

    async def _table(self, query: PrintQuery) -> Answer:
        written = io.StringIO()
        out = csv.writer(written, lineterminator="\r\n")
        out.writerow(PrintDocument.__struct_fields__)
        query = msgspec.structs.replace(query, limit=MOST)
        while True:
            page = await self._prints.prints(query)
            for record in page.prints:
                out.writerow([_cell(value) for value in msgspec.structs.astuple(self._document(record))])
            if page.next is None:
                break
            query = msgspec.structs.replace(query, cursor=page.next)
        headers = {"Content-Disposition": 'attachment; filename="history.csv"'}
        return Answer(200, written.getvalue().encode("utf-8"), "text/csv; charset=utf-8", headers)

    def _query(self, call: Call) -> PrintQuery:
        named, result = call.text("printer"), call.text("result")
        results = {found.value: found for found in PrintResult}
        if result and result not in results:
            words = ", ".join(results)
            raise Refusal(400, "bad_parameter", f"result: expected {words}, found {result[:40]!r}")
        return PrintQuery(
            printers=call.client.wanted(self._fleet, [named] if named else []),
            result=results[result] if result else None,
            since=call.number("since", 0.0, 0.0, 1e12) if call.text("since") else None,
            until=call.number("until", 0.0, 0.0, 1e12) if call.text("until") else None,
            text=call.text("q")[:200],
            cursor=call.text("cursor") or None,
            limit=int(call.number("limit", PAGE, 1, MOST)),
        )

    def _document(self, record: PrintRecord) -> PrintDocument:
        return PrintDocument(
            id=record.id,
            printer=self._fleet.slug_of(record.printer),
            file=record.file,
            md5=record.md5,
            job=record.job,
            started=record.started,
            ended=record.ended,
            result=record.result.value,
            reason=record.reason,
            message=record.message,
            layers=record.layers,
            total_layers=record.total_layers,
            planned_s=record.planned_s,
            printed_s=record.printed_s,
            exposure_s=record.exposure_s,
            volume_ml=record.volume_ml,
            thumbnail=self._thumbnail(record.md5),
        )

    def _thumbnail(self, md5: str | None) -> str | None:
        try:
            return thumbnail_of(self._store.get(md5)) if md5 is not None else None
        except FileMissing:
            return None


def _cell(value: object) -> object:
    """As a spreadsheet may have it: what begins like a formula is marked as text."""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return "" if value is None else value
