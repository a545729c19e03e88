"""The short run of the crash test; ``make crash`` is the long one."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from twisted.trial.unittest import SynchronousTestCase

from tests.crash.driver import CrashRun

KILLS = 20
SEED = int(os.environ.get("SEED") or 20)


@pytest.mark.end_to_end
class CrashTests(SynchronousTestCase):
    """``kill -9``."""

    def test_twenty(self) -> None:
        """After each of 20 kills nothing that was acknowledged is lost, and nothing is started twice."""
        directory = Path(tempfile.mkdtemp(prefix="sdcpd-crash-"))
        self.addCleanup(shutil.rmtree, directory)
        run = CrashRun(directory, SEED, print)
        try:
            run.run(KILLS)
        except AssertionError as error:
            raise AssertionError(f"SEED={SEED}: {error}") from error
        finally:
            run.stop()
