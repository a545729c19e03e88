from __future__ import annotations

import re
from ipaddress import IPv4Network
from typing import Any

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.web.http_headers import Headers

from sdcpd.config import parse
from sdcpd.errors import ConfigError
from sdcpd.machine import Machine
from sdcpd.scopes import SCOPES, granted
from sdcpd.web.errors import NATIVE
from tests.web.rig import SATURN, Pending, Reply, Rig, WebCase, goo

FRIEND = "192.168.1.77"
STRANGER = "203.0.113.5"

CONFIG = """
[access.trusted]
"192.168.1.0/24" = ["view"]
"192.168.1.78" = ["upload", "control", "plate"]
"fd00::/8" = ["view"]
loopback = ["view"]

[web]
hosts = ["Printers.example.org", "hub.example.org:8443"]
origins = ["https://board.example.org/"]
"""
PROXIED = (
    '[access.trusted]\nloopback = ["view"]\n"192.168.1.0/24" = ["view"]\n[web]\nproxies = ["10.0.0.1", "10.1.0.0/16"]'
)


class Peer:
    """As much of a request as tells its address."""

    requestHeaders = Headers()  # noqa: N815 (Twisted)

    def __init__(self, host: str) -> None:
        self.host = host

    def getClientAddress(self) -> Peer:  # noqa: N802 (Twisted)
        return self


class AccessCase(WebCase):
    config = CONFIG

    def status(self, address: Any = "127.0.0.1", **more: Any) -> int:
        return self.rig.get("/v1/printers", address=address, **more).status

    def delete(self, headers: dict[str, str], host: str | None = "hub.local:8080", rig: Rig | None = None) -> Reply:
        """Something that changes things: 404 if it may be tried."""
        return (rig or self.rig).ask("DELETE", "/v1/files/x.goo", b"", headers, host=host)


