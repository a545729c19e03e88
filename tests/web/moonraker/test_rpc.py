from __future__ import annotations

import json
from io import BytesIO
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.codec.status import Status
from sdcpd.files import wire_name
from sdcpd.web.answer import Answer
from sdcpd.web.client import Client
from sdcpd.web.moonraker.arguments import Arguments
from sdcpd.web.moonraker.endpoint import Ask, Endpoint, methods_of
from sdcpd.web.moonraker.jsonrpc import MOST_BYTES, SLICE, JsonRpcEndpoint
from tests.fakes import logged
from tests.web.moonraker.rig import MoonrakerCase
from tests.web.rig import SATURN, Turns, goo, printing

STRANGER = "203.0.113.5"


class BatchTests(SynchronousTestCase):
    """What many questions in one request cost others."""

    def setUp(self) -> None:
        self.clock = Turns()
        self.asked: list[int] = []
        self.gives: object = "ok"
        self.rpc = JsonRpcEndpoint([Endpoint("GET", "/x", "view", self.handle)], self.clock)

    def handle(self, ask: Ask) -> object:
        self.clock.rightNow += SLICE * 0.6
        self.asked.append(len(self.asked))
        return self.gives

    def post(self, count: int) -> Deferred[Answer]:
        questions = [{"jsonrpc": "2.0", "method": "x", "id": number} for number in range(count)]
        request = SimpleNamespace(content=BytesIO(json.dumps(questions).encode()))
        call: Any = SimpleNamespace(request=request, header=lambda name: "application/json")
        printer: Any = None
        client = Client("203.0.113.5", False, frozenset({"view"}))
        return self.rpc.post(Ask(printer, client, Arguments({}), call))

    def test_turns(self) -> None:
        """A long batch lets others have their turns, and is answered in its order in the end."""
        answered = self.post(7)
        for turn in range(1, 4):
            self.assertEqual(len(self.asked), 2 * turn)
            self.assertNoResult(answered)
            self.clock.turn()
        replies = json.loads(self.successResultOf(answered).body)
        self.assertEqual([(reply["id"], reply["result"]) for reply in replies], [(n, "ok") for n in range(7)])

    def test_left(self) -> None:
        """Nothing more is asked for a client that has left."""
        answered = self.post(7)
        answered.cancel()
        self.failureResultOf(answered)
        self.clock.turn(9)
        self.assertEqual((len(self.asked), self.clock.getDelayedCalls()), (2, []))

    def test_long_answer(self) -> None:
        """The answer to a batch is bounded; what is not asked any more is told."""
        self.gives = "x" * (MOST_BYTES // 3)
        answered = self.post(6)
        self.clock.turn(9)
        replies = json.loads(self.successResultOf(answered).body)
        self.assertEqual(["result" in reply for reply in replies], [True] * 3 + [False] * 3)
        self.assertEqual([reply["error"]["code"] for reply in replies[3:]], [-32000] * 3)
        self.assertEqual([reply["id"] for reply in replies], list(range(6)))
        self.assertEqual(len(self.asked), 3)


class JsonRpcTests(MoonrakerCase):
    """Many questions in one request."""

    def ask(self, document: object, **more: Any) -> Any:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        reply = self.post("server/jsonrpc", body, {"Content-Type": "application/json"}, **more)
        self.assertEqual(reply.status, 200, reply.body)
        return reply.json if reply.body else None

    def error(self, document: object, code: int, message: str, number: object = None) -> None:
        told = {"jsonrpc": "2.0", "error": {"code": code, "message": message}, "id": number}
        self.assertEqual(self.ask(document), told)

    def test_same_answers(self) -> None:
        """A method gives what its path gives."""
        for method, path in (
            ("server.info", "server/info"),
            ("printer.objects.list", "printer/objects/list"),
            ("server.files.roots", "server/files/roots"),
            ("server.job_queue.status", "server/job_queue/status"),
            ("server.history.list", "server/history/list"),
            ("access.info", "access/info"),
        ):
            self.assertEqual(self.rpc(method)["result"], self.get(path), method)

    def test_names(self) -> None:
        """The names of the methods are those that clients of the real server use."""
        names = set(self.rig.web._moonraker.methods)
        self.assertLessEqual(
            {
                "printer.info",
                "printer.objects.query",
                "printer.query_endstops.status",
                "printer.gcode.script",
                "printer.print.start",
                "printer.emergency_stop",
                "server.files.list",
                "server.files.metadata",
                "server.files.post_directory",
                "server.files.delete_directory",
                "server.files.move",
                "server.files.delete_file",
                "server.history.get_job",
                "server.job_queue.post_job",
                "server.webcams.get_item",
                "machine.system_info",
                "access.get_api_key",
                "access.oneshot_token",
            },
            names,
        )
        for http_only in ("server.files.upload", "server.jsonrpc", "websocket", "server.notifications"):
            self.assertNotIn(http_only, names)
        twice = Endpoint("GET", "/a/b", "view", lambda ask: None)
        self.assertRaises(ValueError, methods_of, [twice, Endpoint("POST", "/c", "view", lambda a: None, rpc="a.b")])

    def test_batch(self) -> None:
        """A batch has one answer for each question that wants one, in order."""
        self.upload()
        told = self.ask(
            [
                {"jsonrpc": "2.0", "method": "server.files.list", "id": 1},
                {"jsonrpc": "2.0", "method": "printer.gcode.script", "params": {"script": "M117 hello"}},
                {
                    "jsonrpc": "2.0",
                    "method": "printer.objects.query",
                    "params": {"objects": {"webhooks": None}},
                    "id": "x",
                },
                {"jsonrpc": "2.0", "method": "nonsense", "id": 3},
                7,
            ]
        )
        self.assertEqual([reply["id"] for reply in told], [1, "x", 3, None])
        self.assertEqual(told[0]["result"][0]["path"], "plate.goo")
        self.assertEqual(told[1]["result"]["status"]["webhooks"]["state"], "ready")
        self.assertEqual([reply["error"]["code"] for reply in told[2:]], [-32601, -32600])
        self.assertEqual(self.get("server/gcode_store")["gcode_store"][-1]["message"], "hello")

    def test_notification(self) -> None:
        """A notification is done and not answered, also in a batch of nothing else."""
        one = {"jsonrpc": "2.0", "method": "printer.gcode.script", "params": {"script": "M117 x"}}
        self.assertIsNone(self.ask(one))
        self.assertIsNone(self.ask([one, one]))
        self.assertEqual(len([e for e in self.rig.fleet.happenings(0) if e.type == "message"]), 3)

    def test_errors(self) -> None:
        """Every error has its number."""
        call = {"jsonrpc": "2.0", "id": 1}
        self.error(b"{", -32700, "Parse error")
        self.error([], -32600, "Invalid Request")
        self.error("x", -32600, "Invalid Request")
        self.error({"method": "server.info", "id": 1}, -32600, "Invalid Request", 1)
        self.error({**call, "method": "server.info", "id": [1]}, -32600, "Invalid Request")
        self.error({**call, "method": "server.nothing"}, -32601, "Method not found", 1)
        self.error({**call, "method": "server.info", "params": [1]}, -32602, "Invalid params", 1)
        message = "Subscriptions not available for HTTP transport"
        self.error({**call, "method": "printer.objects.subscribe"}, -32601, message, 1)
        message = "Method not found for transport HTTP"
        self.error({**call, "method": "server.connection.identify"}, -32601, message, 1)
        self.error({**call, "method": "printer.print.pause"}, 400, "not printing", 1)
        missing = {**call, "method": "server.files.metadata", "params": {"filename": "x"}}
        self.error(missing, 404, "Metadata not available for <x>", 1)
        message = "machine control is disabled in the configuration"
        self.error({**call, "method": "machine.shutdown"}, 403, message, 1)
        self.error([{**call, "method": "x"}] * 101, -32600, "Invalid Request")

    def test_content_type(self) -> None:
        """Another content type is refused, for a page of another site can send it without asking."""
        self.refuses(self.post("server/jsonrpc", b"{}", {"Content-Type": "text/plain"}), 400)

    def test_scopes(self) -> None:
        """What a key may not do by path it may not do by method either, and upload is not start."""
        key = self.rig.key("upload", name="slicer")
        for method, code in (
            ("printer.print.start", 403),
            ("server.job_queue.post_job", 403),
            ("access.post_api_key", 403),
            ("server.files.list", None),
        ):
            told = self.ask({"jsonrpc": "2.0", "method": method, "id": 1}, address=STRANGER, key=key)
            self.assertEqual(told.get("error", {}).get("code"), code, method)

    def test_waits(self) -> None:
        """A command is answered when the board has acknowledged it."""
        self.rig.publish(printing(5))
        body = json.dumps({"jsonrpc": "2.0", "method": "printer.print.pause", "id": 1}).encode()
        path = f"/printers/{SATURN}/server/jsonrpc"
        pending = self.rig.begin("POST", path, body, {"Content-Type": "application/json"})
        self.assertFalse(pending.answered)
        self.link.answer()
        self.assertEqual(pending.reply.json, {"jsonrpc": "2.0", "result": "ok", "id": 1})

    def test_audited(self) -> None:
        """The log says who changed what by JSON-RPC, as by paths: each thing that was done, and nothing else."""
        lines = logged(self)
        message = {"script": "M117 x"}
        self.ask(
            [
                {"jsonrpc": "2.0", "method": "server.info", "id": 1},
                {
                    "jsonrpc": "2.0",
                    "method": "printer.objects.query",
                    "params": {"objects": {"webhooks": None}},
                    "id": 2,
                },
                {"jsonrpc": "2.0", "method": "printer.gcode.script", "params": message, "id": 3},
                {"jsonrpc": "2.0", "method": "printer.print.pause", "id": 4},
                {"jsonrpc": "2.0", "method": "access.post_api_key", "id": 5},
            ]
        )
        at = "key admin at 127.0.0.1: POST /printers/saturn-3-ultra/server/jsonrpc"
        told = [f"{at} printer.gcode.script: 200", f"{at} access.post_api_key: 200"]
        self.assertEqual([line for line in lines if "POST" in line], told)


class NotificationTests(MoonrakerCase):
    """What the WebSocket would have pushed."""

    def poll(self, since: str = "", timeout: float = 0) -> Any:
        return self.get(f"server/notifications?timeout={timeout}&since={since}")

    def methods(self, news: Any) -> list[str]:
        return [told["method"] for told in news["notifications"]]

    def test_present(self) -> None:
        """Without a cursor the present comes at once; with it, nothing until something happens."""
        first = self.poll()
        self.assertTrue(first["resync"])
        self.assertEqual(self.methods(first), ["notify_status_update"])
        self.assertEqual(first["notifications"][0]["params"][0]["print_stats"]["state"], "standby")
        again = self.poll(first["cursor"])
        self.assertEqual((again["notifications"], again["timed_out"], again["resync"]), ([], True, False))

    def test_wakes(self) -> None:
        """A waiting poll is answered in the turn in which the printer changes."""
        cursor = self.poll()["cursor"]
        path = f"/printers/{SATURN}/server/notifications?since={cursor}&timeout=25"
        pending = self.rig.begin("GET", path)
        self.assertFalse(pending.answered)
        self.rig.publish(printing(5))
        news = self.result(pending.reply)
        self.assertIn("notify_status_update", self.methods(news))
        self.assertEqual(news["notifications"][0]["params"][0]["print_stats"]["state"], "printing")
        late = self.rig.begin("GET", f"/printers/{SATURN}/server/notifications?since={news['cursor']}&timeout=5")
        self.rig.clock.advance(5)
        self.assertIn("timed_out", self.result(late.reply))

    def test_as_queried(self) -> None:
        """What is pushed of a print is what a query tells, the size of its file and the place in it included."""
        self.rig.put()
        file = self.rig.store.get("plate.goo")
        self.rig.publish(printing(50, filename=wire_name(file)))
        pushed = self.poll()["notifications"][0]["params"][0]
        asked = self.get("printer/objects/query?virtual_sdcard&print_stats")["status"]
        self.assertEqual({name: pushed[name] for name in asked}, asked)
        self.assertEqual(asked["virtual_sdcard"]["file_size"], file.size)
        self.assertEqual(asked["virtual_sdcard"]["file_position"], file.size // 2)

    def test_files(self) -> None:
        """Each change of a file is told with its modern and its old name, whichever way it was made."""
        cursor = self.poll()["cursor"]
        pending = self.rig.begin("GET", f"/printers/{SATURN}/server/notifications?since={cursor}")
        self.upload()
        self.assertIn("notify_filelist_changed", self.methods(self.result(pending.reply)))
        self.rig.put("plate.goo", goo(b"other"))
        self.post("server/files/move?source=gcodes/plate.goo&dest=gcodes/x.goo")
        self.post("server/files/directory?path=gcodes/new")
        self.rig.ask("DELETE", f"/printers/{SATURN}/server/files/gcodes/x.goo")
        news = self.poll(cursor)
        found = [n["params"][0] for n in news["notifications"] if n["method"] == "notify_filelist_changed"]
        self.assertEqual(
            [(told["action"], told["legacy_action"], told["item"]["path"]) for told in found],
            [
                ("create_file", "upload_file", "plate.goo"),
                ("modify_file", "upload_file", "plate.goo"),
                ("move_file", "move_item", "x.goo"),
                ("create_dir", "create_dir", "new"),
                ("delete_file", "delete_file", "x.goo"),
            ],
        )
        self.assertEqual(found[2]["source_item"], {"path": "plate.goo", "root": "gcodes"})
        metadata = [n["params"][0] for n in news["notifications"] if n["method"] == "notify_metadata_update"]
        self.assertEqual([told["filename"] for told in metadata], ["plate.goo"] * 2)

    def test_happenings(self) -> None:
        """Starts, ends and farewells are told one by one."""
        cursor = self.poll()["cursor"]
        self.rig.fleet.happened(SATURN, "print_started", {"job": "j", "file": "a.goo"})
        self.rig.fleet.happened(SATURN, "print_finished", {"job": "j", "file": "a.goo"})
        self.rig.fleet.happened(SATURN, "offline", {})
        self.rig.fleet.happened(SATURN, "online", {})
        self.rig.fleet.happened(SATURN, "job_held", {"file": "a.goo"})
        methods = [m for m in self.methods(self.poll(cursor)) if m != "notify_gcode_response"]
        self.assertEqual(
            methods,
            [
                "notify_history_changed",
                "notify_history_changed",
                "notify_klippy_disconnected",
                "notify_klippy_ready",
                "notify_job_queue_changed",
            ],
        )

    def test_foreign_cursor(self) -> None:
        """A cursor of another life of the daemon is answered at once with the present."""
        for cursor in ("zzzzzzzz.5", "nonsense"):
            self.assertTrue(self.poll(cursor, 25)["resync"])

    def test_crowd(self) -> None:
        """One address cannot let any number of polls wait: the rest are answered at once."""
        cursor = self.poll()["cursor"]
        key = self.rig.key("view", name="crowd")
        path = f"/printers/{SATURN}/server/notifications?since={cursor}&timeout=25"
        waiting = [self.rig.begin("GET", path, b"", {"X-Api-Key": key}, address=STRANGER) for _ in range(17)]
        self.assertEqual([pending.answered for pending in waiting].count(True), 1)


class SmallTests(MoonrakerCase):
    """Keys, tokens, history, queue and the machine."""

    def test_keys(self) -> None:
        """An admin makes a key for this printer's clients; the one before is good for nothing, none is told twice."""
        path = f"/printers/{SATURN}/access/api_key"
        first = self.result(self.rig.ask("POST", path, key=self.rig.admin))
        second = self.result(self.rig.ask("POST", path, key=self.rig.admin))
        target = f"/printers/{SATURN}/server/info"
        self.refused(self.rig.get(target, address=STRANGER, key=first), 401, "Unauthorized")
        self.assertEqual(self.rig.get(target, address=STRANGER, key=second).status, 200)
        self.refuses(self.rig.get(path, key=self.rig.admin), 403)
        self.refuses(self.rig.ask("POST", path, address=STRANGER, key=second), 403)

    def test_token(self) -> None:
        """A token lets one GET in, and no POST."""
        key = self.rig.key("view", "control", name="display")
        path = f"/printers/{SATURN}/access/oneshot_token"
        token = self.result(self.rig.get(path, address=STRANGER, key=key))
        self.assertRegex(token, "^[A-Z2-7]{32}$")
        target = f"/printers/{SATURN}/server/info?token={token}"
        self.assertEqual(self.rig.get(target, address=STRANGER).status, 200)
        self.refused(self.rig.get(target, address=STRANGER), 401, "Unauthorized")
        token = self.result(self.rig.get(path, address=STRANGER, key=key))
        stop = f"/printers/{SATURN}/printer/emergency_stop?token={token}"
        self.refused(self.rig.ask("POST", stop, address=STRANGER), 401, "Unauthorized")

    def test_info(self) -> None:
        """Whether a key is needed is told to everybody."""
        path = f"/printers/{SATURN}/access/info"
        told = self.result(self.rig.get(path, address=STRANGER))
        self.assertEqual((told["login_required"], told["trusted"]), (True, False))
        self.assertEqual(self.get("access/info")["trusted"], True)

    def test_websocket(self) -> None:
        """Whoever wants a WebSocket is told in a sentence that there is none, and what there is."""
        for path in ("/websocket", f"/printers/{SATURN}/websocket", "/klippysocket"):
            reply = self.rig.get(path, {"Upgrade": "websocket", "Connection": "Upgrade"}, address=STRANGER)
            self.refused(reply, 501, "This server has no WebSocket; see /v1/updates")

    def test_machine(self) -> None:
        """The machine's numbers are its own."""
        told = self.get("machine/proc_stats")
        self.assertGreater(told["system_memory"]["total"], told["system_memory"]["used"])
        self.assertGreater(told["moonraker_stats"][0]["memory"], 1000)
        self.assertIn("lo", told["network"])
        self.assertGreaterEqual(self.get("machine/system_info")["system_info"]["cpu_info"]["cpu_count"], 1)

    def test_whole_history(self) -> None:
        """A limit of 0 is none, as with the real server."""
        for _ in range(2):
            self.rig.publish(printing(1))
            self.rig.clock.advance(60)
            self.complete()
            self.clear()
            self.rig.clock.advance(60)
        found = [len(self.get(f"server/history/list{query}")["jobs"]) for query in ("", "?limit=0", "?limit=1")]
        self.assertEqual(found, [2, 2, 1])

    def test_history(self) -> None:
        """A print that was seen is in the history, in the totals, and gone when an admin deletes it."""
        self.rig.publish(printing(1))
        self.rig.clock.advance(60)
        self.rig.publish(printing(99))
        self.complete()
        listed = self.get("server/history/list?limit=1&order=asc")
        self.assertEqual((listed["count"], listed["jobs"][0]["filename"]), (1, "plate.goo"))
        self.assertEqual(listed["jobs"][0]["status"], "completed")
        self.assertEqual(self.get("server/history/totals")["job_totals"]["total_jobs"], 1)
        uid = listed["jobs"][0]["job_id"]
        self.assertEqual(self.get(f"server/history/job?uid={uid}")["job"], listed["jobs"][0])
        path = f"/printers/{SATURN}/server/history/job?uid={uid}"
        self.refuses(self.rig.ask("DELETE", path, address="127.0.0.1"), 401)
        told = self.result(self.rig.ask("DELETE", path, key=self.rig.admin))
        self.assertEqual(told, {"deleted_jobs": [uid]})
        self.assertEqual(self.get("server/history/list")["count"], 0)
        self.refuses(self.rig.get(path, key=self.rig.admin), 404)

    def test_queue(self) -> None:
        """Files wait in order, the order can be changed, and nothing starts by itself."""
        self.rig.publish(printing(5))
        for name in "abc":
            self.upload(f"{name}.goo", goo(name.encode()))
        self.post("server/job_queue/job?filenames=a.goo,b.goo,c.goo")
        status = self.get("server/job_queue/status")
        ids = {job["filename"]: job["job_id"] for job in status["queued_jobs"]}
        self.assertEqual((list(ids), status["queue_state"]), (["a.goo", "b.goo", "c.goo"], "ready"))
        told = self.result(self.post(f"server/job_queue/jump?job_id={ids['c.goo']}"))
        self.assertEqual([job["filename"] for job in told["queued_jobs"]], ["c.goo", "a.goo", "b.goo"])
        self.result(self.rig.ask("DELETE", f"/printers/{SATURN}/server/job_queue/job?job_ids={ids['a.goo']}"))
        self.refuses(self.post("server/job_queue/jump?job_id=x"), 400)
        self.refuses(self.post("server/job_queue/pause"), 400)
        self.refuses(self.post("server/job_queue/job?filenames=nope.goo"), 400)
        self.rig.publish(Status((0,)))
        self.assertNotIn(128, [request["Cmd"] for request in self.link.sent])
