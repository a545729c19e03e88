from __future__ import annotations

import tracemalloc
from pathlib import Path

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource, Resource

from sdcpd.logs import LINES
from sdcpd.offers import Offer, Offers
from sdcpd.web.downloads import PER_ADDRESS, STRANGERS, DownloadsSite
from tests.fakes import logged
from tests.web.rig import Pending, RealCase, Reply, goo, replies

PRINTER = "127.0.0.1"
PRINTER_THERE = "192.168.1.100"
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


class Broken(Resource):
    """A bug of ours."""

    def getChild(self, path: bytes, request: IRequest) -> IResource:
        raise RuntimeError("a bug of ours")


class RefusalTests(SynchronousTestCase):
    """What is refused, and to whom."""

    def setUp(self) -> None:
        directory = Path(self.mktemp())
        directory.mkdir()
        (directory / "a.goo").write_bytes(CONTENT)
        self.watch = Watch()
        self.offers = Offers(lambda: 8081)
        self.offer = self.offers.make(directory / "a.goo", "192.168.1.100", self.watch)
        self.clock = Clock()
        self.site = DownloadsSite(self.offers, self.clock)

    def begin(
        self, target: str, method: str, address: str = PRINTER_THERE, headers: dict[str, str] | None = None
    ) -> Pending:
        kind = IPv6Address if ":" in address else IPv4Address
        pending = Pending(self.site, kind("TCP", address, 1234), method == "HEAD")
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in (headers or {}).items())]
        pending.send("\r\n".join([*lines, "", ""]).encode("ascii"))
        self.addCleanup(pending.channel.stopProducing)  # as a transport does in its end
        return pending

    def ask(
        self, target: str, method: str = "HEAD", address: str = PRINTER_THERE, headers: dict[str, str] | None = None
    ) -> Reply:
        pending = self.begin(target, method, address, headers)
        reply = pending.reply
        pending.leave()
        return reply

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
            for method in ("GET", "HEAD"):
                reply = self.ask(f"/{self.offer.token}", method, address)
                self.assertEqual((reply.status, reply.body == b""), (403, method == "HEAD"))
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
            f"/{token}/x",
            "/%FF",
            f"/../{token}",
        ):
            reply = self.ask(target, "GET")
            self.assertEqual((reply.status, reply.error["code"]), (404, "not_found"), target)
            self.assertEqual((self.ask(target).status, self.ask(target).body), (404, b""), target)
        self.assertEqual(self.watch.requests, 0)

    def test_withdrawn(self) -> None:
        """After the delivery the path is gone."""
        self.offers.withdraw(self.offer)
        self.assertEqual(self.ask(f"/{self.offer.token}").status, 404)

    def test_methods(self) -> None:
        """Nothing but GET and HEAD is possible."""
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "X"):
            for target in (f"/{self.offer.token}", "/x", "*"):
                for address in (PRINTER_THERE, "127.0.0.1"):
                    reply = self.ask(target, method, address)
                    self.assertEqual((reply.status, reply.headers["allow"]), (405, "GET, HEAD"))
        self.assertEqual(self.watch.requests, 0)

    def test_bodies(self) -> None:
        """A body of any kind, with any method, is refused before it is sent, and never asked for."""
        framings: tuple[dict[str, str], ...] = (
            {"Content-Length": "1"},
            {"Content-Length": "9" * 4000},
            {"Transfer-Encoding": "chunked"},
            {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": str(150 * 2**20)},
            {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": "99"},
        )
        more: tuple[dict[str, str], ...] = ({}, {"Expect": "100-continue"})
        for method in ("GET", "HEAD", "POST", "PUT"):
            for headers in (framing | expect for framing in framings for expect in more):
                reply = self.ask(f"/{self.offer.token}", method, headers=headers)
                self.assertEqual((reply.status, reply.headers["connection"]), (413, "close"))
                self.assertEqual(reply.body == b"", method == "HEAD")
        self.assertEqual(self.watch.requests, 0)

    def test_absurd_length(self) -> None:
        """A Content-Length that is no number for Python is a bad request, not a fault of ours."""
        for method in ("GET", "HEAD", "POST"):
            pending = self.begin(f"/{self.offer.token}", method, headers={"Content-Length": "9" * 5000})
            self.assertEqual((pending.reply.status, pending.transport.disconnecting), (400, True))

    def test_insistent(self) -> None:
        """Who sends on after the refusal is not stored, not parsed, and soon cut off, chunked or not."""
        chunk = bytes(65536)
        for name, value, piece in (
            ("Content-Length", str(150 * 2**20), chunk),
            ("Transfer-Encoding", "chunked", b"10000\r\n" + chunk + b"\r\n"),
        ):
            headers = {"Content-Type": "multipart/form-data; boundary=x", name: value}
            pending = self.begin(f"/{self.offer.token}", "POST", headers=headers)
            sent = 0
            tracemalloc.start()
            try:
                while not pending.transport.disconnecting:
                    pending.send(piece)
                    sent += len(piece)
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            self.assertLess(sent, 5 * 2**20)
            self.assertLess(peak, 2**20)
            self.assertEqual(pending.reply.status, 413)

    def test_secret_paths(self) -> None:
        """Nothing of an offer's path reaches a log, not even for who asks for debug and whatever goes wrong."""
        lines = logged(self, "debug")
        self.site.doStart()
        token = self.offer.token
        for method in ("GET", "HEAD", "POST"):
            for target in (f"/{token}", f"/{token}/x", f"/x?token={token}", f"http://x/{token}"):
                for address in (PRINTER_THERE, "127.0.0.1"):
                    for length in ("0", "1", "9" * 5000):
                        self.begin(target, method, address, {"Content-Length": length}).leave()
        self.offer.path.unlink()
        for method in ("GET", "HEAD"):
            self.assertEqual(self.ask(f"/{token}", method).status, 404)
        self.site.resource = Broken()
        for method in ("GET", "HEAD"):
            pending = self.begin(f"/{token}", method)
            self.assertEqual(pending.reply.status, 500)
            self.assertNotIn(token, repr(pending.channel.requests))
        self.site.doStop()
        self.clock.advance(60)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)
        self.assertGreater(len(lines), 2)
        self.assertNotIn(token[:8], "\n".join(lines))
        self.assertEqual([line for line in lines if "factory" in line], [])

    def crowd(self, addresses: list[str], each: int) -> int:
        """How many of so many connections from each address, which say nothing, are let in."""
        peers = [IPv4Address("TCP", address, 1234) for address in addresses for _ in range(each)]
        let_in = [channel for channel in map(self.site.buildProtocol, peers) if channel is not None]
        return len(let_in)

    def test_crowd(self) -> None:
        """Strangers who keep connections open, from wherever, take none away from the printer that fetches a file."""
        lines = logged(self)
        for number in range(STRANGERS):
            self.begin("/", "GET", f"192.168.2.{number}")
        self.assertEqual(self.crowd([f"192.168.3.{number}" for number in range(250)], 4), 0)
        self.assertEqual(self.ask(f"/{self.offer.token}").status, 200)
        self.assertEqual(len([line for line in lines if "Too many connections" in line]), LINES)

    def test_crowd_leaves(self) -> None:
        """Whoever has gone makes room."""
        crowd = [self.begin("/", "GET", f"192.168.2.{number}") for number in range(STRANGERS)]
        self.assertEqual(self.crowd(["192.168.3.1"], 1), 0)
        crowd[0].leave()
        self.assertEqual(self.crowd(["192.168.3.1"], 1), 1)

    def test_one_address(self) -> None:
        """A printer may have several connections, and not any number."""
        opened = [self.begin(f"/{self.offer.token}", "HEAD") for _ in range(PER_ADDRESS)]
        self.assertEqual(self.crowd([PRINTER_THERE], 5), 0)
        opened[0].leave()
        self.assertEqual(self.crowd([PRINTER_THERE], 1), 1)

    def test_one_router(self) -> None:
        """Of several printers behind one address each has its connections."""
        self.offers.make(self.offer.path, PRINTER_THERE, self.offer.watcher)
        for _ in range(2 * PER_ADDRESS):
            self.begin(f"/{self.offer.token}", "HEAD")
        self.assertEqual(self.crowd([PRINTER_THERE], 5), 0)

    def test_unseen(self) -> None:
        """A request that is shown anywhere keeps its path to itself."""
        pending = self.begin(f"/{self.offer.token}", "GET")
        self.assertEqual(repr(pending.channel.requests[0]), "<Request GET ***>")


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

    async def test_revoked_while_read(self) -> None:
        """A job that is stopped breaks off its download, even one whose last bytes are already with the kernel."""
        with (self.directory / "big.goo").open("wb") as file:
            file.truncate(64 * 2**20)
        for path in ("a.goo", "big.goo"):
            size = (self.directory / path).stat().st_size
            offer = self.offer(path)
            reading = self.connect(self.port, "GET", f"/{offer.token}", {"Connection": "keep-alive"})
            await reading.began
            while path == "a.goo" and self.watch.offsets[-1] < size:
                await self.turn()
            self.offers.revoke(offer)
            reading.go_on()
            self.assertLess(len(await reading.done), size)
            self.assertEqual((await self.get(offer)).status, 404)
            self.assertEqual((await self.get(self.offer())).body, CONTENT)

    async def test_closed_connections(self) -> None:
        """Connections that are over are nothing to break off any more."""
        offer = self.offer()
        for _ in range(2):
            self.assertEqual((await self.get(offer)).status, 200)
        self.offers.revoke(offer)
        self.assertEqual((await self.get(offer)).status, 404)

    async def test_stalled_reader(self) -> None:
        """A printer that reads nothing for a while makes the daemon wait, not grow, and gets everything later."""
        size = 32 * 2**20
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
        self.assertLess(self.watch.offsets[-1], size // 2)
        reading.go_on()
        self.assertEqual(len(replies(await reading.done)[0].body), size)
        self.assertEqual(self.watch.offsets[-1], size)
