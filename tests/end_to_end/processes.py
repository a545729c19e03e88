"""The daemon and simulated printers as processes of their own, for the end-to-end tests and the demo.

One decision: everything is waited for by what it says (a line of its log, an answer of its long poll), never by a
guess how long it takes; each wait has an end.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Condition, Thread
from typing import Any, Self

__all__ = ["Daemon", "HeldPort", "Printers", "Server", "free_udp_port", "loopback_network", "plugin", "samples"]

TWISTD = Path(sys.executable).with_name("twistd")
INSTALLED = os.environ.get("SDCPD_COMMANDS", "")
"""Where installed commands are, as ``/usr/bin``: they are run then instead of the checkout's plugins."""
PATIENCE = 120.0
"""Seconds after which a wait fails: far more than anything needs."""
_LIBC = ctypes.CDLL(None)
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def samples() -> Path:
    """Where the real sliced files lie: beside the checkout, or where SDCPD_SAMPLES says."""
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "samples"
    return Path(os.environ.get("SDCPD_SAMPLES", beside))


def loopback_network() -> str:
    """The first three numbers of a loopback network that nobody else is likely to use."""
    return f"127.{random.randint(64, 250)}.{random.randint(0, 250)}"


class HeldPort:
    """A TCP port of the loopback interface that nobody else gets, whether a server of ours listens there or not.

    It is bound here and never listened at: Linux lets a server that sets SO_REUSEADDR, as all of them do, bind it, too,
    but gives it neither to who asks for any port nor to an outgoing connection.
    """

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.number = int(self._socket.getsockname()[1])
        self.endpoint = f"tcp:{self.number}:interface=127.0.0.1"
        """As the daemon's configuration has it."""

    def close(self) -> None:
        """Anybody may have it."""
        self._socket.close()


def free_udp_port(address: str) -> int:
    """A UDP port that is free at this address, and is none of those that Linux gives to who asks for any."""
    lowest = int(_EPHEMERAL.read_text().split()[0]) if _EPHEMERAL.exists() else 32_768
    while True:
        port = random.randrange(10_000, lowest if lowest > 12_000 else 65_536)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
            probe.bind((address, port))
            return port


def _die_with_parent() -> None:
    """Ask Linux to end this process when its parent does: a closed terminal must not leave a daemon behind."""
    _LIBC.prctl(1, signal.SIGTERM)


def plugin(name: str) -> list[str]:
    """The words that run the daemon or another twistd plugin of ours, or what is installed."""
    if INSTALLED:
        return [str(Path(INSTALLED, name))]
    if name == "sdcpd":
        return [sys.executable, "-m", name]
    return [str(TWISTD), "--nodaemon", "--pidfile=", name]


class Server:
    """One process whose log can be waited for; also a context manager that ends it.

    ``before`` is a program that becomes this one after it has prepared something, with ``descriptors`` of ours.
    """

    def __init__(
        self,
        name: str,
        *arguments: str,
        directory: Path,
        environment: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
        descriptors: Sequence[int] = (),
    ) -> None:
        self.name = name
        self.lines: list[str] = []
        self._news = Condition()
        self._over = False
        self.process = subprocess.Popen(
            [*before, *plugin(arguments[0]), *arguments[1:]],
            cwd=directory,
            env={**os.environ, **(environment or {})},
            pass_fds=descriptors,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=_die_with_parent,
        )
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._over = True
            self._news.notify_all()

    @property
    def log(self) -> str:
        """Everything it has said so far."""
        return "\n".join(self.lines)

    def wait_for(self, text: str, since: int = 0) -> str:
        """The first line with this text after line ``since``."""

        def found() -> str | None:
            return next((line for line in self.lines[since:] if text in line), None)

        with self._news:
            self._news.wait_for(lambda: found() or self._over, PATIENCE)
        line = found()
        if line is None:
            raise AssertionError(f"{self.name} never said {text!r}; it said:\n{self.log}")
        return line

    def stop(self) -> int:
        """End it in order; the result is its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        self.process.kill()
        self.wait()

    def wait(self) -> int:
        """Its exit status, once it has ended."""
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self._reader.join(PATIENCE)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Printers(Server):
    """A process of simulated printers with a control socket."""

    def __init__(self, directory: Path, profiles: list[str], *options: str, broadcast: bool = False) -> None:
        self.network = loopback_network()
        self.first = f"{self.network}.2"
        self.port = free_udp_port(self.first)
        self.control = directory / "printers.sock"
        arguments = [argument for profile in profiles for argument in ("--printer", profile)]
        super().__init__(
            "the simulator",
            "sdcp-printer",
            *arguments,
            "--first-address",
            self.first,
            "--port",
            str(self.port),
            "--broadcast" if broadcast else "--no-broadcast",
            "--strict",
            "--control",
            str(self.control),
            *options,
            directory=directory,
        )
        self.targets = [f"{self.network}.{2 + number}:{self.port}" for number in range(len(profiles))]
        for target in self.targets:
            self.wait_for(f" at {target} ")

    def ask(self, verb: str, printer: int | str = 0, **arguments: Any) -> Any:
        """Say one thing to a printer, by its place or its name; an AssertionError if it will not."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(PATIENCE)
            sock.connect(str(self.control))
            sock.sendall(json.dumps({"do": verb, "printer": printer, **arguments}).encode() + b"\n")
            with sock.makefile("rb") as lines:
                answer = json.loads(lines.readline())
        if not answer.get("ok"):
            raise AssertionError(f"the simulator refuses {verb}: {answer}")
        return answer.get("result")


