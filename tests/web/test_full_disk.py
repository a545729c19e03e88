from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests.journal.test_disk import run


class FullDiskTests(SynchronousTestCase):
    def test_refused(self) -> None:
        """On a full disk nothing new is promised, over HTTP neither; pause, stop, status and the long poll go on."""
        directory = Path(self.mktemp()).absolute()
        directory.mkdir()
        own_mounts = ("unshare", "--map-root-user", "--mount")
        if not shutil.which("unshare") or subprocess.run([*own_mounts, "true"], check=False).returncode:
            raise SkipTest("file systems cannot be mounted here without being root")
        program = f"mount -t tmpfs -o size=2m none {directory} && exec {sys.executable} -m tests.web.full_disk"
        seen = run(*own_mounts, "sh", "-c", f"{program} {directory}")
        self.assertEqual(seen["first confirmation"][0], 507)
        for refused in ("confirmation", "print", "queue", "queue for any", "start"):
            self.assertEqual(seen[refused], [507, "journal_unwritable"], refused)
        self.assertEqual(seen["waiting"], [False, "queued"])
        self.assertEqual((seen["jobs"], seen["starts"]), (0, 0))
        self.assertEqual((seen["pause"], seen["stop"]), ([200, None], [200, None]))
        self.assertEqual((seen["updates"], seen["status"]), ([6], [6, 0]))
        self.assertTrue(seen["healthz"].startswith("degraded: "), seen["healthz"])
        self.assertEqual(seen["with room"], [200, 202])
        self.assertNotEqual(seen["plate after"], "clear")
