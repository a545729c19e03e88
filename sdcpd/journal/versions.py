"""Which form the stored tables have, and how they come to today's.

One decision: an ordinary start asks one plain question. A new journal is made at once in the newest form; only an
older one brings in alembic, which costs memory, and only after a copy was made. A newer one is left alone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from sdcpd.errors import ConfigError
from sdcpd.journal.tables import METADATA, REVISIONS
from sdcpd.logs import logger

__all__ = ["MIGRATIONS", "bring_up", "migrate", "stored"]

MIGRATIONS = Path(__file__).with_name("migrations")
"""Alembic's scripts."""

_log = logger("sdcpd.journal")


def stored(connection: Connection) -> str | None:
    """The version of the tables that are there; None if there are none yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    version = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return None if version is None else str(version)


def bring_up(
    engine: Engine, path: Path | None, revisions: Sequence[str] = REVISIONS, scripts: Path = MIGRATIONS
) -> None:
    """Make the tables, or change those of an older version, after copying the file at ``path`` aside.

    ``revisions`` are the versions that are known, oldest first, ``scripts`` the steps between them. Raises
    ``ConfigError`` for a journal of a newer version.
    """
    newest = revisions[-1]
    with engine.begin() as connection:
        version = stored(connection)
        if version is None:
            METADATA.create_all(connection)
            connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
            connection.execute(text("INSERT INTO alembic_version VALUES (:version)"), {"version": newest})
            return
    if version == newest:
        return
    if version not in revisions:
        raise ConfigError(
            f"the journal was written by a newer version of sdcpd (its tables are {version}, this one knows {newest})",
            "Install that version again, or restore the backup that was made before the change.",
        )
    if path is not None:
        engine.dispose()
        _copy(path, path.with_name(f"{path.name}.before-{newest}"))
    _log.info("The journal's tables go from version {old} to {new}", old=version, new=newest)
    with engine.begin() as connection:
        migrate(connection, scripts, newest)


def migrate(connection: Connection, scripts: Path, target: str) -> None:
    """Run the migrations in ``scripts`` up to ``target``, all of them or none, within the connection's transaction."""
    from alembic.command import upgrade
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.attributes["connection"] = connection
    upgrade(config, target)


def _copy(path: Path, aside: Path) -> None:
    """Copy a database as it is now, with what is still in its WAL, and only then give the copy its name."""
    temporary = aside.with_name(f"{aside.name}.tmp")
    temporary.unlink(missing_ok=True)
    temporary.touch(mode=0o600)
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(temporary)) as target:
        source.backup(target)
    temporary.replace(aside)
    _log.info("The journal as it was is kept as {aside}", aside=str(aside))
