"""What was done to other print servers, done to this one: reference apis.md sections 7.1 and 7.2.

Each test names the advisory that it is about. They are kept together although the modules that withstand have tests of
their own, so that nobody has to look for whether an old hole is open here.
"""

from __future__ import annotations

import ast
import html
import json
import re
from base64 import urlsafe_b64encode
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sdcpd
from sdcpd.codec.status import Status, TransferInfo
from sdcpd.config import parse
from sdcpd.files import wire_name
from sdcpd.records import PrintRecord, PrintResult
from sdcpd.scopes import SCOPES
from sdcpd.web.routes import Route, tree
from tests.web.rig import EPOCH, MARS, SATURN, Reply, WebCase, goo, md5, printing

AWAY = "203.0.113.5"
STREAM = "text/event-stream"
"""The content of an answer that does not end by itself."""
"""Where the attacker is, as far as no key helps."""
IMG = "<img src=x onerror=alert(1)>"
SHELL = "$(touch hacked);`touch hacked`|touch hacked&&touch hacked>hacked.goo"
BOUNDARY = "XX"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def part(disposition: str, content: bytes, boundary: str = BOUNDARY) -> bytes:
    return f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode() + content + b"\r\n"


def form(*parts: bytes, boundary: str = BOUNDARY) -> bytes:
    return b"".join(parts) + f"--{boundary}--\r\n".encode()


class AttackCase(WebCase):
    """A rig whose directory has a file that is none of the attacker's business."""

    def setUp(self) -> None:
        super().setUp()
        self.secret = self.rig.directory / "admin.key"
        self.secret.write_text("the admin's key")

    def post_form(self, *parts: bytes) -> Reply:
        return self.rig.ask("POST", "/v1/files", form(*parts), FORM)

    def names(self) -> list[str]:
        return [file["name"] for file in self.rig.get("/v1/files").json]

    def assert_harmless(self) -> None:
        """Nothing was read, moved or made outside the store, and no part of an upload is left in it."""
        self.assertEqual(self.secret.read_text(), "the admin's key")
        self.assertEqual(list(self.rig.directory.rglob("*hacked*")) + list(Path.cwd().glob("*hacked*")), [])
        self.assertEqual([path for path in self.rig.directory.rglob("*") if path.suffix in (".part", ".tmp")], [])


