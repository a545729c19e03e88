"""The short run of the crash test, in parts that may run side by side; ``make crash`` is the long one."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from twisted.trial.unittest import SynchronousTestCase

from tests.crash.driver import CrashRun

KILLS = 5
SEED = int(os.environ.get("SEED") or 20)


@pytest.mark.end_to_end
class CrashTests(SynchronousTestCase):
    """``kill -9``, 20 times; each part has its own seed, which repeats it."""

    def kill(self, seed: int) -> None:
        directory = Path(tempfile.mkdtemp(prefix="sdcpd-crash-"))
        self.addCleanup(shutil.rmtree, directory)
        run = CrashRun(directory, seed, print)
        try:
            run.run(KILLS)
        except AssertionError as error:
            raise AssertionError(f"make crash KILLS={KILLS} SEED={seed}: {error}") from error
        finally:
            run.stop()

    def test_first(self) -> None:
        """After each of five kills nothing that was acknowledged is lost, and nothing is started twice."""
        self.kill(SEED)

    def test_second(self) -> None:
        """So it is at five other moments."""
        self.kill(SEED + 1)

    def test_third(self) -> None:
        """So it is at five more moments."""
        self.kill(SEED + 2)

    def test_fourth(self) -> None:
        """So it is at the last five."""
        self.kill(SEED + 3)
