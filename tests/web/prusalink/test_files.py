from __future__ import annotations

import struct

from sdcpd.codec.status import PrintInfo, Status
from sdcpd.files import StoredFile
from tests.codec.vectors import vector
from tests.web.prusalink.rig import YES, PrusaLinkCase
from tests.web.rig import MARS, SATURN, DownloadCase, P, goo, md5, printing


class ListTests(PrusaLinkCase):
    """Looking at the one storage."""

    def keep(self, name: str, content: bytes) -> StoredFile:
        """A file is stored, whichever printer it is for."""
        arriving = self.rig.store.begin(name, None)
        arriving.write(content)
        return self.successResultOf(arriving.finish())

    def test_file(self) -> None:
        """A file tells its name, size, time and what the slicer wrote into it, and where its bytes and pictures are."""
        file = self.keep("minis/Größe 1.goo", vector("tiny.goo"))
        told = self.get("files/local/minis/Gr%C3%B6%C3%9Fe%201.goo")
        self.assertEqual((told["name"], told["type"], told["size"]), ("Größe 1.goo", "PRINT_FILE", file.size))
        self.assertEqual((told["m_timestamp"], told["read_only"]), (int(file.uploaded_at), False))
        index = self.successResultOf(self.rig.store.indexes.of(file))
        assert index.sliced is not None
        self.assertEqual(told["meta"]["layer_height"], index.sliced.layer_height)
        self.assertEqual(told["meta"]["exposure_time"], index.sliced.exposure_s)
        self.assertNotIn(None, told["meta"].values())
        self.assertEqual(told["refs"]["download"], "/api/v1/files/local/minis/Gr%C3%B6%C3%9Fe%201.goo/raw")
        sizes = []
        for name in ("icon", "thumbnail"):
            for place in ("", "/sl1", "/prusalink"):
                picture = self.rig.get(P + place + told["refs"][name])
                self.assertEqual((picture.headers["content-type"], picture.body[:4]), ("image/png", b"\x89PNG"))
            sizes.append(struct.unpack(">II", picture.body[16:24]))
        self.assertLess(*sizes)

    def test_folders(self) -> None:
        """The storage and each folder list what is directly in them, folders first, as the native list has it."""
        self.assertEqual(self.get("files/local")["children"], [])
        for name in ("a.goo", "minis/b.goo", "minis/deep/c.goo"):
            self.send(name, goo(name.encode()))
        root, minis = self.get("files/local"), self.get("files/local/minis")
        self.assertEqual((root["name"], root["type"]), ("local", "FOLDER"))
        self.assertEqual(
            [(c["name"], c["type"]) for c in root["children"]], [("minis", "FOLDER"), ("a.goo", "PRINT_FILE")]
        )
        self.assertEqual([child["name"] for child in minis["children"]], ["deep", "b.goo"])
        self.assertNotIn("meta", minis["children"][1])
        self.assertEqual(minis["children"][1]["refs"], {"download": "/api/v1/files/local/minis/b.goo/raw"})

    def test_head(self) -> None:
        """A client asks by HEAD whether a file is there, and whether it is being printed."""
        self.send()
        reply = self.ask("HEAD", "files/local/plate.goo")
        self.assertEqual((reply.status, reply.body), (200, b""))
        self.assertEqual((reply.headers["read-only"], reply.headers["currently-printed"]), ("false", "false"))
        self.ask("POST", "files/local/plate.goo")
        job = self.rig.fleet.get(SATURN).job
        assert job is not None
        self.rig.publish(printing(5, filename=job.wire_name))
        self.assertEqual(self.ask("HEAD", "files/local/plate.goo").headers["currently-printed"], "true")
        self.assertEqual(self.ask("HEAD", "files/local/none.goo").status, 404)

    def test_names(self) -> None:
        """There is one storage; no path leads out of it, and the content's number is no name here."""
        self.send()
        self.assertIn("'local'", self.refused(self.ask("GET", "files/usb/plate.goo"), 404))
        for path in ("..", "../../etc/passwd", "%2e%2e/x", "%00", md5(goo()), "plate.goo/x/raw", "none/thumbnail.png"):
            self.refused(self.ask("GET", f"files/local/{path}"), 404)

    def test_no_picture(self) -> None:
        """A file without a picture refers to none, and says so when it is asked for one."""
        self.keep("plate.goo", goo())
        self.assertEqual(set(self.get("files/local/plate.goo")["refs"]), {"download"})
        self.assertIn("no thumbnail", self.refused(self.ask("GET", "files/local/plate.goo/thumbnail.png"), 404))