class FormTests(AttackCase):
    """CVE-2025-48067, CVE-2026-54134 / GHSA-j4h9-pm27-4rfw: form fields that name server-side files."""

    def test_internal_fields(self) -> None:
        """CVE-2025-48067: a field named like a server's own words for an upload moves and reads nothing."""
        file = part('name="file"; filename="a.goo"', goo())
        for number, field in enumerate(
            ("file.path", "file.name", "file.size", "file.content_type", "path", "filename", "md5", "upload", "_file")
        ):
            for parts in (
                (part(f'name="{field}"', str(self.secret).encode()), file),
                (file, part(f'name="{field}"', str(self.secret).encode())),
            ):
                reply = self.post_form(*parts)
                self.assertEqual((reply.status, reply.json["file"]["name"]), (201, "a.goo"), (number, field))
        self.assertEqual(self.names(), ["a.goo"])
        self.assertEqual(self.rig.get("/v1/files").json[0]["md5"], md5(goo()))
        self.assert_harmless()

    def test_only_internal_fields(self) -> None:
        """CVE-2025-48067: such fields without a file are no upload at all."""
        reply = self.post_form(
            part('name="file.path"', str(self.secret).encode()), part('name="file.name"', b"stolen.goo")
        )
        self.assert_refused(reply, 400, "bad_form")
        self.assertEqual(self.names(), [])
        self.assert_harmless()

    def test_folder_field(self) -> None:
        """CVE-2025-48067: the one field that has a meaning cannot lead out of the store."""
        for folder in ("..", "a/../..", "../admin.key", "/../..", "\0", "a\\..\\..", ".hidden", "a//b"):
            reply = self.post_form(part('name="file"; filename="a.goo"', goo()), part('name="folder"', folder.encode()))
            self.assert_refused(reply, 422, "bad_name")
        self.assertEqual(self.names(), [])
        self.assert_harmless()

    def test_two_files(self) -> None:
        """GHSA-j4h9-pm27-4rfw: two parts named file: nobody has to guess which of them counts."""
        for second in ('name="file"; filename="b.goo"', 'name="other"; filename="b.goo"', 'name="file"; filename=""'):
            reply = self.post_form(part('name="file"; filename="a.goo"', goo()), part(second, goo(b"other")))
            self.assert_refused(reply, 400, "bad_form")
        self.assertEqual(self.names(), [])
        self.assert_harmless()

    def test_two_names(self) -> None:
        """CVE-2026-54134: where filename and filename* disagree one rule decides, and the name is checked as any."""
        reply = self.post_form(part('name="file"; filename="a.goo"; filename*=UTF-8\'\'b.goo', goo()))
        self.assertEqual((reply.status, reply.json["file"]["name"]), (201, "b.goo"))
        reply = self.post_form(part('name="file"; filename*=UTF-8\'\'..%2F..%2Fhacked.goo; filename="a.goo"', goo()))
        self.assertEqual((reply.status, reply.json["file"]["name"]), (201, "hacked.goo"))  # as any browser's path
        self.rig.ask("DELETE", "/v1/files/hacked.goo")
        for disposition in (
            'name="file"; filename*=UTF-8\'\'%00.goo; filename="a.goo"',
            'name="file"; filename*=UTF-8\'\'..; filename="a.goo"',
            'name="file"; filename*=UTF-8\'\'%2Eprofile; filename="a.goo"',
        ):
            self.assert_refused(self.post_form(part(disposition, goo())), 422, "bad_name")
        for twice in ('name="file"; filename="a.goo"; filename="b.goo"', 'name="file"; name="x"; filename="a.goo"'):
            self.assert_refused(self.post_form(part(twice, goo())), 400, "bad_form")
        self.assert_harmless()

    def test_nested(self) -> None:
        """CVE-2026-54134: a form inside a part is that part's bytes, and no second upload."""
        inner = form(part('name="file"; filename="inner.goo"', goo(b"inner"), "YY"), boundary="YY")
        head = b'--XX\r\nContent-Disposition: form-data; name="file"; filename="outer.goo"\r\n'
        nested = head + b"Content-Type: multipart/mixed; boundary=YY\r\n\r\n" + inner + b"\r\n"
        reply = self.rig.ask("POST", "/v1/files", form(nested), FORM)
        self.assertEqual(reply.status, 422, reply.body)  # the bytes of a form are no sliced file
        self.assertEqual(self.names(), [])
        within = self.post_form(part('name="note"', inner[:200]), part('name="file"; filename="outer.goo"', goo()))
        self.assertEqual((within.status, self.names()), (201, ["outer.goo"]))
        self.assert_harmless()

    def test_two_boundaries(self) -> None:
        """CVE-2026-54134: a Content-Type that two parsers would read differently is read by none."""
        body = form(part('name="file"; filename="a.goo"', goo()))
        for header in (
            "multipart/form-data; boundary=XX; boundary=YY",
            'multipart/form-data; boundary=XX; Boundary="YY"',
            "multipart/form-data; boundary=",
            "multipart/form-data",
            "application/x-www-form-urlencoded",
        ):
            reply = self.rig.ask("POST", "/v1/files", body, {"Content-Type": header})
            self.assert_refused(reply, 400, "bad_form")
        self.assertEqual(self.names(), [])

    def test_key_in_form(self) -> None:
        """CVE-2025-48067: what a form's fields say gives nobody a right."""
        fields = [part(f'name="{name}"', self.rig.admin.encode()) for name in ("apikey", "token", "X-Api-Key")]
        body = form(*fields, part('name="file"; filename="a.goo"', goo()))
        self.assert_refused(self.rig.ask("POST", "/v1/files", body, FORM, address=AWAY), 403, "forbidden")
        urlencoded = f"apikey={self.rig.admin}".encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        self.assert_refused(self.rig.ask("POST", "/v1/token", urlencoded, headers, address=AWAY), 403, "forbidden")


