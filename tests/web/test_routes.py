from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sdcpd.web.answer import Answer
from sdcpd.web.routes import Route
from tests.web.rig import SECURE, WebCase, goo


class RoutingTests(WebCase):
    """Paths and methods, whatever is behind them."""

    def test_unknown_path(self) -> None:
        """A path that is not there is refused in JSON, and the refusal says where to look."""
        for target in (
            "/nothing",
            "/v1",
            "/v1/printers/a/b/c",
            "/favicon.ico",
            "/..%2f..%2fetc/passwd",
            "/v1/%3Cimg%3E",
        ):
            error = self.assert_refused(self.rig.get(target), 404, "not_found")
            self.assertIn("/openapi.json", error["hint"])

    def test_wrong_method(self) -> None:
        """A method that is not possible is refused with those that are, in the header and in words."""
        for method, target, allowed in (
            ("POST", "/v1/printers", "GET, HEAD"),
            ("GET", "/v1/printers/x/print", "POST"),
            ("PATCH", "/v1/files/a.goo", "DELETE, GET, HEAD, PUT"),
            ("DELETE", "/", "GET, HEAD"),
            ("BREW", "/healthz", "GET, HEAD"),
        ):
            reply = self.rig.ask(method, target)
            error = self.assert_refused(reply, 405, "method_not_allowed")
            self.assertEqual(reply.headers["allow"], allowed)
            self.assertIn(allowed, error["message"])

    def test_head_everywhere(self) -> None:
        """HEAD is possible wherever GET is, with the same status and length and without a body."""
        self.rig.announce()
        for target in (
            "/",
            "/healthz",
            "/openapi.json",
            "/status",
            "/v1/printers",
            "/v1/files",
            "/v1/jobs",
            "/nothing",
        ):
            got, headed = self.rig.get(target), self.rig.ask("HEAD", target)
            self.assertEqual((headed.status, headed.body), (got.status, b""))
            self.assertEqual(headed.headers["content-length"], got.headers["content-length"])

    def test_slashes(self) -> None:
        """Doubled and trailing slashes lead to the same answer, without a redirect, for every method."""
        self.rig.announce(name="Saturn")
        for target in ("//status", "/status/", "//status//", "/printers/saturn//status", "/printers//saturn/status/"):
            self.assertEqual(self.rig.get(target).status, 200, target)
        self.assertEqual(self.rig.ask("PUT", "//v1//files//plate.goo/", goo()).status, 201)
        self.assertEqual(self.rig.ask("DELETE", "/v1//files/plate.goo/").status, 204)

    def test_printers_names(self) -> None:
        """A printer is reached by its slug and its MainboardID, in other letters, too, and as URLs write them."""
        self.rig.announce(name="Saturn")
        mainboard_id = self.rig.get("/v1/printers").json[0]["mainboard_id"]
        for name in (
            "saturn",
            "SATURN",
            "%73aturn",
            mainboard_id,
            mainboard_id.lower(),
            f"%{ord(mainboard_id[0]):x}{mainboard_id[1:]}",
        ):
            for below in ("status", "v1/updates", "api/version"):
                self.assertEqual(self.rig.get(f"/printers/{name}/{below}").status, 200, (name, below))
        for name in ("venus", "sat.urn", "sat%2Eurn", "s%C3%A4turn"):
            self.assert_refused(self.rig.get(f"/printers/{name}/v1/updates"), 404, "unknown_printer")
        self.assert_refused(self.rig.get("/printers/saturn/v1/nothing"), 404, "not_found")

    def test_unreadable_path(self) -> None:
        """A path that is no UTF-8 gets a readable refusal, also of an upload."""
        for method in ("GET", "PUT", "DELETE"):
            self.assert_refused(self.rig.ask(method, "/v1/files/%FF"), 400, "bad_request")
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_strange_methods_and_heads(self) -> None:
        """Odd bytes in a header are only odd text."""
        for name in ("If-None-Match", "Prefer", "Authorization", "Origin", "Accept"):
            self.assertEqual(self.rig.get("/status", {name: "\xff\xb2"}).status, 200, name)

    def test_last_parameter_wins(self) -> None:
        """A parameter given twice means what the last one says."""
        self.rig.announce()
        self.assertEqual(self.rig.get("/status?enums=number&enums=name").json[0]["status"]["CurrentStatus"], "Ready")

    def test_secure_headers_everywhere(self) -> None:
        """Every answer carries the headers that keep browsers from guessing and leaking."""
        self.rig.put()
        etag = self.rig.get("/v1/files").headers["etag"]
        file = self.rig.get("/v1/files").json[0]["md5"]
        for method, target, status, headers in (
            ("GET", "/", 200, {}),
            ("GET", "/status", 200, {}),
            ("GET", "/nothing", 404, {}),
            ("POST", "/status", 405, {}),
            ("GET", "/v1/files", 304, {"If-None-Match": etag}),
            ("GET", "/v1/files/plate.goo", 304, {"If-None-Match": f'"{file}"'}),
            ("HEAD", "/v1/files/plate.goo", 200, {}),
            ("PUT", "/v1/files/.hidden", 422, {}),
            ("POST", "/v1/jobs", 405, {"Content-Length": "99999999"}),
            ("DELETE", "/v1/files/plate.goo", 204, {}),
            ("GET", "no-path", 400, {}),
        ):
            reply = self.rig.ask(method, target, b"", headers)
            self.assertEqual(reply.status, 413 if "Content-Length" in headers else status, (method, target))
            self.assertLessEqual(SECURE.items(), reply.headers.items(), (method, target))

    def test_lengths(self) -> None:
        """No answer is chunked; each tells its length, and one without a body tells none."""
        reply = self.rig.get("/v1/files")
        self.assertEqual(reply.headers["content-length"], "2")
        self.rig.put()
        gone = self.rig.ask("DELETE", "/v1/files/plate.goo")
        self.assertEqual((gone.status, gone.reason, gone.body), (204, "NO CONTENT", b""))
        self.assertNotIn("content-length", gone.headers)
        self.assertNotIn("content-type", gone.headers)


