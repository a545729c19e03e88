from __future__ import annotations

from typing import Any, ClassVar

from sdcpd.codec.status import Generation, PrintInfo, Status, TransferInfo
from sdcpd.files import wire_name
from sdcpd.fleet import Beforehand
from tests.web.rig import EPOCH, MARS, SATURN, SECURE, Rig, WebCase, printing, transferring

WAITING = Status((0,))


class StatusCase(WebCase):
    """A fleet with a connected Saturn that prints and a Mars that was only seen."""

    def setUp(self) -> None:
        super().setUp()
        self.rig.announce(SATURN)
        self.link = self.rig.connect(SATURN)
        self.rig.announce(MARS, "Mars 4", "192.168.1.101")
        self.rig.publish(printing(45, 200))

    def listed(self, query: str = "") -> list[str]:
        """The names in the answer, in its order."""
        reply = self.rig.get(f"/status{query}")
        self.assertEqual(reply.status, 200, reply.body)
        return [printer["attributes"]["Name"] for printer in reply.json]

    def element(self, query: str = "") -> Any:
        return next(e for e in self.rig.get(f"/status{query}").json if e["machine_id"] == SATURN)


class ElementTests(StatusCase):
    """What a widget reads of one printer."""

    def test_whole_element(self) -> None:
        """Every key of both seeds is there with the documented value, and nothing else but the announced extras."""
        self.rig.clock.advance(2)
        self.assertEqual(
            self.element(),
            {
                "machine_id": SATURN,
                "machineId": SATURN,
                "attributes": {
                    "Name": "Saturn 3 Ultra",
                    "MachineName": "ELEGOO Saturn 3 Ultra",
                    "ProtocolVersion": "V1.0.0",
                    "FirmwareVersion": "V1.4.2",
                    "Resolution": {"X": 11520, "Y": 5120, "x": 11520, "y": 5120},
                    "MainboardIP": "192.168.1.100",
                    "MainboardID": SATURN,
                    "SDCPStatus": 1,
                    "LocalSDCPAddress": "",
                    "SDCPAddress": "",
                    "Capabilities": ["FILE_TRANSFER", "PRINT_CONTROL"],
                },
                "status": {
                    "CurrentStatus": 1,
                    "PreviousStatus": 0,
                    "PrintInfo": {
                        "Status": 3,
                        "CurrentLayer": 45,
                        "TotalLayer": 200,
                        "CurrentTicks": 45_000,
                        "TotalTicks": 200_000,
                        "ErrorNumber": 0,
                        "Filename": "plate.goo",
                        "RawStatus": 3,
                    },
                    "FileTransferInfo": {
                        "Status": 0,
                        "DownloadOffset": 0,
                        "CheckOffset": 0,
                        "FileTotalSize": 0,
                        "Filename": "",
                    },
                },
                "last_update": int(EPOCH),
                "lastUpdate": int(EPOCH),
                "state": "PRINTING",
                "online": True,
                "age_s": 2,
                "progress": 22.5,
                "eta_s": 155,
                "hold_reason": None,
            },
        )

    def test_headers(self) -> None:
        """The answer is complete JSON of a known length, with the reason phrase that old clients look for."""
        reply = self.rig.get("/status")
        self.assertEqual((reply.reason, reply.headers["content-type"]), ("OK", "application/json"))
        self.assertEqual(int(reply.headers["content-length"]), len(reply.body))
        self.assertLessEqual(SECURE.items(), reply.headers.items())
        self.assertEqual(reply.headers["cache-control"], "no-cache")

    def test_never_connected(self) -> None:
        """A printer that was seen and never spoke has all keys, with zeros and empty texts."""
        mars = self.rig.get("/status").json[0]
        self.assertEqual((mars["machine_id"], mars["state"], mars["online"]), (MARS, "OFFLINE", False))
        self.assertEqual(mars["attributes"]["SDCPStatus"], 0)
        self.assertEqual(mars["status"]["CurrentStatus"], 0)
        self.assertEqual(mars["status"]["PrintInfo"]["TotalLayer"], 0)
        self.assertEqual((mars["progress"], mars["eta_s"]), (None, None))

    def test_configured_only(self) -> None:
        """A printer that is only in the configuration is listed, with its place, and was never heard of."""
        rig = self.make(beforehand=[Beforehand("cellar", "AB12", "Cellar")])
        (element,) = rig.get("/status").json
        self.assertEqual((element["machine_id"], element["attributes"]["Name"]), ("AB12", "Cellar"))
        self.assertEqual((element["last_update"], element["age_s"]), (0, None))
        self.assertEqual(element["attributes"]["Resolution"], {"X": 0, "Y": 0, "x": 0, "y": 0})

    def test_nobody(self) -> None:
        """Without any printer the answer is an empty array, which widgets show as "No printers connected"."""
        reply = self.make().get("/status")
        self.assertEqual((reply.status, reply.body), (200, b"[]"))

    def test_last_word(self) -> None:
        """The time of the last update is the printer's last word, not the time of the question."""
        self.rig.clock.advance(100)
        element = self.element()
        self.assertEqual((element["last_update"], element["age_s"]), (int(EPOCH), 100))
        self.rig.fleet.hear(SATURN)
        self.assertEqual(self.element()["last_update"], int(EPOCH + 100.5))

    def test_offline_stays(self) -> None:
        """A printer that was switched off stays in the list with its last values, and says that it is offline."""
        for _ in range(60):
            self.rig.clock.advance(1)
            self.rig.links.sweep()
        session = next(iter(self.rig.links))
        self.rig.links.closed(session, "power cut")
        self.rig.links.sweep()
        element = self.element()
        self.assertEqual(
            (element["state"], element["online"], element["attributes"]["SDCPStatus"]), ("OFFLINE", False, 0)
        )
        self.assertEqual(element["status"]["PrintInfo"]["CurrentLayer"], 45)
        self.assertEqual((element["last_update"], element["eta_s"]), (int(EPOCH), None))

    def test_idle_total(self) -> None:
        """An idle printer keeps 0 of 0 layers: scripts decide by it between progress and "Ready"."""
        self.rig.publish(Status((0,), 1))
        status = self.element()["status"]
        self.assertEqual((status["PrintInfo"]["CurrentLayer"], status["PrintInfo"]["TotalLayer"]), (0, 0))
        self.assertEqual(status["PreviousStatus"], 1)

    def test_transfer(self) -> None:
        """While a file is sent, the offsets and the size are there, and the state says so."""
        self.rig.publish(Status((2,), 0, transfer=TransferInfo(0, 430, 7, 1000, "next.goo")))
        element = self.element()
        self.assertEqual((element["state"], element["status"]["CurrentStatus"]), ("TRANSFER", 2))
        self.assertEqual(
            element["status"]["FileTransferInfo"],
            {"Status": 0, "DownloadOffset": 430, "CheckOffset": 7, "FileTotalSize": 1000, "Filename": "next.goo"},
        )

    def test_hold_reason(self) -> None:
        """A job that waits says why; one that has ended does not."""
        self.rig.publish(WAITING)
        self.rig.put()
        self.assertEqual(
            self.rig.post(f"/v1/printers/{SATURN}/print", {"file": "plate.goo", "plate_clear": True}).status, 202
        )
        self.assertIsNone(self.element()["hold_reason"])
        self.rig.clock.advance(20)
        self.rig.jobs.sweep()
        self.assertEqual(self.element()["hold_reason"], "file_never_requested")
        self.rig.ask("POST", f"/v1/printers/{SATURN}/stop")
        self.assertIsNone(self.element()["hold_reason"])


