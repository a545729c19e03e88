"""Two simulated printers, each with an HTTP port of its own, and clients that know nothing of the other."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from octorest import OctoRest
from playwright.sync_api import expect
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.simulator.slicing import write_goo
from tests.browser.kit import browser
from tests.end_to_end.journey import QUICK
from tests.end_to_end.processes import PATIENCE, Daemon, HeldPort, Printers
from tests.end_to_end.requirements import needs

NAMES = ("left", "right")


@pytest.mark.end_to_end
class OwnPortTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="sdcpd-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.printers = Printers(self.directory, ["MARS4MAX-1.0.0"] * 2, *QUICK)
        self.addCleanup(self.printers.stop)
        held = [HeldPort() for _ in range(3)]
        for port in held:
            self.addCleanup(port.close)
        self.web, self.numbers = held[0].endpoint, [port.number for port in held[1:]]
        self.daemon = Daemon(self.directory, self.printers.targets, web=self.web)
        self.addCleanup(lambda: self.daemon.server.stop())
        self.ids = [printer["mainboard_id"] for printer in self.daemon.wait_for_printers(2)]

    def reload(self, numbers: list[int], word: str) -> None:
        """Give the printers these ports, and wait for what the log says of it."""
        tables = (
            f"[printers.{name}]\nmainboard_id = {json.dumps(mainboard_id)}\nport = {number}\n"
            for name, mainboard_id, number in zip(NAMES, self.ids, numbers, strict=True)
        )
        self.daemon.write_config(self.printers.targets, self.web, more="\n".join(tables))
        since = len(self.daemon.server.lines)
        self.daemon.server.process.send_signal(signal.SIGHUP)
        self.daemon.server.wait_for(word, since)

    def ask(self, number: int, path: str, method: str = "GET", **more: Any) -> requests.Response:
        headers = {"X-Api-Key": self.daemon.key, **more.pop("headers", {})}
        url = f"http://127.0.0.1:{number}{path}"
        return requests.request(method, url, headers=headers, timeout=PATIENCE, **more)

    def test_each_its_own(self) -> None:
        """Each port lists, takes files and prints for its own printer; a reload opens and closes them."""
        left, right = self.numbers
        self.reload(self.numbers, "Reloaded; made anew:")
        listed = {printer["id"]: printer["port"] for printer in self.daemon.get("/v1/printers")}
        self.assertEqual(listed, {"left": left, "right": right})
        for name, number in zip(NAMES, self.numbers, strict=True):
            self.assertEqual(self.daemon.ports[f"printers.{name}"][0]["address"], f"127.0.0.1:{number}")
        self.daemon.wait_for_printers(2)
        for mainboard_id, number in zip(self.ids, self.numbers, strict=True):
            self.assertEqual([found["machine_id"] for found in self.ask(number, "/status").json()], [mainboard_id])

        file = self.directory / "vase.goo"
        write_goo(file, layers=60, resolution=(5760, 3600), machine="ELEGOO Mars 4 Max")
        with file.open("rb") as stream:
            answer = self.ask(right, "/server/files/upload", "POST", files={"file": stream}, data={"print": "true"})
        self.assertEqual((answer.status_code, answer.json()["print_started"]), (201, True), answer.text)
        self.assertEqual(answer.headers["Location"], f"http://127.0.0.1:{right}/server/files/gcodes/vase.goo")
        seen = self.daemon.wait_until("right", lambda p: p["job"] and p["job"]["ended"])
        self.assertEqual(seen[-1]["job"]["state"], "finished")
        starts = [self.printers.ask("state", number)["counts"]["commands"].get("128", 0) for number in (0, 1)]
        self.assertEqual(sorted(starts), [0, 1])
        told = [self.ask(number, "/status").json()[0]["status"]["PrintInfo"] for number in self.numbers]
        self.assertEqual([bool(printed["TotalLayer"]) for printed in told], [False, True])

        self.assertEqual(self.ask(left, "/printers/right/status").status_code, 404)
        self.assertEqual(self.ask(left, "/v1/printers").status_code, 404)

        self.reload([left, 0], "Reloaded; made anew:")
        self.assertEqual(self.ask(left, "/healthz").text, "ok")
        self.assertRaises(requests.ConnectionError, self.ask, right, "/healthz")

    @needs("chromium")
    def test_paired(self) -> None:
        """OctoRest asks for a key at a printer's port, a person lets it in on the page in a browser, and it works."""
        self.reload(self.numbers, "Reloaded; made anew:")
        url = f"http://127.0.0.1:{self.numbers[0]}"
        program = OctoRest(url=url)
        self.assertTrue(program.probe_app_keys_workflow_support())
        with self.assertRaises(RuntimeError) as caught:
            program.start_authorization_process("OctoRest", "maker")
        self.assertIn("sdcp-key pair", str(caught.exception))

        self.assertEqual(self.daemon.request("POST", "/v1/keys/pairing", {"minutes": 5})[0], 200)
        with ThreadPoolExecutor(1) as pool:
            asking = pool.submit(program.try_get_api_key, "<b>OctoRest</b>", "maker", PATIENCE)
            waiting: list[dict[str, Any]] = []
            deadline = time.monotonic() + PATIENCE
            while not waiting and time.monotonic() < deadline:
                waiting = self.daemon.get("/v1/keys/pairing")["waiting"]
            ticket = waiting[0]["decision"].rpartition("/")[2]
            self.let_in(f"{url}/plugin/appkeys/auth/{ticket}")
            result, key = asking.result(PATIENCE)
        self.assertEqual(result.name, "GRANTED")
        self.assertEqual(OctoRest(url=url, apikey=key).version["text"][:9], "OctoPrint")
        names = [found["name"] for found in self.daemon.get("/v1/keys")]
        self.assertEqual(names, ["admin", "b-OctoRest-b-maker"])

    def let_in(self, page_url: str) -> None:
        """What a person does on the page: a wrong key first, then the right one."""
        page = browser().new_page()
        self.addCleanup(page.close)
        page.set_default_timeout(PATIENCE * 1000)
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(page_url)
        self.assertIn("<b>OctoRest</b>", page.inner_text("dl"))
        page.fill("#key", "a wrong one")
        page.click("text=Allow")
        self.assertIn("No key in force", page.inner_text("[role=alert]"))
        page.fill("#key", self.daemon.key)
        page.click("text=Allow")
        expect(page.locator("h1")).to_have_text("Allowed", timeout=PATIENCE * 1000)
        self.assertEqual([text for text in complaints if "403" not in text], [])

    def test_busy(self) -> None:
        """A port that somebody else has, or that two printers shall have, is refused by name; all stays as it was."""
        left, right = self.numbers
        with socket.create_server(("127.0.0.1", right)):
            self.reload(self.numbers, f"[printers.right] port: cannot listen on tcp:{right}:interface=127.0.0.1")
            self.assertRaises(requests.ConnectionError, self.ask, left, "/healthz")
            self.reload([left, left], f"[printers.right] port: {left} is that of [printers.left] port already")
            self.assertEqual(self.daemon.get("/v1/printers")[0]["port"], None)
            since = len(self.daemon.server.lines)
            self.reload(self.numbers, "refused")
            self.daemon.server.stop()
            self.assertIn("(ss -ltnp shows it)", "\n".join(self.daemon.server.lines[since:]))
        self.daemon.restart(kill=False)
        self.assertEqual([self.ask(number, "/healthz").text for number in self.numbers], ["ok", "ok"])
