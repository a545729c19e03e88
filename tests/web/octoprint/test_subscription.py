from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sdcpd.web.octoprint.subscription import EVERYTHING, MOST_THROTTLE, chosen, subscription_of, throttle_of


class SubscriptionTests(SynchronousTestCase):
    """What a client's wishes mean."""

    def test_everything(self) -> None:
        """Who never subscribes hears everything."""
        self.assertTrue(EVERYTHING.state and EVERYTHING.wants("PrintDone"))
        self.assertEqual(chosen(EVERYTHING.logs, ["a"]), ["a"])
        self.assertEqual(chosen(EVERYTHING.messages, ["a"]), ["a"])

    def test_patterns(self) -> None:
        """Lines are chosen by a pattern at their beginning."""
        wanted = subscription_of({"state": {"logs": "Recv: print.*", "messages": r"a\(b|[*+?]c"}})
        self.assertEqual(chosen(wanted.logs, ["Recv: print started", "Sent: print"]), ["Recv: print started"])
        self.assertEqual(chosen(wanted.messages, ["a(b", "+c", "b"]), ["a(b", "+c"])

    def test_refused(self) -> None:
        """What means nothing, and patterns that could keep the daemon busy, are refused."""
        states: tuple[object, ...] = ("(a+)+$", "a*a*b", "a{9}{9}", "[", "(?:a)", "x" * 201, 7, None, [])
        for state in states:
            with self.assertRaises(ValueError, msg=repr(state)):
                subscription_of({"state": {"logs": state}})
        values: tuple[object, ...] = (None, 7, [], {"state": 7}, {"events": "x"}, {"events": [7]})
        for value in (*values, {"events": ["x"] * 101}):
            with self.assertRaises(ValueError, msg=repr(value)):
                subscription_of(value)
        with self.assertRaises(ValueError):
            subscription_of({"plugins": 7})

    def test_throttle(self) -> None:
        """A throttle is a whole number from 1 on."""
        self.assertEqual([throttle_of(value) for value in (1, "3", MOST_THROTTLE)], [1, 3, MOST_THROTTLE])
        values: tuple[object, ...] = (0, -1, MOST_THROTTLE + 1, "x", None, True, 1.5, [], "9" * 5000)
        for value in values:
            with self.assertRaises(ValueError, msg=repr(value)):
                throttle_of(value)
