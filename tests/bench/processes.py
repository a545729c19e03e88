"""Child processes of a benchmark: started, asked, measured from ``/proc``, and ended whatever happens.

One decision: whatever is measured runs on the first core and whatever makes the load on the others, so that a
figure "on one core" is one. A process inherits its core from the moment it is started, threads included.
"""

from __future__ import annotations

import http.client
import json
import os
import resource
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from msgspec import Struct

from tests.end_to_end.processes import plugin

__all__ = ["PATIENCE", "Bench", "Child", "Daemon", "Reply", "cpu_of", "fetch", "pressed"]

PATIENCE = 180.0
"""Seconds that a process may take to start, or to answer beyond what that takes: others use the machine, too."""
COMPILED = {
    "PYTHONDONTWRITEBYTECODE": "",
    "PYTHONPYCACHEPREFIX": str(Path(__file__).resolve().parents[2] / "build" / "bench" / "compiled"),
}
"""As an installed program is: its modules were compiled before, and not each time that it starts."""
_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_CONFIG = """\
[sdcpd]
state_directory = "{state}"
[discovery]
interfaces = []
targets = {targets}
interval = {interval}
[mqtt]
listen = "tcp:0:interface=127.0.0.1:backlog=1024"
[downloads]
listen = "tcp:0:interface=127.0.0.1"
[web]
listen = ["tcp:0:interface=127.0.0.1:backlog=1024"]
[access]
trusted = {{ loopback = ["view", "upload", "control"] }}
"""


class Reply(Struct, frozen=True):
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes


def fetch(port: int, path: str, headers: Mapping[str, str] | None = None, method: str = "GET") -> Reply:
    """Ask the server on this port of 127.0.0.1 one thing."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request(method, path, headers=dict(headers or {}))
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, found, answer.read())
    finally:
        connection.close()


def cpu_of(pid: int) -> float:
    """Seconds of CPU this process has used, user and system, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def pressed(pid: int) -> float:
    """Seconds for which the first thread of this process ran or would have: what others took from it counts."""
    try:
        ran, waited, _ = Path(f"/proc/{pid}/schedstat").read_bytes().split()
    except OSError:  # a kernel without scheduler statistics
        return cpu_of(pid)
    return (int(ran) + int(waited)) / 1e9


class Child:
    """One process that this benchmark has started."""

    def __init__(
        self,
        arguments: Sequence[str],
        cores: set[int],
        log: Path,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
        output: Path | None = None,
    ) -> None:
        self._log = log
        self._rest = b""
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, cores)
        try:
            with log.open("wb") as errors, (output or log).open("ab") as words:
                self.started = time.monotonic()
                self._process = subprocess.Popen(
                    arguments,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE if output is None else words,
                    stderr=errors,
                    cwd=cwd,
                    env={**os.environ, **COMPILED, **(environment or {})},
                )
        finally:
            os.sched_setaffinity(0, before)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def cpu(self) -> float:
        """Seconds of CPU it has used, user and system, all threads."""
        return cpu_of(self.pid)

    def rss(self) -> int:
        """Bytes of memory that are resident now."""
        return int(Path(f"/proc/{self.pid}/statm").read_bytes().split()[1]) * _PAGE

    def memory(self) -> dict[str, int]:
        """Bytes by kind: ``Rss`` is all that is resident, ``Pss`` counts what others share in parts, ``Anonymous`` is
        what no file stands for."""
        lines = Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()[1:]
        return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}

    def wakeups(self) -> int:
        """How many times one of its threads has gone to sleep, which is as often as it was woken."""
        found = 0
        for path in Path(f"/proc/{self.pid}/task").glob("*/status"):
            with suppress(OSError):  # a thread that has just ended
                found += int(path.read_text().partition("\nvoluntary_ctxt_switches:")[2].split()[0])
        return found

    def written(self) -> int:
        """Bytes that it has caused to be written to a disk."""
        return int(Path(f"/proc/{self.pid}/io").read_text().partition("\nwrite_bytes:")[2].split()[0])

    def settle(self, within: float = 30.0, look: float = 0.4) -> None:
        """Wait until it has next to nothing to do."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            used = self.cpu()
            time.sleep(look)
            if self.cpu() - used <= 0.05 * look:
                return

    def tell(self, **order: Any) -> None:
        """Hand it one order, as a line of JSON."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()

    def hear(self, within: float = PATIENCE) -> dict[str, Any]:
        """The next line of JSON that it writes."""
        assert self._process.stdout is not None
        output = self._process.stdout.fileno()
        deadline = time.monotonic() + within
        while b"\n" not in self._rest:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([output], [], [], left)[0]:
                raise TimeoutError(f"process {self.pid} says nothing; its last words: {self.last_words()}")
            piece = os.read(output, 65536)
            if not piece:
                raise ChildProcessError(f"process {self.pid} has ended; its last words: {self.last_words()}")
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, **order: Any) -> dict[str, Any]:
        """Hand it one order and wait until it is done."""
        self.tell(**order)
        return self.hear(PATIENCE + float(order.get("seconds", 0)))

    def last_words(self) -> str:
        """The end of what it wrote on its standard error."""
        return self._log.read_text("utf-8", "replace")[-1500:].strip() or "none"

    def wait(self, within: float) -> int:
        """Wait for its end; the exit status."""
        return self._process.wait(within)

    def end(self) -> None:
        """End it, kindly first."""
        if self.alive:
            self._process.terminate()
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


