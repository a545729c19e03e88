from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from sdcpd.codec.sdcp import Command
from sdcpd.errors import Unrecorded
from sdcpd.flow import LINK_WAIT, RETRIES
from sdcpd.links import COMMAND_TIMEOUT
from sdcpd.progress import ENDED, JobState
from tests.fakes import ID, Workshop, logged, pump, status_json


class FlowTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.shop = Workshop(Path(self.mktemp()))
        self.shop.connect()
        self.link = self.shop.link

    @property
    def state(self) -> JobState:
        return self.shop.job.state

    def starts(self) -> int:
        return self.link.commands().count(Command.START)

    def over(self, state: JobState, reason: str | None = None) -> None:
        """The job has ended like this: nothing is held, offered or journalled any more."""
        self.assertEqual((self.state, self.shop.job.reason), (state, reason))
        self.assertIn(state, ENDED)
        self.assertIsNotNone(self.shop.job.ended)
        self.assertIsNone(self.shop.jobs.current(ID))
        self.assertEqual(len(self.shop.offers), 0)
        self.assertFalse(self.shop.held())
        self.assertEqual(self.shop.journal.kept[self.shop.job.id].state, state)

    def started(self) -> None:
        """A job whose start was sent and acknowledged."""
        self.shop.print()
        self.shop.deliver()
        self.assertIs(self.state, JobState.STARTING)


