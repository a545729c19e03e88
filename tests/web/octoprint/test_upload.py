from __future__ import annotations

from typing import Any

from sdcpd.files import Limits
from sdcpd.wishes import Wish
from tests.web.forms import FORM, form
from tests.web.octoprint.rig import JSON, OctoPrintCase
from tests.web.rig import SATURN, P, Reply, goo, md5, printing

STRANGER = "203.0.113.5"
HERE = f"http://hub.local{P}"
ZIP = b"PK\x03\x04" + bytes(600)


class UploadCase(OctoPrintCase):
    def upload(
        self,
        filename: str = "plate.goo",
        content: bytes | None = None,
        *,
        first: bool = False,
        headers: Any = None,
        address: str | None = None,
        key: str | None = None,
        **fields: str,
    ) -> Reply:
        sent = form(goo() if content is None else content, filename, first=first, **fields)
        path = f"{P}/api/files/local"
        return self.rig.ask("POST", path, sent, {**FORM, **(headers or {})}, address=address, key=key)

    def refused_as_text(self, reply: Reply, status: int) -> str:
        """A refusal that slicers show as it is; its text."""
        self.assertEqual((reply.status, reply.headers["content-type"]), (status, "text/plain"), reply.body)
        return reply.body.decode()

    def names(self) -> list[str]:
        return sorted(file.name for file in self.rig.store.list())


class AnswerTests(UploadCase):
    """What a slicer hears when its file is stored."""

    def test_answer(self) -> None:
        """The whole answer, as the real server gives it, with addresses at which the file is."""
        reply = self.upload()
        refs = {"resource": f"{HERE}/api/files/local/plate.goo", "download": f"{HERE}/downloads/files/local/plate.goo"}
        told = {"name": "plate.goo", "display": "plate.goo", "path": "plate.goo", "origin": "local", "refs": refs}
        wanted = {"files": {"local": told}, "done": True, "effectiveSelect": False, "effectivePrint": False}
        self.assertEqual((reply.status, reply.reason, reply.json), (201, "CREATED", wanted))
        self.assertEqual(reply.headers["location"], refs["resource"])
        for address in refs.values():
            self.assertEqual(self.rig.ask("HEAD", address.removeprefix("http://hub.local")).status, 200)

    def test_root(self) -> None:
        """At the root, for the only printer, the addresses have no printer in them."""
        reply = self.rig.ask("POST", "/api/files/local", form(goo()), FORM)
        self.assertEqual(reply.headers["location"], "http://hub.local/api/files/local/plate.goo")

    def test_any_order(self) -> None:
        """Fields count whether they stand before the file, as PrusaSlicer sends them, or behind it."""
        for first in (False, True):
            reply = self.upload(first=first, path="minis/orcs", select="true", userdata='{"a": 1}')
            self.assertEqual((reply.status, reply.json["effectiveSelect"]), (201, True), reply.body)
        self.assertEqual(self.names(), ["minis/orcs/plate.goo"])
        self.assertEqual(reply.json["files"]["local"]["name"], "plate.goo")

    def test_path(self) -> None:
        """The folder comes from ``path``, else from the file's name; slashes too many do no harm."""
        self.upload("a/b.goo")
        self.upload("a/b.goo", path="/c//d/")
        self.upload("C:\\x\\win.goo", path="")
        self.assertEqual(self.names(), ["a/b.goo", "c/d/b.goo", "win.goo"])

    def test_any_script(self) -> None:
        """A name of any script is kept, and its address is one that clients can follow."""
        reply = self.upload("Größe 100%.goo")
        self.assertEqual(reply.headers["location"], f"{HERE}/api/files/local/Gr%C3%B6%C3%9Fe%20100%25.goo")
        self.assertEqual(reply.json["files"]["local"]["path"], "Größe 100%.goo")
        self.assertEqual(self.rig.get(reply.headers["location"].removeprefix("http://hub.local")).status, 200)

    def test_again(self) -> None:
        """The same name again stands for the new content, unless the client does not want that."""
        self.upload()
        self.assertEqual(self.upload(content=goo(b"other")).status, 201)
        self.assertEqual(self.rig.store.get("plate.goo").md5, md5(goo(b"other")))
        text = self.refused_as_text(self.upload(noOverwrite="true"), 409)
        self.assertEqual(text, "File already exists and noOverwrite was set")


