"""How long a print will still take, and how that is known.

One decision: the printer's own past is believed first. Slicers do not know the machine's lifts and rests, boards count
with the slicer's numbers, but a printer that took a quarter longer ten times will do so again.
"""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median

from msgspec import Struct

from sdcpd.codec.status import PrintInfo
from sdcpd.records import PrintRecord

__all__ = ["Estimate", "estimate", "learned"]

LEAST, MOST = 0.5, 3.0
"""Between these is the time that prints take, as multiples of the file's own; what is beyond was no usual print."""


class Estimate(Struct, frozen=True):
    """Seconds until the end, never negative, and who says so: ``learned``, ``printer`` or ``file``."""

    seconds: int
    source: str


def learned(prints: Iterable[PrintRecord]) -> float | None:
    """The usual ratio of real to planned time in these finished prints; None if none of them tells."""
    ratios = [p.printed_s / p.planned_s for p in prints if p.printed_s and p.planned_s and p.planned_s > 0]
    usual = [ratio for ratio in ratios if LEAST <= ratio <= MOST]
    return median(usual) if usual else None


def estimate(told: PrintInfo, planned_s: float | None, ratio: float | None) -> Estimate | None:
    """What is left of the print that the printer tells of; None if nobody knows."""
    left = None
    if told.total_layer > 0:
        left = 1.0 - min(max(0, told.current_layer), told.total_layer) / told.total_layer
    if left is not None and planned_s is not None and ratio is not None:
        return Estimate(max(0, round(planned_s * ratio * left)), "learned")
    if told.total_ticks > 0:
        return Estimate(max(0, told.total_ticks - told.current_ticks) // 1000, "printer")
    if left is not None and planned_s is not None:
        return Estimate(max(0, round(planned_s * left)), "file")
    return None
