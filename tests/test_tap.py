from __future__ import annotations

import gc
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.application.service import IService
from twisted.internet import reactor as global_reactor  # noqa: TID251 (makeService takes no other)
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.client import Agent, readBody

from sdcpd.logs import set_level
from sdcpd.process import COLLECTION, SWITCH
from sdcpd.tap import makeService
from tests.end_to_end.processes import PATIENCE, TWISTD, Daemon
from tests.fakes import discovery_reply
from tests.sliced import goo_file
from tests.test_options import options

reactor: Any = global_reactor

CONFIG = """
[sdcpd]
state_directory = {state}
log_level = "error"
[discovery]
interfaces = []
{discovery}
[mqtt]
listen = "tcp:0:interface=127.0.0.1"
[downloads]
listen = "tcp:0:interface=127.0.0.1"
[web]
listen = ["tcp:0:interface=127.0.0.1", "tcp:0:interface=127.0.0.1"]
[files]
keep = "30d"
{rest}
"""


class RefusalTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.addCleanup(set_level, "info")
        self.addCleanup(vars(reactor).pop, "seconds", None)

    def refused(self, text: str) -> str:
        path = Path(self.mktemp())
        path.write_text(text)
        error = self.assertRaises(SystemExit, makeService, options("--config", str(path)))
        words = str(error.code)
        self.assertTrue(words.startswith("sdcpd: "), words)
        self.assertNotIn("\n", words)
        return words

    def test_no_file(self) -> None:
        """A file that does not exist is one line."""
        error = self.assertRaises(SystemExit, makeService, options("--config", "/nowhere/sdcpd.toml"))
        self.assertIn("/nowhere/sdcpd.toml", str(error.code))

    def test_bad_key(self) -> None:
        """An unknown key is one line that names it."""
        self.assertIn("[mqtt] port", self.refused("[mqtt]\nport = 1883\n"))

    def test_state_directory(self) -> None:
        """A state directory that cannot be made, or cannot be used, is one line that names the key."""
        file = Path(self.mktemp())
        file.write_text("in the way")
        for blocked in (file, file / "below"):
            words = self.refused(f"[sdcpd]\nstate_directory = {json.dumps(str(blocked))}\n")
            self.assertIn("[sdcpd] state_directory", words)
        directory = Path(self.mktemp())
        directory.mkdir()
        (directory / "files").write_text("in the way")
        words = self.refused(f"[sdcpd]\nstate_directory = {json.dumps(str(directory))}\n")
        self.assertIn("[sdcpd] state_directory", words)


