"""A Saturn that is idle, asked as OctoPrint's clients ask."""

from __future__ import annotations

import json
from typing import Any

from sdcpd.files import StoredFile
from sdcpd.web.octoprint import OctoPrintApi
from tests.web.rig import IdleCase, P, Reply, goo

JSON = {"Content-Type": "application/json"}


class OctoPrintCase(IdleCase):
    """Its answers and refusals, in this dialect."""

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

    def switch_off(self) -> None:
        """Nothing is heard of the printer any more."""
        self.rig.links.closed(self.link.session, "gone")
        self.rig.clock.advance(60)
        self.rig.links.sweep()
        self.rig.clock.advance(1)
