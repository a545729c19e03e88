"""The service's unit file says what the daemon needs, and little more."""

from __future__ import annotations

import re
import subprocess

from twisted.trial.unittest import SynchronousTestCase

from sdcpd.appliance import STOP_WITHIN
from tests.end_to_end.requirements import needs
from tests.package.unit import UNIT, Unit

EXPOSURE = 1.5
"""What ``systemd-analyze security`` may find at most."""


class UnitTests(SynchronousTestCase):
    """debian/sdcpd.service."""

    def setUp(self) -> None:
        self.unit = Unit()

    def test_own_user(self) -> None:
        """The service runs as a user of its own, without any privilege."""
        self.assertEqual((self.unit.service("User"), self.unit.service("Group")), ("sdcpd", "sdcpd"))
        self.assertEqual(self.unit["Service", "CapabilityBoundingSet"], [])
        self.assertTrue(self.unit.yes("NoNewPrivileges"))

    def test_life(self) -> None:
        """systemd waits for readiness, reloads by SIGHUP, brings a dead daemon back, and lets it stop in order."""
        self.assertEqual(self.unit.service("Type"), "notify")
        self.assertEqual(self.unit.command, ["/usr/bin/sdcpd"])
        self.assertEqual(self.unit.service("ExecReload"), '/bin/sh -c "kill -HUP $MAINPID"')
        self.assertEqual(self.unit.service("Restart"), "on-failure")
        self.assertEqual(self.unit.service("WatchdogSec"), "60s")
        self.assertGreater(int(self.unit.service("TimeoutStopSec").removesuffix("s")), STOP_WITHIN + 5)

    def test_descriptors(self) -> None:
        """10,000 programs can wait for news at once: clients may use three quarters of the descriptors."""
        self.assertGreaterEqual(int(self.unit.service("LimitNOFILE")) * 0.75, 10_000 + 100)

    def test_directories(self) -> None:
        """State, sockets and configuration are where the documentation says, the state for nobody else's eyes."""
        for key in ("StateDirectory", "RuntimeDirectory", "ConfigurationDirectory"):
            self.assertEqual(self.unit.service(key), "sdcpd", key)
        self.assertEqual(self.unit.service("StateDirectoryMode"), "0700")
        self.assertEqual(self.unit.service("UMask"), "0077")

    def test_explained(self) -> None:
        """Who reads the unit is told why each block of settings is there."""
        blocks = re.split(r"\n\n", UNIT.read_text("utf-8").partition("[Service]")[2].partition("[Install]")[0])
        self.assertEqual([block for block in blocks if block.strip() and "# " not in block], [])

    @needs("systemd-analyze")
    def test_exposure(self) -> None:
        """systemd's own review finds the service exposed by 1.5 of 10 at most."""
        command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(UNIT)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = re.search(r"Overall exposure level for sdcpd.service: ([\d.]+)", done.stdout)
        assert found is not None, done.stdout
        self.assertLessEqual(float(found[1]), EXPOSURE, done.stdout)

    @needs("systemd-analyze")
    def test_understood(self) -> None:
        """systemd knows every setting: a misspelt one would be ignored, and protect nobody."""
        command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(UNIT)]
        done = subprocess.run(command, capture_output=True, text=True)
        complaints = [line for line in done.stderr.splitlines() if "is not executable" not in line]
        self.assertEqual(complaints, [], "the program itself need not be installed")
