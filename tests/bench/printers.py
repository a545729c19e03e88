"""Row ``printers``: statuses of many V1 boards, paced at one a second each and as many as will go.

One decision: two figures, because they answer two questions. Paced is what a farm costs; the closed loop (the next
status leaves when the last was acknowledged) is how far one core is from its end.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from tests.bench.board import targets
from tests.bench.processes import Bench, Child, Daemon
from tests.bench.table import Line, Scale, Table, say

__all__ = ["farm", "run"]

_CONNECT = 120.0
"""Seconds that all printers may take to be found and greeted."""
_BUDGET = 1000


class _Found(Struct, frozen=True):
    share: float
    memory: int
    p99: float
    rate: float
    each: float
    load: float


def farm(bench: Bench, count: int, interval: float = 30.0, *options: str) -> tuple[Daemon, Child]:
    """A daemon, and so many printers that it has found, invited and greeted."""
    printers = bench.load("generator", str(count), *options)
    daemon = bench.daemon(targets(count, int(printers.hear()["port"])), interval)
    daemon.wait_ready()
    ready = printers.ask(do="ready", seconds=_CONNECT)["ready"]
    if ready < count:
        raise ChildProcessError(f"only {ready} of {count} printers are connected: {daemon.last_words()}")
    return daemon, printers


def _measure(server: Child, printers: Child, count: int, scale: Scale) -> _Found:
    server.settle(5.0)
    cpu = server.cpu()
    paced = printers.ask(do="pace", seconds=scale.paced)
    share = (server.cpu() - cpu) / paced["seconds"]
    memory = server.rss()
    cpu = server.cpu()
    looped = printers.ask(do="loop", seconds=scale.looped)
    each = (server.cpu() - cpu) / max(looped["acked"], 1)
    _complete(paced, count, scale.paced)
    return _Found(
        share=share,
        memory=memory,
        p99=paced["p99"],
        rate=looped["acked"] / looped["seconds"],
        each=each,
        load=looped["cpu"],
    )


def _complete(paced: dict[str, Any], count: int, seconds: float) -> None:
    if paced["connected"] < count:
        say(f"NOTE: only {paced['connected']} of {count} printers were still connected")
    if paced["acked"] < 0.99 * int(count * seconds):
        say(f"NOTE: {paced['acked']} of {int(count * seconds)} paced statuses were acknowledged in time")


def run(scale: Scale) -> Table:
    """Measure each number of printers against the daemon and against the bare protocol."""
    lines: list[Line] = []
    busiest = 0.0
    resident: dict[int, int] = {}
    for count in scale.printers:
        say(f"printers: {count}, sdcpd")
        with Bench() as bench:
            ours = _measure(*farm(bench, count), count, scale)
        say(f"printers: {count}, bare protocol")
        with Bench() as bench:
            server, port = bench.ceiling("mqtt")
            printers = bench.load("generator", str(count), "--connect", str(port))
            printers.ask(do="ready", seconds=_CONNECT)
            bare = _measure(server, printers, count, scale)
        busiest = max(busiest, ours.load, bare.load)
        resident[count] = ours.memory
        budget = count == _BUDGET
        lines += [
            Line(f"{count} printers at 1/s: CPU", ours.share * 100, "%", bare.share * 100, 50.0 if budget else None),
            Line(
                f"{count} printers at 1/s: resident",
                ours.memory / 1e6,
                "MB",
                bare.memory / 1e6,
                200.0 if budget else None,
            ),
            Line(f"{count} printers at 1/s: PUBACK p99", ours.p99 * 1000, "ms", bare.p99 * 1000),
            Line(f"{count} printers, closed loop", ours.rate, "/s", bare.rate),
            Line(f"{count} printers, CPU per status", ours.each * 1e6, "us", bare.each * 1e6),
        ]
    if len(resident) > 1:
        few, many = min(resident), max(resident)
        lines.append(Line("memory per further printer", (resident[many] - resident[few]) / (many - few) / 1e3, "kB"))
    notes = [f"The generator's core was at most {busiest:.0%} busy; where it nears 100 % it is what is measured."]
    return Table(
        "printers: statuses of V1 boards over MQTT",
        "a bare Twisted Protocol that cuts packets naively and sends PUBACK",
        tuple(lines),
        tuple(notes),
    )
