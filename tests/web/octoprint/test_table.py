from __future__ import annotations

import re
from http import HTTPStatus

from sdcpd.web.octoprint.form import NO_PERMISSION, OCTOPRINT
from tests.web.octoprint.rig import JSON, OctoPrintCase
from tests.web.rig import MARS, SATURN

STRANGER = "203.0.113.5"
ROWS: tuple[tuple[str, str, str, int], ...] = (
    ("GET", "api/version", "view", 200),
    ("GET", "api/server", "view", 200),
    ("POST", "api/login", "view", 400),
    ("POST", "api/logout", "view", 204),
    ("GET", "api/currentuser", "view", 200),
    ("GET", "api/connection", "view", 200),
    ("POST", "api/connection", "control", 400),
    ("GET", "api/printer", "view", 200),
    ("POST", "api/printer/printhead", "control", 400),
    ("GET", "api/printer/tool", "view", 200),
    ("POST", "api/printer/tool", "control", 400),
    ("GET", "api/printer/bed", "view", 409),
    ("POST", "api/printer/bed", "control", 409),
    ("GET", "api/printer/chamber", "view", 409),
    ("POST", "api/printer/chamber", "control", 409),
    ("GET", "api/printer/sd", "view", 404),
    ("POST", "api/printer/sd", "control", 404),
    ("GET", "api/printer/storage", "view", 404),
    ("POST", "api/printer/storage", "control", 404),
    ("POST", "api/printer/command", "control", 400),
    ("GET", "api/printer/command/custom", "view", 200),
    ("GET", "api/printer/error", "view", 200),
    ("GET", "api/job", "view", 200),
    ("POST", "api/job", "control", 400),
    ("GET", "api/settings", "view", 200),
    ("POST", "api/settings", "admin", 403),
    ("POST", "api/settings/apikey", "admin", 403),
    ("GET", "api/printerprofiles", "view", 200),
    ("POST", "api/printerprofiles", "admin", 403),
    ("GET", "api/printerprofiles/<profile>", "view", 404),
    ("PATCH", "api/printerprofiles/<profile>", "admin", 403),
    ("DELETE", "api/printerprofiles/<profile>", "admin", 403),
    ("GET", "api/system/commands", "view", 200),
    ("GET", "api/system/commands/<source>", "view", 404),
    ("POST", "api/system/commands/<source>/<command>", "admin", 404),
    ("GET", "plugin/DisplayLayerProgress/values", "view", 200),
    ("GET", "api/timelapse", "view", 200),
    ("GET", "api/slicing", "view", 200),
    ("GET", "api/languages", "view", 200),
    ("GET", "api/access/users", "admin", 403),
    ("GET", "api/users", "admin", 403),
    ("GET", "api/plugin/<path:plugin>", "view", 404),
    ("POST", "api/plugin/<path:plugin>", "control", 404),
    ("GET", "plugin/logging/logs", "admin", 404),
)
"""The rows of the reference's table (apis.md 5.2): the scope, and what an admin gets for an empty JSON object."""

ELSEWHERE: tuple[tuple[str, str], ...] = (
    ("GET", "api/files"),
    ("GET", "api/files/<origin>"),
    ("GET", "api/files/<origin>/<path:path>"),
    ("POST", "api/files/<origin>"),
    ("POST", "api/files/<origin>/<path:path>"),
    ("DELETE", "api/files/<origin>/<path:path>"),
    ("GET", "downloads/files/<origin>/<path:path>"),
    ("GET", "plugin/appkeys/probe"),
    ("POST", "plugin/appkeys/request"),
    ("GET", "plugin/appkeys/request/<token>"),
    ("GET", "plugin/appkeys/auth/<ticket>"),
    ("POST", "plugin/appkeys/auth/<ticket>"),
    ("POST", "plugin/appkeys/decision/<ticket>"),
    ("GET", "sockjs"),
    ("GET", "sockjs/info"),
    ("GET", "sockjs/websocket"),
    ("POST", "sockjs/<dotless:server>/<dotless:session>/xhr"),
    ("POST", "sockjs/<dotless:server>/<dotless:session>/xhr_send"),
    ("POST", "sockjs/<dotless:server>/<dotless:session>/xhr_streaming"),
    ("GET", "sockjs/<dotless:server>/<dotless:session>/eventsource"),
    ("GET", "sockjs/<dotless:server>/<dotless:session>/websocket"),
)
"""The other rows, and what SockJS and the pages for approval have beside them, which take no JSON or need no key, so
that their own tests ask them."""


