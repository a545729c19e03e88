"""Clients of OctoPrint's API, real ones and replays of what others send, against the daemon and a simulated printer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import requests
from octorest import OctoRest

from sdcpd.simulator.slicing import write_goo
from tests.end_to_end.journey import SLOW, Journey
from tests.end_to_end.processes import PATIENCE

FLAGS = ("error", "closedOrError", "paused", "pausing", "printing", "cancelling", "ready", "operational")
"""What Cura indexes without a default."""


class Session(requests.Session):
    """One client that sends its key with everything, below one address."""

    def __init__(self, base: str, key: str) -> None:
        super().__init__()
        self.base = base
        self.headers["X-Api-Key"] = key

    def ask(self, method: str, path: str, document: object = None) -> requests.Response:
        answer = self.request(method, f"{self.base}/{path}", json=document, timeout=PATIENCE)
        assert "Transfer-Encoding" not in answer.headers
        return answer


class OctoPrintJourney(Journey):
    """A daemon with one printer, a sliced file on the disk, and what several clients ask."""

    def setUp(self) -> None:
        super().setUp()
        self.base = f"{self.daemon.url}/printers/{self.slug}"
        self.file = self.directory / "vase.goo"
        write_goo(self.file, layers=self.layers, resolution=(5760, 3600), machine="ELEGOO Mars 4 Max")

    layers = 120
    speed: Sequence[str] = SLOW

    def wait_for(self, phase: str) -> None:
        self.daemon.wait_until(self.slug, lambda printer: printer["phase"] == phase)


@pytest.mark.end_to_end
class OctoRestTests(OctoPrintJourney):
    """OctoRest of PyPI, which keeps nothing of an address but its host: it speaks to the only printer, at the root."""

    def setUp(self) -> None:
        super().setUp()
        self.until(lambda: {"0", "1", "512"} <= set(self.commands()))  # what a printer is asked when it comes
        self.client: Any = OctoRest(url=self.base, apikey=self.daemon.key)

    def test_looks(self) -> None:
        """Everything that only looks is answered as OctoRest reads it."""
        client = self.client
        self.assertTrue(client.get_version()["text"].startswith("OctoPrint"))
        self.assertEqual(client.state(), "Operational")
        self.assertEqual(client.connection_info()["options"]["ports"], ["SDCP"])
        found = client.printer(history=True, limit=2)
        self.assertEqual((found["temperature"], found["state"]["flags"]["ready"]), ({"history": []}, True))
        self.assertEqual(client.printer(exclude=["temperature", "sd"]), {"state": found["state"]})
        self.assertEqual(client.tool(), {})
        self.assertIsNone(client.job_info()["job"]["file"]["name"])
        self.assertIn("upnpUuid", client.settings()["plugins"]["discovery"])
        self.assertIn("_default", client.printer_profiles()["profiles"])
        self.assertEqual(client.printer_profile("_default")["model"], "ELEGOO Mars 4 Max")
        self.assertEqual(client.system_commands(), {"core": [], "plugin": [], "custom": []})
        self.assertEqual(client.custom_control_request(), {"controls": []})
        self.assertEqual((client.languages(), client.slicers()), ({"language_packs": {}}, {}))
        self.assertEqual(client.timelapses()["config"], {"type": "off"})

    def test_has_not(self) -> None:
        """What a resin printer has not is refused in the words of the real server, and the printer hears nothing."""
        before = self.commands()
        for wish, words in (
            (lambda: self.client.jog(x=10), "Print head commands are not supported by this printer"),
            (lambda: self.client.tool_target(200), "Printer does not have a tool"),
            (lambda: self.client.bed_target(60), "Printer does not have a heated bed"),
            (self.client.bed, "Printer does not have a heated bed"),
            (self.client.chamber, "Printer does not have a heated chamber"),
            (self.client.sd, "SD support is disabled"),
            (lambda: self.client.gcode("G28"), "This printer does not accept G-code"),
            (self.client.pause, "Printer is neither printing nor paused"),
            (self.client.start, "No file is selected"),
            (self.client.fake_ack, "command is invalid"),
        ):
            with self.assertRaises(RuntimeError) as caught:
                wish()
            self.assertIn(words, str(caught.exception))
        self.assertEqual(self.commands(), before)

    def test_print(self) -> None:
        """A print is followed, paused, resumed and cancelled, each by the printer's own word."""
        self.upload(self.file)
        self.start(self.file.name)
        self.wait_for("PRINTING")
        found = self.client.job_info()
        self.assertEqual((found["state"], found["job"]["file"]["name"]), ("Printing", "vase.goo"))
        self.assertGreater(found["progress"]["printTimeLeft"], 0)
        self.client.pause()
        self.wait_for("PAUSED")
        self.assertEqual(self.client.state(), "Paused")
        self.client.pause()
        self.client.toggle()
        self.wait_for("PRINTING")
        self.client.resume()
        with self.assertRaises(RuntimeError) as caught:
            self.client.start()
        self.assertIn("already has an active print job", str(caught.exception))
        self.client.cancel()
        seen = self.daemon.wait_until(self.slug, lambda printer: printer["job"]["ended"])
        self.assertEqual(seen[-1]["job"]["state"], "stopped")
        with self.assertRaises(RuntimeError) as caught:
            self.client.start()
        self.assertIn("plate", str(caught.exception))
        self.assertEqual(self.starts(), 1)

    def test_files(self) -> None:
        """Files are sent, told, copied, moved, selected with a print, and deleted, as OctoRest asks for it."""
        client = self.client
        sent = client.upload(str(self.file), path="minis", print=True)
        # requests sends only the file of such an upload, also to the real server: nothing is started by it.
        self.assertEqual((sent["done"], sent["effectivePrint"]), (True, False))
        self.assertEqual(sent["files"]["local"]["path"], "vase.goo")
        (entry,) = client.files(recursive=True)["files"]
        self.assertEqual((entry["size"], entry["typePath"]), (self.file.stat().st_size, ["machinecode", "goo"]))
        self.assertEqual(client.files_info("local", "vase.goo"), entry)
        with self.assertRaises(RuntimeError) as caught:
            client.new_folder("minis")
        self.assertIn("No file to upload and no folder to create", str(caught.exception))
        client.copy("vase.goo", "minis/copy.goo")
        client.move("local/minis/copy.goo", "minis/moved.goo")
        (folder,) = (entry for entry in client.files(recursive=True)["files"] if entry["type"] == "folder")
        self.assertEqual([child["name"] for child in folder["children"]], ["moved.goo"])
        with self.assertRaises(RuntimeError) as caught:
            client.slice("vase.goo")
        self.assertIn("no slicer available", str(caught.exception))
        client.select("vase.goo", print=True)
        self.wait_for("PRINTING")
        for name, words in (("vase.goo", "file that is currently in use"), ("minis", "folder that contains a file")):
            with self.assertRaises(RuntimeError) as caught:
                client.delete(name)
            self.assertIn(words, str(caught.exception))
        client.cancel()
        self.daemon.wait_until(self.slug, lambda printer: printer["job"]["ended"])
        client.delete("minis")
        client.delete("vase.goo")
        self.assertEqual(client.files()["files"], [])

    def test_connection(self) -> None:
        """To disconnect and to connect are answered as done, and the printer is there again by itself."""
        before = self.calls()
        self.client.disconnect()
        self.daemon.wait_until(self.slug, lambda printer: printer["online"] and self.calls() > before)
        self.client.connect()
        self.assertEqual(self.client.state(), "Operational")

    def calls(self) -> int:
        """How often the printer has called the daemon."""
        return int(self.printers.ask("state")["counts"]["kinds"]["calling"])