class TrustTests(AttackCase):
    """Who somebody is."""

    config = "[access]\ntrusted = { loopback = ['view', 'upload', 'queue', 'control', 'plate'] }"

    def test_forged(self) -> None:
        """GHSA-2vjq-hg5w-5gm7, GHSA-qw93-h6pf-226x, CVE-2024-32977, CVE-2024-47070, Arksine/moonraker#1045: no header
        makes a stranger this machine, and none gives a neighbour or this machine more than it has."""
        forged = {
            "X-Forwarded-For": ("127.0.0.1", "::1", "127.0.0.1, 127.0.0.1", "", "localhost"),
            "X-Real-IP": ("127.0.0.1", "::1"),
            "Forwarded": ("for=127.0.0.1", 'for="[::1]";host=localhost;proto=https'),
            "X-Remote-User": ("admin", "root"),
            "Remote-User": ("admin",),
            "X-Forwarded-Host": ("localhost",),
            "X-Forwarded-Proto": ("https",),
            "X-Original-URL": ("/healthz",),
            "X-HTTP-Method-Override": ("GET",),
            "True-Client-IP": ("127.0.0.1",),
            "CF-Connecting-IP": ("127.0.0.1",),
            "Via": ("1.1 localhost",),
        }
        for config in ("", "[web]\nproxies = ['10.0.0.1']"):
            self.rig = self.make(f"{self.config}\n{config}")
            for name, values in forged.items():
                for value in values:
                    self.rig.clock.advance(60)
                    for target in ("/v1/printers", "/status", "/v1/keys", "/v1/updates"):
                        reply = self.rig.get(target, {name: value}, address=AWAY)
                        self.assert_refused(reply, 403, "forbidden")
                    reply = self.rig.get("/v1/keys", {name: value}, address="127.0.0.1")
                    self.assert_refused(reply, 403, "forbidden")
                    reply = self.rig.ask("DELETE", "/v1/files/a.goo", b"", {name: value}, address=AWAY)
                    self.assert_refused(reply, 403, "forbidden")

    def test_keys_need_a_key(self) -> None:
        """CVE-2024-23637: keys are made, listed and revoked with an admin's key; to be trusted is not enough."""
        pilot = self.rig.key(*SCOPES[:-1], name="pilot")
        token = self.rig.ask("POST", "/v1/token", address=AWAY).status
        self.assertEqual(token, 403)
        one_shot = self.rig.ask("POST", "/v1/token").json["token"]
        wish = {"name": "mine", "scopes": ["admin"]}
        askers: tuple[dict[str, Any], ...] = ({"address": "127.0.0.1"}, {"key": pilot}, {"address": AWAY})
        for asker in askers:
            self.assert_refused(self.rig.post("/v1/keys", wish, **asker), 403, "forbidden")
            self.assert_refused(self.rig.ask("DELETE", "/v1/keys/admin", **asker), 403, "forbidden")
            self.assert_refused(self.rig.get("/v1/keys", **asker), 403, "forbidden")
        # A token is for reading, also an admin's: what it could make would outlive it.
        reply = self.rig.post(f"/v1/keys?token={one_shot}", wish, address="127.0.0.1")
        self.assert_refused(reply, 401, "wrong_key")
        self.assertEqual([key["name"] for key in self.rig.get("/v1/keys").json], ["admin", "pilot"])

    def test_deny_by_default(self) -> None:
        """CVE-2025-62169: a route that does not say who may come there stops the start."""

        def handle(call: Any) -> Any:
            raise AssertionError("nobody comes here")

        with self.assertRaises(TypeError):
            Route("GET", "/x", handle=handle)  # type: ignore[call-arg]
        for scope in ("", "everybody", "read", "view,admin"):
            with self.assertRaises(ValueError):
                Route("GET", "/x", scope, handle)
        open_to_all = {route.path for route in self.rig.web.routes if route.scope is None}
        status = {"/status", "/printers/<name>/status"}  # which [status] mode rules: trusted, if nobody says otherwise
        moonraker = ["websocket", "klippysocket", "access/info"]
        session = "<dotless:server>/<dotless:session>"  # each begins by asking its client who it is
        sockjs = [f"/{session}/{way}" for way in ("websocket", "xhr", "xhr_send", "xhr_streaming", "eventsource")]
        push = [f"sockjs{rest}" for rest in ("", "/info", "/websocket", *sockjs)]
        # Where a program asks for a key, and an administrator types one.
        pairing = [f"plugin/appkeys/{word}" for word in ("probe", "request", "request/<token>", "auth/<ticket>")]
        dialects = {f"/printers/<name>/{name}" for name in (*moonraker, *push, *pairing)}
        own = {"/", "/page/<version>/<name>", "/v1/me", "/healthz", "/openapi.json"}
        self.assertEqual(open_to_all, own | status | dialects)
        for target in sorted(status):
            reply = self.rig.get(target.replace("<name>", "x"), address=AWAY)
            self.assert_refused(reply, 403, "forbidden")

    def test_new_route(self) -> None:
        """CVE-2025-62169: a handler never runs before its scope was asked for, whatever else is wrong."""
        ran: list[str] = []

        def handle(call: Any) -> Any:
            ran.append("handler")
            raise AssertionError("a stranger came here")

        routes = [Route(method, "/x", scope, handle) for method in ("GET", "POST") for scope in ("view",)]
        self.rig.site.resource = tree(routes, self.rig.web._access)
        for method in ("GET", "HEAD", "POST"):
            self.assertEqual(self.rig.ask(method, "/x", address=AWAY).status, 403)
        self.assertEqual(ran, [])

    def test_constant_time(self) -> None:
        """GHSA-xg4x-w2j3-57h6: secrets are compared by compare_digest, and nowhere with ==."""
        directory = Path(sdcpd.__file__).parent
        found = []
        for path in (directory / "keys.py", *directory.glob("web/*.py"), *directory.glob("broker/*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                words = ("sha256", "secret", "digest", "password")
                if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq | ast.In):
                    sides = " ".join(ast.unparse(side) for side in (node.left, *node.comparators))
                    if any(word in sides for word in words):
                        found.append(f"{path.relative_to(directory)}: {ast.unparse(node)}")
        self.assertEqual(found, [])
        self.assertIn("compare_digest", (directory / "keys.py").read_text("utf-8"))
        self.assertIn("compare_digest", (directory / "broker" / "clients.py").read_text("utf-8"))

    def test_pictures(self) -> None:
        """Moonraker serves .png and .jpg without asking who comes: here nothing is exempt."""
        for target in ("/v1/files/a.png", "/v1/files/a.goo.png", "/x.svg", "/v1/printers/x.jpg", "/favicon.ico"):
            reply = self.rig.get(target, address=AWAY)
            self.assertIn(reply.status, (403, 404))
            self.assertEqual(reply.status == 404, not target.startswith("/v1/"), target)
        self.rig.put("a.png")
        self.assert_refused(self.rig.get("/v1/files/a.png", address=AWAY), 403, "forbidden")

    def test_asked_before_the_body(self) -> None:
        """Early refusal: a stranger's client is never told to go on and send its body, and none of it is parsed."""
        for method, target, more in (("PUT", "/v1/files/a.goo", {}), ("POST", "/v1/files", FORM)):
            headers = {"Content-Length": "1000000", "Expect": "100-continue", **more}
            pending = self.rig.begin(method, target, b"", headers, address=AWAY)
            self.assert_refused(pending.reply, 403, "forbidden")
            pending = self.rig.begin(method, target, b"", headers, address=AWAY, key="sdcpd_00000000_" + "a" * 32)
            self.assert_refused(pending.reply, 401, "wrong_key")
        headers = {"Content-Length": "1000000", "Expect": "100-continue"}
        pending = self.rig.begin("PUT", "/v1/files/a.goo", b"", headers)
        self.assertEqual(pending.transport.value(), b"HTTP/1.1 100 Continue\r\n\r\n")


class LimitedTests(AttackCase):
    """A key that is limited to one printer."""

    config = "[web]\nrate = 0.0"

    def setUp(self) -> None:
        super().setUp()
        self.rig.announce()
        self.rig.announce(MARS, "Mars Zeta", "192.168.1.177")
        link = self.rig.connect(MARS)
        self.rig.publish(Status((0,)), MARS)
        self.rig.put("plate.goo")
        job = self.rig.post("/v1/printers/mars-zeta/print", {"file": "plate.goo"}).json["job"]["id"]
        waiting = self.rig.post("/v1/printers/mars-zeta/queue", {"file": "plate.goo"}).json["job"]["id"]
        file = self.rig.store.get("plate.goo")
        link.answer()
        sent = TransferInfo(2, file.size, file.size, file.size, wire_name(file))
        self.rig.publish(Status((0,), 2, transfer=sent), MARS)
        link.answer()
        self.rig.publish(printing(37, filename=wire_name(file)), MARS)
        record = PrintRecord("past-1", MARS, "past.goo", EPOCH, ended=EPOCH + 1, result=PrintResult.FAILED, message=IMG)
        self.successResultOf(self.rig.journal.write(record))
        self.theirs = (MARS, "mars-zeta", "Mars Zeta", "192.168.1.177", job, waiting, "past-1", "past.goo", IMG)
        self.waiting = waiting
        self.key = self.rig.key(*SCOPES[:-1], name="limited", printers=[SATURN])

    def asked(self) -> Iterable[tuple[str, str, bytes]]:
        """Every route but the streams, with the names of both printers and of what is theirs."""
        more = f"printers=mars-zeta&printer=mars-zeta&uid=past-1&job_id={self.waiting}&job_ids={self.waiting}"
        wishes = {"before": self.waiting, "job_id": self.waiting, "file": "plate.goo", "clear": True, "revision": 1}
        for route in self.rig.web.routes:
            if route.content in (STREAM, "application/javascript") or (
                route.method == "DELETE" and "file" in route.path
            ):
                continue
            for printer in ("saturn-3-ultra", "mars-zeta", MARS):
                parts = {"name": printer, "job_id": self.waiting, "print_id": "past-1", "number": "1"}
                parts |= {"root": "gcodes", "path": "plate.goo", "location": "local", "storage": "local"}
                holes = re.sub("<(?:[a-z]+:)?([a-z_]+)>", r"{\1}", route.path)
                path = holes.format_map(defaultdict(lambda: "x", parts))
                for query in ("events=recent&filename=plate.goo&extended=1&recursive=1&path=gcodes", more):
                    body = b"" if route.method == "GET" else json.dumps(wishes).encode()
                    yield route.method, f"{path}?timeout=0&limit=100&{query}", body

    def test_nothing_of_others(self) -> None:
        """No route of any dialect tells it anything of another printer, its jobs, its queue or its prints."""
        count = 0
        for method, target, body in self.asked():
            pending = self.rig.begin(method, target, body, {"Content-Type": "application/json"}, key=self.key)
            count += 1
            found = pending.transport.value().decode("utf-8", "replace")
            said = target + body.decode()
            self.assertEqual([word for word in self.theirs if word in found and word not in said], [], (method, target))
            self.assertNotIn(" 500 ", found[:20], (method, target))
            pending.leave()
        self.assertGreater(count, 1000)
        self.assertEqual(self.rig.get(f"/v1/jobs/{self.waiting}").json["state"], "queued")
        self.assertIn("Mars Zeta", self.rig.get("/v1/printers").body.decode())


class ReadingTests(AttackCase):
    """Reading changes nothing."""

    def test_get(self) -> None:
        """CSRF by an image's address: no GET, with whatever arguments, changes anything or says a word to a printer."""
        self.rig.announce()
        link = self.rig.connect()
        self.rig.put()
        self.rig.publish(printing(5))
        before = self.state()
        arguments = (
            "action=stop&cmd=stop&file=plate.goo&plate_clear=1&clear=1&start=1&force=1&method=DELETE&_method=PUT"
        )
        for route in self.rig.web.routes:
            target = re.sub("<(?:path:)?name>", SATURN if "printers" in route.path else "plate.goo", route.path)
            target = re.sub("<[^>]*>", "x", target)
            for method in ("GET", "HEAD", "OPTIONS"):
                self.rig.clock.advance(1)
                query = f"{arguments}&timeout=0" if "updates" in target else arguments
                self.rig.begin(method, f"{target}?{query}")
        for verb in ("stop", "pause", "resume", "print", "plate", "adopt"):
            for method in ("GET", "HEAD", "OPTIONS"):
                self.rig.begin(method, f"/v1/printers/{SATURN}/{verb}?{arguments}")
        self.assertEqual(link.sent, [])
        self.assertEqual(self.rig.adopted, [])
        self.assertEqual(self.state(), before)

    def state(self) -> list[Any]:
        jobs, keys = self.rig.get("/v1/jobs").json, self.rig.get("/v1/keys").json
        plate = self.rig.get(f"/v1/printers/{SATURN}").json["plate"]
        return [self.names(), jobs, keys, plate, self.rig.get("/v1/history").json]

    def test_override(self) -> None:
        """A method is what it is called: no header and no argument makes a GET another one."""
        self.rig.put()
        for headers in (
            {"X-HTTP-Method-Override": "DELETE"},
            {"X-Method-Override": "DELETE"},
            {"X-HTTP-Method": "PUT"},
        ):
            self.assertEqual(self.rig.ask("HEAD", "/v1/files/plate.goo?_method=DELETE", b"", headers).status, 200)
        self.assertEqual(self.names(), ["plate.goo"])


class TextTests(AttackCase):
    """CVE-2022-1430, CVE-2022-1432, CVE-2024-28237, CVE-2026-35163, GHSA-crvm-xjhm-9h29, GHSA-xvxq-g8hw-fx4g,
    GHSA-x7mf-wrh9-r76c: names that are markup."""

    config = f'[sdcpd]\nsite = "{IMG}"'

    def test_markup(self) -> None:
        """Whatever a file, a printer, a machine, a folder or the site is called, no answer lets a browser run it."""
        self.rig.announce(SATURN, IMG)
        self.rig.connect()
        stored = self.rig.ask("PUT", "/v1/files/%3Cimg%20src=x%20onerror=alert(1)%3E.goo", goo(machine=IMG))
        self.assertEqual((stored.status, stored.json["file"]["name"]), (201, f"{IMG}.goo"))
        slug = self.rig.get("/v1/printers").json[0]["id"]
        self.assertTrue(re.fullmatch(r"[a-z0-9-]+", slug), slug)
        self.rig.publish(printing(0, number=0, current=0))
        self.rig.post(f"/v1/printers/{slug}/print", {"file": f"{IMG}.goo"})
        self.rig.publish(printing(3, filename=f"{IMG}.goo"))
        record = PrintRecord("p1", SATURN, f"{IMG}.goo", EPOCH, ended=EPOCH + 1, result=PrintResult.FAILED, message=IMG)
        self.successResultOf(self.rig.journal.write(record))
        seen, shown = 0, [False]
        for target in self.everywhere(slug):
            # A file's bytes need a reactor; its head says what a browser would make of them.
            bytes_of = target.startswith("/v1/files/") and not target.endswith("/metadata")
            reply = self.rig.ask("HEAD" if bytes_of else "GET", target)
            self.assertNotEqual(reply.status, 500, (target, reply.body))
            self.assertEqual(reply.headers["x-content-type-options"], "nosniff", target)
            if reply.status == 204:
                continue
            kind = reply.headers.get("content-type", "")
            known = r"^(application/(json|octet-stream)|text/(plain|csv|html))"
            self.assertRegex(kind, "^$" if reply.status == 204 else known, target)
            self.assertIn("default-src 'none'", reply.headers["content-security-policy"], target)
            if kind.startswith("text/html"):
                self.assertNotIn(IMG.encode(), reply.body, target)
                shown.append(html.escape(IMG).encode() in reply.body)
            elif kind.startswith(("application/octet-stream", "text/csv")):
                self.assertTrue(reply.headers["content-disposition"].startswith("attachment"), target)
            self.assertNotIn("<", "".join(reply.headers.values()), target)
            seen += IMG.encode() in reply.body
        self.assertTrue(any(shown))
        self.assertGreater(seen, 8)  # JSON says names as they are; it is what a page makes of them that counts

    def everywhere(self, slug: str) -> list[str]:
        """Every route that can be read, with names that exist and with names that are markup."""
        found = ["/nothing/<img src=x onerror=alert(1)>".replace(" ", "%20"), "/v1/history?q=%3Cimg%3E&result=<b>"]
        for route in self.rig.web.routes:
            if route.method != "GET" or route.content == STREAM:
                continue
            for name in (slug, "%3Cimg%20src=x%20onerror=alert(1)%3E.goo", "<img>"):
                found.append(re.sub("<[^>]*>", name, route.path) + ("?timeout=0&events=recent" * ("upd" in route.path)))
        return found

    def test_key_names(self) -> None:
        """GHSA-x7mf-wrh9-r76c: a key's name is letters, digits, - and _; markup is refused, and in JSON at that."""
        for name in (IMG, "a b", "a'b", '"', "<", "", "x" * 65, "a\nb", "../a", "a\u202eb"):
            reply = self.rig.post("/v1/keys", {"name": name, "scopes": ["view"]})
            self.assert_refused(reply, 422, "bad_key")

    def test_formulas(self) -> None:
        """A name that a spreadsheet would run comes as a text in the table."""
        record = PrintRecord("p1", SATURN, '=HYPERLINK("http://evil")', EPOCH, result=PrintResult.FAILED)
        self.successResultOf(self.rig.journal.write(record))
        self.assertIn(b"'=HYPERLINK", self.rig.get("/v1/history.csv").body)

    def test_log_lines(self) -> None:
        """CVE-2025-58180's neighbour: a name with a line feed could write lines of the log; it is refused."""
        for name in ("a%0Ab.goo", "a%0D%0Ab.goo", "a%1B[31m.goo", "a%E2%80%A8b.goo"):
            self.assertIn(self.rig.ask("PUT", f"/v1/files/{name}", goo()).status, (404, 422), name)
        self.assertEqual(self.names(), [])


class QueryTests(AttackCase):
    """Moonraker 74c5d8e: queries that are put together from what somebody sent."""

    HOSTILE = (
        "'; DROP TABLE prints; --",
        "' OR '1'='1",
        '" OR ""="',
        "%' UNION SELECT sha256 FROM keys --",
        "*)(uid=*",
        "\\",
        "%",
        "_",
        "\0",
        "\ud7ff\U0010ffff",
        "{0}{x!r}",
        ":printer",
    )

    def setUp(self) -> None:
        super().setUp()
        self.rig.announce(SATURN)
        for number, file in enumerate(("vase.goo", "ring.goo")):
            record = PrintRecord(f"p{number}", SATURN, file, EPOCH + number, result=PrintResult.FINISHED)
            self.successResultOf(self.rig.journal.write(record))

    def test_hostile(self) -> None:
        """Moonraker 74c5d8e: hostile words find what has them in its name, which is nothing, and harm nothing."""
        for word in self.HOSTILE:
            text = quote(word)
            found = self.rig.get(f"/v1/history?q={text}")
            self.assertEqual(found.status, 200)
            expected = 2 if word == "\0" else 0  # nothing is left of a NUL, and everything has nothing in its name
            self.assertEqual(len(found.json["prints"]), expected, word)
            self.assertEqual(self.rig.get(f"/v1/history/totals?q={text}").json["prints"], expected)
            for parameter, status in (("cursor", 400), ("printer", 404), ("result", 400), ("since", 400)):
                reply = self.rig.get(f"/v1/history?{parameter}={text}")
                self.assertEqual(reply.status, status, (parameter, word, reply.body))
            self.assertEqual(self.rig.get(f"/v1/history/{quote(word, safe='')}").status, 404)
            self.assertIn(self.rig.ask("DELETE", f"/v1/keys/{quote(word, safe='')}").status, (404, 405))
        self.assertEqual(len(self.rig.get("/v1/history").json["prints"]), 2)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_forged_cursors(self) -> None:
        """Moonraker 74c5d8e: a cursor that somebody wrote himself is a place in the order, or it is refused."""
        for text in ("[1]", '[1e400,"x"]', '[NaN,"x"]', "null", "{}", '["x",1]', '[1,"\\ud800"]', "[[],[]]"):
            cursor = urlsafe_b64encode(text.encode()).decode()
            self.assert_refused(self.rig.get(f"/v1/history?cursor={cursor}"), 400, "bad_cursor")
        for text in ('[1e308,"\' OR 1=1 --"]', '[-1,"x"]'):
            cursor = urlsafe_b64encode(text.encode()).decode()
            self.assertEqual(self.rig.get(f"/v1/history?cursor={cursor}").status, 200)

    def test_no_made_queries(self) -> None:
        """Moonraker 74c5d8e: no statement in the source is put together by hand."""
        made = []
        for path in (Path(sdcpd.__file__).parent).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if not isinstance(node, ast.Call):
                    continue
                owner, _, called = ast.unparse(node.func).rpartition(".")
                if called == "text" and owner.startswith("self."):  # a method of ours; SQLAlchemy's is a function
                    continue
                plain = not node.args or not isinstance(node.args[0], ast.JoinedStr | ast.BinOp)
                if called in ("execute", "text", "exec_driver_sql", "executescript", "scalar", "scalars") and not plain:
                    made.append(f"{path.name}: {ast.unparse(node)}")
        self.assertEqual(made, [])


class ShellTests(AttackCase):
    """OctoPrint c3a940962, CVE-2025-58180: names that reach a shell."""

    def test_names(self) -> None:
        """OctoPrint c3a940962: a name full of shell words is a name: stored, listed, printed, and never run."""
        self.rig.announce()
        link = self.rig.connect()
        self.rig.publish(printing(0, number=0, current=0))
        self.assertEqual(self.rig.ask("PUT", f"/v1/files/{quote(SHELL)}", goo()).status, 201)
        self.assertEqual(self.names(), [SHELL])
        self.assertEqual(self.rig.post(f"/v1/printers/{SATURN}/print", {"file": SHELL}).status, 202)
        told = [request["Data"]["Filename"] for request in link.sent if "Filename" in request["Data"]]
        self.assertTrue(told and all(re.fullmatch(r"[\w-]+\.goo", name, re.ASCII) for name in told), told)
        self.assert_harmless()

    def test_no_shell(self) -> None:
        """OctoPrint c3a940962: nothing in the daemon starts a program, with a shell or without."""
        banned = {"subprocess", "os.system", "os.popen", "pty", "twisted.internet.utils"}
        found = []
        for path in Path(sdcpd.__file__).parent.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom):
                    names = [node.module or ""]
                if isinstance(node, ast.Attribute | ast.Name):
                    names = [ast.unparse(node)]
                if isinstance(node, ast.keyword) and node.arg == "shell":
                    names = ["subprocess"]
                found += [f"{path.name}: {name}" for name in names if name in banned or "spawnProcess" in name]
        self.assertEqual(found, [])