def filled(path: str) -> str:
    return re.sub("<[^>]*>", "unknown", path)


class TableTests(OctoPrintCase):
    def test_complete(self) -> None:
        """Every row of the table is a route, once, with the scope that it needs, and no route is without a row."""
        found = {
            (r.method, r.path.removeprefix("/printers/<name>/")): r.scope
            for r in self.rig.web.routes
            if r.form is OCTOPRINT
        }
        for method, path, scope, _ in ROWS:
            self.assertEqual(found.pop((method, path)), scope)
        self.assertCountEqual(found, ELSEWHERE)

    def test_answers(self) -> None:
        """An admin gets the answer of the table by each path, whole, with its phrase, and refusals in the form."""
        for method, path, _, status in ROWS:
            for prefix in (f"/printers/{SATURN.lower()}", ""):
                body = b"" if method == "GET" else b"{}"
                reply = self.rig.ask(method, f"{prefix}/{filled(path)}", body, JSON)
                self.assertEqual(reply.status, status, (method, prefix, path, reply.body))
                self.assertEqual(reply.reason, HTTPStatus(status).phrase.upper())
                if status >= 400:
                    self.refuses(reply, status)
                elif status == 200:
                    self.assertEqual(reply.headers["content-type"], "application/json")
                    self.assertNotIn(b"NaN", reply.body)

    def test_permission(self) -> None:
        """A stranger, a wrong key and an empty one read the sentence that clients know; a weak key what it lacks."""
        viewer = self.rig.key("view", name="viewer")
        for method, path, scope, _ in ROWS:
            target = f"/printers/{SATURN}/{filled(path)}"
            body = b"" if method == "GET" else b"{}"
            self.refused(self.rig.ask(method, target, body, JSON, address=STRANGER), 403, NO_PERMISSION)
            for key in ("", "sdcpd_00000000_" + "a" * 32):
                self.rig.clock.advance(60)
                self.refused(self.rig.ask(method, target, body, JSON, address=STRANGER, key=key), 403, NO_PERMISSION)
            if scope != "view":
                reply = self.rig.ask(method, target, body, JSON, address=STRANGER, key=viewer)
                self.assertIn(f"needs the scope {scope!r}", self.refuses(reply, 403))

    def test_another_printers_key(self) -> None:
        """A key that is limited to another printer reaches this one neither by its path nor by the root."""
        key = self.rig.key("view", "upload", "control", name="limited", printers=["AB12"])
        for path in (f"/printers/{SATURN}/api/job", "/api/job", "/api/version", "/api/printer"):
            self.assertIn("limited to other printers", self.refuses(self.rig.get(path, address=STRANGER, key=key), 403))

    def test_two_printers(self) -> None:
        """Two printers' trees answer for their own printer; the root then speaks for nobody, and lists both."""
        self.rig.announce(MARS, "Mars", "192.168.1.101")
        for path in ("api/settings", "api/printerprofiles", "api/version"):
            bodies = {self.rig.get(f"/printers/{name}/{path}").body for name in (SATURN, MARS)}
            self.assertEqual(len(bodies), 2, path)
        self.assertEqual(self.rig.get(f"/printers/{MARS}/api/job").json["state"], "Offline")
        text = self.refuses(self.rig.get("/api/version"), 404)
        self.assertIn("Several printers are served here", text)
        self.assertIn("mars", text)
        self.assertIn("saturn-3-ultra", text)
        self.refuses(self.rig.get("/printers/unknown/api/version"), 404)
