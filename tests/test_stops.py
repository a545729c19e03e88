from __future__ import annotations

from sdcpd.codec.status import Status
from sdcpd.errors import NotNow, PrinterOffline
from sdcpd.jobs import Wish
from sdcpd.progress import JobState
from sdcpd.stops import halted, stopped
from tests.web.rig import SATURN, IdleCase, printing


class StopsTests(IdleCase):
    def test_print(self) -> None:
        """A print is stopped when the board has said so, and not a moment earlier."""
        self.rig.publish(printing(3))
        answered = stopped(self.rig.jobs, self.printer)
        self.assertNoResult(answered)
        self.assertEqual([sent["Cmd"] for sent in self.link.sent], [130])
        self.link.answer()
        response = self.successResultOf(answered)
        self.assertEqual(response and response.ack, 0)

    def test_delivery(self) -> None:
        """A delivery is ended without a word to the printer, and its end is on the disk when that is answered."""
        self.rig.put()
        job = self.rig.jobs.print(SATURN, self.rig.store.get("plate.goo"), Wish("a test"))
        self.link.answer()
        self.assertIsNone(self.successResultOf(stopped(self.rig.jobs, self.printer)))
        self.assertEqual(self.rig.jobs.get(job.id).state, JobState.STOPPED)
        self.assertEqual(self.link.sent, [])

    def test_nothing(self) -> None:
        """Where nothing prints there is nothing to stop, and an emergency stop finds all well."""
        self.assertRaises(NotNow, stopped, self.rig.jobs, self.printer)
        self.assertIsNone(self.successResultOf(halted(self.rig.jobs, lambda: self.printer)))
        self.assertEqual(self.link.sent, [])

    def test_halt(self) -> None:
        """An emergency stop of a print is its stop; one that cannot be sent is never taken for done."""
        self.rig.publish(printing(3))
        answered = halted(self.rig.jobs, lambda: self.printer)
        self.link.answer()
        self.assertIsNotNone(self.successResultOf(answered))
        self.rig.publish(Status((2,)))
        self.failureResultOf(halted(self.rig.jobs, lambda: self.printer), NotNow)
        self.rig.links.closed(self.link.session, "gone")
        self.rig.publish(printing(3))
        self.failureResultOf(halted(self.rig.jobs, lambda: self.printer), PrinterOffline)

    def test_halt_waits(self) -> None:
        """An emergency stop that waits for a pause is fine when the print ends meanwhile, for then nothing prints."""
        self.rig.publish(printing(3))
        paused = self.rig.jobs.pause(SATURN)
        answered = halted(self.rig.jobs, lambda: self.printer)
        self.rig.publish(Status((0,)))
        self.link.answer_first()
        self.successResultOf(paused)
        self.assertIsNone(self.successResultOf(answered))
        self.assertEqual(self.link.sent, [])
