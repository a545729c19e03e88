from __future__ import annotations

import re
from typing import Any

import msgspec
from twisted.web.iweb import IRequest

from sdcpd.fleet import Printer
from sdcpd.web.answer import Answer
from sdcpd.web.errors import NATIVE, Form
from sdcpd.web.mount import Mount, MountedSite
from sdcpd.web.routes import Call, Route, tree
from tests.fakes import logged
from tests.web.forms import FORM
from tests.web.forms import form as body_of
from tests.web.rig import MARS, SATURN, Reply, WebCase, goo


def form(name: str) -> Form:
    """A form of refusals that says no more than whose it is."""

    def answer(request: IRequest, status: int, *_: object) -> Answer:
        return Answer(status, name.encode())

    return Form(answer)


OLD, NEW = form("old"), form("new")


def told(call: Call, printer: Printer, **parts: str) -> Answer:
    """Which printer is meant, and which thing of it."""
    return Answer(200, " ".join((printer.slug, *parts.values())).encode())


class MountTests(WebCase):
    """Two dialects, of which one has a part of the other's paths, and a twin that has routes of both."""

    def setUp(self) -> None:
        super().setUp()
        self.mount = Mount(self.rig.fleet, "")
        version = Route("GET", "/api/version", "view", told)
        files = Route("GET", "/api/v1/files/<path:path>", "view", told)
        self.routes = (
            *self.mount.put(OLD, (version, Route("GET", "/downloads/<path:path>", "view", told))),
            *self.mount.put(NEW, (files,), owns=("/api/v1",)),
        )
        self.mount.twin(b"/twin", NEW, re.compile(rb"/api/v"))
        resource = tree(self.routes, self.rig.web._access, self.mount.form_of)
        self.rig.site = MountedSite(self.mount, resource, lambda *_: False, self.rig.clock)
        self.rig.announce()

    def body(self, path: str) -> bytes:
        return self.rig.get(path).body

    def test_places(self) -> None:
        """Each route answers at each of its places, below a printer and at the root, with the parts of its path."""
        for place in ("", "/printers/saturn-3-ultra"):
            for path in ("/api/version", "/twin/api/version"):
                self.assertEqual(self.body(place + path), b"saturn-3-ultra")
            for path in ("/api/v1/files/a/b.goo", "/twin/api/v1/files/a/b.goo"):
                self.assertEqual(self.body(place + path), b"saturn-3-ultra a/b.goo")

    def test_printers(self) -> None:
        """Two printers answer differently at a twin, too, and at the root nobody guesses."""
        self.rig.announce(MARS, name="Mars")
        self.assertEqual(self.body("/printers/mars/twin/api/version"), b"mars")
        self.assertEqual(self.body("/printers/saturn-3-ultra/twin/api/version"), b"saturn-3-ultra")
        self.assertEqual(self.rig.get("/twin/api/version").status, 404)

    def test_refusals(self) -> None:
        """A path that is not there is refused as the dialect does that owns the longest beginning of it."""
        for place in ("", "/printers/saturn-3-ultra"):
            for path, expected in (
                ("/api/nothing", b"old"),
                ("/api/v1", b"new"),
                ("/api/v1/nothing/at/all", b"new"),
                ("/api/v12", b"old"),
                ("/downloads", b"old"),
                ("/downloads/x", b"200"),
                ("/twin", b"new"),
                ("/twin/api/nothing", b"new"),
                ("/twin/downloads/x", b"new"),
            ):
                reply = self.rig.get(place + path)
                self.assertEqual(reply.body if reply.status == 404 else b"%d" % reply.status, expected, place + path)

    def test_nobodys(self) -> None:
        """What is below no printer and no dialect's is refused natively, also where a dialect's words come later."""
        for path in ("/v1/nothing", "/v1/printers/saturn/api/version", "/printers/saturn", "/"):
            self.assert_refused(self.rig.get(path), 404, "not_found")

    def test_once(self) -> None:
        """Each thing is a route once, below a printer, however many paths lead to it."""
        paths = ("/api/version", "/downloads/<path:path>", "/api/v1/files/<path:path>")
        self.assertEqual([route.path for route in self.routes], [f"/printers/<name>{path}" for path in paths])


