from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sdcpd.codec.status import Status
from sdcpd.files import Limits
from tests.codec.vectors import vector
from tests.web.rig import EPOCH, SATURN, WebCase, goo, md5


class FilesCase(WebCase):
    def names(self) -> list[str]:
        return [file["name"] for file in self.rig.get("/v1/files").json]

    def spooled(self) -> list[str]:
        """What lies in the store's directory besides its record."""
        spool = self.rig.directory / "files"
        return sorted(
            f"{Path(root).name}/{name}"
            for root, _, files in os.walk(spool)
            for name in files
            if name != "names.json" and not name.endswith(".index")
        )

    def begin(self, name: str, length: int, **headers: str) -> Any:
        """The head of an upload."""
        return self.rig.begin("PUT", f"/v1/files/{name}", b"", {"Content-Length": str(length), **headers})


class UploadTests(FilesCase):
    """``PUT /v1/files/<name>``."""

    def test_stored(self) -> None:
        """An upload is answered when it is stored, with everything that is known of it and where it is."""
        reply = self.rig.put("plate.goo", goo(b"abc"))
        digest = md5(goo(b"abc"))
        self.assertEqual((reply.status, reply.reason), (201, "CREATED"))
        self.assertEqual(
            reply.json,
            {
                "file": {
                    "name": "plate.goo",
                    "md5": digest,
                    "size": len(goo(b"abc")),
                    "format": "goo",
                    "version": "3.0",
                    "uploaded_at": EPOCH,
                    "wire_name": f"plate_{digest[:8]}.goo",
                    "url": "/v1/files/plate.goo",
                    "thumbnail": f"/v1/files/{digest}/thumbnail.png",
                },
                "sliced": reply.json["sliced"],
                "warnings": [],
            },
        )
        self.assertEqual(reply.headers["location"], "/v1/files/plate.goo")
        self.assertEqual(reply.headers["etag"], f'"{digest}"')
        self.assertEqual(self.rig.get("/v1/files").json, [reply.json["file"]])
        self.assertEqual(self.spooled(), [f"blobs/{digest}.goo"])

    def test_twice(self) -> None:
        """The same upload again is no error and takes no more room."""
        for _ in range(2):
            self.assertEqual(self.rig.put().status, 201)
        self.assertEqual((self.names(), len(self.spooled())), (["plate.goo"], 1))

    def test_replaced(self) -> None:
        """The same name with other bytes stands for the new ones; the old ones are gone."""
        old, new = goo(b"old"), goo(b"new!")
        self.rig.put("plate.goo", old)
        self.assertEqual(self.rig.put("plate.goo", new).json["file"]["md5"], md5(new))
        self.assertEqual((self.names(), self.spooled()), (["plate.goo"], [f"blobs/{md5(new)}.goo"]))
        self.assert_refused(self.rig.get(f"/v1/files/{md5(old)}"), 404, "file_missing")

    def test_names(self) -> None:
        """Any name that people give files comes back as it was, and its address leads to it."""
        for sent, name in (
            ("my%20plate%20(1).goo", "my plate (1).goo"),
            ("Dra%C4%8Dica.goo", "Dra\u010dica.goo"),
            ("Drac%CC%8Cica.goo", "Dra\u010dica.goo"),
            ("%E5%BD%AB%E5%88%BB%20%F0%9F%90%89.goo", "\u5f6b\u523b \U0001f409.goo"),
            ("100%25.goo", "100%.goo"),
            ("100%2525.goo", "100%25.goo"),
            ("a+b&c=d%3Fe%23f;g.goo", "a+b&c=d?e#f;g.goo"),
            ("%3Cimg%20src=x%20onerror=alert(1)%3E.goo", "<img src=x onerror=alert(1)>.goo"),
            ("trailing%20.goo%20", "trailing .goo "),
        ):
            reply = self.rig.put(sent)
            self.assertEqual((reply.status, reply.json["file"]["name"]), (201, name))
            headed = self.rig.ask("HEAD", reply.headers["location"])
            self.assertEqual((headed.status, headed.headers["etag"]), (200, reply.headers["etag"]))
            self.assertEqual(self.rig.ask("DELETE", reply.json["file"]["url"]).status, 204)

    def test_bad_names(self) -> None:
        """A name that is a path, hidden, invisible, too long or another file's MD5 is refused before the body."""
        for name in (
            "a%2F.b.goo",
            "folder/../a.goo",
            "folder/" * 9 + "a.goo",
            "..%2F..%2Fetc%2Fpasswd",
            "..",
            "%2e%2e",
            "a%5Cb.goo",
            ".hidden.goo",
            "a%00b.goo",
            "%E2%80%AEoog.exe",
            "x" * 250 + ".goo",
            "%20",
            "a" * 32,
        ):
            reply = self.begin(name, 1_000_000).reply
            self.assert_refused(reply, 422, "bad_name")
        evil = self.begin("a%0D%0AX-Evil:1.goo", 1_000_000).reply
        self.assert_refused(evil, 404, "not_found")
        self.assertNotIn("x-evil", evil.headers)
        self.assertEqual((self.names(), self.spooled()), ([], []))

    def test_unknown_kind(self) -> None:
        """What is no sliced file is refused as soon as its first bytes show it, and named."""
        pending = self.begin("model.goo", 1_000_000)
        pending.send(b"PK\x03\x04" + bytes(60))
        error = self.assert_refused(pending.reply, 422, "unknown_format")
        self.assertIn("ZIP", error["message"])
        self.assertEqual(self.spooled(), [])

    def test_truncated(self) -> None:
        """A .goo whose end is missing is refused: the printer would stop in the middle."""
        self.assert_refused(self.rig.put("a.goo", goo()[:-3]), 422, "unknown_format")
        self.assertEqual(self.spooled(), [])

    def test_empty(self) -> None:
        """An empty file is refused."""
        error = self.assert_refused(self.rig.put("a.goo", b""), 422, "unknown_format")
        self.assertIn("empty", error["message"])

    def test_chunked(self) -> None:
        """An upload of unannounced length is stored, too."""
        content = goo(b"abc")
        head = b"PUT /v1/files/a.goo HTTP/1.1\r\nHost: x\r\nX-Api-Key: %b\r\nTransfer-Encoding: chunked\r\n\r\n"
        pending = self.rig.begin("GET", "/healthz")
        before = len(pending.transport.value())
        pending.send(head % self.rig.admin.encode() + b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content))
        self.assertTrue(pending.transport.value()[before:].startswith(b"HTTP/1.1 201 "))
        self.assertEqual(self.names(), ["a.goo"])

    def test_interrupted(self) -> None:
        """A client that leaves in the middle leaves nothing behind, neither on the disk nor in the log."""
        pending = self.begin("a.goo", 1000)
        pending.send(goo()[:20])
        self.assertEqual(len(self.spooled()), 1)
        pending.leave()
        self.assertEqual((self.names(), self.spooled()), ([], []))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_stalled(self) -> None:
        """A client that sends nothing more for a long while is told so, and leaves nothing behind."""
        pending = self.begin("a.goo", 1000)
        pending.send(goo()[:20])
        self.rig.clock.advance(61)
        self.assert_refused(pending.reply, 400, "interrupted")
        self.assertEqual(self.spooled(), [])

    def test_too_large(self) -> None:
        """A file beyond the limit is refused before its body, and not asked for."""
        self.rig = self.make(limits=Limits(quota=0, max_size=len(goo()), reserve=0))
        for headers in ({}, {"Expect": "100-continue"}):
            reply = self.begin("a.goo", len(goo()) + 1, **headers).reply
            self.assert_refused(reply, 413, "file_too_large")
            self.assertEqual(reply.headers["connection"], "close")
        self.assertEqual(self.rig.put("a.goo", goo()).status, 201)

    def test_full(self) -> None:
        """Without room for it, a file is refused before its body, with what is missing."""
        self.rig = self.make(limits=Limits(quota=len(goo()) + 50, max_size=10**6, reserve=0))
        self.assertEqual(self.rig.put().status, 201)
        reply = self.begin("b.goo", 90).reply
        self.assert_refused(reply, 507, "store_full")
        self.assertEqual(reply.reason, "INSUFFICIENT STORAGE")
        self.assertEqual(self.names(), ["plate.goo"])

    def test_continue(self) -> None:
        """A client that asks first is told to go on when the head is good."""
        pending = self.begin("a.goo", len(goo()), Expect="100-continue")
        self.assertEqual(pending.transport.value(), b"HTTP/1.1 100 Continue\r\n\r\n")
        pending.transport.clear()
        pending.send(goo())
        self.assertEqual(pending.reply.status, 201)

    def test_needs_a_name(self) -> None:
        """An upload without a name is refused with what is possible there."""
        for target in ("/v1/files", "/v1/files/"):
            reply = self.rig.ask("PUT", target)
            self.assert_refused(reply, 405, "method_not_allowed")
            self.assertEqual(reply.headers["allow"], "GET, HEAD, POST")


