"""The half of the journal that touches the disk: synchronous, in a thread of its own once the daemon runs.

One decision: nothing here decides what is kept; it opens, loads, and applies batches whole or not at all. Whatever
the database says goes on in the domain's words: ``StoreFull`` or ``Unrecorded``, and ``ConfigError`` at the start.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from sqlalchemy import URL, Connection, Engine, Table, create_engine, delete, event, func, make_url, or_, select, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from sdcpd.aside import aside
from sdcpd.errors import BadCursor, ConfigError, StoreFull, Unrecorded
from sdcpd.journal import versions
from sdcpd.journal.prints import Outcomes, PrintPage, PrintQuery, Totals, count_up, find, find_one, sum_up
from sdcpd.journal.tables import JOBS, KEPT, KINDS, PRINTS, Name, Record, row_of
from sdcpd.logs import logger
from sdcpd.progress import Job
from sdcpd.records import PrintRecord, PrintResult

__all__ = ["Batch", "Database", "said"]

_log = logger("sdcpd.journal")

Batch = Mapping[Name, tuple[int, Record | None]]
"""What each record is now, and its place if it is new; None if it has to go."""
R = TypeVar("R")

BUSY_WAIT = 5.0
"""Seconds that SQLite waits for another program (a backup, somebody's shell) that has the file."""
_FULL = frozenset({"SQLITE_FULL", "SQLITE_IOERR_SHMSIZE"})
_DAMAGED = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB"})
_DISK_FULL = "53100"
"""PostgreSQL's SQLSTATE."""


class _Damaged(Exception):
    """The file is there and is no sound database."""


class Database:
    """One journal on the disk. ``url`` is empty for ``journal.db`` in the directory, or PostgreSQL's.

    Opening makes or migrates the tables; a damaged file is set aside, and a new one begins. Raises ``ConfigError``.
    """

    def __init__(self, url: str, directory: Path) -> None:
        self._path = directory / "journal.db"
        self._url = _parsed(url) if url else URL.create("sqlite", database=str(self._path))
        self._alone = False
        self._engine = self._connect(_prepare)
        self.place = "PostgreSQL" if url else str(self._path)
        """What to call it when something is wrong."""
        try:
            self._open()
        except _Damaged as error:
            self._set_aside(error)
            self._open()

    @property
    def _is_file(self) -> bool:
        return self._url.get_backend_name() == "sqlite"

    def _connect(self, prepare: Callable[[Any, object], None]) -> Engine:
        if not self._is_file:
            arguments = {"connect_timeout": 5, "options": "-c statement_timeout=30000", "tcp_user_timeout": 10_000}
            return _engine(self._url, arguments | dict(self._url.query), pool_pre_ping=True)
        engine = _engine(self._url, {"check_same_thread": False, "timeout": BUSY_WAIT})
        event.listen(engine, "connect", prepare)
        event.listen(engine, "begin", _begin)
        return engine

    def _open(self) -> None:
        try:
            if self._is_file and self._path.exists():
                self._check()
            elif self._is_file:
                self._path.touch(mode=0o600)  # the hashes of keys are in it, whoever may look into the directory
            versions.bring_up(self._engine, self._path if self._is_file else None)
        except UnicodeDecodeError as error:  # SQLite quotes what it found, and that is no text
            raise _Damaged(said(error)) from error
        except (SQLAlchemyError, OSError) as error:
            if _word(error) in _DAMAGED:
                raise _Damaged(said(error)) from error
            if self._path.exists() and not self._alone and self._no_room():
                self._open_alone()
                return
            raise ConfigError(
                f"the journal in {self.place} cannot be opened: {said(error)}",
                "Look at the disk and the rights of the directory." if self._is_file else "Look at [journal] url.",
            ) from error
        finally:
            self.close()  # the process may fork after this: no connection may be carried along

    def _open_alone(self) -> None:
        """On a full disk: without the index that SQLite shares between processes, which would need some room."""
        self._alone = True
        self._engine = self._connect(_prepare_alone)
        self._open()

    def _check(self) -> None:
        with self._engine.connect() as connection:
            found = connection.scalars(text("PRAGMA quick_check(1)")).all()
        if found != ["ok"]:
            raise _Damaged(str(found[0]).replace("\n", " "))

    def _set_aside(self, error: _Damaged) -> None:
        kept = aside(self._path)
        for end in ("", "-wal", "-shm"):
            part = self._path.with_name(self._path.name + end)
            if part.exists():
                part.rename(f"{kept}{end}")
        _log.error(
            "The journal was damaged ({error}); it is kept as {aside}, and a new, empty one begins. Restore a backup"
            " if there is one.",
            error=error,
            aside=str(kept),
        )

    def close(self) -> None:
        """Let the database go; the next call opens it again."""
        self._engine.dispose()

    # -- reading ---------------------------------------------------------------------------------------------

    def load(self) -> tuple[list[Record], int]:
        """What the journal holds in memory, in its order, and the first free place. Raises ``ConfigError``."""
        found: list[Record] = []
        place = 0
        try:
            with self._engine.connect() as connection:
                for kind, (table, _, _) in KINDS.items():
                    found += _read(connection, kind, table)
                    place = max(place, connection.scalar(select(func.max(table.c.place))) or 0)
        except SQLAlchemyError as error:
            raise ConfigError(f"the journal in {self.place} cannot be read: {said(error)}") from error
        finally:
            self.close()
            if self._alone:
                self._alone = False
                self._engine = self._connect(_prepare)
        return found, place + 1

    def prints(self, query: PrintQuery) -> PrintPage:
        """One page of the history."""
        with self._asked() as connection:
            return find(connection, query)

    def print_of(self, print_id: str) -> PrintRecord | None:
        """One print."""
        with self._asked() as connection:
            return find_one(connection, print_id)

    def totals(self, query: PrintQuery) -> Totals:
        """Sums over the history."""
        with self._asked() as connection:
            return sum_up(connection, query)

    def outcomes(self, query: PrintQuery) -> Mapping[str, Outcomes]:
        """How the prints of each file ended."""
        with self._asked() as connection:
            return count_up(connection, query)

    @contextmanager
    def _asked(self) -> Iterator[Connection]:
        with self._translated(), self._engine.connect() as connection:
            yield connection

    # -- writing ---------------------------------------------------------------------------------------------

    def apply(self, batch: Batch) -> None:
        """Write all of it in one transaction; it is on the disk when this returns.

        Raises ``StoreFull``, ``Unrecorded``.
        """
        rows: dict[Table, list[dict[str, object]]] = {}
        gone: dict[Table, list[str]] = {}
        for (kind, key), (place, record) in batch.items():
            table = KINDS[kind].table
            if record is None:
                gone.setdefault(table, []).append(key)
            else:
                rows.setdefault(table, []).append(row_of(record, place))
        with self._translated(), self._engine.begin() as connection:
            for table, keys in gone.items():
                connection.execute(delete(table).where(table.c.id.in_(keys)))
            for table, found in rows.items():
                connection.execute(self._put(table), found)

    def _put(self, table: Table) -> Any:
        if self._is_file:
            from sqlalchemy.dialects.sqlite import insert
        else:
            from sqlalchemy.dialects.postgresql import insert  # type: ignore[assignment]  # the same, of another class
        statement = insert(table)
        new = {column.name: statement.excluded[column.name] for column in table.c}
        del new["id"], new["place"]
        return statement.on_conflict_do_update(index_elements=["id"], set_=new)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except BadCursor:
            raise
        except (SQLAlchemyError, OSError) as error:
            # Who asked may be anybody: where the journal is, and what its driver says, is for the log only.
            if _word(error) in _FULL | {_DISK_FULL} or self._no_room():
                raise StoreFull("The journal's disk is full.", "Free some space on it.") from error
            hint = "Look at its disk." if self._is_file else "Look whether the database server runs."
            raise Unrecorded("The journal cannot be used.", f"{hint} The daemon's log says more.") from error
        except msgspec.DecodeError as error:
            raise Unrecorded("This row of the journal cannot be read.", "Restore it from a backup.") from error

    def _no_room(self) -> bool:
        if not self._is_file:
            return False
        try:
            return os.statvfs(self._path.parent).f_bavail == 0
        except OSError:
            return False


def _parsed(url: str) -> URL:
    try:
        found = make_url(url)
        if found.get_backend_name() != "postgresql":
            raise ValueError
        return found.set(drivername="postgresql+psycopg")
    except (ArgumentError, ValueError) as error:  # the URL itself is not told: it may have a password
        raise ConfigError(
            "[journal] url: expected the URL of a PostgreSQL database",
            'Such as "postgresql://sdcpd@localhost/sdcpd"; "" keeps the journal in the state directory.',
        ) from error


def _engine(url: URL, arguments: Mapping[str, object], **more: Any) -> Engine:
    try:
        plain = url.set(query={})
        return create_engine(
            plain, pool_size=1, max_overflow=0, hide_parameters=True, connect_args=dict(arguments), **more
        )
    except (ImportError, NoSuchModuleError) as error:
        raise ConfigError(
            "[journal] url: PostgreSQL needs the package psycopg, which is not installed",
            "Install sdcpd[postgresql] (beside the Debian package: libpq5), or leave the URL empty.",
        ) from error


def _prepare(connection: Any, _: object) -> None:
    connection.isolation_level = None  # transactions begin where we say so, those that change tables included
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")


def _prepare_alone(connection: Any, _: object) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA locking_mode=EXCLUSIVE")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _word(error: Exception) -> str:
    """The driver's own word for what went wrong, or nothing."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    word = getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None) or ""
    return str(word)


def said(error: BaseException | None) -> str:
    """What went wrong in one line, without statement and values."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return " ".join(str(cause).split())


def _read(connection: Connection, kind: type[Record], table: Table) -> Sequence[Record]:
    wanted = select(table.c.id, table.c.body).order_by(table.c.place, table.c.id)
    if kind is Job:
        last = select(JOBS.c.id).where(JOBS.c.ended.is_not(None)).order_by(JOBS.c.place.desc()).limit(KEPT)
        wanted = wanted.where(or_(JOBS.c.ended.is_(None), JOBS.c.id.in_(last)))
    elif kind is PrintRecord:
        wanted = wanted.where(PRINTS.c.result == PrintResult.PRINTING.value)
    found: list[Record] = []
    for key, body in connection.execute(wanted):
        try:
            found.append(msgspec.json.decode(body, type=kind))
        except msgspec.DecodeError as error:
            _log.error(
                "Row {key} of table {table} in the journal cannot be read and is left alone: {error}",
                key=key,
                table=table.name,
                error=error,
            )
    return found
