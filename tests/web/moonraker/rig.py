"""A Saturn that is idle, asked as Moonraker's clients ask."""

from __future__ import annotations

import json
from typing import Any

from tests.web.forms import FORM, form
from tests.web.rig import IdleCase, P, Reply, goo


class MoonrakerCase(IdleCase):
    """Its answers and refusals, in this dialect."""

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
