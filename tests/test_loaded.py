"""Which file a printer has in hand, whatever became of its name meanwhile."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.codec.sdcp import Announcement
from sdcpd.codec.status import Generation, PrintInfo, Status, TransferInfo
from sdcpd.files import FileStore, Limits, StoredFile, wire_name
from sdcpd.loaded import Loaded, loaded
from sdcpd.printer import Printer, Reachability
from sdcpd.progress import Job, JobState
from tests.fakes import at_once, wall
from tests.test_files import goo
from tests.web.rig import printing, transferring

PRINTER = Printer("saturn", Announcement("ID", generation=Generation.V1), reachability=Reachability.ONLINE)


class LoadedTests(SynchronousTestCase):
    def setUp(self) -> None:
        limits = Limits(quota=0, max_size=2**31 - 1, reserve=0)
        self.store = FileStore(Path(self.mktemp()), limits, at_once, wall)
        self.file = self.put("plate.goo")
        self.wire = wire_name(self.file)

    def put(self, name: str, content: bytes = b"layers") -> StoredFile:
        upload = self.store.begin(name, None)
        upload.write(goo(content))
        return self.successResultOf(upload.finish())

    def job(self, state: JobState, file: StoredFile | None = None) -> Job:
        file = file or self.file
        return Job("j", "ID", file.name, file.md5, file.size, wire_name(file), state, 100.0)

    def loaded(self, status: Status | None, job: Job | None = None) -> Loaded:
        return loaded(replace(PRINTER, status=status, job=job), self.store)

    def check(self, found: Loaded, name: str | None, md5: str | None) -> None:
        self.assertEqual((found.name, found.stored and found.stored.md5), (name, md5))

    def test_nothing(self) -> None:
        """A printer that was never heard, or that tells of no file, has none, and a job that waits is not in hand."""
        waiting = self.job(JobState.QUEUED)
        for status in (None, Status((0,)), Status((2,)), printing(3, filename="")):
            self.assertEqual(self.loaded(status, waiting), Loaded())

    def test_printed(self) -> None:
        """What is printed, or was printed last, has our name if it is stored here, and the printer's if it is not."""
        for current in (1, 0):
            self.check(self.loaded(printing(3, filename=self.wire, current=current)), "plate.goo", self.file.md5)
            self.check(self.loaded(printing(3, filename="plate.goo", current=current)), "plate.goo", None)
        self.check(self.loaded(printing(3, filename=""), self.job(JobState.PRINTING)), "plate.goo", self.file.md5)

    def test_on_its_way(self) -> None:
        """While a file arrives it is that one, ours or another's, and not the one that was printed before."""
        last = PrintInfo(16, 9, 9, filename="last.goo")
        theirs = replace(transferring(9, filename="usb.ctb"), print=last)
        self.check(self.loaded(theirs), "usb.ctb", None)
        self.check(self.loaded(theirs, self.job(JobState.DELIVERING)), "plate.goo", self.file.md5)
        again = replace(theirs, transfer=TransferInfo(0, 9, 0, 99, self.wire))
        self.check(self.loaded(again, self.job(JobState.QUEUED)), "plate.goo", self.file.md5)
        self.check(self.loaded(replace(theirs, transfer=TransferInfo())), "last.goo", None)

    def test_renamed(self) -> None:
        """A file that gets another name during its transfer or its print is told by the name that it has now."""
        delivering, moving = self.job(JobState.DELIVERING), self.job(JobState.PRINTING)
        self.successResultOf(self.store.move("plate.goo", "shelf/renamed.goo"))
        self.check(self.loaded(transferring(9, filename=self.wire), delivering), "shelf/renamed.goo", self.file.md5)
        self.check(self.loaded(printing(3, filename=self.wire), moving), "shelf/renamed.goo", self.file.md5)
        self.check(self.loaded(printing(3, filename=self.wire)), "shelf/renamed.goo", self.file.md5)

    def test_copied(self) -> None:
        """Of several names for the same bytes a job's own is told."""
        self.successResultOf(self.store.copy("plate.goo", "a copy.goo"))
        self.successResultOf(self.store.copy("plate.goo", "zebra.goo"))
        for state in (JobState.DELIVERING, JobState.PRINTING):
            status = transferring(9) if state is JobState.DELIVERING else printing(3, filename=self.wire)
            self.check(self.loaded(status, self.job(state)), "plate.goo", self.file.md5)

    def test_replaced(self) -> None:
        """What is printed stays what it is when its name stands for other bytes, and is called so when it is gone."""
        moving = self.job(JobState.PRINTING)
        self.store.hold(self.file.md5)
        self.put("plate.goo", b"other layers")
        self.check(self.loaded(printing(3, filename=self.wire), moving), "plate.goo", self.file.md5)
        self.store.release(self.file.md5)
        self.check(self.loaded(printing(3, filename=self.wire), moving), "plate.goo", None)
        self.check(self.loaded(printing(3, filename=self.wire)), self.wire, None)

    def test_another_print(self) -> None:
        """A job whose print another one has replaced does not name what is on the machine now."""
        self.check(self.loaded(printing(3, filename="usb.ctb"), self.job(JobState.PRINTING)), "usb.ctb", None)
        self.check(self.loaded(printing(3, filename="usb.ctb"), self.job(JobState.STOPPED)), "usb.ctb", None)
