from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.codec.sdcp import Command, Response
from sdcpd.codec.status import Phase
from sdcpd.errors import (
    CommandInFlight,
    CommandRefused,
    CommandTimeout,
    FileMissing,
    NotNow,
    PrinterOffline,
    PrinterUnknown,
    StoreFull,
)
from sdcpd.fleet import Reachability
from sdcpd.links import COMMAND_TIMEOUT
from sdcpd.progress import Job, JobState
from sdcpd.wishes import Wish
from tests.fakes import HOME, ID, OTHER_ID, WALL, JsonObject, Workshop, announcement, logged, status_json


class JobsTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.shop = Workshop(Path(self.mktemp()))
        self.shop.connect()
        self.link = self.shop.link
        self.jobs = self.shop.jobs

    def printing(self) -> Job:
        """A job whose print is on the machine."""
        self.shop.print()
        self.shop.deliver()
        self.link.says(self.shop.at_work(3))
        return self.shop.job


class PrintTests(JobsTestCase):
    def test_begun(self) -> None:
        """A wish to print becomes a job at once, which every view shows and the store keeps the file for."""
        job = self.jobs.print(ID, self.shop.file, Wish("somebody", plate_clear=True))
        self.assertEqual((job.printer, job.file, job.md5), (ID, "benchy.goo", self.shop.file.md5))
        self.assertEqual((job.wire_name, job.size, job.created), (self.shop.name, self.shop.file.size, WALL))
        self.assertIs(job.plate_clear, True)
        self.assertEqual(self.jobs.current(ID), job)
        self.assertEqual(self.jobs.all(), [job])
        self.assertEqual(self.shop.fleet.get(ID).job, job)
        self.assertTrue(self.shop.held())

    def test_promised(self) -> None:
        """A job is promised to nobody before it is on the disk: a crash would take it along."""
        self.shop.journal.slow = True
        job = self.jobs.print(ID, self.shop.file, Wish("somebody"))
        kept = self.jobs.kept(job)
        self.assertNoResult(kept)
        self.shop.journal.land()
        self.assertEqual(self.successResultOf(kept).id, job.id)

    def test_not_promised(self) -> None:
        """One that cannot be noted is refused and given up."""
        self.shop.journal.full = True
        job = self.jobs.print(ID, self.shop.file, Wish("somebody"))
        self.failureResultOf(self.jobs.kept(job), StoreFull)
        self.assertIsNone(self.jobs.current(ID))

    def test_cancelled(self) -> None:
        """That a job is cancelled is promised when that is on the disk."""
        job = self.jobs.print(ID, self.shop.file, Wish("somebody"))
        self.shop.journal.slow = True
        self.assertIsNone(self.jobs.stop(ID))
        kept = self.jobs.kept(job)
        self.assertNoResult(kept)
        self.shop.journal.land()
        self.assertIs(self.successResultOf(kept).state, JobState.STOPPED)

    def test_unknown(self) -> None:
        """A printer that nobody knows is said to be unknown."""
        self.assertRaises(PrinterUnknown, self.jobs.print, "nobody", self.shop.file, Wish("somebody"))

    def test_offline(self) -> None:
        """Nothing is kept for a printer that is away: the wish is refused."""
        self.link.drop()
        error = self.assertRaises(PrinterOffline, self.jobs.print, ID, self.shop.file, Wish("somebody"))
        self.assertTrue(error.hint)
        self.assertEqual(self.jobs.all(), [])

    def test_without_status(self) -> None:
        """A printer that has just connected and said nothing yet is not trusted to be idle."""
        shop = Workshop(Path(self.mktemp()))
        shop.fleet.announced(announcement(), HOME)
        shop.link.open()
        error = self.assertRaises(NotNow, shop.print)
        self.assertIn("is offline", error.message)

    def test_v3(self) -> None:
        """A printer that speaks V3 is refused with the reason."""
        self.shop.fleet.announced(announcement(OTHER_ID, ProtocolVersion="V3.0.0", Name="Four"), "192.0.2.44")
        wishes: tuple[Callable[[], object], ...] = (
            lambda: self.jobs.print(OTHER_ID, self.shop.file, Wish("somebody")),
            lambda: self.jobs.pause(OTHER_ID),
            lambda: self.jobs.stop(OTHER_ID),
        )
        for wish in wishes:
            error = self.assertRaises(NotNow, wish)
            self.assertIn("V3", error.message)
            self.assertTrue(error.hint)

    def test_phases(self) -> None:
        """Whatever else the printer does, nothing is started, and the reason and what to do are said."""
        cases = {
            Phase.TRANSFER: (2, 0, "receiving a file"),
            Phase.PREPARING: (1, 1, "is printing"),
            Phase.PRINTING: (1, 3, "is printing"),
            Phase.PAUSING: (1, 5, "is printing"),
            Phase.PAUSED: (1, 8, "is printing"),
            Phase.STOPPING: (1, 9, "is printing"),
            Phase.ATTENTION: (1, 16, "waits for somebody to confirm"),
            Phase.BUSY: (3, 0, "busy with something else"),
        }
        for phase, (current, state, words) in cases.items():
            self.link.says(status_json(current, state))
            self.assertIs(self.shop.fleet.get(ID).phase, phase)
            error = self.assertRaises(NotNow, self.shop.print)
            self.assertIn(words, error.message)
            self.assertIn("Bench left", error.message)
            self.assertTrue(error.hint)
        self.assertEqual(self.link.commands(), [])
        self.assertFalse(self.shop.held())

    def test_one_at_a_time(self) -> None:
        """A printer that has a job takes no second one."""
        self.shop.print()
        error = self.assertRaises(NotNow, self.shop.print)
        self.assertIn("benchy.goo is delivering", error.message)
        self.assertIn("/v1/printers/bench-left/stop", error.hint)
        self.assertEqual(self.link.commands(), [Command.FETCH])

    def test_one_after_the_other(self) -> None:
        """When a job has ended, the next one can begin, and both are remembered."""
        first = self.printing()
        self.link.says(self.shop.at_work(16, current=0))
        second = self.shop.print(plate_clear=True)
        self.assertEqual([job.id for job in self.jobs.all()], [first.id, second.id])
        self.assertIs(self.jobs.all()[0].state, JobState.FINISHED)

    def test_file_lacking(self) -> None:
        """A printer that refused the start for want of the file gets it anew, whatever its last transfer was."""
        for ack in (2, 3, 4):
            self.shop = Workshop(Path(self.mktemp()))
            self.shop.connect(self.shop.told_done())
            self.link = self.shop.link
            self.link.acks = {Command.START: ack}
            self.shop.print()
            self.assertEqual(self.shop.job.reason, f"start_refused_{ack}")
            self.link.acks = {}
            self.shop.print()
            self.assertEqual(self.link.commands(), [Command.START, Command.FETCH])
            self.shop.deliver()
            self.assertEqual(self.link.commands(), [Command.START, Command.FETCH, Command.START])
            self.link.says(self.shop.at_work(3))
            self.link.says(self.shop.at_work(16, current=0))
            self.link.says(self.shop.told_done())
            self.assertIs(self.shop.job.state, JobState.FINISHED)
            self.shop.print(plate_clear=True)
            self.assertEqual(self.link.commands()[3:], [Command.START])

    def test_file_still_lacking(self) -> None:
        """A delivery that came to nothing does not make the printer have the file; nor does a restart of the daemon."""
        self.link.says(self.shop.told_done())
        self.link.acks = {Command.START: 2}
        self.shop.print()
        self.shop.print()
        self.jobs.stop(ID)
        self.assertEqual(self.link.commands(), [Command.START, Command.FETCH])
        shop = Workshop(Path(self.mktemp()), self.jobs.all())
        shop.connect(shop.told_done())
        shop.print()
        self.assertEqual(shop.link.commands(), [Command.FETCH])

    def test_file_there(self) -> None:
        """A start that was refused for another reason, or by another printer, says nothing of the file."""
        self.link.says(self.shop.told_done())
        self.link.acks = {Command.START: 1}
        self.shop.print()
        self.shop.print()
        self.assertEqual(self.link.commands(), [Command.START] * 2)
        lacking = replace(self.shop.job, reason="start_refused_2")
        for other in (replace(lacking, printer=OTHER_ID), replace(lacking, wire_name="0123456789_other.goo")):
            shop = Workshop(Path(self.mktemp()), [other])
            shop.connect(shop.told_done())
            shop.print()
            self.assertEqual(shop.link.commands(), [Command.START])

    def test_file_gone(self) -> None:
        """A file that was deleted just now is not printed; the printer stays free."""
        file = self.shop.file
        self.successResultOf(self.shop.store.delete("benchy.goo"))
        self.assertRaises(FileMissing, self.jobs.print, ID, file, Wish("somebody"))
        self.assertIsNone(self.jobs.current(ID))
        self.assertEqual(self.link.commands(), [])


