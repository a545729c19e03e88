from __future__ import annotations

import json
from typing import Any

from sdcpd.codec.status import PrintInfo, Status
from sdcpd.fleet import Reachability
from tests.web.moonraker.rig import MoonrakerCase
from tests.web.rig import MARS, SATURN, P, printing, transferring


class StateTests(MoonrakerCase):
    """What dashboards poll."""

    def query(self, names: str = "print_stats&display_status&webhooks") -> Any:
        return self.get(f"printer/objects/query?{names}")["status"]

    def test_printing(self) -> None:
        """The exact document of a printing printer, as the real server would send it."""
        self.rig.publish(printing(45, 200))
        self.assertEqual(
            self.query(),
            {
                "print_stats": {
                    "filename": "plate.goo",
                    "total_duration": 45.0,
                    "print_duration": 45.0,
                    "filament_used": 0.0,
                    "state": "printing",
                    "message": "",
                    "info": {"total_layer": 200, "current_layer": 45},
                },
                "display_status": {"progress": 0.225, "message": None},
                "webhooks": {"state": "ready", "state_message": "Printer is ready"},
            },
        )

    def test_states(self) -> None:
        """Each phase has the word that clients compare."""
        for status, state, paused in (
            (Status((0,)), "standby", False),
            (printing(5), "printing", False),
            (printing(5, number=8), "paused", True),
            (printing(5, number=9), "printing", False),
            (Status((0,), 0, PrintInfo(13, 5, 100)), "cancelled", False),
            (Status((0,), 0, PrintInfo(16, 100, 100)), "complete", False),
            (Status((0,), 0, PrintInfo(0, 0, 0, 0, 0, 4)), "error", False),
            (transferring(430), "standby", False),
        ):
            self.rig.publish(status)
            told = self.query("print_stats&pause_resume&display_status")
            self.assertEqual((told["print_stats"]["state"], told["pause_resume"]["is_paused"]), (state, paused))
        self.assertEqual(told["display_status"]["message"], "Sending file 43 %")

    def test_unknown_objects(self) -> None:
        """What a resin printer does not have is left out and never invented; an empty question has an empty answer."""
        self.assertEqual(self.query("toolhead&extruder=target&heater_bed&fan"), {})
        self.assertEqual(self.query("print_stats=state,nonsense"), {"print_stats": {"state": "standby"}})
        self.assertEqual(self.query(""), {})

    def test_ways_to_ask(self) -> None:
        """Arguments come in the query, a JSON body or a form body alike; null and an empty list both mean all."""
        whole = self.query("print_stats")
        nothing: list[str] = []
        for wanted in (None, nothing):
            body = json.dumps({"objects": {"print_stats": wanted}}).encode()
            reply = self.post("printer/objects/query", body, {"Content-Type": "application/json"})
            self.assertEqual(self.result(reply)["status"], whole)
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        self.assertEqual(self.result(self.post("printer/objects/query", b"print_stats=", form))["status"], whole)
        reply = self.post("printer/objects/query", b'objects={"print_stats":["state"]}', form)
        self.assertEqual(self.result(reply)["status"], {"print_stats": {"state": "standby"}})
        for body, kind in ((b"{", "application/json"), (b"[1]", "application/json"), (b'{"objects": 7}', "")):
            headers = {"Content-Type": kind} if kind else {}
            self.refuses(self.post("printer/objects/query", body, headers), 400)
        self.refuses(self.post("printer/objects/query", b"x", {"Content-Type": "text/xml"}), 415)

    def test_objects(self) -> None:
        """The list names exactly what can be queried, sensors only of a board that has them."""
        names = self.get("printer/objects/list")["objects"]
        self.assertEqual(list(self.query("&".join(names))), names)
        self.assertEqual(self.get("server/temperature_store"), {})
        self.rig.publish(Status((0,), extra={"TempOfUVLED": 41.03}))
        uv = "temperature_sensor uv_led"
        self.assertIn(uv, self.get("printer/objects/list")["objects"])
        self.assertEqual(self.query(uv.replace(" ", "%20")), {uv: {"temperature": 41.03}})
        self.rig.clock.advance(3)
        self.assertEqual(self.get("server/temperature_store"), {uv: {"temperatures": [41.03] * 4}})

    def test_subscribe(self) -> None:
        """A subscription by HTTP is answered with the present, and with the place from which to poll."""
        reply = self.post("printer/objects/subscribe?print_stats=state")
        self.assertEqual(self.result(reply)["status"], {"print_stats": {"state": "standby"}})
        cursor = reply.headers["x-sdcpd-cursor"]
        self.assertIn(f"/printers/saturn-3-ultra/v1/updates?since={cursor}", reply.headers["link"])
        self.assertTrue(self.rig.get(f"{P}/v1/updates?since={cursor}&timeout=0").json["timed_out"])

    def test_off(self) -> None:
        """While the printer is off the server still answers, and what needs the printer is refused with 503."""
        self.rig.fleet.change(SATURN, reachability=Reachability.OFFLINE)
        info = self.get("server/info")
        self.assertEqual((info["klippy_connected"], info["klippy_state"]), (False, "disconnected"))
        for path in ("printer/info", "printer/objects/query?print_stats", "printer/objects/list"):
            self.refused(self.rig.get(f"{P}/{path}"), 503, "Klippy Host not connected")

    def test_start_up(self) -> None:
        """The old document's recipe works by polling: 503, then startup, then ready."""
        self.rig.announce(MARS, "Mars")
        path = "/printers/mars/printer/info"
        self.refused(self.rig.get(path), 503, "Klippy Host not connected")
        self.rig.fleet.change(MARS, reachability=Reachability.STALE)
        self.assertEqual(self.rig.get(path).json["result"]["state"], "startup")
        self.rig.connect(MARS)
        self.rig.publish(Status((0,)), MARS)
        info = self.rig.get(path).json["result"]
        self.assertEqual((info["state"], info["software_version"]), ("ready", "V1.4.2"))
        self.assertEqual([info[k] for k in ("klipper_path", "python_path", "log_file", "config_file")], [""] * 4)


