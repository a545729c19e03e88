"""What a full disk and kill -9 do to a real file."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parents[2]


def run(*command: str) -> Any:
    """What a program of ours saw, as its one line of JSON."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise AssertionError(done.stderr)
    return json.loads(done.stdout)


class DiskTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()

    def test_full(self) -> None:
        """On a full disk writes are refused, all else goes on, even a start; room mends it by itself."""
        own_mounts = ("unshare", "--map-root-user", "--mount")
        if not shutil.which("unshare") or subprocess.run([*own_mounts, "true"], check=False).returncode:
            raise SkipTest("file systems cannot be mounted here without being root")
        program = f"mount -t tmpfs -o size=1m none {self.directory} && exec {sys.executable} -m tests.journal.full_disk"
        seen = run(*own_mounts, "sh", "-c", f"{program} {self.directory}")
        full = "The journal's disk is full."
        expected = {
            "first": "NoneType",
            "full": "StoreFull",
            "failing": full,
            "present": seen["present"],
            "history": True,
            "still failing": full,
            "restarted": seen["present"] - 1,
            "recovered": None,
            "on disk": seen["present"],
            "later start": seen["present"],
            "later write": "StoreFull",
            "in the end": seen["present"] + 1,
        }
        self.assertEqual(seen, expected)
        self.assertGreater(seen["present"], 1)

    def test_killed(self) -> None:
        """Killed at any of 50 moments: what was told as written is there, whole, and the journal opens."""
        seen = run(sys.executable, "-m", "tests.journal.killed", str(self.directory), "50")
        self.assertEqual((seen["wrong"], seen["set aside"]), ([], []))
        self.assertGreater(seen["commits"], 50)
