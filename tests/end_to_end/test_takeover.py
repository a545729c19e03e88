"""Two daemons that want the same printer."""

from __future__ import annotations

import pytest

from sdcpd.simulator.slicing import write_goo
from tests.end_to_end.journey import Journey
from tests.end_to_end.processes import Daemon


@pytest.mark.end_to_end
class TakeoverTests(Journey):
    """The daemon of the journey has the printer first, a rival comes."""

    def setUp(self) -> None:
        super().setUp()
        directory = self.directory / "rival"
        directory.mkdir()
        self.rival = Daemon(directory, self.printers.targets)
        self.addCleanup(lambda: self.rival.server.stop())

    def adopt(self, daemon: Daemon) -> None:
        status, printer = daemon.request("POST", f"/v1/printers/{self.slug}/adopt")
        self.assertEqual((status, printer["reachability"]), (202, "owned elsewhere"), printer)
        daemon.wait_until(self.slug, lambda p: bool(p["online"]))

    def test_taken_and_back(self) -> None:
        """Who does not have it says who has it; it goes where a person wants it, also in the middle of a print."""
        ports = [daemon.ports["mqtt"][0]["port"] for daemon in (self.daemon, self.rival)]
        seen = self.rival.wait_until(self.slug, lambda p: p["reachability"] == "owned elsewhere")[-1]
        self.assertIn(f"127.0.0.1:{ports[0]}", seen["message"])
        self.adopt(self.rival)
        seen = self.daemon.wait_until(self.slug, lambda p: p["reachability"] == "owned elsewhere")[-1]
        self.assertIn(f"127.0.0.1:{ports[1]}", seen["message"])
        self.assertEqual(self.happenings(), ["online", "taken_over"])
        status, refusal = self.daemon.request("POST", f"/v1/printers/{self.slug}/pause")
        self.assertEqual((status, refusal["error"]["code"]), (409, "owned_elsewhere"))

        file = self.directory / "vase.goo"
        write_goo(file, layers=200, resolution=(5760, 3600), machine="ELEGOO Mars 4 Max")
        ours, self.daemon = self.daemon, self.rival
        self.upload(file)
        self.pause_at(100)  # so that it is in the middle of the print, however long this takes
        job = self.start(file.name)
        self.rival.wait_until(self.slug, lambda p: p["phase"] == "PAUSED")
        self.adopt(ours)
        ours.wait_until(self.slug, lambda p: p["phase"] == "PAUSED")
        events = [event["type"] for event in ours.get("/v1/updates?timeout=0&events=recent")["events"]]
        links = [event for event in events if not event.startswith("print_")]  # whoever prints is told, too
        self.assertEqual(links, ["online", "taken_over", "back"])
        self.printers.ask("resume")
        self.finish(job)
        self.assertEqual(self.printers.ask("violations"), [])
