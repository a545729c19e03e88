"""The judge of prints that no job of ours accounts for, and the counter of layers."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sdcpd.codec.status import Generation, Phase, PrintInfo, Status
from sdcpd.prints import STALL_LEAST, Tally, Watch
from sdcpd.progress import IDLE_WAIT, JobState


def at(number: int, *, current: int = 1, layer: int = 1, name: str = "usb.goo") -> Status:
    return Status((current,), 0, PrintInfo(number, layer, 9, layer * 1000, 9000, 0, name))


IDLE = Status((0,))


class WatchTests(SynchronousTestCase):
    def told(
        self, statuses: list[Status], running: str | None = None, twice: bool = True
    ) -> list[tuple[JobState, str | None]]:
        """The verdicts on these statuses, in order; a repetition of any of them brings none, if they come ``twice``."""
        watch = Watch(Generation.V1, running, 0.0)
        found = []
        for status in statuses:
            verdict = watch.status(status, 0.0)
            if verdict is not None:
                found.append((verdict.state, verdict.reason))
            if twice:
                self.assertIsNone(watch.status(status, 0.0))
        return found

    def test_whole(self) -> None:
        """A print from the touchscreen is told from its beginning to its end, each edge once."""
        story = [IDLE, at(1), at(3), at(4, layer=2), at(5), at(7), at(3), at(12, layer=9), at(16), at(16, current=0)]
        expected = [JobState.PRINTING, JobState.PAUSED, JobState.PRINTING, JobState.FINISHED]
        self.assertEqual([state for state, _ in self.told(story)], expected)

    def test_ends(self) -> None:
        """Stopped, powered off and replaced are told apart."""
        for last, expected in (
            (at(13), (JobState.STOPPED, "stopped")),
            (at(14, current=0), (JobState.STOPPED, "stopped")),
            (IDLE, (JobState.LOST, "printer_restarted")),
            (at(16, current=0), (JobState.FINISHED, None)),
        ):
            self.assertEqual(self.told([IDLE, at(3), last])[1:], [expected])
        replaced = self.told([IDLE, at(3), at(3, name="other.goo")], twice=False)
        self.assertEqual(replaced, [(JobState.PRINTING, None), (JobState.LOST, "replaced")])

    def test_baseline(self) -> None:
        """A printer whose last print is over, and whoever has just been switched on, tells nothing."""
        for first in (at(16), at(16, current=0), at(13, current=0), IDLE, Status((2,)), at(99), at(0)):
            self.assertEqual(self.told([first, IDLE]), [])

    def test_at_work(self) -> None:
        """A print that is at work in the very first status is there."""
        for first in (at(1), at(3), at(12), at(7), at(8), at(5)):
            self.assertEqual(self.told([first], twice=False)[0][0], JobState.PRINTING)

    def test_known_before(self) -> None:
        """A print that was known before a restart of the daemon ends with its real result."""
        self.assertEqual(self.told([at(16, current=0)], "usb.goo"), [(JobState.FINISHED, None)])
        self.assertEqual(self.told([at(13, current=0)], "usb.goo"), [(JobState.STOPPED, "stopped")])
        self.assertEqual(self.told([IDLE], "usb.goo"), [(JobState.LOST, "printer_restarted")])
        self.assertEqual(self.told([at(3), at(16)], "usb.goo"), [(JobState.FINISHED, None)])
        self.assertEqual(self.told([at(16, name="other.goo")], "usb.goo"), [(JobState.LOST, "replaced")])

    def test_next(self) -> None:
        """After one print comes the next, of the same file or another."""
        story = [IDLE, at(3), at(16), at(1, layer=0), at(3), at(13)]
        states = [state for state, _ in self.told(story)]
        self.assertEqual(states, [JobState.PRINTING, JobState.FINISHED, JobState.PRINTING, JobState.STOPPED])

    def test_idle_without_a_word(self) -> None:
        """A printer that is idle and never says how its print ended has lost it, after a while, once."""
        watch = Watch(Generation.V1, None, 0.0)
        watch.status(at(3), 0.0)
        watch.status(at(3, current=0), 1.0)
        self.assertIsNone(watch.time(1.0))
        self.assertIsNone(watch.time(1.0 + IDLE_WAIT))
        verdict = watch.time(1.1 + IDLE_WAIT)
        assert verdict is not None
        self.assertEqual((verdict.state, verdict.reason), (JobState.LOST, "end_unknown"))
        self.assertIsNone(watch.time(1000.0))

    def test_left(self) -> None:
        """What a job of ours accounts for is not judged here."""
        watch = Watch(Generation.V1, None, 0.0)
        watch.status(at(3), 0.0)
        watch.leave()
        self.assertIsNone(watch.time(1000.0))
        self.assertIsNone(watch.status(at(16), 0.0))


class TallyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.tally = Tally(0, 0.0)
        self.now = 0.0

    def layer(self, layer: int, seconds: float, phase: Phase = Phase.PRINTING) -> None:
        self.now += seconds
        self.tally.status(at(3, layer=layer), phase, self.now)

    def stalls(self, seconds: float, phase: Phase = Phase.PRINTING) -> bool:
        return self.tally.time(phase, self.now + seconds)

    def test_layers(self) -> None:
        """Layers are counted up, never down, and never beyond what there is."""
        for layer, expected in ((1, 1), (3, 3), (2, 3), (40, 9)):
            self.layer(layer, 1)
            self.assertEqual(self.tally.layers, expected)
        self.assertEqual(self.tally.total, 9)

    def test_stall(self) -> None:
        """Ten minutes without a layer are a stall, told once, and over with the next layer."""
        self.layer(1, 5)
        self.assertFalse(self.stalls(STALL_LEAST))
        self.assertTrue(self.stalls(STALL_LEAST + 1))
        self.assertFalse(self.stalls(STALL_LEAST + 2))
        self.assertTrue(self.tally.stalled)
        self.layer(2, STALL_LEAST + 3)
        self.assertFalse(self.tally.stalled)
        self.assertTrue(self.stalls(2 * 5 * STALL_LEAST))

    def test_slow_layers(self) -> None:
        """Where layers take minutes, five of them are waited for."""
        for layer in (1, 2, 3, 4):
            self.layer(layer, 300)
        self.assertEqual(self.tally.patience, 1500)
        self.assertFalse(self.stalls(1500))
        self.assertTrue(self.stalls(1501))

    def test_pause(self) -> None:
        """A pause is no stall, and its time counts neither as printing nor as a layer's."""
        self.layer(1, 10)
        self.layer(2, 10)
        self.layer(2, 0, Phase.PAUSED)
        self.assertFalse(self.stalls(7200, Phase.PAUSED))
        self.layer(2, 7200, Phase.PRINTING)
        self.assertEqual(self.tally.paused_s, 7200)
        self.assertFalse(self.stalls(STALL_LEAST - 1))
        self.assertTrue(self.stalls(STALL_LEAST + 1))

    def test_away(self) -> None:
        """A printer that is out of reach has not stalled."""
        self.layer(1, 5)
        self.assertFalse(self.stalls(7200, Phase.OFFLINE))
