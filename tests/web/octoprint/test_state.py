from __future__ import annotations

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.codec.sdcp import Announcement
from sdcpd.codec.sliced import Layer
from sdcpd.codec.status import Generation, PrintInfo, Status, TransferInfo
from sdcpd.dialects import FLAGS
from sdcpd.files import StoredFile, wire_name
from sdcpd.index import FileIndex
from sdcpd.printer import Printer, Reachability, Run
from sdcpd.progress import Job, JobState
from sdcpd.web.octoprint.state import (
    FileInformation,
    Progress,
    Times,
    current_z,
    error_of,
    file_of,
    job_of,
    progress_of,
    state_of,
    temperatures_of,
)

FILE = StoredFile("minis/plate.goo", "0123456789abcdef" * 2, 1000, "goo", "3.0", 1_786_000_000.7, "/spool/x")
"""A stored file in a folder."""


def printer(number: int = 0, current: int = 1, layer: int = 25, total: int = 100, **more: object) -> Printer:
    """A V1 printer whose print shows this number."""
    told = PrintInfo(number, layer, total, layer * 1500, total * 1500, 0, wire_name(FILE))
    status = more.pop("status", Status((current,), 0, told))
    announcement = Announcement("AB12", name="Saturn", generation=Generation.V1)
    return Printer("saturn", announcement, reachability=Reachability.ONLINE, status=status, **more)  # type: ignore[arg-type]


PRINTING = printer(3)
IDLE = printer(0, 0, 0, 0)
COMPLETE = printer(16, 0, 100)
SENDING = printer(
    status=Status((2,)),
    job=Job(
        "1", "AB12", FILE.name, FILE.md5, 1000, wire_name(FILE), JobState.DELIVERING, 0.0, sent=250, by="key:widget"
    ),
)


class StateTests(SynchronousTestCase):
    def test_table(self) -> None:
        """Each row of the table of phases has its words and its true flags; all others are there and false."""
        failed = printer(status=Status((0,), 0, PrintInfo(14, 3, 100, 0, 0, 5, "x.goo")))
        for found, text, true, error in (
            (replace(PRINTING, reachability=Reachability.OFFLINE), "Offline", "closedOrError", ""),
            (IDLE, "Operational", "operational ready", ""),
            (COMPLETE, "Operational", "operational ready", ""),
            (printer(16, 1, 100), "Operational", "operational", ""),
            (SENDING, "Sending file to SD", "operational", ""),
            (printer(1), "Starting", "operational printing", ""),
            (PRINTING, "Printing", "operational printing", ""),
            (printer(5), "Pausing", "operational printing pausing", ""),
            (printer(7), "Paused", "operational paused", ""),
            (printer(9), "Cancelling", "operational printing cancelling", ""),
            (failed, "Operational", "operational ready", "The printer reports the error 5."),
        ):
            state = state_of(found)
            self.assertEqual((state.text, state.error), (text, error))
            self.assertEqual(tuple(state.flags), FLAGS)
            self.assertEqual({flag for flag, is_true in state.flags.items() if is_true}, set(true.split()), text)

    def test_fault(self) -> None:
        """A printer that needs somebody says why in the state's text, as a real one in error does."""
        broken = replace(IDLE, status=None, message="It does not let us in.")
        state = state_of(broken)
        self.assertEqual((state.text, state.error), ("Error: It does not let us in.", "It does not let us in."))
        self.assertTrue(state.flags["error"] and state.flags["closedOrError"])
        self.assertEqual(error_of(broken), ("It does not let us in.", "connection"))

    def test_error(self) -> None:
        """An error of the board is told with its number and its source, and no error is told as none."""
        failed = printer(status=Status((0,), 0, PrintInfo(14, 3, 100, 0, 0, 5, "x.goo")))
        self.assertEqual(error_of(failed), ("The printer reports the error 5.", "firmware"))
        self.assertEqual(error_of(PRINTING), ("", ""))

    def test_stale(self) -> None:
        """A printer that is silent for a while is not ready, whatever it said last."""
        self.assertFalse(state_of(replace(IDLE, reachability=Reachability.STALE)).flags["ready"])


