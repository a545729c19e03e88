from __future__ import annotations

from sdcpd.config import parse
from sdcpd.web.updates import UpdatesApi
from tests.web.rig import SATURN, WebCase


class AppTests(WebCase):
    """The front page and what holds everything together."""

    def test_healthz(self) -> None:
        """A supervisor reads ok."""
        reply = self.rig.get("/healthz", address="203.0.113.5")
        self.assertEqual((reply.status, reply.body), (200, b"ok"))
        self.assertTrue(reply.headers["content-type"].startswith("text/plain"))

    def test_degraded(self) -> None:
        """A supervisor reads that the journal cannot be written, and does not restart what works otherwise."""
        self.rig.journal.failing = "The journal's disk is full."
        reply = self.rig.get("/healthz", address="203.0.113.5")
        self.assertEqual((reply.status, reply.body), (200, b"degraded: The journal's disk is full."))

    def test_scopes(self) -> None:
        """Every route that changes something needs a permission; push and pairing ask for theirs in their own way."""
        own_way = ("/sockjs/", "/plugin/appkeys/")
        for route in self.rig.web.routes:
            asked = route.method == "GET" or route.scope or any(words in route.path for words in own_way)
            self.assertTrue(asked, route.path)

    def test_own_epochs(self) -> None:
        """Two lives of the daemon never share a cursor."""
        first, second = (self.make().get("/v1/updates").json["cursor"] for _ in range(2))
        self.assertNotEqual(first.partition(".")[0], second.partition(".")[0])

    def test_two_printers(self) -> None:
        """Two printers' paths answer differently, on each tree."""
        self.rig.announce(SATURN)
        self.rig.announce("AB12", "Mars")
        for path in ("/v1/printers/{}", "/printers/{}/status", "/printers/{}/v1/updates"):
            bodies = {self.rig.get(path.format(name)).body for name in (SATURN, "AB12")}
            self.assertEqual(len(bodies), 2)

    def test_several_ports(self) -> None:
        """Several ports serve the same printers and share what they know of pollers."""
        self.rig.announce()
        cursor = self.rig.get("/v1/updates").json["cursor"]
        self.rig.site = self.rig.web.site()
        self.assertTrue(self.rig.get(f"/v1/updates?timeout=0&since={cursor}").json["timed_out"])
        self.assertIsInstance(self.rig.web._updates, UpdatesApi)

    def test_reload_status(self) -> None:
        """Switching the status page off and on again holds at once."""
        self.rig.web.configure(parse('[status]\nmode = "off"'))
        self.assertEqual(self.rig.get("/status").status, 403)
        self.rig.web.configure(parse('[status]\nmode = "public"'))
        self.assertEqual(self.rig.get("/status", address="203.0.113.5").status, 200)
