"""Every print in the history, once, with how it ended: ours, and those from the touchscreen."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from sdcpd.codec.sliced import Layer, SlicedFile
from sdcpd.history import MOST, MOST_IN
from sdcpd.progress import JobState
from sdcpd.records import PlateState, PrintRecord, PrintResult, Wear
from tests.fakes import ID, WALL, FakeJournal, JsonObject, Workshop, logged, status_json

SLICED = SlicedFile(
    format="goo",
    version="3.0",
    layer_count=9,
    print_time_s=90,
    volume_ml=18.0,
    exposure_s=2.0,
    bottom_exposure_s=30.0,
    bottom_layers=2,
)


def foreign(state: int, *, current: int = 1, layer: int = 1, name: str = "usb.goo") -> JsonObject:
    return status_json(current, state, filename=name, layer=layer, layers=9, ticks=layer)


class HistoryTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.open()

    def open(self, journal: FakeJournal | None = None, status: JsonObject | None = None) -> None:
        self.shop = Workshop(Path(self.mktemp()), journal=journal)
        self.shop.sliced[self.shop.file.md5] = SLICED
        self.shop.connect(status)
        self.link = self.shop.link

    @property
    def prints(self) -> list[PrintRecord]:
        return list(self.shop.journal.printed.values())

    def started(self) -> None:
        self.shop.print()
        self.shop.deliver()
        self.link.says(self.shop.at_work(3))


class FloodTests(HistoryTestCase):
    def begin_and_end(self, times: int) -> None:
        for number in range(times):
            self.link.says(foreign(3, name=f"{number}.goo"))
            self.link.says(foreign(16, current=0, name=f"{number}.goo"))

    def test_flood(self) -> None:
        """A printer that begins a print with each message fills no disk; an hour later it is believed again.

        The first print that is left out is told of, and no status more.
        """
        lines = logged(self)
        self.begin_and_end(MOST)
        self.assertFalse(any("too many to be true" in line for line in lines))
        self.begin_and_end(1)
        self.assertEqual(len([line for line in lines if "too many to be true" in line]), 1)
        self.begin_and_end(500)
        self.assertEqual(len([line for line in lines if "too many to be true" in line]), 1)
        self.assertEqual(len(self.prints), MOST)
        self.assertEqual(self.shop.fleet.get(ID).wear.prints, MOST)
        self.assertIs(self.shop.fleet.get(ID).plate.state, PlateState.OCCUPIED)
        self.shop.clock.advance(MOST_IN)
        self.begin_and_end(1)
        self.assertEqual(len(self.prints), MOST + 1)

    def test_plate(self) -> None:
        """What is too much for the history is on the plate all the same."""
        self.begin_and_end(MOST)
        plates = self.shop.jobs.plates
        plates.confirm(self.shop.fleet.get(ID), None, "somebody")
        self.assertIs(self.shop.fleet.get(ID).plate.state, PlateState.CLEAR)
        self.link.says(foreign(3, name="more.goo"))
        self.assertIs(self.shop.fleet.get(ID).plate.state, PlateState.OCCUPIED)

    def test_ours(self) -> None:
        """A job of ours is written down however many prints the printer told of."""
        self.begin_and_end(2 * MOST)
        self.link.says(status_json(0, 0))
        self.shop.jobs.plates.confirm(self.shop.fleet.get(ID), None, "somebody")
        self.started()
        self.assertEqual(self.prints[-1].job, self.shop.job.id)


class OwnTests(HistoryTestCase):
    def test_finished(self) -> None:
        """A print of ours is in the history with its job, its file and everything that it took."""
        self.started()
        (record,) = self.prints
        self.assertEqual((record.id, record.job, record.file), (self.shop.job.id, self.shop.job.id, "benchy.goo"))
        self.assertIs(record.result, PrintResult.PRINTING)
        self.link.says(self.shop.at_work(3, layer=8))
        self.link.says(self.shop.at_work(16, layer=9))
        (record,) = self.prints
        self.assertEqual((record.result, record.layers, record.total_layers), (PrintResult.FINISHED, 9, 9))
        self.assertEqual((record.planned_s, record.volume_ml, record.exposure_s), (90, 18.0, 2 * 30 + 7 * 2))
        self.assertEqual((record.started, record.ended, record.md5), (WALL, WALL, self.shop.file.md5))
        self.assertEqual(self.shop.journal.worn[ID], Wear(ID, 9, 74.0, 1))
        self.assertEqual(self.shop.fleet.get(ID).wear, Wear(ID, 9, 74.0, 1))

    def test_stopped(self) -> None:
        """A print that was stopped has used as much resin as it has layers."""
        self.started()
        self.link.says(self.shop.at_work(3, layer=3))
        self.link.says(self.shop.at_work(13, current=0, layer=3))
        (record,) = self.prints
        self.assertEqual((record.result, record.layers, record.volume_ml), (PrintResult.STOPPED, 3, 6.0))

    def test_layers_tell(self) -> None:
        """A file whose head tells no time is planned by its layers, and each layer's own light counts."""
        self.shop.sliced[self.shop.file.md5] = SlicedFile(format="ctb", version="5", layer_count=9, volume_ml=0.0)
        self.shop.layers = [Layer(n, 0, 0, 0.05 * n, 30.0 if n < 2 else 2.5, 11.0) for n in range(9)]
        self.started()
        self.link.says(self.shop.at_work(3, layer=4))
        self.link.says(self.shop.at_work(13, current=0, layer=4))
        (record,) = self.prints
        self.assertEqual((record.planned_s, record.exposure_s, record.volume_ml), (99, 2 * 30.0 + 2 * 2.5, None))

    def test_one_commit(self) -> None:
        """Beginning, pausing and ending are one commit each, with job, print, plate and wear together; layers none."""
        self.started()
        before = len(self.shop.journal.commits)
        for layer in range(2, 9):
            self.link.says(self.shop.at_work(3, layer=layer))
        self.assertEqual(len(self.shop.journal.commits), before)
        self.link.says(self.shop.at_work(7, layer=8))
        self.link.says(self.shop.at_work(3, layer=8))
        self.link.says(self.shop.at_work(16, current=0, layer=9))
        kinds = [sorted(type(record).__name__ for record in commit) for commit in self.shop.journal.commits[before:]]
        self.assertEqual(kinds[:2], [["Job"], ["Job"]])
        self.assertEqual(kinds[2:], [["Job", "Plate", "PrintRecord", "Wear"]])

    def test_unproved(self) -> None:
        """A start of which nobody knows whether it happened is in the history as such."""
        self.shop.print()
        self.shop.deliver()
        self.link.drop()
        self.shop.pump(700)
        (record,) = self.prints
        self.assertIs(record.result, PrintResult.UNVERIFIED)

    def test_refused(self) -> None:
        """What was never printed is in no history."""
        self.shop.print()
        self.shop.jobs.stop(ID)
        self.assertEqual(self.prints, [])

    def test_restart(self) -> None:
        """After a restart of the daemon the same print goes on in the history, and ends with its real numbers."""
        self.started()
        journal = self.shop.journal
        self.shop.jobs.stop_all()
        self.open(journal, self.shop.at_work(16, current=0, layer=9))
        (record,) = self.prints
        self.assertEqual((record.result, record.layers), (PrintResult.FINISHED, 9))
        self.assertEqual(self.shop.happenings, ["print_finished"])


