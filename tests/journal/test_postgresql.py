"""The same journal in PostgreSQL: a server of our own, reached by a socket in its own directory."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, ClassVar
from unittest import SkipTest

from sqlalchemy import create_engine

from sdcpd.errors import Unrecorded
from sdcpd.journal import Journal
from tests.fakes import at_once
from tests.journal import test_history, test_ledger
from tests.journal.test_ledger import JOB, PLATE


class Server:
    """One cluster; it refuses to run as root, so root lends it to another user."""

    def __init__(self) -> None:
        places = [*sorted(Path("/usr/lib/postgresql").glob("*/bin")), *map(Path, os.get_exec_path())]
        found = [place for place in places if (place / "initdb").exists() and (place / "pg_ctl").exists()]
        if not found:
            if os.environ.get("SDCPD_REQUIRE_ALL"):
                raise AssertionError("PostgreSQL's server is not installed")
            raise SkipTest("not installed: PostgreSQL's server")
        self._programs = found[0]
        self.directory = Path(tempfile.mkdtemp(prefix="pg"))  # the path of a socket has to be short
        self._user: dict[str, Any] = {}
        if os.getuid() == 0:
            name = next(n for n in ("postgres", "nobody") if n in {entry.pw_name for entry in pwd.getpwall()})
            shutil.chown(self.directory, name)
            self._user = {"user": name}
        self._run("initdb", "--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8")
        self.start()

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), "-D", str(self.directory / "data"), *arguments]
        subprocess.run(command, check=True, cwd=self.directory, stdout=subprocess.DEVNULL, timeout=300, **self._user)

    def start(self) -> None:
        options = f"-c listen_addresses= -c unix_socket_directories={self.directory} -c fsync=off"
        self._run("pg_ctl", "--wait", "--timeout=240", "--log", str(self.directory / "log"), "-o", options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "--wait", "--timeout=240", "--mode=immediate", "stop")

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.directory}&connect_timeout=60"

    def empty(self) -> str:
        """The URL of a new database."""
        url = self.url("postgres").replace("postgresql:", "postgresql+psycopg:")
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql("DROP DATABASE IF EXISTS journal WITH (FORCE)")
            connection.exec_driver_sql("CREATE DATABASE journal")
        engine.dispose()
        return self.url("journal")


class OnPostgreSQL(test_ledger.JournalCase):
    """Lends a server to the tests of its subclasses."""

    server: ClassVar[Server]

    @classmethod
    def setUpClass(cls) -> None:
        cls.server = Server()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.server.stop()
        shutil.rmtree(cls.server.directory)

    def setUp(self) -> None:
        self.url = self.server.empty()
        super().setUp()

    def journal(self, thread: Any = at_once) -> Journal:
        return Journal(self.url, self.directory, thread, self.clock)


class PresentTests(OnPostgreSQL, test_ledger.PresentTests):
    pass


class WritingTests(OnPostgreSQL, test_ledger.WritingTests):
    pass


class HistoryTests(OnPostgreSQL, test_history.HistoryTests):
    pass


class AwayTests(OnPostgreSQL):
    def test_restarted_server(self) -> None:
        """While the server is away writes are refused and remembered; when it is back they are made up for."""
        journal = self.journal()
        self.successResultOf(journal.write(JOB))
        self.server.stop()
        self.failureResultOf(journal.write(PLATE), Unrecorded)
        self.assertNotIn(str(self.server.directory), journal.failing or "")
        self.clock.advance(5)
        self.assertIsNotNone(journal.failing)
        self.server.start()
        self.clock.advance(5)
        self.assertIsNone(journal.failing)
        life = self.journal()
        self.assertEqual((life.jobs(), life.plates()), ([JOB], {PLATE.printer: PLATE}))
