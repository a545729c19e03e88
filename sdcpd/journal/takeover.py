"""The files that earlier versions wrote, taken over once.

One decision: a file is renamed only after its content is in the journal, and what is in the journal already wins; so
a crash in between costs nothing but a second look.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from sdcpd.errors import ConfigError, StoreError
from sdcpd.journal.database import Database
from sdcpd.journal.tables import Name, Record, name_of
from sdcpd.logs import logger
from sdcpd.progress import Job
from sdcpd.records import Remembered

__all__ = ["take_over"]

_log = logger("sdcpd.journal")
_FILES: tuple[tuple[str, type[Record]], ...] = (("printers.json", Remembered), ("jobs.json", Job))


def take_over(directory: Path, database: Database) -> None:
    """Bring ``printers.json`` and ``jobs.json`` into the journal and rename them. Raises ``ConfigError``."""
    for name, kind in _FILES:
        path = directory / name
        if not path.exists():
            continue
        try:
            records: list[Record] = msgspec.json.decode(path.read_bytes(), type=list[kind])  # type: ignore[valid-type]  # a value
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            aside = path.with_name(f"{name}.damaged-{os.getpid()}")
            path.rename(aside)
            _log.error("{name} was damaged ({error}); it is kept as {aside}", name=name, error=error, aside=str(aside))
            continue
        batch: dict[Name, tuple[int, Record | None]] = {}
        for place, record in enumerate(records):
            batch[name_of(record)] = place, record
        try:
            database.apply(batch, missing_only=True)
        except StoreError as error:
            raise ConfigError(f"{name} cannot be taken over: {error.message}", error.hint) from error
        finally:
            database.close()
        path.rename(path.with_name(f"{name}.imported"))
        _log.info("{count} records of {name} were taken over into the journal", count=len(records), name=name)
