"""Row ``startup``: from the start of the process to the first answered ``/status``, and the memory at rest.

``SDCPD_COMMANDS=/usr/bin`` measures the installed package in place of the checkout.

One decision: the start is asked for by polling the port file as a service monitor would, and the median of several
starts counts; the first one after an installation also compiles the modules and is not counted.
"""

from __future__ import annotations

import json
import statistics
import time

from tests.bench.processes import Bench, fetch
from tests.bench.table import Line, Scale, Table, say
from tests.end_to_end.processes import plugin

__all__ = ["run"]

_REST = 1.5


def _bare(bench: Bench) -> tuple[float, int]:
    answers = bench.directory / "answers.json"
    answers.write_text(json.dumps({"/status": "[]"}))
    child, port = bench.ceiling("klein", str(answers))
    fetch(port, "/status")
    took = time.monotonic() - child.started
    time.sleep(_REST)
    return took, child.rss()


def run(scale: Scale) -> Table:
    """Start both several times."""
    ours: list[tuple[float, float, dict[str, int]]] = []
    bare: list[tuple[float, int]] = []
    for number in range(scale.starts + 1):
        say(f"startup: {number + 1} of {scale.starts + 1}")
        with Bench() as bench:
            daemon = bench.daemon()
            took = daemon.wait_ready("/status")
            used = daemon.cpu()
            time.sleep(_REST)
            ours.append((took, used, daemon.memory()))
        with Bench() as bench:
            bare.append(_bare(bench))
    starts, used_times, sizes = zip(*ours[1:], strict=True)
    bare_starts, bare_sizes = zip(*bare[1:], strict=True)
    return Table(
        "startup: an idle daemon",
        "a bare program with one Klein route",
        (
            Line("first /status answered", statistics.median(starts), "s", statistics.median(bare_starts), 2.0),
            Line("slowest of them", max(starts), "s", max(bare_starts), 2.0),
            Line("processor time until then", statistics.median(used_times), "s"),
            Line("resident, idle", max(size["Rss"] for size in sizes) / 1e6, "MB", max(bare_sizes) / 1e6, 60.0),
            Line("its own and its part of what is shared", max(size["Pss"] for size in sizes) / 1e6, "MB"),
            Line("no file behind it", max(size["Anonymous"] for size in sizes) / 1e6, "MB"),
        ),
        (f"Measured: {' '.join(plugin('sdcpd'))}",),
    )