class EnumTests(StatusCase):
    """Numbers are the documented ones, names on request."""

    V1: ClassVar = {
        0: (0, "None"),
        1: (1, "InitialLower"),
        2: (2, "Lowering"),
        3: (3, "Exposure"),
        4: (4, "Retracting"),
        5: (5, "Pausing"),
        6: (4, "Retracting"),
        7: (6, "Paused"),
        8: (6, "Paused"),
        9: (7, "Stopping"),
        10: (7, "Stopping"),
        12: (12, "FinalRetract"),
        13: (13, "Canceled"),
        14: (13, "Canceled"),
        16: (16, "Complete"),
        11: (11, "11"),
        99: (99, "99"),
    }
    V3: ClassVar = {
        6: (6, "Paused"),
        7: (7, "Stopping"),
        8: (13, "Canceled"),
        9: (16, "Complete"),
        10: (10, "CheckingFile"),
    }

    def check(self, rig: Rig, table: dict[int, tuple[int, str]]) -> None:
        for raw, (number, name) in table.items():
            rig.publish(printing(5, number=raw))
            info = rig.get("/status").json[0]["status"]["PrintInfo"]
            named = rig.get("/status?enums=name").json[0]["status"]["PrintInfo"]
            self.assertEqual((info["Status"], named["Status"], info["RawStatus"]), (number, name, raw))

    def test_v1_numbers(self) -> None:
        """Whatever number a V1 board sends, clients see the documented one, and the board's own beside it."""
        rig = self.make()
        rig.announce()
        rig.connect()
        self.check(rig, self.V1)

    def test_v3_numbers(self) -> None:
        """A V3 board's other meaning of the same numbers is translated into the documented ones."""
        rig = self.make()
        rig.announce(generation=Generation.V3)
        rig.connect()
        self.check(rig, self.V3)

    def test_paused_agrees(self) -> None:
        """The number says paused exactly when the state does."""
        for raw in self.V1:
            self.rig.publish(printing(5, number=raw))
            element = self.element()
            self.assertEqual(element["status"]["PrintInfo"]["Status"] == 6, element["state"] == "PAUSED", raw)

    def test_checking(self) -> None:
        """Right after a start the board's 10 is the check of the file, not a stop."""
        self.rig.put()
        file = self.rig.store.get("plate.goo")
        done = TransferInfo(2, file.size, file.size, file.size, wire_name(file))
        self.rig.publish(Status((0,), transfer=done))
        self.rig.post(f"/v1/printers/{SATURN}/print", {"file": "plate.goo", "plate_clear": True})
        self.link.answer()
        self.rig.publish(Status((1,), 0, PrintInfo(10, filename=wire_name(file)), done))
        self.assertEqual(self.element()["state"], "CHECKING")
        self.assertEqual(self.element()["status"]["PrintInfo"]["Status"], 10)

    def test_current_status(self) -> None:
        """CurrentStatus is one number of three, also where the board sends an array or knows more."""
        for current, number, name in (
            ((0,), 0, "Ready"),
            ((1,), 1, "Busy"),
            ((2,), 2, "TransferringFile"),
            ((1, 2), 2, "TransferringFile"),
            ((4,), 1, "Busy"),
        ):
            self.rig.publish(Status(current))
            self.assertEqual(self.element()["status"]["CurrentStatus"], number)
            self.assertEqual(self.element("?enums=name")["status"]["CurrentStatus"], name)

    def test_transfer_names(self) -> None:
        """The transfer's outcome has the documented names."""
        for number, name in ((0, "None"), (2, "Done"), (3, "Error"), (1, "1")):
            self.rig.publish(Status((0,), transfer=TransferInfo(number, 5, 0, 9, "a.goo")))
            self.assertEqual(self.element()["status"]["FileTransferInfo"]["Status"], number)
            self.assertEqual(self.element("?enums=name")["status"]["FileTransferInfo"]["Status"], name)

    def test_other_enums(self) -> None:
        """Only ``name`` asks for names; numbers are what every other wish gets."""
        self.assertEqual(self.element("?enums=number")["status"]["CurrentStatus"], 1)


