"""Questions to the history of prints, as values and as SQL.

One decision: a page ends with a place in the order (the time of the start and the key), not with a number of rows to
skip, so that prints that begin while somebody pages shift nothing.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, Select, func, select, tuple_

from sdcpd.errors import BadCursor
from sdcpd.journal.tables import PRINTS
from sdcpd.logs import logger
from sdcpd.records import PrintRecord, PrintResult

__all__ = ["MOST", "Outcomes", "PrintPage", "PrintQuery", "Totals", "count_up", "find", "find_one", "sum_up"]

MOST = 500
"""Prints on one page."""
_PRINT = msgspec.json.Decoder(PrintRecord)
"""Made here, before there are threads: see ``sdcpd.index``."""


class PrintQuery(Struct, frozen=True):
    """Which prints are wanted; what is None or empty limits nothing."""

    printer: str | None = None
    """A MainboardID."""
    printers: frozenset[str] | None = None
    """The MainboardIDs of which anything may be told at all; None is all."""
    result: PrintResult | None = None
    since: float | None = None
    """Started at this time or later, in seconds since the epoch."""
    until: float | None = None
    """Started before this time."""
    text: str = ""
    """Part of the file's name, in any letter case."""
    file: str = ""
    """The file's whole name, in any letter case."""
    cursor: str | None = None
    """``PrintPage.next`` of the page before."""
    limit: int = 50
    """Prints on the page, 1 to ``MOST``."""


class PrintPage(Struct, frozen=True):
    """A piece of the history, newest first."""

    prints: tuple[PrintRecord, ...]
    next: str | None
    """The cursor of the next page; None if this is the last one."""


class Totals(Struct, frozen=True):
    """Sums over prints; those that did not say how much count as nothing."""

    results: Mapping[str, int]
    """How many prints there are of each ``PrintResult``, by its word; every word is there."""
    layers: int
    printed_s: float
    exposure_s: float
    volume_ml: float


class Outcomes(Struct, frozen=True):
    """How the prints of one file ended, as far as that is known."""

    finished: int
    failed: int
    """Stopped ones and lost ones included."""
    last_finished: bool
    """Whether the last of them was finished."""
    last_ended: float
    """When that was, in seconds since the epoch."""
    last_printed_s: float | None
    """Seconds that it took, without pauses."""


_log = logger("sdcpd.journal")

_KNOWN_ENDS = (PrintResult.FINISHED, PrintResult.STOPPED, PrintResult.FAILED, PrintResult.LOST)
_ORDER = (PRINTS.c.started, PRINTS.c.id)


def _wanted(query: PrintQuery) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if query.printer is not None:
        found.append(PRINTS.c.printer == query.printer)
    if query.printers is not None:
        found.append(PRINTS.c.printer.in_(sorted(query.printers)))
    if query.result is not None:
        found.append(PRINTS.c.result == query.result.value)
    if query.since is not None:
        found.append(PRINTS.c.started >= query.since)
    if query.until is not None:
        found.append(PRINTS.c.started < query.until)
    if query.text:
        found.append(PRINTS.c.file.contains(_folded(query.text), autoescape=True))
    if query.file:
        found.append(PRINTS.c.file == _folded(query.file))
    return found


def _folded(text: str) -> str:
    return text.replace("\0", "").casefold()


def _cursor(started: float, print_id: str) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode((started, print_id))).decode().rstrip("=")


def _after(cursor: str) -> tuple[float, str]:
    try:
        text = base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4))
        return msgspec.json.decode(text, type=tuple[float, str])
    except (binascii.Error, msgspec.DecodeError, ValueError) as error:
        raise BadCursor(
            f"The cursor {cursor[:80]!r} is none that this history gave.", "Begin again without a cursor."
        ) from error


def find(connection: Connection, query: PrintQuery) -> PrintPage:
    """One page, without the rows that cannot be read; raises ``BadCursor``."""
    limit = min(max(query.limit, 1), MOST)
    wanted: Select[Any] = select(PRINTS.c.body, *_ORDER).where(*_wanted(query))
    if query.cursor is not None:
        wanted = wanted.where(tuple_(*_ORDER) < tuple_(*_after(query.cursor)))
    rows = connection.execute(wanted.order_by(*(column.desc() for column in _ORDER)).limit(limit + 1)).all()
    prints = []
    for body, _, print_id in rows[:limit]:
        try:
            prints.append(_PRINT.decode(body))
        except msgspec.DecodeError as error:
            _log.error("Print {id} in the journal cannot be read and is left out: {error}", id=print_id, error=error)
    return PrintPage(tuple(prints), _cursor(*rows[limit - 1][1:]) if len(rows) > limit else None)


def find_one(connection: Connection, print_id: str) -> PrintRecord | None:
    """The print of this key, or None."""
    body = connection.scalar(select(PRINTS.c.body).where(PRINTS.c.id == print_id))
    return None if body is None else _PRINT.decode(body)


def sum_up(connection: Connection, query: PrintQuery) -> Totals:
    """The sums over all prints that are wanted, whatever page the query names."""
    count = dict.fromkeys((result.value for result in PrintResult), 0)
    sums = [func.coalesce(func.sum(PRINTS.c[name]), 0) for name in ("layers", "printed_s", "exposure_s", "volume_ml")]
    rows = connection.execute(
        select(PRINTS.c.result, func.count(), *sums).where(*_wanted(query)).group_by(PRINTS.c.result)
    ).all()
    total = [0, 0.0, 0.0, 0.0]
    for result, prints, *parts in rows:
        count[result] = prints
        total = [one + float(more) for one, more in zip(total, parts, strict=True)]
    return Totals(count, int(total[0]), *total[1:])


def count_up(connection: Connection, query: PrintQuery) -> Mapping[str, Outcomes]:
    """How the prints that are wanted ended, by their files' names in small letters, whatever page the query names."""
    found: dict[str, Outcomes] = {}
    columns = (PRINTS.c.file, PRINTS.c.result, PRINTS.c.ended, PRINTS.c.printed_s)
    known = PRINTS.c.result.in_([result.value for result in _KNOWN_ENDS])
    wanted = select(*columns).where(*_wanted(query), known, PRINTS.c.ended.is_not(None))
    for file, result, ended, printed_s in connection.execute(wanted.order_by(PRINTS.c.ended, PRINTS.c.id)):
        before = found.get(file) or Outcomes(0, 0, False, 0.0, None)
        good = result == PrintResult.FINISHED.value
        found[file] = Outcomes(before.finished + good, before.failed + (not good), good, ended, printed_s)
    return found
