"""How long the layers of one print took, in few numbers.

One decision: a print of thousands of layers is remembered by at most ``MOST`` points; when there are more, neighbours
become one, so the whole print is always there and only the detail gets coarser.
"""

from __future__ import annotations

__all__ = ["MOST", "Pace"]

MOST = 480
"""Points that are kept: more than a chart has pixels to tell apart."""


class Pace:
    """The layer times of one print, as they come."""

    def __init__(self) -> None:
        self._points: list[tuple[int, int, float]] = []  # the last layer, how many layers, seconds for each

    def add(self, layer: int, layers: int, seconds: float) -> None:
        """So many ``layers``, up to and with ``layer``, took so many ``seconds`` in all."""
        self._points.append((layer, layers, seconds / layers))
        if len(self._points) > MOST:
            self._points = [_joined(*self._points[at : at + 2]) for at in range(0, len(self._points), 2)]

    @property
    def points(self) -> list[tuple[int, float]]:
        """The layer up to which each point reaches, and the seconds that each of its layers took."""
        return [(layer, round(seconds, 2)) for layer, _, seconds in self._points]


def _joined(first: tuple[int, int, float], second: tuple[int, int, float] | None = None) -> tuple[int, int, float]:
    if second is None:
        return first
    layers = first[1] + second[1]
    return second[0], layers, (first[1] * first[2] + second[1] * second[2]) / layers