class PathTests(AttackCase):
    """Path traversal: CVE-2022-2872's and Moonraker's lesson that a prefix is no folder."""

    FORMS = (
        "../admin.key",
        "..%2Fadmin.key",
        "%2e%2e%2fadmin.key",
        "%2e%2e/admin.key",
        "..%5Cadmin.key",
        "..\\admin.key",
        "%252e%252e%252fadmin.key",
        "..%c0%afadmin.key",
        "a/../../admin.key",
        "a/..%2f..%2fadmin.key",
        "./admin.key",
        "//admin.key",
        "%2fetc%2fpasswd",
        "admin.key%00.goo",
        "a%00.goo",
        "....//admin.key",
        ".%2e/admin.key",
        "files/../../admin.key",
        "..;/admin.key",
        "~/admin.key",
        "C:%5Cadmin.key",
        "../files-evil/a.goo",
    )

    def test_read(self) -> None:
        """No way to write a path reads, describes or deletes anything but what is stored under that very name."""
        self.rig.put("a.goo")
        for path in self.FORMS:
            for method, more in (
                ("GET", ""),
                ("GET", "/metadata"),
                ("HEAD", ""),
                ("DELETE", ""),
                ("DELETE", "?force=1"),
            ):
                reply = self.rig.ask(method, f"/v1/files/{path}{more}")
                self.assertIn(reply.status, (400, 404, 405, 422), (method, path, more, reply.body))
                self.assertNotIn(b"the admin's key", reply.body)
                self.assertNotIn(str(self.rig.directory).encode(), reply.body)
        self.assertEqual(self.names(), ["a.goo"])
        self.assert_harmless()

    def test_write(self) -> None:
        """No way to write a path stores anything outside the store, whatever name it ends up under."""
        for path in self.FORMS:
            reply = self.rig.ask("PUT", f"/v1/files/{path}", goo())
            self.assertIn(reply.status, (201, 400, 404, 405, 422), (path, reply.body))
            if reply.status == 201:
                name = reply.json["file"]["name"]
                self.assertFalse({"..", ".", ""} & set(name.split("/")), name)
                self.assertNotIn("\\", name)
        for name in ("../hacked.goo", "a/../../hacked.goo", "..\\hacked.goo", "/hacked.goo", "hacked\0.goo", ".hacked"):
            self.rig.put("a.goo")
            for verb in ("move", "copy"):
                self.assert_refused(self.rig.post(f"/v1/files/a.goo/{verb}", {"to": name}), 422, "bad_name")
        outside = [path for path in self.rig.directory.iterdir() if path.name not in ("files", "admin.key")]
        self.assertEqual([path.name for path in outside if not path.name.startswith("journal.db")], [])
        self.assert_harmless()

    def test_content_addressed(self) -> None:
        """What lies on the disk has no name that anybody chose."""
        self.rig.put("minis/plate.goo")
        names = [path.name for path in (self.rig.directory / "files").rglob("*") if path.is_file()]
        self.assertEqual([name for name in names if "plate" in name and name.endswith(".goo")], [])
        self.assertTrue(any(re.fullmatch(r"[0-9a-f]{32}\.goo", name) for name in names), names)

    def test_routes(self) -> None:
        """Other spellings of a path are the same path or none: none of them comes around the permission."""
        for target in (
            *("//v1//keys", "/v1/keys/", "/%76%31/keys", "/v1%2Fkeys", "/v1/./keys", "/v1/x/../keys", "/V1/KEYS"),
            *("/v1/keys;x=1", "/v1/keys%00", "/v1/keys?x", "/status/../v1/keys", "http://127.0.0.1/v1/keys"),
        ):
            reply = self.rig.get(target, address="127.0.0.1")
            self.assertIn(reply.status, (400, 403, 404), (target, reply.body))
            self.assertNotIn(b'"scopes"', reply.body)


