"""Waiters: who hears when, and that nobody is forgotten or kept."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.waiters import BREATH, LEAST_BREATH, SLICE, Waiters


class WaitersTests(SynchronousTestCase):
    """Slices, pauses, cancelled waits and callbacks that do more than they should."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.waiters = Waiters(self.clock)
        self.fired: list[int] = []

    def wait(self, number: int = 0, wanted: str = "", then: Callable[[], object] | None = None) -> Deferred[None]:
        d = self.waiters.wait(frozenset(wanted) if wanted else None)

        def fired(_: None) -> None:
            self.fired.append(number)
            if then is not None:
                then()

        d.addCallback(fired)
        return d

    def many(self, count: int) -> None:
        for number in range(count):
            self.wait(number)

    def turn(self) -> None:
        """One reactor turn: Clock's own advance would also run what is added meanwhile."""
        for call in list(self.clock.calls):
            self.clock.calls.remove(call)
            call.func()

    def test_same_turn(self) -> None:
        """A change reaches who waits for it in the turn that made it, and once only."""
        self.wait(1)
        self.wait(2, "a")
        self.waiters.wake("a")
        self.assertEqual(self.fired, [1, 2])
        self.waiters.wake("a")
        self.assertEqual(self.fired, [1, 2])
        self.assertEqual((len(self.waiters), self.clock.getDelayedCalls()), (0, []))

    def test_wanted(self) -> None:
        """News of another printer wakes nobody who did not ask for it."""
        self.wait(1, "a")
        self.wait(2, "bc")
        self.waiters.wake("c")
        self.assertEqual(self.fired, [2])
        self.assertEqual(len(self.waiters), 1)

    def test_wanting_nothing(self) -> None:
        """Who wants no printer at all hears of none."""
        d = self.waiters.wait(frozenset())
        self.waiters.wake("a")
        self.assertNoResult(d)

    def test_cancelled(self) -> None:
        """A client that leaves leaves nothing behind."""
        d = self.wait()
        d.cancel()
        self.failureResultOf(d, CancelledError)
        self.assertEqual(len(self.waiters), 0)
        self.waiters.wake("a")
        self.assertEqual(self.fired, [])

    def test_timed_out(self) -> None:
        """A poll that ends by its own time-out leaves nothing behind."""
        d = self.wait().addTimeout(25, self.clock)
        self.clock.advance(25)
        self.failureResultOf(d)
        self.assertEqual(len(self.waiters), 0)

    def test_answered_by_another(self) -> None:
        """A poll that a newer one replaces is forgotten, and does not disturb the next news."""
        d = self.waiters.wait(None)
        d.errback(ZeroDivisionError())
        self.failureResultOf(d, ZeroDivisionError)
        self.assertEqual(len(self.waiters), 0)
        self.wait(1)
        self.waiters.wake("a")
        self.assertEqual(self.fired, [1])

    def test_slices(self) -> None:
        """A hundred hear at once, the others in the next turns, in the order in which they came."""
        self.many(250)
        self.waiters.wake("a")
        self.assertEqual(self.fired, list(range(SLICE)))
        self.turn()
        self.assertEqual(self.fired, list(range(2 * SLICE)))
        self.turn()
        self.assertEqual(self.fired, list(range(250)))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_exactly_one_slice(self) -> None:
        """A hundred waiters need no second turn and no pause."""
        self.many(SLICE)
        self.waiters.wake("a")
        self.assertEqual(len(self.fired), SLICE)
        self.wait(7)
        self.waiters.wake("a")
        self.assertEqual(self.fired[-1], 7)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_breath(self) -> None:
        """After a burst, news waits a moment so that other work gets its turn; then it comes without being asked."""
        self.many(SLICE + 1)
        self.waiters.wake("a")
        self.clock.advance(0)
        self.wait(1000)
        self.waiters.wake("b")
        self.waiters.wake("c")
        self.clock.advance(LEAST_BREATH - 0.01)
        self.assertNotIn(1000, self.fired)
        self.clock.advance(0.02)
        self.assertIn(1000, self.fired)

    def test_long_breath(self) -> None:
        """The pause grows with the burst."""
        count = 2000
        self.many(count)
        self.waiters.wake("a")
        self.clock.pump([0] * 20)
        self.assertEqual(len(self.fired), count)
        self.wait(count)
        self.waiters.wake("b")
        self.clock.advance(count * BREATH - 0.01)
        self.assertEqual(len(self.fired), count)
        self.clock.advance(0.02)
        self.assertEqual(len(self.fired), count + 1)

    def test_after_the_breath(self) -> None:
        """News after the pause is told at once again."""
        self.many(SLICE + 1)
        self.waiters.wake("a")
        self.clock.advance(LEAST_BREATH)
        self.wait(1000)
        self.waiters.wake("b")
        self.assertEqual(self.fired[-1], 1000)

    def test_news_during_a_burst(self) -> None:
        """News between two slices is not lost: who came meanwhile hears of it after the pause."""
        self.many(250)
        self.waiters.wake("a")
        self.wait(1000, "b")
        self.waiters.wake("b")
        self.clock.pump([0] * 5)
        self.assertEqual(self.fired, list(range(250)))
        self.clock.advance(LEAST_BREATH)
        self.assertEqual(self.fired[-1], 1000)

    def test_cancelled_between_slices(self) -> None:
        """Clients that leave while they are due cost the others nothing."""
        self.many(SLICE)
        d = self.wait(5000)
        self.wait(5001)
        self.waiters.wake("a")
        d.cancel()
        self.failureResultOf(d, CancelledError)
        self.clock.advance(0)
        self.assertEqual(self.fired[-1], 5001)
        self.assertNotIn(5000, self.fired)

    def test_cancel_inside_a_callback(self) -> None:
        """One answer may end another wait that is due at the same moment."""
        later: list[Deferred[None]] = []
        self.wait(1, then=lambda: later[0].cancel())
        later.append(self.wait(2))
        self.wait(3)
        self.waiters.wake("a")
        self.failureResultOf(later[0], CancelledError)
        self.assertEqual(self.fired, [1, 3])

    def test_wait_inside_a_callback(self) -> None:
        """Who asks again at once waits for the next news, not for these."""
        self.wait(1, then=lambda: self.wait(2))
        self.waiters.wake("a")
        self.assertEqual(self.fired, [1])
        self.waiters.wake("a")
        self.assertEqual(self.fired, [1, 2])

    def test_news_inside_a_callback(self) -> None:
        """News made by an answer is told in the next turn, even to one who asks again at each."""

        def again() -> None:
            if len(self.fired) < 2000:
                self.wait(len(self.fired), then=again)
                self.waiters.wake("a")

        self.wait(0, then=again)
        self.waiters.wake("a")
        self.assertEqual(self.fired, [0])
        self.clock.pump([0] * 2000)
        self.assertEqual(len(self.fired), 2000)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_news_inside_a_large_burst(self) -> None:
        """News made by an answer holds up none of the slices that are still due."""
        self.wait(0, then=lambda: self.waiters.wake("a"))
        self.many(250)
        self.waiters.wake("a")
        self.clock.pump([0] * 3)
        self.assertEqual(len(self.fired), 251)

    def test_broken_callback(self) -> None:
        """An answer that fails keeps nobody else waiting."""

        def fail() -> None:
            raise ZeroDivisionError

        d = self.wait(1, then=fail)
        self.wait(2)
        self.waiters.wake("a")
        self.assertEqual(self.fired, [1, 2])
        self.failureResultOf(d, ZeroDivisionError)

    def test_wake_all(self) -> None:
        """When the daemon stops, everybody is answered at once and nothing is left to do."""
        self.many(250)
        self.waiters.wake("a")
        self.waiters.wake("b")
        self.waiters.wake_all()
        self.assertEqual(self.fired, list(range(250)))
        self.assertEqual((len(self.waiters), self.clock.getDelayedCalls()), (0, []))

    def test_wake_all_inside_a_callback(self) -> None:
        """The end of the daemon may come out of an answer."""
        self.wait(1, then=self.waiters.wake_all)
        self.many(250)
        self.waiters.wake("a")
        self.assertEqual(len(self.fired), 251)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancel_during_wake_all(self) -> None:
        """At the end, too, one answer may end another wait."""
        later: list[Deferred[None]] = []
        self.wait(1, then=lambda: later[0].cancel())
        later.append(self.wait(2))
        self.wait(3, then=lambda: self.wait(4))
        self.waiters.wake_all()
        self.failureResultOf(later[0], CancelledError)
        self.assertEqual(self.fired, [1, 3])
        self.assertEqual(len(self.waiters), 1)

    def test_nobody(self) -> None:
        """News that nobody waits for costs nothing."""
        for _ in range(1000):
            self.waiters.wake("a")
        self.assertEqual(self.clock.getDelayedCalls(), [])