class AddressTests(AccessCase):
    """What an address alone may do."""

    #: Every route: the scope that it needs, and what it answers to whoever has that.
    ROUTES = (
        ("GET", "/", None, 200),
        ("GET", "/page/<version>/<name>", None, 404),
        ("GET", "/v1/me", None, 200),
        ("GET", "/healthz", None, 200),
        ("GET", "/openapi.json", None, 200),
        ("GET", "/status", "view", 200),
        ("GET", "/printers/<name>", "view", 404),
        ("GET", "/printers/<name>/status", "view", 404),
        ("GET", "/v1/printers", "view", 200),
        ("GET", "/v1/printers/<name>", "view", 404),
        ("POST", "/v1/printers/<name>/print", "control", 422),
        ("POST", "/v1/printers/<name>/plate", "plate", 422),
        ("POST", "/v1/printers/<name>/adopt", "control", 404),
        ("POST", "/v1/printers/<name>/pause", "control", 404),
        ("POST", "/v1/printers/<name>/resume", "control", 404),
        ("POST", "/v1/printers/<name>/stop", "control", 404),
        ("GET", "/v1/printers/<name>/pace", "view", 404),
        ("GET", "/v1/history", "view", 200),
        ("GET", "/v1/history/totals", "view", 200),
        ("GET", "/v1/history.csv", "view", 200),
        ("GET", "/v1/history/<print_id>", "view", 404),
        ("GET", "/v1/printers/<name>/queue", "view", 404),
        ("POST", "/v1/printers/<name>/queue", "queue", 404),
        ("GET", "/v1/queue", "view", 200),
        ("POST", "/v1/queue", "queue", 422),
        ("POST", "/v1/jobs/<job_id>/start", "control", 404),
        ("POST", "/v1/jobs/<job_id>/move", "queue", 422),
        ("DELETE", "/v1/jobs/<job_id>", "queue", 404),
        ("GET", "/v1/jobs", "view", 200),
        ("GET", "/v1/jobs/<job_id>", "view", 404),
        ("GET", "/v1/files", "view", 200),
        ("PUT", "/v1/files/<path:name>", "upload", 422),
        ("GET", "/v1/files/<path:name>", "view", 404),
        ("GET", "/v1/files/<path:name>/metadata", "view", 404),
        ("GET", "/v1/files/<path:name>/thumbnail.png", "view", 404),
        ("GET", "/v1/files/<path:name>/layers/<int:number>.png", "view", 404),
        ("GET", "/v1/printers/<name>/layer.png", "view", 404),
        ("DELETE", "/v1/files/<path:name>", "upload", 404),
        ("POST", "/v1/files", "upload", 400),
        ("POST", "/v1/files/<path:name>/move", "upload", 422),
        ("POST", "/v1/files/<path:name>/copy", "upload", 422),
        ("GET", "/metrics", "view", 200),
        ("GET", "/v1/updates", "view", 200),
        ("GET", "/printers/<name>/v1/updates", "view", 404),
        ("GET", "/v1/keys", "admin", 200),
        ("POST", "/v1/keys", "admin", 422),
        ("DELETE", "/v1/keys/<key_id>", "admin", 404),
        ("GET", "/v1/keys/pairing", "admin", 200),
        ("POST", "/v1/keys/pairing", "admin", 422),
        ("POST", "/v1/token", "view", 201),
    )
    #: Routes that a key limited to one printer may use although their path names none.
    COMMON = (
        "GET /",
        "GET /page/<version>/<name>",
        "GET /v1/me",
        "GET /healthz",
        "GET /openapi.json",
        "GET /status",
        "GET /v1/printers",
        "GET /v1/history",
        "GET /v1/history/totals",
        "GET /v1/history.csv",
        "GET /v1/history/<print_id>",
        "POST /v1/jobs/<job_id>/start",
        "POST /v1/jobs/<job_id>/move",
        "DELETE /v1/jobs/<job_id>",
        "GET /v1/jobs",
        "GET /v1/jobs/<job_id>",
        "GET /v1/files",
        "PUT /v1/files/<path:name>",
        "POST /v1/files",
        "GET /v1/files/<path:name>",
        "GET /v1/files/<path:name>/metadata",
        "GET /v1/files/<path:name>/thumbnail.png",
        "GET /v1/files/<path:name>/layers/<int:number>.png",
        "GET /v1/updates",
        "POST /v1/token",
    )

    def test_every_route(self) -> None:
        """Each native route answers those who have its scope, by address or by key, and refuses everybody else."""
        routes = [(route.method, route.path) for route in self.rig.web.routes if route.form is NATIVE]
        self.assertEqual(sorted(routes), sorted((method, path) for method, path, *_ in self.ROUTES))
        askers: list[tuple[dict[str, Any], frozenset[str]]] = [
            ({"address": STRANGER}, frozenset()),
            ({"address": FRIEND}, frozenset({"view"})),
            ({"address": "192.168.1.78"}, frozenset({"view", "upload", "control", "plate"})),
        ]
        for scope in SCOPES:
            key = self.rig.key(scope, name=f"only-{scope}")
            askers.append(({"address": STRANGER, "key": key}, granted({scope})))
        for method, path, needed, status in self.ROUTES:
            target = re.sub("<[^>]*>", "unknown", path.replace("<int:number>", "1"))
            for asker, scopes in askers:
                self.rig.clock.advance(60)
                reply = self.rig.ask(method, target, **asker)
                if needed is None or needed in scopes:
                    self.assertEqual(reply.status, status, (method, path, asker, reply.body))
                else:
                    self.assert_refused(reply, 403, "forbidden")
                wrong = self.rig.ask(method, target, address=asker["address"], key="sdcpd_00000000_" + "a" * 32)
                self.assert_refused(wrong, 401, "wrong_key")

    def test_every_route_limited(self) -> None:
        """A key that is limited to a printer may go where only that is shown, and nowhere else."""
        self.rig.announce()
        everything = SCOPES[:-1]
        key = self.rig.key(*everything, printers=[SATURN])
        for method, path, *_ in self.ROUTES:
            self.rig.clock.advance(60)
            target = re.sub("<[^>]*>", "unknown", path.replace("<int:number>", "1"))
            reply = self.rig.ask(method, target, address=STRANGER, key=key)
            if f"{method} {path}" in self.COMMON:
                self.assertNotIn(reply.status, (401, 403), (method, path))
            else:
                self.assert_refused(reply, 403, "forbidden")
            if "/printers/<name>" in path:
                reply = self.rig.ask(method, path.replace("<name>", SATURN), address=STRANGER, key=key)
                code = reply.error["code"] if reply.status == 404 else None
                self.assertNotIn(reply.status, (401, 403), (method, path, reply.body))
                self.assertIn(code, (None, "no_picture"), (method, path))

    def test_refusal_names_scope(self) -> None:
        """The refusal says which address lacks which permission and who can grant it."""
        error = self.assert_refused(self.rig.ask("DELETE", "/v1/files/x", address=FRIEND), 403, "forbidden")
        self.assertIn(FRIEND, error["message"])
        self.assertIn("'upload'", error["message"])
        self.assertIn("[access] trusted", error["hint"])
        self.assertIn("sdcp-key add NAME --scope upload", error["hint"])

    def test_refused_before_body(self) -> None:
        """A stranger's upload is refused when its head is there, before a byte of the file."""
        pending = self.rig.begin(
            "PUT", "/v1/files/a.goo", b"", {"Content-Length": "1000000", "Expect": "100-continue"}, address=STRANGER
        )
        self.assertEqual(pending.reply.status, 403)

    def test_default(self) -> None:
        """Unless configured otherwise, this machine and its private networks may look, and others may nothing."""
        self.rig = self.make("")
        for address in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "10.77.0.200", UNIXAddress(b"/run/x")):
            self.assertEqual(self.status(address), 200)
            reply = self.rig.ask("PUT", "/v1/files/a.goo", goo(), address=address)
            self.assert_refused(reply, 403, "forbidden")
        for address in ("10.78.0.1", FRIEND, STRANGER, "fe80::1", "2001:db8::1"):
            self.assertEqual(self.status(address), 403, address)

    def test_admin_needs_key(self) -> None:
        """No address makes an admin; the refusal says where the admin's key is."""
        for address in ("127.0.0.1", "192.168.1.78"):
            error = self.assert_refused(self.rig.get("/v1/keys", address=address), 403, "forbidden")
            self.assertIn("admin.key", error["hint"])
        with self.assertRaises(ConfigError) as caught:
            parse('[access.trusted]\nloopback = ["view", "admin"]')
        self.assertIn("always needs a key", caught.exception.message)

    def test_network_changes(self) -> None:
        """A machine that moves to another network trusts that one within half a minute, and the old one no more."""
        self.rig = self.make("")
        self.assertEqual([self.status("10.77.0.9"), self.status("10.99.0.9")], [200, 403])
        self.rig.machine = Machine(frozenset(), (IPv4Network("10.99.0.0/24"),))
        self.rig.clock.advance(30)
        self.assertEqual([self.status("10.77.0.9"), self.status("10.99.0.9")], [403, 200])

    def test_families(self) -> None:
        """Networks of both families are told apart, and IPv4 in the dress of IPv6 is IPv4."""
        self.assertEqual([self.status(a) for a in ("fd00::5", "fe80::5", f"::ffff:{FRIEND}")], [200, 403, 200])

    def test_scopes_add_up(self) -> None:
        """An address in two networks may do what either gives it."""
        self.assertEqual(self.status("192.168.1.78"), 200)

    def test_unix_socket(self) -> None:
        """Who may open a Unix socket of ours is on this machine, and may do what the machine may."""
        self.assertEqual(self.status(UNIXAddress(b"/run/sdcpd.sock")), 200)

    def test_many_addresses(self) -> None:
        """However many addresses come by, each gets its own answer."""
        peers = self.rig.web._access._peers
        for number in range(5000):
            request = Peer(f"198.51.{number // 250}.{number % 250}")
            self.assertEqual(peers.find(request).scopes, frozenset())  # type: ignore[arg-type]
        self.assertLessEqual(len(peers._known), 4096)
        self.assertEqual((self.status(STRANGER), self.status(FRIEND)), (403, 200))

    def test_reload(self) -> None:
        """Other rules hold from the moment of the reload, for addresses that were seen before, too."""
        self.assertEqual((self.status(FRIEND), self.rig.get("/status").status), (200, 200))
        self.rig.web.configure(parse(f'[access.trusted]\n"{STRANGER}" = ["view"]\n[status]\nmode = "off"'))
        self.assertEqual((self.status(FRIEND), self.status(STRANGER)), (403, 200))
        self.assertEqual(self.rig.get("/status").body, b"Proxy is disabled")


