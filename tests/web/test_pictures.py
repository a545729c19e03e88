"""Thumbnails and layers over HTTP, as a browser that shows them asks for them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from sdcpd.codec.sliced import BytesSource, preview, read_head
from sdcpd.codec.status import Status
from sdcpd.files import wire_name
from sdcpd.pictures import MOST_WAITING
from tests.codec.test_ctb_encrypted import KEY, encrypted_file
from tests.codec.vectors import PLAIN, patched, pixels, vector
from tests.pictures import opened
from tests.web.rig import SATURN, Reply, WebCase, goo, md5, printing

FOREVER = "private, max-age=31536000, immutable"


def seen(layer: int, name: str = "tiny.goo") -> bytes:
    """A layer of the vectors as the slicer showed it: they are mirrored in the files."""
    rows = pixels(layer)
    if name.endswith(".ctb"):
        rows = bytes((grey >> 1) << 1 | 1 if grey >> 1 else 0 for grey in rows)
    return b"".join(rows[y * 16 : y * 16 + 16][::-1] for y in range(12))


class PicturesCase(WebCase):
    def setUp(self) -> None:
        super().setUp()
        self.rig.put("tiny.goo", vector("tiny.goo"))
        self.md5 = md5(vector("tiny.goo"))

    def layer(self, number: int, query: str = "", name: str = "tiny.goo", **more: Any) -> Reply:
        return self.rig.get(f"/v1/files/{quote(name)}/layers/{number}.png{query}", **more)


class LayerTests(PicturesCase):
    def test_every_format(self) -> None:
        """Each layer of each format is shown as the slicer showed it, pixel by pixel."""
        for name in PLAIN:
            self.rig.put(name, vector(name))
            for n in range(4):
                reply = self.layer(n + 1, name=name)
                self.assertEqual((reply.status, reply.headers["content-type"]), (200, "image/png"), reply.body)
                self.assertEqual(opened(reply.body), (16, 12, seen(n, name)), name)

    def test_width(self) -> None:
        """The picture has the largest whole factor that fits the width that is asked for."""
        for asked, found in (("16", 16), ("15", 8), ("8", 8), ("5.4", 4), ("1", 1), ("0", 1), ("1e9", 16)):
            self.assertEqual(opened(self.layer(1, f"?width={asked}").body)[0], found)
        self.assert_refused(self.layer(1, "?width=wide"), 400, "bad_parameter")

    def test_out_of_range(self) -> None:
        """A layer that the file does not have is said to be none, with how many there are."""
        for number in (0, 5, 10**30):
            error = self.assert_refused(self.layer(number), 404, "no_picture")
            self.assertIn("4 layers", error["message"])
        self.assert_refused(self.layer(1, name="other.goo"), 404, "file_missing")

    def test_caching(self) -> None:
        """Asked for by the content a picture is good forever; by a name it is asked for again, which costs nothing."""
        named, fixed = self.layer(2), self.layer(2, name=self.md5)
        self.assertEqual((named.headers["cache-control"], fixed.headers["cache-control"]), ("no-cache", FOREVER))
        self.assertEqual(named.headers["etag"], fixed.headers["etag"])
        self.rig.pool.slow = True
        again = self.layer(2, headers={"If-None-Match": named.headers["etag"]})
        self.assertEqual((again.status, again.body), (304, b""))
        other = self.rig.begin(
            "GET", "/v1/files/tiny.goo/layers/3.png", headers={"If-None-Match": named.headers["etag"]}
        )
        self.assertFalse(other.answered)

    def test_head(self) -> None:
        """HEAD tells the same, without the picture."""
        get = self.layer(1)
        head = self.rig.ask("HEAD", "/v1/files/tiny.goo/layers/1.png")
        self.assertEqual((head.status, head.headers, head.body), (200, get.headers, b""))

    def test_folders(self) -> None:
        """Files in folders have pictures, too."""
        self.rig.put("minis/orcs/tiny.goo", vector("tiny.goo"))
        self.assertEqual(self.rig.get("/v1/files/minis/orcs/tiny.goo/layers/1.png").status, 200)
        self.assertEqual(self.rig.get("/v1/files/minis/orcs/tiny.goo/thumbnail.png").status, 200)

    def test_damaged(self) -> None:
        """A layer that is damaged is refused with what is wrong; the others are shown."""
        content = bytearray(vector("tiny.goo"))
        content[-30] ^= 0x55
        self.rig.put("bad.goo", bytes(content))
        self.assertEqual(self.layer(1, name="bad.goo").status, 200)
        self.assert_refused(self.layer(4, name="bad.goo"), 422, "bad_file")
        self.rig.put("worse.goo", goo(b"\x41\x80", resolution=(11520, 5120)))
        self.assert_refused(self.layer(1, name="worse.goo"), 422, "bad_layer")

    def test_encrypted(self) -> None:
        """Layers of an encrypted file are refused with what it takes, until the key is there."""
        content = encrypted_file()
        self.assertEqual(self.rig.put("closed.ctb", content).status, 201)
        error = self.assert_refused(self.layer(1, name="closed.ctb"), 422, "not_decodable")
        self.assertIn("ctb_key_file", error["hint"])
        self.assertEqual(self.rig.get("/v1/files/closed.ctb/thumbnail.png").status, 200)
        self.rig.store.indexes.configure(KEY)
        self.assertEqual(opened(self.layer(1, name="closed.ctb").body)[:2], (40, 30))
        self.rig.store.indexes.configure(None)
        self.assert_refused(self.layer(1, "?width=8", name="closed.ctb"), 422, "not_decodable")

    def test_scope(self) -> None:
        """Who may look may see pictures, also with a key for some printers; nobody else."""
        self.rig.announce()
        for key in (self.rig.key("view"), self.rig.key("view", name="one", printers=[SATURN])):
            self.assertEqual(self.layer(1, key=key).status, 200)
        self.assert_refused(self.layer(1, address="203.0.113.7"), 403, "forbidden")


class LineTests(PicturesCase):
    """While pictures are made."""

    def setUp(self) -> None:
        super().setUp()
        self.rig.pool.slow = True

    def ask(self, number: int, width: int = 16) -> Any:
        return self.rig.begin("GET", f"/v1/files/tiny.goo/layers/{number}.png?width={width}")

    def test_one_at_a_time(self) -> None:
        """Pictures are made one after the other, in the order in which they were asked for."""
        asked = [self.ask(n) for n in (1, 2, 3)]
        for n, pending in enumerate(asked):
            self.assertEqual((len(self.rig.pool.begun), pending.answered), (1, False))
            self.rig.pool.work()
            self.assertEqual(opened(pending.reply.body)[2], seen(n))
        self.assertEqual(self.rig.pool.begun, [])

    def test_shared(self) -> None:
        """A picture that several ask for is made once."""
        asked = [self.ask(1), self.ask(1), self.ask(2), self.ask(2)]
        self.rig.pool.work()
        self.rig.pool.work()
        self.assertEqual([pending.reply.status for pending in asked], [200] * 4)
        self.assertEqual(self.rig.pool.begun, [])

    def test_given_up(self) -> None:
        """A picture whose only viewer has left is not made; one that another waits for is."""
        self.ask(1)
        left, shared, waits = self.ask(2), self.ask(3), self.ask(3)
        left.leave()
        shared.leave()
        self.rig.pool.work()
        self.rig.pool.work()
        self.assertEqual(opened(waits.reply.body)[2], seen(2))
        self.assertEqual(self.rig.pool.begun, [])

    def test_left_while_made(self) -> None:
        """One that is finished after its viewer has left is there for the next."""
        self.ask(1).leave()
        self.rig.pool.work()
        self.assertEqual(self.ask(1).reply.status, 200)

    def test_crowded(self) -> None:
        """Too many different pictures at once are refused with when to come back."""
        asked = [self.ask(n % 4 + 1, 1 + n // 4) for n in range(MOST_WAITING + 1)]
        reply = self.ask(4, 16).reply
        self.assert_refused(reply, 503, "too_many_pictures")
        self.assertEqual(reply.headers["retry-after"], "2")
        asked[5].leave()
        self.assertFalse(self.ask(4, 16).answered)

    def test_deleted(self) -> None:
        """A file that is deleted before its picture is made is said to be gone."""
        pending = self.ask(1)
        self.assertEqual(self.rig.ask("DELETE", "/v1/files/tiny.goo").status, 204)
        self.rig.pool.work()
        self.assert_refused(pending.reply, 404, "file_missing")


class ThumbnailTests(PicturesCase):
    def test_sizes(self) -> None:
        """The largest thumbnail, or the one next to the size that is asked for, as the slicer made it."""
        source = BytesSource(vector("tiny.goo"))
        sliced = read_head(source)
        for query, number in (("", 0), ("?size=290", 0), ("?size=1", 1), ("?size=150", 1), ("?size=250", 0)):
            reply = self.rig.get(f"/v1/files/tiny.goo/thumbnail.png{query}")
            self.assertEqual((reply.status, reply.headers["content-type"]), (200, "image/png"))
            self.assertEqual(opened(reply.body), preview(source, sliced, number))

    def test_document(self) -> None:
        """The file's document says where its thumbnail is, under an address that never changes."""
        (file,) = self.rig.get("/v1/files").json
        reply = self.rig.get(file["thumbnail"])
        self.assertEqual((reply.status, reply.headers["cache-control"]), (200, FOREVER))
        again = self.rig.get(file["thumbnail"], {"If-None-Match": reply.headers["etag"]})
        self.assertEqual(again.status, 304)

    def test_none(self) -> None:
        """A file without a thumbnail says so."""
        content = patched(patched(vector("tiny_v4.ctb"), 60, "<I", 0), 72, "<I", 0)
        self.assertEqual(read_head(BytesSource(content)).previews, ())
        self.assertEqual(self.rig.put("bare.ctb", content).status, 201)
        self.assert_refused(self.rig.get("/v1/files/bare.ctb/thumbnail.png"), 404, "no_picture")


