"""What the Dockerfile says, held against a running daemon.

One decision: the words are taken from the Dockerfile itself; only the place of the state is another here.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from twisted.trial.unittest import SynchronousTestCase

from tests.end_to_end.processes import PATIENCE, Daemon

DOCKERFILE = Path(__file__).parents[2] / "Dockerfile"
STATE = "/var/lib/sdcpd"


def health_check() -> list[str]:
    """The command of the Dockerfile's health check."""
    lines = DOCKERFILE.read_text(encoding="utf-8").replace("\\\n", "")
    [command] = re.findall(r"^HEALTHCHECK CMD (\[.*\])$", lines, re.MULTILINE)
    words: list[str] = json.loads(command)
    return words


@pytest.mark.end_to_end
class HealthTests(SynchronousTestCase):
    def check(self, directory: Path) -> bool:
        """What the health check finds out about a daemon with its state there."""
        interpreter, *words = health_check()
        self.assertEqual(interpreter, "/usr/bin/python3")
        self.assertIn(STATE, words[-1])
        words[-1] = words[-1].replace(STATE, str(directory / "state"))
        nobody = {f"{kind}_proxy": "http://127.0.0.1:1" for kind in ("http", "all")}
        done = subprocess.run(
            [sys.executable, *words],
            env={**os.environ, **nobody},
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE,
            check=False,
        )
        return done.returncode == 0

    def test_where_it_listens(self) -> None:
        """A container is healthy while its daemon answers, on whatever port, and not when it has gone."""
        directory = Path(tempfile.mkdtemp(prefix="sdcpd-"))
        self.addCleanup(shutil.rmtree, directory)
        for listen in ("tcp:0:interface=127.0.0.1", "tcp:0"):
            with self.subTest(listen=listen):
                with Daemon(directory, [], web=listen):
                    self.assertTrue(self.check(directory))
                self.assertFalse(self.check(directory))
