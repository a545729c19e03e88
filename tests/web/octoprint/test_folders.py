from __future__ import annotations

from sdcpd.web.octoprint.form import NOT_FOUND
from tests.web.octoprint.test_files import HERE, FilesCase

EXISTS = "File or folder does already exist"


class GiveTests(FilesCase):
    """Copies and moves."""

    def test_copy(self) -> None:
        """A copy is told with its address, has the same bytes and leaves the first; also of what is in use."""
        self.busy("a.goo")
        reply = self.command("local/a.goo", "copy", destination="minis/z.goo")
        resource = f"{HERE}/api/files/local/minis/z.goo"
        refs = {"resource": resource, "download": f"{HERE}/downloads/files/local/minis/z.goo"}
        told = {"name": "z.goo", "display": "z.goo", "path": "minis/z.goo", "origin": "local", "refs": refs}
        self.assertEqual((reply.status, reply.json, reply.headers["location"]), (201, told, resource))
        self.assertEqual(self.rig.store.get("minis/z.goo").md5, self.rig.store.get("a.goo").md5)

    def test_move(self) -> None:
        """A file gets another name; one that was selected is selected no more."""
        self.done(self.command("local/a.goo", "select"))
        self.assertEqual(self.command("local/a.goo", "move", destination="/new//y.goo").json["path"], "new/y.goo")
        self.assertEqual(self.names(), ["minis/b.goo", "minis/orcs/c.goo", "new/y.goo"])
        self.assertIsNone(self.selected())

    def test_into(self) -> None:
        """What is given a folder goes into it, and with an empty name to the root."""
        self.assertEqual(self.command("local/a.goo", "move", destination="minis").json["path"], "minis/a.goo")
        self.assertEqual(self.command("local/minis/b.goo", "move", destination="/").json["path"], "b.goo")
        self.assertEqual(self.names(), ["b.goo", "minis/a.goo", "minis/orcs/c.goo"])

    def test_folder(self) -> None:
        """A folder is copied and moved with all that is in it, and has no download."""
        told = self.command("local/minis", "copy", destination="box").json
        self.assertEqual((told["path"], told["refs"]), ("box", {"resource": f"{HERE}/api/files/local/box"}))
        self.command("local/minis", "move", destination="box")
        names = ["a.goo", "box/b.goo", "box/minis/b.goo", "box/minis/orcs/c.goo", "box/orcs/c.goo"]
        self.assertEqual(self.names(), names)

    def test_taken(self) -> None:
        """Nothing is overwritten, and nothing goes into itself."""
        for path, to, text in (
            ("a.goo", "minis/b.goo", EXISTS),
            ("a.goo", "a.goo", EXISTS),
            ("a.goo", "", EXISTS),
            ("minis/orcs", "minis", EXISTS),
            ("minis", "minis/orcs/deep", "Exception thrown by storage, bad folder/file name?"),
        ):
            for name in ("copy", "move"):
                self.refused(self.command(f"local/{path}", name, destination=to), 409, text)
        self.assertEqual(self.names(), ["a.goo", "minis/b.goo", "minis/orcs/c.goo"])

    def test_refused(self) -> None:
        """What is not there, has no possible name or is no text is refused; the card has nothing to give."""
        self.refused(self.command("local/x.goo", "copy", destination="z.goo"), 404, NOT_FOUND)
        self.refuses(self.command("local/a.goo", "copy", destination=".z.goo"), 400)
        self.refuses(self.command("local/a.goo", "copy", destination="a.goo/z.goo"), 409)
        self.refuses(self.command("local/a.goo", "move", destination=7), 400)
        self.refused(self.command("sdcard/a.goo", "copy", destination="z.goo"), 400, "Unsupported target for copy")
        self.assertEqual(self.names(), ["a.goo", "minis/b.goo", "minis/orcs/c.goo"])

    def test_in_use(self) -> None:
        """What a job needs is not moved, alone or with its folder."""
        self.busy("minis/b.goo")
        for path in ("minis/b.goo", "minis"):
            text = "Trying to move a file or folder that is currently in use"
            self.refused(self.command(f"local/{path}", "move", destination="z"), 409, text)
        self.assertEqual(self.names(), ["a.goo", "minis/b.goo", "minis/orcs/c.goo"])
