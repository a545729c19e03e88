from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, fail, succeed

from sdcpd.errors import StoreError
from sdcpd.files import FileStore
from sdcpd.journal import Outcomes, PrintQuery
from sdcpd.web.octoprint.entries import Entries, abridged
from sdcpd.web.shelf import Shelf
from tests.codec.vectors import vector
from tests.fakes import at_once
from tests.web.octoprint.rig import OctoPrintCase
from tests.web.rig import EPOCH, SATURN, goo, md5

BASE = "https://hub.example/p"


class Remembered:
    """A journal that has its answer ready; None is one that cannot be read."""

    def __init__(self, found: Mapping[str, Outcomes] | None) -> None:
        self.found = found
        self.asked: list[PrintQuery] = []

    def outcomes(self, query: PrintQuery) -> Deferred[Mapping[str, Outcomes]]:
        self.asked.append(query)
        return fail(StoreError("the journal cannot be read")) if self.found is None else succeed(self.found)


class EntriesTests(OctoPrintCase):
    """What is told of a file and of a folder."""

    def setUp(self) -> None:
        super().setUp()
        self.past = Remembered({})
        self.entries = Entries(self.rig.store, self.past)
        self.shelf = Shelf(self.rig.store, self.rig.jobs, self.rig.fleet, self.rig.wall)

    def told(self, entry: Deferred[Any]) -> Any:
        return msgspec.to_builtins(self.successResultOf(entry))

    def test_file(self) -> None:
        """Every field of a file, with whole numbers where the real server has them."""
        arriving = self.rig.store.begin("minis/Orc 1.goo", None)
        arriving.write(vector("tiny.goo"))
        file = self.successResultOf(arriving.finish())
        index = self.successResultOf(self.rig.store.indexes.of(file))
        self.past.found = {"minis/orc 1.goo": Outcomes(3, 1, False, EPOCH + 99.6, 12.4)}
        self.assertEqual(
            self.told(self.entries.file(BASE, self.printer, file)),
            {
                "name": "Orc 1.goo",
                "display": "Orc 1.goo",
                "path": "minis/Orc 1.goo",
                "type": "machinecode",
                "typePath": ("machinecode", "goo"),
                "origin": "local",
                "hash": file.md5,
                "size": len(vector("tiny.goo")),
                "date": int(file.uploaded_at),
                "refs": {
                    "resource": f"{BASE}/api/files/local/minis/Orc%201.goo",
                    "download": f"{BASE}/downloads/files/local/minis/Orc%201.goo",
                },
                "gcodeAnalysis": {"estimatedPrintTime": index.print_time_s},
                "prints": {
                    "success": 3,
                    "failure": 1,
                    "last": {"success": False, "date": int(EPOCH) + 99, "printTime": 12},
                },
            },
        )
        self.assertIsInstance(index.print_time_s, int)
        self.assertEqual(self.past.asked, [PrintQuery(printer=SATURN, file="minis/Orc 1.goo")])

    def test_unknown(self) -> None:
        """What nobody knows is left out, also while the journal cannot be read."""
        file = self.store()
        for known in (True, False):
            self.past.found = {} if known else None
            told = self.told(self.entries.file(BASE, self.printer, file))
            self.assertEqual(told["hash"], md5(goo()))
            self.assertNotIn("prints", told)
        self.past.found = {"plate.goo": Outcomes(1, 0, True, EPOCH, None)}
        last = self.told(self.entries.file(BASE, self.printer, file))["prints"]["last"]
        self.assertEqual(last, {"success": True, "date": int(EPOCH)})

    def test_unreadable(self) -> None:
        """A file whose bytes the disk has lost is still told, without what only they tell."""
        file = self.store()
        store = FileStore(self.rig.directory / "files", self.rig.limits, at_once, self.rig.wall)
        entries = Entries(store, self.past)
        for path in (Path(file.path), self.rig.directory / "files" / "index" / f"{file.md5}.index"):
            path.unlink()
        told = self.told(entries.file(BASE, self.printer, file))
        self.assertEqual((told["hash"], "gcodeAnalysis" in told), (file.md5, False))

    def test_remembered(self) -> None:
        """The times of the files are read once, also of more files than have their layers in memory."""
        arriving = self.rig.store.begin("plate.goo", None)
        arriving.write(vector("tiny.goo"))
        file = self.successResultOf(arriving.finish())
        before = self.told(self.entries.file(BASE, self.printer, file))
        self.successResultOf(self.rig.store.indexes.forget(file.md5))
        Path(file.path).unlink()
        self.assertEqual(self.told(self.entries.file(BASE, self.printer, file)), before)
        self.assertIn("gcodeAnalysis", before)

    def test_levels(self) -> None:
        """A list has the first level; a recursive one has everything, and how large each folder is."""
        for name in ("a.goo", "minis/b.goo", "minis/orcs/c.goo"):
            self.store(name, goo(name.encode()))
        root = self.shelf.folder("")
        flat = self.told(self.entries.within(BASE, self.printer, root, recursive=False))
        folder = {"name": "minis", "display": "minis", "path": "minis", "type": "folder", "typePath": ("folder",)}
        refs = {"resource": f"{BASE}/api/files/local/minis"}
        self.assertEqual(flat[0], {**folder, "origin": "local", "refs": refs})
        self.assertEqual([entry["path"] for entry in flat], ["minis", "a.goo"])
        deep = self.told(self.entries.within(BASE, self.printer, root, recursive=True))
        self.assertEqual(deep[0]["size"], sum(file.size for file in self.rig.store.inside("minis")))
        self.assertEqual([entry["path"] for entry in deep[0]["children"]], ["minis/orcs", "minis/b.goo"])
        self.assertEqual([e["path"] for e in deep[0]["children"][0]["children"]], ["minis/orcs/c.goo"])
        self.assertEqual([query.file for query in self.past.asked], ["", ""])

    def test_kind(self) -> None:
        """Only files of a kind, if somebody wants that."""
        self.store("minis/b.goo")
        self.store("a.goo")
        root = self.shelf.folder("")
        for kind, names in (("goo", ["a.goo"]), ("machinecode", ["a.goo"]), ("ctb", []), ("model", [])):
            told = self.told(self.entries.within(BASE, self.printer, root, recursive=True, kind=kind))
            self.assertEqual([entry["path"] for entry in told], names, kind)

    def test_abridged(self) -> None:
        """The short form of a file can be downloaded, that of a folder cannot."""
        told = msgspec.to_builtins(abridged(BASE, "minis/ä.goo"))
        self.assertEqual(told["refs"]["download"], f"{BASE}/downloads/files/local/minis/%C3%A4.goo")
        self.assertEqual(told["name"], "ä.goo")
        refs = msgspec.to_builtins(abridged(BASE, "minis", folder=True))["refs"]
        self.assertEqual(refs, {"resource": f"{BASE}/api/files/local/minis"})
