"""What the rest of the daemon sees of the journal."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import replace
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.codec.sdcp import Announcement
from sdcpd.errors import StoreError
from sdcpd.journal import KEPT, Journal
from sdcpd.progress import Job, JobState
from sdcpd.records import Key, Plate, PlateState, PrintRecord, PrintResult, Remembered, Wear
from tests.fakes import ID, WALL, Pool, at_once, logged

T = TypeVar("T")

JOB = Job("a1", ID, "größer.goo", "0" * 32, 7, "gr_00000000.goo", JobState.QUEUED, WALL, message="x", plate_clear=True)
PLATE = Plate(ID, PlateState.CLEAR, 3, "anna", WALL)
WEAR = Wear(ID, 12, 30.5, 1)
KEY = Key("k1", "slicer", "f" * 64, ("view", "upload"), (ID,), WALL)
PRINTER = Remembered("saturn", Announcement(ID, name="Saturn"), "10.0.0.2")
PRINT = PrintRecord("p1", ID, "benchy.goo", WALL, "a1", total_layers=100)


def ended(number: int) -> Job:
    return replace(JOB, id=f"{number:012x}", state=JobState.FINISHED, ended=WALL + number)


class JournalCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.clock = Clock()

    def journal(self, thread: Any = at_once) -> Journal:
        """The journal as a daemon that starts now finds it."""
        return Journal("", self.directory, thread, self.clock)


class PresentTests(JournalCase):
    """What is known at once, and again after a restart."""

    def test_empty(self) -> None:
        """The first start knows of nothing."""
        journal = self.journal()
        self.assertEqual((journal.jobs(), journal.printers(), journal.keys(), journal.open_prints()), ([], [], [], []))
        self.assertEqual((journal.plates(), journal.wears(), journal.failing, journal.commits), ({}, {}, None, 0))

    def test_everything(self) -> None:
        """Each kind of record is there at once, and again after a restart, as it was."""
        journal = self.journal()
        self.successResultOf(journal.write(JOB, PLATE, WEAR, KEY, PRINTER, PRINT))
        self.assertEqual(journal.commits, 1)
        for life in (journal, self.journal()):
            self.assertEqual(life.jobs(), [JOB])
            self.assertEqual(life.plates(), {ID: PLATE})
            self.assertEqual(life.wears(), {ID: WEAR})
            self.assertEqual(life.keys(), [KEY])
            self.assertEqual(life.printers(), [PRINTER])
            self.assertEqual(life.open_prints(), [PRINT])

    def test_order(self) -> None:
        """Things keep the place of their first record, however often they change and whatever the clock says."""
        journal = self.journal()
        for number in (5, 3, 4, 5):
            journal.write(replace(ended(number), created=WALL - number, message=f"{journal.commits}"))
        for life in (journal, self.journal()):
            self.assertEqual([job.id for job in life.jobs()], [ended(number).id for number in (5, 3, 4)])

    def test_bounded(self) -> None:
        """The oldest ended jobs are forgotten; one that is under way never is."""
        journal = self.journal()
        moving = replace(JOB, state=JobState.PRINTING)
        journal.write(moving)
        for number in range(KEPT + 20):
            journal.write(ended(number))
        for life in (journal, self.journal()):
            self.assertEqual(life.jobs(), [moving, *(ended(number) for number in range(20, KEPT + 20))])

    def test_ended_print(self) -> None:
        """A print that has ended is no open one any more, and stays in the history."""
        journal = self.journal()
        journal.write(PRINT)
        over = replace(PRINT, result=PrintResult.FINISHED, ended=WALL + 60)
        journal.write(over)
        for life in (journal, self.journal()):
            self.assertEqual(life.open_prints(), [])
            self.assertEqual(self.successResultOf(life.print_of("p1")), over)

    def test_forget(self) -> None:
        """A printer that is forgotten does not come back."""
        journal = self.journal()
        journal.write(PRINTER)
        self.successResultOf(journal.forget(Remembered, ID))
        for life in (journal, self.journal()):
            self.assertEqual(life.printers(), [])


class WritingTests(JournalCase):
    """When and how often something is written."""

    def setUp(self) -> None:
        super().setUp()
        self.thread = Pool(slow=True)
        self.slow = self.journal(self.thread)

    def test_at_once(self) -> None:
        """A change is seen in the turn that made it, and is safe when its Deferred says so."""
        safe = self.slow.write(JOB)
        self.assertEqual(self.slow.jobs(), [JOB])
        self.assertNoResult(safe)
        self.assertEqual(self.journal().jobs(), [])
        self.thread.work()
        self.successResultOf(safe)
        self.assertEqual(self.journal().jobs(), [JOB])

    def test_together(self) -> None:
        """What gathers while the disk is busy is written together, the newest of each record only."""
        first = self.slow.write(JOB)
        rest = [self.slow.write(replace(JOB, sent=sent)) for sent in range(1, 50)] + [self.slow.write(PLATE)]
        self.thread.work()
        self.successResultOf(first)
        self.assertNoResult(rest[0])
        self.thread.work()
        for waiter in rest:
            self.successResultOf(waiter)
        self.assertEqual((self.slow.commits, self.thread.begun), (2, []))
        self.assertEqual((self.journal().jobs()[0].sent, self.journal().plates()), (49, {ID: PLATE}))

    def test_nothing_new(self) -> None:
        """What is known already costs no commit; while it is not yet safe, its second writer waits as well."""
        waiters = [self.slow.write(JOB), self.slow.write(JOB)]
        self.assertNoResult(waiters[1])
        self.thread.work()
        for waiter in [*waiters, self.slow.write(JOB)]:
            self.successResultOf(waiter)
        self.assertEqual((self.slow.commits, self.thread.begun), (1, []))

    def test_there_and_back(self) -> None:
        """A record that changes back while its change is on the way to the disk ends as it was."""
        self.slow.write(JOB)
        self.slow.write(replace(JOB, sent=1))
        self.slow.write(JOB)
        self.thread.work()
        self.thread.work()
        self.assertEqual(self.journal().jobs(), [JOB])

    def test_given_up(self) -> None:
        """Who stops waiting stops nothing else."""
        waiter, other = self.slow.write(JOB), self.slow.write(JOB)
        waiter.cancel()
        self.failureResultOf(waiter)
        self.thread.work()
        self.successResultOf(other)
        self.assertEqual(self.journal().jobs(), [JOB])

    def test_close(self) -> None:
        """An ordered stop ends when everything is written; nothing is taken after that."""
        self.slow.write(JOB)
        self.slow.write(PLATE)
        closed = self.slow.close()
        self.failureResultOf(self.slow.write(WEAR), StoreError)
        while self.thread.begun:
            self.assertNoResult(closed)
            self.thread.work()
        self.assertTrue(self.successResultOf(closed))
        self.assertEqual((self.journal().jobs(), self.journal().plates()), ([JOB], {ID: PLATE}))

    def test_close_in_time(self) -> None:
        """A disk that never answers does not keep the daemon from stopping, and the log says what was lost."""
        lines = logged(self)
        self.slow.write(JOB)
        self.slow.write(PLATE)
        closed = self.slow.close()
        self.clock.advance(4)
        self.assertFalse(self.successResultOf(closed))
        self.assertTrue(any("2 records could not be written" in line for line in lines), lines)