class PrintTests(MoonrakerCase):
    """What starts, stops and pauses."""

    def test_start(self) -> None:
        """A start is answered when the job is accepted, and the printer is sent the file."""
        self.upload()
        self.clear()
        self.assertEqual(self.result(self.post("printer/print/start?filename=plate.goo")), "ok")
        self.assertEqual([job.file for job in self.rig.jobs.all()], ["plate.goo"])
        self.assertEqual(self.link.sent[-1]["Cmd"], 256)

    def test_start_refused(self) -> None:
        """What stands against a start is told in the real server's words, and nothing is sent."""
        self.refused(self.post("printer/print/start"), 400, "No data for argument: filename")
        self.refused(self.post("printer/print/start?filename=x.goo"), 400, "unable to open file")
        self.upload()
        self.rig.publish(printing(5))
        self.refused(self.post("printer/print/start?filename=plate.goo"), 400, "SD busy")
        self.assertEqual(self.rig.jobs.all(), [])

    def test_plate(self) -> None:
        """After a print, no path starts another until somebody has said that the plate is clear."""
        self.upload()
        self.rig.publish(printing(50))
        self.complete()
        sent = len(self.link.sent)
        for reply in (
            self.post("printer/print/start?filename=plate.goo"),
            self.post("printer/gcode/script?script=SDCARD_PRINT_FILE%20FILENAME=plate.goo"),
        ):
            self.assertIn("plate", self.refuses(reply, 400))
        told = self.rpc("printer.print.start", {"filename": "plate.goo"})["error"]
        self.assertEqual(told["code"], 400)
        self.assertEqual((len(self.link.sent), self.rig.jobs.all()), (sent, []))

    def test_upload_and_print(self) -> None:
        """An upload that cannot be printed now waits for its plate, and says so; without the scope it only stays."""
        self.rig.publish(printing(50))
        self.complete()
        reply = self.upload(print="true").json
        self.assertEqual((reply["print_started"], reply["print_queued"]), (False, True))
        self.assertIn("plate", reply["message"])
        waiting = self.get("server/job_queue/status")["queued_jobs"]
        self.assertEqual([job["filename"] for job in waiting], ["plate.goo"])
        self.assertEqual(self.get("server/job_queue/status")["queue_state"], "loading")
        self.assertNotIn(128, [request["Cmd"] for request in self.link.sent])

    def test_commands(self) -> None:
        """Pause, resume and cancel are answered when the board has acknowledged them."""
        for path, number, command in (("pause", 3, 129), ("resume", 8, 131), ("cancel", 3, 130)):
            self.rig.publish(printing(5, number=number))
            pending = self.rig.begin("POST", f"{P}/printer/print/{path}")
            self.assertFalse(pending.answered)
            self.assertEqual(self.link.sent[-1]["Cmd"], command)
            self.link.answer()
            self.assertEqual(self.result(pending.reply), "ok")
            self.rig.publish(Status((0,)))

    def test_wrong_state(self) -> None:
        """What cannot be done now is refused in the words that clients show."""
        for path, message in (("pause", "not printing"), ("resume", "not paused"), ("cancel", "not printing")):
            self.refused(self.post(f"printer/print/{path}"), 400, message)

    def test_too_late(self) -> None:
        """A cancel that waited for a pause is refused in the same words when the print has ended meanwhile."""
        self.rig.publish(printing(5))
        pause, cancel = (self.rig.begin("POST", f"{P}/printer/print/{path}") for path in ("pause", "cancel"))
        self.rig.publish(Status((0,)))
        self.link.answer_first()
        self.assertEqual(self.result(pause.reply), "ok")
        self.refused(cancel.reply, 400, "not printing")

    def test_silent_board(self) -> None:
        """A board that does not answer is told as such, never as a success."""
        self.rig.publish(printing(5))
        pending = self.rig.begin("POST", f"{P}/printer/print/pause")
        self.rig.clock.pump([1] * 20)
        self.refused(pending.reply, 504, "printer did not acknowledge")

    def test_emergency_stop(self) -> None:
        """An emergency stop stops a print, and is ok where there is nothing to stop."""
        self.assertEqual(self.result(self.post("printer/emergency_stop")), "ok")
        self.rig.publish(printing(5))
        pending = self.rig.begin("POST", f"{P}/printer/emergency_stop")
        self.assertEqual(self.link.sent[-1]["Cmd"], 130)
        self.link.answer()
        self.assertEqual(self.result(pending.reply), "ok")
        self.rig.publish(printing(5, number=0))
        self.refuses(self.post("printer/emergency_stop"), 400)

    def test_restart(self) -> None:
        """A restart lets go of the connection, also while it prints, but not while a file is on its way."""
        self.rig.publish(transferring(5))
        self.refused(self.post("printer/restart"), 400, "file transfer in progress")
        self.rig.publish(printing(5))
        self.assertEqual(self.result(self.post("printer/firmware_restart")), "ok")
        self.assertEqual(self.link.ended, "somebody asked for a new connection")

    def test_scripts(self) -> None:
        """The few commands that mean something do what they say; everything else is refused as a whole."""
        self.rig.publish(printing(5))
        pending = self.rig.begin("POST", f"{P}/printer/gcode/script?script=PAUSE")
        self.link.answer()
        self.assertEqual(self.result(pending.reply), "ok")
        sent = len(self.link.sent)
        for script in ("G28", "PAUSE%0AG28", "", "SDCARD_PRINT_FILE", "RESPOND"):
            reply = self.post(f"printer/gcode/script?script={script}")
            self.refused(reply, 400, "G-code is not supported: resin printer on SDCP")
        self.assertEqual(len(self.link.sent), sent)
        self.assertEqual(self.result(self.post("printer/gcode/script?script=M117%20Hello%20you")), "ok")
        store = self.get("server/gcode_store?count=1")["gcode_store"]
        self.assertEqual([(line["message"], line["type"]) for line in store], [("Hello you", "response")])
        self.assertIn("PAUSE", self.get("printer/gcode/help"))


