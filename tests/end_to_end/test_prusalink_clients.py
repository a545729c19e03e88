"""Clients of PrusaLink's API, replayed as they send, against the daemon and a simulated printer."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.auth import HTTPDigestAuth

from sdcpd.simulator.slicing import write_goo
from tests.end_to_end.journey import SLOW, Journey
from tests.end_to_end.processes import PATIENCE
from tests.end_to_end.requirements import needs


@pytest.mark.end_to_end
class PrusaLinkClientTests(Journey):
    """Each asks as reference apis.md, appendix B and sections 2.1, 2.3 and 2.9, has it."""

    speed = SLOW

    def setUp(self) -> None:
        super().setUp()
        self.base = f"{self.daemon.url}/printers/{self.slug}"
        self.file = self.directory / "vase.goo"
        write_goo(self.file, layers=20, resolution=(5760, 3600), machine="ELEGOO Mars 4 Max")
        wish = {"name": "maker", "scopes": ["upload", "control"], "digest": True}
        made = requests.post(
            f"{self.daemon.url}/v1/keys", json=wish, headers={"X-Api-Key": self.daemon.key}, timeout=PATIENCE
        )
        self.key = str(made.json()["secret"])

    def curl(self, *arguments: str) -> tuple[int, str]:
        """Run curl as it is; status and body."""
        command = ["curl", "--silent", "--show-error", "--write-out", "\n%{http_code}", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
        body, _, status = done.stdout.rpartition("\n")
        return int(status), body

    def ended(self) -> str:
        """Wait for the end of the print; how it ended."""
        seen = self.daemon.wait_until(self.slug, lambda p: p["job"] and p["job"]["ended"])
        return str(seen[-1]["job"]["state"])

    @needs("curl")
    def test_resin_profile(self) -> None:
        """PrusaSlicer's resin profile finds Prusa SLA, tests, uploads, and is told what to do with a .sl1."""
        key, sla = ["-H", f"X-Api-Key: {self.key}"], f"{self.base}/sl1"
        status, body = self.curl(*key, "-H", "Accept-Language: en", f"{sla}/api/v1/storage")
        self.assertEqual((status, next(iter(json.loads(body)))), (200, "storage_list"))
        self.assertGreater(json.loads(body)["storage_list"][0]["free_space"], 0)
        status, body = self.curl(*key, f"{sla}/api/version")
        version = json.loads(body)
        self.assertEqual((status, version["capabilities"]["upload-by-put"]), (200, True))
        self.assertTrue(version["api"] and version["text"].startswith("Prusa SLA"), version)
        put = [*key, "-H", "Content-Type: text/x.gcode", "-H", "Overwrite: ?1", "-T"]
        for name in ("vase.goo", "minis/a%20vase.goo"):
            status, body = self.curl(*put, str(self.file), f"{sla}/api/v1/files/local/{name}")
            self.assertEqual((status, json.loads(body)["size"]), (201, self.file.stat().st_size))
        archive = self.directory / "vase.sl1"
        archive.write_bytes(b"PK\x03\x04" + bytes(5_000_000))
        status, body = self.curl(*put, str(archive), f"{sla}/api/v1/files/local/vase.sl1")
        self.assertEqual((status, body.startswith("This printer needs .goo or .ctb")), (415, True), body)

    @needs("curl")
    def test_digest(self) -> None:
        """User and password by HTTP Digest do as well: test and upload, with the body sent once it is wanted."""
        digest, sla = ["--digest", "-u", f"maker:{self.key}"], f"{self.base}/sl1"
        status, body = self.curl(*digest, f"{sla}/api/version")
        self.assertEqual((status, json.loads(body)["text"][:9]), (200, "Prusa SLA"))
        target = f"{sla}/api/v1/files/local/vase.goo"
        status, body = self.curl(*digest, "-H", "Overwrite: ?1", "-T", str(self.file), target)
        self.assertEqual((status, json.loads(body)["name"]), (201, "vase.goo"))
        status, body = self.curl("--digest", "-u", "maker:wrong", "-T", str(self.file), target)
        self.assertEqual(status, 401)

    @needs("curl")
    def test_uvtools(self) -> None:
        """UVtools sends the raw file without a header, the key in the address, then asks for the print."""
        raw = ["-H", "Content-Type:", "-H", "Accept:", "-X"]
        target = f"{self.base}/api/v1/files/local/vase.goo"
        send = [*raw, "PUT", "--data-binary", f"@{self.file}"]
        for _ in range(2):
            self.assertEqual(self.curl(*send, f"{target}?apikey={self.key}")[0], 201)
        self.assertEqual(self.curl(*raw, "POST", "-d", "", f"{target}?apikey={self.key}"), (204, ""))
        self.assertEqual(self.ended(), "finished")

    def test_home_assistant(self) -> None:
        """pyprusalink's questions by HTTP Digest: version, info, status, job, picture; then pause, resume, cancel."""
        session = requests.Session()
        session.auth = HTTPDigestAuth("maker", self.key)
        base = f"{self.base}/prusalink"

        def ask(method: str, path: str, expected: int = 200, **more: Any) -> Any:
            answer = session.request(method, base + path, timeout=PATIENCE, **more)
            self.assertEqual(answer.status_code, expected, (method, path, answer.text))
            kind = answer.headers.get("Content-Type", "")
            return answer.json() if kind == "application/json" else answer.content

        self.assertTrue(ask("GET", "/api/version")["text"].startswith("PrusaLink"))
        self.assertEqual(ask("GET", "/api/v1/info")["name"], self.daemon.get(f"/v1/printers/{self.slug}")["name"])
        self.assertEqual(ask("GET", "/api/v1/status")["printer"]["state"], "IDLE")
        self.assertEqual(ask("GET", "/api/v1/job", 204), b"")
        self.assertIn("state", ask("GET", "/api/printer"))
        headers = {"Print-After-Upload": "?1"}
        long = self.directory / "long.goo"  # long enough to be paused in
        write_goo(long, layers=120, resolution=(5760, 3600), machine="ELEGOO Mars 4 Max")
        content = Path(long).read_bytes()
        stored = ask("PUT", "/api/v1/files/local/vase.goo", 201, data=content, headers=headers)
        self.assertIs(stored["print_started"], True)
        self.daemon.wait_until(self.slug, lambda p: p["phase"] == "PRINTING")
        job = ask("GET", "/api/v1/job")
        self.assertEqual((job["state"], job["file"]["display_name"]), ("PRINTING", "vase.goo"))
        self.assertEqual(ask("GET", job["file"]["refs"]["thumbnail"])[:4], b"\x89PNG")
        one = f"/api/v1/job/{job['id']}"
        ask("PUT", f"{one}/pause", 204)
        self.daemon.wait_until(self.slug, lambda p: p["phase"] == "PAUSED")
        self.assertEqual(ask("GET", "/api/v1/status")["job"]["id"], job["id"])
        ask("PUT", f"{one}/resume", 204)
        self.daemon.wait_until(self.slug, lambda p: p["phase"] == "PRINTING")
        ask("DELETE", one, 204)
        self.assertEqual(self.ended(), "stopped")
        ask("DELETE", one, 404)
