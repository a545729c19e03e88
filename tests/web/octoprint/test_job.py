from __future__ import annotations

import json
from typing import Any

from sdcpd.codec.status import PrintInfo, Status
from sdcpd.files import wire_name
from sdcpd.progress import JobState
from tests.web.octoprint.rig import JSON, OctoPrintCase
from tests.web.rig import EPOCH, P, Pending, Reply, goo, printing, transferring

START, PAUSE, STOP, RESUME, DOWNLOAD = 128, 129, 130, 131, 256
NEITHER = "Printer is neither printing nor paused, '{}' command cannot be performed"


class JobCase(OctoPrintCase):
    def setUp(self) -> None:
        super().setUp()
        self.file = self.store()

    def command(self, command: str, **more: object) -> Reply:
        return self.post("api/job", {"command": command, **more})

    def begin(self, command: str, **more: object) -> Pending:
        return self.rig.begin("POST", f"{P}/api/job", json.dumps({"command": command, **more}).encode(), JSON)

    def sends(self, number: int, command: str, **more: object) -> None:
        """The wish is answered when the board has acknowledged it, by exactly this SDCP command."""
        pending = self.begin(command, **more)
        self.assertFalse(pending.answered)
        self.assertEqual([sent["Cmd"] for sent in self.link.sent], [number])
        self.link.answer()
        self.done(pending.reply)

    def run_file(self, layer: int = 25, number: int = 3) -> None:
        """The stored file is printed."""
        self.rig.publish(printing(layer, number=number, filename=wire_name(self.file)))