class DownloadTests(DownloadCase):
    """The bytes of a file."""

    async def test_raw(self) -> None:
        """A file comes whole or in part from where its entry refers to, also at a twin."""
        await self.check_download(
            "minis/b.goo", *(f"{P}{place}/api/v1/files/local/minis/b.goo/raw" for place in ("", "/sl1"))
        )


class PrintTests(PrusaLinkCase):
    """``POST`` prints a stored file."""

    def test_start(self) -> None:
        """The job is there when it is answered, with nothing in the answer, in the name of who asked."""
        self.send()
        reply = self.ask("POST", "files/local/plate.goo")
        self.assertEqual((reply.status, reply.body), (204, b""))
        (job,) = self.rig.jobs.all()
        self.assertEqual((job.file, job.start, job.by), ("plate.goo", True, "key:admin"))

    def test_plate(self) -> None:
        """After a print somebody has to look at the plate first, whichever dialect asks."""
        self.send()
        self.complete()
        self.rig.publish(printing(5))
        self.complete()
        text = self.refused(self.ask("POST", "files/local/plate.goo"), 409)
        self.assertIn("plate", text)
        self.assertEqual(self.rig.jobs.all(), [])
        self.clear()
        self.assertEqual(self.ask("POST", "files/local/plate.goo").status, 204)

    def test_busy(self) -> None:
        """While it prints, nothing else is started."""
        self.send()
        self.rig.publish(printing(5))
        self.refused(self.ask("POST", "files/local/plate.goo"), 409)

    def test_offline(self) -> None:
        """A printer that is not connected is no conflict but out of service."""
        self.send()
        self.rig.announce(MARS, name="Mars")
        self.refused(self.rig.ask("POST", "/printers/mars/api/v1/files/local/plate.goo"), 503)

    def test_folder(self) -> None:
        """A folder cannot be printed."""
        self.send("minis/plate.goo")
        self.refused(self.ask("POST", "files/local/minis"), 404)


class DeleteTests(PrusaLinkCase):
    """Taking files away."""

    def test_file(self) -> None:
        """A file goes, with nothing in the answer."""
        self.send()
        reply = self.ask("DELETE", "files/local/plate.goo")
        self.assertEqual((reply.status, reply.body, self.rig.store.list()), (204, b"", []))

    def test_in_use(self) -> None:
        """What a job needs stays, alone and within its folder, even by force."""
        self.send("minis/plate.goo")
        self.ask("POST", "files/local/minis/plate.goo")
        self.refused(self.ask("DELETE", "files/local/minis/plate.goo"), 409)
        self.refused(self.ask("DELETE", "files/local/minis", headers={"Force": YES}), 409)
        self.assertEqual(len(self.rig.store.list()), 1)

    def test_folder(self) -> None:
        """A folder with something in it goes only by force, an empty one at once."""
        self.send("minis/plate.goo")
        self.assertIn("Force: ?1", self.refused(self.ask("DELETE", "files/local/minis"), 409))
        self.assertEqual(self.ask("DELETE", "files/local/minis", headers={"Force": YES}).status, 204)
        self.assertEqual(self.rig.store.list(), [])
        self.send("empty", b"", Create_Folder=YES)
        self.assertEqual(self.ask("DELETE", "files/local/empty").status, 204)
        self.refused(self.ask("DELETE", "files/local/empty"), 404)

    def test_others_see(self) -> None:
        """What goes here is gone for every dialect."""
        self.send()
        self.ask("DELETE", "files/local/plate.goo")
        self.assertEqual(self.rig.get("/v1/files").json, [])
        self.assertEqual(self.rig.get(f"{P}/server/files/list").json["result"], [])


