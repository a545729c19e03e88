from __future__ import annotations

import base64
import hashlib
import struct
from typing import Any

from sdcpd.codec.status import Status, TransferInfo
from sdcpd.files import wire_name
from sdcpd.pictures import MOST_WAITING
from sdcpd.wishes import Wish
from tests.codec.vectors import vector
from tests.web.forms import FORM, form
from tests.web.moonraker.rig import MoonrakerCase
from tests.web.rig import EPOCH, MARS, SATURN, DownloadCase, P, goo, md5, printing

STRANGER = "203.0.113.5"


class UploadTests(MoonrakerCase):
    """How slicers bring files."""

    def test_answer(self) -> None:
        """The answer has what clients of the old and of the new server look for, and says where the file is."""
        reply = self.upload()
        item = {"path": "plate.goo", "root": "gcodes", "modified": EPOCH, "size": len(goo()), "permissions": "rw"}
        told = {"result": "plate.goo", "action": "create_file", "print_started": False, "print_queued": False}
        item["modified"] = reply.json["item"]["modified"]
        self.assertEqual((reply.status, reply.json), (201, {**told, "item": item}))
        location = reply.headers["location"]
        self.assertEqual(location, f"http://hub.local{P}/server/files/gcodes/plate.goo")
        self.assertEqual(self.rig.ask("HEAD", location.removeprefix("http://hub.local")).status, 200)

    def test_again(self) -> None:
        """The same name again is a changed file."""
        self.upload()
        self.assertEqual(self.upload(content=goo(b"other")).json["action"], "modify_file")

    def test_any_order(self) -> None:
        """The file may stand before the other fields, which count all the same; the boundary may be quoted."""
        reply = self.upload(first=True, root="gcodes", path="minis/orcs", print="true")
        self.assertEqual(reply.json["item"]["path"], "minis/orcs/plate.goo")
        self.assertTrue(reply.json["print_started"])
        self.assertEqual([job.file for job in self.rig.jobs.all()], ["minis/orcs/plate.goo"])

    def test_folder_in_the_name(self) -> None:
        """A folder in the file's name has to be there; one in the field ``path`` comes with the file."""
        self.assertIn("does not exist", self.refuses(self.upload("minis/plate.goo"), 400))
        self.assertEqual(self.get("server/files/list"), [])
        self.upload("plate.goo", path="minis")
        self.assertEqual(self.upload("minis/more.goo").json["item"]["path"], "minis/more.goo")
        self.assertEqual(self.upload("C:\\x\\win.goo").json["item"]["path"], "win.goo")

    def test_checksum(self) -> None:
        """A checksum that is wrong keeps the file out; one that is right lets it in."""
        right = hashlib.sha256(goo()).hexdigest()
        self.assertEqual(self.upload(checksum=right).status, 201)
        self.assertIn("checksum", self.refuses(self.upload("b.goo", checksum="0" * 64), 422))
        self.assertEqual([file["path"] for file in self.get("server/files/list")], ["plate.goo"])

    def test_refused(self) -> None:
        """What is no sliced file, has no name or goes where nothing may be written is refused, and nothing stays."""
        for reply in (
            self.upload(content=b"; G-code" * 100),
            self.upload(".hidden.goo"),
            self.upload(root="config"),
            self.upload(root="nowhere"),
            self.upload(path="../etc"),
            self.post("server/files/upload", b"x", {"Content-Type": "text/plain"}),
        ):
            self.assertIn(reply.status, (400, 403), reply.body)
            self.refuses(reply, reply.status)
        self.assertEqual(self.get("server/files/list"), [])

    def test_upload_is_not_start(self) -> None:
        """A key that may only upload stores the file and starts nothing, and is told so."""
        key = self.rig.key("upload", name="slicer")
        content = {**FORM, "X-Api-Key": key}
        body = form(goo(), print="true")
        reply = self.rig.ask("POST", f"{P}/server/files/upload", body, content, address=STRANGER)
        self.assertEqual((reply.status, reply.json["print_started"]), (201, False))
        self.assertIn("'control'", reply.json["message"])
        self.assertEqual(self.rig.jobs.all(), [])

    def test_streamed(self) -> None:
        """A stranger's upload is refused when its head is there, by either path."""
        for path in (f"{P}/server/files/upload", "/server/files/upload"):
            head = {"Content-Length": "1000000", "Expect": "100-continue", "Content-Type": "multipart/form-data"}
            pending = self.rig.begin("POST", path, b"", head, address=STRANGER)
            self.refused(pending.reply, 401, "Unauthorized")


