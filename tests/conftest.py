"""The order of the tests: what takes long begins early, so that no worker is left alone with it at the end."""

from __future__ import annotations

import os
from itertools import islice

import pytest

SLOW = ("crash", "test_slicers.py", "test_service.py", "end_to_end", "browser")
"""Directories and modules whose tests wait for processes, the slowest first."""


def _rank(item: pytest.Item) -> int:
    parts = item.nodeid.partition("::")[0].split("/")
    return min((SLOW.index(part) for part in parts if part in SLOW), default=len(SLOW))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Deal the slow ones to the beginnings of the workers' shares: xdist cuts the list into as many even parts."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    slow = sorted((item for item in items if _rank(item) < len(SLOW)), key=_rank)
    others = iter([item for item in items if _rank(item) == len(SLOW)])
    left = len(items)
    items.clear()
    for worker in range(workers):
        share = left // (workers - worker)
        left -= share
        first = slow[worker::workers]
        items += [*first, *islice(others, max(share - len(first), 0))]