class PrintTests(UploadCase):
    """What happens when the slicer wants a print as well."""

    def test_print(self) -> None:
        """A free printer gets the file and starts; the file is its selected one."""
        reply = self.upload(print="True")
        self.assertEqual((reply.status, reply.json["effectivePrint"]), (201, True))
        self.assertNotIn("message", reply.json)
        self.assertEqual([job.file for job in self.rig.jobs.all()], ["plate.goo"])
        self.assertEqual(self.link.sent[-1]["Cmd"], 256)
        selected = self.api.selection.of(self.printer)
        self.assertEqual(selected and selected.name, "plate.goo")

    def test_no_print(self) -> None:
        """What is not wanted is not done."""
        for value in ("false", "", "0"):
            self.assertFalse(self.upload(print=value).json["effectivePrint"])
        self.assertEqual((self.rig.jobs.all(), self.api.selection.of(self.printer)), ([], None))

    def test_plate(self) -> None:
        """While a print may be on the plate the upload is kept and nothing starts: the answer and an event say why."""
        self.rig.publish(printing(50))
        self.complete()
        reply = self.upload(print="true", select="true")
        self.assertEqual((reply.status, reply.json["effectivePrint"], reply.json["done"]), (201, False, True))
        self.assertIn("plate", reply.json["message"])
        self.assertIn("waits in the printer's queue", reply.json["message"])
        self.assertEqual(self.names(), ["plate.goo"])
        self.assertEqual([job.file for job in self.rig.jobs.all()], ["plate.goo"])
        self.assertNotIn(128, [request["Cmd"] for request in self.link.sent])
        (event,) = [e for e in self.rig.fleet.happenings(0) if e.type == "print_not_started"]
        self.assertIn(event.data["message"], reply.json["message"])

    def test_busy(self) -> None:
        """While it prints the file is kept, waits for its turn and is not selected."""
        self.rig.publish(printing(50))
        reply = self.upload("next.goo", print="true", select="true").json
        self.assertEqual((reply["effectiveSelect"], reply["effectivePrint"]), (False, False))
        self.assertTrue(reply["message"])
        self.assertEqual([job.file for job in self.rig.jobs.queue(SATURN)], ["next.goo"])

    def test_meanwhile(self) -> None:
        """What the printer does when the file is there counts, not what it did when the upload began."""
        sent = form(goo(), select="true")
        pending = self.rig.begin("POST", f"{P}/api/files/local", b"", {**FORM, "Content-Length": str(len(sent))})
        pending.send(sent[:-300])
        self.rig.publish(printing(5))
        pending.send(sent[-300:])
        self.assertEqual((pending.reply.status, pending.reply.json["effectiveSelect"]), (201, False))

    def test_off(self) -> None:
        """While the printer is off the file is kept, and the answer says that it is off."""
        self.switch_off()
        reply = self.upload(print="true", select="true")
        self.assertEqual(
            (reply.status, reply.json["effectiveSelect"], reply.json["effectivePrint"]), (201, False, False)
        )
        self.assertTrue(reply.json["message"])
        self.assertEqual((self.names(), self.rig.jobs.all()), (["plate.goo"], []))

    def test_upload_is_not_start(self) -> None:
        """A key that may only upload stores the file, and starts and selects nothing."""
        key = self.rig.key("upload", name="slicer")
        reply = self.upload(print="true", select="true", address=STRANGER, key=key)
        self.assertEqual(
            (reply.status, reply.json["effectiveSelect"], reply.json["effectivePrint"]), (201, False, False)
        )
        self.assertIn("'control'", reply.json["message"])
        self.assertEqual((self.rig.jobs.all(), self.api.selection.of(self.printer)), ([], None))

    def test_limited(self) -> None:
        """A key for this printer alone brings files and starts them here."""
        key = self.rig.key("upload", "control", name="one", printers=[SATURN])
        self.assertTrue(self.upload(print="true", address=STRANGER, key=key).json["effectivePrint"])
        self.rig.announce("00FF99aabbcc0011", "Mars 4")
        path = "/printers/mars-4/api/files/local"
        reply = self.rig.ask("POST", path, form(goo()), FORM, address=STRANGER, key=key)
        self.assertEqual(reply.status, 403)


