"""Row ``farm``: what a daemon costs all day: with nothing to do, with a farm that prints, and with people who look.

One decision: everything is counted by the kernel over seconds of a steady state: CPU time, wake-ups, bytes for the
disk. The printers print jobs that the daemon has delivered and started, and the lookers are a mixture that users
have, so nothing is measured that nobody does.
"""

from __future__ import annotations

import http.client
import json
import time
from itertools import cycle
from pathlib import Path
from typing import Any

from msgspec import Struct

from tests.bench.files import sparse_goo
from tests.bench.printers import farm
from tests.bench.processes import PATIENCE, Bench, Child, fetch
from tests.bench.table import Line, Scale, Table, say

__all__ = ["run"]

_SIZE = 200_000
_STARTS = 120.0
"""Seconds that all prints may take to begin."""
_PAGE = 0.5
"""Seconds after which a bare program has news of all printers, and of one of them in ``_ONE``."""
_ONE = 1.0

_Lookers = list[tuple[float, list[str]]]


class _Cost(Struct, frozen=True):
    """Per second, but for the memory, which is bytes."""

    cpu: float
    memory: int
    wakeups: float
    written: float


def _mixture(slugs: list[str], count: int) -> _Lookers:
    """Who looks: the seconds of each one's period (0: a long poll), and the paths that it asks for in turn.

    Of a hundred, 40 are open pages and 40 wait for news of one printer; 10 show ``/status``, 5 are clients of OctoPrint
    and 4 of Moonraker, and one is Prometheus.
    """
    some = cycle(slugs)
    share = count / 100
    found: _Lookers = [(15.0, ["/metrics"])]
    found += [(1.0, ["/status"])] * max(1, int(10 * share))
    for _ in range(max(1, int(5 * share))):
        base = f"/printers/{next(some)}"
        found.append((2.0, [f"{base}/api/job", f"{base}/api/printer"]))
    for _ in range(max(1, int(4 * share))):
        asked = "printer/objects/query?print_stats&virtual_sdcard&display_status"
        found.append((1.0, [f"/printers/{next(some)}/{asked}"]))
    found += [(0.0, ["/v1/updates"])] * max(1, int(40 * share))
    found += [(0.0, [f"/printers/{next(some)}/v1/updates"]) for _ in range(count - len(found))]
    return found


