from __future__ import annotations

import re
from typing import Any

from sdcpd.web.moonraker.form import MOONRAKER
from tests.web.moonraker.rig import MoonrakerCase
from tests.web.rig import SATURN

STRANGER = "203.0.113.5"
ROWS: tuple[tuple[str, str, str | None, int], ...] = (
    ("GET", "server/info", "view", 200),
    ("GET", "server/config", "admin", 200),
    ("GET", "printer/info", "view", 200),
    ("POST", "printer/emergency_stop", "control", 200),
    ("POST", "printer/restart", "control", 200),
    ("POST", "printer/firmware_restart", "control", 200),
    ("GET", "printer/objects/list", "view", 200),
    ("GET", "printer/objects/query", "view", 200),
    ("POST", "printer/objects/query", "view", 200),
    ("POST", "printer/objects/subscribe", "view", 200),
    ("GET", "printer/query_endstops/status", "view", 200),
    ("POST", "printer/gcode/script", "control", 400),
    ("GET", "printer/gcode/help", "view", 200),
    ("POST", "printer/print/start", "control", 400),
    ("POST", "printer/print/pause", "control", 400),
    ("POST", "printer/print/resume", "control", 400),
    ("POST", "printer/print/cancel", "control", 400),
    ("GET", "server/temperature_store", "view", 200),
    ("GET", "server/gcode_store", "view", 200),
    ("POST", "machine/shutdown", "admin", 403),
    ("POST", "machine/reboot", "admin", 403),
    ("POST", "machine/services/restart", "admin", 403),
    ("POST", "machine/services/start", "admin", 403),
    ("POST", "machine/services/stop", "admin", 403),
    ("GET", "machine/system_info", "view", 200),
    ("GET", "machine/proc_stats", "view", 200),
    ("GET", "server/files/roots", "view", 200),
    ("GET", "server/files/list", "view", 200),
    ("GET", "server/files/metadata", "view", 400),
    ("GET", "server/files/thumbnails", "view", 400),
    ("POST", "server/files/metascan", "upload", 400),
    ("GET", "server/files/directory", "view", 200),
    ("POST", "server/files/directory", "upload", 400),
    ("DELETE", "server/files/directory", "upload", 400),
    ("POST", "server/files/move", "upload", 400),
    ("POST", "server/files/copy", "upload", 400),
    ("POST", "server/files/upload", "upload", 400),
    ("GET", "server/files/<root>/<path:path>", "view", 404),
    ("DELETE", "server/files/<root>/<path:path>", "upload", 404),
    ("GET", "server/files/klippy.log", "admin", 200),
    ("GET", "server/files/moonraker.log", "admin", 200),
    ("POST", "server/logs/rollover", "admin", 403),
    ("POST", "server/restart", "admin", 403),
    ("GET", "server/history/list", "view", 200),
    ("GET", "server/history/totals", "view", 200),
    ("GET", "server/history/job", "view", 400),
    ("DELETE", "server/history/job", "admin", 400),
    ("POST", "server/history/reset_totals", "admin", 403),
    ("GET", "server/job_queue/status", "view", 200),
    ("POST", "server/job_queue/job", "queue", 400),
    ("DELETE", "server/job_queue/job", "queue", 400),
    ("POST", "server/job_queue/pause", "queue", 400),
    ("POST", "server/job_queue/start", "control", 400),
    ("POST", "server/job_queue/jump", "queue", 400),
    ("GET", "server/webcams/list", "view", 200),
    ("GET", "server/webcams/item", "view", 404),
    ("GET", "server/announcements/list", "view", 200),
    ("GET", "server/announcements/feeds", "view", 200),
    ("POST", "server/announcements/dismiss", "control", 400),
    ("POST", "server/jsonrpc", "view", 400),
    ("GET", "server/notifications", "view", 200),
    ("GET", "access/api_key", "admin", 403),
    ("POST", "access/api_key", "admin", 200),
    ("GET", "access/oneshot_token", "view", 200),
    ("GET", "access/info", None, 200),
    ("POST", "access/login", "view", 401),
    ("GET", "websocket", None, 501),
    ("GET", "klippysocket", None, 501),
)
"""Every row of the reference's table (apis.md 5.3): what it needs, and what it answers an admin without arguments."""

