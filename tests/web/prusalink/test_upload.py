from __future__ import annotations

from sdcpd.files import Limits
from tests.web.prusalink.rig import YES, PrusaLinkCase
from tests.web.rig import SATURN, P, goo, md5, printing


class UploadTests(PrusaLinkCase):
    """The raw file by ``PUT``."""

    def test_stored(self) -> None:
        """A file of any announced type is stored under its name, and the answer says where and what it is."""
        for place in (P, f"{P}/sl1", f"{P}/prusalink", "/sl1"):
            reply = self.send("minis/plate.goo", at=place, Overwrite=YES)
            self.assertEqual((reply.status, reply.json["name"], reply.json["size"]), (201, "plate.goo", len(goo())))
            self.assertEqual(reply.headers["location"], f"http://hub.local{place}/api/v1/files/local/minis/plate.goo")
            self.assertEqual(self.rig.get(reply.headers["location"].removeprefix("http://hub.local")).status, 200)
        (file,) = self.rig.store.list()
        self.assertEqual((file.name, file.md5), ("minis/plate.goo", md5(goo())))
        self.assertEqual(self.rig.jobs.all(), [])

    def test_uvtools(self) -> None:
        """UVtools sends no header at all, and the key in the address."""
        key = self.rig.key("upload")
        target = f"{P}/api/v1/files/local/a%20b.goo?apikey={key}"
        reply = self.rig.ask("PUT", target, goo(), address="203.0.113.5")
        self.assertEqual((reply.status, reply.json["display_name"]), (201, "a b.goo"))

    def test_chunked(self) -> None:
        """A body whose length nobody told is stored like any other, and judged by its bytes."""
        for content, expected in ((goo(), b"201"), (goo(), b"201"), (goo(b"LAYERS"), b"409")):
            told = f"PUT {P}/api/v1/files/local/plate.goo HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: chunked\r\n\r\n"
            pending = self.rig.begin("GET", "/healthz")
            before = len(pending.transport.value())
            pending.send(told.encode() + b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content))
            self.assertEqual(pending.transport.value()[before:][9:12], expected)
        self.assertEqual(self.rig.store.get("plate.goo").md5, md5(goo()))

    def test_same_again(self) -> None:
        """The same bytes under the same name are no conflict."""
        for _ in range(2):
            self.assertEqual(self.send().status, 201)
        self.assertEqual(len(self.rig.store.list()), 1)

    def test_other_bytes(self) -> None:
        """Other bytes do not take the name over, whatever their length, unless the client says so in either way."""
        self.send()
        same_length = goo(b"LAYERS")
        self.assertEqual(len(same_length), len(goo()))
        for content in (same_length, goo(b"something else altogether")):
            text = self.refused(self.send(content=content), 409)
            self.assertIn("Overwrite: ?1", text)
            self.assertEqual(self.rig.store.get("plate.goo").md5, md5(goo()))
        self.assertEqual(self.send(content=same_length, Overwrite="?0").status, 409)
        self.assertEqual(self.send(content=same_length, Overwrite=YES).status, 201)
        self.assertEqual(self.rig.store.get("plate.goo").md5, md5(same_length))
        self.assertEqual(self.send("plate.goo?overwrite=1").status, 201)
        self.assertEqual(self.rig.store.get("plate.goo").md5, md5(goo()))

    def test_conflict_before_the_body(self) -> None:
        """Another length than that of the stored file is refused before a byte of the body is asked for."""
        self.send()
        told = {"Content-Length": "1000000", "Expect": "100-continue"}
        pending = self.rig.begin("PUT", f"{P}/api/v1/files/local/plate.goo", b"", told)
        self.refused(pending.reply, 409)

    def test_race(self) -> None:
        """Of two uploads of different bytes under one name at once, the one that is complete later is refused."""
        slow = self.rig.begin(
            "PUT", f"{P}/api/v1/files/local/plate.goo", b"", {"Content-Length": str(len(goo(b"LAYERS")))}
        )
        self.assertEqual(self.send().status, 201)
        slow.send(goo(b"LAYERS"))
        self.refused(slow.reply, 409)
        self.assertEqual(self.rig.store.get("plate.goo").md5, md5(goo()))
        self.assertEqual([path.suffix for path in (self.rig.directory / "files").glob("*.part*")], [])

    def test_kinds(self) -> None:
        """A file of a kind that the printer cannot take is refused before its body, with a word what to do."""
        told = {"Content-Length": "1000000", "Expect": "100-continue", "Overwrite": YES}
        for name in ("plate.sl1", "minis/Plate.SL1S", "x.gcode", "x.bgcode", "x.3mf", "x.pwmx", "x.stl", "x.zip"):
            pending = self.rig.begin("PUT", f"{P}/sl1/api/v1/files/local/{name}", b"", told)
            text = self.refused(pending.reply, 415)
            self.assertTrue(text.startswith("This printer needs .goo or .ctb"), text)
            self.assertIn("UVtools", text)
        self.assertEqual(self.rig.store.list(), [])

    def test_contents(self) -> None:
        """A foreign file under an innocent name is found out by its first bytes, and told alike."""
        for content in (b"PK\x03\x04" + b"\0" * 100, b"; generated by PrusaSlicer\nG28\n" * 10):
            text = self.refused(self.send("plate.goo", content), 415)
            self.assertIn("expected a .goo or .ctb file", text)
        self.assertEqual(self.rig.store.list(), [])

    def test_other_machine(self) -> None:
        """A file for another screen is refused with what was expected and found."""
        reply = self.send(content=goo(resolution=(100, 100)))
        self.assertIn("11520", self.refused(reply, 400))

    def test_names(self) -> None:
        """A name that cannot be stored is refused with the reason."""
        for name in (".hidden.goo", "a/../b.goo", "a%5Cb.goo", "x" * 250 + ".goo"):
            self.refused(self.send(name), 400)

    def test_too_large(self) -> None:
        """What is too large, or for what there is no room, is refused before the body."""
        self.rig.store.configure(Limits(quota=0, max_size=1000, reserve=0))
        told = {"Content-Length": "1000000", "Expect": "100-continue"}
        pending = self.rig.begin("PUT", f"{P}/api/v1/files/local/plate.goo", b"", told)
        self.refused(pending.reply, 413)
        self.rig.store.configure(Limits(quota=1000, max_size=2**31, reserve=0))
        pending = self.rig.begin("PUT", f"{P}/api/v1/files/local/plate.goo", b"", told)
        self.refused(pending.reply, 507)

    def test_interrupted(self) -> None:
        """Who leaves in the middle leaves nothing behind."""
        pending = self.rig.begin("PUT", f"{P}/api/v1/files/local/plate.goo", b"", {"Content-Length": str(len(goo()))})
        pending.send(goo()[:100])
        pending.leave()
        self.assertEqual(self.rig.store.list(), [])

    def test_folder(self) -> None:
        """A folder can be made; it is there for every dialect, and making it again is a conflict."""
        reply = self.send("minis/small", b"", Create_Folder=YES)
        self.assertEqual((reply.status, reply.body), (201, b""))
        self.assertEqual(self.get("files/local/minis")["children"][0]["name"], "small")
        listed = self.rig.get(f"{P}/server/files/directory?path=gcodes/minis").json["result"]
        self.assertEqual([folder["dirname"] for folder in listed["dirs"]], ["small"])
        self.refused(self.send("minis/small", b"", Create_Folder=YES), 409)

    def test_empty(self) -> None:
        """An empty file without a key is answered with a challenge, also where the address may upload; else refused."""
        reply = self.ask("PUT", "files/local/plate.goo", address="127.0.0.1")
        self.refused(reply, 401)
        self.assertRegex(reply.headers["www-authenticate"], "^Digest ")
        self.assertIn("empty", self.refused(self.ask("PUT", "files/local/plate.goo"), 415))


