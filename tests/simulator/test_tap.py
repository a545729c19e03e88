"""The command line of ``twistd sdcp-printer``."""

from __future__ import annotations

import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.application.service import IService, IServiceMaker
from twisted.internet import reactor as installed  # noqa: TID251 - a process needs the real one
from twisted.internet.defer import Deferred
from twisted.internet.utils import getProcessOutputAndValue
from twisted.logger import capturedLogs, formatEvent
from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase, TestCase

from sdcpd.simulator.tap import Options, makeService

reactor: Any = installed
ADDRESS = "127.20.10.2"


class OptionsTests(SynchronousTestCase):
    def parse(self, *words: str) -> Options:
        options = Options()
        options.parseOptions(list(words))
        return options

    def test_defaults(self) -> None:
        """Without options there is one printer on 127.0.0.2, UDP port 3000, in real time."""
        options = self.parse()
        (spec,) = options["specs"]
        settings = options.settings()
        self.assertEqual(
            (spec.address, settings.port, settings.scale, settings.broadcast), ("127.0.0.2", 3000, 1, True)
        )

    def test_many(self) -> None:
        """So many printers live on so many addresses with so many ids, and the same ones the next time."""
        first = self.parse("--printers", "600", "--first-address", "127.20.1.1")["specs"]
        again = self.parse("--printers", "600", "--first-address", "127.20.1.1")["specs"]
        self.assertEqual(first, again)
        self.assertEqual(first[-1].address, "127.20.3.88")
        self.assertEqual(len({spec.mainboard_id.lower() for spec in first}), 600)
        self.assertEqual({len(spec.mainboard_id) for spec in first}, {16})

    def test_named(self) -> None:
        """Printers can be chosen one by one, with names."""
        specs = self.parse("--printer", "m4u-1.3.0:Left one", "--printer", "S3U-1.5.4")["specs"]
        self.assertEqual([spec.name for spec in specs], ["Left one", "Bench 2"])
        self.assertEqual([spec.profile.name for spec in specs], ["M4U-1.3.0", "S3U-1.5.4"])

    def test_everything(self) -> None:
        """Every option arrives in the settings."""
        words = (
            "--port 3999 --scale 50 --rate 1e6 --seed 4 --strict --no-broadcast --store x --layer-time 2 --keepalive 0"
        )
        settings = self.parse(*words.split()).settings()
        self.assertEqual(
            (settings.port, settings.scale, settings.rate, settings.seed, settings.strict, settings.broadcast),
            (3999, 50, 1e6, 4, True, False),
        )
        self.assertEqual((settings.store, settings.layer_time, settings.keepalive), (Path("x").absolute(), 2, 0))

    def test_mistakes(self) -> None:
        """Each mistake ends in one line that names it."""
        for words, named in (
            (["--port", "99999"], "99999"),
            (["--scale", "fast"], "fast"),
            (["--printer", "S9"], "S3U-1.4.2"),
            (["--printer", "S3U-1.4.2", "--printers", "2"], "--printers"),
            (["--first-address", "192.0.2.1"], "192.0.2.1"),
            (["--first-address", "here"], "here"),
            (["--nonsense"], "nonsense"),
            (["word"], "word"),
        ):
            error = self.assertRaises(SystemExit, self.parse, *words)
            self.assertIn(named, str(error))
            self.assertNotIn("\n", str(error))

    def test_plugin(self) -> None:
        """twistd knows the command."""
        self.assertIn("sdcp-printer", [maker.tapname for maker in getPlugins(IServiceMaker)])


class ServiceTests(TestCase):
    def setUp(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((ADDRESS, 0))
            self.port = sock.getsockname()[1]

    def make(self, *words: str) -> IService:
        options = Options()
        options.parseOptions(["--port", str(self.port), "--first-address", ADDRESS, *words])
        return makeService(options)

    def twistd(self, *words: str) -> Deferred[Any]:
        program = "from twisted.scripts.twistd import run; run()"
        arguments = ["-c", program, "--nodaemon", "--pidfile=", "sdcp-printer", *words]
        ended: Deferred[Any] = getProcessOutputAndValue(sys.executable, arguments)
        return ended

    def test_bad_places(self) -> None:
        """A directory that is missing or no directory is named before anything starts."""
        error = self.assertRaises(SystemExit, self.make, "--control", "/nonexistent/ctl")
        self.assertIn("/nonexistent/ctl", str(error))
        error = self.assertRaises(SystemExit, self.make, "--store", "/dev/null")
        self.assertIn("/dev/null", str(error))

    async def test_busy_port(self) -> None:
        """A taken port ends the process with status 1 and one line that names it."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((ADDRESS, self.port))
            words = ("--port", str(self.port), "--first-address", ADDRESS)
            out, _, status = await self.twistd(*words)
        self.assertEqual(status, 1)
        self.assertIn(f"UDP {ADDRESS}:{self.port} cannot be used", out.decode().splitlines()[-1])

    async def test_start_and_stop(self) -> None:
        """With a control socket the printers start, say how a daemon finds them, and close everything again."""
        directory = tempfile.TemporaryDirectory()  # a socket's path has room for a hundred bytes
        self.addCleanup(directory.cleanup)
        path = Path(directory.name, "ctl")
        service = self.make("--control", str(path), "--printers", "3")
        service.privilegedStartService()
        with capturedLogs() as said:
            service.startService()
        self.assertIn(f'interfaces = ["auto", "lo"], port = {self.port}', formatEvent(said[-1]))
        self.assertTrue(path.is_socket())
        second = self.make("--control", str(path), "--first-address", "127.20.10.77")
        error = self.assertRaises(SystemExit, second.privilegedStartService)
        self.assertIn(str(path), str(error))
        await second.stopService()
        await service.stopService()
        self.assertFalse(path.exists())

    async def test_bad_option(self) -> None:
        """A bad option ends the process with status 1 and one line."""
        _, err, status = await self.twistd("--port", "zero")
        self.assertEqual((status, len(err.decode().strip().splitlines())), (1, 1), err)
