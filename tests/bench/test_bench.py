"""That the benchmark still runs, in its smallest size: what it measures here means nothing."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.bench import farm, mqtt, printers, startup
from tests.bench.table import QUICK, Beside, Comparison, Line, Table, render

ROOT = Path(__file__).resolve().parents[2]
FEWER = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (507, 507))
from msgspec.structs import replace
from tests.bench import mqtt
from tests.bench.table import QUICK, render
print(render(mqtt.run(replace(QUICK, publishers=(), mqtt=0.1, idle=9), ("sdcpd",))))
"""


@pytest.mark.end_to_end
def test_printers_row() -> None:
    """Three printers are found, send statuses and end up in a table."""
    table = printers.run(replace(QUICK, printers=(3,), paced=0.3, looped=0.3))
    rate = next(line for line in table.lines if "closed loop" in line.what)
    assert rate.measured > 0
    assert rate.ceiling
    assert rate.what in render(table)


@pytest.mark.end_to_end
def test_farm_row() -> None:
    """Three printers print jobs of the daemon, ten look at them in every way, and each of the costs is measured."""
    table = farm.run(replace(QUICK, printers=(3,), lookers=10, paced=1.0, rest=0.5))
    figures = {line.what: line for line in table.lines}
    assert figures["idle: resident"].measured > 0
    assert figures["3 print: wake-ups"].measured > 0
    for what in ("answers to lookers", "of these to long polls"):
        assert figures[what].measured > 0
        assert figures[what].ceiling
    assert "3 print, 10 look: CPU" in render(table)


@pytest.mark.end_to_end
def test_mqtt_row() -> None:
    """Both Twisted servers take every kind of load; the others would have to be installed."""
    scale = replace(QUICK, publishers=(3,), mqtt=0.5, idle=3)
    comparison = mqtt.run(scale, ("sdcpd", "bare"))
    assert not [note for note in comparison.notes if "busier" not in note]  # that one tells of this machine's load
    assert all(figure > 0 for line in comparison.lines for figure in line.figures if "/s" in line.unit)
    assert "QoS 2, 3 publishers" in render(comparison)


def test_few_descriptors() -> None:
    """Where the system does not let a process have enough connections fewer are measured, never none or minus one."""
    assert mqtt.idle_connections(10_000, 20_000) == 10_000
    assert mqtt.idle_connections(10_000, 10_500) == 10_000
    assert mqtt.idle_connections(10_000, 10_499) == 9_999
    assert mqtt.idle_connections(10_000, 501) == 1
    assert mqtt.idle_connections(10_000, resource.RLIM_INFINITY) == 10_000
    with pytest.raises(ValueError, match="too few"):
        mqtt.idle_connections(10_000, 500)


@pytest.mark.end_to_end
def test_fewer_idle() -> None:
    """What is measured with fewer connections than wanted says so, in a note and in the name of the line."""
    # A limit that was lowered cannot be raised again, so it is another process that has it.
    told = subprocess.run([sys.executable, "-c", FEWER], capture_output=True, text=True, check=False, cwd=ROOT)
    said = told.stdout + told.stderr
    assert "7 idle connections instead of 9: ulimit -Hn allows no more." in said
    assert "among 7 idle connections" in said


def test_missed_aim() -> None:
    """A server that could not be measured is no aim; one that is too far ahead is named."""
    slow = Beside("trip", (300.0, 100.0, float("nan")), "us", False, (0.6, 6.0), 250.0)
    fast = Beside("rate", (90.0, 100.0, 10.0), "/s", True, (0.6, 6.0), None, frozenset({1}))
    text = render(Comparison("t", "c", ("ours", "bare", "other"), (slow, fast)))
    assert "MISSED: <= 250 us, bare" in text
    assert "100 /s*" in text
    assert text.splitlines()[-1].rstrip(" |").endswith("met")


def test_missed_budget() -> None:
    """A missed budget is said in the table, whichever way it limits."""
    text = render(Table("t", "c", (Line("slow", 3.0, "s", 1.5, 2.0), Line("rate", 9.0, "/s", None, 5.0, "least"))))
    slow, rate = text.splitlines()[-2:]
    assert "MISSED" in slow
    assert "2.00" in slow
    assert "met" in rate


@pytest.mark.end_to_end
def test_startup_row() -> None:
    """A start and the memory at rest are measured, and the table says of which program."""
    table = startup.run(replace(QUICK, starts=1))
    figures = {line.what: line.measured for line in table.lines}
    assert all(figure > 0 for figure in figures.values())
    assert figures["no file behind it"] < figures["resident, idle"]
    assert "sdcpd" in render(table).rpartition("Measured: ")[2]