class CommandTests(JobsTestCase):
    def wish(self, command: Command) -> Deferred[Response] | None:
        if command is Command.PAUSE:
            return self.jobs.pause(ID)
        if command is Command.RESUME:
            return self.jobs.resume(ID)
        return self.jobs.stop(ID)

    def test_allowed(self) -> None:
        """What the printer does decides what can be asked of it; nothing else is sent."""
        allowed = {
            (0, 0): set[Command](),
            (2, 0): set[Command](),
            (1, 1): {Command.PAUSE, Command.STOP},
            (1, 3): {Command.PAUSE, Command.STOP},
            (1, 5): {Command.STOP},
            (1, 7): {Command.RESUME, Command.STOP},
            (1, 8): {Command.RESUME, Command.STOP},
            (1, 9): set[Command](),
            (1, 13): set[Command](),
            (1, 16): set[Command](),
        }
        for (current, state), commands in allowed.items():
            self.link.says(status_json(current, state))
            for command in (Command.PAUSE, Command.RESUME, Command.STOP):
                self.link.sent.clear()
                if command in commands:
                    d = self.wish(command)
                    assert d is not None
                    self.assertEqual(self.successResultOf(d).ack, 0)
                    self.assertEqual(self.link.commands(), [command])
                else:
                    error = self.assertRaises(NotNow, self.wish, command)
                    self.assertTrue(error.hint)
                    self.assertEqual(self.link.commands(), [])

    def test_checking(self) -> None:
        """A print whose file is still being checked can be stopped, not paused."""
        self.shop.print()
        self.shop.deliver()
        self.link.says(self.shop.at_work(10))
        self.assertIs(self.shop.fleet.get(ID).phase, Phase.CHECKING)
        self.assertRaises(NotNow, self.jobs.pause, ID)
        d = self.jobs.stop(ID)
        assert d is not None
        self.successResultOf(d)
        self.assertEqual(self.link.commands()[-1], Command.STOP)

    def test_own_print(self) -> None:
        """A print of ours is paused, resumed and stopped, and the job follows what the printer shows."""
        self.printing()
        states = []
        for command, state in ((Command.PAUSE, 8), (Command.RESUME, 3), (Command.STOP, 13)):
            d = self.wish(command)
            assert d is not None
            self.successResultOf(d)
            self.link.says(self.shop.at_work(state))
            states.append(self.shop.job.state)
        self.assertEqual(states, [JobState.PAUSED, JobState.PRINTING, JobState.STOPPED])
        self.assertEqual(self.link.commands()[-3:], [Command.PAUSE, Command.RESUME, Command.STOP])
        self.assertFalse(self.shop.held())

    def test_refused(self) -> None:
        """A refusal comes through, and changes nothing."""
        self.printing()
        self.link.acks = {Command.PAUSE: 1}
        self.failureResultOf(self.jobs.pause(ID), CommandRefused)
        self.assertIs(self.shop.job.state, JobState.PRINTING)

    def test_silent(self) -> None:
        """A printer that does not answer blocks one command, not all of them for ever."""
        self.printing()
        self.link.acks = {Command.PAUSE: None}
        d = self.jobs.pause(ID)
        self.failureResultOf(self.jobs.pause(ID), CommandInFlight)
        self.shop.pump(COMMAND_TIMEOUT)
        self.failureResultOf(d, CommandTimeout)
        self.link.acks = {}
        self.successResultOf(self.jobs.pause(ID))

    def test_offline(self) -> None:
        """A printer that is away cannot be paused, and nothing is kept for later."""
        self.printing()
        self.link.drop()
        self.assertRaises(PrinterOffline, self.jobs.pause, ID)
        self.shop.reconnect(self.shop.at_work(3))
        self.assertNotIn(Command.PAUSE, self.link.commands())

    def test_stop_before_start(self) -> None:
        """A job that was not started yet is stopped without a word to the printer."""
        self.shop.print()
        self.assertIsNone(self.jobs.stop(ID))
        self.assertEqual(self.link.commands(), [Command.FETCH])
        self.assertIs(self.shop.job.state, JobState.STOPPED)


