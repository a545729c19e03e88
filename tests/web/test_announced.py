from __future__ import annotations

from sdcpd.web.announced import announced
from tests.web.rig import SATURN, WebCase


class AnnouncedTests(WebCase):
    def test_same(self) -> None:
        """What the network is told of a printer is what the printer's tree says of itself."""
        self.rig.announce()
        told = announced(self.rig.fleet.get(SATURN))
        version = self.rig.get("/printers/saturn-3-ultra/api/version").json
        settings = self.rig.get("/printers/saturn-3-ultra/api/settings").json
        self.assertEqual((told["api"], told["version"]), (version["api"], version["server"]))
        self.assertEqual(told["uuid"], settings["plugins"]["discovery"]["upnpUuid"])
        self.assertEqual(told["model"], "ELEGOO Saturn 3 Ultra")
