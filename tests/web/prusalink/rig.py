"""A Saturn that is idle, asked as PrusaLink's clients ask."""

from __future__ import annotations

from typing import Any

from tests.web.rig import IdleCase, P, Reply, goo

JSON = {"Accept": "application/json"}
YES = "?1"


class PrusaLinkCase(IdleCase):
    """Its answers and refusals, in this dialect."""

    def get(self, path: str, **more: Any) -> Any:
        """A good answer's document."""
        reply = self.rig.get(f"{P}/api/v1/{path}", **more)
        self.assertEqual(reply.status, 200, reply.body)
        return reply.json

    def ask(self, method: str, path: str, body: bytes = b"", headers: Any = None, **more: Any) -> Reply:
        return self.rig.ask(method, f"{P}/api/v1/{path}", body, headers, **more)

    def send(self, name: str = "plate.goo", content: bytes | None = None, at: str = P, **headers: str) -> Reply:
        """Upload as PrusaSlicer does; the headers are those of the request, with _ for -."""
        told = {"Content-Type": "text/x.gcode", **{n.replace("_", "-"): value for n, value in headers.items()}}
        return self.rig.ask("PUT", f"{at}/api/v1/files/local/{name}", goo() if content is None else content, told)

    def refused(self, reply: Reply, status: int) -> str:
        """A refusal in this dialect's form: one line of text that a slicer can show; the line."""
        self.assertEqual((reply.status, reply.headers["content-type"]), (status, "text/plain; charset=utf-8"))
        text = reply.body.decode()
        self.assertRegex(text, r"\A\w[^\n]*\Z")
        return text

    def number(self) -> int:
        """The present print's number."""
        return int(self.get("job")["id"])
