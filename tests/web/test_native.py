from __future__ import annotations

import json
from typing import Any

from sdcpd.codec.sdcp import Command
from sdcpd.codec.status import Generation, PrintInfo, Status, TransferInfo
from sdcpd.files import wire_name
from sdcpd.links import COMMAND_TIMEOUT
from tests.web.rig import MARS, SATURN, Pending, WebCase, printing, transferring

BASE = f"/v1/printers/{SATURN}"


class NativeCase(WebCase):
    """A connected, idle Saturn, a Mars that was only seen, and one stored file."""

    def setUp(self) -> None:
        super().setUp()
        self.rig.announce(SATURN)
        self.link = self.rig.connect(SATURN)
        self.rig.announce(MARS, "Mars 4", "192.168.1.101")
        self.rig.publish(Status((0,)))
        self.rig.put()

    @property
    def commands(self) -> list[Command]:
        return [Command(request["Cmd"]) for request in self.link.sent]

    def print(self, document: Any = None, name: str = SATURN) -> Any:
        return self.rig.post(f"/v1/printers/{name}/print", document or {"file": "plate.goo"})


class PrinterTests(NativeCase):
    """Looking printers up."""

    def test_list(self) -> None:
        """All printers are listed in a stable order."""
        self.assertEqual([p["id"] for p in self.rig.get("/v1/printers").json], ["mars-4", "saturn-3-ultra"])
        self.rig.publish(printing(1))
        self.assertEqual([p["id"] for p in self.rig.get("/v1/printers").json], ["mars-4", "saturn-3-ultra"])

    def test_nobody(self) -> None:
        """Without printers the list is empty."""
        self.assertEqual(self.make().get("/v1/printers").body, b"[]")

    def test_by_any_name(self) -> None:
        """A printer is found by its slug or its MainboardID, in any letter case."""
        for name in ("saturn-3-ultra", "Saturn-3-Ultra", SATURN, SATURN.lower(), MARS.upper(), MARS):
            document = self.rig.get(f"/v1/printers/{name}").json
            self.assertEqual(document["mainboard_id"].lower() == name.lower(), "-" not in name)

    def test_unknown(self) -> None:
        """An unknown printer is refused with the names of those that are known."""
        for method, tail in (
            ("GET", ""),
            ("POST", "/print"),
            ("POST", "/pause"),
            ("POST", "/resume"),
            ("POST", "/stop"),
        ):
            reply = self.rig.ask(method, f"/v1/printers/moon{tail}", b'{"file":"plate.goo"}' if tail else b"")
            error = self.assert_refused(reply, 404, "unknown_printer")
            self.assertIn("mars-4, saturn-3-ultra", error["hint"])


