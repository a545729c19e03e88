from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from sdcpd.codec.status import PrintInfo, Status
from sdcpd.dialects import WORDS, Condition
from sdcpd.web.octoprint.events import changes, look
from sdcpd.web.octoprint.state import FileInformation
from tests.web.octoprint.test_push import PushCase
from tests.web.rig import goo, printing, transferring

FILE = {"name": "plate.goo", "path": "plate.goo", "origin": "local"}


class EventCase(PushCase):
    def setUp(self) -> None:
        super().setUp()
        self.listener = self.client()
        self.stream = self.listener.stream()
        self.hear(self.stream)

    def told(self) -> list[tuple[str, Any]]:
        """The events that were told since the last time."""
        self.rig.clock.advance(1)
        return self.events(self.stream)

    def named(self, *names: str) -> list[tuple[str, Any]]:
        """Those of the events of these names."""
        return [(name, payload) for name, payload in self.told() if name in names]


class PrintTests(EventCase):
    """What is told of a print."""

    def test_whole_print(self) -> None:
        """A print is told from its transfer to its end, in OctoPrint's order, with what its clients read of it."""
        file = self.store()
        size = file.size
        self.told()
        self.clear()
        self.rig.post(f"/v1/printers/{self.printer.slug}/print", {"file": "plate.goo"})
        self.link.answer()
        assert self.printer.job is not None
        wire_name = self.printer.job.wire_name
        transfer = {"local": "plate.goo", "remote": wire_name}
        self.assertEqual(self.named("TransferStarted"), [("TransferStarted", transfer)])
        self.deliver(wire_name, size)
        told = self.named("TransferDone")
        self.assertEqual(told[0], ("TransferDone", {**transfer, "time": told[0][1]["time"]}))
        self.assertGreater(told[0][1]["time"], 0)
        self.link.answer()
        on: Any = {"filename": wire_name}
        self.rig.publish(printing(1, **on))
        (started,) = self.named("PrintStarted")
        job = {**FILE, "size": size, "owner": "key:admin", "user": "key:admin"}
        self.assertEqual(started, ("PrintStarted", job))
        self.rig.publish(printing(2, **on))
        self.assertEqual([p["layer"] for _, p in self.named("ZChange")], [2])
        self.rig.publish(printing(2, number=7, **on))
        self.assertEqual(self.named("PrintPaused", "PrintStarted"), [("PrintPaused", job)])
        self.rig.publish(printing(3, **on))
        self.assertEqual(self.named("PrintResumed", "PrintStarted"), [("PrintResumed", job)])
        self.complete(wire_name)
        ((name, payload),) = self.named("PrintDone", "PrintFailed", "PrintCancelled")
        self.assertEqual((name, {k: v for k, v in payload.items() if k != "time"}), ("PrintDone", job))
        self.assertGreater(payload["time"], 3)

    def deliver(self, wire_name: str, size: int) -> None:
        """The printer fetches the file."""
        self.rig.publish(transferring(size // 2, size, wire_name))
        done = replace(transferring(size, size, wire_name).transfer, status=2)
        self.rig.publish(Status((0,), transfer=done))

    def happen(self, type: str, **data: object) -> None:
        self.rig.fleet.happened(self.printer.id, type, {"job": "j1", "print": None, "file": "plate.goo", **data})
        self.rig.clock.advance(10)

    def test_cancelled(self) -> None:
        """A print that is stopped is cancelled, and failed for that reason, as the real server tells it."""
        self.happen("print_started")
        self.happen("print_stopped")
        cancelled, failed = self.named("PrintCancelled", "PrintFailed")
        self.assertEqual((cancelled[0], cancelled[1]["time"]), ("PrintCancelled", 10.0))
        self.assertEqual((failed[0], failed[1]["reason"], failed[1]["time"]), ("PrintFailed", "cancelled", 10.0))

    def test_failed(self) -> None:
        """Whichever way a print goes wrong, it failed, with the sentence that says why."""
        for type in ("print_failed", "print_lost", "print_unverified"):
            self.happen("print_started", job=type)
            self.happen(type, job=type, message="It broke.")
            ((_, payload),) = self.named("PrintFailed")
            self.assertEqual((payload["reason"], payload["error"], payload["time"]), ("error", "It broke.", 10.0))

    def test_transfer_failed(self) -> None:
        """A job that ends on its way to the printer is a failed transfer, and no print."""
        for end in ("print_failed", "print_stopped"):
            self.happen("transfer_started", job=end)
            self.happen(end, job=end)
            self.assertEqual(
                self.named("TransferFailed", "PrintFailed", "PrintCancelled"),
                [("TransferFailed", {"local": "plate.goo", "remote": "plate.goo"})],
            )
        self.happen("transfer_started", job="late")
        self.happen("transfer_done", job="late")
        self.happen("print_failed", job="late")
        self.assertEqual([name for name, _ in self.named("TransferFailed", "PrintFailed")], ["PrintFailed"])

    def test_foreign_file(self) -> None:
        """A print of a file that is not stored here is told under its name on the printer."""
        self.happen("print_started", file="else.goo")
        ((_, payload),) = self.named("PrintStarted")
        self.assertEqual((payload["path"], payload["origin"], payload["size"]), ("else.goo", "sdcard", None))
        self.assertIsNone(payload["owner"])

    def test_no_word(self) -> None:
        """What OctoPrint has no word for is not told as an event, but as a line."""
        self.happen("print_stalled", file="")
        self.happen("plate_clear", file="")
        heard = self.hear(self.stream)
        self.assertFalse([p for name, p in heard if name == "event"])
        self.assertIn("Recv: plate clear", [line for name, p in heard if name == "current" for line in p["logs"]])


class StateTests(EventCase):
    """What is told of the printer's state."""

    def test_states(self) -> None:
        """Each change of state is told with the name and the text that OctoPrint has for it."""
        self.rig.publish(printing(1))
        self.rig.publish(printing(1, number=5))
        self.rig.publish(printing(1, number=7))
        self.rig.publish(printing(1, number=9))
        self.rig.publish(Status((0,), 0, PrintInfo(13, 1, 100, 0, 0, 0, "plate.goo")))
        told = [tuple(p.values()) for _, p in self.named("PrinterStateChanged")]
        pairs = ["PRINTING Printing", "PAUSING Pausing", "PAUSED Paused", "CANCELLING Cancelling"]
        self.assertEqual([f"{i} {text}" for i, text in told], [*pairs, "OPERATIONAL Operational"])

    def test_cancelling(self) -> None:
        """A print that is about to be stopped is told of before its end."""
        self.rig.publish(printing(1))
        self.told()
        self.rig.publish(printing(1, number=9))
        self.assertEqual([name for name, _ in self.told()], ["PrinterStateChanged", "PrintCancelling"])

    def test_offline(self) -> None:
        """A printer that is switched off is disconnected, and connected when it is back."""
        self.switch_off()
        told = self.told()
        self.assertIn(("Disconnected", {}), told)
        self.assertIn(("PrinterStateChanged", {"state_id": "OFFLINE", "state_string": "Offline"}), told)
        self.rig.announce()
        self.rig.connect()
        self.assertIn(("Connected", {"port": "SDCP", "baudrate": None}), self.told())

    def test_selected(self) -> None:
        """Another selected file is told, and that there is none any more."""
        file = self.store()
        self.told()
        self.api.selection.select(self.printer, file)
        self.rig.fleet.happened(self.printer.id, "message", {"text": "x"})
        self.assertEqual(self.named("FileSelected"), [("FileSelected", {**FILE, "size": file.size})])
        self.api.selection.unselect(self.printer)
        self.rig.fleet.happened(self.printer.id, "message", {"text": "y"})
        self.assertEqual(self.named("FileDeselected"), [("FileDeselected", {})])

    def test_fault(self) -> None:
        """A printer that needs somebody is told as an error, with what to do."""
        nothing = FileInformation()
        before = look(self.printer, nothing, None)
        after = replace(before, condition=Condition.FAULT, text="Error: taken", error=("taken", "connection"))
        told = list(changes(before, after))
        self.assertEqual(told[0], ("Error", {"error": "taken", "reason": "connection"}))
        self.assertEqual(told[1][1]["state_id"], "CLOSED_WITH_ERROR")
        connecting = replace(before, condition=Condition.STARTUP, text="Connecting")
        self.assertEqual(next(changes(before, connecting)), ("Connecting", {}))
        self.assertEqual(list(changes(before, before)), [])

    def test_every_state(self) -> None:
        """Each row of the table has a name that OctoPrint knows."""
        known = "OFFLINE CLOSED_WITH_ERROR CONNECTING OPERATIONAL TRANSFERING_FILE STARTING PRINTING PAUSING PAUSED"
        self.assertEqual({words.state_id for words in WORDS.values()}, {*known.split(), "CANCELLING"})

    def test_height(self) -> None:
        """A new layer is told with the height of the model, as far as the file tells of it."""
        self.store(content=goo(b"layers"))
        self.rig.publish(printing(1, 1))
        ((_, payload),) = self.named("ZChange")
        self.assertEqual((payload["layer"], payload["old"]), (1, None))
        self.assertEqual(payload["new"], dict(self.hear(self.client().stream()))["history"]["currentZ"])


class FileTests(EventCase):
    """What is told of files."""

    def test_upload(self) -> None:
        """A new file is told in all the ways in which OctoPrint tells it."""
        self.store("a/b.goo")
        entry = {"storage": "local", "path": "a/b.goo", "name": "b.goo", "type": ["machinecode", "goo"]}
        analysed = {"name": "b.goo", "path": "a/b.goo", "origin": "local"}
        self.assertEqual(
            self.told(),
            [
                ("FileAdded", entry),
                ("MetadataAnalysisStarted", analysed),
                ("MetadataAnalysisFinished", {**analysed, "result": None}),
                ("UpdatedFiles", {"type": "printables"}),
                ("Upload", {"name": "b.goo", "path": "a/b.goo", "target": "local"}),
            ],
        )

    def test_moved_and_removed(self) -> None:
        """A file that moves is told as gone, come and moved; one that is deleted as gone."""
        self.store()
        self.told()
        self.rig.post("/v1/files/plate.goo/move", {"to": "b.goo"})
        told = self.told()
        self.assertEqual([name for name, _ in told], ["FileRemoved", "FileAdded", "FileMoved", "UpdatedFiles"])
        self.assertEqual((told[2][1]["source_path"], told[2][1]["destination_path"]), ("plate.goo", "b.goo"))
        self.assertEqual(told[2][1]["destination_type"], ["machinecode", "goo"])
        self.rig.ask("DELETE", "/v1/files/b.goo")
        self.assertEqual([name for name, _ in self.told()], ["FileRemoved", "UpdatedFiles"])

    def test_folders(self) -> None:
        """Folders come, move and go like files."""
        self.rig.fleet.noticed("folder_added", {"folder": "a/b"})
        folder = {"storage": "local", "path": "a/b", "name": "b"}
        self.assertEqual(self.told(), [("FolderAdded", folder), ("UpdatedFiles", {"type": "printables"})])
        self.rig.fleet.noticed("folder_moved", {"folder": "c", "source": "a/b"})
        told = self.told()
        self.assertEqual([name for name, _ in told], ["FolderRemoved", "FolderAdded", "FolderMoved", "UpdatedFiles"])
        self.assertEqual((told[2][1]["source_name"], told[2][1]["destination_name"]), ("b", "c"))
        self.rig.fleet.noticed("folder_removed", {"folder": "c"})
        self.assertEqual([name for name, _ in self.told()], ["FolderRemoved", "UpdatedFiles"])

    def test_every_listener(self) -> None:
        """Files belong to all printers, so every listener hears of them."""
        other = self.client().stream()
        self.hear(other)
        self.store()
        self.assertIn("FileAdded", [name for name, _ in self.events(other)])