class DaemonTests(TestCase):
    """The whole daemon in this process, on free ports of the loopback."""

    timeout = 120

    def setUp(self) -> None:
        self.addCleanup(set_level, "info")
        self.addCleanup(signal.signal, signal.SIGHUP, signal.getsignal(signal.SIGHUP))
        self.addCleanup(vars(reactor).pop, "seconds", None)
        self.state = Path(self.mktemp())
        self.path = Path(self.mktemp())
        self.write()
        self.service: Any = makeService(options("--config", str(self.path)))
        self.addCleanup(self.stop)
        self.service.privilegedStartService()
        self.service.startService()

    def write(self, discovery: str = "", rest: str = "") -> None:
        state = json.dumps(str(self.state.absolute()))
        self.path.write_text(CONFIG.format(state=state, discovery=discovery, rest=rest))

    def stop(self) -> Deferred[None] | None:
        return self.service.stopService() if self.service.running else None

    def ports(self) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = json.loads((self.state / "ports.json").read_bytes())
        return found

    async def get(self, path: str, name: str = "web") -> Any:
        port = self.ports()[name][0]["port"]
        response: Any = await Agent(reactor).request(b"GET", f"http://127.0.0.1:{port}{path}".encode())
        self.assertEqual(response.code, 200)
        body = await readBody(response)
        return body.decode() if path == "/metrics" else json.loads(body)

    async def until(self, happened: Callable[[], bool]) -> None:
        """Give the reactor turns until something has happened; the test's own time-out ends it otherwise."""
        while not happened():
            await deferLater(reactor, 0.01)

    async def hang_up(self, new: Callable[[], bool]) -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        await self.until(new)

    def test_interpreter(self) -> None:
        """The daemon itself has the garbage collector look seldom and threads change often."""
        self.assertEqual(gc.get_threshold(), COLLECTION)
        self.assertAlmostEqual(sys.getswitchinterval(), SWITCH)

    async def test_whole(self) -> None:
        """The daemon starts on free ports, tells them, answers, and stops leaving nothing open."""
        self.assertTrue(IService.providedBy(self.service))
        ports = self.ports()
        self.assertEqual(list(ports), ["mqtt", "downloads", "web", "web 2", "discovery"])
        for name in ("mqtt", "downloads", "web", "web 2"):
            self.assertGreater(ports[name][0]["port"], 0)
        self.assertEqual(await self.get("/v1/printers"), [])
        await self.get("/v1/printers", "web 2")
        self.assertEqual(self.state.stat().st_mode & 0o777, 0o700)
        await self.service.stopService()
        self.assertIs(signal.getsignal(signal.SIGHUP), signal.SIG_IGN)

    async def test_metrics(self) -> None:
        """Both ports of the MQTT server are counted, each while it is open."""
        violations = 'sdcpd_mqtt_violations_total{{door="{}",why="protocol"}} 0.0'
        found = await self.get("/metrics")
        self.assertIn(violations.format("printers"), found)
        self.assertIn('sdcpd_printers{reachability="online"} 0.0', found)
        self.assertNotIn('door="clients"', found)
        self.write(rest='[mqtt.clients]\nlisten = "tcp:0:interface=127.0.0.1"\nanonymous = true\n')
        await self.hang_up(lambda: self.service.config.mqtt.clients.anonymous)
        await self.until(lambda: "mqtt clients" in self.ports())
        with socket.create_connection(("127.0.0.1", self.ports()["mqtt clients"][0]["port"])) as client:
            client.sendall(b"GET / HTTP/1.1")
            client.setblocking(False)
            await self.until(lambda: bool(select.select([client], [], [], 0)[0]))
        found = await self.get("/metrics")
        self.assertIn(violations.format("printers"), found)
        self.assertIn(violations.format("clients").replace(" 0.0", " 1.0"), found)
        self.write()
        await self.hang_up(lambda: not self.service.config.mqtt.clients.anonymous)
        self.assertNotIn('door="clients"', await self.get("/metrics"))

    async def test_metrics_of_what_is_in_force(self) -> None:
        """A reload that is refused leaves the clients' MQTT port as it is, and whoever is connected there in sight."""
        door = '[mqtt.clients]\nlisten = "{}"\nanonymous = true\n'
        self.write(rest=door.format("tcp:0:interface=127.0.0.1"))
        self.assertTrue(await self.service.reload())
        with socket.create_connection(("127.0.0.1", self.ports()["mqtt clients"][0]["port"])):
            await self.until_counted('sdcpd_mqtt_connections{door="clients"} 1.0')
            self.write(rest=door.format("unix:/nowhere/mqtt"))
            self.assertFalse(await self.service.reload())
            self.assertIn('sdcpd_mqtt_connections{door="clients"} 1.0', await self.get("/metrics"))

    async def until_counted(self, line: str) -> None:
        while line not in await self.get("/metrics"):
            await deferLater(reactor, 0.01)

    async def test_reload(self) -> None:
        """SIGHUP takes another configuration over; the ports whose section is the same stay."""
        before = self.ports()
        self.write("interval = 60", '[printers.left]\nmainboard_id = "0001D2AB12CD34EF"\naddress = "127.0.0.9"\n')
        await self.hang_up(lambda: self.service.config.discovery.interval == 60)
        (printer,) = await self.get("/v1/printers")
        self.assertEqual(printer["id"], "left")
        after = self.ports()
        self.assertEqual([after[name] for name in ("mqtt", "web")], [before[name] for name in ("mqtt", "web")])

    async def test_invited(self) -> None:
        """A printer that answers is invited to the port that the broker really has."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as printer:
            printer.bind(("127.0.0.1", 0))
            printer.setblocking(False)
            port = int(self.ports()["discovery"][0]["address"].rpartition(":")[2])
            printer.sendto(discovery_reply(), ("127.0.0.1", port))
            await self.until(lambda: bool(select.select([printer], [], [], 0)[0]))
            self.assertEqual(printer.recv(100), b"M66666 %d" % self.ports()["mqtt"][0]["port"])

    async def test_address(self) -> None:
        """A printer with an address and a port of its own is looked for there."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as printer:
            printer.bind(("127.0.0.5", 0))
            printer.setblocking(False)
            address = f"127.0.0.5:{printer.getsockname()[1]}"
            self.write(rest=f'[printers.left]\nmainboard_id = "0001D2AB12CD34EF"\naddress = "{address}"\n')
            self.assertTrue(await self.service.reload())
            await self.until(lambda: bool(select.select([printer], [], [], 0)[0]))
            self.assertEqual(printer.recv(100), b"M99999")

    async def test_second(self) -> None:
        """A second daemon over the same state directory is refused with the number of the first one's process."""
        error = self.assertRaises(SystemExit, makeService, options("--config", str(self.path)))
        self.assertIn(f"another sdcpd (process {os.getpid()}) uses this state directory", str(error.code))
        self.assertEqual(await self.get("/v1/printers"), [])

    async def test_bad_reload(self) -> None:
        """A bad configuration changes nothing; the next good one is taken."""
        before = self.service.config
        self.path.write_text("[nonsense]")
        self.assertFalse(await self.service.reload())
        self.assertIs(self.service.config, before)
        self.assertEqual(await self.get("/v1/printers"), [])
        self.write(rest='[status]\nmode = "off"\n')
        self.assertTrue(await self.service.reload())
        self.assertEqual(self.service.config.status.mode, "off")


