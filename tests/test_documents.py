from __future__ import annotations

from typing import Any

from sdcpd.codec.status import Generation, PrintInfo, Status, TransferInfo
from sdcpd.documents import eta_of, progress_of
from sdcpd.files import wire_name
from sdcpd.fleet import Beforehand, Reachability
from tests.web.rig import EPOCH, SATURN, WebCase, printing, transferring


class DocumentCase(WebCase):
    def setUp(self) -> None:
        super().setUp()
        self.rig.announce()
        self.link = self.rig.connect()

    def document(self, status: Status | None = None) -> Any:
        if status is not None:
            self.rig.publish(status)
        return self.rig.get(f"/v1/printers/{SATURN}").json


class PrinterTests(DocumentCase):
    """One printer, as a person should see it."""

    def test_whole_document(self) -> None:
        """A printing printer's document, key by key."""
        self.rig.publish(printing(45, 200))
        self.rig.clock.advance(1.44)
        self.assertEqual(
            self.document(),
            {
                "id": "saturn-3-ultra",
                "mainboard_id": SATURN,
                "name": "Saturn 3 Ultra",
                "model": "ELEGOO Saturn 3 Ultra",
                "firmware": "V1.4.2",
                "protocol": "V1.0.0",
                "address": "192.168.1.100",
                "resolution": [11520, 5120],
                "reachability": "online",
                "online": True,
                "phase": "PRINTING",
                "state_text": "Printing",
                "needs": None,
                "layer": 45,
                "total_layers": 200,
                "progress": 22.5,
                "eta_s": 155,
                "eta_source": "printer",
                "file": "plate.goo",
                "md5": None,
                "last_update": EPOCH,
                "age_s": 1.9,
                "job": None,
                "plate": {
                    "state": "occupied",
                    "revision": 1,
                    "by": None,
                    "at": None,
                    "job": self.rig.fleet.get(SATURN).plate.job,
                    "reason": "print_seen",
                },
                "wear": {"layers": 0, "exposure_s": 0.0, "prints": 0},
                "print": self.rig.fleet.get(SATURN).run.id,  # type: ignore[union-attr]
                "hold_reason": None,
                "message": None,
                "raw": {
                    "current_status": [1],
                    "print_status": 3,
                    "transfer_status": 0,
                    "error_number": 0,
                    "filename": "plate.goo",
                },
                "rev": self.rig.fleet.get(SATURN).version,
                "port": None,
                "urls": {
                    "self": "/v1/printers/saturn-3-ultra",
                    "updates": "/printers/saturn-3-ultra/v1/updates",
                    "layer": "/v1/printers/saturn-3-ultra/layer.png",
                    "octoprint": "/printers/saturn-3-ultra",
                    "moonraker": "/printers/saturn-3-ultra",
                    "prusalink": "/printers/saturn-3-ultra/prusalink",
                    "sl1": "/printers/saturn-3-ultra/sl1",
                    "sockjs": "/printers/saturn-3-ultra/sockjs",
                },
            },
        )

    def test_urls_work(self) -> None:
        """The addresses in a document lead somewhere."""
        urls = self.document()["urls"]
        layer = self.rig.get(urls.pop("layer"))
        self.assertEqual((layer.status, layer.error["code"]), (404, "no_picture"))
        for name in ("self", "updates", "sockjs"):
            self.assertEqual(self.rig.get(f"{urls[name]}?timeout=0").status, 200)
        for name, text in (("octoprint", "OctoPrint "), ("prusalink", "PrusaLink "), ("sl1", "Prusa SLA ")):
            self.assertTrue(self.rig.get(f"{urls[name]}/api/version").json["text"].startswith(text), name)
        self.assertEqual(self.rig.get(f"{urls['moonraker']}/server/info").status, 200)

    def test_never_heard(self) -> None:
        """A printer known from the configuration alone has empty values and no age, not invented ones."""
        rig = self.make(beforehand=[Beforehand("cellar", "AB12", None)])
        document = rig.get("/v1/printers/cellar").json
        for key in ("resolution", "progress", "eta_s", "file", "last_update", "age_s", "job", "raw"):
            self.assertIsNone(document[key], key)
        self.assertEqual((document["phase"], document["reachability"]), ("OFFLINE", "offline"))
        self.assertEqual((document["layer"], document["total_layers"], document["online"]), (0, 0, False))

    def test_age_grows(self) -> None:
        """Values of a silent printer stay, beside an age that grows; a clock set back makes no negative age."""
        self.document(printing(45))
        self.rig.clock.advance(600)
        document = self.document()
        self.assertEqual((document["layer"], document["age_s"]), (45, 600.5))
        self.rig.start += 5000
        self.assertEqual(self.document()["age_s"], 0)

    def test_offline(self) -> None:
        """A printer out of reach keeps its last values; how long it will take is not guessed."""
        self.document(printing(45))
        self.rig.fleet.change(SATURN, reachability=Reachability.OFFLINE)
        document = self.document()
        self.assertEqual((document["phase"], document["online"], document["layer"]), ("OFFLINE", False, 45))
        self.assertEqual((document["eta_s"], document["progress"]), (None, 45.0))

    def test_message(self) -> None:
        """Why a printer cannot be worked with is told, and what a finished print waits for."""
        self.assertIsNone(self.document()["message"])
        attention = self.document(printing(100, number=16))
        self.assertEqual(attention["phase"], "ATTENTION")
        self.assertIn("confirm", attention["message"])
        self.rig.fleet.explain(SATURN, "It belongs to another program.")
        self.assertEqual(self.document()["message"], "It belongs to another program.")


