"""Row ``polls``: a status wakes everybody who waits; how late is the last one, and what does waiting cost?

One decision: the clock starts when a real status leaves a printer and stops when the whole answer has been read by
its poller, so broker, fleet, rendering and HTTP are all in it. It is measured twice: with clients that only
listen, and with clients that poll again at once, as all real ones do.
"""

from __future__ import annotations

import resource
import time
from typing import Any

from msgspec import Struct

from tests.bench.printers import farm
from tests.bench.processes import Bench, Child, fetch
from tests.bench.table import Line, Scale, Table, say

__all__ = ["run"]

_WITHIN = 30.0
_OPENING = 40.0
"""Seconds that opening may take: a poll is held for 49.5 s at least, and all must wait at the same time."""
_BREATH = 0.0005
"""Seconds per waiter that the daemon pauses after a burst (``sdcpd.waiters``)."""


class _Woken(Struct, frozen=True):
    first: float
    median: float
    last: float
    cpu: float
    lost: int


class _Found(Struct, frozen=True):
    count: int
    opened: float
    each: float
    alone: _Woken
    again: _Woken


def _wake(server: Child, pollers: Child, wake: Any, count: int, again: bool) -> _Woken:
    server.settle(5.0)
    time.sleep(max(0.5, count * _BREATH + 0.3))
    cpu = server.cpu()
    pollers.tell(do="collect", again=again, seconds=_WITHIN)
    time.sleep(0.2)
    at = wake()
    found = pollers.hear(_WITHIN + 10)
    lost = count - found["count"]
    if lost:
        say(f"NOTE: {lost} of {count} polls were not answered within {_WITHIN:.0f} s")
    if found["first"] < at:
        say("NOTE: something else had woken some of the polls before")
    server.settle(5.0)  # the polls that followed the answers are part of the cost
    used = server.cpu() - cpu
    last = _WITHIN if lost else found["last"] - at
    return _Woken(found["first"] - at, found["median"] - at, last, used, lost)


def _measure(bench: Bench, server: Child, port: int, count: int, wake: Any) -> _Found:
    pollers = bench.load("pollers", str(port), "/v1/updates")
    fetch(port, "/v1/updates")
    server.settle()
    before = server.rss()
    opened = pollers.ask(do="open", count=count, seconds=_OPENING)
    if opened["open"] < count:
        say(f"NOTE: only {opened['open']} polls could be opened within {_OPENING:.0f} s")
        count = int(opened["open"])
    server.settle(5.0)
    each = (server.rss() - before) / count
    alone = _wake(server, pollers, wake, count, again=False)
    again = _wake(server, pollers, wake, count, again=True)
    pollers.end()
    return _Found(count, opened["open"] / opened["seconds"], each, alone, again)


def _ours(count: int) -> tuple[_Found, bytes]:
    with Bench() as bench:
        daemon, printers = farm(bench, 1, interval=3600)
        time.sleep(1.0)  # what the printer said at first is published within half a second
        port = daemon.port("web")
        found = _measure(bench, daemon, port, count, lambda: float(printers.ask(do="publish")["at"]))
        return found, fetch(port, "/v1/updates").body


def _bare(count: int, body: bytes) -> _Found:
    with Bench() as bench:
        file = bench.directory / "body.json"
        file.write_bytes(body)
        server, port = bench.ceiling("polls", str(file))

        def wake() -> float:
            at = time.monotonic()
            fetch(port, "/wake")
            return at

        return _measure(bench, server, port, count, wake)


def run(scale: Scale) -> Table:
    """Measure each number of pollers against the daemon and against the bare resource."""
    lines: list[Line] = []
    notes: list[str] = []
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 500
    for count in scale.polls:
        if count > most:
            notes.append(f"{count} polls are left out: this shell may open only {most + 500} files (ulimit -Hn).")
            continue
        say(f"polls: {count} at sdcpd")
        ours, body = _ours(count)
        say(f"polls: {count} at a bare resource")
        bare = _bare(ours.count, body)
        lines += _lines(ours.count, ours, bare)
        if ours.count < count:
            notes.append(f"MISSED: of {count} polls only {ours.count} could be opened within {_OPENING:.0f} s.")
        lost = max(ours.alone.lost, ours.again.lost)
        if lost:
            notes.append(
                f"MISSED: {lost} of {ours.count} polls were not answered within {_WITHIN:.0f} s of the status."
            )
        notes.append(f"{count} polls: one answer has {len(body):,} bytes of body.")
    return Table(
        "polls: one status wakes everybody who waits",
        "a bare twisted.web Resource that writes the same body to all at once when it is asked to",
        tuple(lines),
        tuple(notes),
    )


def _lines(count: int, ours: _Found, bare: _Found) -> list[Line]:
    def times(name: str, found: _Woken, ceiling: _Woken) -> list[Line]:
        return [
            Line(f"{count} {name}: first", found.first * 1000, "ms", ceiling.first * 1000),
            Line(f"{count} {name}: median", found.median * 1000, "ms", ceiling.median * 1000),
            Line(f"{count} {name}: last", found.last * 1000, "ms", ceiling.last * 1000, 1000.0),
            Line(f"{count} {name}: CPU each", found.cpu / count * 1e6, "us", ceiling.cpu / count * 1e6),
        ]

    return [
        Line(f"{count} polls: memory each", ours.each / 1e3, "kB", bare.each / 1e3, 20.0),
        Line(f"{count} polls: opened", ours.opened, "/s", bare.opened),
        *times("listen", ours.alone, bare.alone),
        *times("poll again", ours.again, bare.again),
    ]