class PrintTests(NativeCase):
    """``POST .../print``."""

    def test_accepted(self) -> None:
        """A print is accepted at once, with its job and where to follow it, and the printer is told to fetch."""
        reply = self.print()
        self.assertEqual((reply.status, reply.reason), (202, "ACCEPTED"))
        job = reply.json["job"]
        self.assertEqual((job["file"], job["printer"], job["state"]), ("plate.goo", "saturn-3-ultra", "delivering"))
        self.assertEqual(reply.headers["location"], f"/v1/jobs/{job['id']}")
        self.assertEqual(self.rig.get(reply.headers["location"]).json, job)
        self.assertEqual(self.commands, [Command.FETCH])

    def test_whole_way(self) -> None:
        """From the wish to the end, the job says where it stands, and is not finished before the printer says so."""
        location = self.print().headers["location"]
        file = self.rig.store.get("plate.goo")
        name, size = wire_name(file), file.size
        done = TransferInfo(2, size, size, size, name)

        def state() -> str:
            return str(self.rig.get(location).json["state"])

        self.link.answer()
        self.rig.publish(transferring(15, size, name))
        self.assertEqual((state(), self.rig.get(location).json["sent"]), ("delivering", 15))
        self.rig.publish(Status((0,), 2, transfer=done))
        self.assertEqual((state(), self.commands), ("starting", [Command.START]))
        self.link.answer()
        for number, expected in (
            (1, "printing"),
            (3, "printing"),
            (7, "paused"),
            (3, "printing"),
            (12, "printing"),
            (16, "finished"),
        ):
            self.rig.publish(Status((1,), 0, PrintInfo(number, 5, 9, 5000, 9000, 0, name), done))
            self.assertEqual(state(), expected)
        self.assertIsNotNone(self.rig.get(location).json["ended"])
        types = [e["type"] for e in self.rig.get("/v1/updates?events=recent").json["events"]]
        self.assertEqual(
            types,
            [
                "online",
                "file_added",
                "transfer_started",
                "transfer_done",
                "print_started",
                "print_paused",
                "print_resumed",
                "print_finished",
                "needs_plate",
            ],
        )

    def test_by_md5(self) -> None:
        """A file can be named by its MD5, and the plate can be said to be clear."""
        md5 = self.rig.get("/v1/files").json[0]["md5"]
        self.assertEqual(self.print({"file": md5, "plate_clear": True}).status, 202)

    def test_bad_json(self) -> None:
        """A body that is no JSON is refused as such."""
        for body in (b"{", b"\xff", b"file=plate.goo", b'{"file": "a" "b"}', b'{"file": "a\xff"}'):
            self.assert_refused(self.rig.ask("POST", f"{BASE}/print", body), 400, "bad_json")

    def test_bad_body(self) -> None:
        """A body that does not fit is refused with the place: unknown, missing or of another type."""
        for document, word in (
            ({"file": "plate.goo", "colour": "red"}, "colour"),
            ({}, "file"),
            ({"file": 7}, "$.file"),
            ({"file": "plate.goo", "plate_clear": "yes"}, "$.plate_clear"),
            ([], "object"),
            (None, "object"),
        ):
            body = json.dumps(document).encode()
            error = self.assert_refused(self.rig.ask("POST", f"{BASE}/print", body), 422, "bad_body")
            self.assertIn(word, error["message"])
        self.assert_refused(self.rig.ask("POST", f"{BASE}/print"), 422, "bad_body")
        self.assertEqual(self.commands, [])

    def test_unknown_file(self) -> None:
        """A file that is not stored is refused before the printer hears of it."""
        self.assert_refused(self.print({"file": "nothing.goo"}), 404, "file_missing")
        self.assertEqual(self.commands, [])

    def test_offline(self) -> None:
        """A printer without a connection cannot print, and the refusal says what to do."""
        error = self.assert_refused(self.print(name="mars-4"), 503, "printer_offline")
        self.assertIn("Switch it on", error["hint"])

    def test_busy(self) -> None:
        """A printer that does something else cannot print now."""
        for status in (printing(5), transferring(5), printing(100, number=16), printing(5, number=7), Status((4,))):
            self.rig.publish(status)
            self.assert_refused(self.print(), 409, "not_now")
        self.assertEqual(self.commands, [])

    def test_one_job_at_a_time(self) -> None:
        """A second wish is refused while a job is under way, and names it."""
        self.assertEqual(self.print().status, 202)
        error = self.assert_refused(self.print(), 409, "not_now")
        self.assertIn("plate.goo", error["message"])

    def test_v3(self) -> None:
        """A V3 printer is listed and cannot be worked with yet, and says so."""
        self.rig.announce("V3V3", "Mars 5 Ultra", generation=Generation.V3)
        self.assert_refused(self.print(name="V3V3"), 409, "not_now")


