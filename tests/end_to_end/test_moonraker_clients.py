"""Clients of Moonraker's API, replayed as they send, against the daemon and a simulated printer."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests

from sdcpd.simulator.slicing import write_goo
from tests.end_to_end.journey import SLOW, Journey
from tests.end_to_end.processes import PATIENCE
from tests.end_to_end.requirements import needs


@pytest.mark.end_to_end
@needs("curl")
class MoonrakerClientTests(Journey):
    """Each asks as reference apis.md, appendix B and sections 2.1 to 2.12, has it."""

    speed = SLOW

    def setUp(self) -> None:
        super().setUp()
        self.base = f"{self.daemon.url}/printers/{self.slug}"
        self.file = self.directory / "vase.goo"
        write_goo(self.file, layers=40, resolution=(5760, 3600), machine="ELEGOO Mars 4 Max")

    def curl(self, *arguments: str) -> tuple[int, Any]:
        """Run curl as it is; status and JSON."""
        command = ["curl", "--silent", "--show-error", "--write-out", "\n%{http_code}", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
        body, _, status = done.stdout.rpartition("\n")
        return int(status), json.loads(body) if body else None

    def ended(self) -> str:
        """Wait for the end of the print; how it ended."""
        seen = self.daemon.wait_until(self.slug, lambda p: p["job"] and p["job"]["ended"])
        return str(seen[-1]["job"]["state"])

    def test_prusaslicer(self) -> None:
        """PrusaSlicer's Moonraker host finds the server, uploads, and the print runs to its end."""
        key = ["-H", f"X-Api-Key: {self.daemon.key}"]
        status, info = self.curl(*key, f"{self.base}//server/info")
        self.assertEqual((status, next(iter(info))), (200, "result"))
        self.assertIsInstance(info["result"]["moonraker_version"], str)
        form = ["-F", "root=gcodes", "-F", "path=", "-F", "print=true"]
        file = f"file=@{self.file};type=application/octet-stream"
        status, answer = self.curl(*key, *form, "-F", file, f"{self.base}/server/files/upload")
        self.assertEqual((status, answer["result"], answer["print_started"]), (201, "vase.goo", True))
        self.assertEqual(self.ended(), "finished")
        status, answer = self.curl(*key, *form, "-F", file, f"{self.base}/server/files/upload")
        self.assertEqual((status, answer["print_started"], answer["print_queued"]), (201, False, True))
        self.assertEqual(self.starts(), 1)

    def test_cura(self) -> None:
        """Cura2Moonraker's form has its file first and its boundary in quotes; the print starts all the same."""
        _, info = self.curl(f"{self.base}/server/info")
        self.assertEqual(info["result"]["klippy_state"], "ready")
        body = self.directory / "body"
        boundary = "boundary_.oOo._MTIz"
        parts = [b'name="file"; filename="vase.goo"\r\nContent-Type: application/octet-stream\r\n\r\n']
        with body.open("wb") as out:
            out.write(f"--{boundary}\r\nContent-Disposition: form-data; ".encode() + parts[0])
            out.write(self.file.read_bytes())
            for name, value in (("root", "gcodes"), ("path", "cura"), ("print", "true")):
                head = f'\r\n--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}'
                out.write(head.encode())
            out.write(f"\r\n--{boundary}--\r\n".encode())
        content = f'Content-Type: multipart/form-data; boundary="{boundary}"'
        key = f"X-API-Key: {self.daemon.key}"
        url = f"{self.base}/server/files/upload"
        status, answer = self.curl("-H", key, "-H", content, "--data-binary", f"@{body}", url)
        self.assertEqual((status, answer["result"], answer["print_started"]), (201, "cura/vase.goo", True))
        self.assertEqual(self.ended(), "finished")

    def test_uvtools(self) -> None:
        """UVtools sends the raw file without a header, the key in the address, then asks for the print."""
        raw = ["-H", "Content-Type:", "-H", "Accept:", "-X"]
        url = f"{self.daemon.url}/v1/files/vase.goo?apikey={self.daemon.key}"
        status, _ = self.curl(*raw, "PUT", "--data-binary", f"@{self.file}", url)
        self.assertEqual(status, 201)
        url = f"{self.base}/printer/print/start?filename=vase.goo&apikey={self.daemon.key}"
        self.assertEqual(self.curl(*raw, "POST", "-d", "", url), (200, {"result": "ok"}))
        self.assertEqual(self.ended(), "finished")

    def test_dashboards(self) -> None:
        """Homepage's and the exporter's questions are all answered with 200, with or without a slash too many."""
        headers = {"X-API-KEY": self.daemon.key}
        for path in (
            "printer/objects/query?print_stats",
            "printer/objects/query?display_status",
            "printer/objects/query?webhooks",
            "server/info",
            "printer/objects/list",
            "printer/query_endstops/status",
            "server/history/totals",
            "server/history/list?limit=1&order=desc",
            "server/job_queue/status",
            "server/files/directory?path=gcodes",
            "machine/proc_stats",
            "machine/system_info",
        ):
            answer = requests.get(f"{self.base}/{path}", headers=headers, timeout=PATIENCE)
            self.assertEqual(answer.status_code, 200, path)
            self.assertIn("result", answer.json())
            self.assertNotIn("Transfer-Encoding", answer.headers)

    def test_batch(self) -> None:
        """A script asks three things in one request."""
        asked = [
            {"jsonrpc": "2.0", "method": "server.info", "id": 1},
            {
                "jsonrpc": "2.0",
                "method": "printer.objects.query",
                "params": {"objects": {"print_stats": None}},
                "id": 2,
            },
            {"jsonrpc": "2.0", "method": "server.job_queue.status", "id": 3},
        ]
        answer = requests.post(
            f"{self.base}/server/jsonrpc", json=asked, timeout=PATIENCE, auth=_Bearer(self.daemon.key)
        )
        told = {reply["id"]: reply["result"] for reply in answer.json()}
        self.assertEqual(told[1]["klippy_state"], "ready")
        self.assertEqual(told[2]["status"]["print_stats"]["state"], "standby")
        self.assertEqual(told[3]["queued_jobs"], [])

    def test_start_up(self) -> None:
        """The old document's recipe, by polling only: ready, then news of each print, then its end."""
        session = requests.Session()
        session.headers["X-Api-Key"] = self.daemon.key
        info = session.get(f"{self.base}/printer/info", timeout=PATIENCE).json()["result"]
        self.assertEqual(info["state"], "ready")
        first = session.get(f"{self.base}/server/notifications", timeout=PATIENCE).json()["result"]
        with Path(self.file).open("rb") as file:
            form = {"file": ("vase.goo", file)}
            answer = session.post(
                f"{self.base}/server/files/upload", files=form, data={"print": "true"}, timeout=PATIENCE
            )
        self.assertEqual(answer.status_code, 201)
        cursor, states, methods = first["cursor"], set(), set()
        while "complete" not in states:
            news = session.get(f"{self.base}/server/notifications?since={cursor}&timeout=20", timeout=PATIENCE)
            self.assertEqual(news.status_code, 200)
            told = news.json()["result"]
            self.assertFalse(told["timed_out"], "nothing came for 20 s")
            cursor = told["cursor"]
            for notification in told["notifications"]:
                methods.add(notification["method"])
                if notification["method"] == "notify_status_update":
                    states.add(notification["params"][0].get("print_stats", {}).get("state"))
        self.assertLessEqual({"notify_filelist_changed", "notify_history_changed", "notify_status_update"}, methods)
        self.assertIn("printing", states)


class _Bearer(requests.auth.AuthBase):
    """``Authorization: Bearer``."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._key}"
        return request
