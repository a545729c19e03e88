from __future__ import annotations

from twisted.internet.defer import Deferred, fail, succeed

from sdcpd.errors import StoreError
from sdcpd.fleet import Printer
from sdcpd.journal import PrintPage, PrintQuery
from sdcpd.printer import Run
from sdcpd.records import PrintRecord, PrintResult
from sdcpd.web.octoprint.state import Times
from sdcpd.web.octoprint.times import PastPrints, PastTimes
from tests.web.octoprint.rig import OctoPrintCase
from tests.web.rig import SATURN, goo


class FakePast:
    """A history of prints that took so many seconds, newest first; it counts who asks."""

    def __init__(self, *took: float | None) -> None:
        self.took = took
        self.md5: str | None = None
        """The bytes that were printed."""
        self.asked: list[PrintQuery] = []
        self.broken = False
        self.waits: Deferred[None] | None = None

    def prints(self, query: PrintQuery) -> Deferred[PrintPage]:
        self.asked.append(query)
        if self.broken:
            return fail(StoreError("The disk is gone."))
        page = succeed(PrintPage(tuple(self.record(seconds) for seconds in self.took), None))
        return self.waits.addCallback(lambda _: page) if self.waits is not None else page

    def record(self, seconds: float | None) -> PrintRecord:
        return PrintRecord("1", SATURN, "plate.goo", 0.0, md5=self.md5, result=PrintResult.FINISHED, printed_s=seconds)


class TimesTests(OctoPrintCase):
    def setUp(self) -> None:
        super().setUp()
        self.past = FakePast(110.0, None, 100.0)
        as_past: PastPrints = self.past
        self.times = PastTimes(self.rig.fleet, as_past)
        self.file = self.store()
        self.past.md5 = self.file.md5

    def known(self, printer: Printer | None = None) -> Times:
        return self.successResultOf(self.times.of(printer or self.printer, self.file))

    def test_times(self) -> None:
        """The last time is the newest print's, the average that of all; a print without a time is none."""
        self.assertEqual(self.known(), Times(None, 105.0, 110.0))
        (query,) = self.past.asked
        self.assertEqual((query.printer, query.file, query.result), (SATURN, "plate.goo", PrintResult.FINISHED))

    def test_other_bytes(self) -> None:
        """What was sliced anew under the same name has none of the times of what had the name before."""
        self.assertEqual(self.known(), Times(None, 105.0, 110.0))
        self.file = self.store(content=goo(b"other layers"))
        self.assertEqual(self.known(), Times())
        self.past.md5 = None
        self.rig.fleet.run(SATURN, Run("2", 0.0))
        self.rig.fleet.run(SATURN, None)
        self.assertEqual(self.known(), Times())

    def test_never_printed(self) -> None:
        """A file that was never printed here has no times."""
        self.past.took = ()
        self.assertEqual(self.known(), Times())

    def test_asked_once(self) -> None:
        """However often a client polls, the history is asked once, and again when a print has ended."""
        for _ in range(3):
            self.known()
        self.assertEqual(len(self.past.asked), 1)
        self.rig.fleet.run(SATURN, Run("2", 0.0))
        self.known()
        self.assertEqual(len(self.past.asked), 1)
        self.past.took = (120.0,)
        self.rig.fleet.run(SATURN, None)
        self.rig.clock.advance(1)
        self.assertEqual(self.known(), Times(None, 120.0, 120.0))
        self.assertEqual(len(self.past.asked), 2)

    def test_ended_meanwhile(self) -> None:
        """A print that ends while the history is being asked is in the next answer."""
        self.rig.fleet.run(SATURN, Run("2", 0.0))
        self.past.waits = answer = Deferred[None]()
        asked = self.times.of(self.printer, self.file)
        self.rig.fleet.run(SATURN, None)
        answer.callback(None)
        self.assertEqual(self.successResultOf(asked), Times(None, 105.0, 110.0))
        self.past.waits, self.past.took = None, (120.0,)
        self.assertEqual(self.known(), Times(None, 120.0, 120.0))

    def test_another_file(self) -> None:
        """Another file has times of its own."""
        self.known()
        self.file = self.store("other.goo", goo(b"others"))
        self.known()
        self.assertEqual([query.file for query in self.past.asked], ["plate.goo", "other.goo"])

    def test_broken(self) -> None:
        """A history that cannot be read costs the times and not the answer, and is asked again."""
        self.past.broken = True
        self.assertEqual(self.known(), Times())
        self.past.broken = False
        self.assertEqual(self.known(), Times(None, 105.0, 110.0))
