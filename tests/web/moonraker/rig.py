"""A Saturn that is idle, asked as Moonraker's clients ask."""

from __future__ import annotations

import json
from typing import Any

from sdcpd.codec.status import PrintInfo, Status
from tests.web.forms import FORM, form
from tests.web.rig import SATURN, Reply, WebCase, goo

TRUSTED = '[access.trusted]\n"127.0.0.0/8" = ["view", "upload", "queue", "control", "plate"]\n'
P = "/printers/saturn-3-ultra"


class MoonrakerCase(WebCase):
    """One printer, connected and idle; loopback may do what a slicer may."""

    config = TRUSTED

    def setUp(self) -> None:
        super().setUp()
        self.rig.announce()
        self.link = self.rig.connect()
        self.rig.publish(Status((0,)))

    def result(self, reply: Reply, status: int = 200) -> Any:
        """What a good answer wraps."""
        self.assertEqual(reply.status, status, reply.body)
        return reply.json["result"]

    def get(self, path: str, **more: Any) -> Any:
        return self.result(self.rig.get(f"{P}/{path}", **more))

    def post(self, path: str, body: bytes = b"", headers: Any = None, **more: Any) -> Reply:
        return self.rig.ask("POST", f"{P}/{path}", body, headers, **more)

    def refused(self, reply: Reply, status: int, message: str) -> None:
        """This very refusal, in the dialect's form, with nothing beside it."""
        self.assertEqual((reply.status, reply.json), (status, {"error": {"code": status, "message": message}}))
        self.assertEqual(reply.headers["content-type"], "application/json")

    def refuses(self, reply: Reply, status: int) -> str:
        """A refusal in the dialect's form; its message."""
        error = reply.json["error"]
        self.assertEqual((reply.status, set(error), error["code"]), (status, {"code", "message"}, status), reply.body)
        return str(error["message"])

    def upload(
        self, filename: str = "plate.goo", content: bytes | None = None, *, first: bool = False, **f: str
    ) -> Reply:
        body = form(goo() if content is None else content, filename, first=first, **f)
        return self.post("server/files/upload", body, FORM)

    def rpc(self, method: str, params: object = None, number: object = 1) -> Any:
        asked = {"jsonrpc": "2.0", "method": method, "id": number}
        body = json.dumps(asked if params is None else {**asked, "params": params}).encode()
        return self.post("server/jsonrpc", body, {"Content-Type": "application/json"}).json

    def clear(self) -> None:
        """Somebody looked: the plate is clear."""
        plate = self.rig.fleet.get(SATURN).plate
        self.rig.jobs.plates.confirm(self.rig.fleet.get(SATURN), plate.revision, "a test")

    def complete(self) -> None:
        """A print has ended well."""
        self.rig.publish(Status((0,), 0, PrintInfo(16, 100, 100, 100_000, 100_000, 0, "plate.goo")))
