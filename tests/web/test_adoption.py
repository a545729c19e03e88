from __future__ import annotations

from msgspec.structs import replace

from sdcpd.fleet import Reachability
from tests.web.rig import SATURN, WebCase


class AdoptionTests(WebCase):
    """``POST /v1/printers/<slug>/adopt``."""

    config = 'access.trusted = {"127.0.0.0/8" = ["control"], "10.0.0.0/8" = ["view"]}'

    def test_adopt(self) -> None:
        """The wish is passed on and answered with the printer as it is now."""
        printer = self.rig.announce()
        reply = self.rig.ask("POST", f"/v1/printers/{printer.slug}/adopt")
        self.assertEqual((reply.status, reply.json["id"]), (202, printer.slug))
        self.assertEqual(self.rig.adopted, [SATURN])

    def test_scope(self) -> None:
        """Who may only look may not take printers over."""
        printer = self.rig.announce()
        reply = self.rig.ask("POST", f"/v1/printers/{printer.slug}/adopt", address="10.0.0.1")
        self.assertEqual(reply.status, 403)
        self.assertEqual(self.rig.adopted, [])

    def test_unknown(self) -> None:
        """A printer that nobody knows is 404."""
        self.assert_refused(self.rig.ask("POST", "/v1/printers/nobody/adopt"), 404, "unknown_printer")

    def test_offline(self) -> None:
        """A printer that does not answer is 503, and the reason is said."""
        printer = self.rig.announce()
        self.rig.deaf.add(SATURN)
        reply = self.rig.ask("POST", f"/v1/printers/{printer.slug}/adopt")
        self.assert_refused(reply, 503, "printer_offline")

    def test_commands(self) -> None:
        """Commands to a printer that is somebody else's are 409 and name the one who has it."""
        printer = self.rig.announce()
        owned = replace(printer.announcement, local_sdcp_address="tcp://192.0.2.200:33288")
        self.rig.fleet.announced(owned, printer.address)
        self.rig.fleet.change(SATURN, reachability=Reachability.ELSEWHERE)
        for command in ("pause", "resume", "stop"):
            reply = self.rig.ask("POST", f"/v1/printers/{printer.slug}/{command}")
            error = self.assert_refused(reply, 409, "owned_elsewhere")
            self.assertIn("192.0.2.200:33288", error["message"])
            self.assertIn("/adopt", error["hint"])