class ScopeTests(SynchronousTestCase):
    def test_unknown_scope(self) -> None:
        """A route whose scope does not exist stops the daemon from starting; one without any cannot be written."""
        with self.assertRaises(ValueError) as caught:
            Route("GET", "/v1/secrets", "root", lambda call: Answer(200))
        self.assertIn("GET /v1/secrets", str(caught.exception))
        with self.assertRaises(TypeError):
            Route("GET", "/v1/secrets", handle=lambda call: Answer(200))  # type: ignore[call-arg]


class TagTests(WebCase):
    """Every GET can be asked again cheaply."""

    TARGETS = ("/", "/openapi.json", "/v1/printers", "/v1/files", "/v1/jobs")

    def test_not_modified(self) -> None:
        """Who has the present answer is told so without a body, by GET and by HEAD."""
        for target in self.TARGETS:
            got = self.rig.get(target)
            self.assertIn("no-cache", got.headers["cache-control"])
            for method in ("GET", "HEAD"):
                reply = self.rig.ask(method, target, b"", {"If-None-Match": got.headers["etag"]})
                self.assertEqual((reply.status, reply.body), (304, b""), target)
                self.assertEqual(reply.headers["etag"], got.headers["etag"])
                self.assertNotIn("content-length", reply.headers)

    def test_modified(self) -> None:
        """When the answer is another one, so is its tag."""
        etag = self.rig.get("/v1/files").headers["etag"]
        self.rig.put()
        self.assertEqual(self.rig.get("/v1/files", {"If-None-Match": etag}).status, 200)

    def test_errors_have_none(self) -> None:
        """A refusal has no tag, and no condition hides it."""
        reply = self.rig.get("/nothing", {"If-None-Match": "*"})
        self.assertEqual(reply.status, 404)
        self.assertNotIn("etag", reply.headers)
