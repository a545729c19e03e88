"""Wishes that name a file, judged before the printer hears of them."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.errors import FileMissing, KeyReused, NotNow, PrinterUnknown, StoreFull, WrongFile
from sdcpd.jobs import Wish
from sdcpd.orders import Orders
from sdcpd.progress import Job
from tests.fakes import ID, Workshop
from tests.sliced import goo_file

WISH = Wish("somebody", plate_clear=True)
SMALL = goo_file(resolution=(5760, 3600), bed=(195.84, 122.4, 150.0), machine="ELEGOO Mars 4 Max")


class OrdersTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.shop = Workshop(Path(self.mktemp()))
        self.shop.connect()
        self.orders = Orders(self.shop.fleet, self.shop.jobs, self.shop.store)

    def put(self, name: str, content: bytes) -> None:
        upload = self.shop.store.begin(name, None)
        upload.write(content)
        self.successResultOf(upload.finish())

    def ways(self, file: str, wish: Wish = WISH) -> list[Deferred[Job]]:
        return [self.orders.print(ID, file, wish), self.orders.enqueue(ID, file, wish)]

    def test_wrong(self) -> None:
        """A file for another screen is neither printed nor queued, and says so; the printer hears nothing."""
        self.put("small.goo", SMALL)
        for asked in self.ways("small.goo"):
            error = self.failureResultOf(asked, WrongFile).value
            self.assertEqual((error.reason, error.found), ("wrong_resolution", "5760x3600"))
        self.assertEqual((self.shop.link.commands(), self.shop.jobs.all()), ([], []))

    def test_damaged(self) -> None:
        """A file that is cut off goes nowhere, not even into the queue of any printer."""
        self.put("cut.goo", goo_file()[:195_500] + goo_file()[-11:])
        for asked in (*self.ways("cut.goo"), self.orders.enqueue("", "cut.goo", WISH)):
            self.assertEqual(self.failureResultOf(asked, WrongFile).value.reason, "truncated")
        self.assertEqual(self.shop.jobs.all(), [])

    def test_warned(self) -> None:
        """What does not quite fit stands in the job, printed or queued."""
        self.put("other.goo", goo_file(machine="ELEGOO Saturn 4 Ultra"))
        for asked in self.ways("other.goo"):
            (warning,) = self.successResultOf(asked).warnings
            self.assertIn("Saturn 4 Ultra", warning)

    def test_unseen(self) -> None:
        """Who may know of one printer only is not told which others could print the file."""
        self.shop.fleet.announced(replace(self.shop.fleet.get(ID).announcement, mainboard_id="other"), "192.0.2.9")
        self.put("tall.goo", goo_file(heights=(300.0,)))
        asked = self.orders.print(ID, "tall.goo", WISH, lambda mainboard_id: mainboard_id == ID)
        self.assertEqual(self.failureResultOf(asked, WrongFile).value.compatible, ())

    def test_unknown(self) -> None:
        """A printer or a file that nobody knows is said to be unknown."""
        for asked in self.ways("none.goo"):
            self.failureResultOf(asked, FileMissing)
        self.failureResultOf(self.orders.print("nobody", "benchy.goo", WISH), PrinterUnknown)

    def test_promised(self) -> None:
        """A job is promised once it is on the disk, and refused if it cannot get there."""
        self.shop.journal.slow = True
        asked = self.orders.print(ID, "benchy.goo", WISH)
        self.assertNoResult(asked)
        self.shop.journal.land()
        self.assertEqual(self.successResultOf(asked).file, "benchy.goo")

    def test_not_promised(self) -> None:
        """One that cannot be noted is refused and given up."""
        self.shop.journal.full = True
        self.failureResultOf(self.orders.print(ID, "benchy.goo", WISH), StoreFull)
        self.assertIsNone(self.shop.jobs.current(ID))

    def test_repeated(self) -> None:
        """The same wish under one key is one job; another wish under that key is refused."""
        wish = replace(WISH, key="k", asked="a")
        first = self.successResultOf(self.orders.print(ID, "benchy.goo", wish))
        for asked in self.ways("benchy.goo", wish):
            self.assertEqual(self.successResultOf(asked).id, first.id)
        self.failureResultOf(self.orders.print(ID, "benchy.goo", replace(wish, asked="b")), KeyReused)
        self.failureResultOf(self.orders.print(ID, "benchy.goo", WISH), NotNow)