class ListTests(FilesCase):
    """``GET /v1/files``."""

    def test_order(self) -> None:
        """Files are listed in the order of their upload."""
        for name in ("b.goo", "a.goo", "c.goo"):
            self.rig.put(name, goo(name.encode()))
            self.rig.clock.advance(1)
        self.assertEqual(self.names(), ["b.goo", "a.goo", "c.goo"])
        self.assertNotIn("path", self.rig.get("/v1/files").json[0])


class DeleteTests(FilesCase):
    """``DELETE /v1/files/<name>``."""

    def test_deleted(self) -> None:
        """A deleted file is gone from the list and from the disk."""
        self.rig.put()
        self.assertEqual(self.rig.ask("DELETE", "/v1/files/plate.goo").status, 204)
        self.assertEqual((self.names(), self.spooled()), ([], []))

    def test_by_md5(self) -> None:
        """By its MD5, a file is deleted under all of its names."""
        self.rig.put("a.goo")
        self.rig.put("b.goo")
        self.assertEqual(self.rig.ask("DELETE", f"/v1/files/{md5(goo()).upper()}").status, 204)
        self.assertEqual(self.names(), [])

    def test_missing(self) -> None:
        """What is not stored cannot be deleted."""
        for name in ("nothing.goo", "a/b", "a" * 32):
            self.assert_refused(self.rig.ask("DELETE", f"/v1/files/{name}"), 404, "file_missing")

    def test_in_use(self) -> None:
        """A file that a job needs is kept, and can be deleted when the job is over."""
        self.rig.announce()
        self.rig.connect()
        self.rig.publish(Status((0,)))
        self.rig.put()
        self.rig.post(f"/v1/printers/{SATURN}/print", {"file": "plate.goo"})
        self.assert_refused(self.rig.ask("DELETE", "/v1/files/plate.goo"), 409, "file_in_use")
        self.assertEqual(self.names(), ["plate.goo"])
        self.rig.ask("POST", f"/v1/printers/{SATURN}/stop")
        self.assertEqual(self.rig.ask("DELETE", "/v1/files/plate.goo").status, 204)