class LengthTests(AttackCase):
    """CVE-2026-53540 and CVE-2026-24486: lengths that lie, and bodies that two parsers would cut differently."""

    def test_lengths(self) -> None:
        """CVE-2026-53540: a negative, a double, a contradicted or a foreign length is no request."""
        for headers in (
            {"Content-Length": "-1"},
            {"Content-Length": "+5"},
            {"Content-Length": "0x10"},
            {"Content-Length": "5, 6"},
            {"Content-Length": "5", "content-length": "6"},
            {"Content-Length": "5", "Transfer-Encoding": "chunked"},
            {"Content-Length": "5", "Transfer-Encoding": "chunked, identity"},
            {"Content-Length": "9" * 5000},
        ):
            reply = self.rig.begin("PUT", "/v1/files/a.goo", b"", headers).reply
            self.assertEqual(reply.status, 400, (headers, reply.body))
        self.assertEqual(self.names(), [])


class NumberTests(AttackCase):
    """Numbers that JSON has and no float."""

    def test_large(self) -> None:
        """A number of four hundred digits is refused in the words of the dialect, like any that does not fit."""
        self.rig.announce()
        self.rig.connect()
        self.rig.publish(Status((0,)))
        at = "/printers/saturn-3-ultra"
        for huge in (10**400, -(10**400)):
            for path, body in (
                ("printhead", {"command": "jog", "x": huge}),
                ("printhead", {"command": "feedrate", "factor": huge}),
                ("tool", {"command": "offset", "offsets": {"tool0": huge}}),
                ("tool", {"command": "extrude", "amount": huge}),
            ):
                reply = self.rig.post(f"{at}/api/printer/{path}", body, {"Content-Type": "application/json"})
                self.assertIn(reply.status, (400, 409), (path, body, reply.body))
            for method, name in (("history.list", "since"), ("history.list", "limit"), ("gcode_store", "count")):
                asked = {"jsonrpc": "2.0", "method": f"server.{method}", "id": 1, "params": {name: huge}}
                self.assertEqual(self.rig.post(f"{at}/server/jsonrpc", asked).error["code"], 400)


