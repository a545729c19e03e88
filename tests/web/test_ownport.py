"""A port of one printer's own, over HTTP."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.address import IPv4Address

from sdcpd.fleet import Beforehand
from tests.fakes import logged
from tests.web.rig import MARS, SATURN, Pending, Reply, WebCase, goo, head, printing

FORM = b'--x\r\nContent-Disposition: form-data; name="file"; filename="plate.goo"\r\n\r\n%b\r\n--x--\r\n'


class OwnPortCase(WebCase):
    """Two printers, and the own port of one of them: what ``rig.get`` and the like ask."""

    def setUp(self) -> None:
        super().setUp()
        self.rig.fleet.configure([Beforehand("saturn", SATURN, "Saturn"), Beforehand("mars", MARS, "<i>Mars</i>")])
        for printer in (SATURN, MARS):
            self.rig.announce(printer, "Saturn 3 Ultra")
            self.rig.connect(printer)
        self.daemon = self.rig.site
        self.rig.site = self.rig.web.own_site("saturn")
        self.mars = self.rig.web.own_site("mars")

    def at_mars(self, target: str) -> Reply:
        self.rig.site, site = self.mars, self.rig.site
        try:
            return self.rig.get(target)
        finally:
            self.rig.site = site

    def refused_alike(self, reply: Reply) -> Any:
        return self.assert_refused(reply, 404, "not_found")


class TreeTests(OwnPortCase):
    def test_each_its_own(self) -> None:
        """Each port answers for its own printer, without a word of it in the path."""
        self.rig.publish(printing(5), MARS)
        asked = "/printer/objects/query?print_stats=state"
        states = [
            answer.json["result"]["status"]["print_stats"]["state"]
            for answer in (self.rig.get(asked), self.at_mars(asked))
        ]
        self.assertEqual(states, ["standby", "printing"])
        self.assertEqual([found["machine_id"] for found in self.rig.get("/status").json], [SATURN])
        self.assertEqual([found["machine_id"] for found in self.at_mars("/status").json], [MARS])
        self.assertEqual(list(self.rig.get("/v1/updates?timeout=0").json["printers"]), ["saturn"])

    def test_no_way_out(self) -> None:
        """Nothing leads from a printer's port to another printer or to what concerns all of them."""
        for target in (
            "/printers/mars/server/info",
            "/printers/saturn/server/info",
            "/../mars/server/info",
            "/..%2fmars/server/info",
            "/%2e%2e/mars/server/info",
            "//printers//mars//server/info",
            "/v1/printers",
            "/v1/printers/mars",
            "/v1/files",
            "/v1/keys",
            "/v1/jobs",
            "/metrics",
            "/openapi.json",
        ):
            error = self.refused_alike(self.rig.get(target))
            self.assertIn("one printer's own", error["hint"], target)
            self.assertNotIn("saturn", error["message"].replace("/printers/saturn/server", ""), target)
        self.refused_alike(self.rig.ask("POST", "/v1/printers/mars/print", b"{}"))
        self.refused_alike(self.rig.ask("PUT", "/v1/files/a.goo", b"short"))

    def test_absolute(self) -> None:
        """A target that is no path is refused as at every port, and OPTIONS for the whole server is no way out."""
        self.assert_refused(self.rig.get("http://hub.local/printers/mars/status"), 400, "bad_request")
        reply = self.rig.ask("OPTIONS", "*")
        self.rig.site = self.daemon
        self.assertEqual(reply, self.rig.ask("OPTIONS", "*"))

    def test_front(self) -> None:
        """A person who opens the port in a browser is told whose it is, and hostile names do no harm."""
        reply = self.at_mars("/")
        self.assertEqual((reply.status, reply.headers["content-type"]), (200, "text/html; charset=utf-8"))
        self.assertIn(b"&lt;i&gt;Mars&lt;/i&gt;", reply.body)
        self.assertNotIn(b"<i>", reply.body)
        self.assertIn(b'href="http://hub.local/server/info"', reply.body)
        self.assertIn(b"http://hub.local/sl1 for PrusaSlicer", reply.body)
        self.rig.site = self.daemon
        self.assertIn(b'href="http://hub.local/printers/mars/server/info"', self.rig.get("/printers/mars").body)

    def test_links(self) -> None:
        """Every address on that page is there."""
        for number, part in enumerate(self.rig.get("/").body.decode().split('href="http://hub.local')[1:]):
            target = part.partition('"')[0]
            self.assertEqual(self.rig.get(target).status, 200, (number, target))

    def test_healthz(self) -> None:
        """Whether the daemon is well can be asked at every port."""
        self.assertEqual(self.rig.get("/healthz").body, b"ok")

    def test_front_needs_view(self) -> None:
        """Who may not look learns no printer's name."""
        self.assert_refused(self.rig.get("/", address="203.0.113.5"), 403, "forbidden")