class ForeignTests(HistoryTestCase):
    def test_whole(self) -> None:
        """A print from the touchscreen is told and kept as such, from its beginning to its end."""
        for status in (foreign(1, layer=0), foreign(3), foreign(7), foreign(3), foreign(16, layer=9)):
            self.link.says(status)
            self.link.says(status)
        expected = ["print_started", "print_paused", "print_resumed", "print_finished"]
        self.assertEqual(self.shop.happenings, expected)
        (record,) = self.prints
        self.assertEqual((record.job, record.file, record.md5), (None, "usb.goo", None))
        self.assertEqual((record.result, record.layers, record.volume_ml), (PrintResult.FINISHED, 9, None))
        plate = self.shop.fleet.get(ID).plate
        self.assertEqual((plate.state, plate.job), (PlateState.OCCUPIED, record.id))
        self.assertIsNone(self.shop.fleet.get(ID).job)

    def test_own_file(self) -> None:
        """A file of ours that is started at the touchscreen has its own name and numbers in the history."""
        self.link.says(foreign(3, name=self.shop.name))
        self.link.says(foreign(16, layer=9, name=self.shop.name))
        (record,) = self.prints
        self.assertEqual((record.file, record.md5, record.volume_ml), ("benchy.goo", self.shop.file.md5, 18.0))

    def test_finished_before(self) -> None:
        """The daemon starts while a finished print is still shown: nobody is told of anything but the plate."""
        self.open(status=foreign(16, layer=9))
        self.link.says(foreign(16, current=0, layer=9))
        self.assertEqual((self.shop.happenings, self.prints), ([], []))
        self.assertIs(self.shop.fleet.get(ID).plate.state, PlateState.OCCUPIED)

    def test_printing_before(self) -> None:
        """A print that is at work when the daemon starts is no beginning, but its end is one."""
        self.open(status=foreign(3))
        self.assertEqual(self.shop.happenings, [])
        self.assertEqual(len(self.prints), 1)
        self.link.says(foreign(13, current=0))
        self.assertEqual(self.shop.happenings, ["print_stopped"])

    def test_restart(self) -> None:
        """A foreign print that was known before a restart ends with its real result, once."""
        self.link.says(foreign(3))
        journal = self.shop.journal
        self.shop.jobs.stop_all()
        for status, result in (
            (foreign(16, current=0, layer=9), PrintResult.FINISHED),
            (foreign(13, current=0, layer=2), PrintResult.STOPPED),
            (status_json(), PrintResult.LOST),
            (foreign(3, name="other.goo"), PrintResult.LOST),
        ):
            later = FakeJournal()
            later.printed, later.laid = dict(journal.printed), dict(journal.laid)
            self.open(later, status)
            self.assertEqual(self.prints[0].result, result)
            self.assertEqual(self.shop.happenings, [f"print_{result.value}"])

    def test_restart_of_own_file(self) -> None:
        """A print of a file of ours is known again after a restart, whatever became of the file's name."""
        wire, journal = self.shop.name, self.shop.journal
        self.link.says(foreign(3, name=wire))
        self.shop.jobs.stop_all()
        for renamed in (False, True):
            later = FakeJournal()
            later.printed, later.laid = dict(journal.printed), dict(journal.laid)
            self.shop = Workshop(Path(self.mktemp()), journal=later, file=renamed)
            if renamed:
                self.successResultOf(self.shop.store.move("benchy.goo", "boats/benchy 2.goo"))
            self.shop.connect(foreign(16, current=0, layer=9, name=wire))
            (record,) = self.prints
            self.assertEqual((record.file, record.result), ("benchy.goo", PrintResult.FINISHED))

    def test_lost(self) -> None:
        """A printer that reboots in a foreign print leaves a suspect plate."""
        self.link.says(foreign(3))
        self.link.says(status_json())
        self.assertEqual(self.shop.happenings[-1], "print_lost")
        plate = self.shop.fleet.get(ID).plate
        self.assertEqual((plate.state, plate.reason), (PlateState.SUSPECT, "printer_restarted"))

    def test_job_gives_way(self) -> None:
        """If another print shows itself instead of ours, ours has failed and the other one is told."""
        self.shop.print()
        self.shop.deliver()
        self.link.says(foreign(3))
        self.link.says(foreign(3))
        self.assertEqual((self.shop.job.state, self.shop.job.reason), (JobState.FAILED, "another_print"))
        self.assertEqual([record.file for record in self.prints], ["usb.goo"])