class WhichTests(MoonrakerCase):
    """Which printer is meant."""

    def test_two_printers(self) -> None:
        """Two printers answer differently, and any letter case of slug or MainboardID will do."""
        self.rig.announce(MARS, "Mars")
        self.rig.connect(MARS)
        self.rig.publish(Status((0,)), MARS)
        self.rig.publish(printing(5))
        states = {}
        for name in (SATURN.lower(), "SATURN-3-ULTRA", MARS.upper(), "mars"):
            told = self.rig.get(f"/printers/{name}/printer/objects/query?print_stats=state").json["result"]["status"]
            states[name] = told["print_stats"]["state"]
        self.assertEqual(list(states.values()), ["printing", "printing", "standby", "standby"])

    def test_root(self) -> None:
        """At the root the only printer is meant; with several a readable list, unless one is the default."""
        self.assertEqual(self.rig.get("/server/info").status, 200)
        self.rig.announce(MARS, "Mars")
        message = self.refuses(self.rig.get("/server/info", host="hub.local:8080"), 404)
        self.assertEqual(
            message,
            "Several printers are served here. Use http://hub.local:8080/printers/<id>. Known: mars, saturn-3-ultra.",
        )
        self.rig.web._mount.default = "MARS"
        self.assertEqual(self.rig.get("/server/info").json["result"]["klippy_state"], "disconnected")
        self.rig.web._mount.default = "moon"
        self.assertIn("'moon' was not seen yet", self.refuses(self.rig.get("/server/info"), 404))

    def test_no_printer(self) -> None:
        """Without any printer, the root and every name are refused in a sentence."""
        rig = self.make()
        self.assertEqual(rig.get("/server/info").status, 404)
        self.assertIn("No printer", rig.get("/server/info").json["error"]["message"])
        self.assertIn("No printer", rig.get("/printers/x/server/info").json["error"]["message"])

    def test_configured(self) -> None:
        """The default printer comes from the configuration."""
        rig = self.make('[sdcpd]\ndefault_printer = "mars"')
        rig.announce(SATURN)
        rig.announce(MARS, "Mars")
        self.assertEqual(rig.get("/server/info").status, 200)
