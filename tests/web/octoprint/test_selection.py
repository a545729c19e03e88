from __future__ import annotations

from sdcpd.codec.status import Status
from sdcpd.files import StoredFile, wire_name
from sdcpd.jobs import Wish
from sdcpd.web.octoprint.selection import Selection
from tests.web.octoprint.rig import OctoPrintCase
from tests.web.rig import P, goo, printing


class SelectionTests(OctoPrintCase):
    def setUp(self) -> None:
        super().setUp()
        self.selection: Selection = self.api.selection
        self.heard: list[str | None] = []
        self.selection.subscribe(lambda printer, file: self.heard.append(None if file is None else file.name))
        self.file = self.store()

    def selected(self) -> str | None:
        file = self.selection.of(self.printer)
        return None if file is None else file.name

    def run_file(self, file: StoredFile, layer: int = 3) -> None:
        """The printer prints a stored file."""
        self.rig.publish(printing(layer, filename=wire_name(file)))

    def test_select(self) -> None:
        """Nothing is selected at first; then what was selected last, until it is taken back."""
        self.assertIsNone(self.selected())
        self.selection.select(self.printer, self.file)
        self.selection.select(self.printer, self.file)
        self.assertEqual(self.selected(), "plate.goo")
        self.selection.unselect(self.printer)
        self.selection.unselect(self.printer)
        self.assertIsNone(self.selected())
        self.assertEqual(self.heard, ["plate.goo", None])

    def test_namesake(self) -> None:
        """What is printed from a stick is not our file because it has its name; neither dialect says so."""
        self.rig.publish(printing(3, filename="plate.goo"))
        self.assertIsNone(self.selected())
        self.assertEqual(self.get("api/job")["job"]["file"]["origin"], "sdcard")
        headers = self.rig.ask("HEAD", f"{P}/api/v1/files/local/plate.goo").headers
        self.assertEqual(headers["currently-printed"], "false")
        self.run_file(self.file)
        self.assertEqual(self.selected(), "plate.goo")
        headers = self.rig.ask("HEAD", f"{P}/api/v1/files/local/plate.goo").headers
        self.assertEqual(headers["currently-printed"], "true")

    def test_gone(self) -> None:
        """A file that was deleted is selected no more, nor is another one that gets its name later."""
        self.selection.select(self.printer, self.file)
        self.assertEqual(self.rig.ask("DELETE", "/v1/files/plate.goo").status, 204)
        self.assertIsNone(self.selected())
        self.store(content=goo(b"others"))
        self.assertIsNone(self.selected())
        self.assertEqual(self.heard, ["plate.goo", None])

    def test_replaced(self) -> None:
        """A selection is a name: the file that was uploaded again under it is the one that will be printed."""
        self.selection.select(self.printer, self.file)
        again = self.store(content=goo(b"others"))
        self.assertEqual(self.selection.of(self.printer), again)

    def test_printing(self) -> None:
        """What the printer prints is selected, whoever started it, and stays selected when it is over."""
        other = self.store("another.goo", goo(b"others"))
        self.selection.select(self.printer, other)
        self.run_file(self.file)
        self.assertEqual(self.selected(), "plate.goo")
        self.rig.publish(Status((0,)))
        self.assertEqual(self.selected(), "plate.goo")
        self.assertEqual(self.heard, ["another.goo", "plate.goo"])

    def test_transfer(self) -> None:
        """A file on its way to the printer is selected as soon as it goes."""
        self.rig.jobs.print(self.printer.id, self.file, Wish("a test"))
        self.rig.publish(Status((2,)))
        self.assertEqual(self.selected(), "plate.goo")

    def test_foreign(self) -> None:
        """A print of a file that is not stored here leaves nothing selected: it could not be started again."""
        self.selection.select(self.printer, self.file)
        self.rig.publish(printing(3, filename="screen.goo"))
        self.assertIsNone(self.selected())
        self.rig.publish(Status((0,)))
        self.assertIsNone(self.selected())
        self.assertEqual(self.heard, ["plate.goo", None])
