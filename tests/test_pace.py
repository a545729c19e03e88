from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.pace import MOST, Pace


class PaceTests(SynchronousTestCase):
    """The layer times of one print."""

    def test_points(self) -> None:
        """Each point tells the seconds of one layer, also where a status came only after several."""
        pace = Pace()
        self.assertEqual(pace.points, [])
        pace.add(3, 1, 30.0)
        pace.add(5, 2, 17.0)
        self.assertEqual(pace.points, [(3, 30.0), (5, 8.5)])

    def test_joined(self) -> None:
        """When there are too many points, neighbours become their mean, by the layers that each stands for."""
        pace = Pace()
        pace.add(1, 1, 10.0)
        pace.add(4, 3, 60.0)
        for layer in range(5, 4 + MOST):
            pace.add(layer, 1, 8.0)
        self.assertEqual(len(pace.points), (MOST + 2) // 2)
        self.assertEqual(pace.points[:2], [(4, 17.5), (6, 8.0)])
        self.assertEqual(pace.points[-1], (3 + MOST, 8.0))

    @settings(derandomize=True, deadline=None, max_examples=30)
    @given(st.lists(st.tuples(st.integers(1, 9), st.floats(0.1, 100)), max_size=3000))
    def test_bounded(self, steps: list[tuple[int, float]]) -> None:
        """However long the print, the points are few, in order, and reach to the last layer."""
        pace, layer = Pace(), 0
        for layers, seconds in steps:
            layer += layers
            pace.add(layer, layers, seconds)
        layers_told = [point[0] for point in pace.points]
        self.assertLessEqual(len(layers_told), MOST)
        self.assertEqual(layers_told, sorted(set(layers_told)))
        self.assertEqual(layers_told[-1:], [layer] if steps else [])
