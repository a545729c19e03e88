"""HTTP load: ``wrk`` where it is or can be installed, else a small closed loop of our own.

One decision: the same connections for the daemon and for its ceiling, on the other core, kept alive; the rate is
what one core of server gives and the percentiles are those of a server that is never idle.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import cache

from msgspec import Struct
from msgspec.structs import replace

from tests.bench.processes import Bench, Child
from tests.bench.table import say

__all__ = ["Load", "press"]

CONNECTIONS = 16


class Load(Struct, frozen=True):
    """What a server did under load. Percentiles in seconds; ``refused`` counts answers other than 2xx and 3xx.

    ``rate`` is by the clock on the wall, ``per_core`` by the server's own CPU time: what others do on the machine
    does not change it much.
    """

    rate: float
    per_core: float
    p50: float
    p99: float
    refused: int


@cache
def _wrk() -> str | None:
    found = shutil.which("wrk")
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        say("installing wrk (apt-get install -y wrk)")
        subprocess.run(["apt-get", "install", "-y", "-qq", "wrk"], stdout=subprocess.DEVNULL, check=False)
        found = shutil.which("wrk")
    if found is None:
        say("wrk is not installed (apt-get install wrk); a slower load generator in Python takes its place")
    return found


def press(
    bench: Bench, server: Child, port: int, path: str, seconds: float, headers: Mapping[str, str] | None = None
) -> Load:
    """Ask ``server`` for ``path`` as often as will go."""
    cpu = server.cpu()
    found = _pressed(bench, port, path, seconds, headers or {})
    used = max(server.cpu() - cpu, 0.01)
    return replace(found, per_core=found.per_core / used)


def _pressed(bench: Bench, port: int, path: str, seconds: float, headers: Mapping[str, str]) -> Load:
    """The same, with the number of requests as ``per_core``."""
    url = f"http://127.0.0.1:{port}{path}"
    wrk = _wrk()
    named = [f"{name}: {value}" for name, value in headers.items()]
    if wrk is None:
        words = bench.load("load", url, str(seconds), *named).hear(seconds + 30)
        return Load(words["rate"], words["rate"] * seconds, words["p50"], words["p99"], words["refused"])
    options = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "--latency", "--timeout", "10s"]
    for header in named:
        options += ["-H", header]
    cores = ",".join(map(str, sorted(bench.others)))
    done = subprocess.run(["taskset", "-c", cores, *options, url], capture_output=True, text=True, check=True)
    return _read(done.stdout)


def _read(text: str) -> Load:
    """The figures in wrk's report."""
    units = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}

    def percentile(name: str) -> float:
        found = re.search(rf"^\s+{name}%\s+([\d.]+)(us|ms|s|m)\s*$", text, re.MULTILINE)
        return float(found[1]) * units[found[2]] if found else float("nan")

    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    count = re.search(r"(\d+) requests in ", text)
    return Load(
        rate=float(rate[1]) if rate else 0.0,
        per_core=float(count[1]) if count else 0.0,
        p50=percentile("50"),
        p99=percentile("99"),
        refused=int(refused[1]) if refused else 0,
    )


def _complete(data: bytes) -> bool:
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        return False
    length = re.search(rb"(?i)content-length: *(\d+)", head)
    return len(body) >= (int(length[1]) if length else 0)


def _main() -> None:
    parser = argparse.ArgumentParser(description="A closed loop of HTTP requests.")
    parser.add_argument("url")
    parser.add_argument("seconds", type=float)
    parser.add_argument("header", nargs="*")
    options = parser.parse_args()
    host, _, path = options.url.removeprefix("http://").partition("/")
    name, _, port = host.partition(":")
    request = "\r\n".join([f"GET /{path} HTTP/1.1", f"Host: {host}", *options.header, "", ""]).encode()
    poll = select.epoll()
    open_: dict[int, socket.socket] = {}
    begun: dict[int, float] = {}
    held: dict[int, bytes] = {}
    for _ in range(CONNECTIONS):
        one = socket.create_connection((name, int(port)))
        open_[one.fileno()], held[one.fileno()] = one, b""
        poll.register(one, select.EPOLLIN)
        begun[one.fileno()] = time.perf_counter()
        one.sendall(request)
    start, waits, refused = time.perf_counter(), [], 0
    while time.perf_counter() - start < options.seconds:
        for descriptor, _event in poll.poll(0.1):
            held[descriptor] += open_[descriptor].recv(1 << 20)
            if _complete(held[descriptor]):
                refused += held[descriptor][9:10] not in (b"2", b"3")
                now = time.perf_counter()
                waits.append(now - begun[descriptor])
                begun[descriptor], held[descriptor] = now, b""
                open_[descriptor].sendall(request)
    waits.sort()
    found = {
        "rate": len(waits) / (time.perf_counter() - start),
        "p50": waits[len(waits) // 2],
        "p99": waits[len(waits) * 99 // 100],
        "refused": refused,
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    _main()
