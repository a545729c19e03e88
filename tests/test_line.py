"""Queues in the daemon's core: what goes on by itself, what waits for a person, what survives a restart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sdcpd.codec.sdcp import Command
from sdcpd.codec.sliced import SlicedFile
from sdcpd.errors import JobUnknown, KeyReused, NotNow, StoreFull, Unrecorded
from sdcpd.jobs import Wish
from sdcpd.plate import Gate
from sdcpd.progress import Job, JobState
from sdcpd.records import PlateState
from tests.fakes import ID, FakeJournal, JsonObject, Workshop, status_json


class LineTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.open()

    def open(self, gate: Gate = Gate.AFTER_PRINT, journal: FakeJournal | None = None, *, connect: bool = True) -> None:
        self.directory = getattr(self, "directory", None) or Path(self.mktemp())
        self.shop = Workshop(self.directory, gate=gate, journal=journal)
        self.link = self.shop.link
        if connect:
            self.shop.connect()
        else:
            self.shop.announce()

    def add(self, *, start: bool = False, printer: str = ID, key: str | None = None) -> Job:
        wish = Wish("somebody", start=start, key=key, asked="this")
        return self.successResultOf(self.shop.jobs.enqueue(printer, self.shop.file, wish))

    def job(self, of: Job) -> Job:
        return self.shop.jobs.get(of.id)

    def deliver(self) -> None:
        self.shop.deliver()
        self.shop.pump(1)

    def starts(self) -> int:
        return self.link.commands().count(Command.START)

    def finish(self) -> None:
        self.link.says(self.shop.at_work(3))
        self.link.says(self.shop.at_work(16, current=0))
        self.shop.pump(1)

    def confirm(self) -> None:
        printer = self.shop.fleet.get(ID)
        self.shop.jobs.plates.confirm(printer, printer.plate.revision, "Ann")
        self.shop.pump(1)


class WaitingTests(LineTestCase):
    def test_delivered_not_started(self) -> None:
        """A file is delivered as soon as the printer is idle, and waits there until a person starts it, once."""
        job = self.add()
        self.assertIs(self.job(job).state, JobState.DELIVERING)
        self.deliver()
        self.shop.pump(100)
        waiting = self.job(job)
        self.assertEqual((waiting.state, waiting.reason), (JobState.DELIVERED, "waiting_for_start"))
        self.assertIn(f"/v1/jobs/{job.id}/start", str(waiting.message))
        self.assertEqual(self.shop.job, waiting)
        self.assertEqual(self.starts(), 0)
        self.shop.jobs.start(job.id, None, "Ann")
        self.shop.jobs.start(job.id, None, "Ann")
        self.shop.pump(3)
        self.assertEqual((self.starts(), self.job(job).state), (1, JobState.STARTING))
        self.finish()
        self.assertIs(self.job(job).state, JobState.FINISHED)
        self.assertRaises(NotNow, self.shop.jobs.start, job.id, None, "Ann")
        self.assertFalse(self.shop.held())

    def test_wanted(self) -> None:
        """A job that a person wants started starts in its turn; the one behind it waits for the plate."""
        first, second = self.add(start=True), self.add(start=True)
        self.assertEqual(self.job(second).reason, "behind_another")
        self.deliver()
        self.assertIs(self.job(first).state, JobState.STARTING)
        self.link.says(self.shop.at_work(3))
        self.shop.pump(1)
        self.assertEqual(self.job(second).reason, "printer_busy")
        self.finish()
        self.shop.pump(5)
        self.assertEqual((self.job(second).state, self.job(second).reason), (JobState.DELIVERED, "plate_not_clear"))
        self.assertEqual(self.starts(), 1)
        self.confirm()
        self.assertEqual(self.starts(), 2)
        self.assertIs(self.shop.fleet.get(ID).plate.state, PlateState.OCCUPIED)

    def test_no_gate(self) -> None:
        """Without a gate nothing follows a print by itself; a person can start it over whatever is on the plate."""
        self.open(Gate.OFF)
        first, second = self.add(start=True), self.add(start=True)
        self.deliver()
        self.finish()
        self.shop.pump(5)
        self.assertIs(self.job(first).state, JobState.FINISHED)
        self.assertEqual((self.starts(), self.job(second).reason), (1, "waiting_for_start"))
        self.shop.jobs.start(second.id, None, "Ann")
        self.assertEqual(self.starts(), 2)

    def test_offline(self) -> None:
        """Files can wait for a printer that is off, and go on when it is there."""
        self.open(connect=False)
        job = self.add()
        self.assertEqual((self.job(job).state, self.job(job).reason), (JobState.QUEUED, "printer_offline"))
        self.shop.reconnect()
        self.shop.pump(1)
        self.assertIs(self.job(job).state, JobState.DELIVERING)

    def test_printing(self) -> None:
        """Files can wait while the printer prints something else, and while that waits to be confirmed."""
        self.link.says(status_json(1, 3, filename="usb.goo", layers=9))
        job = self.add(start=True)
        self.assertEqual(self.job(job).reason, "printer_busy")
        self.link.says(status_json(1, 16, filename="usb.goo", layer=9, layers=9))
        self.shop.pump(1)
        self.assertEqual(self.job(job).reason, "needs_attention")

    def test_delivery_fails(self) -> None:
        """A delivery that fails for good is held for a person, not lost, and nothing behind it passes."""
        self.link.acks = {Command.FETCH: 1}
        job, behind = self.add(), self.add()
        self.shop.pump(100)
        held = self.job(job)
        self.assertEqual((held.state, held.reason), (JobState.HELD, "command_refused"))
        self.assertEqual((held.attempts, self.job(behind).reason), (4, "behind_another"))
        self.assertTrue(self.shop.held())
        self.link.acks = {}
        self.shop.jobs.start(job.id, None, "Ann")
        self.deliver()
        self.assertIs(self.job(job).state, JobState.STARTING)

    def test_link_lost(self) -> None:
        """A delivery that loses its printer for good goes on by itself when the printer is back."""
        job = self.add()
        self.link.drop()
        self.shop.pump(400)
        self.assertEqual((self.job(job).state, self.job(job).reason), (JobState.QUEUED, "printer_offline"))
        self.shop.reconnect()
        self.shop.pump(1)
        self.deliver()
        self.assertIs(self.job(job).state, JobState.DELIVERED)

    def test_full_disk(self) -> None:
        """What cannot be noted does not wait: the wish is refused, and the next one at once."""
        self.shop.journal.full = True
        for _ in range(2):
            found = self.shop.jobs.enqueue(ID, self.shop.file, Wish("somebody"))
            self.failureResultOf(found, Unrecorded)
        self.assertEqual(self.shop.jobs.queue(ID), [])
        self.assertEqual(self.link.commands(), [])


class OrderTests(LineTestCase):
    def test_order(self) -> None:
        """Waiting jobs are moved and removed; whoever is first goes first."""
        self.open(connect=False)
        a, b, c = self.add(), self.add(), self.add()
        self.shop.jobs.move(c.id, a.id)
        self.assertEqual([job.id for job in self.shop.jobs.queue(ID)], [c.id, a.id, b.id])
        self.assertRaises(NotNow, self.shop.jobs.move, a.id, "nothing")
        self.assertRaises(JobUnknown, self.shop.jobs.move, "nothing", None)
        self.shop.jobs.remove(c.id)
        self.assertEqual((self.job(c).state, self.job(c).reason), (JobState.STOPPED, "cancelled"))
        self.shop.reconnect()
        self.shop.pump(1)
        self.assertIs(self.job(a).state, JobState.DELIVERING)
        self.shop.jobs.remove(a.id)
        self.assertIs(self.job(a).state, JobState.STOPPED)
        self.shop.pump(1)
        self.assertIs(self.job(b).state, JobState.DELIVERING)

    def test_printing(self) -> None:
        """What is being printed cannot be taken out of the queue."""
        job = self.add(start=True)
        self.deliver()
        self.assertRaises(NotNow, self.shop.jobs.remove, job.id)

    def test_same_key(self) -> None:
        """The same wish under the same key is the same job; another one is refused."""
        job = self.add(key="k")
        self.assertEqual(self.shop.jobs.asked_before("somebody", "k", "this"), self.job(job))
        self.assertIsNone(self.shop.jobs.asked_before("another", "k", "this"))
        self.assertIsNone(self.shop.jobs.asked_before("somebody", None, "this"))
        self.assertRaises(KeyReused, self.shop.jobs.asked_before, "somebody", "k", "that")


class RestartTests(LineTestCase):
    def again(self) -> None:
        """The daemon is killed and comes up with what the journal has."""
        journal = self.shop.journal
        self.shop.jobs.stop_all()
        self.open(journal=journal, connect=False)

    def test_goes_on(self) -> None:
        """After a restart queues are as they were, and a broken delivery begins anew."""
        a, b = self.add(), self.add(start=True)
        self.again()
        self.assertEqual([job.id for job in self.shop.jobs.queue(ID)], [a.id, b.id])
        self.assertTrue(self.shop.held())
        self.shop.reconnect()
        self.shop.pump(1)
        self.deliver()
        self.assertIs(self.job(a).state, JobState.DELIVERED)
        self.assertTrue(self.job(b).start)

    def test_started(self) -> None:
        """A start that may have been sent before the restart is not sent again."""
        job = self.add(start=True)
        self.deliver()
        self.again()
        self.shop.reconnect(self.shop.told_done())
        for _ in range(8):
            self.shop.pump(5)
            self.link.says(self.shop.told_done())
        self.assertEqual((self.starts(), self.job(job).state), (0, JobState.UNVERIFIED))


class LocalTests(LineTestCase):
    def local(self, layer: int = 1) -> JsonObject:
        return self.shop.at_work(3, layer=layer)

    def test_bound(self) -> None:
        """A delivered file that is started at the touchscreen is its job, which leaves the queue and is followed."""
        job, behind = self.add(), self.add()
        self.deliver()
        self.link.says(self.local())
        self.assertIs(self.job(job).state, JobState.PRINTING)
        self.assertEqual([waiting.id for waiting in self.shop.jobs.queue(ID)], [behind.id])
        self.link.says(self.shop.at_work(16, current=0))
        self.assertIs(self.job(job).state, JobState.FINISHED)
        (record,) = self.shop.journal.printed.values()
        self.assertEqual((record.job, self.starts()), (job.id, 0))
        self.assertEqual(self.shop.happenings.count("print_started"), 1)

    def test_another(self) -> None:
        """Another file that is started there leaves the queue as it is."""
        job = self.add()
        self.deliver()
        self.link.says(status_json(1, 3, filename="usb.goo", layers=9))
        self.shop.pump(1)
        self.assertEqual((self.job(job).state, self.job(job).reason), (JobState.DELIVERED, "printer_busy"))


class WishTests(LineTestCase):
    def test_not_noted(self) -> None:
        """A wish to start that could not be noted is taken back: nothing starts when there is room again."""
        job = self.add()
        self.deliver()
        self.shop.jobs.plates.occupy(self.shop.fleet.get(ID), "Bob")
        self.shop.journal.full = True
        self.failureResultOf(self.shop.jobs.start(job.id, None, "Ann", "Ann\nk\nstart"), StoreFull)
        self.assertEqual((self.job(job).start, self.job(job).start_word), (False, None))
        self.assertRaises(Unrecorded, self.shop.jobs.start, job.id, None, "Ann")
        self.shop.journal.full, self.shop.journal.failing = False, None
        self.confirm()
        self.shop.pump(5)
        self.assertEqual((self.starts(), self.job(job).reason), (0, "waiting_for_start"))

    def test_repeated(self) -> None:
        """A start that is asked for again under its key is no second wish, also when the print is over."""
        job = self.add()
        self.deliver()
        word = "Ann\nk\nstart"
        self.successResultOf(self.shop.jobs.start(job.id, True, "Ann", word))
        self.finish()
        again = self.successResultOf(self.shop.jobs.start(job.id, True, "Ann", word))
        self.assertIs(again.state, JobState.FINISHED)
        self.assertIs(self.shop.fleet.get(ID).plate.state, PlateState.OCCUPIED)
        self.assertRaises(KeyReused, self.shop.jobs.start, job.id, False, "Ann", "Ann\nk\nother")
        self.assertRaises(NotNow, self.shop.jobs.start, job.id, True, "Ann")
        self.assertEqual(self.starts(), 1)


class AnyTests(LineTestCase):
    def test_bound_once(self) -> None:
        """A job for any printer goes to one that it suits, once, and waits while there is none."""
        from tests.test_history import SLICED

        self.shop.sliced[self.shop.file.md5] = SLICED
        job = self.add(printer="")
        self.assertEqual((self.job(job).printer, self.job(job).reason), ("", "no_printer"))
        self.shop.jobs.remove(job.id)
        resolution = self.shop.fleet.get(ID).announcement.resolution
        self.shop.sliced[self.shop.file.md5] = type(SLICED)(format="goo", version="3.0", resolution=resolution)
        job = self.add(printer="")
        self.assertEqual((self.job(job).printer, self.job(job).state), (ID, JobState.DELIVERING))
        self.assertEqual(self.shop.jobs.queue(""), [])

    def test_whose_plate(self) -> None:
        """A plate cannot be confirmed with the start of a job that has no printer yet: nobody has looked at any."""
        job = self.add(printer="")
        self.assertRaises(NotNow, self.shop.jobs.start, job.id, True, "Ann")
        self.assertFalse(self.job(job).start)

    def add_any(self, **sliced: Any) -> Job:
        """A file for any printer that says this of itself."""
        known = {"resolution": self.shop.fleet.get(ID).announcement.resolution, **sliced}
        self.shop.sliced[self.shop.file.md5] = SlicedFile(format="goo", version="3.0", **known)
        return self.job(self.add(printer=""))

    def test_judged(self) -> None:
        """Where a person would be refused, no printer is chosen; what a person would be warned of, the job says."""
        for wrong in ({"height": 400.0}, {"resolution": None}):
            job = self.add_any(**wrong)
            self.assertEqual((job.printer, job.reason), ("", "no_printer"))
            self.shop.jobs.remove(job.id)
        job = self.add_any(machine="ELEGOO Saturn 3")
        self.assertEqual(job.printer, ID)
        self.assertIn("sliced for the machine ELEGOO Saturn 3", job.warnings[0])

    def test_judged_after_restart(self) -> None:
        """A job for any printer still knows what it suits after a restart of the daemon."""
        self.link.says(self.shop.at_work(3))
        job = self.add_any()
        self.assertEqual((job.printer, job.reason), ("", "no_printer"))
        self.shop.jobs.stop_all()
        self.shop = Workshop(self.directory, journal=self.shop.journal, sliced=self.shop.sliced)
        self.shop.connect()
        self.shop.pump(1)
        self.assertEqual((self.job(job).printer, self.job(job).state), (ID, JobState.DELIVERING))
