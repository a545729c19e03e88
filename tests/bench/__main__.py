"""``make bench``: run the rows that were asked for and print a table for each.

One decision: a benchmark informs. It ends with 0 though a budget is missed, and says MISSED; it ends with 1 only
when it could not measure.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping

from tests.bench import farm, files, mqtt, pictures, polls, printers, startup, status
from tests.bench.table import FULL, QUICK, Comparison, Scale, Table, render, say

__all__ = ["main"]

ROWS: Mapping[str, Callable[[Scale], Table | Comparison]] = {
    "startup": startup.run,
    "mqtt": mqtt.run,
    "printers": printers.run,
    "status": status.run,
    "polls": polls.run,
    "farm": farm.run,
    "files": files.run,
    "pictures": pictures.run,
}


def main(arguments: list[str]) -> int:
    """Run; the exit status."""
    parser = argparse.ArgumentParser(
        prog="make bench", description="Measures sdcpd against bare Twisted and, for MQTT, other servers."
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"any of {', '.join(ROWS)}; all if absent")
    parser.add_argument("--quick", action="store_true", help="smaller and shorter: about two minutes in all")
    options = parser.parse_args(arguments)
    unknown = [row for row in options.rows if row not in ROWS]
    if unknown:
        parser.error(f"no such row: {unknown[0]}; rows: {', '.join(ROWS)}")
    cores = len(os.sched_getaffinity(0))
    print(f"Python {platform.python_version()}, {cores} cores, load {os.getloadavg()[0]:.2f} before the start\n")
    start = time.monotonic()
    failed = missed = 0
    for name in options.rows or ROWS:
        try:
            table = ROWS[name](QUICK if options.quick else FULL)
        except (ChildProcessError, TimeoutError, OSError) as error:
            say(f"{name}: could not be measured: {error}")
            failed += 1
            continue
        missed += sum(line.met is False for line in table.lines)
        print(render(table), flush=True)
    verdict = f"{missed} budgets MISSED" if missed else "every budget met"
    print(f"{verdict}; {time.monotonic() - start:.0f} s in all")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
