from __future__ import annotations

import math

from twisted.trial.unittest import SynchronousTestCase

from sdcpd.web.octoprint.request import is_true, number_of


class ValueTests(SynchronousTestCase):
    """Values as clients write them."""

    def test_true(self) -> None:
        """Yes is written in several ways; everything else is no."""
        yes: tuple[object, ...] = (True, "true", "True", " TRUE ", "yes", "y", "1", 1)
        no: tuple[object, ...] = (False, None, "false", "", "0", 0, 2, "no", "maybe", [], {}, [True], "None")
        for value in yes:
            self.assertTrue(is_true(value), value)
        for value in no:
            self.assertFalse(is_true(value), value)

    def test_number(self) -> None:
        """A truth and a text are no numbers."""
        self.assertEqual([number_of(value) for value in (1, -2.5, 0)], [1.0, -2.5, 0.0])
        self.assertEqual([number_of(value) for value in (True, "1", None, [1])], [None] * 4)
        self.assertTrue(math.isinf(number_of(float("inf")) or 0.0))
