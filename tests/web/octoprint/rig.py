"""A Saturn that is idle, asked as OctoPrint's clients ask."""

from __future__ import annotations

import json
from typing import Any

from sdcpd.codec.status import PrintInfo, Status
from sdcpd.files import StoredFile
from sdcpd.fleet import Printer
from sdcpd.web.octoprint import OctoPrintApi
from tests.web.rig import SATURN, Reply, WebCase, goo

TRUSTED = '[access.trusted]\n"127.0.0.0/8" = ["view", "upload", "queue", "control", "plate"]\n'
P = "/printers/saturn-3-ultra"
JSON = {"Content-Type": "application/json"}


class OctoPrintCase(WebCase):
    """One printer, connected and idle; loopback may do what a slicer may."""

    config = TRUSTED

    def setUp(self) -> None:
        super().setUp()
        self.rig.announce()
        self.link = self.rig.connect()
        self.rig.publish(Status((0,)))

    @property
    def printer(self) -> Printer:
        return self.rig.fleet.get(SATURN)

    @property
    def api(self) -> OctoPrintApi:
        return self.rig.web.octoprint

    def get(self, path: str, **more: Any) -> Any:
        """A good answer's JSON."""
        reply = self.rig.get(f"{P}/{path}", **more)
        self.assertEqual(reply.status, 200, reply.body)
        return reply.json

    def post(self, path: str, document: object, headers: Any = None, **more: Any) -> Reply:
        body = json.dumps(document).encode()
        return self.rig.ask("POST", f"{P}/{path}", body, {**JSON, **(headers or {})}, **more)

    def done(self, reply: Reply) -> None:
        """Done, and there is nothing to say."""
        self.assertEqual((reply.status, reply.reason, reply.body), (204, "NO CONTENT", b""))

    def refused(self, reply: Reply, status: int, text: str) -> None:
        """This very refusal, in the dialect's form, with nothing beside it."""
        self.assertEqual((reply.status, reply.json), (status, {"error": text}))
        self.assertEqual(reply.headers["content-type"], "application/json")

    def refuses(self, reply: Reply, status: int) -> str:
        """A refusal in the dialect's form; its text."""
        self.assertEqual((reply.status, set(reply.json)), (status, {"error"}), reply.body)
        return str(reply.json["error"])

    def store(self, name: str = "plate.goo", content: bytes | None = None) -> StoredFile:
        """A file that was uploaded."""
        self.rig.put(name, goo() if content is None else content)
        return self.rig.store.get(name)

    def clear(self) -> None:
        """Somebody looked: the plate is clear."""
        plate = self.printer.plate
        self.rig.jobs.plates.confirm(self.printer, plate.revision, "a test")

    def complete(self, name: str = "plate.goo") -> None:
        """A print has ended well."""
        self.rig.publish(Status((0,), 0, PrintInfo(16, 100, 100, 100_000, 100_000, 0, name)))

    def switch_off(self) -> None:
        """Nothing is heard of the printer any more."""
        self.rig.links.closed(self.link.session, "gone")
        self.rig.clock.advance(60)
        self.rig.links.sweep()
        self.rig.clock.advance(1)
