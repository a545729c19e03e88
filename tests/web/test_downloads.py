from __future__ import annotations

from pathlib import Path

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.offers import Offer, Offers
from sdcpd.web.downloads import DownloadsSite
from tests.web.rig import Pending, RealCase, Reply, goo, head, replies

PRINTER = "127.0.0.1"
CONTENT = goo(bytes(range(256)) * 2000)


class Watch:
    """Notes what the printer does with an offer."""

    def __init__(self) -> None:
        self.requests = 0
        self.offsets: list[int] = []

    def requested(self) -> None:
        self.requests += 1

    def served(self, offset: int) -> None:
        self.offsets.append(offset)


class RefusalTests(SynchronousTestCase):
    """What is refused, and to whom."""

    def setUp(self) -> None:
        directory = Path(self.mktemp())
        directory.mkdir()
        (directory / "a.goo").write_bytes(CONTENT)
        self.watch = Watch()
        self.offers = Offers(lambda: 8081)
        self.offer = self.offers.make(directory / "a.goo", "192.168.1.100", self.watch)
        self.site = DownloadsSite(self.offers, Clock())

    def ask(self, target: str, method: str = "HEAD", address: str = "192.168.1.100") -> Reply:
        kind = IPv6Address if ":" in address else IPv4Address
        pending = Pending(self.site, kind("TCP", address, 1234), method == "HEAD")
        pending.send(head(method, target, b"", {}))
        return pending.reply

    def test_offered(self) -> None:
        """The printer that the file is offered to may have it, as often as it asks."""
        for number in (1, 2, 3):
            reply = self.ask(f"/{self.offer.token}")
            self.assertEqual((reply.status, reply.headers["content-length"]), (200, str(len(CONTENT))))
            self.assertEqual((self.watch.requests, self.watch.offsets), (number, []))
        self.assertEqual(self.ask(f"/{self.offer.token}", address="::ffff:192.168.1.100").status, 200)

    def test_other_address(self) -> None:
        """Nobody else may, even with the path."""
        for address in ("192.168.1.101", "127.0.0.1", "::1"):
            for method in ("GET", "HEAD", "POST"):
                reply = self.ask(f"/{self.offer.token}", method, address)
                self.assertEqual(reply.status, 403)
                self.assertEqual(reply.headers["x-content-type-options"], "nosniff")
        self.assertEqual(self.watch.requests, 0)

    def test_unknown(self) -> None:
        """A path that is no offer is not found: no list, no parent, no part of a token."""
        token = self.offer.token
        for target in (
            "/",
            "/x.goo",
            f"/{token[:-1]}",
            f"/{token}x",
            f"/{token}/",
            f"/{token}/x",
            "/%FF",
            f"/../{token}",
        ):
            reply = self.ask(target, "GET")
            self.assertEqual((reply.status, reply.headers["content-type"]), (404, "text/plain; charset=utf-8"), target)
        self.assertEqual(self.watch.requests, 0)

    def test_withdrawn(self) -> None:
        """After the delivery the path is gone."""
        self.offers.withdraw(self.offer)
        self.assertEqual(self.ask(f"/{self.offer.token}").status, 404)

    def test_methods(self) -> None:
        """Nothing but GET and HEAD is possible."""
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            reply = self.ask(f"/{self.offer.token}", method)
            self.assertEqual((reply.status, reply.headers["allow"]), (405, "GET, HEAD"))
        self.assertEqual(self.watch.requests, 0)

    def test_secret_paths(self) -> None:
        """No path of an offer reaches a log."""
        self.site.startFactory()
        self.site.stopFactory()
        self.site.log(object())


class DownloadTests(RealCase):
    """Bytes on a real connection."""

    def setUp(self) -> None:
        super().setUp()
        (self.directory / "a.goo").write_bytes(CONTENT)
        self.watch = Watch()
        self.offers = Offers(lambda: self.port)
        self.port = self.listen(DownloadsSite(self.offers, Clock()))

    def offer(self, path: str = "a.goo") -> Offer:
        return self.offers.make(self.directory / path, PRINTER, self.watch)

    async def get(self, offer: Offer, **more: str) -> Reply:
        return await self.exchange(self.port, "GET", f"/{offer.token}", more)

    async def test_whole(self) -> None:
        """The printer gets the file, byte by byte, and the delivery hears how far it is, up to the end."""
        reply = await self.get(self.offer())
        self.assertEqual((reply.status, reply.body), (200, CONTENT))
        self.assertEqual(self.watch.requests, 1)
        self.assertEqual((self.watch.offsets, self.watch.offsets[-1]), (sorted(self.watch.offsets), len(CONTENT)))
        self.assertGreater(len(self.watch.offsets), 2)

    async def test_parts(self) -> None:
        """A printer may fetch the file in parts, and again from where it was interrupted."""
        offer = self.offer()
        first = await self.get(offer, Range="bytes=0-99999")
        self.assertEqual(self.watch.offsets[-1], 100_000)
        rest = await self.get(offer, Range="bytes=100000-")
        self.assertEqual((first.status, rest.status, first.body + rest.body), (206, 206, CONTENT))
        self.assertEqual((self.watch.requests, self.watch.offsets[-1]), (2, len(CONTENT)))
        self.assertEqual((await self.get(offer, Range="bytes=99999999-")).status, 416)

    async def test_other_address(self) -> None:
        """Another machine that knows the path is refused, and the delivery does not hear of it."""
        offer = self.offer()
        reply = await self.exchange(self.port, "GET", f"/{offer.token}", source="127.0.0.2")
        self.assertEqual((reply.status, self.watch.requests), (403, 0))

    async def test_two_printers(self) -> None:
        """Each printer gets its own file, and only that."""
        (self.directory / "b.goo").write_bytes(goo(b"b"))
        mine = self.offer()
        theirs = self.offers.make(self.directory / "b.goo", "127.0.0.2", self.watch)
        self.assertEqual((await self.get(theirs)).status, 403)
        reply = await self.exchange(self.port, "GET", f"/{theirs.token}", source="127.0.0.2")
        self.assertEqual(reply.body, goo(b"b"))
        self.assertEqual((await self.get(mine)).body, CONTENT)

    async def test_withdrawn_while_read(self) -> None:
        """A download that has begun comes to its end although the offer is over meanwhile."""
        offer = self.offer()
        reading = self.connect(self.port, "GET", f"/{offer.token}")
        await reading.began
        self.offers.withdraw(offer)
        reading.go_on()
        self.assertEqual(replies(await reading.done)[0].body, CONTENT)

    async def test_stalled_reader(self) -> None:
        """A printer that reads nothing for a while makes the daemon wait, not grow, and gets everything later."""
        size = 64 * 2**20
        with (self.directory / "big.goo").open("wb") as file:
            file.truncate(size)
        offer = self.offer("big.goo")
        reading = self.connect(self.port, "GET", f"/{offer.token}")
        await reading.began
        quiet = 0
        while quiet < 200:
            before = len(self.watch.offsets)
            await self.turn()
            quiet = quiet + 1 if before == len(self.watch.offsets) else 0
        self.assertLess(self.watch.offsets[-1], size // 4)
        reading.go_on()
        self.assertEqual(len(replies(await reading.done)[0].body), size)
        self.assertEqual(self.watch.offsets[-1], size)