class PlateTests(NativeCase):
    """``POST .../plate`` and the gate."""

    config = '[access]\ntrusted = {"192.168.1.0/24" = ["view", "control"]}\n'

    def plate(self, document: Any, **more: Any) -> Any:
        return self.rig.post(f"{BASE}/plate", document, **more)

    def occupied(self) -> Any:
        """A print at the touchscreen has ended; the plate's document."""
        self.rig.publish(printing(100, number=16, current=0))
        return self.rig.get(BASE).json["plate"]

    def test_gate(self) -> None:
        """Without a word of somebody nothing is printed on; the refusal brings the plate and what to do."""
        plate = self.occupied()
        self.assertEqual((plate["state"], plate["revision"], plate["reason"]), ("occupied", 1, "print_found"))
        error = self.assert_refused(self.print(), 409, "plate_not_clear")
        self.assertEqual(error["plate"], plate)
        self.assertIn('"revision": 1', error["hint"])
        self.assertEqual(self.commands, [])
        reply = self.plate({"clear": True, "revision": 1})
        self.assertEqual(reply.status, 200)
        self.assertEqual(reply.json["plate"], self.rig.get(BASE).json["plate"])
        self.assertEqual(
            {**reply.json["plate"], "at": None},
            {"state": "clear", "revision": 2, "by": "key:admin", "at": None, "job": None, "reason": None},
        )
        self.assertEqual(self.print().status, 202)

    def test_stale(self) -> None:
        """A word for an older revision is refused, with the plate as it is now."""
        self.occupied()
        for revision in (0, 2):
            error = self.assert_refused(self.plate({"clear": True, "revision": revision}), 409, "plate_changed")
            self.assertEqual(error["plate"]["revision"], 1)

    def test_no_revision(self) -> None:
        """A confirmation without the revision that was looked at is none."""
        error = self.assert_refused(self.plate({"clear": True}), 422, "bad_body")
        self.assertIn("it is 0 now", error["hint"])

    def test_printing(self) -> None:
        """The plate of a printer that prints cannot be said to be clear."""
        self.rig.publish(printing(5))
        self.assert_refused(self.plate({"clear": True, "revision": 1}), 409, "not_now")

    def test_occupied_by_word(self) -> None:
        """Who sees something on the plate can say so, and then nothing is started."""
        self.assertEqual(self.plate({"clear": False}).json["plate"]["reason"], "reported")
        self.assert_refused(self.print(), 409, "plate_not_clear")

    def test_scope(self) -> None:
        """Who may print may not for that reason speak for the plate."""
        self.occupied()
        away = "192.168.1.7"
        self.assert_refused(self.plate({"clear": True, "revision": 1}, address=away), 403, "forbidden")
        wish = {"file": "plate.goo", "plate_clear": True}
        error = self.assert_refused(self.rig.post(f"{BASE}/print", wish, address=away), 403, "forbidden")
        self.assertIn("'plate'", error["message"])
        self.assert_refused(self.rig.post(f"{BASE}/print", {"file": "plate.goo"}, address=away), 409, "plate_not_clear")
        self.assertEqual(self.commands, [])

    def test_event(self) -> None:
        """That a plate waits for somebody, and that it is clear, are events."""
        self.occupied()
        self.plate({"clear": True, "revision": 1})
        events = self.rig.get("/v1/updates?events=recent").json["events"]
        found = [(event["type"], event["data"]["revision"]) for event in events if "plate" in event["type"]]
        self.assertEqual(found, [("needs_plate", 1), ("plate_clear", 2)])


