from __future__ import annotations

import re
from typing import Any

from twisted.internet.address import UNIXAddress

from sdcpd.config import parse
from tests.web.rig import Reply, Rig, WebCase, goo

FRIEND = "192.168.1.77"
STRANGER = "203.0.113.5"

CONFIG = """
[access.trusted]
"192.168.1.0/24" = ["view"]
"192.168.1.78" = ["upload", "control", "plate"]
"fd00::/8" = ["view"]

[web]
hosts = ["Printers.example.org", "hub.example.org:8443"]
origins = ["https://board.example.org/"]
"""
PROXIED = '[access.trusted]\n"192.168.1.0/24" = ["view"]\n[web]\nproxies = ["10.0.0.1", "10.1.0.0/16"]'


class AccessCase(WebCase):
    config = CONFIG

    def status(self, address: Any = "127.0.0.1", **more: Any) -> int:
        return self.rig.get("/v1/printers", address=address, **more).status

    def delete(self, headers: dict[str, str], host: str | None = "hub.local:8080", rig: Rig | None = None) -> Reply:
        """Something that changes things: 404 if it may be tried."""
        return (rig or self.rig).ask("DELETE", "/v1/files/x.goo", b"", headers, host=host)


class AddressTests(AccessCase):
    """What an address alone may do."""

    #: Every route: what a stranger, a viewer and a trusted uploader get, where it is not refused.
    ROUTES = (
        ("GET", "/", 200, None, None),
        ("GET", "/healthz", 200, None, None),
        ("GET", "/openapi.json", 200, None, None),
        ("GET", "/status", 403, 200, 200),
        ("GET", "/printers/<name>/status", 403, 404, 404),
        ("GET", "/v1/printers", 403, 200, 200),
        ("GET", "/v1/printers/<name>", 403, 404, 404),
        ("POST", "/v1/printers/<name>/print", 403, 403, 422),
        ("POST", "/v1/printers/<name>/plate", 403, 403, 422),
        ("POST", "/v1/printers/<name>/pause", 403, 403, 404),
        ("POST", "/v1/printers/<name>/resume", 403, 403, 404),
        ("POST", "/v1/printers/<name>/stop", 403, 403, 404),
        ("POST", "/v1/printers/<name>/adopt", 403, 403, 404),
        ("GET", "/v1/history", 403, 200, 200),
        ("GET", "/v1/history/totals", 403, 200, 200),
        ("GET", "/v1/history.csv", 403, 200, 200),
        ("GET", "/v1/history/<print_id>", 403, 404, 404),
        ("GET", "/v1/jobs", 403, 200, 200),
        ("GET", "/v1/jobs/<job_id>", 403, 404, 404),
        ("GET", "/v1/files", 403, 200, 200),
        ("PUT", "/v1/files/<path:name>", 403, 403, 422),
        ("GET", "/v1/files/<path:name>", 403, 404, 404),
        ("DELETE", "/v1/files/<path:name>", 403, 403, 404),
        ("GET", "/v1/updates", 403, 200, 200),
        ("GET", "/printers/<name>/v1/updates", 403, 404, 404),
    )

    def test_every_route(self) -> None:
        """A stranger gets nothing but the front page, the health and the description; others what they were given."""
        routes = [(route.method, route.path) for route in self.rig.web.routes]
        self.assertEqual(sorted(routes), sorted((method, path) for method, path, *_ in self.ROUTES))
        for method, path, *expected in self.ROUTES:
            target = re.sub("<[^>]*>", "unknown", path)
            stranger, viewer, both = (status or expected[0] for status in expected)
            for address, status in (
                (STRANGER, stranger),
                (FRIEND, viewer),
                ("192.168.1.78", both),
                ("127.0.0.1", both),
            ):
                reply = self.rig.ask(method, target, address=address)
                self.assertEqual(reply.status, status, (method, path, address, reply.body))
                if status == 403:
                    self.assert_refused(reply, 403, "forbidden")

    def test_refusal_names_scope(self) -> None:
        """The refusal says which address lacks which permission and who can grant it."""
        error = self.assert_refused(self.rig.ask("DELETE", "/v1/files/x", address=FRIEND), 403, "forbidden")
        self.assertIn(FRIEND, error["message"])
        self.assertIn("'upload'", error["message"])
        self.assertIn("[access] trusted", error["hint"])

    def test_refused_before_body(self) -> None:
        """A stranger's upload is refused when its head is there, before a byte of the file."""
        pending = self.rig.begin(
            "PUT", "/v1/files/a.goo", b"", {"Content-Length": "1000000", "Expect": "100-continue"}, address=STRANGER
        )
        self.assertEqual(pending.reply.status, 403)

    def test_loopback(self) -> None:
        """Programs on the machine itself may do everything, over every spelling of loopback."""
        for address in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"):
            self.assertEqual(self.rig.ask("PUT", "/v1/files/a.goo", goo(), address=address).status, 201)

    def test_families(self) -> None:
        """Networks of both families are told apart, and IPv4 in the dress of IPv6 is IPv4."""
        self.assertEqual([self.status(a) for a in ("fd00::5", "fe80::5", f"::ffff:{FRIEND}")], [200, 403, 200])

    def test_scopes_add_up(self) -> None:
        """An address in two networks may do what either gives it."""
        self.assertEqual(self.status("192.168.1.78"), 200)

    def test_unix_socket(self) -> None:
        """Over a Unix socket, whose file says who may connect, everything is possible."""
        self.assertEqual(self.status(UNIXAddress(b"/run/sdcpd.sock")), 200)

    def test_many_addresses(self) -> None:
        """However many addresses come by, each gets its own answer."""
        for number in range(5000):
            address = f"198.51.{number // 250}.{number % 250}"
            if number % 500 == 0:
                self.assertEqual((self.status(address), self.status(FRIEND)), (403, 200))
            else:
                self.rig.web._access._known[address] = self.rig.web._access._judge(address)
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
        """An old client without a Host is no browser, and is served."""
        self.assertEqual(self.status(host=None), 200)

    def test_foreign(self) -> None:
        """A name of somebody else's is refused on every route, also where no permission is needed."""
        for host in ("evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "x.org."):
            error = self.assert_refused(self.rig.get("/v1/printers", host=host), 421, "foreign_host")
            self.assertIn("[web] hosts", error["hint"])
        for target in ("/", "/healthz", "/status", "/openapi.json", "/v1/updates"):
            self.assert_refused(self.rig.get(target, host="evil.example"), 421, "foreign_host")
        self.assertEqual(self.rig.get("/", host="evil.example").reason, "Misdirected Request")

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
        self.assert_refused(self.delete({"Origin": "null"}, host=None), 403, "foreign_origin")

    def test_every_change(self) -> None:
        """Every route that changes something refuses a foreign page."""
        for route in self.rig.web.routes:
            if route.method != "GET":
                target = re.sub("<[^>]*>", "unknown", route.path)
                reply = self.rig.ask(route.method, target, b"", {"Origin": "http://evil.example"})
                self.assert_refused(reply, 403, "foreign_origin")

    def test_reading(self) -> None:
        """Reading is not refused for an Origin; without CORS headers the page cannot see the answer anyway."""
        for method in ("GET", "HEAD"):
            reply = self.rig.ask(method, "/status", b"", {"Origin": "http://evil.example"})
            self.assertEqual(reply.status, 200)
            self.assertFalse([name for name in reply.headers if name.startswith("access-control")])
