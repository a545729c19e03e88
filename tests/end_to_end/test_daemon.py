"""The daemon as its operator sees it: how it starts, refuses to start, reloads and stops."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest
from twisted.trial.unittest import SynchronousTestCase

from tests.end_to_end.processes import PATIENCE, TWISTD, Daemon, Printers


@pytest.mark.end_to_end
class StartTests(SynchronousTestCase):
    """``twistd -n sdcpd --config FILE``."""

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="sdcpd-"))
        self.addCleanup(shutil.rmtree, self.directory)

    def refused(self, config: str) -> str:
        """Start with this configuration, which must fail; what it says on standard error."""
        path = self.directory / "sdcpd.toml"
        path.write_text(f'sdcpd.state_directory = "{self.directory / "state"}"\n{config}', encoding="utf-8")
        command = [str(TWISTD), "-n", "--pidfile=", "sdcpd", "--config", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, cwd=self.directory)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertNotIn("Traceback", done.stdout + done.stderr)
        lines = done.stderr.strip().splitlines()
        self.assertEqual(len(lines), 1, done.stderr)
        return lines[0]

    def test_listed(self) -> None:
        """``twistd --help`` knows the daemon and the simulated printers."""
        done = subprocess.run([str(TWISTD), "--help"], capture_output=True, text=True, timeout=PATIENCE, check=True)
        self.assertIn("sdcpd ", done.stdout)
        self.assertIn("sdcp-printer ", done.stdout)

    def test_busy_port(self) -> None:
        """A port that somebody else has ends the start with exit status 1 and one line: which, and what to do."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            line = self.refused(f'web.listen = ["tcp:{port}:interface=127.0.0.1"]\nmqtt.listen = "tcp:0"')
        self.assertIn("[web] listen", line)
        self.assertIn(str(port), line)
        self.assertIn("set another port", line)

    def test_unknown_key(self) -> None:
        """A misspelt key ends the start with exit status 1 and one line that names it and the known ones."""
        line = self.refused('mqtt.lisen = "tcp:0"')
        self.assertIn("sdcpd.toml", line)
        self.assertIn("[mqtt] lisen: unknown key; known here: listen", line)

    def test_missing_file(self) -> None:
        """A configuration that is not there is named."""
        command = [str(TWISTD), "-n", "--pidfile=", "sdcpd", "--config", str(self.directory / "no.toml")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, cwd=self.directory)
        self.assertEqual(done.returncode, 1)
        self.assertIn("no.toml: cannot be read", done.stderr)


@pytest.mark.end_to_end
class ReloadTests(SynchronousTestCase):
    """SIGHUP."""

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="sdcpd-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.printers = Printers(self.directory, ["S3U-1.5.4", "M4U-1.3.0"], "--scale", "100")
        self.addCleanup(self.printers.stop)
        self.daemon = Daemon(self.directory, self.printers.targets[:1])
        self.addCleanup(lambda: self.daemon.server.stop())
        self.daemon.wait_for_printers(1)

    def hangup(self, expected: str) -> str:
        """Send SIGHUP and wait for what the daemon says of it."""
        lines = len(self.daemon.server.lines)
        self.daemon.server.process.send_signal(signal.SIGHUP)
        return self.daemon.server.wait_for(expected, lines)

    def test_new_target(self) -> None:
        """A target added to the file is found after SIGHUP, and the connected printer stays connected."""
        before, invitations = self.daemon.ports, self.invitations()
        self.daemon.write_config(self.printers.targets)
        self.assertIn("discovery", self.hangup("Reloaded"))
        self.daemon.wait_for_printers(2)
        self.assertEqual(self.daemon.ports["mqtt"], before["mqtt"])
        self.assertEqual(self.daemon.ports["web"], before["web"])
        self.assertEqual(self.invitations(), invitations)

    def invitations(self) -> int:
        """How often the first printer was invited."""
        return len(self.printers.ask("log", kind="invitation"))

    def test_known_printers_come_back(self) -> None:
        """After a restart a printer that is off is listed as offline under its name, and comes back when it is on."""
        slug = self.daemon.get("/v1/printers")[0]["id"]
        self.printers.ask("power-off")
        self.daemon.restart(kill=True)
        (printer,) = self.daemon.get("/v1/printers")
        self.assertEqual((printer["id"], printer["reachability"], printer["phase"]), (slug, "offline", "OFFLINE"))
        self.printers.ask("power-on")
        self.assertTrue(self.daemon.wait_until(slug, lambda p: bool(p["online"])))

    def test_bad_file(self) -> None:
        """A configuration that cannot be read changes nothing and is said to be refused."""
        self.daemon.write_config(self.printers.targets, more="[nonsense]")
        self.assertIn("nonsense", self.hangup("refused"))
        self.assertEqual(len(self.daemon.get("/v1/printers")), 1)

    def test_busy_new_port(self) -> None:
        """A new port that is taken is refused, and the daemon still answers at the old one."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self.daemon.write_config(self.printers.targets[:1], f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1")
            self.assertIn("[web] listen", self.hangup("refused"))
            self.assertEqual(len(self.daemon.get("/v1/printers")), 1)


@pytest.mark.end_to_end
class BroadcastTests(SynchronousTestCase):
    """Discovery without any configured address."""

    def test_found_by_broadcast(self) -> None:
        """Printers on an interface's network are found by one broadcast, each at its own address, and connect."""
        directory = Path(tempfile.mkdtemp(prefix="sdcpd-"))
        self.addCleanup(shutil.rmtree, directory)
        with Printers(directory, ["S3U-1.4.2", "M4U-1.3.0"], "--scale", "100", broadcast=True) as printers:
            discovery = f'interfaces = ["lo"]\nport = {printers.port}'
            with Daemon(directory, [], discovery=discovery) as daemon:
                found = daemon.wait_for_printers(2)
                self.assertEqual([p["address"] for p in found], [f"{printers.network}.2", f"{printers.network}.3"])