class MetadataTests(FilesCase):
    """``GET /v1/files/<name>/metadata``."""

    def test_told(self) -> None:
        """What a slicer wrote into the file is told with the answer to the upload, and later by name and MD5."""
        content = vector("mars4max-426-layers.goo")
        sliced = self.rig.put("minis/plate.goo", content).json["sliced"]
        self.assertEqual((sliced["machine"], sliced["resolution"]), ("ELEGOO Mars 4 Max", [5760, 3600]))
        self.assertEqual((sliced["layer_count"], sliced["pictures"]), (426, True))
        self.assertTrue(sliced["slicer"].startswith("CHITUBOX"))
        self.assertEqual([290, 290], sliced["thumbnails"][0])
        for name in ("minis/plate.goo", md5(content)):
            found = self.rig.get(f"/v1/files/{name}/metadata").json
            self.assertEqual((found["sliced"], found["problem"]), (sliced, None))
            self.assertEqual(found["file"], self.rig.get("/v1/files").json[0])

    def test_problem(self) -> None:
        """Of a file that cannot be read, stored before such were refused, it is told why, and it is not printed."""
        upload = self.rig.store.begin("a.goo", None)
        upload.write(goo()[:1000] + goo()[-11:])
        self.successResultOf(upload.finish())
        found = self.rig.get("/v1/files/a.goo/metadata").json
        self.assertIsNone(found["sliced"])
        self.assertIn("incomplete", found["problem"])
        self.rig.announce()
        wish = {"file": "a.goo", "plate_clear": True}
        self.assert_refused(self.rig.post(f"/v1/printers/{SATURN}/print", wish), 422, "truncated")

    def test_missing(self) -> None:
        """Of a file that is not stored nothing is known."""
        self.assert_refused(self.rig.get("/v1/files/none.goo/metadata"), 404, "file_missing")


