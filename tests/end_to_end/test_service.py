"""The daemon as systemd sees it: what it tells, and the ports that it is handed."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from twisted.trial.unittest import SynchronousTestCase

from tests.end_to_end.processes import PATIENCE, Daemon, Printers, Server
from tests.supervisor import Manager

HANDOVER = Path(__file__).with_name("handover.py")
TCP = "tcp:0:interface=127.0.0.1"


def whole(client: socket.socket) -> bytes:
    """Everything that comes until the other side closes."""
    return b"".join(iter(lambda: client.recv(1000), b""))


class Service(Daemon):
    """The daemon with variables of systemd's, and ports by name that systemd has opened."""

    def __init__(
        self,
        directory: Path,
        targets: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        ports: Mapping[str, socket.socket] | None = None,
    ) -> None:
        self.environment = environment or {}
        self.handed_over = ports or {}
        super().__init__(directory, list(targets))

    def write_config(self, targets: list[str], *web: str, more: str = "", **_: str) -> None:
        """Ports that were handed over are used, the others are free ones."""
        listen = {name: f"systemd:domain=INET:name={name}" for name in self.handed_over}
        pages = json.dumps(web or [listen.get("web", TCP)])
        self.config.write_text(
            f"""
            sdcpd.state_directory = {json.dumps(str(self.directory / "state"))}
            discovery = {{ interfaces = [], targets = {json.dumps(targets)}, interval = 5 }}
            mqtt.listen = "{listen.get("mqtt", TCP)}"
            downloads.listen = "{listen.get("downloads", TCP)}"
            web.listen = {pages}
            {more}
            """,
            encoding="utf-8",
        )

    def _launch(self) -> Server:
        numbers = [f"{name}={port.fileno()}" for name, port in self.handed_over.items()]
        return Server(
            "the daemon",
            "sdcpd",
            "--config",
            str(self.config),
            directory=self.directory,
            environment=self.environment,
            before=[sys.executable, str(HANDOVER), *numbers, "--"] if numbers else [],
            descriptors=[port.fileno() for port in self.handed_over.values()],
        )

    def hangup(self, expected: str) -> str:
        """Send SIGHUP and wait for what the daemon says of it."""
        lines = len(self.server.lines)
        self.server.process.send_signal(signal.SIGHUP)
        return self.server.wait_for(expected, lines)


class ServiceTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="sdcpd-"))
        self.addCleanup(shutil.rmtree, self.directory)


@pytest.mark.end_to_end
class NotifyTests(ServiceTestCase):
    """``Type=notify``, ``WatchdogSec=``, ``ExecReload=``."""

    def test_life(self) -> None:
        """systemd learns that the daemon is ready, lives, counts a printer, reloads, is refused a reload, and stops."""
        printers = Printers(self.directory, ["S3U-1.5.4"], "--scale", "100")
        self.addCleanup(printers.stop)
        manager = Manager(str(self.directory / "notify"))
        self.addCleanup(manager.close)
        # Linux keeps ten messages for who does not read: a sign of life every 2 s leaves room for the others.
        environment = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "4000000"}
        daemon = Service(self.directory, printers.targets, environment)
        self.addCleanup(lambda: daemon.server.stop())

        ready = manager.wait_for("READY")
        self.assertEqual([message for message in ready[:-1] if message != {"WATCHDOG": "1"}], [], "nothing before")
        for name in ("mqtt", "downloads", "web"):
            port = daemon.ports[name][0]["port"]
            socket.create_connection(("127.0.0.1", port), PATIENCE).close()
        daemon.wait_for_printers(1)
        told = manager.wait_for("STATUS")
        while told[-1]["STATUS"] != "1 of 1 printers online":
            told = manager.wait_for("STATUS")
        manager.told()
        manager.wait_for("WATCHDOG")

        daemon.hangup("Reloaded")
        self.assertGreater(int(manager.wait_for("RELOADING")[-1]["MONOTONIC_USEC"]), 0)
        self.assertEqual(manager.wait_for("READY")[-1]["STATUS"], "1 of 1 printers online")
        daemon.write_config(printers.targets, more="[nonsense]")
        daemon.hangup("refused")
        manager.wait_for("RELOADING")
        status = manager.wait_for("READY")[-1]["STATUS"]
        self.assertIn("1 of 1 printers online; the new configuration was refused", status)
        self.assertIn("nonsense", status)

        self.assertEqual(daemon.server.stop(), -signal.SIGTERM, "which systemd counts as clean")
        self.assertEqual(manager.wait_for("STOPPING")[-1]["STATUS"], "Stopping")


@pytest.mark.end_to_end
class ActivationTests(ServiceTestCase):
    """``LISTEN_FDS``: ports that systemd opens."""

    def setUp(self) -> None:
        super().setUp()
        self.ports = {name: socket.create_server(("127.0.0.1", 0)) for name in ("mqtt", "web", "downloads")}
        for port in self.ports.values():
            self.addCleanup(port.close)

    def number(self, name: str) -> int:
        return int(self.ports[name].getsockname()[1])

    def test_handed_over(self) -> None:
        """Printers and clients are served at ports that systemd opened, before and after reloads."""
        printers = Printers(self.directory, ["S3U-1.5.4"], "--scale", "100")
        self.addCleanup(printers.stop)
        early = socket.create_connection(self.ports["web"].getsockname(), PATIENCE)  # before there is a daemon
        self.addCleanup(early.close)
        early.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        daemon = Service(self.directory, printers.targets, ports=self.ports)
        self.addCleanup(lambda: daemon.server.stop())
        self.assertIn(b"200 OK", whole(early))
        self.assertEqual(
            {name: daemon.ports[name][0]["port"] for name in self.ports},
            {name: self.number(name) for name in self.ports},
        )
        daemon.wait_for_printers(1)  # it dialled into the port that it was told
        invitations = len(printers.ask("log", kind="invitation"))

        daemon.write_config(printers.targets, "systemd:domain=INET:name=web", TCP)
        self.assertIn("made anew: web", daemon.hangup("Reloaded"))
        second = daemon.ports["web 2"][0]["port"]
        for port in (self.number("web"), second):
            with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
                client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                self.assertIn(b"200 OK", whole(client))
        daemon.write_config(printers.targets)
        daemon.hangup("Reloaded")
        self.assertEqual([printer["online"] for printer in daemon.get("/v1/printers")], [True])
        again = len(printers.ask("log", kind="invitation"))
        self.assertEqual(again, invitations, "its connection outlived both")

    def test_busy(self) -> None:
        """A reload that wants one socket twice, or a port that systemd holds, is refused; the old ones go on."""
        daemon = Service(self.directory, ports=self.ports)
        self.addCleanup(lambda: daemon.server.stop())
        before = daemon.ports
        for endpoint, why in (
            ("systemd:domain=INET:index=0", "another listener serves that socket already"),
            ("systemd:domain=INET:index=7", "cannot use the endpoint"),
            ("systemd:domain=INET6:name=web", "found one of domain=INET"),
            (f"tcp:{self.number('web')}:interface=127.0.0.1", "Address already in use"),
        ):
            daemon.write_config([], "systemd:domain=INET:name=web", endpoint)
            self.assertIn(why, daemon.hangup("refused"))
            self.assertEqual(daemon.ports, before)
            self.assertEqual(daemon.get("/v1/printers"), [])