class NumberTests(DocumentCase):
    """Numbers that can be trusted."""

    def progress(self, status: Status) -> float | None:
        self.rig.publish(status)
        return progress_of(self.rig.fleet.get(SATURN))

    def test_never_100_before_complete(self) -> None:
        """On its last layer, or beyond it, a print is not at 100 % until the printer says that it is complete."""
        for layer in (999_999, 1_000_000, 1_000_001):
            for number in (2, 3, 4, 12):
                self.assertEqual(self.progress(printing(layer, 1_000_000, number=number)), 99.9)
        self.assertEqual(self.progress(printing(100, number=16)), 100.0)
        self.assertEqual(self.progress(printing(100, number=16, current=0)), 100.0)

    def test_other_generation(self) -> None:
        """The number that means complete is another one for V3, and 16 is none there."""
        self.rig.announce("V3", "Mars 5", generation=Generation.V3)
        for number, expected in ((16, 99.9), (9, 100.0)):
            self.rig.fleet.change("V3", status=printing(100, number=number))
            self.assertEqual(progress_of(self.rig.fleet.get("V3")), expected)

    def test_nothing_to_divide(self) -> None:
        """Without layers there is no percentage; a negative layer is 0 %."""
        for total in (0, -1):
            self.assertIsNone(self.progress(printing(5, total)))
        self.assertEqual(self.progress(printing(-5)), 0.0)

    def test_stopped(self) -> None:
        """A stopped print keeps the percentage at which it was stopped."""
        self.assertEqual(self.progress(printing(45, number=13, current=0)), 45.0)

    def test_layers_clamped(self) -> None:
        """Layers are neither negative nor more than there are, unless nobody knows how many there are."""
        for layer, total, expected in ((-1, 100, (0, 100)), (101, 100, (100, 100)), (5, 0, (5, 0)), (5, -3, (5, 0))):
            document = self.document(printing(layer, total))
            self.assertEqual((document["layer"], document["total_layers"]), expected)

    def test_eta(self) -> None:
        """The time left is whole seconds, never negative, and known only while something prints."""
        for current, total, expected in ((0, 7_200_000, 7200), (7_199_999, 7_200_000, 0), (9, 8, 0), (5, 0, None)):
            self.rig.publish(printing(5, current_ticks=current, total_ticks=total))
            self.assertEqual(eta_of(self.rig.fleet.get(SATURN)), expected)
        for status in (printing(5, current=0), printing(5, number=16), transferring(5)):
            self.rig.publish(status)
            self.assertIsNone(eta_of(self.rig.fleet.get(SATURN)))
        self.rig.publish(printing(5, number=7))
        self.assertEqual(eta_of(self.rig.fleet.get(SATURN)), 95)

    def test_while_file_arrives(self) -> None:
        """While the next file arrives, the last print's 100 % is not shown as the new file's."""
        done = PrintInfo(16, 100, 100, 0, 0, 0, "old.goo")
        self.assertEqual(self.document(Status((0,), 1, done))["progress"], 100.0)
        arriving = Status((2,), 0, done, TransferInfo(0, 5, 0, 1000, "new.goo"))
        self.assertIsNone(self.document(arriving)["progress"])