class StallTests(HistoryTestCase):
    def test_stall(self) -> None:
        """A print that makes no progress any more is an event, once, and so is its recovery."""
        self.started()
        self.link.says(self.shop.at_work(3, layer=2))
        self.shop.pump(599)
        self.assertNotIn("print_stalled", self.shop.happenings)
        self.shop.pump(5)
        self.assertEqual(self.shop.happenings[-1], "print_stalled")
        self.shop.pump(100)
        self.assertEqual(self.shop.happenings.count("print_stalled"), 1)
        run = self.shop.fleet.get(ID).run
        assert run is not None
        self.assertTrue(run.stalled)
        self.link.says(self.shop.at_work(3, layer=3))
        self.assertEqual(self.shop.happenings[-1], "print_recovered")


class LearningTests(HistoryTestCase):
    def test_learned(self) -> None:
        """The printer's own finished prints teach how long the next one takes."""
        journal = self.shop.journal
        for number, seconds in enumerate((110.0, 130.0, 120.0)):
            journal.printed[str(number)] = PrintRecord(
                str(number), ID, "f", WALL, ended=WALL, result=PrintResult.FINISHED, planned_s=100.0, printed_s=seconds
            )
        self.started()
        run = self.shop.fleet.get(ID).run
        assert run is not None
        self.assertEqual((run.planned_s, run.ratio), (90, 1.2))