ABSENT = (
    ("GET", "machine/device_power/devices"),
    ("GET", "machine/device_power/device"),
    ("GET", "machine/update/status"),
    ("GET", "server/database/list"),
    ("GET", "server/database/item"),
    ("POST", "access/user"),
    ("POST", "access/refresh_jwt"),
    ("GET", "server/spoolman/status"),
)
"""The rows of that table that this server does not have, as the real one without those sections."""


class TableTests(MoonrakerCase):
    """Every row of the table of the dialect."""

    def test_routes(self) -> None:
        """Each row is a route, once, and no route is without a row."""
        rows = [(method, f"/printers/<name>/{path}", scope) for method, path, scope, _ in ROWS]
        routes = [(r.method, r.path, r.scope) for r in self.rig.web.routes if r.form is MOONRAKER]
        self.assertCountEqual(routes, rows)

    def test_answers(self) -> None:
        """An admin gets the answer of the table by each path, and a refusal has the dialect's form."""
        for method, path, _, status in ROWS:
            path = re.sub("<[^>]*>", "unknown", path)
            for prefix in (f"/printers/{SATURN.lower()}", ""):
                reply = self.rig.ask(method, f"{prefix}/{path}", key=self.rig.admin)
                self.assertEqual(reply.status, status, (method, prefix, path, reply.body))
                if status >= 400:
                    self.refuses(reply, status)

    def test_absent(self) -> None:
        """What this server has no section for is not there, as with the real one, and in the same words."""
        for method, path in ABSENT:
            self.refused(self.rig.ask(method, f"/printers/{SATURN}/{path}"), 404, "Not Found")
            self.refused(self.rig.ask(method, f"/{path}"), 404, "Not Found")

    def test_without_a_key(self) -> None:
        """A stranger is asked for a key at every path that needs one, and a key that may too little is told so."""
        viewer = self.rig.key("view", name="viewer")
        for method, path, scope, _ in ROWS:
            target = f"/printers/{SATURN}/" + re.sub("<[^>]*>", "unknown", path)
            reply = self.rig.ask(method, target, address=STRANGER)
            if scope is None:
                self.assertIn(reply.status, (200, 501))
                continue
            self.refused(reply, 401, "Unauthorized")
            if scope != "view":
                self.refuses(self.rig.ask(method, target, address=STRANGER, key=viewer), 403)
            self.rig.clock.advance(60)
            wrong = self.rig.ask(method, target, key="sdcpd_00000000_" + "a" * 32)
            self.refused(wrong, 401, "Unauthorized")

    def test_another_printers_key(self) -> None:
        """A key that is limited to another printer reaches this one neither by its path nor by the root."""
        key = self.rig.key("view", "upload", "control", name="limited", printers=["AB12"])
        for path in (f"/printers/{SATURN}/server/info", "/server/info", "/printer/info"):
            self.refuses(self.rig.get(path, address=STRANGER, key=key), 403)

    def test_wrong_methods(self) -> None:
        """A wrong method is refused with those that are possible; what changes something is never done by GET."""
        for method, path, allowed in (
            ("GET", "printer/gcode/script", "POST"),
            ("GET", "printer/print/start", "POST"),
            ("GET", "server/files/upload", "POST"),
            ("PATCH", "server/files/directory", "DELETE, GET, HEAD, POST"),
            ("DELETE", "printer/objects/query", "GET, HEAD, POST"),
        ):
            reply: Any = self.rig.ask(method, f"/printers/{SATURN}/{path}")
            self.refuses(reply, 405)
            self.assertEqual(reply.headers["allow"], allowed)

    def test_slashes_and_head(self) -> None:
        """Doubled and trailing slashes change nothing, and HEAD is possible wherever GET is."""
        clean = self.rig.get(f"/printers/{SATURN}/server/files/roots").body
        for path in (f"/printers/{SATURN}//server/files/roots", "//server//files/roots/", "/server/files/roots/"):
            self.assertEqual(self.rig.get(path).body, clean)
        for method, path, _, status in ROWS:
            if method == "GET":
                target = f"/printers/{SATURN}/" + re.sub("<[^>]*>", "unknown", path)
                headed = self.rig.ask("HEAD", target, key=self.rig.admin)
                self.assertEqual((headed.status, headed.body), (status, b""), path)

    def test_a_proxys_password(self) -> None:
        """A password for a proxy on the way is no key: whoever sends only that is asked for one."""
        headers = {"Authorization": "Basic bWFrZXI6c2VjcmV0"}
        reply = self.rig.get(f"/printers/{SATURN}/server/info", headers, address=STRANGER)
        self.refused(reply, 401, "Unauthorized")