class WayTests(WebCase):
    """How a path is read, in the whole tree."""

    def setUp(self) -> None:
        super().setUp()
        self.rig.announce()

    def way(self, asked: str) -> tuple[str, str]:
        """What the router gets, and which twin it is for."""
        way = self.rig.web._mount.way(asked.encode("latin-1"))
        self.assertEqual(way.asked.decode("latin-1"), asked)
        self.assertEqual(way.is_meant, way.path.startswith(b"/printers/@/") and not asked.startswith("/printers/"))
        return way.path.decode("latin-1"), way.twin.decode()

    def test_native(self) -> None:
        """What is a native route's is never read as a dialect's, so that a dialect cannot take its place."""
        for route in self.rig.web.routes:
            if route.form is NATIVE:
                target = re.sub("<[^>]*>", "api", route.path)
                self.assertEqual(self.way(target), (target, ""))

    def test_meant(self) -> None:
        """At the root a dialect's path is put below a printer that has no name; a twin's place is taken off."""
        for asked, path, twin in (
            ("/server/info", "/printers/@/server/info", ""),
            ("/api/v1/status", "/printers/@/api/v1/status", ""),
            ("/sl1/api/v1/status", "/printers/@/api/v1/status", "/sl1"),
            ("/%73l1/%61pi/v1/a%2Eb", "/printers/@/api/v1/a%2Eb", "/sl1"),
            ("/printers/saturn/prusalink/api/files", "/printers/saturn/api/files", "/prusalink"),
            ("/printers/%73aturn/sl1/api/version", "/printers/saturn/api/version", "/sl1"),
        ):
            self.assertEqual(self.way(asked), (path, twin))

    def test_hostile(self) -> None:
        """No way of writing a path makes it another one's: what is not a twin's or a dialect's stays what it is."""
        for asked in (
            *("/", "*", "http://hub.local/server/info", "/printers", "/printers/@", "/printers/x", "/SL1/api/version"),
            *("/./server/info", "/../server/info", "/%2e%2e/server/info", "/serverx/info", "/v1/../server/info"),
            *("/printers/@/server/info", "/printers/@/status", "/printers/@/v1/updates", "/printers/../server/info"),
            *("/printers/x/sl1", "/printers/x/sl1/status", "/printers/x/sl1/v1/updates", "/printers/x/sl1/server/info"),
            *("/printers/x/sl1/sl1/api/version", "/printers/x/sl1/prusalink/api/version", "/printers/x/printers/y/api"),
            *("/printers/x/sl1/../api/version", "/printers/x/sl1/./api/version", "/printers/x/sl1x/api/version"),
            *("/printers/x/sl1/api/versions", "/printers/x/sl1/api/version%0A", "/printers/x/sl1/api/job/x"),
            *("/printers/x/sl1/api/v1x", "/printers/x/sl1/api/settings", "/printers/\xff/api", "/\xff"),
        ):
            self.assertEqual(self.way(asked), (asked, ""))
        for below in ("", "/status", "/printers/x/api/version", "/sl1/api/version", "/../api/version"):
            self.assertEqual(self.way(f"/sl1{below}"), (f"/printers/@/sl1{below}", ""))

    def test_nobody(self) -> None:
        """The name that stands for none in a path is no printer's, whoever writes it, and however."""
        own = self.rig.key("view", name="own", printers=[SATURN])
        for name in ("@", "%40", "%2540", "@@"):
            for path in ("server/info", "api/version", "status", "v1/updates?timeout=0", "sl1/api/version"):
                for key, status in ((self.rig.admin, 404), (own, 403)):
                    reply = self.rig.get(f"/printers/{name}/{path}", key=key)
                    self.assertEqual(reply.status, status, (name, path, reply.body))


