"""``/v1/updates`` over time: nothing is lost between two polls, and nothing old is told."""

from __future__ import annotations

from sdcpd.codec.status import Status
from sdcpd.fleet import Beforehand
from tests.web.rig import EPOCH, SATURN, printing
from tests.web.test_updates import PATH, UpdatesCase


class MomentTests(UpdatesCase):
    """Answers are shared by those who ask the same, and never for longer than a moment."""

    def test_now_is_now(self) -> None:
        """The time and the ages in an answer are of the question, however long nothing has changed."""
        self.poll("")
        self.rig.clock.advance(3600)
        document = self.poll("")
        self.assertEqual(document["now"], EPOCH + 3600)
        self.assertEqual(document["printers"]["saturn-3-ultra"]["age_s"], 3600)

    def test_unpublished(self) -> None:
        """A change that is published in a moment comes again then: nothing is lost between two polls."""
        self.rig.publish(printing(1))
        self.poll()
        self.rig.report(printing(2))
        self.rig.report(printing(3))
        self.poll()
        self.rig.clock.advance(0.5)
        self.assertEqual(self.poll()["printers"]["saturn-3-ultra"]["layer"], 3)

    def test_every_change_arrives(self) -> None:
        """Whenever a client polls in a long print, it ends with the printer's last word and every happening once."""
        happened = []
        for layer in range(1, 200):
            self.rig.report(printing(layer, 200, number=1 if layer == 1 else 7 if layer % 50 == 0 else 3))
            if layer % 7 == 0:
                self.rig.fleet.happened(SATURN, "noted", {"layer": layer})
            self.rig.clock.advance((layer * 37 % 11) / 13)
            if layer % 3 == 0:
                happened += [e["data"]["layer"] for e in self.poll()["events"] if e["type"] == "noted"]
        self.rig.clock.advance(0.5)
        document = self.poll(f"since={self.cursor}")
        happened += [e["data"]["layer"] for e in document["events"] if e["type"] == "noted"]
        self.assertEqual(document["printers"]["saturn-3-ultra"]["layer"], 199)
        self.assertEqual(happened, list(range(7, 200, 7)))

    def test_configured_order(self) -> None:
        """Printers that are only configured are in the first answer."""
        rig = self.make(beforehand=[Beforehand("cellar", "AB12", "Cellar")])
        self.assertEqual(list(rig.get(f"{PATH}?timeout=0").json["printers"]), ["cellar"])

    def test_idle(self) -> None:
        """An idle printer has no percentage and no time left."""
        self.rig.publish(Status((0,)))
        printer = self.poll()["printers"]["saturn-3-ultra"]
        self.assertEqual((printer["progress"], printer["eta_s"], printer["phase"]), (None, None, "IDLE"))
