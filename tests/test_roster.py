"""The printers that are known for good."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.codec.sdcp import Announcement
from sdcpd.codec.status import Generation, Phase, Status
from sdcpd.errors import PrinterUnknown, StoreFull
from sdcpd.fleet import Beforehand, Fleet, Reachability
from sdcpd.journal import Journal
from sdcpd.records import Remembered
from sdcpd.roster import Roster
from tests.fakes import at_once

LEFT = Announcement("0001D2AB12CD34EF", name="Saturn", firmware="V1.4.2", generation=Generation.V1)
RIGHT = Announcement("0001D2AB12CD34F0", name="Saturn", firmware="V1.4.2", generation=Generation.V1)


class FullDisk:
    """Records that nobody can keep."""

    def printers(self) -> list[Remembered]:
        return []

    def write(self, known: Remembered, /) -> Deferred[None]:
        return fail(StoreFull("no room"))


class RosterTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.clock = Clock()
        self.start()

    def start(self, *beforehand: Beforehand) -> None:
        """A new life of the daemon over the same directory."""
        self.journal = Journal("", self.directory, at_once, self.clock)
        roster = Roster(self.journal)
        self.fleet = Fleet(self.clock, lambda: 0.0, beforehand, self.journal.printers())
        self.fleet.subscribe(roster.changed)

    def meet(self, announcement: Announcement, address: str) -> str:
        """A printer is found and connects; its slug."""
        self.fleet.announced(announcement, address)
        return self.fleet.change(announcement.mainboard_id, reachability=Reachability.ONLINE).slug

    def test_offline_again(self) -> None:
        """After a restart a printer that is off is still in the list, as offline, with all that is known of it."""
        self.meet(LEFT, "10.0.0.2")
        self.start()
        (printer,) = self.fleet
        self.assertEqual((printer.slug, printer.address, printer.name), ("saturn", "10.0.0.2", "Saturn"))
        self.assertIs(printer.phase, Phase.OFFLINE)
        self.assertIsNone(self.fleet.heard(printer.id))

    def test_slugs_stay(self) -> None:
        """Two printers of one name keep their slugs over a restart, whichever answers first."""
        slugs = [self.meet(LEFT, "10.0.0.2"), self.meet(RIGHT, "10.0.0.3")]
        self.assertEqual(slugs, ["saturn", "saturn-cd34f0"])
        self.start()
        self.assertEqual([self.meet(RIGHT, "10.0.0.3"), self.meet(LEFT, "10.0.0.2")], slugs[::-1])

    def test_configured_slug(self) -> None:
        """A slug that the configuration gives counts, for the printer and against another that had it."""
        self.meet(LEFT, "10.0.0.2")
        self.start(Beforehand("saturn", RIGHT.mainboard_id), Beforehand("left", LEFT.mainboard_id))
        self.assertEqual([printer.slug for printer in self.fleet], ["saturn", "left"])
        self.assertEqual(self.fleet.get("saturn").id, RIGHT.mainboard_id)

    def test_strangers(self) -> None:
        """Who only answers by UDP and never connects is not remembered."""
        self.fleet.announced(LEFT, "10.0.0.2")
        self.fleet.change(LEFT.mainboard_id, reachability=Reachability.STALE)
        self.assertEqual(self.journal.commits, 0)
        self.start()
        self.assertRaises(PrinterUnknown, self.fleet.get, "saturn")

    def test_written_once(self) -> None:
        """Nothing is written while nothing that is remembered changes; a new address and firmware are."""
        self.meet(LEFT, "10.0.0.2")
        self.fleet.change(LEFT.mainboard_id, reachability=Reachability.STALE)
        self.fleet.announced(replace(LEFT, sdcp_status=1, local_sdcp_address="tcp://10.0.0.9:1"), "10.0.0.2")
        self.fleet.change(LEFT.mainboard_id, status=Status((1,), 0), reachability=Reachability.ONLINE)
        self.assertEqual(self.journal.commits, 1)
        self.fleet.announced(replace(LEFT, firmware="V1.5.4"), "10.0.0.7")
        self.assertEqual(self.journal.commits, 2)
        self.start()
        printer = self.fleet.get("saturn")
        self.assertEqual((printer.address, printer.announcement.firmware), ("10.0.0.7", "V1.5.4"))

    def test_unwritable(self) -> None:
        """A disk that takes no more stops nothing."""
        self.fleet = Fleet(self.clock, lambda: 0.0, [])
        self.fleet.subscribe(Roster(FullDisk()).changed)
        self.assertEqual(self.meet(LEFT, "10.0.0.2"), "saturn")
