"""Row ``mqtt``: sdcpd's MQTT server, without printers, beside mosquitto, amqtt and a bare router on Twisted.

One decision: all servers run at the same time on the measured core and are loaded in turns, figure by figure, and
the best of each one's turns counts: whatever else the machine does can only make a server look slower.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from math import nan
from typing import Any

from tests.bench import rivals
from tests.bench.processes import Bench, Child
from tests.bench.table import Beside, Comparison, Scale, say

__all__ = ["idle_connections", "run"]

Start = Callable[[Bench], tuple[Child, int]]

SERVERS: dict[str, Start] = {
    "sdcpd": lambda bench: bench.server("mqtt_server"),
    "bare": lambda bench: bench.ceiling("router"),
    "mosquitto": rivals.mosquitto,
    "amqtt": rivals.amqtt,
}
_AIMS = {"bare": 0.6, "mosquitto": 1 / 2.5, "amqtt": 6.0}
_BEFORE = 200
"""Idle connections that are not counted: they pay for what the first ones make a server load."""
_OTHERS = 300
"""Descriptors that are not idle connections."""
_FEW = {"amqtt": 1000}
"""Who takes minutes, and half a gigabyte, for more."""
_TRIP = 250.0
_IDLE = 8.0
_FULL = 0.92
"""A load that has so much to do is what is measured, unless the server has as much to do."""


def idle_connections(wanted: int, descriptors: int) -> int:
    """How many can be held by one process that may have so many descriptors; at least one, or nothing is measured.

    Raises ``ValueError`` where there is not room for a single one.
    """
    most = descriptors - _BEFORE - _OTHERS
    if descriptors == resource.RLIM_INFINITY or most >= wanted:
        return wanted
    if most < 1:
        raise ValueError(f"{descriptors} descriptors are too few to hold connections: raise ulimit -Hn")
    return most


class _Contest:
    """The servers that could be started, and the load."""

    def __init__(self, bench: Bench, servers: Sequence[str], rounds: int) -> None:
        self.names = tuple(servers)
        self._rounds = rounds
        self.notes: list[str] = []
        self._load = bench.load("mqtt_load")
        self._running: dict[str, tuple[Child, int]] = {}
        for name in servers:
            try:
                self._running[name] = SERVERS[name](bench)
            except rivals.Missing as why:
                self._note(f"{name} is left out: {why}.")

    def _note(self, text: str) -> None:
        say(f"NOTE: {text}")
        self.notes.append(text)

    def _ask(self, name: str, what: str, **order: Any) -> dict[str, Any] | None:
        server, port = self._running[name]
        server.settle(2.0, 0.1)
        answer = self._load.ask(port=port, pid=server.pid, **order)
        if "error" in answer:
            self._note(f"{name}, {what}: {answer['error']}.")
            return None
        return answer

    def measure(self, what: str, **order: Any) -> dict[str, list[dict[str, Any]]]:
        """The same order for each server, in turns."""
        say(f"mqtt: {what}")
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in self.names}
        for _ in range(self._rounds):
            for name in self._running:
                answer = self._ask(name, what, **order)
                if answer is not None:
                    found[name].append(answer)
        return found

    def idle(self, wanted: int, seconds: float) -> list[Beside]:
        """Memory per connection that does nothing, with one subscription, and a round trip among them.

        Has to come first. They do not stay: amqtt compares each message with each subscription.
        """
        most = idle_connections(wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        if most < wanted:
            self._note(f"{most} idle connections instead of {wanted}: ulimit -Hn allows no more.")
        what = "memory per idle connection"
        sizes = {}
        trips = {}
        for name, (server, _) in self._running.items():
            count = min(most, _FEW.get(name, most))
            say(f"mqtt: {what}, {count} of them at {name}")
            if count < most:
                self._note(f"{name} had {count} idle connections, the others {most}.")
            if self._ask(name, what, do="idle", count=_BEFORE) is None:
                continue
            server.settle(3.0, 0.2)
            before = server.rss()
            if self._ask(name, what, do="idle", count=_BEFORE + count) is not None:
                server.settle(3.0, 0.2)
                sizes[name] = (server.rss() - before) / count / 1e3
                if count == most:
                    trip = self._ask(name, "round trip among idle connections", do="trip", qos=1, seconds=seconds)
                    trips[name] = trip["p50"] * 1e6 if trip else nan
            self._ask(name, what, do="close")
        among = f"QoS 1, request and reply among {most:,} idle connections: p50"
        return [
            self.line(what, [sizes.get(name, nan) for name in self.names], "kB", False, _IDLE),
            self.line(among, [trips.get(name, nan) for name in self.names], "us", False, _TRIP),
        ]

    def line(
        self, what: str, figures: Sequence[float], unit: str, more: bool, budget: float | None = None, loaded: str = ""
    ) -> Beside:
        """A line with the aims of each server."""
        aims = tuple(_AIMS[name] for name in self.names[1:])
        limited = frozenset(number for number, name in enumerate(self.names) if name in loaded.split())
        return Beside(what, tuple(figures), unit, more, aims, budget, limited)

    def rate(self, what: str, counted: str, found: dict[str, list[dict[str, Any]]]) -> list[Beside]:
        """How many each second, and the CPU of the server for each."""
        rates, costs, loaded = [], [], []
        for name in self.names:
            runs = found[name]
            best = max(runs, key=lambda run: float(run[counted] / run["seconds"]), default=None)
            rates.append(best[counted] / best["seconds"] if best else nan)
            costs.append(best["cpu"] / max(best[counted], 1) * 1e6 if best else nan)
            if best and best["busy"] > _FULL > best["pressed"]:
                loaded.append(name)
        cost = Beside(f"{what}: CPU each", tuple(costs), "us", False)
        return [self.line(what, rates, "/s", True, loaded=" ".join(loaded)), cost]


def _trips(contest: _Contest, seconds: float) -> list[Beside]:
    lines = []
    for qos in (0, 1, 2):
        what = f"QoS {qos}, request and reply"
        found = contest.measure(what, do="trip", qos=qos, seconds=seconds)
        for percentile in ("p50", "p99"):
            figures = [min((run[percentile] * 1e6 for run in found[name]), default=nan) for name in contest.names]
            budget = _TRIP if (qos, percentile) == (1, "p50") else None
            lines.append(contest.line(f"{what}: {percentile}", figures, "us", False, budget))
    return lines


def run(scale: Scale, servers: Sequence[str] = tuple(SERVERS)) -> Comparison:
    """Measure every figure of every server."""
    with ExitStack() as stack:
        contest = _Contest(stack.enter_context(Bench()), servers, scale.rounds)
        idle = contest.idle(scale.idle, scale.mqtt)
        lines: list[Beside] = []
        for publishers in scale.publishers:
            for qos in (0, 1, 2):
                what = f"QoS {qos}, {publishers} publishers"
                order = {"do": "fan", "qos": qos, "count": publishers, "seconds": scale.mqtt}
                lines += contest.rate(what, "messages", contest.measure(what, **order))
        lines += _trips(contest, scale.mqtt)
        connects = contest.measure("connects", do="connects", seconds=scale.mqtt)
        lines += contest.rate("connects", "connects", connects)
    notes = contest.notes
    if any(line.loaded for line in lines):
        notes.append("`*`: here the load was busier than the server, which can do more than this.")
    return Comparison(
        "mqtt: the server alone, 600 bytes a message, fan-in to one subscriber",
        "a bare Twisted router that only looks the topic up, writes and acknowledges",
        contest.names,
        (*lines, *idle),
        tuple(notes),
    )
