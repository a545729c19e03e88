"""How long a print will take: the printer's own past, the board, the file, in this order."""

from __future__ import annotations

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.codec.status import PrintInfo
from sdcpd.estimate import Estimate, estimate, learned
from sdcpd.records import PrintRecord, PrintResult

HALF = PrintInfo(3, 50, 100, 1_000_000, 3_000_000)
PRINT = PrintRecord("p", "ID", "f", 0.0, planned_s=1000.0, printed_s=1200.0, result=PrintResult.FINISHED)


class EstimateTests(SynchronousTestCase):
    def test_sources(self) -> None:
        """The best source that there is speaks, and is named."""
        for told, planned, ratio, expected in (
            (HALF, 4000.0, 1.25, Estimate(2500, "learned")),
            (HALF, 4000.0, None, Estimate(2000, "printer")),
            (HALF, None, 1.25, Estimate(2000, "printer")),
            (replace(HALF, total_ticks=0), 4000.0, None, Estimate(2000, "file")),
            (replace(HALF, total_ticks=0), None, None, None),
            (replace(HALF, total_layer=0), 4000.0, 1.25, Estimate(2000, "printer")),
            (replace(HALF, total_layer=0, total_ticks=0), 4000.0, 1.25, None),
        ):
            self.assertEqual(estimate(told, planned, ratio), expected)

    def test_never_negative(self) -> None:
        """A print that takes longer than anybody thought has no time left, not less than none."""
        for told in (replace(HALF, current_ticks=9_000_000), replace(HALF, current_layer=101, total_ticks=0)):
            for ratio in (None, 1.2):
                found = estimate(told, 4000.0 if ratio or not told.total_ticks else None, ratio)
                assert found is not None
                self.assertGreaterEqual(found.seconds, 0)

    def test_learned(self) -> None:
        """The usual ratio is the median; prints without numbers and odd ones (a night's pause) teach nothing."""
        prints = [replace(PRINT, printed_s=seconds) for seconds in (1100.0, 1200.0, 1900.0, 90_000.0, 3.0, None)]
        self.assertEqual(learned(prints), 1.2)
        self.assertIsNone(learned([replace(PRINT, planned_s=None), replace(PRINT, planned_s=0.0)]))
        self.assertIsNone(learned([]))
