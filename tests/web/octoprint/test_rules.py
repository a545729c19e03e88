from __future__ import annotations

from typing import Any

from sdcpd.codec.status import Status
from sdcpd.files import wire_name
from tests.web.octoprint.rig import JSON, OctoPrintCase
from tests.web.octoprint.test_table import ROWS, STRANGER, filled
from tests.web.rig import P, printing

READABLE = [filled(path) for method, path, _, status in ROWS if method == "GET" and status == 200]


class RuleTests(OctoPrintCase):
    """The rules that cut across (reference apis.md 5.5)."""

    def test_slashes(self) -> None:
        """Doubled and trailing slashes change nothing, and nobody is sent elsewhere for them."""
        clean = self.rig.get(f"{P}/api/version")
        for target in (
            f"{P}//api/version",
            f"/{P}/api//version/",
            f"{P}/api/version/",
            "//api/version",
            "/api/version/",
        ):
            reply = self.rig.get(target)
            self.assertEqual((reply.status, reply.body), (200, clean.body), target)
        body = b'{"command": "pause"}'
        for target in (f"{P}//api/job", f"{P}/api/job/"):
            self.refuses(self.rig.ask("POST", target, body, JSON), 409)

    def test_head(self) -> None:
        """HEAD is possible wherever GET is, with the same head and no body."""
        for method, path, _, status in ROWS:
            if method == "GET":
                target = f"{P}/{filled(path)}"
                headed, got = self.rig.ask("HEAD", target), self.rig.get(target)
                self.assertEqual((headed.status, headed.body), (status, b""), path)
                self.assertEqual({**headed.headers, "date": ""}, {**got.headers, "date": ""})
        self.assertEqual(self.rig.ask("HEAD", f"{P}/api/login").status, 405)

    def test_wrong_methods(self) -> None:
        """A wrong method is refused in the dialect's form, with those that are possible."""
        for method, path, allowed in (
            ("GET", "api/login", "POST"),
            ("GET", "api/printer/printhead", "POST"),
            ("GET", "api/printer/command", "POST"),
            ("PUT", "api/job", "GET, HEAD, POST"),
            ("DELETE", "api/version", "GET, HEAD"),
        ):
            reply = self.rig.ask(method, f"{P}/{path}")
            self.assertIn("is not possible here", self.refuses(reply, 405))
            self.assertEqual((reply.headers["allow"], reply.reason), (allowed, "METHOD NOT ALLOWED"))

    def test_unknown_paths(self) -> None:
        """An unknown path is refused in the dialect's form, below a printer and at the root."""
        for path in ("api/nothing", "api/printer/legs", "plugin/psucontrol/state"):
            for at in (P, ""):
                self.assertIn(f"/{path}", self.refuses(self.rig.get(f"{at}/{path}"), 404))

    def test_keys(self) -> None:
        """A key is taken in each of the ways in which clients send it."""
        key, target = self.rig.key("view", name="viewer"), f"{P}/api/job"
        token = self.rig.ask("POST", "/v1/token", address=STRANGER, key=key).json["token"]
        for headers, query in (
            ({"x-api-key": key}, ""),
            ({"X-API-KEY": key}, ""),
            ({"Authorization": f"Bearer {key}"}, ""),
            ({}, f"?apikey={key}"),
            ({}, f"?token={token}"),
        ):
            self.assertEqual(self.rig.get(target + query, headers, address=STRANGER).status, 200, query)
        self.assertEqual(self.rig.get(f"{target}?token={token}", address=STRANGER).status, 403)

    def test_validators(self) -> None:
        """What can be asked again carries a validator, and who has it already is told so in few bytes."""
        for path in READABLE:
            reply = self.rig.get(f"{P}/{path}")
            self.assertEqual(reply.headers["cache-control"], "no-cache", path)
            again = self.rig.get(f"{P}/{path}", {"If-None-Match": reply.headers["etag"]})
            self.assertEqual((again.status, again.reason, again.body), (304, "NOT MODIFIED", b""), path)
        tag = self.rig.get(f"{P}/api/job").headers["etag"]
        self.rig.publish(printing(3))
        self.assertEqual(self.rig.get(f"{P}/api/job", {"If-None-Match": tag}).status, 200)

    def test_safe(self) -> None:
        """No GET changes anything, whatever its query says."""
        file = self.store()
        self.rig.publish(printing(3, filename=wire_name(file)))
        before: Any = (
            self.rig.fleet.version,
            self.rig.jobs.all(),
            self.api.selection.of(self.printer),
            len(self.api.logins),
        )
        for path in (*READABLE, "api/login", "api/logout", "api/printer/command", "api/printer/printhead"):
            self.rig.get(f"{P}/{path}?command=cancel&action=pause&passive=true&user=a&pass=b&commands=M112")
        self.assertEqual(self.link.sent, [])
        self.assertIsNone(self.link.ended)
        after = (self.rig.fleet.version, self.rig.jobs.all(), self.api.selection.of(self.printer), len(self.api.logins))
        self.assertEqual(after, before)

    def test_foreign_page(self) -> None:
        """A page of another site that is open in a browser of the house changes nothing by the house's own trust."""
        self.rig.publish(printing(3))
        for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            reply = self.rig.ask(
                "POST", f"{P}/api/job", b'{"command": "cancel"}', {**JSON, **headers}, address="127.0.0.1"
            )
            self.refuses(reply, 403)
        self.assertEqual(self.link.sent, [])

    def test_first_line(self) -> None:
        """A small display compares the first line byte by byte, and reads the raw body behind it."""
        pending = self.rig.begin("GET", "/api/printer?exclude=sd,history")
        self.assertTrue(pending.transport.value().startswith(b"HTTP/1.1 200 OK\r\n"))
        self.assertNotIn(b"chunked", pending.transport.value())
        self.switch_off()
        pending = self.rig.begin("GET", "/api/printer?exclude=sd,history")
        self.assertTrue(pending.transport.value().startswith(b"HTTP/1.1 409 CONFLICT\r\n"))

    def test_served_files(self) -> None:
        """Also a file that is served, by a resource of its own, has the upper-case phrase."""
        self.store()
        reply = self.rig.ask("HEAD", "/v1/files/plate.goo")
        self.assertEqual((reply.status, reply.reason), (200, "OK"))
        again = self.rig.get("/v1/files/plate.goo", {"If-None-Match": reply.headers["etag"]})
        self.assertEqual((again.status, again.reason), (304, "NOT MODIFIED"))

    def test_numbers(self) -> None:
        """Whole numbers are whole wherever the real server has them so."""
        self.rig.publish(printing(33, current_ticks=33_333, total_ticks=99_999, filename=wire_name(self.store())))
        found = self.get("api/job")
        for part, names in (
            (found["progress"], ("filepos", "printTime", "printTimeLeft")),
            (found["job"]["file"], ("size", "date")),
            (found["job"], ("estimatedPrintTime",)),
        ):
            for name in names:
                self.assertIs(type(part[name]), int, name)
        self.rig.publish(Status((0,)))