@pytest.mark.end_to_end
class SecondStartTests(SynchronousTestCase):
    """Two daemons, as processes, over one state directory."""

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="sdcpd-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.state = self.directory / "state"
        self.command = [str(TWISTD), "--pidfile=", "sdcpd", "--config", str(self.directory / "sdcpd.toml")]

    def start_another(self) -> str:
        """What a second start says; it must end with exit status 1 and one line."""
        command = [self.command[0], "-n", *self.command[1:]]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, cwd=self.directory)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        return done.stderr

    def test_upload_survives(self) -> None:
        """The second one ends with status 1 and one line; an upload that is under way at the first is not harmed."""
        with Daemon(self.directory, []) as first:
            port = first.ports["web"][0]["port"]
            body = goo_file()
            with socket.create_connection(("127.0.0.1", port), PATIENCE) as client, client.makefile("rb") as answers:
                head = f"PUT /v1/files/a.goo HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: {first.key}\r\n"
                head += f"Content-Length: {len(body)}\r\n"
                client.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
                self.assertIn(b" 100 ", answers.readline())
                self.assertEqual(answers.readline(), b"\r\n")
                client.sendall(body[:10])
                line = self.start_another()
                client.sendall(body[10:])
                self.assertIn(b" 201 ", answers.readline())
            self.assertIn(f"another sdcpd (process {first.server.process.pid}) uses this state directory", line)
            self.assertIn("Stop that one first", line)
            self.assertEqual([file["name"] for file in first.get("/v1/files")], ["a.goo"])
            first.restart(kill=True)  # a lock that nobody holds any more stops nobody
            self.assertEqual((self.state / "lock").read_text(), f"{first.server.process.pid}\n")

    def test_background(self) -> None:
        """A daemon in the background keeps the lock, under the number of the process that it has become."""
        Daemon(self.directory, []).server.stop()
        before = (self.state / "lock").read_text()
        log = self.directory / "twistd.log"
        command = [self.command[0], f"--logfile={log}", f"--pidfile={self.directory / 'pid'}", *self.command[2:]]
        subprocess.run(command, timeout=PATIENCE, cwd=self.directory, check=True)  # returns when the daemon has started
        pid = int((self.directory / "pid").read_text())
        try:
            self.assertNotEqual((self.state / "lock").read_text(), before)
            self.assertIn(f"another sdcpd (process {pid}) uses", self.start_another())
        finally:
            os.kill(pid, signal.SIGTERM)
            with subprocess.Popen(["tail", f"--pid={pid}", "-f", os.devnull]) as ended:
                ended.wait(PATIENCE)
