"""At which address a client sees the printer that it talks to."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import ISSLTransport
from zope.interface import alsoProvides

from sdcpd.fleet import Printer
from sdcpd.web.address import base
from sdcpd.web.answer import TEXT, Answer
from sdcpd.web.errors import NATIVE
from sdcpd.web.mount import Mount, MountedSite
from sdcpd.web.routes import Call, Route, streams, tree
from tests.web.rig import SATURN, Pending, WebCase, head

PROXY = "10.0.0.1"
CLIENT = "192.168.1.77"


class AddressCase(WebCase):
    """A tree with one route that says its own address."""

    config = f'[web]\nproxies = ["{PROXY}"]\nhosts = ["print.example.org"]'

    def setUp(self) -> None:
        super().setUp()
        self.rig.announce()

        def tell(call: Call, printer: Printer) -> Answer:
            return Answer(200, base(call).encode(), TEXT)

        mount = Mount(self.rig.fleet, "")
        routes = mount.put(NATIVE, [Route("GET", "/where", None, tell)])
        self.rig.site = MountedSite(mount, tree(routes, self.rig.web._access), streams(routes), self.rig.clock)

    def base(
        self,
        host: str | None = "hub.local:8080",
        path: str = "/printers/saturn-3-ultra",
        peer: str = CLIENT,
        **told: str,
    ) -> str:
        """What the route says; ``told`` are headers, with _ for -."""
        headers = {name.replace("_", "-"): value for name, value in told.items()}
        reply = self.rig.get(f"{path}/where", headers, host=host, address=peer)
        self.assertEqual(reply.status, 200, reply.body)
        return reply.body.decode()


class WrittenTests(AddressCase):
    """An address is what the client wrote."""

    def test_as_written(self) -> None:
        """A client gets the host, the port and the printer's name as it knows them, whichever it uses."""
        for host in ("hub.local:8080", "HUB", "192.168.1.5:8080", "[::1]:8080", "[fe80::1]", "print.example.org"):
            self.assertEqual(self.base(host), f"http://{host}/printers/saturn-3-ultra")
        for name in ("SATURN-3-Ultra", SATURN, SATURN.lower()):
            self.assertEqual(self.base(path=f"/printers/{name}"), f"http://hub.local:8080/printers/{name}")

    def test_root(self) -> None:
        """At the root there is no printer's name, and the address says none."""
        self.assertEqual(self.base(path=""), "http://hub.local:8080")

    def test_slashes(self) -> None:
        """Slashes too many, and letters that were written as numbers, are not handed on."""
        self.assertEqual(
            self.base(path="//printers///%73aturn-3-ultra/"), "http://hub.local:8080/printers/saturn-3-ultra"
        )

    def test_https(self) -> None:
        """Through an encrypted port the address is an encrypted one."""
        pending = Pending(self.rig.site, IPv4Address("TCP", CLIENT, 50_000), False)
        alsoProvides(pending.transport, ISSLTransport)
        pending.send(head("GET", "/where", b"", {}, "hub.local:8443"))
        self.assertEqual(pending.reply.body, b"https://hub.local:8443")

    def test_no_host(self) -> None:
        """A client that does not say what it calls us is told the address that it has reached."""
        for ours, expected in (
            (IPv4Address("TCP", "192.168.1.5", 8080), b"http://192.168.1.5:8080"),
            (IPv6Address("TCP", "fe80::5%eth0", 8080), b"http://[fe80::5]:8080"),
            (UNIXAddress(b"/run/sdcpd.sock"), b"http://localhost"),
        ):
            for request in (b"GET /where HTTP/1.0\r\n\r\n", b"GET /where HTTP/1.1\r\nHost: \r\n\r\n"):
                pending = Pending(self.rig.site, IPv4Address("TCP", CLIENT, 50_000), False)
                transport: Any = pending.transport
                transport.hostAddr = ours
                pending.send(request)
                self.assertEqual(pending.reply.body, expected)

    def test_no_nonsense(self) -> None:
        """What is no host never gets into an address: it is refused."""
        for host in (
            "hub.local:80/evil",
            "hub.local:80@evil.example",
            'hub.local:"><b>',
            "hub.local:123456",
            ":80",
            "a b",
        ):
            reply = self.rig.get("/where", host=host, address=CLIENT)
            self.assert_refused(reply, 400, "bad_request")


class ProxiedTests(AddressCase):
    """Behind a reverse proxy."""

    TOLD = {  # noqa: RUF012 (never changed)
        "X_Forwarded_Proto": "https",
        "X_Forwarded_Host": "print.example.org",
        "X_Forwarded_Prefix": "/farm",
    }

    def test_configured(self) -> None:
        """A configured proxy says how the client reached it: scheme, host, and what it took away from the path."""
        self.assertEqual(
            self.base("10.0.0.5", peer=PROXY, **self.TOLD), "https://print.example.org/farm/printers/saturn-3-ultra"
        )
        self.assertEqual(self.base("hub.local", "", PROXY, X_Script_Name="/a/b/"), "http://hub.local/a/b")
        self.assertEqual(self.base("hub.local", "", PROXY, X_Forwarded_Prefix="/"), "http://hub.local")
        self.assertEqual(self.base("hub.local", "", PROXY, X_Forwarded_Host="[FE80::1]:443"), "http://[FE80::1]:443")

    def test_not_configured(self) -> None:
        """Nobody else can have an address made that leads elsewhere."""
        for peer in (CLIENT, "127.0.0.1", "10.0.0.2"):
            told = self.base(peer=peer, X_Script_Name="/evil", **self.TOLD)
            self.assertEqual(told, "http://hub.local:8080/printers/saturn-3-ultra")

    def test_last(self) -> None:
        """Of what several have written, the part of the proxy that is next to us counts."""
        told = self.base(
            "hub.local", "", PROXY, X_Forwarded_Host="evil.example, print.local", X_Forwarded_Proto="x, https"
        )
        self.assertEqual(told, "https://print.local")

    def test_nonsense(self) -> None:
        """What a proxy hands on from a client is used only where it is a scheme, a host or a path."""
        for told in (
            {"X_Forwarded_Proto": "javascript"},
            {"X_Forwarded_Host": "evil.example/x"},
            {"X_Forwarded_Host": "a@b"},
            {"X_Forwarded_Prefix": "evil"},
            {"X_Forwarded_Prefix": "//evil.example"},
            {"X_Forwarded_Prefix": "/a b"},
            {"X_Forwarded_Prefix": '/"><script>'},
            {"X_Forwarded_Prefix": "/" + "a" * 300},
            {"X_Script_Name": "/\xe9"},
        ):
            self.assertEqual(self.base("hub.local", "", PROXY, **told), "http://hub.local", told)