class PrintedTests(PicturesCase):
    """What is being printed now."""

    def setUp(self) -> None:
        super().setUp()
        self.rig.announce(resolution=(16, 12))
        self.link = self.rig.connect()
        self.wire = wire_name(self.rig.store.get("tiny.goo"))

    def printed(self, query: str = "", headers: Any = None) -> Reply:
        return self.rig.get(f"/v1/printers/saturn-3-ultra/layer.png{query}", headers)

    def test_layer(self) -> None:
        """The picture is that of the layer that the printer tells; at the edges that of the first and the last one."""
        for told, shown in ((0, 1), (1, 1), (3, 3), (4, 4), (9, 4)):
            self.rig.publish(printing(told, 4, filename=self.wire))
            reply = self.printed()
            self.assertEqual((reply.headers["x-sdcpd-layer"], reply.headers["cache-control"]), (str(shown), "no-cache"))
            self.assertEqual(opened(reply.body)[2], seen(shown - 1))

    def test_unchanged(self) -> None:
        """As long as the layer is the same nothing is sent again; with the next one it is."""
        self.rig.publish(printing(2, 4, filename=self.wire))
        tag = self.printed().headers["etag"]
        self.assertEqual(self.printed("", {"If-None-Match": tag}).status, 304)
        self.assertEqual(self.printed("?width=8", {"If-None-Match": tag}).status, 200)
        self.rig.publish(printing(3, 4, filename=self.wire))
        self.assertEqual(self.printed("", {"If-None-Match": tag}).status, 200)

    def test_ahead(self) -> None:
        """The next layer is ready when its turn comes, and nothing is made ahead of the last one."""
        for layer in (3, 4):
            self.rig.publish(printing(layer, 4, filename=self.wire))
            self.assertEqual(self.printed().status, 200)
            self.rig.pool.slow = True
        self.assertEqual(self.rig.pool.begun, [])

    def test_first(self) -> None:
        """It is made before the pictures that somebody leafs through, and those before the ones made ahead."""
        self.rig.publish(printing(2, 4, filename=self.wire))
        self.rig.pool.slow = True
        leafing = [self.rig.begin("GET", f"/v1/files/tiny.goo/layers/{n}.png?width=8") for n in (1, 2)]
        now = self.rig.begin("GET", "/v1/printers/saturn-3-ultra/layer.png")
        self.rig.pool.work()
        self.rig.pool.work()
        self.assertEqual([one.answered for one in (*leafing, now)], [True, False, True])
        self.rig.pool.work()
        self.assertTrue(leafing[1].answered)
        self.rig.pool.work()
        self.rig.publish(printing(3, 4, filename=self.wire))
        self.assertEqual(self.printed().status, 200)

    def test_nothing(self) -> None:
        """A printer that prints nothing, or nothing that is known here, has no layer, and says why."""
        for status in (Status((0,)), printing(3, 4, filename="other.goo"), printing(3, 4, filename="")):
            self.rig.publish(status)
            error = self.assert_refused(self.printed(), 404, "no_picture")
            self.assertIn("Saturn 3 Ultra prints", error["message"])
            self.assertIsNone(self.rig.get("/v1/printers/saturn-3-ultra").json["md5"])
        self.assert_refused(self.rig.get("/v1/printers/nobody/layer.png"), 404, "unknown_printer")

    def test_replaced(self) -> None:
        """What is shown is the file that is printed, also when its name stands for another one by now."""
        self.rig.publish(Status((0,)))
        reply = self.rig.post(f"/v1/printers/{SATURN}/print", {"file": "tiny.goo", "plate_clear": True})
        self.assertEqual(reply.status, 202, reply.body)
        md5 = self.rig.get("/v1/files").json[0]["md5"]
        self.rig.put("tiny.goo", goo(resolution=(16, 12)))
        self.rig.publish(printing(3, 4, filename=self.wire))
        self.assertEqual(opened(self.printed().body)[2], seen(2))
        self.assertEqual(self.rig.get("/v1/printers/saturn-3-ultra").json["md5"], md5)
