from __future__ import annotations

from tests.web.forms import FORM, form
from tests.web.prusalink.rig import PrusaLinkCase
from tests.web.rig import MARS, P, goo


class TwinTests(PrusaLinkCase):
    """The places at which the same printer calls itself something else."""

    def test_versions(self) -> None:
        """PrusaSlicer's resin profile finds "Prusa SLA", its other profile "PrusaLink", everybody else "OctoPrint"."""
        for place, begins in (("", "OctoPrint"), ("/sl1", "Prusa SLA"), ("/prusalink", "PrusaLink")):
            for below in (P, ""):
                told = self.rig.get(f"{below}{place}/api/version").json
                self.assertRegex(told["text"], rf"\A{begins}\b.* \(sdcpd 1\.2\.3\)\Z")
                self.assertEqual((told["api"], told["hostname"]), ("0.1", "saturn-3-ultra"))
                self.assertIs(told["capabilities"]["upload-by-put"], True)

    def test_printers(self) -> None:
        """Two printers answer for themselves at their twins, too; at the root nobody guesses."""
        self.rig.announce(MARS, name="Mars")
        self.assertEqual(self.rig.get("/printers/mars/sl1/api/version").json["hostname"], "mars")
        self.assertEqual(self.rig.get(f"{P}/sl1/api/version").json["hostname"], "saturn-3-ultra")
        text = self.refused(self.rig.get("/sl1/api/version"), 404)
        self.assertIn("/printers/<id>", text)

    def test_beside(self) -> None:
        """Beside PrusaLink's own paths the twins have OctoPrint's printer and job, as its legacy clients ask."""
        for place in ("/sl1", "/prusalink"):
            for path in ("/api/printer", "/api/job"):
                self.assertEqual(self.rig.get(P + place + path).body, self.rig.get(P + path).body)

    def test_legacy_upload(self) -> None:
        """Who uploads by OctoPrint's form at a twin is served, and a foreign file is refused in a sentence."""
        for place in ("/sl1", "/prusalink"):
            target = f"{P}{place}/api/files/local"
            reply = self.rig.ask("POST", target, form(goo(), "minis.goo", print="false", path=""), FORM)
            self.assertEqual((reply.status, reply.json["done"]), (201, True), reply.body)
            reply = self.rig.ask("POST", target, form(b"PK\x03\x04" + bytes(200), "minis.sl1", print="false"), FORM)
            self.assertIn(".goo", self.refused(reply, 415))

    def test_own_port(self) -> None:
        """On a printer's own port the twins stand at the root, and no other printer is to be had there."""
        self.rig.announce(MARS, name="Mars")
        self.rig.site = self.rig.web.own_site("saturn-3-ultra")
        for path, begins in (("/sl1/api/version", "Prusa SLA"), ("/prusalink/api/version", "PrusaLink")):
            told = self.rig.get(path).json
            self.assertEqual((told["text"][: len(begins)], told["hostname"]), (begins, "saturn-3-ultra"))
        reply = self.send(at="/sl1")
        self.assertEqual(reply.headers["location"], "http://hub.local/sl1/api/v1/files/local/plate.goo")
        self.refused(self.rig.get("/sl1/nothing"), 404)

    def test_slashes(self) -> None:
        """A user who typed a slash too many is answered without a redirect."""
        for path in (f"{P}//sl1//api/version", f"{P}/sl1/api/version/", f"{P}/sl1/api/v1//storage"):
            self.assertEqual(self.rig.get(path).status, 200, path)
