from __future__ import annotations

from twisted.web.iweb import IRequest

from sdcpd.fleet import Printer
from sdcpd.web.answer import Answer
from sdcpd.web.errors import NATIVE, Form
from sdcpd.web.mount import Mount
from sdcpd.web.routes import Call, Route, tree
from sdcpd.web.site import Site
from tests.web.rig import MARS, WebCase


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
            *self.mount.put(NEW, (files,), owns=("/api/v1",), at=("", "/twin")),
            *self.mount.put(NEW, (version,), at=("/twin",)),
        )
        access = self.rig.web._access
        self.rig.site = Site(tree(self.routes, access, self.mount.form_of), lambda *_: False, self.rig.clock)
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
        for path in (b"/v1/nothing", b"/v1/printers/saturn/api/version", b"/printers/saturn", b"/", b""):
            self.assertIs(self.mount.form_of(path), NATIVE, path)

    def test_described(self) -> None:
        """The API's description tells of each thing once: below a printer, and not of its twins."""
        described = [route.path for route in self.routes if route.described]
        self.assertEqual(
            described,
            [
                f"/printers/<name>{path}"
                for path in ("/api/version", "/downloads/<path:path>", "/api/v1/files/<path:path>")
            ],
        )
