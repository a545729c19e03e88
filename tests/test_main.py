from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from sdcpd import config
from sdcpd.__main__ import configuration
from tests.end_to_end.processes import PATIENCE


class ConfigurationTests(SynchronousTestCase):
    """What the program finds out about its start before Twisted is there."""

    def setUp(self) -> None:
        self.path = self.mktemp()
        Path(self.path).write_text('web.listen = ["ssl:443"]')

    def test_named(self) -> None:
        """The file that the command line names counts, in each way to name it, and the last one."""
        for words in (
            ["--config", self.path],
            [f"--config={self.path}"],
            ["-c", self.path],
            [f"-c{self.path}"],
            ["--conf", self.path],
            ["-c", "/nowhere/sdcpd.toml", "--config", self.path],
            ["--config", "/nowhere/sdcpd.toml", "-c", self.path],
        ):
            with self.subTest(words=words):
                found = configuration(words)
                self.assertIsNotNone(found)
                self.assertEqual(found and found.web.listen, ("ssl:443",))

    def test_usual(self) -> None:
        """Without a name it is the file that the daemon will take, or the defaults."""
        self.assertEqual(configuration([]), config.find(None))

    def test_wrong(self) -> None:
        """A command line or a file that cannot be used is not judged here: the daemon says what is wrong with it."""
        self.assertIsNone(configuration(["--what"]))
        self.assertIsNone(configuration(["--config"]))
        self.assertIsNone(configuration(["--config", "/nowhere/sdcpd.toml"]))
        Path(self.path).write_text("web = 1")
        self.assertIsNone(configuration(["--config", self.path]))


class ProgramTests(SynchronousTestCase):
    def run_it(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "sdcpd", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)

    def test_refused(self) -> None:
        """What is wrong with the configuration is said in one line, and once."""
        done = self.run_it("--config", "/nowhere/sdcpd.toml")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertTrue(done.stderr.startswith("sdcpd: /nowhere/sdcpd.toml: cannot be read"), done.stderr)

    def test_help(self) -> None:
        """Its help is the daemon's, not that of twistd."""
        done = self.run_it("--help")
        self.assertEqual(done.returncode, 0)
        self.assertIn("--config", done.stdout)
        self.assertIn("SDCP", done.stdout)
        self.assertNotIn("--pidfile", done.stdout)

    def test_light(self) -> None:
        """Nothing that the configuration needs brings Twisted or a hash with it: it could not be left out any more."""
        code = "import sys; from sdcpd import __main__; print(*sys.modules)"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=True
        )
        loaded = set(done.stdout.split())
        self.assertIn("sdcpd.config", loaded)
        self.assertEqual(loaded & {"twisted", "asyncio", "urllib.request", "http", "hashlib", "ssl", "_ssl"}, set())
