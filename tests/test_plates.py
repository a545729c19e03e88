"""The plate gate in the daemon's core: whoever asks for a start, and whatever the printer shows."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from sdcpd.codec.sdcp import Command
from sdcpd.errors import KeyReused, NotNow, PrinterOffline, StoreFull, Unrecorded
from sdcpd.plate import Gate, PlateNotClear
from sdcpd.progress import JobState
from sdcpd.records import Plate, PlateState
from tests.fakes import ID, FakeJournal, Workshop, events, status_json


class PlatesTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.open()

    def open(self, gate: Gate = Gate.AFTER_PRINT, journal: FakeJournal | None = None) -> None:
        self.shop = Workshop(Path(self.mktemp()), gate=gate, journal=journal)
        self.shop.connect()
        self.link = self.shop.link
        self.plates = self.shop.jobs.plates

    @property
    def plate(self) -> Plate:
        """As the fleet shows it, which is as it is kept."""
        shown = self.shop.fleet.get(ID).plate
        self.assertEqual(shown, self.plates.of(ID))
        if shown.revision:
            self.assertEqual(self.shop.journal.laid[ID], shown)
        return shown

    def starts(self) -> int:
        return self.link.commands().count(Command.START)

    def confirm(self) -> None:
        self.plates.confirm(self.shop.fleet.get(ID), self.plate.revision, "Ann")

    def finish(self) -> None:
        """A print of ours, from the wish to its end."""
        self.shop.print()
        self.shop.deliver()
        self.link.says(self.shop.at_work(3))
        self.link.says(self.shop.at_work(16, current=0))


class StartTests(PlatesTestCase):
    def test_after_a_print(self) -> None:
        """After a print, however it ended, nothing is started before somebody has confirmed the plate, then once."""
        for number in (16, 13, 14):
            self.open()
            self.shop.print()
            self.shop.deliver()
            self.link.says(self.shop.at_work(3))
            self.link.says(self.shop.at_work(number, current=0))
            self.assertEqual((self.plate.state, self.plate.job), (PlateState.OCCUPIED, self.shop.job.id))
            error = self.assertRaises(PlateNotClear, self.shop.print)
            self.assertEqual(error.plate, self.plate)
            self.confirm()
            self.shop.print()
            self.link.says(self.shop.at_work(3))
            self.link.says(self.shop.at_work(16, current=0, layer=9))
            self.assertRaises(PlateNotClear, self.shop.print)
            self.assertEqual(self.starts(), 2)

    def test_one_commit(self) -> None:
        """The start and the end of the plate's clearness are written down together, before the start leaves."""
        self.confirm()
        self.shop.print()
        self.shop.fetch()
        self.link.says(self.shop.told_done())
        (commit,) = [
            found for found in self.shop.journal.commits if getattr(found[0], "state", None) is JobState.STARTING
        ]
        self.assertEqual(commit[1], self.plate)
        self.assertIs(self.plate.state, PlateState.OCCUPIED)

    def test_waits_for_the_disk(self) -> None:
        """Nothing is sent while the start is still on its way to the disk."""
        self.shop.print()
        self.shop.fetch()
        self.shop.journal.slow = True
        self.link.says(self.shop.told_done())
        self.assertEqual((self.starts(), self.plate.state), (0, PlateState.OCCUPIED))
        self.shop.journal.land()
        self.assertEqual(self.starts(), 1)

    def noting(self) -> None:
        """The plate was confirmed, and the start is on its way to the disk."""
        self.confirm()
        self.shop.print()
        self.shop.fetch()
        self.shop.journal.slow = True
        self.link.says(self.shop.told_done())
        self.assertIs(self.plate.state, PlateState.OCCUPIED)

    def test_cancelled_while_noting(self) -> None:
        """A start that is cancelled while it is written down is not sent, and the plate's word is good still."""
        self.noting()
        self.shop.jobs.stop(ID)
        self.shop.journal.land()
        self.assertEqual((self.starts(), self.plate.state, self.plate.by), (0, PlateState.CLEAR, "Ann"))
        self.assertIs(self.shop.journal.kept[self.shop.job.id].state, JobState.STOPPED)

    def test_stopped_while_noting(self) -> None:
        """The same for an ordered stop of the daemon: the journal says that nothing was started."""
        self.noting()
        job = self.shop.job
        self.shop.jobs.stop_all()
        self.assertIs(self.shop.journal.kept[job.id].state, JobState.DELIVERED)
        self.assertIs(self.shop.journal.laid[ID].state, PlateState.CLEAR)

    def test_used_while_noting(self) -> None:
        """A print that somebody starts at the screen in that moment is not disturbed, and occupies the plate."""
        self.noting()
        self.link.says(status_json(1, 3, filename="theirs.goo", layers=9))
        self.shop.journal.land()
        self.assertEqual((self.starts(), self.shop.job.reason), (0, "not_now"))
        self.link.says(status_json(1, 3, filename="theirs.goo", layer=2, layers=9))
        self.assertIs(self.plate.state, PlateState.OCCUPIED)

    def test_lost_while_noting(self) -> None:
        """A connection that is lost in that moment: nothing was sent, and the word is good still."""
        self.noting()
        self.link.drop()
        self.shop.journal.land()
        self.assertEqual((self.shop.job.reason, self.plate.state), ("printer_offline", PlateState.CLEAR))

    def test_full_disk(self) -> None:
        """A start that could not be written down is not sent, and does not use up the word."""
        self.confirm()
        self.shop.print()
        self.shop.fetch()
        self.shop.journal.full = True
        self.link.says(self.shop.told_done())
        self.assertEqual((self.starts(), self.shop.job.reason), (0, "journal_unwritable"))
        self.assertIs(self.plate.state, PlateState.CLEAR)

    def test_refused(self) -> None:
        """A start that the printer refuses does not use up the word."""
        self.confirm()
        self.link.acks = {Command.START: 1}
        self.shop.print()
        self.shop.deliver()
        self.assertEqual((self.shop.job.reason, self.plate.state), ("start_refused_1", PlateState.CLEAR))

    def test_unproved(self) -> None:
        """A start of which nobody knows whether it happened makes the plate suspect."""
        self.confirm()
        self.link.acks = {Command.START: None}
        self.shop.print()
        self.shop.deliver()
        self.link.drop()
        self.shop.pump(700)
        self.assertIs(self.shop.job.state, JobState.UNVERIFIED)
        self.assertEqual((self.plate.state, self.plate.reason), (PlateState.SUSPECT, "start_unconfirmed"))

    def test_rebooted(self) -> None:
        """A printer that lost power in the middle of a print has something on its plate, probably."""
        self.shop.print()
        self.shop.deliver()
        self.link.says(self.shop.at_work(3))
        self.link.says(status_json())
        self.assertEqual((self.plate.state, self.plate.reason), (PlateState.SUSPECT, "printer_restarted"))
        self.assertEqual(events(self.shop.fleet)[-2:], ["print_lost", "needs_plate"])

    def test_occupied_while_delivering(self) -> None:
        """The gate is asked at the start, not only at the wish: what happens during the delivery counts."""
        self.confirm()
        self.shop.print()
        self.shop.fetch()
        self.plates.occupy(self.shop.fleet.get(ID), "Bob")
        self.link.says(self.shop.told_done())
        self.assertEqual((self.starts(), self.shop.job.reason), (0, "plate_not_clear"))

    def test_said_with_the_wish(self) -> None:
        """Who asks for a print can say that the plate is clear, or that it is not."""
        self.finish()
        self.assertRaises(PlateNotClear, self.shop.print, False)
        self.shop.print(True)
        self.assertEqual((self.starts(), self.plate.state), (2, PlateState.OCCUPIED))
        self.open()
        self.assertRaises(PlateNotClear, self.shop.print, False)
        self.assertEqual((self.plate.state, self.plate.by), (PlateState.OCCUPIED, "somebody"))

    def test_not_confirmed_by_a_refused_wish(self) -> None:
        """A wish that is refused for another reason confirms nothing."""
        self.finish()
        self.link.drop()
        before = self.plate
        self.assertRaises(PrinterOffline, self.shop.print, True)
        self.assertEqual(self.plate, before)


