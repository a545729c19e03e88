"""The main job on real sockets: daemon and printer as two processes, a real sliced file from curl to its end."""

from __future__ import annotations

import hashlib
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.journey import Journey
from tests.end_to_end.processes import samples
from tests.end_to_end.requirements import needs

SAMPLE = samples() / "mars4max-426-layers.goo"


def _layers(documents: list[dict[str, Any]]) -> list[int]:
    return [document["layer"] for document in documents]


@pytest.mark.end_to_end
@needs("curl")
@pytest.mark.skipif(not SAMPLE.exists(), reason=f"the sample is not at {SAMPLE.parent}; set SDCPD_SAMPLES")
class PrintTests(Journey):
    """What a person who prints a file sees from outside."""

    def upload(self, file: Path = SAMPLE) -> dict[str, Any]:
        """Send the sample as a slicer would: by curl."""
        status, answer = self.daemon.curl("--upload-file", str(file), f"/v1/files/{file.name}")
        self.assertEqual(status, 201, answer)
        stored: dict[str, Any] = answer["file"]
        return stored

    def start(self, name: str = SAMPLE.name) -> str:
        """Ask for the print of the sample."""
        return super().start(name)

    def test_whole_journey(self) -> None:
        """A file sent by curl is delivered, printed layer by layer and finished, and every view tells the same."""
        self.printers.ask("inject", fault="slow-reader", rate=1_000_000)  # so that the delivery is seen, too
        file = self.upload()
        self.assertEqual(file["md5"], hashlib.md5(SAMPLE.read_bytes()).hexdigest())
        seen = self.finish(self.start())
        states = list(dict.fromkeys(document["job"]["state"] for document in seen if document["job"]))
        self.assertEqual(states[:1], ["delivering"])
        self.assertEqual(states[-2:], ["printing", "finished"])
        layers = _layers([document for document in seen if document["phase"] == "PRINTING"])
        self.assertEqual(layers, sorted(layers))
        self.assertGreater(len(set(layers)), 5)
        self.assertTrue(all(d["progress"] < 100 for d in seen if d["job"]["state"] == "printing" and d["progress"]))
        self.assertEqual(seen[-1]["total_layers"], 426)
        self.assertEqual(seen[-1]["progress"], 100)
        [element] = self.daemon.get("/status")
        self.assertEqual(element["status"]["PrintInfo"]["Status"], 16)
        self.assertEqual(element["status"]["PrintInfo"]["Filename"], file["wire_name"])
        expected = ["transfer_started", "transfer_done", "print_started", "print_finished"]
        self.assertEqual(self.happenings(), ["online", "plate_clear", *expected, "needs_plate"])
        stored = {found["name"]: found for found in self.printers.ask("state")["files"]}
        self.assertEqual(stored[file["wire_name"]]["md5"], file["md5"])
        self.assertEqual(self.printers.ask("violations"), [])

    def test_second_print_of_the_same_file(self) -> None:
        """Printing a file again does not send it again, and the last print's end is not taken for this one's."""
        self.upload()
        self.finish(self.start())
        self.daemon.wait_until(self.slug, lambda p: p["phase"] == "IDLE")
        job = self.start()
        seen = self.daemon.wait_until(self.slug, lambda p: p["job"]["id"] == job and p["job"]["ended"])
        self.assertEqual(seen[-1]["job"]["state"], "finished")
        self.assertGreater(len(set(_layers(seen))), 5)
        commands = self.printers.ask("state")["counts"]["commands"]
        self.assertEqual((commands["128"], commands["256"]), (2, 1))

    def test_network_cut_in_the_download(self) -> None:
        """A download that breaks in the middle, with the printer's connection, ends in a whole file and one print."""
        self.printers.ask("inject", fault="drop", at=0.5, retry="range", link="cut")
        file = self.upload()
        self.finish(self.start())
        stored = {found["name"]: found for found in self.printers.ask("state")["files"]}
        self.assertEqual(stored[file["wire_name"]]["md5"], file["md5"])
        self.assertEqual(self.printers.ask("violations"), [])

    def test_printer_gives_the_download_up(self) -> None:
        """A printer that gives up after a broken download is offered the file again, and is started once."""
        self.printers.ask("inject", fault="drop", at=0.5, retry="never", link="keep")
        file = self.upload()
        self.finish(self.start())
        commands = self.printers.ask("state")["counts"]["commands"]
        self.assertEqual(commands["256"], 2)
        stored = {found["name"]: found for found in self.printers.ask("state")["files"]}
        self.assertEqual(stored[file["wire_name"]]["md5"], file["md5"])

    def test_daemon_killed_in_the_print(self) -> None:
        """After kill -9 in the middle of the print the daemon knows job and print again, and starts nothing."""
        self.upload()
        job = self.start()
        self.daemon.wait_until(self.slug, lambda p: p["job"]["state"] == "printing" and p["layer"] > 50)
        self.daemon.restart(kill=True)
        seen = self.finish(job)
        again = next(document for document in seen if document["job"])
        self.assertEqual(again["job"]["id"], job)
        self.assertEqual(again["file"], SAMPLE.name)
        self.assertGreater(again["layer"], 50)
        self.assertNotIn("print_started", self.happenings())

    def test_ordered_restart_in_the_print(self) -> None:
        """An ordered restart in the middle of the print is as harmless, and ends by the signal, without a fault."""
        self.upload()
        job = self.start()
        self.daemon.wait_until(self.slug, lambda p: p["job"]["state"] == "printing" and p["layer"] > 20)
        before = self.daemon.server
        self.daemon.restart(kill=False)
        self.assertEqual(before.process.returncode, -signal.SIGTERM)  # as Twisted ends what a signal stopped
        self.assertIn("Stopped", before.log)
        self.assertNotIn("Traceback", before.log)
        self.finish(job)

    def test_pause_resume_stop(self) -> None:
        """Pause, resume and stop reach the printer, each acknowledged, and the job ends as stopped."""
        self.upload()
        self.start()
        self.daemon.wait_until(self.slug, lambda p: p["phase"] == "PRINTING")
        base = f"/v1/printers/{self.slug}"
        self.assertEqual(self.daemon.request("POST", f"{base}/pause"), (200, {"ack": 0}))
        self.daemon.wait_until(self.slug, lambda p: p["phase"] == "PAUSED")
        status, refusal = self.daemon.request("POST", f"{base}/pause")
        self.assertEqual((status, refusal["error"]["code"]), (409, "not_now"))
        self.assertEqual(self.daemon.request("POST", f"{base}/resume"), (200, {"ack": 0}))
        self.daemon.wait_until(self.slug, lambda p: p["phase"] == "PRINTING")
        self.assertEqual(self.daemon.request("POST", f"{base}/stop"), (200, {"ack": 0}))
        seen = self.daemon.wait_until(self.slug, lambda p: p["job"]["ended"])
        self.assertEqual(seen[-1]["job"]["state"], "stopped")
        self.assertEqual(self.starts(), 1)
