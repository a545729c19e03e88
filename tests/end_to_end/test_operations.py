"""The commands of docs/operations.md that nobody tries before the day they are needed, as they stand there."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from twisted.trial.unittest import SynchronousTestCase

from tests.end_to_end.processes import PATIENCE, Daemon, Printers
from tests.end_to_end.requirements import needs
from tests.journal.test_postgresql import Server
from tests.sliced import goo_file

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


def commands(heading: str) -> str:
    """The first shell block behind these bold words."""
    found = re.search(rf"\*\*{heading}\*\*.*?```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert found is not None, f"docs/operations.md has no commands under {heading!r}"
    return found[1]


@pytest.mark.end_to_end
@needs("sqlite3", "tar")
class OperationsTests(SynchronousTestCase):
    """A daemon that has a file, a queue, a print in its history, a plate that somebody spoke of, and a second key."""

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="sdcpd-"))
        self.addCleanup(shutil.rmtree, self.directory)
        quick = ("--scale", "300", "--layer-time", "4", "--completed-screen", "60")
        self.printers = Printers(self.directory, ["MARS4MAX-1.0.0"], *quick)
        self.addCleanup(self.printers.stop)
        self.daemon = Daemon(self.directory, self.printers.targets)
        self.addCleanup(lambda: self.daemon.server.stop())
        self.slug = self.daemon.wait_for_printers(1)[0]["id"]
        for name in ("a.goo", "b.goo"):
            file = self.directory / name
            bed = (195.84, 122.4, 150.0)
            file.write_bytes(goo_file(name.encode(), resolution=(5760, 3600), bed=bed, heights=(0.05, 0.1, 0.15)))
            self.assertEqual(self.daemon.put(f"/v1/files/{name}", file)[0], 201)
        self.post(f"/v1/printers/{self.slug}/print", {"file": "a.goo", "plate_clear": True}, 202)
        self.daemon.wait_until(self.slug, lambda p: p["job"] and p["job"]["ended"] and p["phase"] == "IDLE")
        self.post(f"/v1/printers/{self.slug}/queue", {"file": "b.goo"}, 202)
        self.post("/v1/queue", {"file": "b.goo"}, 202)
        self.daemon.wait_until(self.slug, lambda p: p["hold_reason"] == "waiting_for_start")
        self.post("/v1/keys", {"name": "slicer", "scopes": ["upload"]}, 201)
        self.before = self.everything()
        self.assertEqual((len(self.before["history"]), len(self.before["jobs"])), (1, 3))

    def post(self, path: str, body: Any, status: int) -> Any:
        found, document = self.daemon.request("POST", path, body)
        self.assertEqual(found, status, document)
        return document

    def everything(self) -> dict[str, Any]:
        """What a person would miss."""
        self.daemon.wait_for_printers(1)
        get = self.daemon.get
        return {
            "printers": [(p["id"], p["mainboard_id"], p["plate"], p["wear"]) for p in get("/v1/printers")],
            "jobs": [(j["id"], j["file"], j["printer"], j["state"], j["start"]) for j in get("/v1/jobs")],
            "history": get("/v1/history")["prints"],
            "files": get("/v1/files"),
            "keys": get("/v1/keys"),
        }

    def run_commands(self, text: str, **places: str) -> None:
        """Run commands of the page, with other places."""
        for place, ours in {"/var/lib/sdcpd": str(self.directory / "state"), **places}.items():
            self.assertIn(place, text)
            text = text.replace(place, ours)
        done = subprocess.run(["sh", "-euc", text], capture_output=True, text=True, timeout=PATIENCE, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""), text)

    def test_backup_and_restore(self) -> None:
        """A backup that was made while the daemon ran brings everything back on a disk that lost all of it."""
        backup = self.directory / "backup"
        backup.mkdir()
        self.run_commands(commands("Back up"), **{"/backup": str(backup)})
        self.daemon.server.kill()
        state = self.directory / "state"
        shutil.rmtree(state)
        state.mkdir()
        (state / "journal.db-wal").write_bytes(b"of another journal")
        self.run_commands(commands("Restore"), **{"/backup": str(backup)})
        self.daemon.server = self.daemon._start()
        self.assertEqual(self.everything(), self.before)
        self.assertEqual([path.name for path in state.glob("*damaged*")], [])
        content = self.daemon.curl("--output", "/dev/null", "/v1/files/b.goo")
        self.assertEqual(content[0], 200)

    @needs("psql")
    def test_to_postgresql(self) -> None:
        """What is in the file comes along to PostgreSQL, the keys and the admin's own included."""
        server = Server()
        self.addCleanup(shutil.rmtree, server.directory)
        self.addCleanup(server.stop)
        url = server.empty()
        key = self.daemon.key
        self.daemon.write_config(self.printers.targets, more=f'[journal]\nurl = "{url}"\n')
        self.daemon.restart(kill=False)
        self.daemon.wait_for_printers(1)
        self.daemon.server.stop()
        (self.directory / "state" / "admin.key").write_text(f"{key}\n")
        self.run_commands(commands("PostgreSQL"), **{"postgresql://sdcpd@host/sdcpd": f"'{url}'"})
        self.daemon.server = self.daemon._start()
        self.assertEqual(self.everything(), self.before)