class GateTests(PlatesTestCase):
    def test_always(self) -> None:
        """If it is wanted so, the first start needs a word, too."""
        self.open(Gate.ALWAYS)
        self.assertRaises(PlateNotClear, self.shop.print)
        self.confirm()
        self.shop.print()

    def test_off(self) -> None:
        """Without a gate the plate is shown and nothing is refused."""
        self.open(Gate.OFF)
        self.finish()
        self.assertIs(self.plate.state, PlateState.OCCUPIED)
        self.shop.print()
        self.assertEqual(self.starts(), 2)


class WordTests(PlatesTestCase):
    def test_not_noted(self) -> None:
        """Who was told that a confirmation could not be noted finds no print started by it when there is room again."""
        self.plates.occupy(self.shop.fleet.get(ID), "Bob")
        self.shop.journal.full = True
        self.confirm()
        self.failureResultOf(self.plates.kept(ID), StoreFull)
        self.assertEqual((self.plate.state, self.plate.reason), (PlateState.OCCUPIED, "reported"))
        revision = self.plate.revision
        self.assertRaises(Unrecorded, self.confirm)
        self.shop.journal.full, self.shop.journal.failing = False, None
        self.confirm()
        self.assertEqual(self.successResultOf(self.plates.kept(ID)).revision, revision + 1)
        self.assertIs(self.plate.state, PlateState.CLEAR)

    def test_repeated(self) -> None:
        """A word that comes again under its key is known also after its start, and over a restart."""
        word, printer = "Ann\nk1\nclear", self.shop.fleet.get(ID)
        self.plates.confirm(printer, self.plate.revision, "Ann", word)
        self.print()
        self.assertIs(self.plate.state, PlateState.OCCUPIED)
        later = Workshop(Path(self.mktemp()), journal=self.shop.journal).jobs.plates
        for plates in (self.plates, later):
            self.assertTrue(plates.said(ID, word))
            self.assertFalse(plates.said(ID, "Bob\nk1\nclear"))
            self.assertRaises(KeyReused, plates.said, ID, "Ann\nk1\noccupied")

    def print(self) -> None:
        self.shop.print()
        self.shop.deliver()
        self.link.says(self.shop.at_work(3))