class RefusalTests(UploadCase):
    """What is refused, with which code and in which words."""

    def test_kind(self) -> None:
        """A kind that no printer takes is 415, and the sentence says what it is and what to do."""
        text = self.refused_as_text(self.upload("plate.sl1", ZIP, path=""), 415)
        self.assertEqual(
            text,
            "Could not upload file, invalid type: this is a ZIP archive (SL1, NanoDLP, CWS, 3MF ...), expected a "
            ".goo or .ctb file. Send a .goo or .ctb file: slice the model for this printer, or convert the file with "
            "UVtools.",
        )
        self.assertEqual(self.names(), [])

    def test_other_printer(self) -> None:
        """A file for another screen is refused with what was expected and found."""
        text = self.refused_as_text(self.upload(content=goo(resolution=(1440, 2560))), 400)
        self.assertIn("11520x5120", text)
        self.assertEqual(self.names(), [])

    def test_json(self) -> None:
        """Who asks for JSON gets it."""
        reply = self.upload("plate.sl1", ZIP, headers={"Accept": "application/json"})
        self.assertEqual((reply.status, reply.headers["content-type"]), (415, "application/json"))
        self.assertIn("UVtools", reply.json["error"])

    def test_name(self) -> None:
        """A name that cannot be kept is 400, wherever in the form it came to light."""
        for reply in (self.upload(".hidden.goo"), self.upload(path="../etc"), self.upload(path="../etc", first=True)):
            text = self.refused_as_text(reply, 400)
            self.assertTrue(text.startswith("Can not upload file, invalid file name"), text)
        self.assertEqual(self.names(), [])

    def test_nothing(self) -> None:
        """A form without a file and without a folder, and what is no form, is 400 in the real server's words."""
        for sent, kind in (
            (form(None, print="true"), FORM),
            (b'{"foldername": "minis"}', JSON),
            (b"", {}),
        ):
            reply = self.rig.ask("POST", f"{P}/api/files/local", sent, kind)
            self.assertEqual(self.refused_as_text(reply, 400), "No file to upload and no folder to create")

    def test_printed(self) -> None:
        """The file that is being printed is not overwritten, whatever the order of the form; others are stored."""
        self.store("minis/plate.goo")
        self.rig.jobs.print(SATURN, self.rig.store.get("minis/plate.goo"), Wish("a test", plate_clear=True))
        for first in (False, True):
            reply = self.upload(content=goo(b"other"), path="minis", first=first)
            text = self.refused_as_text(reply, 409)
            self.assertEqual(text, "Trying to overwrite file that is currently being printed")
        self.assertEqual(self.rig.store.get("minis/plate.goo").md5, md5(goo()))
        self.assertEqual(self.upload(content=goo(b"other")).status, 201)

    def test_printed_early(self) -> None:
        """That it is being printed is said when the head of the file is there, before gigabytes of it are sent."""
        self.store("plate.goo")
        self.rig.jobs.print(SATURN, self.rig.store.get("plate.goo"), Wish("a test", plate_clear=True))
        sent = form(goo(), path="", print="true")
        whole = {**FORM, "Content-Length": str(10**9)}
        pending = self.rig.begin("POST", f"{P}/api/files/local", b"", whole)
        pending.send(sent[: sent.index(b"filename=") + 60])
        self.assertEqual(pending.reply.status, 409)

    def test_room(self) -> None:
        """A file that is too large is 413, and one for which there is no room 507, before a byte of it is read."""
        for limits, status in ((Limits(0, 1000, 0), 413), (Limits(1000, 2**31, 0), 507)):
            self.rig.store.configure(limits)
            headers = {**FORM, "Content-Length": str(10**6), "Expect": "100-continue"}
            pending = self.rig.begin("POST", f"{P}/api/files/local", b"", headers)
            self.refused_as_text(pending.reply, status)

    def test_card(self) -> None:
        """There is no card and no other place."""
        reply = self.rig.ask("POST", f"{P}/api/files/sdcard", form(goo()), FORM)
        self.assertEqual(self.refused_as_text(reply, 404), "SD support is disabled")
        self.assertEqual(self.rig.ask("POST", f"{P}/api/files/elsewhere", form(goo()), FORM).status, 404)

    def test_stranger(self) -> None:
        """Who may not upload hears it when the head is there, in text as every refused upload."""
        for path in (f"{P}/api/files/local", "/api/files/local", f"{P}//api/files/local"):
            head = {**FORM, "Content-Length": "1000000", "Expect": "100-continue"}
            pending = self.rig.begin("POST", path, b"", head, address=STRANGER)
            self.assertTrue(self.refused_as_text(pending.reply, 403).startswith("You don't have the permission"))

    def test_cut_off(self) -> None:
        """A form that ends too early leaves nothing behind."""
        sent = form(goo())[:-30]
        reply = self.rig.ask("POST", f"{P}/api/files/local", sent, FORM)
        self.refused_as_text(reply, 400)
        self.assertEqual(self.names(), [])


class FolderFormTests(UploadCase):
    """``foldername``: a form that makes a folder."""

    def folder(self, name: str, path: str = "") -> Reply:
        return self.rig.ask("POST", f"{P}/api/files/local", form(None, foldername=name, path=path), FORM)

    def test_make(self) -> None:
        """A folder is made, told with its address, and seen by every dialect; one that is there is made again."""
        for _ in range(2):
            reply = self.folder("orcs", path="minis")
            resource = f"{HERE}/api/files/local/minis/orcs"
            told = {"name": "orcs", "display": "orcs", "path": "minis/orcs", "origin": "local"}
            wanted = {"folder": {**told, "refs": {"resource": resource}}, "done": True}
            self.assertEqual((reply.status, reply.json, reply.headers["location"]), (201, wanted, resource))
        self.assertEqual(self.get("api/files")["files"][0]["path"], "minis")
        told = self.get("server/files/directory?path=gcodes/minis")["result"]
        self.assertEqual([folder["dirname"] for folder in told["dirs"]], ["orcs"])

    def test_refused(self) -> None:
        """A folder needs a name that is no file's."""
        self.store("minis/a.goo")
        self.assertEqual(self.refused_as_text(self.folder(""), 400), "folder name is empty")
        text = self.refused_as_text(self.folder("x.goo"), 409)
        self.assertEqual(text, "Can't create folder, please try another name")
        self.assertIn("invalid file name", self.refused_as_text(self.folder(".hidden"), 400))
        self.refused_as_text(self.folder("x", path="minis/a.goo"), 409)
        key = self.rig.key("upload", name="one", printers=[SATURN])
        sent = form(None, foldername="minis2")
        reply = self.rig.ask("POST", f"{P}/api/files/local", sent, FORM, address=STRANGER, key=key)
        self.assertIn("limited", self.refused_as_text(reply, 403))
