from __future__ import annotations

from typing import Any

from sdcpd.codec.status import PrintInfo, Status
from sdcpd.files import Limits
from sdcpd.records import PrintRecord, PrintResult
from sdcpd.web.octoprint.form import NOT_FOUND
from sdcpd.wishes import Wish
from tests.web.octoprint.rig import OctoPrintCase
from tests.web.rig import EPOCH, SATURN, DownloadCase, P, Reply, goo, md5, printing, transferring

STRANGER = "203.0.113.5"
HERE = f"http://hub.local{P}"
PRINTING = "Printer is already printing, cannot select a new file"


class FilesCase(OctoPrintCase):
    """Three files in two folders."""

    def setUp(self) -> None:
        super().setUp()
        self.store("a.goo", goo(b"a"))
        self.store("minis/b.goo", goo(b"b"))
        self.store("minis/orcs/c.goo", goo(b"c"))

    def names(self) -> list[str]:
        return sorted(file.name for file in self.rig.store.list())

    def command(self, path: str, command: str, **more: Any) -> Reply:
        document = {"command": command, **{key: value for key, value in more.items() if key not in ("key", "address")}}
        asker = {key: value for key, value in more.items() if key in ("key", "address")}
        return self.post(f"api/files/{path}", document, **asker)

    def delete(self, path: str, **more: Any) -> Reply:
        return self.rig.ask("DELETE", f"{P}/api/files/{path}", **more)

    def busy(self, name: str) -> None:
        """A job needs this file from now on."""
        self.rig.jobs.print(SATURN, self.rig.store.get(name), Wish("a test", plate_clear=True))

    def selected(self) -> str | None:
        file = self.api.selection.of(self.printer)
        return None if file is None else file.name


class ListTests(FilesCase):
    """What is told of the files."""

    def test_list(self) -> None:
        """Files and folders of the first level, or all of them, with the room on the disk."""
        for path in ("api/files", "api/files/local", "api/files?force=true", "/api//files"):
            told = self.get(path)
            self.assertEqual([entry["path"] for entry in told["files"]], ["minis", "a.goo"], path)
            self.assertNotIn("children", told["files"][0])
            self.assertEqual(told["files"][1]["refs"]["resource"], f"{HERE}/api/files/local/a.goo")
        self.assertEqual(set(told), {"files", "free", "total"})
        self.assertGreater(told["total"], told["free"])
        told = self.get("api/files?recursive=true")
        self.assertEqual([entry["path"] for entry in told["files"][0]["children"]], ["minis/orcs", "minis/b.goo"])
        told = self.get("api/files/local?recursive=true&filter=model")
        self.assertEqual(told["files"], [])

    def test_quota(self) -> None:
        """What is free is what may still come."""
        used = self.rig.store.usage.used
        self.rig.store.configure(Limits(used + 700, 2**31, 0))
        self.assertEqual(self.get("api/files")["free"], 700)

    def test_unchanged(self) -> None:
        """Who has the list already gets no second copy."""
        etag = self.rig.get(f"{P}/api/files").headers["etag"]
        self.assertEqual(self.rig.get(f"{P}/api/files", {"If-None-Match": etag}).status, 304)
        self.store("new.goo", goo(b"new"))
        self.assertEqual(self.rig.get(f"{P}/api/files", {"If-None-Match": etag}).status, 200)

    def test_prints(self) -> None:
        """How often a file succeeded and failed on this printer."""
        for number, result in enumerate((PrintResult.FINISHED, PrintResult.STOPPED, PrintResult.FINISHED)):
            record = PrintRecord(
                f"p{number}", SATURN, "a.goo", EPOCH, ended=EPOCH + number, result=result, printed_s=10.2
            )
            self.successResultOf(self.rig.journal.write(record))
        last = {"success": True, "date": int(EPOCH) + 2, "printTime": 10}
        counts = {"success": 2, "failure": 1, "last": last}
        self.assertEqual(self.get("api/files")["files"][1]["prints"], counts)
        self.assertEqual(self.get("api/files/local/a.goo")["prints"], counts)

    def test_one(self) -> None:
        """One file, or one folder with what is directly in it or with everything."""
        told = self.get("api/files/local/minis/b.goo")
        self.assertEqual((told["type"], told["hash"], told["size"]), ("machinecode", md5(goo(b"b")), len(goo(b"b"))))
        for path in ("api/files/local/minis", "api/files/local/minis/"):
            told = self.get(path)
            self.assertEqual([entry["path"] for entry in told["children"]], ["minis/orcs", "minis/b.goo"])
            self.assertNotIn("children", told["children"][0])
        told = self.get("api/files/local/minis?recursive=true")
        self.assertEqual([entry["name"] for entry in told["children"][0]["children"]], ["c.goo"])

    def test_missing(self) -> None:
        """What is not there is 404, and nothing leads out of the shelf."""
        for path in ("local/x.goo", "local/minis/x", "local/../../etc/passwd", "elsewhere", "elsewhere/a.goo"):
            self.refused(self.rig.get(f"{P}/api/files/{path}"), 404, NOT_FOUND)

    def test_card(self) -> None:
        """The card that the printer does not have is empty, and has no file."""
        self.assertEqual(self.get("api/files/sdcard"), {"files": []})
        self.refused(self.rig.get(f"{P}/api/files/sdcard/a.goo"), 404, "SD support is disabled")

    def test_not_downloaded(self) -> None:
        """What the client has already is not sent; what is not there is 404, and nobody comes in without a key."""
        target = f"{P}/downloads/files/local/minis/b.goo"
        self.assertEqual(self.rig.get(target, {"If-None-Match": f'"{md5(goo(b"b"))}"'}).status, 304)
        for path in ("local/x.goo", "local/minis"):
            self.refused(self.rig.get(f"{P}/downloads/files/{path}"), 404, NOT_FOUND)
        self.refused(self.rig.get(f"{P}/downloads/files/sdcard/a.goo"), 404, "SD support is disabled")
        self.assertEqual(self.rig.get(target, address=STRANGER).status, 403)