class SeenTests(PlatesTestCase):
    def test_touchscreen(self) -> None:
        """A print that was started, or stopped, at the touchscreen takes the word back."""
        self.confirm()
        self.link.says(status_json(1, 1, filename="usb.goo", layers=9))
        self.assertEqual((self.plate.state, self.plate.reason), (PlateState.OCCUPIED, "print_seen"))
        self.assertRaises(NotNow, self.confirm)
        self.link.says(status_json(0, 13, filename="usb.goo", layer=3, layers=9))
        self.assertRaises(PlateNotClear, self.shop.print)
        self.confirm()
        self.link.says(status_json(0, 13, filename="usb.goo", layer=3, layers=9))
        self.assertIs(self.plate.state, PlateState.CLEAR)

    def test_while_away(self) -> None:
        """A print that began and ended while the daemon was away counts; the one that was taken off does not."""
        self.finish()
        self.confirm()
        shown = self.shop.at_work(16, current=0)
        for status, state in (
            (shown, PlateState.CLEAR),
            (status_json(), PlateState.CLEAR),
            (shown | {"PrintInfo": shown["PrintInfo"] | {"CurrentTicks": 77}}, PlateState.OCCUPIED),
        ):
            journal = FakeJournal()
            journal.laid[ID] = self.plate
            later = Workshop(Path(self.mktemp()), journal=journal)
            later.connect(status)
            self.assertIs(later.fleet.get(ID).plate.state, state)
            told = ["needs_plate"] if state is PlateState.OCCUPIED else []
            self.assertEqual([type for type in events(later.fleet) if type != "online"], told)

    def test_restart(self) -> None:
        """A restart of the daemon clears no plate, and takes no word back."""
        for state in PlateState:
            journal = FakeJournal()
            journal.laid[ID] = Plate(ID, state, 7)
            self.open(journal=journal)
            self.assertEqual((self.plate.state, self.plate.revision), (state, 7))

    def test_published(self) -> None:
        """A change of the plate is an edge: it is published at once."""
        self.shop.clock.advance(10)
        version = self.shop.fleet.version
        self.confirm()
        self.assertGreater(self.shop.fleet.get(ID).version, version)
        self.assertEqual(events(self.shop.fleet)[-1], "plate_clear")

    def test_nothing_written_for_statuses(self) -> None:
        """Layers and statuses of a print write nothing to the disk."""
        self.shop.print()
        self.shop.deliver()
        self.link.says(self.shop.at_work(3))
        before = len(self.shop.journal.commits)
        for layer in range(1, 9):
            self.link.says(self.shop.at_work(3, layer=layer))
        self.assertEqual(len(self.shop.journal.commits), before)
