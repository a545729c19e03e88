from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.web.serve import MOST_RANGES, ServedFile
from sdcpd.web.site import Site
from tests.web.rig import SECURE, Pending, RealCase, Reply, Rig, goo, head, md5, replies

CONTENT = goo(bytes(range(256)) * 1000)
HERE = IPv4Address("TCP", "127.0.0.1", 1234)
ETAG = f'"{md5(CONTENT)}"'


class ServedFileTests(RealCase):
    """``GET /v1/files/<name>``: bytes on a real connection."""

    def setUp(self) -> None:
        super().setUp()
        self.rig = Rig(self.directory)
        self.assertEqual(self.rig.put("my%20plate%20%C4%8D.goo", CONTENT).status, 201)
        self.port = self.listen(self.rig.site)

    async def get(self, headers: Any = None, *, method: str = "GET", name: str = "my%20plate%20%C4%8D.goo") -> Reply:
        return await self.exchange(self.port, method, f"/v1/files/{name}", headers)

    async def test_whole(self) -> None:
        """A download is the file, byte by byte, as an attachment under its own name that no browser opens."""
        reply = await self.get()
        self.assertEqual((reply.status, reply.body), (200, CONTENT))
        for name, value in {
            **SECURE,
            "content-type": "application/octet-stream",
            "content-length": str(len(CONTENT)),
            "content-disposition": "attachment; filename*=UTF-8''my%20plate%20%C4%8D.goo",
            "content-security-policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
            "cache-control": "no-cache",
            "accept-ranges": "bytes",
            "etag": ETAG,
        }.items():
            self.assertEqual(reply.headers[name], value)

    async def test_by_md5(self) -> None:
        """A file can be had by its MD5, too."""
        self.assertEqual((await self.get(name=md5(CONTENT).upper())).body, CONTENT)

    async def test_ranges(self) -> None:
        """A part of the file can be had: from, to, or the last bytes."""
        size = len(CONTENT)
        for text, first, last in (
            ("0-0", 0, 0),
            ("5-99", 5, 99),
            (f"{size - 3}-", size - 3, size - 1),
            ("-10", size - 10, size - 1),
            (f"0-{size * 2}", 0, size - 1),
        ):
            reply = await self.get({"Range": f"bytes={text}"})
            self.assertEqual((reply.status, reply.body), (206, CONTENT[first : last + 1]), text)
            self.assertEqual(reply.reason, "PARTIAL CONTENT")
            self.assertEqual(reply.headers["content-range"], f"bytes {first}-{last}/{size}")
            self.assertLessEqual(SECURE.items(), reply.headers.items())

    async def test_beyond(self) -> None:
        """A part behind the end is refused with the size that there is."""
        reply = await self.get({"Range": f"bytes={len(CONTENT)}-"})
        self.assertEqual((reply.status, reply.body), (416, b""))
        self.assertEqual(reply.headers["content-range"], f"bytes */{len(CONTENT)}")
        self.assertLessEqual(SECURE.items(), reply.headers.items())

    async def test_several_ranges(self) -> None:
        """Several parts come in one answer, each with its place."""
        reply = await self.get({"Range": "bytes=0-3,10-11"})
        self.assertEqual(reply.status, 206)
        for part in (b"bytes 0-3/", b"bytes 10-11/", CONTENT[:4]):
            self.assertIn(part, reply.body)

    async def test_bad_range(self) -> None:
        """A Range that cannot be read is as good as none."""
        for text in ("bytes=x-y", "lines=1-2", "bytes"):
            self.assertEqual((await self.get({"Range": text})).body, CONTENT)

    async def test_hostile_ranges(self) -> None:
        """A Range that no client writes is as good as none, and more last bytes than there are, are all of them."""
        for text in ("bytes=\xff", "bytes=,,", "bytes=", "bytes=+0-1", "bytes=0_0-1", f"bytes={'9' * 5000}-"):
            reply = await self.get({"Range": text})
            self.assertEqual((reply.status, len(reply.body)), (200, len(CONTENT)), text)
        for last in (len(CONTENT), len(CONTENT) + 1, 10**17):
            reply = await self.get({"Range": f"bytes=-{last}"})
            self.assertEqual((reply.status, reply.body), (206, CONTENT), last)
        parts = await self.get({"Range": f"bytes=0-1, -{10**17}"})
        self.assertEqual(parts.status, 206)
        self.assertIn(CONTENT, parts.body)

    async def test_many_ranges(self) -> None:
        """Nobody is sent a file a thousand times in one answer."""
        reply = await self.get({"Range": "bytes=" + ",".join(["0-"] * MOST_RANGES)})
        self.assertEqual(reply.status, 206)
        reply = await self.get({"Range": "bytes=" + ",".join(["0-"] * (MOST_RANGES + 1))})
        self.assertEqual((reply.status, reply.body), (200, CONTENT))

    async def test_head(self) -> None:
        """HEAD tells everything about the file but sends nothing of it."""
        reply = await self.get(method="HEAD")
        self.assertEqual((reply.status, reply.body), (200, b""))
        self.assertEqual((reply.headers["content-length"], reply.headers["etag"]), (str(len(CONTENT)), ETAG))

    async def test_not_modified(self) -> None:
        """Who has these bytes is told so."""
        for tags in (ETAG, f"W/{ETAG}", f'"x", {ETAG}', "*"):
            for method in ("GET", "HEAD"):
                reply = await self.get({"If-None-Match": tags}, method=method)
                self.assertEqual((reply.status, reply.body, reply.headers["etag"]), (304, b"", ETAG))
        self.assertEqual((await self.get({"If-None-Match": '"other"'})).status, 200)

    async def test_replaced_by_older_bytes(self) -> None:
        """Who has other bytes under this name gets the present ones, even if those lay here for longer."""
        got = await self.get()
        self.rig.put("my%20plate%20%C4%8D.goo", goo(b"new"))
        later = {"If-Modified-Since": got.headers["last-modified"], "If-None-Match": ETAG}
        self.assertEqual((await self.get(later)).body, goo(b"new"))
        self.assertEqual((await self.get({"If-Modified-Since": got.headers["last-modified"]})).body, goo(b"new"))

    async def test_resumed(self) -> None:
        """A download is resumed if the file is still the same, else it begins anew."""
        same = await self.get({"Range": "bytes=100-", "If-Range": ETAG})
        self.assertEqual((same.status, same.body), (206, CONTENT[100:]))
        other = await self.get({"Range": "bytes=100-", "If-Range": '"other"'})
        self.assertEqual((other.status, other.body), (200, CONTENT))

    async def test_deleted_while_read(self) -> None:
        """A download that has begun comes to its end although the file is deleted meanwhile."""
        reading = self.connect(self.port, "GET", "/v1/files/my%20plate%20%C4%8D.goo")
        await reading.began
        self.assertEqual(self.rig.ask("DELETE", "/v1/files/my%20plate%20%C4%8D.goo").status, 204)
        reading.go_on()
        self.assertEqual(replies(await reading.done)[0].body, CONTENT)


class TypeTests(SynchronousTestCase):
    """What is said of a file's kind; what a watcher hears is in ``test_downloads``."""

    def test_no_guess(self) -> None:
        """A file is served without guessing a type from its name, which anybody may choose."""
        path = Path(self.mktemp() + ".html")
        path.write_bytes(b"<script>")
        file = ServedFile(str(path), "0" * 32, "a.html")
        self.assertEqual((file.type, file.encoding), ("application/octet-stream", None))


class GoneTests(SynchronousTestCase):
    def test_head(self) -> None:
        """A file that vanished from the disk is not found, and HEAD is told so without a body."""
        file = ServedFile(self.mktemp(), "0" * 32, "a.goo")
        for method, is_empty in (("HEAD", True), ("GET", False)):
            pending = Pending(Site(file, lambda method, path: False, Clock()), HERE, method == "HEAD")
            pending.send(head(method, "/", b"", {}))
            self.assertEqual((pending.reply.status, pending.reply.body == b""), (404, is_empty))
