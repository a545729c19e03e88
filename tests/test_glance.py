"""A printer at a glance, as a table: the words, and for what somebody is needed."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.codec.sdcp import Announcement
from sdcpd.codec.status import Generation, Phase, PrintInfo, Status
from sdcpd.glance import _WORDS, NEEDS, glance
from sdcpd.plate import Gate
from sdcpd.printer import Printer, Reachability, Run
from sdcpd.progress import Job, JobState
from sdcpd.records import Plate, PlateState
from tests.web.rig import printing

JOB = Job("j", "ID", "f.goo", "0" * 32, 9, "f_0.goo", JobState.FAILED, 100.0, ended=200.0)
IDLE = Printer(
    "saturn", Announcement("ID", generation=Generation.V1), reachability=Reachability.ONLINE, status=Status((0,))
)
AT_WORK = replace(IDLE, status=printing(5), run=Run("r", 1.0))
OCCUPIED = Plate("ID", PlateState.OCCUPIED, 2)


class GlanceTests(SynchronousTestCase):
    def check(self, text: str, needs: str | None, printer: Printer, gate: Gate = Gate.AFTER_PRINT, **more: Any) -> None:
        found = glance(replace(printer, **more), gate)
        self.assertEqual((found.text, found.needs), (text, needs))
        self.assertIn(found.needs, (None, *NEEDS))

    def test_words(self) -> None:
        """Whatever a printer does has words, and nobody is called for what goes on by itself."""
        self.check("Ready", None, IDLE)
        self.check("Printing", None, AT_WORK)
        self.check("Receiving a file", None, IDLE, status=Status((2,)))
        self.check("Off or out of reach", None, IDLE, reachability=Reachability.OFFLINE)
        self.check("Used by another program", None, IDLE, reachability=Reachability.ELSEWHERE)

    def test_every_phase(self) -> None:
        """No phase is without a word."""
        for phase in Phase:
            self.assertTrue(_WORDS[phase])

    def test_plate(self) -> None:
        """After a print the plate is asked for, unless the gate is off or a print is on the machine."""
        self.check("Plate to clear", "plate", IDLE, plate=OCCUPIED)
        self.check("Plate to clear", "plate", IDLE, plate=OCCUPIED, reachability=Reachability.OFFLINE)
        self.check("Ready", None, IDLE, Gate.OFF, plate=OCCUPIED)
        self.check("Plate to clear", "plate", IDLE, Gate.ALWAYS)
        self.check("Printing", None, AT_WORK, plate=OCCUPIED)

    def test_confirm(self) -> None:
        """A board that waits at its screen for somebody says so before the plate is asked for."""
        over = Status((1,), 0, PrintInfo(16, 100, 100))
        self.check("Print is over", "confirm", IDLE, status=over, plate=OCCUPIED)

    def test_trouble(self) -> None:
        """A print that is out of reach, stalled or paused calls somebody."""
        self.check("Out of reach while printing", "contact", AT_WORK, reachability=Reachability.OFFLINE)
        moving = replace(JOB, state=JobState.PRINTING)
        self.check("Out of reach while printing", "contact", IDLE, status=None, job=moving)
        self.check("No new layer", "stalled", AT_WORK, run=Run("r", 1.0, stalled=True))
        self.check("Paused", "paused", AT_WORK, status=printing(5, number=7))

    def test_failed(self) -> None:
        """A job that failed calls somebody until the plate was looked at after it."""
        self.check("Failed", "failed", IDLE, job=JOB)
        self.check("Print was lost", "failed", IDLE, job=replace(JOB, state=JobState.LOST), plate=OCCUPIED)
        self.check("Look at the printer", "failed", IDLE, job=replace(JOB, state=JobState.UNVERIFIED))
        self.check("Failed", "failed", IDLE, job=JOB, plate=Plate("ID", PlateState.CLEAR, 1, at=150.0))
        self.check("Ready", None, IDLE, job=JOB, plate=Plate("ID", PlateState.CLEAR, 3, at=250.0))
        self.check("Printing", None, AT_WORK, job=JOB)

    def test_waiting(self) -> None:
        """A queued job that waits for a person, and a printer that cannot call back, say so."""
        self.check("Needs a decision", "held", IDLE, job=replace(JOB, state=JobState.HELD))
        delivered = replace(JOB, state=JobState.DELIVERED, ended=None, reason="waiting_for_start")
        self.check("Ready to start", "start", IDLE, job=delivered)
        self.check("Cannot connect", "connection", IDLE, reachability=Reachability.STALE, message="Firewall?")
        self.check("Not live", None, IDLE, reachability=Reachability.STALE)
        self.check("Printing", None, AT_WORK, reachability=Reachability.STALE)