class RestartTests(SynchronousTestCase):
    """The daemon was killed and starts again, with what the journal kept."""

    def restarted(self, state: JobState, file: bool = True) -> Workshop:
        """The daemon as it comes up after ``state`` was the last that was journalled."""
        directory = Path(self.mktemp())
        before = Workshop(directory)
        before.connect()
        job = replace(before.print(), state=state, started=WALL - 60)
        before.jobs.stop_all()
        self.old = job
        journal = [job]
        shop = Workshop(directory if file else Path(self.mktemp()), journal, file=False)
        self.assertEqual(shop.link.commands(), [])
        return shop

    def check(self, shop: Workshop, status: JsonObject, state: JobState, *happenings: str) -> None:
        shop.announce(status)
        self.assertIs(shop.job.state, state)
        self.assertEqual(shop.job.id, self.old.id)
        self.assertEqual(shop.happenings, list(happenings))
        shop.connect(status)
        self.assertIs(shop.job.state, state)
        self.assertEqual(shop.happenings, list(happenings))
        self.assertEqual(shop.link.commands(), [])

    def test_printing(self) -> None:
        """A print that goes on is recognised as soon as the printer speaks, and told to its end, once."""
        shop = self.restarted(JobState.PRINTING)
        self.assertIsNone(shop.jobs.current(ID))
        self.assertIs(shop.jobs.all()[0].state, JobState.PRINTING)
        self.assertTrue(shop.held())
        self.check(shop, shop.at_work(3), JobState.PRINTING)
        current = shop.jobs.current(ID)
        assert current is not None
        self.assertEqual(current.started, WALL - 60)
        shop.link.says(shop.at_work(16))
        self.assertIs(shop.job.state, JobState.FINISHED)
        self.assertEqual(shop.happenings, ["print_finished"])
        self.assertFalse(shop.held())

    def test_ended_meanwhile(self) -> None:
        """A print that ended while the daemon was away is told when the printer says so."""
        shop = self.restarted(JobState.PRINTING)
        self.check(shop, shop.at_work(16, current=0), JobState.FINISHED, "print_finished")

    def test_paused(self) -> None:
        """A paused print is still paused, or has gone on."""
        shop = self.restarted(JobState.PAUSED)
        self.check(shop, shop.at_work(8), JobState.PAUSED)
        shop = self.restarted(JobState.PAUSED)
        self.check(shop, shop.at_work(3), JobState.PRINTING, "print_resumed")

    def test_starting(self) -> None:
        """A start that was noted and perhaps sent is found to have happened, and not sent again."""
        shop = self.restarted(JobState.STARTING)
        self.check(shop, shop.at_work(3), JobState.PRINTING, "print_started")

    def test_starting_and_idle(self) -> None:
        """A start that was noted and of which the printer shows nothing is left to a person."""
        shop = self.restarted(JobState.STARTING)
        shop.connect(shop.told_done())
        for _ in range(8):
            shop.pump(5)
            shop.link.says(shop.told_done())
        self.assertEqual((shop.job.state, shop.job.reason), (JobState.UNVERIFIED, "start_unconfirmed"))
        self.assertEqual(shop.link.commands(), [])

    def test_begun_and_ended_meanwhile(self) -> None:
        """A print that began and ended while the daemon was away is told by what was shown before its start."""
        for state, number in ((JobState.FINISHED, 16), (JobState.STOPPED, 13)):
            directory = Path(self.mktemp())
            before = Workshop(directory)
            before.connect(before.told_done())
            job = before.print()
            before.jobs.stop_all()
            self.assertIs(before.job.state, JobState.STARTING)
            shop = Workshop(directory, file=False, journal=before.journal)
            shop.connect(shop.at_work(number, current=0))
            self.assertEqual((shop.job.id, shop.job.state), (job.id, state))
            self.assertEqual(shop.happenings, [f"print_{state.value}"])
            (record,) = shop.journal.printed.values()
            self.assertEqual((record.job, record.result.value, record.printed_s), (job.id, state.value, None))

    def test_replaced(self) -> None:
        """If the printer prints something else by now, the old print is lost, not confused with it."""
        shop = self.restarted(JobState.PRINTING)
        self.check(shop, status_json(1, 3, filename="other.goo"), JobState.LOST, "print_lost")

    def test_not_started(self) -> None:
        """A job that was not started yet goes on being delivered, and waits for a person: nothing is started."""
        for state in (JobState.QUEUED, JobState.DELIVERING, JobState.DELIVERED):
            shop = self.restarted(state)
            (job,) = shop.jobs.all()
            self.assertIn(job.state, (JobState.QUEUED, JobState.DELIVERED))
            self.assertTrue(shop.held())
            shop.connect()
            shop.pump(2)
            if state is not JobState.DELIVERED:
                shop.deliver()
            shop.link.says(shop.told_done())
            shop.pump(100)
            self.assertEqual((shop.job.state, shop.job.reason), (JobState.DELIVERED, "waiting_for_start"))
            self.assertNotIn(Command.START, shop.link.commands())
            shop.jobs.start(job.id, None, "somebody")
            self.assertEqual(shop.link.commands()[-1], Command.START)

    def test_ended(self) -> None:
        """A job that had ended is only remembered."""
        shop = self.restarted(JobState.FINISHED)
        shop.connect(shop.at_work(16))
        self.assertIsNone(shop.jobs.current(ID))
        self.assertIs(shop.jobs.all()[0].state, JobState.FINISHED)

    def test_full_disk(self) -> None:
        """A disk that is full at the start keeps nobody from working."""
        job = self.restarted(JobState.DELIVERING).jobs.all()[0]
        shop = Workshop(Path(self.mktemp()), [replace(job, state=JobState.DELIVERING)], full=True)
        shop.connect()

    def test_file_gone(self) -> None:
        """A print whose file is gone from the store meanwhile is watched to its end all the same."""
        lines = logged(self)
        shop = self.restarted(JobState.PRINTING, file=False)
        self.assertTrue(any("is gone" in line for line in lines))
        job = self.old
        shop.connect(status_json(1, 3, filename=job.wire_name))
        self.assertEqual(shop.fleet.get(ID).reachability, Reachability.ONLINE)
        shop.link.says(status_json(1, 16, filename=job.wire_name))
        self.assertIs(shop.job.state, JobState.FINISHED)
