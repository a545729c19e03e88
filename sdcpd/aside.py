"""Where a damaged file is kept until a person has looked at it.

One decision: what was kept before is never written over, however often the same file is damaged.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path

__all__ = ["aside"]


def aside(path: Path) -> Path:
    """The first of ``<path>.damaged-1``, ``<path>.damaged-2`` ... that nothing has yet."""
    names = (path.with_name(f"{path.name}.damaged-{number}") for number in count(1))
    return next(name for name in names if not name.exists())
