from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail

from sdcpd.codec.status import Status
from sdcpd.errors import StoreError
from sdcpd.files import wire_name
from sdcpd.web.octoprint.present import Present
from sdcpd.web.octoprint.state import Progress
from tests.web.octoprint.rig import OctoPrintCase
from tests.web.rig import goo, printing


class PresentTests(OctoPrintCase):
    """What polls and pushes have in common."""

    def setUp(self) -> None:
        super().setUp()
        self.present: Present = self.api.present
        self.file = self.store()

    def select(self) -> None:
        self.api.selection.select(self.printer, self.file)

    def test_nothing_selected(self) -> None:
        """Without a file there is nothing to tell of it."""
        self.assertIsNone(self.successResultOf(self.present.current_z(self.printer)))
        self.assertIsNone(self.successResultOf(self.present.height(self.printer)))
        self.assertIsNone(self.successResultOf(self.present.bed(self.printer)))
        self.assertIsNone(self.successResultOf(self.present.job(self.printer)).file.name)
        self.assertEqual(self.present.progress(self.printer), Progress())

    def test_selected(self) -> None:
        """A selected file tells its height, its room and its time before anything of it is printed."""
        self.select()
        sliced = self.rig.get("/v1/files/plate.goo/metadata").json["sliced"]
        self.assertEqual(self.successResultOf(self.present.height(self.printer)), sliced["height"])
        self.assertEqual(self.successResultOf(self.present.bed(self.printer)), tuple(sliced["bed"]))
        self.assertIsNone(self.successResultOf(self.present.current_z(self.printer)))
        job = self.successResultOf(self.present.job(self.printer))
        self.assertEqual((job.file.name, job.estimated_print_time), ("plate.goo", sliced["print_time_s"]))

    def test_printing(self) -> None:
        """While it prints the height grows to that of the whole model, never beyond."""
        whole = self.rig.get("/v1/files/plate.goo/metadata").json["sliced"]["height"]
        for layer in (1, 50):
            self.rig.publish(printing(layer, filename=wire_name(self.file)))
            self.assertEqual(self.successResultOf(self.present.current_z(self.printer)), whole)  # of one layer
        self.rig.publish(Status((0,)))
        self.assertIsNone(self.successResultOf(self.present.current_z(self.printer)))

    def test_another_file(self) -> None:
        """The numbers of a print belong to its file; another one that is selected since has none yet."""
        self.rig.publish(printing(25, filename=wire_name(self.file)))
        self.assertEqual(self.present.progress(self.printer).completion, 25.0)
        self.complete(wire_name(self.file))
        self.assertEqual(self.present.progress(self.printer).completion, 100.0)
        self.api.selection.select(self.printer, self.store("other.goo", goo(b"others")))
        self.assertEqual(self.present.progress(self.printer), Progress())
        self.select()
        self.assertEqual(self.present.progress(self.printer).completion, 100.0)

    def test_broken_disk(self) -> None:
        """A disk that fails costs what the file would have told, and no answer."""
        self.select()
        indexes: Any = self.rig.store.indexes
        read = indexes.of

        def broken(file: object) -> Deferred[Any]:
            return fail(StoreError("The disk is gone."))

        indexes.of = broken
        self.addCleanup(setattr, indexes, "of", read)
        self.assertIsNone(self.successResultOf(self.present.height(self.printer)))
        job = self.successResultOf(self.present.job(self.printer))
        self.assertEqual((job.file.name, job.estimated_print_time), ("plate.goo", None))
        self.assertEqual(self.get("api/job")["job"]["file"]["name"], "plate.goo")
        self.assertEqual(self.get("plugin/DisplayLayerProgress/values")["height"]["total"], "-")