class SelectTests(FilesCase):
    """The selected file."""

    def test_select(self) -> None:
        """A file is selected, and with ``print`` it is started as well."""
        self.done(self.command("local/minis/b.goo", "select"))
        self.assertEqual((self.selected(), self.rig.jobs.all()), ("minis/b.goo", []))
        self.done(self.command("local/a.goo", "select", print=True))
        self.assertEqual((self.selected(), [job.file for job in self.rig.jobs.all()]), ("a.goo", ["a.goo"]))
        self.assertEqual(self.link.sent[-1]["Cmd"], 256)

    def test_text(self) -> None:
        """``print`` may be a text, as some clients write it."""
        self.done(self.command("local/a.goo", "select", print="false"))
        self.assertEqual(self.rig.jobs.all(), [])
        self.done(self.command("local/a.goo", "select", print="true"))
        self.assertEqual(len(self.rig.jobs.all()), 1)

    def test_at_work(self) -> None:
        """While the printer is at work, sending included, no other file can be selected, nor the present one let go."""
        for status in (printing(5), printing(5, number=8), printing(5, number=7), transferring(10)):
            self.rig.publish(status)
            for start in (False, True):
                self.refused(self.command("local/a.goo", "select", print=start), 409, PRINTING)
            text = "Printer is already printing, cannot unselect current file"
            self.refused(self.command("local/current", "unselect"), 409, text)
        self.assertEqual(self.rig.jobs.all(), [])

    def test_off(self) -> None:
        """While the printer is off nothing can be selected or started."""
        self.switch_off()
        self.refused(self.command("local/a.goo", "select"), 409, "Printer is not operational")
        text = "Printer is not operational, cannot directly start printing"
        self.refused(self.command("local/a.goo", "select", print=True), 409, text)
        self.assertIsNone(self.selected())

    def test_plate(self) -> None:
        """A start on a plate that may be occupied is 409 with what to do; nothing is sent, the selection stays."""
        self.done(self.command("local/minis/b.goo", "select"))
        self.rig.publish(printing(5))
        self.complete("elsewhere.goo")
        before = self.selected()
        sent = len(self.link.sent)
        self.assertIn("plate", self.refuses(self.command("local/a.goo", "select", print=True), 409))
        self.assertEqual((len(self.link.sent), self.rig.jobs.all(), self.selected()), (sent, [], before))
        self.clear()
        self.done(self.command("local/a.goo", "select", print=True))

    def test_attention(self) -> None:
        """A print that waits for its confirmation is over: a file may be selected, and is not started."""
        self.rig.publish(Status((1,), 0, PrintInfo(16, 100, 100, filename="elsewhere.goo")))
        self.refuses(self.command("local/a.goo", "select", print=True), 409)
        self.done(self.command("local/a.goo", "select"))

    def test_unselect(self) -> None:
        """Only what is selected can be let go, by its name or as the current one."""
        text = "Cannot unselect current file when there is no file selected"
        self.refused(self.command("local/a.goo", "unselect"), 409, text)
        for name in ("a.goo", "current"):
            self.done(self.command("local/a.goo", "select"))
            text = "Only the currently selected file can be unselected"
            self.refused(self.command("local/minis/b.goo", "unselect"), 400, text)
            self.done(self.command(f"local/{name}", "unselect"))
            self.assertIsNone(self.selected())

    def test_scopes(self) -> None:
        """Selecting and starting need ``control``; copying, moving and analysing ``upload``; deleting, too."""
        viewer = {"address": STRANGER, "key": self.rig.key("view", name="viewer")}
        slicer = {"address": STRANGER, "key": self.rig.key("upload", name="slicer")}
        pilot = {"address": STRANGER, "key": self.rig.key("control", name="pilot")}
        cases: list[tuple[str, dict[str, str], dict[str, str]]] = [
            ("select", {}, pilot),
            ("unselect", {}, pilot),
            ("analyse", {}, slicer),
            ("copy", {"destination": "z.goo"}, slicer),
            ("move", {"destination": "y.goo"}, slicer),
        ]
        for name, more, able in cases:
            for asker in (viewer, slicer, pilot):
                reply = self.command("local/a.goo", name, **more, **asker)
                self.assertEqual(reply.status == 403, asker is not able, (name, reply.body))
        for asker in (viewer, pilot):
            self.assertEqual(self.delete("local/y.goo", **asker).status, 403)
        self.done(self.delete("local/y.goo", **slicer))

    def test_checks(self) -> None:
        """The checks of the real server, in its order and its words."""
        here = f"{P}/api/files/local/a.goo"
        self.assertEqual(self.rig.ask("POST", here, b"{}", {"Content-Type": "text/plain"}).status, 415)
        reply = self.rig.ask("POST", here, b"{", {"Content-Type": "application/json"})
        self.refused(reply, 400, "Malformed JSON body in request")
        self.refused(self.command("local/a.goo", "burn"), 400, "command is invalid")
        self.refused(self.command("local/a.goo", "copy"), 400, "Mandatory parameters missing")
        self.refused(self.command("elsewhere/a.goo", "select"), 404, NOT_FOUND)
        self.refused(self.command("sdcard/a.goo", "select"), 404, "SD support is disabled")
        for name in ("select", "slice", "analyse"):
            self.refused(self.command("local/x.goo", name), 404, NOT_FOUND)
        self.refused(self.command("local/a.goo", "slice"), 415, "Cannot slice file, no slicer available")
        self.done(self.command("local/a.goo", "analyse"))