class FileNameTests(DocumentCase):
    """Which file a printer is said to work at."""

    def test_own_name(self) -> None:
        """A file of ours is shown under the name that a person gave it, not under the printer's."""
        self.rig.put("Dra%C4%8Dica%20%231.goo")
        wire = wire_name(self.rig.store.list()[0])
        self.assertEqual(self.document(printing(5, filename=wire))["file"], "Dra\u010dica #1.goo")
        self.assertEqual(self.document()["raw"]["filename"], wire)

    def test_foreign_name(self) -> None:
        """A file that somebody else sent has the printer's name for it; no name is no file."""
        self.assertEqual(self.document(printing(5, filename="usb.ctb"))["file"], "usb.ctb")
        self.assertIsNone(self.document(printing(5, filename=""))["file"])

    def test_words_of_the_last_print(self) -> None:
        """What became of our last print is said until another one is on the machine, and not of that one."""
        self.document(Status((0,)))
        wire = wire_name(self.rig.store.get(self.rig.put().json["file"]["md5"]))
        self.rig.post(f"/v1/printers/{SATURN}/print", {"file": "plate.goo"})
        self.document(printing(5, filename=wire))
        stopped = self.document(printing(5, number=13, current=0, filename=wire))
        self.assertEqual((stopped["job"]["state"], stopped["message"]), ("stopped", stopped["job"]["message"]))
        self.assertTrue(stopped["message"])
        foreign = self.document(printing(1, filename="usb.ctb"))
        self.assertEqual((foreign["job"]["state"], foreign["message"]), ("stopped", None))
        self.assertEqual((foreign["plate"]["job"], foreign["plate"]["reason"]), (foreign["print"], "print_seen"))
        self.assertGreater(foreign["plate"]["revision"], stopped["plate"]["revision"])
        self.assertIsNone(self.document(printing(9, number=16, current=0, filename="usb.ctb"))["message"])

    def test_delivery(self) -> None:
        """During a delivery the file is the one that is sent, whatever was printed before."""
        self.document(printing(100, number=16, current=0, filename="old.goo"))
        self.rig.put("next.goo")
        self.rig.post(f"/v1/printers/{SATURN}/print", {"file": "next.goo", "plate_clear": True})
        self.link.answer()
        file = self.rig.store.list()[0]
        wire = wire_name(file)
        document = self.document(
            Status((2,), 0, PrintInfo(16, 9, 9, filename="old.goo"), TransferInfo(0, 9, 0, file.size, wire))
        )
        self.assertEqual((document["file"], document["phase"]), ("next.goo", "TRANSFER"))
        self.assertEqual(
            (document["job"]["state"], document["job"]["sent"], document["job"]["size"]), ("delivering", 9, file.size)
        )
        foreign = self.make()
        foreign.announce()
        foreign.connect()
        foreign.publish(Status((2,), 0, PrintInfo(filename="theirs.goo")))
        self.assertEqual(foreign.get(f"/v1/printers/{SATURN}").json["file"], "theirs.goo")


class JobDocumentTests(DocumentCase):
    """One job."""

    def test_whole_document(self) -> None:
        """A job's document, key by key, and the same in the printer's."""
        self.document(Status((0,)))
        stored = self.rig.put().json["file"]
        job = self.rig.post(f"/v1/printers/{SATURN}/print", {"file": "plate.goo"}).json["job"]
        self.assertEqual(
            job,
            {
                "id": job["id"],
                "printer": "saturn-3-ultra",
                "file": "plate.goo",
                "md5": stored["md5"],
                "size": stored["size"],
                "state": "delivering",
                "reason": None,
                "message": None,
                "sent": 0,
                "created": EPOCH + 0.5,
                "started": None,
                "ended": None,
                "queued": False,
                "start": True,
                "by": "key:admin",
                "attempts": 1,
                "warnings": [],
            },
        )
        self.assertEqual(self.document()["job"], job)

    def test_message_of_job(self) -> None:
        """What holds a job up is told at the printer, with a stable word and a sentence."""
        self.document(Status((0,)))
        self.rig.put()
        self.rig.post(f"/v1/printers/{SATURN}/print", {"file": "plate.goo"})
        self.rig.clock.advance(20)
        self.rig.jobs.sweep()
        document = self.document()
        self.assertEqual(document["hold_reason"], "file_never_requested")
        self.assertIn("firewall", document["message"])
        self.rig.ask("POST", f"/v1/printers/{SATURN}/stop")
        self.assertEqual((self.document()["hold_reason"], self.document()["job"]["state"]), (None, "stopped"))

    def test_printer_forgotten(self) -> None:
        """A job of a printer that is not known any more names it by its MainboardID."""
        self.document(Status((0,)))
        self.rig.put()
        job_id = self.rig.post(f"/v1/printers/{SATURN}/print", {"file": "plate.goo"}).json["job"]["id"]
        self.rig.jobs.stop_all()
        later = type(self.rig)(self.rig.directory)
        self.assertEqual(later.get(f"/v1/jobs/{job_id}").json["printer"], SATURN)