class ShelfTests(MoonrakerCase):
    """Lists, downloads, folders."""

    def setUp(self) -> None:
        super().setUp()
        self.upload("a.goo", goo(b"a"))
        self.upload("b.goo", goo(b"b"), path="minis")
        self.upload("c.goo", goo(b"c"), path="minis/orcs")

    def names(self) -> list[str]:
        return sorted(file["path"] for file in self.get("server/files/list"))

    def folder(self, path: str) -> tuple[list[str], list[str]]:
        told = self.get(f"server/files/directory?path={path}")
        return [d["dirname"] for d in told["dirs"]], [f["filename"] for f in told["files"]]

    def busy(self, name: str) -> None:
        """A job needs this file from now on."""
        self.rig.jobs.print(SATURN, self.rig.store.get(name), Wish("a test", plate_clear=True))

    def test_list(self) -> None:
        """Every file is listed under both names that clients know."""
        found = self.get("server/files/list")
        self.assertEqual({file["path"]: file["filename"] for file in found}, {n: n for n in self.names()})
        self.assertEqual(set(found[0]), {"path", "filename", "modified", "size", "permissions"})
        self.assertEqual(self.get("server/files/list?root=logs"), [])
        self.refused(self.rig.get(f"{P}/server/files/list?root=x"), 400, "Invalid root")
        roots = self.get("server/files/roots")
        self.assertEqual([root["name"] for root in roots], ["gcodes", "config", "config_examples", "logs"])
        self.assertFalse([root for root in roots if "/" in root["path"]])

    def test_not_downloaded(self) -> None:
        """What the client has already is not sent; what is not there or leads out is refused."""
        etag = f'"{md5(goo(b"b"))}"'
        target = f"{P}/server/files/gcodes/minis/b.goo"
        self.assertEqual(self.rig.get(target, {"If-None-Match": etag}).status, 304)
        self.refused(self.rig.get(f"{P}/server/files/gcodes/x.goo"), 404, "File not found")
        self.refused(self.rig.get(f"{P}/server/files/config/x.cfg"), 404, "File not found")
        for bad in ("gcodes/%2e%2e/%2e%2e/etc/passwd", "gcodes/../../etc/passwd", "config/../x"):
            self.assertEqual(self.rig.get(f"{P}/server/files/{bad}").status, 403, bad)
        self.refused(self.rig.get(f"{P}/server/files/gcodes-evil/x"), 404, "Not Found")

    def test_nothing_is_exempt(self) -> None:
        """No ending of a name lets anybody in without a key."""
        for name in ("a.goo", "a.png", ".thumbs/a-400x400.png", "a.svg"):
            self.refused(self.rig.get(f"{P}/server/files/gcodes/{name}", address=STRANGER), 401, "Unauthorized")

    def test_metadata(self) -> None:
        """What nobody knows of a file is left out; what is known is true."""
        told = self.get("server/files/metadata?filename=minis/b.goo")
        self.assertEqual((told["filename"], told["size"], told["job_id"]), ("minis/b.goo", len(goo(b"b")), None))
        self.assertFalse({"filament_total", "first_layer_bed_temp", "nozzle_diameter"} & set(told))
        scanned = self.result(self.post("server/files/metascan?filename=minis/b.goo"))
        self.assertEqual(scanned, told)
        self.refused(
            self.rig.get(f"{P}/server/files/metadata?filename=x.goo"), 404, "Metadata not available for <x.goo>"
        )

    def test_metadata_of_another(self) -> None:
        """When a file was printed on another printer, and by which job, is not told at this one's address."""
        self.rig.announce(MARS, "Mars")
        link = self.rig.connect(MARS)
        self.rig.publish(Status((0,)), MARS)
        self.assertEqual(self.rig.post("/v1/printers/mars/print", {"file": "minis/b.goo"}).status, 202)
        link.answer()
        file = self.rig.store.get("minis/b.goo")
        sent = TransferInfo(2, file.size, file.size, file.size, wire_name(file))
        self.rig.publish(Status((0,), 2, transfer=sent), MARS)
        link.answer()
        self.rig.publish(printing(3, filename=wire_name(file)), MARS)
        (job,) = self.rig.jobs.all()
        limited = self.rig.key("view", name="limited", printers=[SATURN])
        files = "server/files"
        for path in (f"{files}/metadata?filename=minis/b.goo", f"{files}/directory?path=gcodes/minis&extended=1"):
            theirs = self.rig.get(f"/printers/mars/{path}")
            self.assertIn(job.id, theirs.body.decode())
            ours = self.rig.get(f"{P}/{path}", key=limited)
            self.assertEqual(ours.status, 200)
            self.assertNotIn(job.id, ours.body.decode())

    def test_thumbnails(self) -> None:
        """A file's thumbnails are listed with their true sizes, and lie where the metadata says."""
        arriving = self.rig.store.begin("minis/t.goo", None)
        arriving.write(vector("tiny.goo"))
        self.successResultOf(arriving.finish())
        told = self.get("server/files/metadata?filename=minis/t.goo&inline_thumbs=true")
        listed = self.get("server/files/thumbnails?filename=minis/t.goo")
        self.assertEqual(len(told["thumbnails"]), len(listed))
        self.assertTrue(listed)
        for inline, one in zip(told["thumbnails"], listed, strict=True):
            self.assertEqual(f"minis/{inline['relative_path']}", one["thumbnail_path"])
            reply = self.rig.get(f"{P}/server/files/gcodes/{one['thumbnail_path']}")
            self.assertEqual((reply.status, reply.headers["content-type"]), (200, "image/png"))
            self.assertEqual((reply.body, len(reply.body)), (base64.b64decode(inline["data"]), one["size"]))
            self.assertEqual(struct.unpack(">II", reply.body[16:24]), (one["width"], one["height"]))
        self.refused(self.rig.get(f"{P}/server/files/gcodes/minis/.thumbs/t.goo-1x1.png"), 404, "File not found")
        self.refused(self.rig.get(f"{P}/server/files/gcodes/.thumbs/x.goo-1x1.png"), 404, "File not found")

    def test_directory(self) -> None:
        """A folder shows what is directly in it, and how full the disk is."""
        self.assertEqual(self.folder("gcodes"), (["minis"], ["a.goo"]))
        self.assertEqual(self.folder("gcodes/minis"), (["orcs"], ["b.goo"]))
        told = self.get("server/files/directory")
        self.assertEqual(told["root_info"], {"name": "gcodes", "permissions": "rw"})
        self.assertEqual(set(told["disk_usage"]), {"total", "used", "free"})
        self.assertEqual(told["dirs"][0]["size"], len(goo(b"b")) + len(goo(b"c")))
        extended = self.get("server/files/directory?extended=true")["files"][0]
        self.assertEqual((extended["filename"], "uuid" in extended), ("a.goo", True))
        self.refuses(self.rig.get(f"{P}/server/files/directory?path=gcodes/x"), 400)

    def test_many(self) -> None:
        """However many files a folder has, each is told with its picture: one is looked at after the other."""
        count = MOST_WAITING + 3
        for number in range(count):
            content = bytearray(vector("tiny.goo"))
            content[12] = number  # in the slicer's name
            arriving = self.rig.store.begin(f"many/{number}.goo", None)
            arriving.write(bytes(content))
            self.successResultOf(arriving.finish())
        self.rig.pool.slow = True
        asked = self.rig.begin("GET", f"{P}/server/files/directory?path=gcodes/many&extended=true")
        while self.rig.pool.begun:
            self.assertEqual(len(self.rig.pool.begun), 1)
            self.rig.pool.work()
        files = asked.reply.json["result"]["files"]
        self.assertEqual([bool(file.get("thumbnails")) for file in files], [True] * count)

    def change(self, method: str, path: str) -> Any:
        return self.result(self.rig.ask(method, f"{P}/server/files/{path}"))

    def test_make_and_delete(self) -> None:
        """An empty folder can be made and deleted; a full one only when forced."""
        self.assertEqual(self.change("POST", "directory?path=gcodes/new")["action"], "create_dir")
        self.assertEqual(self.folder("gcodes")[0], ["minis", "new"])
        self.refuses(self.post("server/files/directory?path=gcodes/new"), 400)
        self.refuses(self.post("server/files/directory?path=gcodes/a.goo"), 400)
        self.assertEqual(self.change("DELETE", "directory?path=gcodes/new")["action"], "delete_dir")
        self.refuses(self.rig.ask("DELETE", f"{P}/server/files/directory?path=gcodes/minis"), 400)
        self.change("DELETE", "directory?path=gcodes/minis&force=true")
        self.assertEqual(self.names(), ["a.goo"])
        self.refuses(self.rig.ask("DELETE", f"{P}/server/files/directory?path=gcodes"), 400)
        self.refuses(self.rig.ask("DELETE", f"{P}/server/files/directory?path=config/x"), 403)

    def test_move(self) -> None:
        """Files and folders get other names; a folder that is renamed to one that exists goes into it."""
        told = self.change("POST", "move?source=gcodes/a.goo&dest=gcodes/z.goo")
        self.assertEqual((told["action"], told["item"]["path"]), ("move_file", "z.goo"))
        self.assertEqual(told["source_item"], {"path": "a.goo", "root": "gcodes"})
        self.change("POST", "move?source=gcodes/z.goo&dest=gcodes/minis")
        self.assertEqual(self.names(), ["minis/b.goo", "minis/orcs/c.goo", "minis/z.goo"])
        self.change("POST", "directory?path=gcodes/box")
        self.assertEqual(self.change("POST", "move?source=gcodes/minis&dest=gcodes/box")["item"]["path"], "box/minis")
        self.assertEqual(self.names(), ["box/minis/b.goo", "box/minis/orcs/c.goo", "box/minis/z.goo"])
        for bad in (
            "source=gcodes/nope&dest=gcodes/x",
            "source=gcodes/box&dest=gcodes/box/minis",
            "source=gcodes&dest=gcodes/x",
            "source=gcodes/box",
        ):
            self.refuses(self.post(f"server/files/move?{bad}"), 400)
        self.refuses(self.post("server/files/move?source=gcodes/box&dest=config/box"), 403)

    def test_move_onto(self) -> None:
        """A file that is moved onto another takes its place."""
        self.change("POST", "move?source=gcodes/a.goo&dest=gcodes/minis/b.goo")
        self.assertEqual(self.rig.store.get("minis/b.goo").md5, md5(goo(b"a")))
        self.assertEqual(self.names(), ["minis/b.goo", "minis/orcs/c.goo"])

    def test_copy(self) -> None:
        """Copies have the same bytes, and are made of what is in use, too."""
        self.busy("a.goo")
        self.assertEqual(self.change("POST", "copy?source=gcodes/a.goo&dest=gcodes/d.goo")["action"], "create_file")
        self.assertEqual(self.change("POST", "copy?source=gcodes/minis&dest=gcodes/more")["action"], "create_dir")
        self.assertEqual(self.folder("gcodes"), (["minis", "more"], ["a.goo", "d.goo"]))
        self.assertEqual(self.folder("gcodes/more"), (["orcs"], ["b.goo"]))

    def test_in_use(self) -> None:
        """What a job needs is neither deleted nor moved nor overwritten, not even by force."""
        self.busy("minis/orcs/c.goo")
        message = "File currently in use"
        self.refused(self.rig.ask("DELETE", f"{P}/server/files/gcodes/minis/orcs/c.goo"), 403, message)
        target = f"{P}/server/files/directory?path=gcodes/minis&force=true"
        self.refused(self.rig.ask("DELETE", target), 403, message)
        for what in ("source=gcodes/minis&dest=gcodes/x", "source=gcodes/a.goo&dest=gcodes/minis/orcs/c.goo"):
            self.refused(self.post(f"server/files/move?{what}"), 403, message)
        self.assertEqual(self.names(), ["a.goo", "minis/b.goo", "minis/orcs/c.goo"])

    def test_delete(self) -> None:
        """A file is deleted once."""
        told = self.change("DELETE", "gcodes/a.goo")
        self.assertEqual((told["action"], told["item"]["path"]), ("delete_file", "a.goo"))
        self.refused(self.rig.ask("DELETE", f"{P}/server/files/gcodes/a.goo"), 404, "File not found")
        self.assertEqual(self.rpc("server.files.delete_file", {"path": "gcodes/minis/b.goo"})["id"], 1)
        self.assertEqual(self.names(), ["minis/orcs/c.goo"])

    def test_limited_key(self) -> None:
        """A key for this printer alone brings files and takes none away from the others."""
        key = self.rig.key("upload", name="one", printers=[SATURN])
        reply = self.rig.ask("DELETE", f"{P}/server/files/gcodes/a.goo", address=STRANGER, key=key)
        self.assertIn("limited", self.refuses(reply, 403))

    def test_while_printing(self) -> None:
        """Uploads and folders work while the printer prints."""
        self.rig.publish(printing(5))
        self.assertEqual(self.upload("n.goo").status, 201)
        self.rig.publish(Status((0,)))


class DownloadTests(DownloadCase):
    """How files leave, on a real connection."""

    async def test_download(self) -> None:
        """A file comes whole or in part, as an attachment, with its identity."""
        await self.check_download("minis/b.goo", f"{P}/server/files/gcodes/minis/b.goo")
