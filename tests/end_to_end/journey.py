"""What the end-to-end tests of a print share: a daemon, a printer, and the steps a person takes."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.end_to_end.processes import PATIENCE, Daemon, Printers

__all__ = ["SLOW", "Journey"]

QUICK = ("--scale", "300", "--rate", "12000", "--layer-time", "4", "--completed-screen", "60")
"""A layer takes about 13 ms, the download of 3.5 MB about 1 s, the completed screen 0.2 s."""
SLOW = (*QUICK, "--layer-time", "30")
"""A layer takes 0.1 s, so that 120 of them last long enough for whoever does something meanwhile."""


class Journey(SynchronousTestCase):
    """One Mars 4 Max, found and connected, strictly watching every step."""

    speed: Sequence[str] = QUICK

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="sdcpd-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.printers = Printers(self.directory, ["MARS4MAX-1.0.0"], *self.speed)
        self.addCleanup(self.printers.stop)
        self.daemon = Daemon(self.directory, self.printers.targets, more=self.more())
        self.addCleanup(lambda: self.daemon.server.stop())
        self.slug = self.daemon.wait_for_printers(1)[0]["id"]

    def more(self) -> str:
        """What the daemon's configuration has besides the usual."""
        return ""

    def upload(self, file: Path) -> dict[str, Any]:
        """Send a file as a script would."""
        status, answer = self.daemon.put(f"/v1/files/{file.name}", file)
        self.assertEqual(status, 201, answer)
        stored: dict[str, Any] = answer["file"]
        return stored

    def start(self, name: str) -> str:
        """Ask for the print; the job's id."""
        wish = {"file": name, "plate_clear": True}
        status, answer = self.daemon.request("POST", f"/v1/printers/{self.slug}/print", wish)
        self.assertEqual(status, 202, answer)
        return str(answer["job"]["id"])

    def pause_at(self, layer: int) -> None:
        """Somebody will pause the print at the printer's screen, at this layer or soon after it."""
        self.printers.ask("inject", fault="screen-pause", layer=layer)

    def finish(self, job: str) -> list[dict[str, Any]]:
        """Watch until the job has ended; it must have ended well, with exactly one start."""
        seen = self.daemon.wait_until(self.slug, lambda p: p["job"] and p["job"]["ended"])
        self.assertEqual(seen[-1]["job"]["id"], job)
        self.assertEqual(seen[-1]["job"]["state"], "finished", seen[-1]["job"])
        self.assertEqual(self.starts(), 1)
        return seen

    def starts(self) -> int:
        """How often the printer was told to start."""
        return self.commands().get("128", 0)

    def commands(self) -> dict[str, int]:
        """How often the printer has heard which command."""
        found: dict[str, int] = self.printers.ask("state")["counts"]["commands"]
        return found

    def until(self, happened: Callable[[], bool]) -> None:
        """Look again and again until something has happened."""
        deadline = time.monotonic() + PATIENCE
        while not happened():
            self.assertLess(time.monotonic(), deadline, "it never happened")

    def happenings(self) -> list[str]:
        """The types of all remembered events of printers of this life of the daemon."""
        events = self.daemon.get("/v1/updates?timeout=0&events=recent")["events"]
        return [event["type"] for event in events if event["printer"]]