class DeleteTests(FilesCase):
    """What is deleted."""

    def test_delete(self) -> None:
        """A file is deleted once, a folder with all that is in it; a selected file is selected no more."""
        self.done(self.command("local/a.goo", "select"))
        self.done(self.delete("local/a.goo"))
        self.assertIsNone(self.selected())
        self.refused(self.delete("local/a.goo"), 404, NOT_FOUND)
        self.done(self.delete("local/minis"))
        self.assertEqual(self.names(), [])
        self.refused(self.delete("local/minis"), 404, NOT_FOUND)
        self.refused(self.delete("sdcard/a.goo"), 404, "SD support is disabled")

    def test_in_use(self) -> None:
        """What a job needs stays, alone or with its folder."""
        self.busy("minis/orcs/c.goo")
        text = "Trying to delete a file that is currently in use"
        self.refused(self.delete("local/minis/orcs/c.goo"), 409, text)
        text = "Trying to delete a folder that contains a file that is currently in use"
        self.refused(self.delete("local/minis"), 409, text)
        self.assertEqual(self.names(), ["a.goo", "minis/b.goo", "minis/orcs/c.goo"])
        self.done(self.delete("local/minis/b.goo"))

    def test_limited(self) -> None:
        """A key for this printer alone takes nothing away from the others."""
        key = self.rig.key("upload", name="one", printers=[SATURN])
        for reply in (
            self.delete("local/a.goo", address=STRANGER, key=key),
            self.command("local/a.goo", "move", destination="z.goo", address=STRANGER, key=key),
            self.command("local/a.goo", "copy", destination="z.goo", address=STRANGER, key=key),
        ):
            self.assertIn("limited", self.refuses(reply, 403))
        self.assertEqual(len(self.names()), 3)


class DownloadTests(DownloadCase):
    """How files leave, on a real connection."""

    async def test_download(self) -> None:
        """A file comes whole or in part, as an attachment, with its identity."""
        await self.check_download("minis/Größe.goo", f"{P}/downloads/files/local/minis/Gr%C3%B6%C3%9Fe.goo")
