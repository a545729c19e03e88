"""What a row of the benchmark gives back, and how it is printed.

One decision: a line is a number beside its ceiling of the same run. The ratio is what can be compared between
machines; a budget is judged where the design has one, and a missed budget is said, not punished.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from math import isnan, nan
from typing import Literal

from msgspec import Struct

__all__ = ["FULL", "QUICK", "Beside", "Comparison", "Line", "Scale", "Table", "render", "say"]


class Scale(Struct, frozen=True):
    """How large and how long a run is. Durations in seconds, sizes in bytes."""

    printers: tuple[int, ...]
    paced: float
    looped: float
    load: float
    polls: tuple[int, ...]
    file: int
    starts: int
    publishers: tuple[int, ...]
    mqtt: float
    rounds: int
    idle: int
    rest: float
    lookers: int


FULL = Scale(
    printers=(100, 300, 1000), paced=10.0, looped=4.0, load=4.0, polls=(1000, 10_000), file=10**9, starts=5,
    publishers=(200, 1000), mqtt=0.5, rounds=3, idle=10_000, rest=30.0, lookers=100,
)  # fmt: skip
QUICK = Scale(
    printers=(100,), paced=3.0, looped=1.5, load=1.5, polls=(1000,), file=128 * 10**6, starts=2,
    publishers=(200,), mqtt=0.5, rounds=1, idle=500, rest=6.0, lookers=100,
)  # fmt: skip


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


class Beside(Struct, frozen=True):
    """One figure of several servers; the first is sdcpd's. NaN is what could not be measured.

    ``aims`` are the least that sdcpd must reach of each other server, in their order; where less is better the
    quotient is turned over. ``loaded`` are the servers that the load was too slow for: they can do more.
    """

    what: str
    figures: tuple[float, ...]
    unit: str
    more_is_better: bool
    aims: tuple[float, ...] = ()
    budget: float | None = None
    loaded: frozenset[int] = frozenset()

    def ratio(self, number: int) -> float:
        """How many times better than this other server sdcpd is."""
        ours, theirs = self.figures[0], self.figures[number]
        better, worse = (ours, theirs) if self.more_is_better else (theirs, ours)
        return better / worse if worse else nan

    @property
    def missed(self) -> tuple[int, ...]:
        """The servers whose aim is missed; 0 stands for the budget."""
        over = self.budget is not None and not self.figures[0] <= self.budget
        others = tuple(number for number, aim in enumerate(self.aims, 1) if self.ratio(number) < aim)
        return (0, *others) if over else others

    @property
    def met(self) -> bool | None:
        """Whether every aim and the budget are met; None where there is neither."""
        return not self.missed if self.aims or self.budget is not None else None


class Comparison(Struct, frozen=True):
    """A row that sets sdcpd beside other servers."""

    title: str
    ceiling: str
    servers: tuple[str, ...]
    lines: tuple[Beside, ...]
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


def _beside(line: Beside, servers: tuple[str, ...]) -> tuple[str, ...]:
    def figure(number: int) -> str:
        value = line.figures[number]
        return "" if isnan(value) else f"{_number(value)} {line.unit}{'*' * (number in line.loaded)}"

    def ratio(number: int) -> str:
        value = line.ratio(number)
        return "" if isnan(value) else f"{value:.2f}"

    missed = ", ".join(f"<= {_number(line.budget or 0)} {line.unit}" if not n else servers[n] for n in line.missed)
    verdict = "" if line.met is None else "met" if line.met else f"MISSED: {missed}"
    others = range(1, len(servers))
    return (line.what, figure(0), *map(figure, others), *map(ratio, others), verdict)


def render(table: Table | Comparison) -> str:
    """The table as text that is Markdown as well."""
    head: tuple[str, ...]
    if isinstance(table, Table):
        head = ("what", "measured", "ceiling", "ratio", "budget", "verdict")
        cells = [_cells(line) for line in table.lines]
    else:
        head = ("what", *table.servers, *(f"of {name}" for name in table.servers[1:]), "verdict")
        cells = [_beside(line, table.servers) for line in table.lines]
    rows = [head, *cells]
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
