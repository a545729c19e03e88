"""Requests that a client sends without waiting for answers, one after the other.

One decision: a connection gets one answer in each turn of the reactor, and none while its client does not read those
it has. Twisted answers whatever has arrived at once: a thousand requests for the page in one packet are seconds in
which nobody else is heard, and as many answers in memory.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.web import http

__all__ = ["TurnByTurn"]


class TurnByTurn(http.HTTPChannel):
    """A channel that leaves its turn after each answer.

    ``paused`` is what Twisted's receiver of lines offers to stop at a line. Private to Twisted are ``_buffer``, where
    what has arrived waits until then, ``_networkProducer`` and ``_waitingForTransport``.
    """

    _next: IDelayedCall | None = None

    def requestDone(self, request: Any) -> None:  # noqa: N802 (Twisted)
        """Twisted: the answer is complete; what has arrived behind its request is read in the next turn."""
        self.paused = True
        super().requestDone(request)
        if self._buffer and self.persistent:
            self._wait()
        else:
            self.paused = False

    def resumeProducing(self) -> None:
        """Twisted: what was written is on its way."""
        super().resumeProducing()
        if self.paused:
            self._wait()

    def _wait(self) -> None:
        self._networkProducer.pauseProducing()
        if self._next is None and not self._waitingForTransport:  # else ``resumeProducing`` is called
            self._next = self.callLater(0, self._go_on)

    def _go_on(self) -> None:
        self._next = None
        if self.paused and not self._waitingForTransport:
            self.paused = False
            self._networkProducer.resumeProducing()
            self.dataReceived(b"")
