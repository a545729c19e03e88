"""Run in a mount namespace of its own: a journal on a small file system that fills up, and what comes of it.

One decision: what was seen goes out as one line of JSON, and the test that started this judges it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from sdcpd.journal import Journal
from tests.fakes import at_once
from tests.journal.test_ledger import JOB


def outcome(deferred: Deferred[None]) -> str:
    """The name of what the Deferred fired with, at once."""
    found: list[object] = []
    deferred.addCallbacks(found.append, lambda failure: found.append(failure.value))
    return type(found[0]).__name__


def fill(path: Path) -> None:
    """Write until there is no room for one more byte."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    for size in (65536, 4096, 1):
        try:
            while os.write(descriptor, b"x" * size) == size:
                pass
        except OSError:
            continue
    os.close(descriptor)


def main(directory: Path) -> None:
    clock = Clock()
    journal = Journal("", directory, at_once, clock)
    seen: dict[str, object] = {"first": outcome(journal.write(JOB))}
    ballast = directory / "ballast"
    fill(ballast)
    # The write-ahead log has room for a while.
    for number in range(2000):
        seen["full"] = outcome(journal.write(replace(JOB, id=f"j{number}", message="x" * 1000)))
        if seen["full"] != "NoneType":
            break
    seen["failing"] = journal.failing
    seen["present"] = len(journal.jobs())
    seen["history"] = journal.print_of("none").called
    clock.advance(5)
    seen["still failing"] = journal.failing
    seen["restarted"] = len(Journal("", directory, at_once, Clock()).jobs())
    ballast.unlink()
    clock.advance(5)
    seen["recovered"] = journal.failing
    seen["on disk"] = len(Journal("", directory, at_once, Clock()).jobs())
    journal.close()
    fill(ballast)
    later = Journal("", directory, at_once, clock)
    seen["later start"] = len(later.jobs())
    seen["later write"] = outcome(later.write(replace(JOB, id="late")))
    ballast.unlink()
    clock.advance(5)
    seen["in the end"] = len(Journal("", directory, at_once, Clock()).jobs())
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