class PrintTests(PrusaLinkCase):
    """``Print-After-Upload``."""

    def test_started(self) -> None:
        """A file that is to be printed is, and the answer says so."""
        reply = self.send(Print_After_Upload=YES)
        self.assertEqual((reply.status, reply.json["print_started"]), (201, True))
        self.assertNotIn("message", reply.json)
        job = self.rig.jobs.current(SATURN)
        assert job is not None
        self.assertEqual(job.file, "plate.goo")

    def test_not_asked(self) -> None:
        """Without the header, or with a false one, nothing is printed and nothing is said of it."""
        for reply in (self.send(), self.send(Print_After_Upload="?0")):
            self.assertEqual(
                (reply.status, "print_started" in reply.json, "message" in reply.json), (201, False, False)
            )
        self.assertEqual(self.rig.jobs.all(), [])

    def test_waits(self) -> None:
        """If it cannot be now, the file is stored all the same and waits, and the answer says why."""
        self.rig.publish(printing(5))
        reply = self.send(Print_After_Upload=YES)
        self.assertEqual((reply.status, reply.json["print_queued"]), (201, True))
        self.assertNotIn("print_started", reply.json)
        self.assertIn("printing", reply.json["message"])
        (job,) = self.rig.jobs.queue(SATURN)
        self.assertEqual(job.file, "plate.goo")

    def test_may_not(self) -> None:
        """A key that only uploads stores the file and starts nothing."""
        key = self.rig.key("upload")
        told = {"Print-After-Upload": YES}
        target = f"{P}/sl1/api/v1/files/local/plate.goo"
        reply = self.rig.ask("PUT", target, goo(), told, address="203.0.113.5", key=key)
        self.assertEqual(reply.status, 201)
        self.assertIn("'control'", reply.json["message"])
        self.assertEqual(self.rig.jobs.all(), [])