@pytest.mark.end_to_end
class PollingTests(OctoPrintJourney):
    """Clients that poll, with a path in their address."""

    def setUp(self) -> None:
        super().setUp()
        self.session = Session(self.base, self.daemon.key)
        self.addCleanup(self.session.close)

    def test_cura(self) -> None:
        """Cura's plugin connects, polls a print to its end, and its pause button toggles (reference apis.md 2.4)."""
        ask = self.session.ask
        settings = ask("GET", "api/settings")
        self.assertEqual((settings.status_code, settings.json()["feature"]["sdSupport"]), (200, False))
        self.assertIn("api", ask("GET", "api/version").json())
        self.assertTrue(ask("POST", "api/login", {"passive": True}).json()["session"])
        self.assertIn("_default", ask("GET", "api/printerprofiles").json()["profiles"])
        self.poll()
        self.upload(self.file)
        job = self.start(self.file.name)
        self.wait_for("PRINTING")
        self.assertEqual(self.poll()["state"], "Printing")
        self.assertEqual(ask("POST", "api/job", {"command": "pause", "action": "toggle"}).status_code, 204)
        self.wait_for("PAUSED")
        self.assertEqual(self.poll()["state"], "Paused")
        self.assertEqual(ask("POST", "api/job", {"command": "pause"}).status_code, 204)
        self.finish(job)
        found = self.poll()
        self.assertEqual((found["state"], found["progress"]["completion"]), ("Operational", 100.0))

    def poll(self) -> Any:
        """One round of Cura's questions; what the job's answer says."""
        printer, job = self.session.ask("GET", "api/printer"), self.session.ask("GET", "api/job")
        self.assertEqual((printer.status_code, job.status_code), (200, 200))
        flags = printer.json()["state"]["flags"]
        self.assertEqual([flag for flag in FLAGS if not isinstance(flags[flag], bool)], [])
        found = job.json()
        _ = [found["progress"][name] for name in ("printTime", "completion", "printTimeLeft")]
        _ = found["job"]["file"]["name"]
        return found

    def test_home_assistant(self) -> None:
        """Home Assistant's coordinator is told what it reads, and 403 if its key is wrong (reference apis.md 2.8)."""
        ask = self.session.ask
        found = ask("GET", "/api/settings").json()
        self.assertTrue(found["plugins"]["discovery"]["upnpUuid"])
        self.assertEqual(ask("GET", "/api/server").json()["version"], "1.11.8")
        for _ in range(2):
            self.assertIn("file", ask("GET", "/api/job").json()["job"])
            printer = ask("GET", "/api/printer")
            self.assertEqual((printer.status_code, printer.json()["temperature"]), (200, {}))
        self.assertEqual(ask("GET", "/api/system/commands").json()["core"], [])
        self.assertEqual(ask("POST", "/api/system/commands/core/reboot").status_code, 404)
        self.assertEqual(ask("POST", "/api/connection", {"command": "connect"}).status_code, 204)
        wrong = requests.get(f"{self.base}/api/printer", headers={"X-Api-Key": "nonsense"}, timeout=PATIENCE)
        self.assertEqual(wrong.status_code, 403)