class CommandTests(NativeCase):
    """Pause, resume and stop."""

    def ask(self, verb: str, headers: Any = None) -> Pending:
        return self.rig.begin("POST", f"{BASE}/{verb}", b"", headers)

    def test_acknowledged(self) -> None:
        """Each command is answered when the printer has acknowledged it, and not before."""
        for verb, number, command in (
            ("pause", 3, Command.PAUSE),
            ("resume", 7, Command.RESUME),
            ("stop", 3, Command.STOP),
            ("stop", 7, Command.STOP),
        ):
            self.rig.publish(printing(5, number=number))
            pending = self.ask(verb)
            self.assertFalse(pending.answered)
            self.assertEqual(self.commands, [command])
            self.link.answer()
            self.assertEqual((pending.reply.status, pending.reply.json), (200, {"ack": 0}))

    def test_refused(self) -> None:
        """A printer's refusal is a conflict, with the number that it sent."""
        self.rig.publish(printing(5))
        pending = self.ask("pause")
        self.link.answer(ack=3)
        error = self.assert_refused(pending.reply, 409, "command_refused")
        self.assertEqual(error["ack"], 3)

    def test_silent(self) -> None:
        """A printer that does not answer is a time-out, after which the next command can be sent."""
        self.rig.publish(printing(5))
        pending = self.ask("pause")
        self.rig.clock.advance(COMMAND_TIMEOUT - 0.1)
        self.assertFalse(pending.answered)
        self.rig.clock.advance(0.2)
        self.assert_refused(pending.reply, 504, "command_timeout")
        self.link.sent.clear()
        again = self.ask("pause")
        self.link.answer()
        self.assertEqual(again.reply.status, 200)

    def test_connection_lost(self) -> None:
        """When the connection breaks in the middle, nobody knows what the printer did: a gateway's failure."""
        self.rig.publish(printing(5))
        pending = self.ask("stop")
        self.rig.links.closed(self.link.session, "power cut")
        self.assert_refused(pending.reply, 504, "link_lost")

    def test_in_flight(self) -> None:
        """A second command before the first is answered is refused and not sent."""
        self.rig.publish(printing(5))
        first = self.ask("pause")
        self.assert_refused(self.ask("pause").reply, 409, "command_in_flight")
        self.assertEqual(self.commands, [Command.PAUSE])
        self.link.answer()
        self.assertEqual(first.reply.status, 200)

    def test_stop_waits(self) -> None:
        """A stop is not refused because the printer still owes an answer: it is sent right after it."""
        self.rig.publish(printing(5))
        first, second = self.ask("pause"), self.ask("stop")
        self.assertEqual(self.commands, [Command.PAUSE])
        self.link.answer_first()
        self.assertEqual((first.reply.status, self.commands), (200, [Command.STOP]))
        self.link.answer()
        self.assertEqual((second.reply.status, second.reply.json), (200, {"ack": 0}))

    def test_stop_after_silence(self) -> None:
        """A stop is sent when the time of a command that the printer never answers is over."""
        self.rig.publish(printing(5))
        first, second = self.ask("pause"), self.ask("stop")
        self.rig.clock.advance(COMMAND_TIMEOUT)
        self.assert_refused(first.reply, 504, "command_timeout")
        self.assertEqual(self.commands, [Command.PAUSE, Command.STOP])
        self.link.answer()
        self.assertEqual(second.reply.status, 200)

    def test_stop_twice(self) -> None:
        """Of two stops that wait the printer hears one; the other is told why."""
        self.rig.publish(printing(5))
        self.ask("pause")
        first, second = self.ask("stop"), self.ask("stop")
        self.link.answer_first()
        self.assertEqual(self.commands, [Command.STOP])
        self.assert_refused(second.reply, 409, "command_in_flight")
        self.link.answer()
        self.assertEqual(first.reply.status, 200)

    def test_stop_too_late(self) -> None:
        """A stop that waited is judged anew: of a print that has ended meanwhile the printer hears nothing."""
        self.rig.publish(printing(5))
        self.ask("pause")
        second = self.ask("stop")
        self.rig.publish(Status((0,)))
        self.link.answer_first(1)
        self.assert_refused(second.reply, 409, "not_now")
        self.assertEqual(self.commands, [])

    def test_stop_connection_lost(self) -> None:
        """A stop that waited when the connection broke was never sent, and is told so."""
        self.rig.publish(printing(5))
        first, second = self.ask("pause"), self.ask("stop")
        self.rig.links.closed(self.link.session, "power cut")
        self.assert_refused(first.reply, 504, "link_lost")
        self.assert_refused(second.reply, 503, "printer_offline")
        self.assertEqual(self.commands, [Command.PAUSE])

    def test_stop_client_leaves(self) -> None:
        """Who hangs up while a stop waits has asked for it all the same."""
        self.rig.publish(printing(5))
        self.ask("pause")
        self.ask("stop").leave()
        self.link.answer_first()
        self.assertEqual(self.commands, [Command.STOP])
        self.link.answer()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_not_now(self) -> None:
        """A command that makes no sense now is refused, and the printer does not hear of it."""
        for verb, status in (
            ("pause", Status((0,))),
            ("pause", printing(5, number=7)),
            ("resume", printing(5)),
            ("resume", Status((0,))),
            ("stop", Status((0,))),
            ("stop", printing(100, number=16)),
        ):
            self.rig.publish(status)
            self.assert_refused(self.ask(verb).reply, 409, "not_now")
        self.assertEqual(self.commands, [])

    def test_offline(self) -> None:
        """A printer without a connection cannot be commanded."""
        for verb in ("pause", "resume", "stop"):
            self.assert_refused(self.rig.ask("POST", f"/v1/printers/mars-4/{verb}"), 503, "printer_offline")

    def test_stop_delivery(self) -> None:
        """A delivery is cancelled without a word to the printer, and the job says so."""
        location = self.print().headers["location"]
        self.link.answer()
        reply = self.ask("stop").reply
        self.assertEqual((reply.status, reply.json), (200, {"ack": None}))
        self.assertEqual((self.rig.get(location).json["state"], self.commands), ("stopped", []))

    def test_misleading_mainboard_id(self) -> None:
        """A board that calls itself as another printer is addressed gets no wish of that one, nor that one its own."""
        self.rig.announce("saturn-3-ultra", "Guest", "192.168.1.66")
        guest = self.rig.connect("saturn-3-ultra")
        for mainboard_id in (SATURN, "saturn-3-ultra"):
            self.rig.publish(printing(5), mainboard_id)
        asked = self.rig.begin("POST", "/v1/printers/guest/pause")
        self.assertEqual(([data["Cmd"] for data in guest.sent], self.commands), ([Command.PAUSE], []))
        guest.answer()
        self.assertEqual(asked.reply.status, 200)
        self.ask("pause")
        self.assertEqual((guest.sent, self.commands), ([], [Command.PAUSE]))

    def test_client_leaves(self) -> None:
        """A client that hangs up changes nothing for the printer: until it answers, that command is in flight."""
        self.rig.publish(printing(5))
        self.ask("pause").leave()
        self.assertEqual(self.commands, [Command.PAUSE])
        self.assert_refused(self.ask("pause").reply, 409, "command_in_flight")
        self.link.answer()
        again = self.ask("stop")
        self.link.answer()
        self.assertEqual(again.reply.status, 200)
        self.assertEqual(self.flushLoggedErrors(), [])


