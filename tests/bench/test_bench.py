"""That the benchmark still runs, in its smallest size: what it measures here means nothing."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.bench import printers
from tests.bench.table import QUICK, Line, Table, render


@pytest.mark.end_to_end
def test_printers_row() -> None:
    """Three printers are found, send statuses and end up in a table."""
    table = printers.run(replace(QUICK, printers=(3,), paced=0.3, looped=0.3))
    rate = next(line for line in table.lines if "closed loop" in line.what)
    assert rate.measured > 0
    assert rate.ceiling
    assert rate.what in render(table)


def test_missed_budget() -> None:
    """A missed budget is said in the table, whichever way it limits."""
    text = render(Table("t", "c", (Line("slow", 3.0, "s", 1.5, 2.0), Line("rate", 9.0, "/s", None, 5.0, "least"))))
    slow, rate = text.splitlines()[-2:]
    assert "MISSED" in slow
    assert "2.00" in slow
    assert "met" in rate
