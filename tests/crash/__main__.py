"""``make crash``: 200 kills, or as many as ``KILLS`` says; ``SEED`` repeats a run.

One decision: the same seed makes the same kills at the same moments of the same journeys; what the two processes make
of a moment is up to the machine, so a failure is repeated by running its seed again, a few times if need be.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.crash.driver import CrashRun


def main() -> None:
    """Run, and say what was seen."""
    parser = argparse.ArgumentParser(description="Kill the daemon in the middle of its work, again and again.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    print(f"{options.kills} kills, SEED={options.seed}", flush=True)
    directory = Path(tempfile.mkdtemp(prefix="sdcpd-crash-"))
    began = time.monotonic()
    run = CrashRun(directory, options.seed, lambda line: print(line, flush=True))
    try:
        run.run(options.kills)
    except AssertionError as error:
        sys.exit(f"SEED={options.seed} failed: {error}\nThe daemon's state is kept in {directory}")
    finally:
        run.stop()
    shutil.rmtree(directory)
    ends = ", ".join(f"{count} {state}" for state, count in sorted(run.outcomes.items()))
    took = time.monotonic() - began
    print(f"{options.kills} kills in {took:.0f} s: nothing lost, nothing started twice; jobs: {ends}")


if __name__ == "__main__":
    main()