class EveryPathTests(WebCase):
    """The same thing by each of its paths."""

    def same(self, method: str, path: str, **more: Any) -> Reply:
        """What is answered below the printer's path; the same is at the root and at the printer's own port."""
        self.rig.clock.advance(60)
        expected = self.rig.ask(method, f"/printers/saturn-3-ultra{path}", **more)
        for site in (self.rig.web.site(), self.rig.web.own_site("saturn-3-ultra")):
            self.rig.site = site
            self.rig.clock.advance(60)
            reply = self.rig.ask(method, path, **more)
            self.assertEqual(reply.status, expected.status, path)
            for name in ("allow", "content-type", "retry-after"):
                self.assertEqual(reply.headers.get(name), expected.headers.get(name), path)
        self.rig.site = self.rig.web.site()
        return expected

    def test_every_route(self) -> None:
        """Whoever asks, each route of a dialect answers alike by each path that leads to it, or refuses alike."""
        self.rig.announce()
        limited = self.rig.key("view", "upload", "control", "queue", name="limited", printers=[SATURN])
        other = self.rig.key("view", "upload", "control", "queue", name="other", printers=[MARS])
        met = set()
        for route in self.rig.web.routes:
            if route.form is NATIVE or "<dotless" in route.path:  # SockJS's sessions go on and on
                continue
            path = re.sub("<[^>]*>", "unknown", route.path.removeprefix("/printers/<name>"))
            for key in (limited, other):
                met.add(self.same(route.method, path, address="203.0.113.5", key=key).status)
            met.add(self.same(route.method, path, address="203.0.113.5").status)
            met.add(self.same("PURGE", path).status)
        self.assertLessEqual({200, 400, 401, 403, 404, 405, 409}, met)

    def test_several(self) -> None:
        """With several printers each route says at the root who may be meant: those that the client may know of."""
        self.rig.announce()
        self.rig.announce(MARS, name="Mars")
        own = self.rig.key("view", "upload", "control", "queue", name="own", printers=[MARS])
        for route in self.rig.web.routes:
            if route.form is NATIVE or route.scope in (None, "admin"):
                continue
            path = re.sub("<[^>]*>", "unknown", route.path.removeprefix("/printers/<name>"))
            self.rig.clock.advance(60)
            reply = self.rig.ask(route.method, path)
            self.assertEqual(reply.status, 404, path)
            self.assertIn(b"Known: mars, saturn-3-ultra", reply.body, path)
            reply = self.rig.ask(route.method, path, address="203.0.113.5", key=own)
            self.assertEqual((reply.status, b"saturn" in reply.body), (404, False), path)
            self.assertIn(self.rig.ask(route.method, path, address="203.0.113.5").status, (401, 403), path)

    def test_forms(self) -> None:
        """What a route of a dialect refuses has the form in which it is described."""
        for route in self.rig.web.routes:
            reply = self.rig.ask("PURGE", re.sub("<[^>]*>", "1", route.path), headers={"Accept": "application/json"})
            self.assertEqual(reply.status, 405, route.path)
            if route.form.document is not None:
                msgspec.json.decode(reply.body, type=route.form.document)

    def test_logged(self) -> None:
        """The log says the path that the client has written."""
        self.rig.announce()
        lines = logged(self)
        for at in ("", "/sl1", "/printers/saturn-3-ultra/prusalink"):
            self.rig.ask("POST", f"{at}/api/files/local?x=1", body_of(goo(), "a.goo"), FORM)
        told = [line.partition(": ")[2] for line in lines if "POST" in line]
        self.assertEqual(
            told,
            [f"POST {at}/api/files/local?x=1: 201" for at in ("", "/sl1", "/printers/saturn-3-ultra/prusalink")],
        )

    def test_streamed(self) -> None:
        """An upload is refused when its head is there, and streamed, by each path that leads to it."""
        self.rig.announce()
        headers = {"Content-Length": "100000000", "Expect": "100-continue", **FORM}
        for at in ("", "/sl1", "/printers/saturn-3-ultra", "/printers/saturn-3-ultra/prusalink"):
            for path in ("/api/files/local", "/%61pi//files/local/"):
                refused = self.rig.begin("POST", at + path, b"", headers, address="203.0.113.5")
                self.assertIn(refused.reply.status, (401, 403))
                taken = self.rig.begin("POST", at + path, b"", headers)
                self.assertEqual(taken.transport.value(), b"HTTP/1.1 100 Continue\r\n\r\n")
