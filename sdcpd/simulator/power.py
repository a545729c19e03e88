"""Whether a printer is switched on, and how long it has been.

One decision: a switched-off printer has ended a life, and its lives are counted, so whoever has something to do later
for the one who asked can see that nobody remembers the question any more.
"""

from __future__ import annotations

from sdcpd.simulator.simtime import SimTime

__all__ = ["Power"]

_UPTIME_WRAP = 2**32  # assumed, Q17


class Power:
    """The switch of one printer; it begins switched on."""

    def __init__(self, time: SimTime) -> None:
        self._time = time
        self._since = time.now()
        self.on = True
        self.life = 1

    @property
    def uptime(self) -> int:
        """TimeStamp: milliseconds since it was switched on, in 32 bits."""
        return round((self._time.now() - self._since) * 1000) % _UPTIME_WRAP

    def jump(self, milliseconds: int) -> None:
        """Be on for so long already."""
        self._since = self._time.now() - milliseconds / 1000

    def switch_off(self) -> None:
        """End this life."""
        self.on = False
        self.life += 1

    def switch_on(self) -> None:
        """Begin one."""
        self.on = True
        self._since = self._time.now()
