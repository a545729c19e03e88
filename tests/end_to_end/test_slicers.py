"""Slicers with an OctoPrint host: what curl sends in their place, with the same library and the same order of parts."""

from __future__ import annotations

import hashlib
import json
import subprocess
from typing import Any, NamedTuple

import pytest

from tests.end_to_end.journey import QUICK
from tests.end_to_end.processes import PATIENCE
from tests.end_to_end.requirements import needs
from tests.end_to_end.test_octoprint_clients import OctoPrintJourney


class Reply(NamedTuple):
    """What curl was answered at last, and how much of a body it had sent by then."""

    status: int
    type: str
    location: str
    sent: int
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


_TOLD = r"\n%{http_code}|%{content_type}|%header{location}|%{size_upload}"


@pytest.mark.end_to_end
@needs("curl")
class SlicerTests(OctoPrintJourney):
    """Each asks as reference apis.md, appendix B and sections 2.1 to 2.4, has it."""

    layers = 60
    speed = QUICK

    def curl(self, url: str, *arguments: str) -> Reply:
        """Run curl with the key, following nothing."""
        key = f"X-Api-Key: {self.daemon.key}"
        command = ["curl", "-sS", "--max-time", str(PATIENCE), "-w", _TOLD, "-H", key, *arguments, url]
        done = subprocess.run(command, capture_output=True, timeout=2 * PATIENCE, check=True)
        body, _, told = done.stdout.rpartition(b"\n")
        status, kind, location, sent = told.decode().split("|")
        return Reply(int(status), kind, location, int(sent), body)

    def form(self, *fields: str) -> list[str]:
        """The arguments for a form with these fields, in this order; ``file`` stands for the file."""
        parts = [f"file=@{self.file};type=application/octet-stream" if f == "file" else f for f in fields]
        return [argument for part in parts for argument in ("-F", part)]

    def ended(self) -> str:
        """Wait for the end of the print; how it ended."""
        seen = self.daemon.wait_until(self.slug, lambda printer: printer["job"] and printer["job"]["ended"])
        return str(seen[-1]["job"]["state"])

    def test_prusaslicer(self) -> None:
        """PrusaSlicer tests, uploads, and uploads and prints; a print that cannot start now is kept and told."""
        for url in (f"{self.base}/api/version", f"{self.base}//api/version"):
            version = self.curl(url)
            self.assertEqual(version.status, 200)
            self.assertTrue(version.json["api"] and version.json["text"].startswith("OctoPrint"))
        target = f"{self.base}/api/files/local"
        stored = self.curl(target, *self.form("print=false", "path=", "file"))
        self.assertEqual((stored.status, stored.json["effectivePrint"]), (201, False), stored.body)
        self.assertEqual(stored.location, f"{self.base}/api/files/local/vase.goo")
        started = self.curl(target, *self.form("print=true", "path=", "file"))
        self.assertEqual((started.status, started.json["effectivePrint"]), (201, True), started.body)
        self.assertEqual(self.ended(), "finished")
        self.wait_for("IDLE")
        waits = self.curl(target, *self.form("print=true", "path=", "file"))
        self.assertEqual((waits.status, waits.json["effectivePrint"]), (201, False), waits.body)
        self.assertIn("plate", waits.json["message"])
        self.assertIn("print_not_started", self.happenings())
        self.assertEqual(self.starts(), 1)

    def test_wrong_kind(self) -> None:
        """PrusaSlicer's own resin file is refused before it is sent, in a sentence that it can show as it is."""
        with self.file.open("wb") as file:
            file.write(b"PK\x03\x04")
            file.truncate(50_000_000)
        expecting = ["-H", "Expect: 100-continue", *self.form("print=true", "path=", "file")]
        reply = self.curl(f"{self.base}/api/files/local", *expecting)
        self.assertEqual((reply.status, reply.type), (415, "text/plain"))
        self.assertIn(b"convert the file with UVtools", reply.body)
        self.assertLess(reply.sent, 10_000_000)
        self.assertEqual(self.daemon.get("/v1/files"), [])

    def test_orcaslicer(self) -> None:
        """OrcaSlicer drops the path and, where it resolved the name, the port of the Host: the root answers it."""
        host = ["-H", "Host: 127.0.0.1"]
        self.assertTrue(self.curl(f"{self.daemon.url}/api/version", *host).json["text"].startswith("OctoPrint"))
        form = self.form("print=true", "path=orca/parts", "file")
        reply = self.curl(f"{self.daemon.url}/api/files/local", *host, *form)
        self.assertEqual((reply.status, reply.json["effectivePrint"]), (201, True), reply.body)
        self.assertEqual(reply.location, "http://127.0.0.1/api/files/local/orca/parts/vase.goo")
        self.assertEqual(self.ended(), "finished")

    def test_superslicer(self) -> None:
        """SuperSlicer's MiniDelta host selects what it sends, and the print is started from elsewhere."""
        target = f"{self.base}/api/files/local"
        reply = self.curl(target, *self.form("select=true", "print=false", "path=", "file"))
        self.assertEqual((reply.status, reply.json["effectiveSelect"]), (201, True), reply.body)
        self.assertEqual(self.curl(f"{self.base}/api/job").json["job"]["file"]["path"], "vase.goo")
        start = ["-H", "Content-Type: application/json", "-d", '{"command": "start"}']
        self.assertEqual(self.curl(f"{self.base}/api/job", *start).status, 204)
        self.assertEqual(self.ended(), "finished")

    def test_cura(self) -> None:
        """Cura sends path, file, select and print, follows the Location, and shows a refusal only if it is text."""
        target = f"{self.base}/api/files/local"
        fields = ["path=", "file", "select=true", "print=true"]
        reply = self.curl(target, *self.form(*fields))
        self.assertEqual((reply.status, reply.json["effectiveSelect"], reply.json["effectivePrint"]), (201, True, True))
        self.assertIn("/api/", reply.location)
        entry = self.curl(reply.location).json
        content = self.file.read_bytes()
        self.assertEqual((entry["size"], entry["type"]), (len(content), "machinecode"))
        fetched = self.curl(entry["refs"]["download"], "-o", str(self.directory / "fetched"))
        self.assertEqual(fetched.status, 200)
        self.assertEqual((self.directory / "fetched").read_bytes(), content)
        self.assertEqual(entry["hash"], hashlib.md5(content, usedforsecurity=False).hexdigest())
        self.assertEqual(self.ended(), "finished")
        counts = self.curl(reply.location).json["prints"]
        self.assertEqual((counts["success"], counts["failure"], counts["last"]["success"]), (1, 0, True))
        self.file.write_text("; G-code\nG28\n")
        refused = self.curl(target, *self.form(*fields))
        self.assertEqual((refused.status, refused.type), (415, "text/plain"))
        self.assertIn(b"this is a G-code text", refused.body)
