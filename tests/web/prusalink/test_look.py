from __future__ import annotations

import json

from sdcpd.codec.status import PrintInfo, Status
from sdcpd.files import Limits
from sdcpd.fleet import Reachability
from tests.web.prusalink.rig import PrusaLinkCase
from tests.web.rig import SATURN, P, goo, printing, transferring


class StorageTests(PrusaLinkCase):
    """What PrusaSlicer asks before its upload dialog."""

    def test_first_key(self) -> None:
        """The list of storages is the first key of the answer: PrusaSlicer looks at no other."""
        reply = self.rig.get(f"{P}/sl1/api/v1/storage", headers={"Accept-Language": "en"})
        self.assertTrue(reply.body.startswith(b'{"storage_list":[{"path":"/local","name":"Spool"'), reply.body)

    def test_room(self) -> None:
        """The room is the disk's, or what the quota leaves of it, and what is used counts."""
        self.assertGreater(self.get("storage")["storage_list"][0]["free_space"], 0)
        self.rig.put(content=goo(b"x" * 1000))
        used = self.rig.store.usage.used
        self.rig.store.configure(Limits(quota=used + 500, max_size=2**31, reserve=0))
        (told,) = self.get("storage")["storage_list"]
        self.assertEqual(
            told,
            {
                "path": "/local",
                "name": "Spool",
                "type": "LOCAL",
                "read_only": False,
                "available": True,
                "free_space": 500,
                "total_space": used + 500,
                "print_files": used,
            },
        )
        self.rig.store.configure(Limits(quota=1, max_size=2**31, reserve=0))
        self.assertEqual(self.get("storage")["storage_list"][0]["free_space"], 0)

    def test_read_only(self) -> None:
        """Who may not upload is told before the upload: the storage is read-only for that key."""
        viewer = self.rig.key("view")
        self.assertIs(self.get("storage", key=viewer)["storage_list"][0]["read_only"], True)
        self.assertIs(self.get("status", key=viewer)["storage"]["read_only"], True)


