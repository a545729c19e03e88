"""Token buckets: how often one address may ask.

One decision: a bucket exists only while it is not full, so the memory follows the clients that are at work now.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

__all__ = ["Buckets"]


class Buckets:
    """``rate`` requests a second for each key, and ``burst`` at once."""

    def __init__(self, clock: IReactorTime, *, rate: float, burst: int) -> None:
        self._clock = clock
        self._rate = rate
        self._burst = burst
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, key: str) -> float:
        """Take one token: 0 if there was one, else the seconds until there is."""
        now = self._clock.seconds()
        tokens, since = self._left.get(key, (float(self._burst), now))
        tokens = min(float(self._burst), tokens + (now - since) * self._rate)
        if len(self._left) > 4096:
            self._sweep(now)
        if tokens < 1.0:
            self._left[key] = (tokens, now)
            return (1.0 - tokens) / self._rate
        self._left[key] = (tokens - 1.0, now)
        return 0.0

    def give_back(self, key: str) -> None:
        """Undo one ``take``."""
        found = self._left.get(key)
        if found is not None:
            self._left[key] = (min(float(self._burst), found[0] + 1.0), found[1])

    def _sweep(self, now: float) -> None:
        full = self._burst / self._rate
        self._left = {key: found for key, found in self._left.items() if now - found[1] < full}