class ForwardedTests(AccessCase):
    """Forwarded headers: from whom they count."""

    config = PROXIED

    def forwarded(self, header: str, peer: str = "10.0.0.1") -> int:
        return self.status(peer, headers={"X-Forwarded-For": header})

    def test_spoofed(self) -> None:
        """A client that is no proxy cannot give itself another address by any header."""
        for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Remote-User", "Client-IP"):
            value = "for=127.0.0.1" if name == "Forwarded" else "127.0.0.1"
            for rig in (self.rig, self.make("")):
                self.assertEqual(rig.get("/v1/printers", {name: value}, address=STRANGER).status, 403)

    def test_proxy(self) -> None:
        """Behind a configured proxy a client is what the proxy says it is."""
        self.assertEqual([self.forwarded(FRIEND), self.forwarded(STRANGER)], [200, 403])
        self.assertEqual(self.forwarded("127.0.0.1"), 200)
        self.assertEqual(self.status("10.0.0.1"), 403)  # the proxy itself is nobody

    def test_unlisted_proxy(self) -> None:
        """Behind a proxy that nobody listed, strangers do not get the rights of the machine it runs on."""
        for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded"):
            for address in ("127.0.0.1", FRIEND):
                reply = self.rig.get("/v1/printers", {name: STRANGER}, address=address)
                self.assertEqual(reply.status, 403)
                self.assertIn("[web] proxies", reply.json["error"]["hint"])

    def test_silent_proxy(self) -> None:
        """A listed proxy on this machine that sets other headers only makes nobody this machine by it."""
        self.rig = self.make('[web]\nproxies = ["127.0.0.1"]')
        self.assertEqual(self.status("127.0.0.1"), 200)
        for name, value in (("X-Real-IP", STRANGER), ("Forwarded", f"for={STRANGER}"), ("X-Real-IP", "127.0.0.1")):
            error = self.assert_refused(
                self.rig.get("/v1/printers", {name: value}, address="127.0.0.1"), 403, "forbidden"
            )
            self.assertIn("X-Forwarded-For", error["hint"])
        headers = {"X-Real-IP": STRANGER, "X-Forwarded-For": "10.77.0.9"}
        self.assertEqual(self.status("127.0.0.1", headers=headers), 200)

    def test_right_most(self) -> None:
        """What a client wrote into the header before it reached the proxy does not count."""
        self.assertEqual(self.forwarded(f"127.0.0.1, {STRANGER}"), 403)
        self.assertEqual(self.forwarded(f"127.0.0.1, {STRANGER}, 10.1.2.3"), 403)
        self.assertEqual(self.forwarded(f"{STRANGER}, {FRIEND},10.1.2.3, 10.0.0.1"), 200)

    def test_two_headers(self) -> None:
        """A proxy that adds a header of its own below the client's is the one that counts."""
        pending = self.rig.begin(
            "GET",
            "/v1/printers",
            b"",
            {"X-Forwarded-For": "127.0.0.1", "x-forwarded-for": STRANGER},
            address="10.0.0.1",
        )
        self.assertEqual(pending.reply.status, 403)

    def test_nonsense(self) -> None:
        """What is no address may do nothing."""
        for header in ("", ",", f"{FRIEND},", "unknown", "\xff\xfe", "127.0.0.1:80", "_hidden", "unix:"):
            self.assertEqual(self.forwarded(header), 403, header)

    def test_only_proxies(self) -> None:
        """When every hop is a proxy, the farthest is the client."""
        self.assertEqual(self.forwarded("10.1.0.5"), 403)