class StatusTests(PrusaLinkCase):
    """What Home Assistant polls."""

    def test_idle(self) -> None:
        """An idle printer is idle, with neither job nor transfer; what it does not have is null, not invented."""
        told = self.get("status")
        self.assertEqual(set(told), {"printer", "storage"})
        printer = told["printer"]
        self.assertEqual((printer["state"], printer["status_printer"]), ("IDLE", {"ok": True, "message": "OK"}))
        for name in ("temp_nozzle", "target_nozzle", "temp_bed", "target_bed", "axis_x", "axis_z", "flow", "fan_print"):
            self.assertIsNone(printer[name])
        self.assertEqual(self.ask("GET", "job").status, 204)
        self.assertEqual(self.ask("GET", "transfer").status, 204)

    def test_words(self) -> None:
        """The words are those of the one table; a print that waits for somebody needs attention and is over."""
        for status, word, job in (
            (printing(5), "PRINTING", True),
            (printing(5, number=5), "PRINTING", True),
            (printing(5, number=8), "PAUSED", True),
            (printing(5, number=9), "BUSY", True),
            (printing(100, number=16), "ATTENTION", True),
            (Status((0,), 0, PrintInfo(16, 100, 100, filename="plate.goo")), "FINISHED", False),
            (Status((0,), 0, PrintInfo(13, 5, 100, filename="plate.goo")), "STOPPED", False),
            (Status((0,), 0, PrintInfo(13, 5, 100, 0, 0, 3, "plate.goo")), "ERROR", False),
        ):
            self.rig.publish(status)
            told = self.get("status")
            self.assertEqual((told["printer"]["state"], "job" in told), (word, job), status)
            self.assertEqual(self.ask("GET", "job").status, 200 if job else 204)
            if job:
                self.assertEqual(self.get("job")["state"], word)

    def test_trouble(self) -> None:
        """A printer that cannot be worked with says so, in a sentence."""
        self.rig.publish(Status((0,), 0, PrintInfo(13, 5, 100, 0, 0, 3, "plate.goo")))
        told = self.get("status")["printer"]["status_printer"]
        self.assertEqual(told, {"ok": False, "message": "The printer reports the error 3."})
        self.rig.fleet.change(SATURN, reachability=Reachability.OFFLINE)
        printer = self.get("status")["printer"]
        self.assertEqual((printer["state"], printer["status_printer"]["ok"]), ("OFFLINE", False))
        self.assertIn("off", printer["status_printer"]["message"])

    def test_numbers(self) -> None:
        """A print from the touchscreen has a number, percent and seconds; its file is not here and has no picture."""
        self.rig.publish(printing(25, filename="screen.goo"))
        job = self.get("job")
        self.assertEqual(self.get("status")["job"], {n: job[n] for n in self.get("status")["job"]})
        self.assertEqual((job["progress"], job["time_printing"], job["time_remaining"]), (25.0, 25, 75))
        self.assertEqual((job["inaccurate_estimates"], job["serial_print"]), (True, False))
        self.assertIsInstance(job["id"], int)
        self.assertEqual((job["file"]["name"], job["file"]["m_timestamp"]), ("screen.goo", None))
        self.assertNotIn("refs", job["file"])

    def test_height(self) -> None:
        """The axis of the plate is at the height of the layer that is printed, by its file."""
        self.assertEqual(self.send(Print_After_Upload="?1").status, 201)
        file = self.rig.store.get("plate.goo")
        wire = self.rig.fleet.get(SATURN).job
        assert wire is not None
        self.rig.publish(printing(1, 1, filename=wire.wire_name))
        index = self.successResultOf(self.rig.store.indexes.of(file))
        self.assertAlmostEqual(self.get("status")["printer"]["axis_z"], index.layers[0].z or 0.0, places=4)

    def test_info(self) -> None:
        """The printer's name and number are there, and no nozzle."""
        told = self.get("info")
        self.assertEqual((told["name"], told["serial"], told["port"]), ("Saturn 3 Ultra", SATURN, "V1.0.0"))
        self.assertIsNone(told["nozzle_diameter"])

    def test_cameras(self) -> None:
        """There are no cameras, and no picture of one."""
        self.assertEqual(self.get("cameras"), {"camera_list": []})
        self.assertIn("no camera", self.refused(self.ask("GET", "cameras/snap"), 404))

    def test_unchanged(self) -> None:
        """Whoever polls with the last tag is told in a few bytes that nothing has changed."""
        self.rig.store.configure(Limits(quota=1000, max_size=2**31, reserve=0))  # the disk's own room changes
        first = self.ask("GET", "status")
        again = self.ask("GET", "status", headers={"If-None-Match": first.headers["etag"]})
        self.assertEqual((again.status, again.body), (304, b""))


class TransferTests(PrusaLinkCase):
    """The file on its way from the daemon to the printer."""

    def test_own(self) -> None:
        """A transfer of ours has its file, its size and how far it is; the print after it has the same number."""
        self.assertEqual(self.send("minis/plate.goo", Print_After_Upload="?1").status, 201)
        job = self.rig.fleet.get(SATURN).job
        assert job is not None
        self.rig.clock.advance(7)
        self.rig.publish(transferring(job.size // 2, job.size, job.wire_name))
        told = self.get("transfer")
        self.assertEqual(told["display_name"], "plate.goo")
        self.assertEqual((told["path"], told["size"], told["to_print"]), ("/local/minis", str(job.size), True))
        self.assertGreaterEqual(told["time_transferring"], 7)
        self.assertEqual(self.ask("GET", "job").status, 204)
        status = self.get("status")
        self.assertEqual((status["printer"]["state"], status["transfer"]["id"]), ("BUSY", told["id"]))
        self.assertNotIn("job", status)
        json.dumps(told)

    def test_anothers(self) -> None:
        """A file that another program sends is told by the board's own numbers."""
        self.rig.publish(transferring(250))
        told = self.get("transfer")
        self.assertEqual((told["progress"], told["transferred"], told["size"]), (25.0, 250, "1000"))
        self.assertEqual((told["display_name"], told["path"], told["to_print"]), ("plate.goo", "/", False))
        self.assertGreater(told["id"], 0)
