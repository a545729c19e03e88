"""How a journal is opened: made, taken over, brought up to date, set aside, refused."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from msgspec.structs import replace
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import OperationalError

from sdcpd.errors import ConfigError, StoreError
from sdcpd.journal import Journal, PrintQuery, database, versions
from sdcpd.journal.tables import METADATA, REVISIONS
from sdcpd.records import PrintRecord, PrintResult
from tests.fakes import WALL, at_once, logged
from tests.journal.test_ledger import JOB, KEY, PRINT, PRINTER, JournalCase

SECOND = """
import sqlalchemy as sa
from alembic import op
revision = "0002"
down_revision = "0001"
def upgrade():
    op.add_column("keys", sa.Column("used", sa.Double))
    op.execute("UPDATE keys SET used = 7")
"""


class OpeningTests(JournalCase):
    @property
    def path(self) -> Path:
        return self.directory / "journal.db"

    def sql(self, statement: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            return connection.execute(statement).fetchall()

    def test_careful(self) -> None:
        """The file is in WAL mode, and only its own."""
        self.journal()
        self.assertEqual(self.sql("PRAGMA journal_mode"), [("wal",)])
        self.assertEqual(self.sql("SELECT version_num FROM alembic_version"), [(REVISIONS[-1],)])

    def test_private(self) -> None:
        """Nobody but its owner can read the journal and what lies beside it, whatever the umask: it holds hashes."""
        before = os.umask(0o022)
        self.addCleanup(os.umask, before)
        self.journal().write(KEY)
        found = sorted(self.directory.glob("journal.db*"))
        self.assertIn(self.path, found)
        self.assertEqual({path.stat().st_mode & 0o077 for path in found}, {0})

    def test_light(self) -> None:
        """An ordinary start does not load what only migrations need."""
        program = (
            "import sys; from pathlib import Path; from twisted.internet.task import Clock;"
            "from sdcpd.journal import Journal; from tests.fakes import at_once;"
            "Journal('', Path(sys.argv[1]), at_once, Clock());"
            "sys.exit(bool({'alembic', 'sqlalchemy.orm', 'psycopg'} & set(sys.modules)))"
        )
        for _ in range(2):
            subprocess.run([sys.executable, "-c", program, str(self.directory)], check=True, timeout=300)

    def test_migrations_lead_here(self) -> None:
        """An old journal that is brought up to date has the same tables as a new one."""
        engine = create_engine("sqlite://")
        with engine.begin() as connection:
            versions.migrate(connection, versions.MIGRATIONS, REVISIONS[-1])
            self.assertEqual(compare_metadata(MigrationContext.configure(connection), METADATA), [])
            self.assertEqual(versions.stored(connection), REVISIONS[-1])
        scripts = ScriptDirectory(str(versions.MIGRATIONS))
        self.assertEqual([step.revision for step in scripts.walk_revisions()][::-1], list(REVISIONS))

    def test_migrated(self) -> None:
        """A step of the tables keeps what is there."""
        self.journal().write(KEY)
        with create_engine(f"sqlite:///{self.path}").begin() as connection:
            versions.migrate(connection, self.scripts(), "0002")
            self.assertEqual(connection.execute(text("SELECT id, used FROM keys")).all(), [("k1", 7.0)])

    def scripts(self, second: str = SECOND) -> Path:
        """Migrations as a later version has them, with one more step."""
        scripts = self.directory / "migrations"
        (scripts / "versions").mkdir(parents=True, exist_ok=True)
        for name in ("env.py", "versions/0001_first.py"):
            (scripts / name).write_bytes((versions.MIGRATIONS / name).read_bytes())
        (scripts / "versions" / "0002.py").write_text(second)
        return scripts

    def test_copied_first(self) -> None:
        """Before the tables change there is a whole copy of the journal as it was; the old version starts from it."""
        journal = self.journal()
        journal.write(KEY)  # it is in the write-ahead log only, and the file is still open
        journal.write(PRINTER)
        aside = self.directory / "journal.db.before-0002"
        engine = create_engine(f"sqlite:///{self.path}")
        event.listen(engine, "connect", database._prepare)
        event.listen(engine, "begin", database._begin)
        self.addCleanup(engine.dispose)
        broken = self.scripts(SECOND.replace("SET used", "SET unused"))
        self.assertRaises(OperationalError, versions.bring_up, engine, self.path, ("0001", "0002"), broken)
        self.assertEqual(self.sql("SELECT version_num FROM alembic_version"), [("0001",)])
        versions.bring_up(engine, self.path, ("0001", "0002"), self.scripts())
        self.assertEqual(self.sql("SELECT version_num FROM alembic_version"), [("0002",)])
        self.assertEqual(self.sql("SELECT id, used FROM keys"), [("k1", 7.0)])
        journal.close()
        for path in self.directory.glob("journal.db*"):
            if path != aside:
                path.unlink()
        aside.rename(self.path)
        before = self.journal()
        self.assertEqual((before.keys(), before.printers()), ([KEY], [PRINTER]))
        self.assertEqual(self.path.stat().st_mode & 0o077, 0)

    def test_newer(self) -> None:
        """A journal of a newer version is left alone, and the start ends with a sentence."""
        self.journal().write(KEY)
        self.sql("UPDATE alembic_version SET version_num = '9999'")
        error = self.assertRaises(ConfigError, self.journal)
        self.assertIn("newer version of sdcpd", error.message)
        self.assertEqual(self.sql("SELECT id FROM keys"), [("k1",)])

    def test_damaged(self) -> None:
        """A damaged file is kept aside for a person, and a new journal begins."""
        first = self.journal()
        first.write(KEY)
        first.close()
        whole = self.path.read_bytes()
        for number, junk in enumerate(
            (
                b"junk" * 4096,
                whole[:4096] + b"\xff" * 4096 + whole[8192:],
                whole[:4096],
                whole.replace(b"sqlite_autoindex_keys_1", b"sqlite_autoindex_\xffeys_1"),
            )
        ):
            lines = logged(self)
            for path in self.directory.glob("journal.db*"):
                path.unlink()
            self.path.write_bytes(junk)
            journal = self.journal()
            with self.subTest(number=number):
                self.assertEqual(journal.keys(), [])
                (aside,) = self.directory.glob("journal.db.damaged-*[0-9]")
                self.assertEqual(aside.read_bytes(), junk)
                self.assertTrue(any(str(aside) in line for line in lines), lines)
                self.successResultOf(journal.write(KEY))

    def test_damaged_again(self) -> None:
        """What was kept aside when the journal was damaged before is still there after the next time."""
        for junk in (b"first" * 1000, b"second" * 1000):
            self.path.write_bytes(junk)
            self.journal().close()
        kept = [self.directory / f"journal.db.damaged-{number}" for number in (1, 2)]
        self.assertEqual([path.read_bytes() for path in kept], [b"first" * 1000, b"second" * 1000])

    def test_no_file(self) -> None:
        """A path that cannot be a file ends the start with a sentence; nothing is set aside."""
        self.path.mkdir()
        error = self.assertRaises(ConfigError, self.journal)
        self.assertIn("cannot be opened", error.message)
        self.assertEqual([path.name for path in self.directory.iterdir()], ["journal.db"])

    def test_odd_row(self) -> None:
        """A row that cannot be read is told and left alone; everything else is there."""
        self.journal().write(JOB, replace(JOB, id="a2"))
        self.sql("UPDATE jobs SET body = '{}' WHERE id = 'a2'")
        lines = logged(self)
        self.assertEqual(self.journal().jobs(), [JOB])
        self.assertTrue(any("Row a2 of table jobs" in line for line in lines), lines)
        self.assertEqual(self.sql("SELECT count(*) FROM jobs"), [(2,)])

    def test_odd_print(self) -> None:
        """A print that cannot be read is left out of the history; those around it are there, page by page."""
        journal = self.journal()
        prints = [
            replace(PRINT, id=f"p{number}", started=WALL - number, result=PrintResult.FINISHED) for number in range(9)
        ]
        self.successResultOf(journal.write(*prints))
        self.sql("UPDATE prints SET body = '{' WHERE id IN ('p0', 'p3', 'p4')")
        good = [record for record in prints if record.id not in ("p0", "p3", "p4")]
        found: list[PrintRecord] = []
        page = self.successResultOf(journal.prints(PrintQuery(limit=2)))
        while page.next is not None:
            found += page.prints
            page = self.successResultOf(journal.prints(PrintQuery(limit=2, cursor=page.next)))
        self.assertEqual([*found, *page.prints], good)
        self.failureResultOf(journal.print_of("p0"), StoreError)

    def test_later_fields(self) -> None:
        """A row of a version that knew fewer fields, or more, is read with the defaults."""
        self.journal().write(replace(JOB, message=None))
        self.sql("UPDATE jobs SET body = json_set(json_remove(body, '$.message'), '$.novelty', 1)")
        self.assertEqual(self.journal().jobs(), [replace(JOB, message=None)])

    def test_secret(self) -> None:
        """A URL that cannot be used is an error that does not tell its password."""
        for url in ("postgresql://a:hunter2@127.0.0.1:1/x", "mysql://a:hunter2@127.0.0.1:1/x", "hunter2"):
            error = self.assertRaises(ConfigError, Journal, url, self.directory, at_once, self.clock)
            self.assertNotIn("hunter2", error.message + error.hint)
            self.assertIn("[journal] url", error.message + error.hint)