class LookTests(JobCase):
    def test_nothing(self) -> None:
        """With nothing loaded every leaf is null, and every key is there."""
        found = self.get("api/job")
        self.assertEqual(set(found), {"job", "progress", "state"})
        self.assertEqual(
            set(found["job"]),
            {"file", "estimatedPrintTime", "averagePrintTime", "lastPrintTime", "filament", "user"},
        )
        leaves = {**found["job"].pop("file"), **found["job"], **found["progress"]}
        self.assertEqual(set(leaves.values()), {None})
        self.assertLessEqual({"name", "path", "display", "origin", "size", "date"}, set(leaves))
        self.assertLessEqual(
            {"completion", "filepos", "printTime", "printTimeLeft", "printTimeLeftOrigin"}, set(leaves)
        )
        self.assertEqual(found["state"], "Operational")

    def test_printing(self) -> None:
        """A print is told with its file, how far it is and how long it takes; integers where exporters need them."""
        self.run_file()
        reply = self.rig.get(f"{P}/api/job")
        found: Any = reply.json
        self.assertEqual(found["state"], "Printing")
        self.assertEqual(found["job"]["file"]["name"], "plate.goo")
        self.assertEqual(found["job"]["file"]["size"], self.file.size)
        self.assertEqual(found["job"]["file"]["date"], int(EPOCH))
        self.assertEqual(found["progress"]["completion"], 25.0)
        self.assertEqual(found["progress"]["filepos"], self.file.size // 4)
        self.assertEqual((found["progress"]["printTime"], found["progress"]["printTimeLeft"]), (25, 75))
        self.assertEqual(found["progress"]["printTimeLeftOrigin"], "estimate")
        self.assertIsInstance(found["job"]["estimatedPrintTime"], int)
        for key in ("size", "date"):
            self.assertNotIn(f'"{key}":{found["job"]["file"][key]}.'.encode(), reply.body)

    def test_transfer(self) -> None:
        """A file on its way is the job, with the part that has arrived; the words are those that Cura knows."""
        self.rig.post("/v1/printers/saturn-3-ultra/print", {"file": "plate.goo"})
        self.link.answer()
        self.rig.publish(transferring(self.file.size // 2, self.file.size, wire_name(self.file)))
        found = self.get("api/job")
        self.assertEqual(found["state"], "Sending file to SD")
        self.assertEqual(found["job"]["file"]["path"], "plate.goo")
        self.assertIsNone(found["progress"]["printTime"])
        self.assertIsNotNone(found["progress"]["completion"])
        self.assertEqual(found["job"]["user"], "key:admin")

    def test_over(self) -> None:
        """A completed print stays the job at 100 percent, until another file is selected."""
        self.run_file()
        self.complete(wire_name(self.file))
        found = self.get("api/job")
        self.assertEqual((found["state"], found["job"]["file"]["name"]), ("Operational", "plate.goo"))
        self.assertEqual((found["progress"]["completion"], found["progress"]["printTimeLeft"]), (100.0, 0))
        self.api.selection.select(self.printer, self.store("other.goo", goo(b"others")))
        found = self.get("api/job")
        self.assertEqual(found["job"]["file"]["name"], "other.goo")
        self.assertIsNone(found["progress"]["completion"])

    def test_times(self) -> None:
        """Once a file was printed here, its last time and its average are told, in whole seconds."""
        self.run_file(layer=1)
        self.assertIsNone(self.get("api/job")["job"]["lastPrintTime"])
        for layer in (2, 3):
            self.rig.clock.advance(30)
            self.run_file(layer=layer)
        self.complete(wire_name(self.file))
        self.rig.clock.advance(1)
        job = self.get("api/job")["job"]
        self.assertEqual(job["lastPrintTime"], 62)  # the rig gives each report half a second
        self.assertEqual(job["averagePrintTime"], job["lastPrintTime"])
        self.assertIs(type(job["lastPrintTime"]), int)

    def test_offline(self) -> None:
        """A printer that is off is answered with 200 and its state, as clients that only look want it."""
        self.switch_off()
        found = self.get("api/job")
        self.assertEqual(found["state"], "Offline")
        self.assertIsNone(found["progress"]["completion"])

    def test_error(self) -> None:
        """An error is told beside the state."""
        self.rig.publish(Status((0,), 0, PrintInfo(14, 3, 100, 0, 0, 7, "x.goo")))
        self.assertEqual(self.get("api/job")["error"], "The printer reports the error 7.")

    def test_foreign(self) -> None:
        """A print from the printer's own memory is told under the printer's name for it."""
        self.rig.publish(printing(25, filename="screen.goo"))
        found = self.get("api/job")
        self.assertEqual((found["job"]["file"]["name"], found["job"]["file"]["origin"]), ("screen.goo", "sdcard"))
        self.assertEqual((found["progress"]["completion"], found["progress"]["filepos"]), (25.0, None))


class StartTests(JobCase):
    def test_start(self) -> None:
        """The selected file is delivered and started; that it will be is answered at once."""
        self.api.selection.select(self.printer, self.file)
        self.done(self.command("start"))
        self.assertEqual([sent["Cmd"] for sent in self.link.sent], [DOWNLOAD])
        (job,) = self.rig.jobs.all()
        self.assertEqual((job.file, job.state, job.by), ("plate.goo", JobState.DELIVERING, "key:admin"))

    def test_nothing_selected(self) -> None:
        """Without a selected file nothing is started, and the answer says how to select one."""
        self.assertIn("No file is selected", self.refuses(self.command("start"), 409))
        self.api.selection.select(self.printer, self.file)
        self.rig.ask("DELETE", "/v1/files/plate.goo")
        self.refuses(self.command("start"), 409)
        self.assertEqual(self.rig.jobs.all(), [])

    def test_active(self) -> None:
        """While a print is on the machine no other one begins, also while it is paused."""
        for number in (3, 7):
            self.run_file(number=number)
            self.refused(self.command("start"), 409, "Printer already has an active print job, did you mean 'restart'?")

    def test_plate(self) -> None:
        """After a print nothing is started until somebody has said that the plate is clear; the answer says so."""
        self.run_file()
        self.complete(wire_name(self.file))
        self.assertIn("plate", self.refuses(self.command("start"), 409))
        self.assertEqual(self.link.sent, [])
        self.clear()
        self.done(self.command("start"))

    def test_again(self) -> None:
        """A second start while the first is on its way is refused, and nothing is sent for it."""
        self.api.selection.select(self.printer, self.file)
        self.done(self.command("start"))
        self.assertIn("already has a job", self.refuses(self.command("start"), 409))
        self.assertEqual(len(self.rig.jobs.all()), 1)

    def test_restart(self) -> None:
        """A print cannot begin again on its own plate: refused in the real words, or with the reason."""
        not_paused = "Printer does not have an active print job or is not paused"
        self.refused(self.command("restart"), 409, not_paused)
        self.run_file()
        self.refused(self.command("restart"), 409, not_paused)
        self.run_file(number=7)
        self.assertIn("clear the plate", self.refuses(self.command("restart"), 409))
        self.assertEqual(self.link.sent, [])


class PauseTests(JobCase):
    def test_idle(self) -> None:
        """With nothing to pause or to cancel the real server's sentence is the answer."""
        for command in ("pause", "cancel"):
            self.refused(self.command(command), 409, NEITHER.format(command))

    def test_actions(self) -> None:
        """Each action does what it says, toggle the other of the two, and toggle is meant where none is named."""
        for number, more, sent in (
            (3, {"action": "pause"}, PAUSE),
            (3, {"action": "toggle"}, PAUSE),
            (3, {}, PAUSE),
            (7, {"action": "resume"}, RESUME),
            (7, {"action": "toggle"}, RESUME),
            (7, {}, RESUME),
        ):
            self.run_file(number=number)
            self.sends(sent, "pause", **more)

    def test_already(self) -> None:
        """What is so already is done, and the printer does not hear of it."""
        for number, action in ((7, "pause"), (5, "pause"), (3, "resume")):
            self.run_file(number=number)
            self.done(self.command("pause", action=action))
        self.assertEqual(self.link.sent, [])

    def test_unknown(self) -> None:
        """An action that does not exist is refused with those that do, a command that does not, with its word."""
        self.run_file()
        text = self.refuses(self.command("pause", action="wait"), 400)
        self.assertEqual(
            text, "Unknown action 'wait', allowed values for action parameter are 'pause', 'resume' and 'toggle'"
        )
        self.refuses(self.command("pause", action=["pause"]), 400)
        self.refused(self.command("stop"), 400, "command is invalid")

    def test_refused_by_the_board(self) -> None:
        """What the board refuses is refused, and what it never answers is told as not known."""
        self.run_file()
        pending = self.begin("pause")
        self.link.answer(ack=2)
        self.refuses(pending.reply, 409)
        pending = self.begin("pause")
        self.rig.clock.advance(10)
        self.refuses(pending.reply, 504)


class CancelTests(JobCase):
    def test_print(self) -> None:
        """A print is cancelled when the board has acknowledged it, also a paused one."""
        for number in (3, 7):
            self.run_file(number=number)
            self.sends(STOP, "cancel")

    def test_already(self) -> None:
        """A print that is being stopped is not stopped twice."""
        self.run_file(number=9)
        self.done(self.command("cancel"))
        self.assertEqual(self.link.sent, [])

    def test_delivery(self) -> None:
        """A delivery is ended without a word to the printer, as Cura's abort button wants it."""
        self.api.selection.select(self.printer, self.file)
        self.done(self.command("start"))
        self.link.answer()
        self.done(self.command("cancel"))
        self.assertEqual([job.state for job in self.rig.jobs.all()], [JobState.STOPPED])
        self.assertEqual(self.link.sent, [])

    def test_over(self) -> None:
        """A print that only waits for its confirmation is over: there is nothing to cancel."""
        self.rig.publish(Status((1,), 0, PrintInfo(16, 100, 100, 1, 1, 0, wire_name(self.file))))
        self.refused(self.command("cancel"), 409, NEITHER.format("cancel"))