class Daemon:
    """The daemon with a state directory of its own; it can be killed and started again."""

    def __init__(self, directory: Path, targets: list[str], **settings: str) -> None:
        self.directory = directory
        self.config = directory / "sdcpd.toml"
        self.write_config(targets, **settings)
        self.server = self._start()

    def write_config(
        self,
        targets: list[str],
        web: str = "tcp:0:interface=127.0.0.1",
        discovery: str = "interfaces = []",
        more: str = "",
        log_level: str = "info",
    ) -> None:
        """Write the configuration anew; a running daemon takes it over at SIGHUP."""
        text = f"""
            [sdcpd]
            state_directory = {json.dumps(str(self.directory / "state"))}
            log_level = "{log_level}"
            [discovery]
            {discovery}
            targets = {json.dumps(targets)}
            interval = 5
            [mqtt]
            listen = "tcp:0:interface=127.0.0.1"
            [downloads]
            listen = "tcp:0:interface=127.0.0.1"
            [web]
            listen = [{json.dumps(web)}]
            {more}
            """
        self.config.write_text(text, encoding="utf-8")

    def _start(self) -> Server:
        server = self._launch()
        try:
            server.wait_for("Listening:")
            # It says so before its reactor turns; until then SIGTERM would end it at once, and not in order.
            with socket.create_connection(("127.0.0.1", self.ports["web"][0]["port"]), PATIENCE) as client:
                client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                with contextlib.suppress(ConnectionResetError):  # where it speaks TLS
                    client.recv(1)
        except BaseException:
            server.kill()
            raise
        return server

    def _launch(self) -> Server:
        return Server("the daemon", "sdcpd", "--config", str(self.config), directory=self.directory)

    @property
    def ports(self) -> dict[str, Any]:
        """``ports.json``, as the daemon wrote it."""
        found: dict[str, Any] = json.loads((self.directory / "state" / "ports.json").read_bytes())
        return found

    @property
    def url(self) -> str:
        """Where its API is."""
        return f"http://{self.ports['web'][0]['address']}".replace("0.0.0.0", "127.0.0.1")

    def restart(self, *, kill: bool) -> None:
        """End it, by ``kill -9`` or in order, and start it again over the same state."""
        if kill:
            self.server.kill()
        else:
            self.server.stop()
        self.server = self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()

    @property
    def key(self) -> str:
        """The admin's key, from the file that the daemon made at its first start."""
        return (self.directory / "state" / "admin.key").read_text().strip()

    # -- its API ---------------------------------------------------------------------------------------------

    def request(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """One request; status and the decoded JSON (or the text)."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"X-Api-Key": self.key}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                status, raw = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, raw = error.code, error.read()
        try:
            return status, json.loads(raw)
        except ValueError:
            return status, raw.decode()

    def put(self, path: str, file: Path) -> tuple[int, Any]:
        """Upload a file as a raw body; status and the decoded JSON."""
        url = self.url + urllib.parse.quote(path)
        headers = {"Content-Length": str(file.stat().st_size), "X-Api-Key": self.key}
        with file.open("rb") as body:
            request = urllib.request.Request(url, body, headers, method="PUT")
            try:
                with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                    return answer.status, json.loads(answer.read())
            except urllib.error.HTTPError as error:
                return error.code, json.loads(error.read())

    def get(self, path: str) -> Any:
        """The JSON at a path that must be there."""
        status, document = self.request("GET", path)
        assert status == 200, (status, document)
        return document

    def curl(self, *arguments: str) -> tuple[int, Any]:
        """Run curl on a path (the last argument); HTTP status and the decoded JSON."""
        *options, path = arguments
        key = ["--header", f"X-Api-Key: {self.key}"]
        command = ["curl", "--silent", "--show-error", "--write-out", "\n%{http_code}", *key, *options, self.url + path]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
        body, _, status = done.stdout.rpartition("\n")
        return int(status), json.loads(body) if body else None

    def download(self, path: str) -> tuple[int, bytes]:
        """Status and bytes of what is at a path."""
        try:
            with urllib.request.urlopen(self.url + urllib.parse.quote(path), timeout=PATIENCE) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def updates(self, patience: float = PATIENCE) -> Iterator[dict[str, Any]]:
        """Every answer of the long poll, until the caller has seen enough or the seconds are over."""
        deadline = time.monotonic() + patience
        cursor = ""
        while time.monotonic() < deadline:
            document = self.get(f"/v1/updates?timeout=5&events=recent&since={cursor}")
            cursor = document["cursor"]
            yield document
        raise AssertionError(f"waited {patience:.0f} s in vain; the daemon said:\n{self.server.log}")

    def wait_until(self, slug: str, reached: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """Follow one printer by long poll until it is as wanted; every document that came on the way."""
        seen: list[dict[str, Any]] = []
        for update in self.updates():
            printer = update["printers"].get(slug)
            if printer is not None:
                seen.append(printer)
                if reached(printer):
                    return seen
        raise AssertionError("unreachable")

    def wait_for_printers(self, count: int) -> list[dict[str, Any]]:
        """The printers, once so many are online."""
        for _ in self.updates():
            printers: list[dict[str, Any]] = self.get("/v1/printers")
            if sum(printer["online"] for printer in printers) >= count:
                return printers
        raise AssertionError("unreachable")
