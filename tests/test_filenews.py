from __future__ import annotations

from typing import Any

from sdcpd.fleet import EVERYONE
from tests.web.rig import SATURN, WebCase, goo


class FileNewsTests(WebCase):
    """What is told of files, whichever way they change."""

    def events(self) -> list[tuple[str, Any, Any]]:
        found = [(e.type, e.data["file"], e.data.get("source")) for e in self.rig.fleet.happenings(0)]
        self.rig.fleet.events.clear()
        return found

    def test_every_change(self) -> None:
        """A file that comes, changes, gets another name and goes is told once each."""
        self.rig.put("a.goo")
        self.rig.put("a.goo", goo(b"other"))
        self.rig.put("a.goo", goo(b"other"))
        self.rig.store.copy("a.goo", "b.goo")
        self.rig.store.move("a.goo", "minis/a.goo")
        self.rig.store.delete("b.goo")
        told = [(event, file, source) for event, file, source in self.events()]
        self.assertEqual(
            told,
            [
                ("file_added", "a.goo", None),
                ("file_changed", "a.goo", None),
                ("file_added", "b.goo", None),
                ("file_moved", "minis/a.goo", "a.goo"),
                ("file_removed", "b.goo", None),
            ],
        )

    def test_folder(self) -> None:
        """A folder that is moved is told file by file."""
        self.rig.put("x/a.goo", goo(b"a"))
        self.rig.put("x/b.goo", goo(b"b"))
        self.events()
        self.rig.store.move("x", "y")
        told = {(event, file, source) for event, file, source in self.events()}
        self.assertEqual(told, {("file_moved", f"y/{n}.goo", f"x/{n}.goo") for n in "ab"})

    def test_who_hears(self) -> None:
        """Who waits for everything or for everyone's news is woken; who waits for one printer is not."""
        self.rig.announce()
        everything = self.rig.fleet.changed(self.rig.fleet.version, None)
        common = self.rig.fleet.changed(self.rig.fleet.version, frozenset({SATURN, EVERYONE}))
        one = self.rig.fleet.changed(self.rig.fleet.version, frozenset({SATURN}))
        self.rig.put()
        self.successResultOf(everything)
        self.successResultOf(common)
        self.assertNoResult(one)
        self.successResultOf(self.rig.fleet.changed(0, frozenset({EVERYONE})))

    def test_updates(self) -> None:
        """The long poll for all printers tells of files under no printer's name."""
        self.rig.put()
        events = self.rig.get("/v1/updates?events=recent").json["events"]
        self.assertEqual([(e["printer"], e["type"]) for e in events], [("", "file_added")])
