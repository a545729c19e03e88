from __future__ import annotations

from typing import Any

from sdcpd.codec.status import Status
from sdcpd.errors import BadName, FileInUse, FileMissing, NameTaken
from sdcpd.web.shelf import MOST, Folder, Shelf
from sdcpd.wishes import Wish
from tests.web.rig import SATURN, WebCase, goo


class ShelfTests(WebCase):
    """The folders that every dialect shows."""

    def setUp(self) -> None:
        super().setUp()
        self.shelf = Shelf(self.rig.store, self.rig.jobs, self.rig.fleet, self.rig.wall)
        self.rig.put("a.goo", goo(b"a"))
        self.rig.put("minis/b.goo", goo(b"b"))
        self.rig.put("minis/orcs/c.goo", goo(b"c"))
        self.start = self.rig.fleet.version

    def names(self) -> list[str]:
        return sorted(file.name for file in self.rig.store.list())

    def events(self) -> list[tuple[str, Any]]:
        """What was told of folders."""
        told = self.rig.fleet.happenings(self.start)
        return [(event.type, dict(event.data)) for event in told if event.type.startswith("folder_")]

    def test_listed(self) -> None:
        """A folder shows what is directly in it, with the bytes of all that is deeper."""
        self.shelf.make("minis/elves/empty")
        root = self.shelf.folder("")
        self.assertEqual(([f.name for f in root.files], [f.path for f in root.folders]), (["a.goo"], ["minis"]))
        (minis,) = root.folders
        self.assertEqual((minis.size, minis.modified), (len(goo(b"b")) + len(goo(b"c")), self.rig.wall()))
        self.assertEqual(minis, self.shelf.folder("minis"))
        self.assertEqual([f.name for f in minis.files], ["minis/b.goo"])
        self.assertEqual([(f.path, f.name) for f in minis.folders], [("minis/elves", "elves"), ("minis/orcs", "orcs")])
        self.assertEqual([f.path for f in minis.folders[0].folders], ["minis/elves/empty"])
        self.assertEqual(self.shelf.folder("nowhere"), Folder("nowhere", 0.0, 0, (), ()))

    def test_copies_of_empty_folders(self) -> None:
        """Copies of folders of copies neither get deeper than any name nor more than are remembered at all."""
        self.shelf.make("x/y")
        for _ in range(3):
            self.successResultOf(self.shelf.give("x", "z", keep=True))
            self.successResultOf(self.shelf.give("z", "x/z", keep=False))
        self.successResultOf(self.shelf.give("x", "1/2/3/4/5", keep=True))
        self.failureResultOf(self.shelf.give("x", "1/2/3/4/5/6", keep=True), BadName)
        for number in range(MOST - 10):
            self.shelf.make(f"w/{number}")
        self.successResultOf(self.shelf.give("w", "v", keep=True))
        self.assertEqual(len(self.shelf.folder("w").folders), 10)
        self.assertEqual(len(self.shelf.folder("v").folders), MOST - 10)

    def test_empty(self) -> None:
        """A folder that was made is there, empty, until it is removed; it is told when it comes and goes."""
        self.shelf.make("new/deep")
        self.assertTrue(self.shelf.is_folder("new"))
        self.assertEqual([folder.name for folder in self.shelf.folder("new").folders], ["deep"])
        self.successResultOf(self.shelf.remove("new"))
        self.assertFalse(self.shelf.is_folder("new/deep"))
        told = [("folder_added", {"folder": "new/deep"}), ("folder_removed", {"folder": "new"})]
        self.assertEqual(self.events(), told)

    def test_taken(self) -> None:
        """A folder cannot be made where one is, where a file is, in a file, or with a name that cannot be shown."""
        for name in ("minis", "a.goo", "a.goo/x"):
            self.assertRaises(NameTaken, self.shelf.make, name)
        self.assertRaises(BadName, self.shelf.make, ".hidden")
        self.assertEqual(self.events(), [])

    def test_bounded(self) -> None:
        """However many folders somebody makes, memory has an end: the oldest empty one is forgotten."""
        for number in range(MOST + 1):
            self.shelf.make(f"f{number}")
        self.assertEqual((self.shelf.is_folder("f0"), self.shelf.is_folder(f"f{MOST}")), (False, True))

    def test_give(self) -> None:
        """A folder gets another name with all that is in it, also the empty ones; a copy leaves the first as it was."""
        self.shelf.make("minis/empty")
        self.assertIsNone(self.successResultOf(self.shelf.give("minis", "box", keep=True)))
        self.assertTrue(self.shelf.is_folder("minis/empty"))
        self.assertIsNone(self.successResultOf(self.shelf.give("minis", "old", keep=False)))
        self.assertEqual([self.shelf.is_folder(f"{n}/empty") for n in ("minis", "box", "old")], [False, True, True])
        self.assertEqual(self.names(), ["a.goo", "box/b.goo", "box/orcs/c.goo", "old/b.goo", "old/orcs/c.goo"])
        told = [("folder_added", {"folder": "box"}), ("folder_moved", {"folder": "old", "source": "minis"})]
        self.assertEqual(self.events()[1:], told)

    def test_give_file(self) -> None:
        """A file gets another name; one that is taken is refused, and everything stays."""
        given = self.successResultOf(self.shelf.give("a.goo", "z.goo", keep=False))
        self.assertEqual(given and given.name, "z.goo")
        self.failureResultOf(self.shelf.give("z.goo", "minis/b.goo", keep=False), NameTaken)
        self.failureResultOf(self.shelf.give("z.goo", ".z", keep=False), BadName)
        self.failureResultOf(self.shelf.give("minis", ".z", keep=False), BadName)
        self.assertEqual(self.names(), ["minis/b.goo", "minis/orcs/c.goo", "z.goo"])
        self.assertEqual(self.events(), [])

    def test_target(self) -> None:
        """What is given a folder's name goes into that folder, except the folder itself."""
        self.assertEqual(self.shelf.target("a.goo", "minis"), "minis/a.goo")
        self.assertEqual(self.shelf.target("a.goo", "b.goo"), "b.goo")
        self.assertEqual(self.shelf.target("minis", "minis"), "minis")

    def test_busy(self) -> None:
        """What a job needs is known by its content, whatever it is called."""
        self.rig.announce()
        self.rig.connect()
        self.rig.publish(Status((0,)))
        self.shelf.must_be_idle(self.rig.store.list())
        self.rig.jobs.print(SATURN, self.rig.store.get("a.goo"), Wish("a test", plate_clear=True))
        self.successResultOf(self.rig.store.copy("a.goo", "other.goo"))
        self.assertRaises(FileInUse, self.shelf.must_be_idle, self.shelf.files("other.goo"))
        self.shelf.must_be_idle(self.shelf.files("minis"))
        self.assertEqual([self.shelf.is_printed(n) for n in ("a.goo", "other.goo")], [True, False])
        self.failureResultOf(self.shelf.give("nope", "x", keep=False), FileMissing)