class HostTests(AccessCase):
    """Under which names the server may be asked: DNS rebinding."""

    def test_allowed(self) -> None:
        """Addresses, names of the local network and configured names are served, with or without a port."""
        for host in (
            "127.0.0.1",
            "127.0.0.1:8080",
            "192.168.1.5:8080",
            "[::1]",
            "[::1]:8080",
            "[fe80::1]:80",
            "localhost",
            "LOCALHOST:8080",
            "hub",
            "hub:8080",
            "saturn.local",
            "x.localhost:1",
            "printers.example.org",
            "Printers.Example.org:443",
            "hub.example.org:8443",
            "",
        ):
            self.assertEqual(self.status(host=host), 200, host)

    def test_no_host(self) -> None:
        """HTTP/1.1 has exactly one Host; only an old client, which is no browser, is served without."""
        self.assert_refused(self.rig.get("/v1/printers", host=None), 400, "bad_request")
        two = self.rig.get("/v1/printers", {"host": "hub.local"}, host="evil.example")
        self.assert_refused(two, 400, "bad_request")
        pending = Pending(self.rig.site, IPv4Address("TCP", "127.0.0.1", 50_000), False)
        pending.send(b"GET /v1/printers HTTP/1.0\r\n\r\n")
        self.assertEqual(pending.reply.status, 200)

    def test_own_name(self) -> None:
        """The machine's own name is known without being configured."""
        self.assertEqual(self.status(host="hub.lan:8080"), 200)

    def test_foreign(self) -> None:
        """A name of somebody else's is refused on every route, also where no permission is needed."""
        for host in ("evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "x.org."):
            error = self.assert_refused(self.rig.get("/v1/printers", host=host), 421, "foreign_host")
            self.assertIn("[web] hosts", error["hint"])
        for target in ("/", "/healthz", "/status", "/openapi.json", "/v1/updates"):
            self.assert_refused(self.rig.get(target, host="evil.example"), 421, "foreign_host")
        self.assertEqual(self.rig.get("/", host="evil.example").reason, "MISDIRECTED REQUEST")

    def test_other_port_of_configured_name(self) -> None:
        """A name that is configured with its port is good for that port only."""
        self.assertEqual(self.status(host="hub.example.org:9000"), 421)

    def test_unreadable(self) -> None:
        """A Host that is no name gets a readable refusal."""
        for host in ("a..b", "x" * 70 + ".local", "\xff\xfe"):
            self.assert_refused(self.rig.get("/status", host=host), 400, "bad_request")
        self.assertEqual(self.flushLoggedErrors(), [])


class OriginTests(AccessCase):
    """What a page in a browser may change."""

    def test_no_browser(self) -> None:
        """Programs, which send neither Origin nor Sec-Fetch-Site, may change things."""
        self.assertEqual(self.delete({}).status, 404)

    def test_own_page(self) -> None:
        """Our own page may, under the name it was loaded from."""
        self.assertEqual(self.delete({"Origin": "http://hub.local:8080"}).status, 404)
        self.assertEqual(self.delete({"Origin": "http://HUB.local:8080", "Sec-Fetch-Site": "same-origin"}).status, 404)
        for site in ("same-origin", "none"):
            self.assertEqual(self.delete({"Sec-Fetch-Site": site}).status, 404)

    def test_listed_page(self) -> None:
        """A configured page may, too."""
        headers = {"Origin": "https://board.example.org", "Sec-Fetch-Site": "cross-site"}
        self.assertEqual(self.delete(headers).status, 404)

    def test_foreign_page(self) -> None:
        """A page of another site may change nothing, although it is opened on a trusted machine."""
        for headers in (
            {"Origin": "http://evil.example"},
            {"Origin": "http://hub.local:9999"},
            {"Origin": "null"},
            {"Origin": "\xff"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
        ):
            error = self.assert_refused(self.delete(headers), 403, "foreign_origin")
            self.assertIn("[web] origins", error["hint"])

    def test_every_change(self) -> None:
        """Every route that changes something refuses a foreign page."""
        for route in self.rig.web.routes:
            if route.method != "GET":
                target = re.sub("<[^>]*>", "unknown", route.path)
                reply = self.rig.ask(route.method, target, b"", {"Origin": "http://evil.example"})
                if route.form is NATIVE:
                    self.assert_refused(reply, 403, "foreign_origin")
                self.assertEqual(reply.status, 403, route.path)

    def test_reading(self) -> None:
        """Reading is not refused for an Origin; without CORS headers the page cannot see the answer anyway."""
        for method in ("GET", "HEAD"):
            reply = self.rig.ask(method, "/status", b"", {"Origin": "http://evil.example"})
            self.assertEqual(reply.status, 200)
            self.assertFalse([name for name in reply.headers if name.startswith("access-control")])


class CorsTests(AccessCase):
    """Which pages of other sites may read."""

    LISTED = "https://board.example.org"

    def preflight(self, origin: str, **more: str) -> Reply:
        headers = {"Origin": origin, "Access-Control-Request-Method": "DELETE", **more}
        return self.rig.ask("OPTIONS", "/v1/files/x.goo", b"", headers, address=STRANGER)

    def test_listed(self) -> None:
        """A listed page may read every answer, refusals and downloads included, and never with cookies."""
        self.rig.put()
        etag = self.rig.get("/v1/files").headers["etag"]
        for target, status, headers in (
            ("/v1/printers", 200, {}),
            ("/v1/files", 304, {"If-None-Match": etag}),
            ("/v1/updates", 200, {}),
            ("/nothing", 404, {}),
            ("/v1/printers/x", 404, {}),
        ):
            reply = self.rig.get(target, {"Origin": self.LISTED, **headers})
            self.assertEqual(reply.status, status)
            self.assertEqual(reply.headers["access-control-allow-origin"], self.LISTED, target)
            self.assertNotIn("access-control-allow-credentials", reply.headers)
            self.assertIn("Origin", reply.headers["vary"])
        reply = self.rig.ask("HEAD", "/v1/files/plate.goo", b"", {"Origin": self.LISTED})
        self.assertEqual((reply.status, reply.headers["access-control-allow-origin"]), (200, self.LISTED))
        reply = self.rig.get("/v1/keys", {"Origin": self.LISTED}, address=STRANGER)
        self.assertEqual((reply.status, reply.headers["access-control-allow-origin"]), (403, self.LISTED))

    def test_vary(self) -> None:
        """A cache keeps apart what is for pages and what is for keys."""
        self.assertEqual(self.rig.get("/status").headers["vary"], "X-Api-Key, Authorization, Origin")
        self.assertNotIn("Origin", self.make("").get("/status").headers["vary"])

    def test_preflight(self) -> None:
        """A listed page may ask with its key, and a browser is told so before it does."""
        reply = self.preflight(self.LISTED)
        self.assertEqual((reply.status, reply.body), (204, b""))
        self.assertEqual(reply.headers["access-control-allow-origin"], self.LISTED)
        self.assertIn("DELETE", reply.headers["access-control-allow-methods"])
        allowed = set(reply.headers["access-control-allow-headers"].casefold().split(", "))
        read = {"x-api-key", "authorization", "content-type", "if-none-match", "range", "prefer", "idempotency-key"}
        self.assertLessEqual({*read, "overwrite", "print-after-upload", "create-folder", "force"}, allowed)
        self.assertNotIn("access-control-allow-private-network", reply.headers)
        private = self.preflight(self.LISTED, **{"Access-Control-Request-Private-Network": "true"})
        self.assertEqual(private.headers["access-control-allow-private-network"], "true")

    def test_foreign(self) -> None:
        """To any other page a browser is told no."""
        for origin in ("https://evil.example", "null", "https://board.example.org.evil.example", "*"):
            reply = self.preflight(origin)
            self.assert_refused(reply, 403, "foreign_origin")
            self.assertNotIn("access-control-allow-origin", reply.headers)

    def test_options(self) -> None:
        """OPTIONS without a question is a method like any other that is not possible; and the Host counts."""
        self.assertEqual(self.rig.ask("OPTIONS", "/status").status, 405)
        self.assert_refused(self.rig.ask("OPTIONS", "/status", host="evil.example"), 421, "foreign_host")
