from __future__ import annotations

import re

from sdcpd.web.prusalink.form import PrusaLinkError
from tests.web.prusalink.rig import JSON, YES, PrusaLinkCase
from tests.web.rig import SATURN, P

STRANGER = "203.0.113.5"
ROWS: tuple[tuple[str, str, str, int], ...] = (
    ("GET", "storage", "view", 200),
    ("GET", "status", "view", 200),
    ("GET", "info", "view", 200),
    ("GET", "job", "view", 204),
    ("PUT", "files/<storage>/<path:path>", "upload", 404),
    ("GET", "files/<storage>", "view", 404),
    ("GET", "files/<storage>/<path:path>", "view", 404),
    ("GET", "files/<storage>/<path:path>/raw", "view", 404),
    ("GET", "files/<storage>/<path:path>/thumbnail.png", "view", 404),
    ("POST", "files/<storage>/<path:path>", "control", 404),
    ("DELETE", "files/<storage>/<path:path>", "upload", 404),
    ("PUT", "job/<number>/pause", "control", 404),
    ("PUT", "job/<number>/resume", "control", 404),
    ("PUT", "job/<number>/continue", "control", 404),
    ("DELETE", "job/<number>", "control", 404),
    ("GET", "transfer", "view", 204),
    ("DELETE", "transfer/<number>", "control", 404),
    ("GET", "cameras", "view", 200),
    ("GET", "cameras/snap", "view", 404),
)
"""Every row of the reference's table (apis.md 5.4), and what else clients ask for: what it needs, and what it answers
who may all about an idle printer and a name that is not there."""

PLACES = ("", "/sl1", "/prusalink")


class TableTests(PrusaLinkCase):
    """Every row of the table of the dialect, at the printer's own path, at its twins, and at the root."""

    def test_routes(self) -> None:
        """Each row is a route, once, and no route is without a row."""
        rows = [(method, f"/printers/<name>/api/v1/{path}", scope) for method, path, scope, _ in ROWS]
        routes = [(r.method, r.path, r.scope) for r in self.rig.web.routes if r.form.document is PrusaLinkError]
        self.assertCountEqual(routes, rows)

    def test_answers(self) -> None:
        """Each row answers as the table says at each place, and HEAD wherever GET does."""
        for method, path, _, status in ROWS:
            path = re.sub("<[^>]*>", "unknown", path)
            for below in (P, f"/printers/{SATURN.lower()}", ""):
                for place in PLACES:
                    target = f"{below}{place}/api/v1/{path}"
                    reply = self.rig.ask(method, target, headers=JSON)
                    self.assertEqual(reply.status, status, (method, target, reply.body))
                    if status >= 400:
                        self.assertEqual(set(reply.json), {"code", "title", "text"})
                    if method == "GET":
                        self.assertEqual(self.rig.ask("HEAD", target).status, status, target)

    def test_without_a_key(self) -> None:
        """A stranger is asked for a key everywhere; a key that may too little is told so, and a wrong one refused."""
        viewer = self.rig.key("view", name="viewer")
        for method, path, scope, status in ROWS:
            target = f"{P}/api/v1/" + re.sub("<[^>]*>", "unknown", path)
            reply = self.rig.ask(method, target, address=STRANGER)
            self.refused(reply, 401)
            self.assertRegex(reply.headers["www-authenticate"], '^Digest realm="sdcpd", nonce=')
            reply = self.rig.ask(method, target, address=STRANGER, key=viewer)
            self.assertEqual(reply.status, status if scope == "view" else 403, (method, target))
            self.rig.clock.advance(60)
            wrong = self.rig.ask(method, target, key="sdcpd_00000000_" + "a" * 32)
            self.refused(wrong, 401)
            self.assertRegex(wrong.headers["www-authenticate"], '^Digest realm="sdcpd", nonce=')

    def test_limited_key(self) -> None:
        """A key for another printer gets nowhere; one for this printer may do all but take away what belongs to all."""
        other = self.rig.key("upload", "control", name="other", printers=["0" * 16])
        own = self.rig.key("upload", "control", name="own", printers=[SATURN])
        for method, path, _, status in ROWS:
            for below in (P, ""):
                target = f"{below}/api/v1/" + re.sub("<[^>]*>", "unknown", path)
                self.refused(self.rig.ask(method, target, address=STRANGER, key=other), 403)
                self.rig.clock.advance(10)
                reply = self.rig.ask(method, target, address=STRANGER, key=own)
                self.assertEqual(reply.status, status, (method, target, reply.body))
        self.rig.put()
        reply = self.ask("DELETE", "files/local/plate.goo", address=STRANGER, key=own)
        self.assertIn("belongs to all", self.refused(reply, 403))
        for place in (P, f"{P}/sl1", "", "/prusalink"):
            told = {"Create-Folder": YES}
            reply = self.rig.ask("PUT", f"{place}/api/v1/files/local/new", b"", told, address=STRANGER, key=own)
            self.assertIn("belongs to all", self.refused(reply, 403))
        self.assertEqual([child["name"] for child in self.get("files/local")["children"]], ["plate.goo"])

    def test_unknown(self) -> None:
        """What is not there is refused in this dialect's form at its own paths, and at everything of its twins."""
        for path in ("/api/v1", "/api/v1/nothing", "/sl1", "/sl1/server/info", "/prusalink/api/settings"):
            for below in (P, ""):
                self.refused(self.rig.get(below + path), 404)
        reply = self.rig.ask("POST", f"{P}/sl1/api/v1/status")
        self.assertIn("GET", self.refused(reply, 405))
        self.assertEqual(reply.headers["allow"], "GET, HEAD")

    def test_json(self) -> None:
        """Who asks for JSON gets a stable word, the status in words and the very sentence that others read."""
        told = self.ask("GET", "files/local/none.goo", headers=JSON).json
        self.assertEqual((told["code"], told["title"]), ("file_missing", "Not Found"))
        self.assertEqual(self.refused(self.ask("GET", "files/local/none.goo"), 404), told["text"])