def _start(port: int, source: Path) -> list[str]:
    """Have every printer print a stored file; their slugs once the daemon sees all of it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)

    def ask(method: str, path: str, body: bytes | None = None) -> Any:
        connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise ChildProcessError(f"{method} {path} was answered with {answer.status}: {text[:300]!r}")
        return json.loads(text)

    ask("PUT", "/v1/files/farm.goo", source.read_bytes())
    slugs = [str(printer["id"]) for printer in ask("GET", "/v1/printers")]
    for slug in slugs:
        ask("POST", f"/v1/printers/{slug}/print", b'{"file":"farm.goo"}')
    deadline = time.monotonic() + _STARTS
    while time.monotonic() < deadline:
        printers = ask("GET", "/v1/printers")
        if all(printer["job"] is not None and printer["job"]["state"] == "printing" for printer in printers):
            return slugs
        time.sleep(0.2)
    states = sorted({printer["job"]["state"] for printer in printers if printer["job"] is not None})
    raise TimeoutError(f"not every print has begun within {_STARTS:.0f} s: {', '.join(states)}")


def _over(server: Child, seconds: float) -> _Cost:
    """What the server takes while nothing but time passes here."""
    cpu, woken, written, start = server.cpu(), server.wakeups(), server.written(), time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - start
    return _Cost(
        cpu=(server.cpu() - cpu) / took,
        memory=server.rss(),
        wakeups=(server.wakeups() - woken) / took,
        written=(server.written() - written) / took,
    )


def _busy(server: Child, seconds: float, *makers: Child) -> tuple[_Cost, list[dict[str, Any]]]:
    """The same while load is made. What the first second brings counts for nothing."""
    for maker in makers:
        maker.tell(do="pace", seconds=seconds + 1.5)
    time.sleep(1.0)
    cost = _over(server, seconds)
    return cost, [maker.hear(seconds + PATIENCE) for maker in makers]


def _idle(scale: Scale) -> _Cost:
    with Bench() as bench:
        bench.daemon().wait_ready()  # compiles what has changed, and is not measured
    with Bench() as bench:
        daemon = bench.daemon()
        daemon.wait_ready()
        daemon.settle()
        time.sleep(3.0)  # the first probes of discovery are over
        return _over(daemon, scale.rest)


def run(scale: Scale) -> Table:
    """An idle daemon, then the farm, then the farm with lookers; then the bare program."""
    count = scale.printers[0]
    say("farm: an idle daemon")
    idle = _idle(scale)
    with Bench() as bench:
        say(f"farm: {count} prints begin")
        daemon, printers = farm(bench, count, 30.0, "--printing", "")
        port = daemon.port("web")
        slugs = _start(port, sparse_goo(bench.directory / "farm.goo", _SIZE))
        daemon.settle(5.0)
        say(f"farm: {count} print")
        alone, _ = _busy(daemon, scale.paced, printers)
        lookers = _mixture(slugs, scale.lookers)
        say(f"farm: {count} print, {len(lookers)} look")
        audience = bench.load("audience", str(port), json.dumps(lookers))
        ours, (_, seen) = _busy(daemon, scale.paced, printers, audience)
        answers = {path: _sample(port, period, path) for period, paths in lookers for path in paths}
    with Bench() as bench:
        file = bench.directory / "answers.json"
        file.write_text(json.dumps({path.partition("?")[0]: answer for path, answer in answers.items()}))
        server, ports = bench.servers("ceilings", "farm", str(file))
        printers = bench.load("generator", str(count), "--connect", str(ports["mqtt"]))
        printers.ask(do="ready", seconds=_STARTS)
        say(f"farm: {count} printers at a bare program")
        bare_alone, _ = _busy(server, scale.paced, printers)
        say(f"farm: {count} printers and {len(lookers)} lookers at a bare program")
        audience = bench.load("audience", str(ports["port"]), json.dumps(lookers))
        bare, (_, bare_seen) = _busy(server, scale.paced, printers, audience)
    return Table(
        f"farm: {count} printers that print and {len(lookers)} who look",
        "one bare Twisted program: it acknowledges the statuses and answers the lookers with the same bytes",
        (
            *_lines("idle", idle, None),
            *_lines(f"{count} print", alone, bare_alone),
            *_lines(f"{count} print, {len(lookers)} look", ours, bare),
            Line("answers to lookers", seen["answers"], "/s", bare_seen["answers"]),
            Line("of these to long polls", seen["polls"], "/s", bare_seen["polls"]),
        ),
        (f"The lookers' process was at most {max(seen['cpu'], bare_seen['cpu']):.0%} busy.",),
    )


def _sample(port: int, period: float, path: str) -> tuple[str, float]:
    """One answer, and the seconds after which the bare program gives it."""
    waits = 0.0 if period else _PAGE if path == "/v1/updates" else _ONE
    if not waits:
        return fetch(port, path).body.decode(), 0.0
    cursor = json.loads(fetch(port, path).body)["cursor"]
    epoch, _, version = cursor.partition(".")
    # as many printers as have news in that time
    return fetch(port, f"{path}?since={epoch}.{max(int(version) - 50, 0)}&kinds=state").body.decode(), waits


def _lines(what: str, ours: _Cost, bare: _Cost | None) -> list[Line]:
    def line(name: str, of: str, unit: str, factor: float) -> Line:
        ceiling = None if bare is None else getattr(bare, of) * factor
        return Line(f"{what}: {name}", getattr(ours, of) * factor, unit, ceiling)

    return [
        line("CPU", "cpu", "%", 100.0),
        line("resident", "memory", "MB", 1e-6),
        line("wake-ups", "wakeups", "/s", 1.0),
        line("to the disk", "written", "kB/s", 1e-3),
    ]
