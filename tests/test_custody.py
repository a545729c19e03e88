from __future__ import annotations

from itertools import pairwise

from twisted.trial.unittest import SynchronousTestCase

from sdcpd.custody import GRACE, INVITE_WAIT, MOST_PATIENT, WIN_BACK, Advice, Custody, owner_of

RIVAL = "192.0.2.200:33288"


class OwnerTests(SynchronousTestCase):
    """Who has a printer, by its own words."""

    def test_owner(self) -> None:
        """The address counts while the printer is connected; afterwards it is only where it was last."""
        self.assertEqual(owner_of(1, f"tcp://{RIVAL}"), RIVAL)
        self.assertEqual(owner_of(1, RIVAL), RIVAL)
        self.assertEqual(owner_of(1, ""), "")
        self.assertEqual(owner_of(0, f"tcp://{RIVAL}"), "")


class CustodyTests(SynchronousTestCase):
    """One printer's whereabouts, asked every second."""

    def setUp(self) -> None:
        self.now = 0.0
        self.custody = Custody(known=False)

    def answer(self, seconds: int, owner: str = "", busy: bool = False) -> list[float]:
        """It answers every second; the times of the invitations that were advised, from now."""
        began, times = self.now, []
        for _ in range(seconds):
            self.now += 1
            if self.custody.answered(self.now, owner, busy).invite:
                self.custody.invited(self.now)
                times.append(self.now - began)
        return times

    def take(self) -> Advice:
        """Somebody else takes it from us."""
        self.custody.lost(self.now)
        return self.custody.answered(self.now, RIVAL, False)

    def held(self, seconds: float) -> bool:
        """It is ours for so long; whether it came back."""
        back = self.custody.connected(self.now)
        self.now += seconds
        return back

    def test_free(self) -> None:
        """A printer that is nobody's is invited at once, three times, then less often, and somebody is told."""
        times = self.answer(260)
        self.assertEqual([b - a for a, b in pairwise(times)], [5, 5, 15, 30, 60, 60, 60])
        self.assertTrue(self.custody.answered(self.now, "", False).in_vain)

    def test_on_its_way(self) -> None:
        """After our link has ended it may be on its way to somebody else, and is not called back meanwhile."""
        self.held(10)
        self.custody.lost(self.now)
        self.assertEqual(self.answer(10), [4, 9])
        self.assertGreater(GRACE, 3)

    def test_taken_once(self) -> None:
        """A takeover is news once, also where the owner lets go and takes it again before we had it."""
        self.held(1000)
        self.assertTrue(self.take().taken)
        self.assertFalse(self.custody.answered(self.now, RIVAL, False).taken)
        self.custody.answered(self.now, "", False)
        self.assertFalse(self.custody.answered(self.now, RIVAL, False).taken)
        self.assertTrue(self.custody.connected(self.now))
        self.assertFalse(self.custody.connected(self.now))

    def test_contested(self) -> None:
        """Who takes it again each time it came back is fought less and less, up to once an hour; peace is forgotten."""
        waits = []
        for _ in range(8):
            self.held(30)
            self.take()
            waits.append(self.answer(4000, RIVAL)[0])
        self.assertEqual(waits, [60, 120, 240, 480, 960, 1920, 3600, 3600])
        self.assertEqual(waits[-1], MOST_PATIENT)
        self.held(1000)
        self.take()
        self.assertEqual(self.answer(100, RIVAL), [WIN_BACK])

    def test_known(self) -> None:
        """What was ours before a restart is asked back, and that it is away is no news: it may have been told."""
        self.custody = Custody(known=True)
        self.assertFalse(self.custody.answered(self.now, RIVAL, False).taken)
        self.assertEqual(self.answer(70, RIVAL), [WIN_BACK])

    def test_unknown(self) -> None:
        """What never was ours is left alone, and invited when it is free."""
        self.assertEqual(self.answer(1000, RIVAL), [])
        self.assertEqual(self.answer(1), [1])

    def test_busy(self) -> None:
        """It is not disturbed while it works for somebody else."""
        self.held(10)
        self.take()
        self.assertEqual(self.answer(1000, RIVAL, busy=True), [])
        self.assertEqual(self.answer(100, RIVAL), [1, 61])

    def test_adopted(self) -> None:
        """A wish of a person is carried out at once, three times in a row, whatever the printer does."""
        self.custody.adopt()
        self.assertEqual(self.answer(14, RIVAL, busy=True), [1, 6, 11])
        self.assertFalse(self.custody.answered(self.now, RIVAL, True).in_vain)
        self.now += INVITE_WAIT
        self.assertTrue(self.custody.answered(self.now, RIVAL, True).in_vain)
        self.assertEqual(self.answer(100, RIVAL, busy=True), [])
        self.assertTrue(self.custody.answered(self.now, RIVAL, True).in_vain)

    def test_adopted_at_once(self) -> None:
        """A person does not wait for the time after a lost link."""
        self.held(10)
        self.custody.lost(self.now)
        self.custody.adopt()
        self.assertEqual(self.answer(2), [1])