class JobTests(PrusaLinkCase):
    """Pause, go on, stop, by the number of the print."""

    def sent(self) -> list[int]:
        return [request["Cmd"] for request in self.link.sent]

    def test_commands(self) -> None:
        """Each wish is one command to the board, answered with nothing when the board has acknowledged it."""
        for method, path, status, command in (
            ("PUT", "job/{}/pause", printing(5), 129),
            ("PUT", "job/{}/resume", printing(5, number=8), 131),
            ("DELETE", "job/{}", printing(6), 130),
        ):
            self.rig.publish(status)
            pending = self.rig.begin(method, f"{P}/api/v1/" + path.format(self.number()))
            self.assertEqual((self.sent(), pending.answered), ([command], False))
            self.link.answer()
            self.assertEqual((pending.reply.status, pending.reply.body), (204, b""))

    def test_not_now(self) -> None:
        """What makes no sense now is a conflict, and the board does not hear of it."""
        self.rig.publish(printing(5))
        number = self.number()
        for method, path in (("PUT", "resume"), ("PUT", "continue")):
            self.refused(self.ask(method, f"job/{number}/{path}"), 409)
        self.rig.publish(printing(5, number=8))
        self.refused(self.ask("PUT", f"job/{number}/pause"), 409)
        self.assertEqual(self.sent(), [])

    def test_refused(self) -> None:
        """What the board refuses is a conflict; what it does not answer is told as such."""
        self.rig.publish(printing(5))
        number = self.number()
        pending = self.rig.begin("PUT", f"{P}/api/v1/job/{number}/pause")
        self.link.answer(1)
        self.refused(pending.reply, 409)
        pending = self.rig.begin("PUT", f"{P}/api/v1/job/{number}/pause")
        self.rig.clock.advance(60)
        self.refused(pending.reply, 504)

    def test_another(self) -> None:
        """A wish for another print than the present one does nothing to that one."""
        self.rig.publish(printing(5))
        before = self.number()
        self.complete()
        self.refused(self.ask("DELETE", f"job/{before}"), 404)
        self.rig.publish(printing(1, filename="next.goo"))
        self.assertNotEqual(self.number(), before)
        for number in (str(before), "0", "-1", "x", "9" * 5000, "%D9%A1"):
            self.refused(self.ask("DELETE", f"job/{number}"), 404)
            self.refused(self.ask("PUT", f"job/{number}/pause"), 404)
        self.assertEqual(self.sent(), [])

    def test_same_number(self) -> None:
        """A print keeps its number from the transfer to the confirmation at the screen."""
        self.send(Print_After_Upload=YES)
        job = self.rig.fleet.get(SATURN).job
        assert job is not None
        wire = job.wire_name
        numbers = {self.get("transfer")["id"]}
        self.rig.publish(Status((2,), 0, PrintInfo()))
        for status in (printing(5, filename=wire), printing(5, number=8, filename=wire)):
            self.rig.publish(status)
            numbers.add(self.number())
        self.assertEqual(len(numbers), 1)

    def test_transfer(self) -> None:
        """A delivery can be ended before its start, by either path; then nothing is printed."""
        for path in ("transfer", "job"):
            self.send(Print_After_Upload=YES)
            number = self.get("transfer")["id"]
            self.refused(self.ask("DELETE", f"{path}/{number + 1}"), 404)
            self.assertEqual(self.ask("DELETE", f"{path}/{number}").status, 204)
            self.assertIsNone(self.rig.jobs.current(SATURN))
        self.rig.publish(printing(5))
        self.refused(self.ask("DELETE", f"transfer/{self.number()}"), 404)
