"""Row ``status``: how many times a second ten printers can be asked about, and how long one answer takes.

One decision: the printers go on printing while they are asked about, so the cached body is made anew many times a
second as in real life; only for ``If-None-Match`` are they silent, because the validator changes with each word.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from sdcpd.simulator.slicing import write_goo
from tests.bench.files import uploads
from tests.bench.load import Load, press
from tests.bench.printers import farm
from tests.bench.processes import Bench, Child, Daemon, fetch
from tests.bench.table import Line, Scale, Table, say

__all__ = ["run"]

PRINTERS = 10
_PATHS = ("/status", "/v1/printers", "/healthz")
_UPLOADS = 4
_LAYERS = 60
_BUDGET = 5000.0


def _busy(bench: Bench, daemon: Daemon, printers: Child, path: str, seconds: float) -> Load:
    printers.tell(do="pace", seconds=seconds + 0.5)
    load = press(bench, daemon, daemon.port("web"), path, seconds)
    printers.hear()
    return load


@contextmanager
def _pictures(bench: Bench, port: int) -> Iterator[None]:
    """One layer's picture after the other for as long as the context lasts, none of them asked for twice."""
    source = bench.directory / "pictures.goo"
    write_goo(source, layers=_LAYERS)
    url = f"http://127.0.0.1:{port}/v1/files/{source.name}"
    if bench.program("curl", "-sS", "--fail", "-o", "/dev/null", "-T", str(source), url).wait(30):
        raise ChildProcessError("the file whose layers are to be drawn was not taken")
    drawing = bench.program("curl", "-sS", "-o", "/dev/null", f"{url}/layers/[1-{_LAYERS}].png?width=[900-999]")
    try:
        yield
        if not drawing.alive:
            say("NOTE: the pictures came to their end before the requests")
    finally:
        drawing.end()


def _not_modified(bench: Bench, daemon: Daemon, printers: Child, seconds: float) -> Load:
    port = daemon.port("web")
    printers.ask(do="hum", on=False)
    etag = {"If-None-Match": fetch(port, "/status").headers["etag"]}
    load = press(bench, daemon, port, "/status", seconds, etag)
    if fetch(port, "/status", etag).status != 304:
        say("NOTE: something changed in the meantime; not all answers were 304")
    printers.ask(do="hum", on=True)
    return load


def run(scale: Scale) -> Table:
    """Press each path, then the bare servers with the same bytes."""
    bodies: dict[str, str] = {}
    ours: dict[str, Load] = {}
    with Bench() as bench:
        daemon, printers = farm(bench, PRINTERS, interval=3600)
        port = daemon.port("web")
        for path in _PATHS:
            say(f"status: {path}, {PRINTERS} printers at 1/s")
            ours[path] = _busy(bench, daemon, printers, path, scale.load)
            bodies[path] = fetch(port, path).body.decode()
        say("status: /status with If-None-Match")
        ours["304"] = _not_modified(bench, daemon, printers, scale.load)
        say(f"status: /status while {_UPLOADS} files arrive and layers are drawn")
        with uploads(bench, port, _UPLOADS, scale.file), _pictures(bench, port):
            ours["uploads"] = _busy(bench, daemon, printers, "/status", scale.load)
    bare: dict[str, dict[str, Load]] = {}
    for kind in ("resource", "klein"):
        with Bench() as bench:
            answers = bench.directory / "answers.json"
            answers.write_text(json.dumps(bodies))
            server, port = bench.ceiling(kind, str(answers))
            bare[kind] = {}
            for path in _PATHS:
                say(f"status: {path}, bare {kind}")
                bare[kind][path] = press(bench, server, port, path, scale.load / 2)
            if kind == "resource":
                bare[kind]["304"] = press(bench, server, port, "/status", scale.load / 2, {"If-None-Match": '"bench"'})
    bad = sum(load.refused for load in (*ours.values(), *bare["resource"].values(), *bare["klein"].values()))
    notes = [f"{len(bodies['/status']):,} bytes of /status, {len(bodies['/v1/printers']):,} of /v1/printers."]
    if bad:
        notes.append(f"{bad} answers were neither 2xx nor 3xx!")
    return Table(
        f"status: HTTP requests about {PRINTERS} printers, one core",
        "a bare twisted.web Resource with the same bytes; where said, one bare Klein route",
        tuple(_lines(ours, bare["resource"], bare["klein"])),
        tuple(notes),
    )


def _lines(ours: dict[str, Load], resource: dict[str, Load], klein: dict[str, Load]) -> list[Line]:
    lines = []
    for path in _PATHS:
        budget = _BUDGET if path == "/status" else None
        lines += [
            Line(f"{path} per second of CPU", ours[path].per_core, "/s", resource[path].per_core, budget, "least"),
            Line(f"{path}, the same, Klein as ceiling", ours[path].per_core, "/s", klein[path].per_core),
            Line(f"{path} per second", ours[path].rate, "/s", resource[path].rate),
            Line(f"{path}: p50", ours[path].p50 * 1000, "ms", resource[path].p50 * 1000),
            Line(f"{path}: p99", ours[path].p99 * 1000, "ms", resource[path].p99 * 1000),
        ]
    same, bare = ours["304"], resource["304"]
    return [
        *lines,
        Line("/status, 304, per second of CPU", same.per_core, "/s", bare.per_core, _BUDGET, "least"),
        Line("/status, 304: p99", same.p99 * 1000, "ms", bare.p99 * 1000),
        Line(
            f"/status while {_UPLOADS} uploads and layer pictures run",
            ours["uploads"].rate,
            "/s",
            resource["/status"].rate,
        ),
        Line(
            f"/status while {_UPLOADS} uploads and layer pictures run: p99",
            ours["uploads"].p99 * 1000,
            "ms",
            None,
            50.0,
        ),
    ]
