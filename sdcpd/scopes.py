"""Scopes: the few words for what somebody may do.

One decision: each scope stands alone but for two rules. Every scope includes ``view``, because nobody can work with
what they may not see, and a slicer tests its connection by looking; and ``admin`` includes all. So a key that uploads
cannot start a print, and one that starts prints cannot say that the plate is clear.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

__all__ = ["SCOPES", "Scope", "granted"]

Scope = Literal["view", "upload", "queue", "control", "plate", "admin"]
SCOPES: tuple[Scope, ...] = ("view", "upload", "queue", "control", "plate", "admin")
"""What somebody may be allowed to do, in the order in which people list it."""


def granted(scopes: Iterable[str]) -> frozenset[str]:
    """Everything that these scopes allow."""
    found = frozenset(scopes)
    if "admin" in found:
        return frozenset(SCOPES)
    return found | {"view"} if found else found