class JobTests(SynchronousTestCase):
    def test_file(self) -> None:
        """The selected file has its name, its path with folders, its size and its date in whole seconds."""
        self.assertEqual(
            file_of(PRINTING, FILE),
            FileInformation(
                "plate.goo",
                "minis/plate.goo",
                "minis/plate.goo",
                "local",
                1000,
                1_786_000_000,
                "machinecode",
                ("machinecode", "goo"),
            ),
        )

    def test_foreign(self) -> None:
        """A file on the printer alone has the printer's name for it, and nothing that nobody knows."""
        found = file_of(PRINTING, None)
        self.assertEqual((found.name, found.origin, found.size, found.date), (wire_name(FILE), "sdcard", None, None))

    def test_nothing(self) -> None:
        """With nothing loaded every leaf is null."""
        self.assertEqual(file_of(IDLE, None), FileInformation())
        self.assertEqual(file_of(COMPLETE, None), FileInformation())
        self.assertEqual(file_of(replace(PRINTING, status=None), None), FileInformation())

    def test_times(self) -> None:
        """Durations are whole seconds, and null where nobody knows them."""
        job = job_of(IDLE, FILE, Times(7200.6, None, 7100.2))
        self.assertEqual((job.estimated_print_time, job.average_print_time, job.last_print_time), (7201, None, 7100))
        self.assertIsNone(job.filament)

    def test_user(self) -> None:
        """Who asked for the print is told with its file, and with no other."""
        self.assertEqual(job_of(SENDING, FILE, Times()).user, "key:widget")
        self.assertIsNone(job_of(SENDING, replace(FILE, md5="f" * 32), Times()).user)
        self.assertIsNone(job_of(SENDING, None, Times()).user)


class ProgressTests(SynchronousTestCase):
    def test_printing(self) -> None:
        """Completion goes by layers, the place in the file with it, and the times are whole seconds."""
        running = replace(PRINTING, run=Run("1", 0.0))
        self.assertEqual(progress_of(running, 1000), Progress(25.0, 250, 37, 112, "estimate"))

    def test_unknown_size(self) -> None:
        """Without a known size there is no place in the file, and with unknown layers no completion."""
        self.assertIsNone(progress_of(PRINTING, None).filepos)
        self.assertIsNone(progress_of(printer(3, total=0), 1000).completion)

    def test_transfer(self) -> None:
        """While the file is on its way its completion is that of the transfer, and nothing else is told."""
        self.assertEqual(progress_of(SENDING, 1000), Progress(25.0, 250))
        unknown = printer(status=Status((2,)))
        self.assertEqual(progress_of(unknown, 1000), Progress())
        by_board = printer(status=Status((2,), 0, transfer=TransferInfo(0, 500, 0, 1000, "x.goo")))
        self.assertEqual(progress_of(by_board, None), Progress(50.0, None))

    def test_complete(self) -> None:
        """A print that is complete is at 100 with nothing left; a stopped one, or none, leaves nothing."""
        self.assertEqual(progress_of(COMPLETE, 1000), Progress(100.0, 1000, 150, 0, "estimate"))
        self.assertEqual(progress_of(printer(13, 0), 1000), Progress())
        self.assertEqual(progress_of(IDLE, 1000), Progress())
        self.assertEqual(progress_of(replace(PRINTING, reachability=Reachability.OFFLINE), 1000), Progress())


class HeightTests(SynchronousTestCase):
    def index(self, *heights: float) -> FileIndex:
        layers = [Layer(n, 0, 1, z, 1.0, None) for n, z in enumerate(heights)]
        return FileIndex(1, 1000, None, layers)

    def test_layers(self) -> None:
        """The height is that of the present layer in the file, never above the last one."""
        index = self.index(0.05, 0.1, 0.15)
        self.assertEqual(current_z(printer(3, layer=2, total=3), index), 0.1)
        self.assertEqual(current_z(printer(3, layer=9, total=9), index), 0.15)

    def test_nothing(self) -> None:
        """There is no height before the first layer, without a known file, or when nothing prints."""
        index = self.index(0.05)
        self.assertIsNone(current_z(printer(3, layer=0), index))
        self.assertIsNone(current_z(PRINTING, None))
        self.assertIsNone(current_z(PRINTING, self.index()))
        self.assertIsNone(current_z(COMPLETE, index))


class TemperatureTests(SynchronousTestCase):
    def test_none(self) -> None:
        """A board that reports no temperature has none."""
        self.assertEqual(temperatures_of(PRINTING), {})
        self.assertEqual(temperatures_of(replace(PRINTING, status=None)), {})

    def test_box(self) -> None:
        """The enclosure's temperature is the chamber's; the lamp's is nobody's, and text or truth is no number."""
        told = Status((0,), extra={"TempOfBox": 28.456, "TempOfUVLED": 40.0})
        found = temperatures_of(replace(IDLE, status=told))
        self.assertEqual(list(found), ["chamber"])
        self.assertEqual((found["chamber"].actual, found["chamber"].target, found["chamber"].offset), (28.46, None, 0))
        for value in ("28", True, None, [1]):
            self.assertEqual(temperatures_of(replace(IDLE, status=Status((0,), extra={"TempOfBox": value}))), {})
