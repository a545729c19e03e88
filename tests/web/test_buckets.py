from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.web.buckets import Buckets


class BucketsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.buckets = Buckets(self.clock, rate=2.0, burst=3)

    def test_burst_then_rate(self) -> None:
        """A client may ask a few times at once, then is told how long to wait."""
        self.assertEqual([self.buckets.take("a") for _ in range(4)], [0.0, 0.0, 0.0, 0.5])
        self.clock.advance(0.25)
        self.assertEqual(self.buckets.take("a"), 0.25)
        self.clock.advance(0.25)
        self.assertEqual([self.buckets.take("a"), self.buckets.take("a")], [0.0, 0.5])

    def test_never_more_than_burst(self) -> None:
        """A long silence earns no more than one burst."""
        self.clock.advance(1000)
        self.buckets.take("a")
        self.clock.advance(1000)
        self.assertEqual([self.buckets.take("a") for _ in range(4)], [0.0, 0.0, 0.0, 0.5])

    def test_separate(self) -> None:
        """One client's haste costs another nothing."""
        for _ in range(5):
            self.buckets.take("a")
        self.assertEqual(self.buckets.take("b"), 0.0)

    def test_memory(self) -> None:
        """Clients that are quiet again are forgotten; those at work are not."""
        for number in range(5000):
            self.buckets.take(f"old {number}")
        self.clock.advance(1.4)
        for _ in range(3):
            self.buckets.take("busy")
        self.clock.advance(0.2)
        self.buckets.take("one more")
        self.assertLess(len(self.buckets._left), 10)
        self.assertGreater(self.buckets.take("busy") + self.buckets.take("busy"), 0)
