"""Run as a process: children write to one journal without end and are killed at seeded moments; who kills them judges.

One decision: a child tells each commit through a pipe right after it was reported to it, so whatever came out of the
pipe must be in the journal, and at most one transaction more, whole.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from msgspec.structs import replace
from twisted.internet.task import Clock

from sdcpd.journal import Journal
from tests.fakes import ID, at_once
from tests.journal.test_ledger import JOB, PRINT, WEAR


def write_for_ever(directory: Path, pipe: int) -> None:
    journal = Journal("", directory, at_once, Clock())
    number = journal.wears()[ID].layers if journal.wears() else 0

    def tell(_: None) -> None:
        try:
            os.write(pipe, b"%d\n" % number)
        except BrokenPipeError:  # who listened has been killed
            os._exit(1)

    while True:
        number += 1
        records = replace(JOB, sent=number), replace(WEAR, layers=number), replace(PRINT, id=f"p{number}")
        journal.write(*records).addCallback(tell)


def kill_one(directory: Path, moment: random.Random) -> int:
    """The last commit that a child told before it was killed."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ours)
        write_for_ever(directory, theirs)
    os.close(theirs)
    with os.fdopen(ours, "rb") as told:
        lines = [told.readline() for _ in range(moment.randint(1, 12))]
        until = time.perf_counter() + moment.random() * 0.003
        while time.perf_counter() < until:
            pass
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        lines += told.readlines()
    return int(lines[-1])


def main(directory: Path, times: int) -> None:
    moment = random.Random(2026)
    wrong = []
    last = 0
    for _ in range(times):
        told = kill_one(directory, moment)
        journal = Journal("", directory, at_once, Clock())
        found = journal.wears()[ID].layers, journal.jobs()[0].sent, len(journal.open_prints())
        journal.close()
        if len(set(found)) != 1 or not told <= found[0] <= told + 1 or told <= last:
            wrong.append((told, found))
        last = told
    asides = [path.name for path in directory.iterdir() if "damaged" in path.name]
    json.dump({"wrong": wrong, "commits": last, "set aside": asides}, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
