"""Work that goes on although nobody waits for it any more."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.detached import detached


class DetachedTests(SynchronousTestCase):
    def test_result(self) -> None:
        """Who waits hears what came of it, good or bad."""
        work: Deferred[int] = Deferred()
        waiting = detached(work)
        self.assertNoResult(waiting)
        work.callback(3)
        self.assertEqual(self.successResultOf(waiting), 3)
        failing: Deferred[int] = Deferred()
        waiting = detached(failing)
        failing.errback(KeyError("no"))
        self.failureResultOf(waiting, KeyError)

    def test_given_up(self) -> None:
        """Who hangs up stops nothing, and nobody complains about what comes of it then."""
        for end in ("callback", "errback"):
            begun: Deferred[None] = Deferred()
            done: list[str] = []

            async def work(begun: Deferred[None] = begun, done: list[str] = done) -> None:
                try:
                    await begun
                finally:
                    done.append("done")

            waiting = detached(work())
            waiting.cancel()
            self.failureResultOf(waiting, CancelledError)
            self.assertEqual(done, [])
            getattr(begun, end)(KeyError("nobody hears it") if end == "errback" else None)
            self.assertEqual(done, ["done"])
        self.assertEqual(self.flushLoggedErrors(), [])