class JourneyTests(FlowTestCase):
    def test_whole(self) -> None:
        """A file is fetched by the printer, started, printed to its end, and everything is told once."""
        shop = self.shop
        job = shop.print()
        self.assertIs(job.state, JobState.DELIVERING)
        self.assertTrue(shop.held())
        file = shop.file
        (told,) = self.link.requests(Command.FETCH)
        self.assertEqual(
            {key: value for key, value in told.items() if key != "URL"},
            {
                "Check": 0,
                "CleanCache": 1,
                "Compress": 0,
                "FileSize": file.size,
                "Filename": shop.name,
                "MD5": file.md5,
            },
        )
        self.assertRegex(told["URL"], r"^http://\$\{ipaddr\}:8081/[0-9a-f]{32}\.goo$")
        shop.fetch()
        self.assertEqual(shop.job.sent, file.size // 2)
        self.link.says(shop.told_done())
        self.assertEqual((self.state, shop.job.sent), (JobState.STARTING, file.size))
        self.assertEqual(self.link.requests(Command.START), [{"Filename": shop.name, "StartLayer": 0}])
        self.assertEqual(len(shop.offers), 0)
        self.link.says(shop.at_work(10, layer=0))
        self.assertIs(self.state, JobState.STARTING)
        for layer in range(1, 9):
            self.link.says(shop.at_work(3, layer=layer))
            self.assertIs(self.state, JobState.PRINTING)
        self.assertIsNotNone(shop.job.started)
        self.link.says(shop.at_work(12, layer=9))
        self.assertIs(self.state, JobState.PRINTING)
        self.link.says(shop.at_work(16, layer=9))
        self.over(JobState.FINISHED)
        self.link.says(shop.at_work(16, current=0, layer=9))
        shop.pump(1000)
        self.assertEqual(shop.happenings, ["transfer_started", "transfer_done", "print_started", "print_finished"])
        self.assertEqual(self.starts(), 1)
        finished, needs_plate = list(shop.fleet.events)[-2:]
        self.assertEqual((finished.data["job"], needs_plate.type), (job.id, "needs_plate"))

    def test_paused(self) -> None:
        """A pause and going on are told each time, whoever asked for it."""
        self.started()
        for state in (1, 3, 5, 8, 8, 3, 7, 4):
            self.link.says(self.shop.at_work(state))
        self.assertEqual(
            self.shop.happenings[2:],
            ["print_started", "print_paused", "print_resumed", "print_paused", "print_resumed"],
        )

    def test_stopped(self) -> None:
        """A print that was stopped, here or at the touchscreen, is told as stopped."""
        self.started()
        for state in (3, 9, 13):
            self.link.says(self.shop.at_work(state))
        self.over(JobState.STOPPED, "stopped")
        self.assertEqual(self.shop.happenings[-1], "print_stopped")

    def test_rebooted(self) -> None:
        """A printer that lost power in the middle of a print has lost the print."""
        self.started()
        self.link.says(self.shop.at_work(3))
        self.link.says(status_json())
        self.over(JobState.LOST, "printer_restarted")
        self.assertEqual(self.shop.happenings[-1], "print_lost")

    def test_already_there(self) -> None:
        """A file that the printer fetched last is not sent again: it starts at once."""
        self.link.says(self.shop.told_done())
        self.shop.print()
        self.assertEqual(self.link.commands(), [Command.START])
        self.assertIs(self.state, JobState.STARTING)
        self.link.says(self.shop.at_work(1))
        self.assertEqual(self.shop.happenings, ["print_started"])

    def test_not_quite_there(self) -> None:
        """Another file, another size or a failed transfer is no reason to skip the delivery."""
        size, name = self.shop.file.size, self.shop.name
        for told in ((2, size, size, "x" + name), (2, size - 1, size - 1, name), (3, size, size, name)):
            self.link.says(status_json(transfer=told))
            self.shop.print()
            self.assertEqual(self.link.commands()[-1], Command.FETCH)
            self.shop.jobs.stop(ID)

    def test_nothing_known(self) -> None:
        """Of a printer that never sent a status, nothing is assumed."""
        self.link.drop()
        shop = Workshop(Path(self.mktemp()))
        shop.connect()
        shop.print()
        self.assertEqual(shop.link.commands(), [Command.FETCH])

    def test_fast_transfer(self) -> None:
        """A file so small that its transfer was never seen under way is delivered all the same."""
        self.shop.print()
        watcher = self.shop.offer().watcher
        watcher.requested()
        watcher.served(self.shop.file.size)
        self.link.says(self.shop.told_done())
        self.assertIs(self.state, JobState.STARTING)

    def test_verdict_before_last_byte(self) -> None:
        """A printer that says it has the file before we know that it is sent is believed at its next word."""
        self.shop.print()
        watcher = self.shop.offer().watcher
        watcher.requested()
        self.link.says(self.shop.told_done())
        self.assertIs(self.state, JobState.DELIVERING)
        watcher.served(self.shop.file.size)
        self.shop.clock.advance(2)
        self.link.says(self.shop.told_done())
        self.shop.pump(1)
        self.assertIs(self.state, JobState.STARTING)

    def test_stale_success(self) -> None:
        """The success of an earlier transfer of the same name is not taken for this one's."""
        size = self.shop.file.size
        self.link.says(status_json(transfer=(2, 7, 7, self.shop.name)))
        self.shop.print()
        self.link.says(status_json(transfer=(2, 7, 7, self.shop.name)))
        self.shop.pump(3)
        self.assertIs(self.state, JobState.DELIVERING)
        self.shop.deliver()
        self.assertIs(self.state, JobState.STARTING)
        self.assertEqual(self.shop.job.sent, size)

    def test_watcher_after_end(self) -> None:
        """A download that outlives its delivery disturbs nothing."""
        self.shop.print()
        watcher = self.shop.offer().watcher
        self.shop.deliver()
        watcher.requested()
        watcher.served(5)
        self.assertEqual(self.shop.job.sent, self.shop.file.size)


class DeliveryTests(FlowTestCase):
    def test_tried_again(self) -> None:
        """A delivery that fails is tried again after 5, 15 and 60 s, and then the job has failed."""
        self.link.acks = {Command.FETCH: 1}
        self.shop.print()
        for number, pause in enumerate(RETRIES, 1):
            self.assertEqual(len(self.link.commands()), number)
            self.assertIn(f"tried again in {pause:.0f} s", str(self.shop.job.message))
            self.shop.pump(pause - 1)
            self.assertEqual(len(self.link.commands()), number)
            self.shop.pump(1)
        self.over(JobState.FAILED, "command_refused")
        self.assertEqual(self.link.commands(), [Command.FETCH] * 4)
        self.assertEqual(self.shop.happenings, ["transfer_started", "print_failed"])

    def test_second_try(self) -> None:
        """A printer that gave up the first time and manages the second time prints; no start came before."""
        size = self.shop.file.size
        self.shop.print()
        self.shop.fetch()
        self.link.says(status_json(transfer=(3, 9, size, self.shop.name)))
        self.assertEqual(self.shop.job.reason, "printer_rejected_file")
        self.assertEqual(len(self.shop.offers), 0)
        self.shop.pump(5)
        self.shop.deliver()
        self.assertEqual(self.link.commands(), [Command.FETCH, Command.FETCH, Command.START])
        self.assertIsNone(self.shop.job.reason)
        self.assertEqual(self.shop.happenings, ["transfer_started", "transfer_done"])

    def test_never_requested(self) -> None:
        """A printer that agrees and never asks for the file lets somebody think of the firewall."""
        self.shop.print()
        self.shop.pump(16)
        self.assertEqual(self.shop.job.reason, "file_never_requested")
        self.assertIn("firewall", str(self.shop.job.message))

    def test_unverified(self) -> None:
        """If all bytes were sent and the printer never confirms, nothing is repeated and nothing started."""
        self.shop.print()
        self.shop.fetch()
        self.shop.pump(62)
        self.over(JobState.UNVERIFIED, "delivery_unverified")
        self.assertEqual(self.link.commands(), [Command.FETCH])

    def test_fetch_unanswered(self) -> None:
        """A printer that does not answer the command but fetches the file has heard it."""
        lines = logged(self)
        self.link.acks = {Command.FETCH: None}
        self.shop.print()
        self.shop.fetch()
        self.shop.pump(COMMAND_TIMEOUT)
        self.assertTrue(any("did not acknowledge FETCH" in line for line in lines))
        self.link.says(self.shop.told_done())
        self.assertIs(self.state, JobState.STARTING)
        self.assertEqual(self.link.commands(), [Command.FETCH, Command.START])

    def test_link_lost(self) -> None:
        """When the connection is lost during the download, UDP is the witness and the job goes on with the next."""
        self.shop.print()
        self.shop.fetch()
        self.link.drop()
        self.shop.pump(5)
        self.shop.announce(self.shop.told_done())
        self.assertIs(self.state, JobState.DELIVERED)
        self.assertEqual(self.starts(), 0)
        self.shop.pump(5)
        self.shop.reconnect(self.shop.told_done())
        self.assertIs(self.state, JobState.STARTING)
        self.assertEqual(self.starts(), 1)

    def test_link_lost_for_good(self) -> None:
        """A printer that has the file and never connects again is never started, not even later."""
        self.shop.print()
        self.shop.fetch()
        self.link.drop()
        self.shop.announce(self.shop.told_done())
        self.shop.pump(LINK_WAIT + 1)
        self.over(JobState.FAILED, "printer_offline")
        self.shop.reconnect(self.shop.told_done())
        self.shop.pump(100)
        self.assertEqual(self.starts(), 0)

    def test_link_lost_before_answer(self) -> None:
        """A connection that breaks before the answer to the fetch is waited for, and the delivery repeated."""
        self.link.acks = {Command.FETCH: None}
        self.shop.print()
        self.link.drop()
        self.assertIs(self.state, JobState.DELIVERING)
        self.shop.pump(22)
        self.link.acks = {}
        self.shop.reconnect()
        self.shop.pump(1)
        self.shop.deliver()
        self.assertEqual(self.link.commands(), [Command.FETCH, Command.FETCH, Command.START])

    def test_busy_afterwards(self) -> None:
        """If somebody started something at the screen meanwhile, nothing is started and the reason is said."""
        self.shop.print()
        self.shop.fetch()
        self.link.drop()
        self.shop.announce(self.shop.told_done())
        self.shop.announce(status_json(1, 3, filename="other.goo"))
        self.link.open()
        self.over(JobState.FAILED, "not_now")
        self.assertIn("printing now", str(self.shop.job.message))
        self.assertEqual(self.starts(), 0)

    def test_journal_full(self) -> None:
        """A delivery that cannot be noted goes on, for it starts nothing; the next wish is refused until it can."""
        self.shop.journal.full = True
        self.shop.print()
        self.assertIs(self.state, JobState.DELIVERING)
        self.shop.jobs.stop(ID)
        error = self.assertRaises(Unrecorded, self.shop.print)
        self.assertIn("Free some space", error.hint)


class StartTests(FlowTestCase):
    def test_journal_first(self) -> None:
        """The start is on the disk before it leaves: after a crash it is known that it may have happened."""
        self.started()
        at = self.shop.diary.index("START")
        self.assertEqual(self.shop.diary[at - 1], "journal starting")
        self.assertEqual(self.shop.diary.count("START"), 1)

    def test_journal_unwritable(self) -> None:
        """What cannot be noted is not started, and the reason says what to do."""
        logged(self)
        self.shop.print()
        self.shop.fetch()
        self.shop.journal.full = True
        self.link.says(self.shop.told_done())
        self.assertEqual((self.state, self.shop.job.reason), (JobState.FAILED, "journal_unwritable"))
        self.assertIn("Free some space", str(self.shop.job.message))
        self.assertEqual(self.starts(), 0)
        self.assertFalse(self.shop.held())

    def test_refused(self) -> None:
        """A start that the printer refuses is told with the printer's number and never repeated."""
        for ack in range(1, 8):
            shop = self.shop = Workshop(Path(self.mktemp()))
            shop.connect(self.shop.told_done())
            self.link = shop.link
            self.link.acks = {Command.START: ack}
            shop.print()
            self.over(JobState.FAILED, f"start_refused_{ack}")
            self.assertIn(f"(Ack {ack})", str(shop.job.message))
            self.assertEqual("Printing it again sends the file anew." in str(shop.job.message), ack in (2, 3, 4))
            shop.pump(100)
            self.assertEqual(self.link.commands(), [Command.START])
            self.assertEqual(shop.happenings, ["print_failed"])

    def test_lost_before_answer(self) -> None:
        """If the connection breaks after the start has left, only the printer's status tells what became of it."""
        self.link.acks = {Command.START: None}
        self.started()
        self.link.drop()
        self.assertEqual((self.state, self.shop.job.reason), (JobState.STARTING, "start_unacknowledged"))
        self.shop.pump(40)
        self.assertIs(self.state, JobState.STARTING)
        self.shop.reconnect(self.shop.at_work(1))
        self.assertEqual((self.state, self.shop.job.reason), (JobState.PRINTING, None))
        self.assertEqual(self.starts(), 1)

    def test_lost_after_answer(self) -> None:
        """A connection that breaks between the answer and the first status changes nothing."""
        self.started()
        self.link.drop()
        self.shop.pump(300)
        self.assertIs(self.state, JobState.STARTING)
        self.shop.announce(self.shop.at_work(3))
        self.assertIs(self.state, JobState.PRINTING)
        self.assertEqual(self.starts(), 1)

    def test_silent_for_ever(self) -> None:
        """A start after which the printer was never heard of again is left to a person after ten minutes."""
        self.started()
        self.link.drop()
        self.shop.pump(602)
        self.over(JobState.UNVERIFIED, "start_unconfirmed")
        self.assertEqual(self.starts(), 1)

    def test_timeout(self) -> None:
        """A start without an answer is not repeated; the printer's status tells."""
        self.link.acks = {Command.START: None}
        self.started()
        self.shop.pump(COMMAND_TIMEOUT)
        self.assertEqual((self.state, self.shop.job.reason), (JobState.STARTING, "start_unacknowledged"))
        self.assertIn("status will tell", str(self.shop.job.message))
        self.link.answers(-1)
        self.link.says(self.shop.at_work(1))
        self.assertEqual((self.state, self.shop.job.message), (JobState.PRINTING, None))
        self.assertEqual(self.starts(), 1)

    def test_timeout_while_printing(self) -> None:
        """An answer that is missing takes nothing back that a status has proved."""
        self.link.acks = {Command.START: None}
        self.started()
        self.link.says(self.shop.at_work(1))
        self.shop.pump(COMMAND_TIMEOUT)
        self.assertEqual((self.state, self.shop.job.reason), (JobState.PRINTING, None))

    def test_refused_while_printing(self) -> None:
        """A print that is seen on the machine was not refused, whatever comes as an answer."""
        self.link.acks = {Command.START: None}
        self.started()
        self.link.says(self.shop.at_work(1))
        self.link.answers(-1, 1)
        self.assertIs(self.state, JobState.PRINTING)

    def test_unreadable_answer(self) -> None:
        """An answer without a readable Ack is none: the status tells, and doubt is called doubt."""
        self.link.acks = {Command.START: "ok"}
        self.started()
        self.assertEqual(self.shop.job.reason, "start_unacknowledged")
        self.shop.clock.advance(1)
        self.link.says(self.shop.told_done())
        self.shop.pump(31)
        self.over(JobState.UNVERIFIED, "start_unconfirmed")
        self.assertEqual(self.starts(), 1)

    def test_never_starts(self) -> None:
        """A printer that agrees and stays idle has not started; that is said after 30 s."""
        self.started()
        for _ in range(7):
            self.shop.pump(5)
            self.link.says(self.shop.told_done())
        self.over(JobState.FAILED, "start_unconfirmed")
        self.assertEqual(self.shop.happenings[-1], "print_failed")

    def test_other_command_in_flight(self) -> None:
        """A start that another unanswered command keeps from leaving is not kept for later."""
        self.shop.print()
        self.shop.fetch()
        self.link.acks = {Command.STOP: None}
        assert self.link.session is not None
        self.link.session.request(Command.STOP).addErrback(lambda _: None)
        self.link.says(self.shop.told_done())
        self.over(JobState.FAILED, "command_in_flight")
        pump(self.shop.clock, 20)
        self.assertEqual(self.starts(), 0)


class CancelTests(FlowTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.broken: list[str] = []

    def downloading(self) -> None:
        """The printer has begun a download; ``broken`` tells when it is broken off."""
        self.shop.offer().opened(lambda: self.broken.append("broken off"))

    def test_not_cancelled(self) -> None:
        """Neither a verdict nor the end of the daemon breaks a download off, and a later stop has none to break off."""
        size = self.shop.file.size
        self.shop.print()
        self.downloading()
        self.shop.fetch()
        self.link.says(status_json(transfer=(3, 9, size, self.shop.name)))
        self.shop.jobs.stop(ID)
        self.shop.print()
        self.downloading()
        self.shop.deliver()
        self.assertIs(self.state, JobState.STARTING)
        self.shop = Workshop(Path(self.mktemp()))
        self.shop.connect()
        self.shop.print()
        self.downloading()
        self.shop.jobs.stop_all()
        self.assertEqual(self.broken, [])

    def cancelled(self) -> None:
        sent = len(self.link.sent)
        self.assertIsNone(self.shop.jobs.stop(ID))
        self.over(JobState.STOPPED, "cancelled")
        self.shop.pump(200)
        self.assertEqual(len(self.link.sent), sent)
        self.assertEqual(self.shop.happenings[-1], "print_stopped")
        self.assertEqual(self.shop.happenings.count("print_stopped"), 1)

    def test_downloading(self) -> None:
        """Stopping during the download ends the job without a word to the printer; its download is broken off."""
        self.shop.print()
        self.downloading()
        self.shop.fetch()
        self.cancelled()
        self.assertEqual(self.broken, ["broken off"])

    def test_before_answer(self) -> None:
        """Stopping before the printer has answered the fetch ends the offer too."""
        self.link.acks = {Command.FETCH: None}
        self.shop.print()
        self.cancelled()

    def test_between_tries(self) -> None:
        """Stopping between two tries ends the tries."""
        self.link.acks = {Command.FETCH: 1}
        self.shop.print()
        self.cancelled()

    def test_waiting_for_link(self) -> None:
        """Stopping while the connection is waited for means that nothing is started when it comes."""
        self.shop.print()
        self.shop.fetch()
        self.link.drop()
        self.shop.announce(self.shop.told_done())
        self.cancelled()
        self.shop.reconnect(self.shop.told_done())
        self.assertEqual(self.starts(), 0)

    def test_next_job(self) -> None:
        """After a cancelled job the next one has its own way, as soon as the printer has answered what it was asked."""
        self.link.acks = {Command.FETCH: None}
        self.shop.print()
        self.shop.jobs.stop(ID)
        self.link.acks = {}
        second = self.shop.print()
        self.assertEqual(len(self.link.requests(Command.FETCH)), 1)
        self.assertEqual(self.shop.job.reason, "command_in_flight")
        self.link.answers(-1)
        self.shop.pump(RETRIES[0])
        self.assertEqual(len(self.link.requests(Command.FETCH)), 2)
        self.shop.deliver()
        self.shop.pump(20)
        self.assertEqual(self.shop.job.id, second.id)
        self.assertEqual(self.starts(), 1)


class AbandonTests(FlowTestCase):
    """The daemon stops: the journal keeps every job as it was."""

    def abandoned(self, state: JobState) -> None:
        self.shop.jobs.stop_all()
        self.link.drop("the daemon stops")
        self.shop.pump(100)
        self.assertIs(self.shop.journal.kept[self.shop.job.id].state, state)
        self.assertNotIn("print_failed", self.shop.happenings)
        self.assertEqual(len(self.shop.offers), 0)

    def test_delivering(self) -> None:
        """A delivery that a stop interrupts is not called a failure."""
        self.shop.print()
        self.shop.fetch()
        self.abandoned(JobState.DELIVERING)

    def test_starting(self) -> None:
        """A start that was sent and not yet answered is found again as such."""
        self.link.acks = {Command.START: None}
        self.started()
        self.abandoned(JobState.STARTING)

    def test_printing(self) -> None:
        """A print goes on without the daemon."""
        self.started()
        self.link.says(self.shop.at_work(3))
        self.abandoned(JobState.PRINTING)
        self.assertEqual(self.link.commands()[-1], Command.START)


class BrokenTests(FlowTestCase):
    def test_our_bug(self) -> None:
        """A failure of the daemon's own is logged as such and ends the job, not the daemon."""
        self.shop.broken = True
        self.shop.print()
        self.over(JobState.FAILED, "internal")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.shop.broken = False
        self.shop.print()
        self.shop.deliver()
        self.assertIs(self.state, JobState.STARTING)