class TraceTests(AttackCase):
    """Moonraker's answers had tracebacks and absolute paths."""

    def test_no_traces(self) -> None:
        """A bug's answer has a number and nothing else: no traceback, no path, no words of the exception."""

        def fails(*_: object) -> Any:
            raise RuntimeError(f"cannot open {self.secret}")

        self.rig.store.get = fails  # type: ignore[assignment, method-assign]
        reply = self.rig.get("/v1/files/a.goo")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assert_refused(reply, 500, "internal")
        for word in (b"Traceback", b"RuntimeError", b"cannot open", str(self.rig.directory).encode(), b".py"):
            self.assertNotIn(word, reply.body)

    def test_no_key_told(self) -> None:
        """OctoPrint#1736: no answer to anybody, but the one that makes it, has a key or its hash."""
        self.rig.announce(MARS)
        self.rig.web.configure(parse('[status]\nmode = "public"\n[access]\ntrusted = { loopback = ["view"] }'))
        key = self.rig.keys.find(self.rig.admin)
        assert key is not None
        for route in self.rig.web.routes:
            if route.method == "GET" and route.content != STREAM:
                target = re.sub("<[^>]*>", MARS, route.path) + "?timeout=0"
                for asker in ({"address": "127.0.0.1"}, {}):
                    body = self.rig.get(target, **asker).body
                    self.assertNotIn(self.rig.admin[-32:].encode(), body)
                    self.assertNotIn(key.sha256.encode(), body)
