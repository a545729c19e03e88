"""What a row of the benchmark gives back, and how it is printed.

One decision: a line is a number beside its ceiling of the same run. The ratio is what can be compared between
machines; a budget is judged where the design has one, and a missed budget is said, not punished.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

__all__ = ["FULL", "QUICK", "Line", "Scale", "Table", "render", "say"]


class Scale(Struct, frozen=True):
    """How large and how long a run is. Durations in seconds, sizes in bytes."""

    printers: tuple[int, ...]
    paced: float
    looped: float
    load: float
    polls: tuple[int, ...]
    file: int
    starts: int


FULL = Scale(printers=(100, 300, 1000), paced=10.0, looped=4.0, load=4.0, polls=(1000, 10_000), file=10**9, starts=5)
QUICK = Scale(printers=(100,), paced=3.0, looped=1.5, load=1.5, polls=(1000,), file=128 * 10**6, starts=2)


class Line(Struct, frozen=True):
    """One figure. ``ceiling`` has the same unit; ``budget`` is a limit from above or, for rates, from below."""

    what: str
    measured: float
    unit: str
    ceiling: float | None = None
    budget: float | None = None
    limit: Literal["most", "least"] = "most"

    @property
    def ratio(self) -> float | None:
        """Measured to ceiling."""
        return self.measured / self.ceiling if self.ceiling else None

    @property
    def met(self) -> bool | None:
        """Whether the budget is met; None where there is none."""
        if self.budget is None:
            return None
        return self.measured <= self.budget if self.limit == "most" else self.measured >= self.budget


class Table(Struct, frozen=True):
    """One row of the benchmark: its lines, what the ceiling is, and what a reader must know."""

    title: str
    ceiling: str
    lines: tuple[Line, ...]
    notes: tuple[str, ...] = ()


def _number(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _cells(line: Line) -> tuple[str, ...]:
    ratio, met = line.ratio, line.met
    sign = "<=" if line.limit == "most" else ">="
    return (
        line.what,
        f"{_number(line.measured)} {line.unit}",
        "" if line.ceiling is None else f"{_number(line.ceiling)} {line.unit}",
        "" if ratio is None else f"{ratio:.2f}",
        "" if line.budget is None else f"{sign} {_number(line.budget)} {line.unit}",
        "" if met is None else "met" if met else "MISSED",
    )


def render(table: Table) -> str:
    """The table as text that is Markdown as well."""
    head = ("what", "measured", "ceiling", "ratio", "budget", "verdict")
    rows = [head, *(_cells(line) for line in table.lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]

    def written(row: Iterable[str]) -> str:
        cells = [cell.ljust(w) if not n else cell.rjust(w) for n, (cell, w) in enumerate(zip(row, widths, strict=True))]
        return f"| {' | '.join(cells)} |"

    rule = "|" + "|".join("-" * (w + 1) + (":" if n else "-") for n, w in enumerate(widths)) + "|"
    body = "\n".join(written(row) for row in rows[1:])
    notes = "".join(f"\n* {note}" for note in table.notes)
    return f"### {table.title}\n\nCeiling: {table.ceiling}.\n\n{written(head)}\n{rule}\n{body}\n{notes}".rstrip() + "\n"


def say(text: str) -> None:
    """Progress, for who waits."""
    sys.stderr.write(f"  {text}\n")
    sys.stderr.flush()
