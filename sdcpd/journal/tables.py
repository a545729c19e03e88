"""The journal's tables, and how a record becomes a row and a row a record.

One decision: a row holds the whole record as JSON, and beside it, as columns, what a query looks for, ours or that of
somebody who opens the database. Fields can be added to a record without a migration: an old row gets their defaults
when it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import BigInteger, Column, Double, Index, MetaData, Table, Text

from sdcpd.progress import Job
from sdcpd.records import Key, Plate, PrintRecord, Remembered, Wear

__all__ = ["KEPT", "KINDS", "METADATA", "PRINTS", "REVISIONS", "Kind", "Name", "Record", "name_of", "row_of"]

KEPT = 200
"""Ended jobs that are remembered; the oldest go first. The history has its own table, and no end."""
REVISIONS = ("0001",)
"""The versions of the tables, oldest first: the names of the migrations. Those below are the last one's."""

Record = Job | Plate | PrintRecord | Wear | Key | Remembered
Name = tuple[type[Record], str]
"""What tells a record from every other: its kind and its key."""

METADATA = MetaData()
_LARGEST = 2**31 - 1
"""More layers than any print has: what a printer makes up must not break a sum."""


def _table(name: str, *columns: Column[Any]) -> Table:
    """``place`` grows with every new row: the order in which things were first recorded, whatever the clock said."""
    return Table(
        name,
        METADATA,
        Column("id", Text, primary_key=True),
        Column("place", BigInteger, nullable=False),
        *columns,
        Column("body", Text, nullable=False),
    )


JOBS = _table(
    "jobs",
    Column("printer", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("ended", Double),
)
PRINTS = _table(
    "prints",
    Column("printer", Text, nullable=False),
    Column("job", Text),
    Column("file", Text, nullable=False),
    Column("started", Double, nullable=False),
    Column("ended", Double),
    Column("result", Text, nullable=False),
    Column("layers", BigInteger, nullable=False),
    Column("printed_s", Double),
    Column("exposure_s", Double),
    Column("volume_ml", Double),
)
Index("prints_started", PRINTS.c.started, PRINTS.c.id)
Index("prints_printer", PRINTS.c.printer, PRINTS.c.started, PRINTS.c.id)
Index("prints_result", PRINTS.c.result)


def _text(value: str) -> str:
    """Without NUL, which PostgreSQL takes in no text; a printer may name a file in any way."""
    return value.replace("\0", "")


def _job(job: Job) -> Mapping[str, object]:
    return {"printer": job.printer, "state": job.state.value, "created": job.created, "ended": job.ended}


def _print(record: PrintRecord) -> Mapping[str, object]:
    return {
        "printer": record.printer,
        "job": record.job,
        "file": _text(record.file.casefold()),
        "started": record.started,
        "ended": record.ended,
        "result": record.result.value,
        "layers": min(record.layers, _LARGEST),
        "printed_s": record.printed_s,
        "exposure_s": record.exposure_s,
        "volume_ml": record.volume_ml,
    }


class Kind(NamedTuple):
    """How one kind of record is kept."""

    table: Table
    key: Callable[[Any], str]
    columns: Callable[[Any], Mapping[str, object]]


def _nothing(record: Record) -> Mapping[str, object]:
    return {}


KINDS: Mapping[type[Record], Kind] = {
    Remembered: Kind(_table("printers"), lambda known: known.announcement.mainboard_id, _nothing),
    Job: Kind(JOBS, lambda job: job.id, _job),
    Plate: Kind(_table("plates"), lambda plate: plate.printer, _nothing),
    PrintRecord: Kind(PRINTS, lambda record: record.id, _print),
    Wear: Kind(_table("wear"), lambda wear: wear.printer, _nothing),
    Key: Kind(_table("keys"), lambda key: key.id, _nothing),
}


def name_of(record: Record) -> Name:
    """What the record is called in the journal."""
    return type(record), KINDS[type(record)].key(record)


def row_of(record: Record, place: int) -> dict[str, object]:
    """The record as a row of its table; ``place`` counts only if there is no such row yet."""
    kind = KINDS[type(record)]
    body = msgspec.json.encode(record).decode()
    return {"id": kind.key(record), "place": place, **kind.columns(record), "body": body}
