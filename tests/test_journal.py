from __future__ import annotations

import json
from pathlib import Path

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.journal import KEPT, Journal
from sdcpd.progress import Job, JobState
from tests.fakes import ID, WALL, logged


def job(number: int, state: JobState = JobState.FINISHED) -> Job:
    ended = WALL + number if state is JobState.FINISHED else None
    return Job(f"{number:012x}", ID, "benchy.goo", "0" * 32, 7, "benchy_00000000.goo", state, WALL, ended=ended)


class JournalTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.path = self.directory / "jobs.json"

    def journal(self) -> Journal:
        """The journal as a daemon that starts now finds it."""
        return Journal(self.directory)

    def asides(self) -> list[Path]:
        return list(self.directory.glob("jobs.json.damaged-*"))

    def test_empty(self) -> None:
        """The first start knows of no jobs."""
        self.assertEqual(self.journal().jobs(), [])
        self.assertEqual(list(self.directory.iterdir()), [])

    def test_restart(self) -> None:
        """Every job is found again after a restart, as it was, in its order."""
        journal = self.journal()
        first = replace(job(1), message="größer", reason="x", sent=5, started=WALL, plate_clear=True)
        second = job(2, JobState.STARTING)
        for found in (first, second):
            journal.record(found)
        self.assertEqual(self.journal().jobs(), [first, second])

    def test_on_disk(self) -> None:
        """What was recorded is on the disk at once, not only at the stop."""
        journal = self.journal()
        journal.record(job(1, JobState.QUEUED))
        journal.record(job(1, JobState.STARTING))
        (found,) = json.loads(self.path.read_bytes())
        self.assertEqual(found["state"], "starting")
        self.assertEqual([path.name for path in self.directory.iterdir()], ["jobs.json"])

    def test_place(self) -> None:
        """A job keeps its place however often it changes."""
        journal = self.journal()
        for number in (1, 2, 1):
            journal.record(job(number))
        self.assertEqual([found.id for found in journal.jobs()], [job(1).id, job(2).id])

    def test_bounded(self) -> None:
        """The oldest ended jobs are forgotten; one that is under way never is."""
        journal = self.journal()
        moving = job(0, JobState.PRINTING)
        journal.record(moving)
        for number in range(1, KEPT + 20):
            journal.record(job(number))
        jobs = self.journal().jobs()
        self.assertEqual(len(jobs), KEPT)
        self.assertEqual(jobs[0], moving)
        self.assertEqual(jobs[-1], job(KEPT + 19))
        self.assertNotIn(job(1), jobs)

    def test_damaged(self) -> None:
        """A damaged journal is kept aside for a person, and a new one begins."""
        junk = (b"", b"[{", b'[{"id":"\xff"}]', b"\0" * 100, b'["\xff"]', b'[{"id": 1}]', b"[" * 100_000, b'{"a": 1}')
        for data in junk:
            lines = logged(self)
            self.path.write_bytes(data)
            journal = self.journal()
            self.assertEqual(journal.jobs(), [])
            (aside,) = self.asides()
            self.assertEqual(aside.read_bytes(), data)
            self.assertTrue(any(str(aside) in line for line in lines))
            journal.record(job(1))
            self.assertEqual(self.journal().jobs(), [job(1)])
            aside.unlink()

    def test_cut_off(self) -> None:
        """A write that a power cut interrupted leaves the journal as it was before."""
        self.journal().record(job(1))
        (self.directory / "jobs.tmp").write_bytes(b'[{"id": "0')
        journal = self.journal()
        self.assertEqual(journal.jobs(), [job(1)])
        journal.record(job(2))
        self.assertEqual(self.journal().jobs(), [job(1), job(2)])

    def test_unwritable(self) -> None:
        """A record that cannot be written is an error, leaves the old file whole, and is made up for by the next."""
        journal = self.journal()
        journal.record(job(1))
        obstacle = self.directory / "jobs.tmp"
        obstacle.mkdir()
        self.assertRaises(OSError, journal.record, job(2))
        self.assertEqual(self.journal().jobs(), [job(1)])
        self.assertEqual(journal.jobs(), [job(1), job(2)])
        obstacle.rmdir()
        journal.record(job(3))
        self.assertEqual(self.journal().jobs(), [job(1), job(2), job(3)])