class AnswersTests(OwnPortCase):
    """What the trees say of themselves at a printer's own port."""

    #: Answers made once for everybody, with paths at the daemon's port beside the ``port``.
    SHARED = ("/v1/updates", "/server/notifications")
    LOGS = ("/server/files/klippy.log", "/server/files/moonraker.log")
    """What the whole process did of late, requests to other ports among it."""

    def test_no_prefix(self) -> None:
        """Whatever can be read at the port, no address in it has a path that is not there; idle, offline, printing."""
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        self.rig.ask("POST", "/api/files/local", FORM % goo(), headers)
        seen = 0
        for status in (printing(0, number=0, current=0), printing(5)):
            self.rig.publish(status)
            for route in self.rig.web.routes:
                tree, _, path = route.path.partition("/printers/<name>")
                if tree or route.method != "GET" or route.content == "text/event-stream":
                    continue
                if path in self.SHARED + self.LOGS:
                    continue
                target = re.sub(r"<[^>]*>", "plate.goo", path.replace("<path:storage>", "local")) or "/"
                reply = self.rig.get(f"{target}?timeout=0", host="hub.local:7001")
                seen += reply.status == 200
                said = reply.body.decode("utf-8", "replace") + "".join(reply.headers.values())
                self.assertNotIn("/printers/", said.replace("/v1/printers/", ""), target)
        self.assertGreater(seen, 60)

    def test_refs(self) -> None:
        """A file's addresses lead to it, at this port."""
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        reply = self.rig.ask("POST", "/api/files/local", FORM % goo(), headers, host="hub.local:7001")
        refs = reply.json["files"]["local"]["refs"]
        for address in (reply.headers["location"], refs["resource"], refs["download"]):
            self.assertTrue(address.startswith("http://hub.local:7001/"), address)
            target = address.removeprefix("http://hub.local:7001")
            self.assertEqual(self.rig.ask("HEAD", target).status, 200, target)


class ManyTests(OwnPortCase):
    """What else holds at every port."""

    def test_upload(self) -> None:
        """An upload is streamed, stored, and told under the address at this port."""
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        reply = self.rig.ask("POST", "/server/files/upload", FORM % goo(), headers, host="hub.local:7001")
        self.assertEqual(reply.status, 201, reply.body)
        self.assertEqual(reply.headers["location"], "http://hub.local:7001/server/files/gcodes/plate.goo")
        self.assertEqual(self.rig.ask("HEAD", "/server/files/gcodes/plate.goo").status, 200)

    def test_refused_before_body(self) -> None:
        """A stranger's upload is refused when its head is there, in the form of the tree."""
        pending = Pending(self.rig.site, IPv4Address("TCP", "203.0.113.5", 50_000), False)
        headers = {
            "Content-Length": "100000000",
            "Expect": "100-continue",
            "Content-Type": "multipart/form-data; boundary=x",
        }
        pending.send(head("POST", "/server/files/upload", b"", headers))
        self.assertEqual((pending.reply.status, pending.reply.json["error"]["code"]), (401, 401))

    def test_form(self) -> None:
        """What is not there is said in the form of the tree that was asked, and the path as it was written."""
        self.assertEqual(self.rig.get("/server/nothing").json, {"error": {"code": 404, "message": "Not Found"}})
        self.assertIn("nothing at /v1/nothing.", self.refused_alike(self.rig.get("/v1//nothing/"))["message"])

    def test_limited_key(self) -> None:
        """A key that is limited to another printer is worth nothing here."""
        key = self.rig.key("view", printers=[MARS])
        self.assertEqual(self.rig.get("/status", address="203.0.113.5", key=key).status, 403)
        key = self.rig.key("view", name="own", printers=[SATURN])
        self.assertEqual(self.rig.get("/status", address="203.0.113.5", key=key).status, 200)

    def test_host_and_origin(self) -> None:
        """The rules for browsers hold here, too: a page that another port has served is another site's."""
        self.assert_refused(self.rig.get("/status", host="evil.example"), 421, "foreign_host")
        origin = {"Origin": "http://hub.local:8080"}
        reply = self.rig.ask("POST", "/printer/print/cancel", b"", origin, host="hub.local:7001")
        self.assertEqual(reply.status, 403)

    def test_audited(self) -> None:
        """The log says whose printer it was, although the path does not."""
        lines = logged(self)
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        self.rig.ask("POST", "/server/files/upload", FORM % goo(), headers)
        told = [line for line in lines if "POST" in line]
        self.assertEqual(told, ["key admin at 127.0.0.1: POST /printers/saturn/server/files/upload: 201"])


class DocumentTests(OwnPortCase):
    def test_port(self) -> None:
        """The list of printers says which port is whose."""
        self.rig.site = self.daemon
        self.rig.fleet.configure([Beforehand("saturn", SATURN, None, 7001), Beforehand("mars", MARS)])
        self.assertEqual([found["port"] for found in self.rig.get("/v1/printers").json], [7001, None])