class FolderTests(FilesCase):
    """Folders over HTTP."""

    def setUp(self) -> None:
        super().setUp()
        for name in ("minis/orcs/%C3%A4.goo", "minis/b.goo", "c.goo"):
            self.assertEqual(self.rig.put(name, goo(name.encode())).status, 201)

    def post(self, target: str, to: str) -> Any:
        return self.rig.post(f"/v1/files/{target}", {"to": to})

    def test_listed(self) -> None:
        """A folder is listed by its name; each file has its address."""
        files = self.rig.get("/v1/files?folder=minis/").json
        self.assertEqual([file["name"] for file in files], ["minis/b.goo", "minis/orcs/\u00e4.goo"])
        files.pop(0)
        self.assertEqual(files[0]["url"], "/v1/files/minis/orcs/%C3%A4.goo")
        headed = self.rig.ask("HEAD", files[0]["url"])
        self.assertEqual((headed.status, headed.headers["etag"]), (200, f'"{files[0]["md5"]}"'))
        self.assertTrue(headed.headers["content-disposition"].endswith("''%C3%A4.goo"))
        self.assertEqual(self.rig.get("/v1/files?folder=none").json, [])

    def test_form(self) -> None:
        """A form tells the folder before or behind its file."""
        file = b'--X\r\nContent-Disposition: form-data; name="f"; filename="%b"\r\n\r\n' + goo() + b"\r\n"
        field = b'--X\r\nContent-Disposition: form-data; name="folder"\r\n\r\nminis/new\r\n'
        kind = {"Content-Type": "multipart/form-data; boundary=X"}
        for body in (field + file % b"1.goo", file % b"2.goo" + field):
            self.assertEqual(self.rig.ask("POST", "/v1/files", body + b"--X--\r\n", kind).status, 201)
        found = self.rig.get("/v1/files?folder=minis/new").json
        self.assertEqual([file["name"] for file in found], ["minis/new/1.goo", "minis/new/2.goo"])
        bad = self.rig.ask("POST", "/v1/files", file % b"3.goo" + field.replace(b"minis", b"..") + b"--X--\r\n", kind)
        self.assert_refused(bad, 422, "bad_name")
        self.assertEqual(len(self.names()), 5)

    def test_move_and_copy(self) -> None:
        """Files and folders are moved and copied by name."""
        moved = self.post("c.goo/move", "minis/c.goo")
        self.assertEqual((moved.status, [file["name"] for file in moved.json]), (200, ["minis/c.goo"]))
        copied = self.post("minis/copy", "more")
        self.assertEqual((copied.status, len(copied.json)), (201, 3))
        self.assertEqual((len(self.names()), len(self.spooled())), (6, 3))

    def test_refused(self) -> None:
        """What cannot be is refused, in JSON, and nothing changes."""
        before = self.names()
        self.assert_refused(self.post("nothing/move", "x"), 404, "file_missing")
        self.assert_refused(self.post("c.goo/move", "minis"), 409, "name_taken")
        self.assert_refused(self.post("c.goo/copy", "minis/b.goo"), 409, "name_taken")
        self.assert_refused(self.post("c.goo/move", "a/../../b"), 422, "bad_name")
        self.assert_refused(self.rig.post("/v1/files/c.goo/move", {}), 422, "bad_body")
        self.assert_refused(self.rig.put("minis", goo()), 409, "name_taken")
        self.assert_refused(self.begin("c.goo/x", 1_000_000).reply, 409, "name_taken")
        self.assertEqual(self.names(), before)

    def test_delete(self) -> None:
        """A folder is deleted only on purpose."""
        self.assert_refused(self.rig.ask("DELETE", "/v1/files/minis"), 409, "folder_not_empty")
        self.assertEqual(len(self.names()), 3)
        self.assertEqual(self.rig.ask("DELETE", "/v1/files/minis?force=1").status, 204)
        self.assertEqual((self.names(), len(self.spooled())), (["c.goo"], 1))

    def test_permission(self) -> None:
        """Who may not upload may not move, copy or delete."""
        for method, target in (("POST", "c.goo/move"), ("POST", "c.goo/copy"), ("DELETE", "minis?force=1")):
            reply = self.rig.ask(method, f"/v1/files/{target}", b'{"to":"x"}', address="192.168.1.7")
            self.assert_refused(reply, 403, "forbidden")


class MissingTests(FilesCase):
    """``GET /v1/files/<name>`` of what is not there."""

    def test_missing(self) -> None:
        """A file that is not stored is not found, in JSON, by GET and by HEAD."""
        self.assert_refused(self.rig.get("/v1/files/nothing.goo"), 404, "file_missing")
        self.assertEqual(self.rig.ask("HEAD", "/v1/files/nothing.goo").status, 404)
        self.assert_refused(self.rig.get("/v1/files/..%2F..%2Fnames.json"), 404, "file_missing")

    def test_lost_bytes(self) -> None:
        """A file whose bytes somebody removed from the disk is not found, in JSON, and no path is told."""
        self.rig.put()
        (self.rig.directory / "files" / "blobs" / f"{md5(goo())}.goo").unlink()
        reply = self.rig.get("/v1/files/plate.goo")
        self.assert_refused(reply, 404, "file_missing")
        self.assertNotIn(str(self.rig.directory), reply.body.decode())