class FilterTests(StatusCase):
    """Which printers are listed, and in which order."""

    def test_printer(self) -> None:
        """Printers can be chosen by slug or MainboardID in any case, several with commas."""
        self.assertEqual(self.listed("?printer=mars-4"), ["Mars 4"])
        self.assertEqual(self.listed(f"?printer={SATURN.lower()}"), ["Saturn 3 Ultra"])
        self.assertEqual(self.listed(f"?printer={SATURN},mars-4"), ["Mars 4", "Saturn 3 Ultra"])
        self.assert_refused(self.rig.get("/status?printer=moon"), 404, "unknown_printer")

    def test_state_words(self) -> None:
        """Each documented word finds the printers that are in that state."""
        states = {
            "printing": [printing(5), printing(5, number=1), printing(5, number=5), printing(5, number=9)],
            "paused": [printing(5, number=7), printing(5, number=8)],
            "idle": [WAITING, printing(100, number=16, current=0)],
            "transfer": [transferring(5)],
        }
        for word, statuses in states.items():
            for status in statuses:
                self.rig.publish(status)
                found = {w for w in (*states, "offline", "error") if "Saturn 3 Ultra" in self.listed(f"?status={w}")}
                self.assertEqual(found, {word})
        self.assertEqual(self.listed("?status=offline"), ["Mars 4"])
        self.assertEqual(self.listed("?status=offline,%20transfer"), ["Mars 4", "Saturn 3 Ultra"])

    def test_error_word(self) -> None:
        """A printer that reports an error number is found by the word error."""
        self.assertEqual(self.listed("?status=error"), [])
        self.rig.publish(printing(5, current=0, number=0, error_number=3))
        self.assertEqual(self.listed("?status=error"), ["Saturn 3 Ultra"])

    def test_state_numbers(self) -> None:
        """A number filters by CurrentStatus."""
        self.assertEqual(self.listed("?status=1"), ["Saturn 3 Ultra"])
        self.assertEqual(self.listed("?status=0"), ["Mars 4"])
        self.assertEqual(self.listed("?status=0,1"), ["Mars 4", "Saturn 3 Ultra"])
        self.assertEqual(self.listed(f"?status={'9' * 5000}"), [])

    def test_unknown_word(self) -> None:
        """A word nobody knows is refused with those that are, whether there are printers or not."""
        for rig in (self.rig, self.make()):
            for word in ("melting", "%C2%B2", "-1"):
                error = self.assert_refused(rig.get(f"/status?status={word}"), 400, "bad_parameter")
                self.assertIn("error, idle, offline, paused, printing, transfer", error["message"])

    def test_connected(self) -> None:
        """Only connected printers on request."""
        self.assertEqual(self.listed("?connected=1"), ["Saturn 3 Ultra"])
        self.assertEqual(self.listed("?connected=0"), ["Mars 4", "Saturn 3 Ultra"])

    def test_order(self) -> None:
        """The order is that of the configuration, then of the names, and does not follow the state."""
        beforehand = [Beforehand("z", "ZZ", "Zeta"), Beforehand("m", MARS, None)]
        rig = self.make(beforehand=beforehand)
        rig.announce(SATURN)
        rig.announce(MARS, "Mars 4")
        rig.announce("CC", "atom")
        names = [e["attributes"]["Name"] for e in rig.get("/status").json]
        self.assertEqual(names, ["Zeta", "Mars 4", "atom", "Saturn 3 Ultra"])
        rig.connect(SATURN)
        rig.publish(printing(5))
        self.assertEqual([e["attributes"]["Name"] for e in rig.get("/status").json], names)
        active = [e["attributes"]["Name"] for e in rig.get("/status?sort=active").json]
        self.assertEqual(active, ["Saturn 3 Ultra", "Zeta", "Mars 4", "atom"])

    def test_one_printer(self) -> None:
        """A printer's own path gives the same array with only that printer, by slug or MainboardID."""
        for name, expected in (("mars-4", MARS), ("saturn-3-ultra", SATURN), (SATURN.lower(), SATURN)):
            (element,) = self.rig.get(f"/printers/{name}/status").json
            self.assertEqual(element["machine_id"], expected)
        self.assert_refused(self.rig.get("/printers/moon/status"), 404, "unknown_printer")

    def test_filters_do_not_mix(self) -> None:
        """Different questions of the same moment get their own answers."""
        bodies = {
            self.rig.get(f"/status{query}").body
            for query in ("", "?enums=name", "?status=1", "?connected=1&enums=name")
        }
        self.assertEqual(len(bodies), 4)
