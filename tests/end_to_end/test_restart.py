"""The daemon is killed while a printer fetches its file."""

from __future__ import annotations

import pytest

from sdcpd.simulator.slicing import write_goo
from tests.end_to_end.journey import Journey


@pytest.mark.end_to_end
class TransferRestartTests(Journey):
    """F31 of the reference's table: what was on its way is taken up again, what was not started waits for a word."""

    def killed_in_the_transfer(self) -> str:
        """Ask for a print, and kill the daemon when a quarter of the file is on the printer; the job."""
        file = self.directory / "vase.goo"
        write_goo(file, layers=300, resolution=(5760, 3600), machine="ELEGOO Mars 4 Max", pixel=0.034)
        size = self.upload(file)["size"]
        # Slowly, so that it is not over before anybody has looked.
        self.printers.ask("inject", fault="slow-reader", rate=250_000)
        job = self.start(file.name)
        self.daemon.wait_until(self.slug, lambda p: p["job"] and p["job"]["sent"] > size / 4)
        self.daemon.server.kill()
        self.printers.ask("clear")
        self.daemon.restart(kill=True)
        return job

    def delivered(self, job: str) -> None:
        """Wait until the file is on the printer and the job says what it waits for; nothing may have been started."""
        for _ in self.daemon.updates():
            found = self.daemon.get(f"/v1/jobs/{job}")
            if found["state"] == "delivered" and found["reason"] and found["message"]:
                break
            self.assertIn(found["state"], ("queued", "delivering", "delivered"), found)
        self.assertEqual(self.starts(), 0)

    def test_started_by_a_word(self) -> None:
        """The delivery is made again by itself, the start is not; a person's word starts it once."""
        job = self.killed_in_the_transfer()
        self.delivered(job)
        status, answer = self.daemon.request("POST", f"/v1/jobs/{job}/start", {"plate_clear": True})
        self.assertEqual(status, 202, answer)
        self.finish(job)
        self.assertEqual(self.printers.ask("violations"), [])

    def test_given_up(self) -> None:
        """Without a word nothing is started, and the job can be removed."""
        job = self.killed_in_the_transfer()
        self.delivered(job)
        self.assertEqual(self.daemon.request("DELETE", f"/v1/jobs/{job}")[0], 204)
        self.daemon.restart(kill=True)
        self.daemon.wait_for_printers(1)
        self.assertEqual(self.starts(), 0)
        self.assertEqual(self.daemon.get(f"/v1/printers/{self.slug}/queue"), [])
