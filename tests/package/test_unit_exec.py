"""The stand-in for systemd with which the package's service is tried: it must see what systemd would object to."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.package.unit import Unit
from tests.package.unit_exec import seconds, unknown

ROOT = Path(__file__).parents[2]
DAEMON = """
import json, os, resource, signal, socket, sys, time
def say(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(text.encode(), os.environ["NOTIFY_SOCKET"])
def stop(*_):
    say("STOPPING=1")
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)
signal.signal(signal.SIGTERM, stop)
"""
READY = DAEMON + "say('READY=1\\nSTATUS=well')\n"
WAIT = "while True: time.sleep(0.2)\n"
"""A signal that comes before a look for one is heard all the same; ``signal.pause`` would wait for another."""


class UnitTests(SynchronousTestCase):
    def test_unknown(self) -> None:
        """A setting that nobody here heeds is told, so that the trial is not taken for more than it is."""
        path = Path(self.mktemp())
        path.write_text("[Unit]\nAfter=x\n[Service]\nUser=x\nProtectHome=yes\nRestart=always\nRootDirectory=/srv\n")
        self.assertEqual(unknown(Unit(path)), ["RootDirectory"])

    def test_shipped(self) -> None:
        """The shipped unit has nothing that is not heeded."""
        self.assertEqual(unknown(Unit()), [])

    def test_times(self) -> None:
        """Times are read as systemd writes them."""
        self.assertEqual([seconds(text) for text in ("5min", "20s", "500ms", "7")], [300, 20, 0.5, 7])


class RunTests(SynchronousTestCase):
    def try_it(self, daemon: str, *command: str, more: str = "") -> tuple[int, str]:
        """Status and words of one trial of a daemon."""
        directory = Path(self.mktemp())
        directory.mkdir()
        (directory / "daemon.py").write_text(daemon)
        unit = directory / "some.service"
        user = pwd.getpwuid(os.getuid()).pw_name
        start = f"{sys.executable} {(directory / 'daemon.py').absolute()}"
        unit.write_text(f"[Service]\nExecStart={start}\nUser={user}\nTimeoutStopSec=120s\n{more}\n")
        words = [
            sys.executable,
            "-m",
            "tests.package.unit_exec",
            str(unit.absolute()),
            *(["--", *command] if command else []),
        ]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def test_good(self) -> None:
        """A service that gets ready, lets itself be used and stops in order passes; the command knows its number."""
        status, said = self.try_it(READY + WAIT, "sh", "-c", "kill -0 $MAINPID && echo used")
        self.assertEqual(status, 0, said)
        self.assertIn("unit_exec: ready after", said)
        self.assertIn("used", said)

    def test_environment(self) -> None:
        """Environment, limits and the like are the unit's."""
        tell = """
mask = os.umask(0)
found = {"umask": mask, "files": resource.getrlimit(resource.RLIMIT_NOFILE), "environment": dict(os.environ)}
open(os.environ["OUT"], "w").write(json.dumps(found))
say("READY=1")
"""
        out = Path(self.mktemp()).absolute()
        settings = f"UMask=0077\nLimitNOFILE=128:256\nWatchdogSec=60s\nEnvironment=OUT={out} A=1\nNoNewPrivileges=yes"
        status, said = self.try_it(DAEMON + tell + WAIT, more=settings)
        self.assertEqual(status, 0, said)
        found = json.loads(out.read_bytes())
        self.assertEqual((found["umask"], found["files"]), (0o077, [128, 256]))
        self.assertEqual((found["environment"]["A"], found["environment"]["WATCHDOG_USEC"]), ("1", "60000000"))
        self.assertNotIn("PYTHONPATH", found["environment"])

    def test_never_ready(self) -> None:
        """A service that ends without a word fails, and what it logged is shown."""
        status, said = self.try_it("raise SystemExit('no such port')")
        self.assertEqual(status, 1)
        self.assertIn("never ready", said)
        self.assertIn("no such port", said)

    def test_command_fails(self) -> None:
        """A trial whose command fails has failed, with the command's status."""
        status, _ = self.try_it(READY + WAIT, "sh", "-c", "exit 3")
        self.assertEqual(status, 3)

    def test_silent_stop(self) -> None:
        """A service that does not say that it stops, or ends with a status of its own, fails."""
        exits = "stop = lambda *_: os._exit(7)\nsignal.signal(signal.SIGTERM, stop)\n"
        status, said = self.try_it(DAEMON + exits + "say('READY=1')\n" + WAIT)
        self.assertEqual(status, 1)
        self.assertIn("it ended with 7", said)
        self.assertIn("did not say that it stops", said)

    def test_endless_reload(self) -> None:
        """A reload that is begun and never over fails."""
        # Nobody stops it between the two words.
        both = "say('READY=1')\nsay('RELOADING=1')\n"
        held, free = (f"signal.pthread_sigmask(signal.SIG_{how}, [signal.SIGTERM])\n" for how in ("BLOCK", "UNBLOCK"))
        status, said = self.try_it(DAEMON + held + both + free + WAIT)
        self.assertEqual(status, 1)
        self.assertIn("reload was over", said)

    def test_traceback(self) -> None:
        """A traceback in the log fails, even of a service that goes on."""
        traceback = "print('Traceback (most recent call last)', flush=True)\n"
        status, said = self.try_it(DAEMON + traceback + "say('READY=1')\n" + WAIT)
        self.assertEqual(status, 1)
        self.assertIn("its log has a traceback", said)

    def test_unknown_setting(self) -> None:
        """A unit with a setting that is not known here fails, and the setting is named."""
        status, said = self.try_it(READY + WAIT, more="RootDirectory=/srv")
        self.assertEqual(status, 1)
        self.assertIn("RootDirectory", said)