class Daemon(Child):
    """sdcpd itself, with a state directory of its own and any free ports."""

    def __init__(self, directory: Path, core: set[int], targets: Sequence[str], interval: float) -> None:
        self._ports = directory / "state" / "ports.json"
        config = directory / "sdcpd.toml"
        config.write_text(
            _CONFIG.format(state=directory / "state", targets=json.dumps(list(targets)), interval=interval)
        )
        command = [*plugin("sdcpd"), "--config", str(config)]
        super().__init__(command, core, directory / "daemon.stderr", output=directory / "daemon.log")
        self._directory = directory

    def port(self, name: str) -> int:
        """The port of this listener, as ``ports.json`` tells it."""
        found = json.loads(self._ports.read_bytes())
        return int(found[name][0]["port"])

    def wait_ready(self, path: str = "/healthz", within: float = PATIENCE) -> float:
        """Wait for the first good answer to ``path``; seconds since the process was started."""
        deadline = self.started + within
        while True:
            try:
                if fetch(self.port("web"), path).status == 200:
                    return time.monotonic() - self.started
            except (OSError, ValueError, KeyError):
                pass
            if not self.alive or time.monotonic() > deadline:
                raise ChildProcessError(f"the daemon did not start: {self.last_words()}")
            time.sleep(0.005)

    def last_words(self) -> str:
        """The end of its log and of its standard error."""
        log = self._directory / "daemon.log"
        return (log.read_text("utf-8", "replace")[-1500:] if log.exists() else "") + super().last_words()


class Bench:
    """A temporary directory and the processes of one row; leaving it ends all of them."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._count = 0
        cores = sorted(os.sched_getaffinity(0))
        self.core = {cores[0]}
        """Where the measured process runs."""
        self.others = set(cores[1:]) or {cores[0]}
        """Where the load is made."""

    def __enter__(self) -> Self:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            self._stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        self.directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="sdcpd-bench-")))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _place(self, name: str) -> Path:
        self._count += 1
        directory = self.directory / f"{self._count}-{name}"
        directory.mkdir()
        return directory

    def daemon(self, targets: Sequence[str] = (), interval: float = 30.0) -> Daemon:
        """sdcpd, the checkout's or (SDCPD_COMMANDS) the installed one, probing ``targets`` for printers."""
        daemon = Daemon(self._place("daemon"), self.core, targets, interval)
        self._stack.callback(daemon.end)
        return daemon

    def ceiling(self, kind: str, *arguments: str) -> tuple[Child, int]:
        """A bare Twisted server (``tests.bench.ceilings``) on the measured core, and its port."""
        return self.server("ceilings", kind, *arguments)

    def server(self, module: str, *arguments: str) -> tuple[Child, int]:
        """A module of this package that is a server, on the measured core, and its port."""
        child, ports = self.servers(module, *arguments)
        return child, ports["port"]

    def servers(self, module: str, *arguments: str) -> tuple[Child, dict[str, int]]:
        """The same, where it has several ports; they have names."""
        child = self._module(module, self.core, *arguments)
        return child, child.hear()

    def rival(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> Child:
        """A server of somebody else, on the measured core."""
        child = Child(command, self.core, self._place(name) / "stderr", environment=environment)
        self._stack.callback(child.end)
        return child

    def load(self, module: str, *arguments: str) -> Child:
        """A module of this package that makes load, as a process of its own."""
        return self._module(module, self.others, *arguments)

    def program(self, *arguments: str) -> Child:
        """Any program that makes load."""
        child = Child(arguments, self.others, self._place("program") / "stderr")
        self._stack.callback(child.end)
        return child

    def _module(self, module: str, cores: set[int], *arguments: str) -> Child:
        root = Path(__file__).resolve().parents[2]
        directory = self._place(module)
        command = [sys.executable, "-m", f"tests.bench.{module}", *arguments]
        child = Child(command, cores, directory / "stderr", root)
        self._stack.callback(child.end)
        return child