class JobTests(NativeCase):
    """``/v1/jobs``."""

    def test_list(self) -> None:
        """Jobs are listed in the order in which they were made, those that have ended, too."""
        self.assertEqual(self.rig.get("/v1/jobs").body, b"[]")
        first = self.print().json["job"]["id"]
        self.rig.ask("POST", f"{BASE}/stop")
        self.link.answer()
        second = self.print().json["job"]["id"]
        jobs = self.rig.get("/v1/jobs").json
        self.assertEqual([(job["id"], job["state"]) for job in jobs], [(first, "stopped"), (second, "delivering")])

    def test_unknown(self) -> None:
        """A job that never was is not found."""
        self.assert_refused(self.rig.get("/v1/jobs/nothing"), 404, "unknown_job")


class PaceTests(NativeCase):
    """``GET .../pace``."""

    def pace(self) -> Any:
        return self.rig.get(f"{BASE}/pace").json

    def test_pace(self) -> None:
        """The layer times of a print are told while it runs and after its end, until the next one begins."""
        self.assertEqual(self.pace(), {"print": None, "points": []})
        self.rig.publish(printing(1))
        for layer in (2, 3, 5):
            self.rig.clock.advance(9.5)
            self.rig.publish(printing(layer))
        first = self.pace()
        self.assertEqual(first["print"], self.rig.get(BASE).json["print"])
        self.assertEqual(first["points"], [[2, 10.0], [3, 10.0], [5, 5.0]])
        self.rig.publish(Status((0,), 1, PrintInfo(16, 100, 100, filename="plate.goo")))
        self.assertEqual(self.pace()["points"][:3], first["points"])
        self.rig.publish(printing(1, filename="other.goo"))
        second = self.pace()
        self.assertNotEqual(second["print"], first["print"])
        self.assertEqual(second["points"], [])
