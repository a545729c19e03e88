"""Wishes by MQTT, from the client's PUBLISH to the printer and back as a result."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from sdcpd.broker.clients import CLIENTS_LIMITS, ClientsPolicy
from sdcpd.broker.commands import Commands
from sdcpd.broker.server import Server
from sdcpd.codec.mqtt import PubAck, Publish
from sdcpd.codec.sdcp import Command
from sdcpd.config import MqttClients, MqttKey
from sdcpd.jobs import Jobs, Wish
from sdcpd.links import COMMAND_TIMEOUT
from sdcpd.orders import Orders
from sdcpd.progress import Job, JobState
from sdcpd.records import PlateState
from tests.broker.kit import Client, ServerTestCase, connect_packet
from tests.fakes import ID, Workshop
from tests.sliced import goo_file

SLUG = "bench-left"
SHA256 = "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683"
"""Of the key that is called ``key``."""
PILOT = "07ae38b93d8054d84aac37039c71ad114a8685a3857084d568f260ce69f0737f"
"""Of the key that is called ``pilot``."""


class CommandsTests(ServerTestCase):
    """One printer, connected and idle, and a client with every right."""

    def setUp(self) -> None:
        super().setUp()
        directory = Path(self.mktemp())
        directory.mkdir(parents=True)
        self.workshop = Workshop(directory)
        self.workshop.connect()
        self.home = self.come(self.workshop.jobs)

    def come(self, jobs: Jobs, key: bytes = b"key") -> Client:
        """A client that listens to results."""
        orders = Orders(self.workshop.fleet, jobs, self.workshop.store)
        commands = Commands(self.router, self.workshop.fleet, jobs, orders)
        settings = MqttClients(
            "tcp:1884",
            False,
            (
                MqttKey("home", SHA256, ("view", "queue", "control", "plate")),
                MqttKey("pilot", PILOT, ("view", "control")),
                MqttKey("slicer", hashlib.sha256(b"slicer").hexdigest(), ("view", "queue")),
            ),
        )
        policy = ClientsPolicy(settings, commands.obey, self.clock.seconds, lambda _: None)
        server = Server(self.clock, self.router, policy, CLIENTS_LIMITS)
        server.doStart()
        self.addCleanup(server.doStop)
        client = Client(server)
        client.say(connect_packet("c", username="", password=key))
        client.take()
        client.subscribe("sdcpd/+/result", qos=1)
        return client

    def ask(self, slug: str = SLUG, **command: Any) -> None:
        self.home.publish(f"sdcpd/{slug}/command", json.dumps(command).encode(), 1, 7)

    def results(self) -> list[tuple[str, Any]]:
        """Topic and document of each result since the last look."""
        found = []
        for packet in self.home.take():
            if isinstance(packet, Publish):
                self.home.say(PubAck(packet.packet_id))
                self.assertFalse(packet.retain)
                found.append((packet.topic, json.loads(packet.payload)))
        return found

    def result(self, slug: str = SLUG) -> Any:
        """The only one."""
        ((topic, document),) = self.results()
        self.assertEqual(topic, f"sdcpd/{slug}/result")
        return document

    def refusal(self, slug: str = SLUG) -> Any:
        """Why the only one was refused; it has all the words of a refusal."""
        document = self.result(slug)
        self.assertIs(document["ok"], False)
        self.assertEqual(set(document["error"]), {"code", "message", "hint"})
        self.assertTrue(document["error"]["message"])
        return document["error"]

    def printing(self) -> None:
        """The file is printed."""
        self.workshop.print()
        self.workshop.deliver()
        self.workshop.link.says(self.workshop.at_work())
        self.workshop.pump(1)

    def test_pause_resume_stop(self) -> None:
        """Each command reaches the printer once, and its Ack comes back with the command's id."""
        self.printing()
        sent = len(self.workshop.link.commands())
        self.ask(command="pause", id="a1")
        self.assertEqual(self.result(), {"id": "a1", "command": "pause", "ok": True, "ack": 0})
        self.workshop.link.says(self.workshop.at_work(8))
        self.ask(command="resume", id=7)
        self.assertEqual(self.result(), {"id": 7, "command": "resume", "ok": True, "ack": 0})
        self.workshop.link.says(self.workshop.at_work())
        self.ask(command="stop")
        self.assertEqual(self.result(), {"id": None, "command": "stop", "ok": True, "ack": 0})
        self.assertEqual(self.workshop.link.commands()[sent:], [Command.PAUSE, Command.RESUME, Command.STOP])
        self.assertTrue(any("key:home asks bench-left by MQTT: pause" in line for line in self.lines))

    def test_print(self) -> None:
        """A print begins a job, and the result names it; another one is refused with the reason."""
        self.ask(command="print", file="benchy.goo", plate_clear=True)
        document = self.result()
        self.assertEqual((document["ok"], document["job"]), (True, self.workshop.job.id))
        self.assertIs(self.workshop.job.plate_clear, True)
        self.workshop.deliver()
        self.assertEqual(self.workshop.link.commands(), [Command.FETCH, Command.START])
        self.ask(command="print", file="benchy.goo")
        error = self.refusal()
        self.assertEqual(error["code"], "not_now")
        self.assertIn("already has a job", error["message"])

    def test_plate(self) -> None:
        """The gate stands before this way, too; only a key that may speak for the plate can open it."""
        self.workshop.jobs.plates.occupy(self.workshop.fleet.get(ID), "Ann")
        self.ask(command="print", file="benchy.goo")
        self.assertEqual(self.refusal()["code"], "plate_not_clear")
        home, self.home = self.home, self.come(self.workshop.jobs, b"pilot")
        self.ask(command="print", file="benchy.goo", plate_clear=True)
        self.assertEqual(self.refusal()["code"], "forbidden")
        self.assertEqual(self.workshop.link.commands(), [])
        self.home = home
        self.results()
        self.ask(command="print", file="benchy.goo", plate_clear=True)
        self.assertTrue(self.result()["ok"])
        self.assertEqual(self.workshop.fleet.get(ID).plate.by, "key:home")

    def test_queue_and_start(self) -> None:
        """A file that is queued by MQTT waits on the printer until somebody has it started, by MQTT just so."""
        self.ask(command="queue", file="benchy.goo")
        job = self.result()["job"]
        self.assertEqual([found.id for found in self.workshop.jobs.queue(ID)] or [self.workshop.job.id], [job])
        self.workshop.deliver()
        self.workshop.pump(1)
        self.assertEqual(self.workshop.jobs.get(job).reason, "waiting_for_start")
        self.ask(command="start", job=job)
        self.assertEqual(self.result(), {"id": None, "command": "start", "ok": True, "job": job})
        self.assertEqual(self.workshop.link.commands(), [Command.FETCH, Command.START])
        self.ask(command="start", job="nothing")
        self.assertEqual(self.refusal()["code"], "unknown_job")
        self.ask(command="queue", file="nothing.goo")
        self.assertEqual(self.refusal()["code"], "file_missing")

    def test_start_of_another_printers_job(self) -> None:
        """A command at one printer's topic starts no job of another one."""
        job = self.successResultOf(
            self.workshop.jobs.enqueue("", self.workshop.store.list()[0], Wish("Ann", start=False))
        )
        self.ask(command="start", job=job.id)
        self.assertEqual(self.refusal()["code"], "unknown_job")
        self.assertFalse(self.workshop.jobs.get(job.id).start)

    def test_plate_word(self) -> None:
        """Who looked can say it by MQTT, for the revision that was looked at; an old one is refused."""
        plates = self.workshop.jobs.plates
        plates.occupy(self.workshop.fleet.get(ID), "Ann")
        revision = plates.of(ID).revision
        self.ask(command="plate", clear=True, revision=revision)
        self.assertEqual(self.result()["revision"], revision + 1)
        self.assertEqual((plates.of(ID).state, plates.of(ID).by), (PlateState.CLEAR, "key:home"))
        self.ask(command="plate", clear=True, revision=revision)
        self.assertEqual(self.refusal()["code"], "plate_changed")
        self.ask(command="plate", clear=False)
        self.assertTrue(self.result()["ok"])
        self.assertIs(plates.of(ID).state, PlateState.OCCUPIED)

    def test_plate_not_noted(self) -> None:
        """A word that could not be written down is refused, and nothing is started by it."""
        self.workshop.jobs.plates.occupy(self.workshop.fleet.get(ID), "Ann")
        self.workshop.journal.full = True
        self.ask(command="plate", clear=True, revision=self.workshop.jobs.plates.of(ID).revision)
        self.assertEqual(self.refusal()["code"], "store_full")
        self.assertIs(self.workshop.jobs.plates.of(ID).state, PlateState.OCCUPIED)

    def test_scopes(self) -> None:
        """Queueing, starting and speaking for the plate are three permissions here, too."""
        self.home = self.come(self.workshop.jobs, b"slicer")
        for command in (
            {"command": "queue", "file": "benchy.goo", "start": True},
            {"command": "print", "file": "benchy.goo"},
            {"command": "start", "job": "j1"},
            {"command": "plate", "clear": False},
            {"command": "stop"},
        ):
            self.ask(**command)
            self.assertEqual(self.refusal()["code"], "forbidden", command)
        self.ask(command="queue", file="benchy.goo")
        self.assertTrue(self.result()["ok"])

    def test_what_goes_together(self) -> None:
        """What does not belong to a command is refused and not passed over: somebody meant something by it."""
        for command in (
            {"command": "queue", "file": "benchy.goo", "plate_clear": True},
            {"command": "pause", "file": "benchy.goo"},
            {"command": "print", "file": "benchy.goo", "revision": 3},
            {"command": "plate"},
            {"command": "plate", "clear": True},
        ):
            self.ask(**command)
            self.assertEqual(self.refusal()["code"], "bad_command", command)
        self.assertEqual(self.workshop.link.commands(), [])

    def test_wrong_file(self) -> None:
        """A file for another screen is refused with the reason, and the printer does not hear of it."""
        upload = self.workshop.store.begin("small.goo", None)
        upload.write(goo_file(resolution=(5760, 3600)))
        upload.finish()
        self.ask(command="print", file="small.goo", plate_clear=True)
        result = self.result()
        self.assertEqual((result["ok"], result["error"]["code"]), (False, "wrong_resolution"))
        self.assertIn("5760x3600", result["error"]["message"])
        self.assertEqual((self.workshop.link.commands(), self.workshop.jobs.all()), ([], []))

    def test_stop_before_start(self) -> None:
        """A delivery that is stopped before the start needs no word of the printer."""
        self.ask(command="print", file="benchy.goo")
        self.result()
        self.ask(command="stop")
        document = self.result()
        self.assertEqual((document["ok"], document["ack"]), (True, None))
        self.assertIs(self.workshop.jobs.all()[-1].state, JobState.STOPPED)

    def test_by_mainboard_id(self) -> None:
        """The printer's MainboardID will do as well; the result comes under the name that was used."""
        self.printing()
        self.ask(ID, command="pause")
        self.assertTrue(self.result(ID)["ok"])

    def test_not_now(self) -> None:
        """What the printer cannot do now is refused with the API's words, and nothing is sent."""
        for command, words in (("pause", "is not printing"), ("resume", "is not paused"), ("stop", "has no print")):
            self.ask(command=command, id=1)
            error = self.refusal()
            self.assertEqual(error["code"], "not_now")
            self.assertIn(words, error["message"])
            self.assertIn("GET /v1/printers", error["hint"])
        self.assertEqual(self.workshop.link.commands(), [])

    def test_unknown(self) -> None:
        """A printer or a file that nobody knows is named in the refusal."""
        self.ask("attic", command="pause")
        error = self.refusal("attic")
        self.assertEqual(error["code"], "unknown_printer")
        self.assertIn(SLUG, error["hint"])
        for file in ("other.goo", ""):
            self.ask(command="print", file=file)
            self.assertEqual(self.refusal()["code"], "file_missing")

    def test_offline(self) -> None:
        """A printer without a connection cannot be asked; nothing is kept for when it is back."""
        self.printing()
        self.workshop.link.drop()
        self.ask(command="pause")
        self.assertEqual(self.refusal()["code"], "printer_offline")
        sent = len(self.workshop.link.sent)
        self.workshop.reconnect(self.workshop.at_work())
        self.assertNotIn(Command.PAUSE, self.workshop.link.commands()[sent:])

    def test_refused_by_printer(self) -> None:
        """The printer's own refusal comes back."""
        self.printing()
        self.workshop.link.acks[Command.PAUSE] = 1
        self.ask(command="pause")
        self.assertEqual(self.refusal()["code"], "command_refused")

    def test_silent_printer(self) -> None:
        """The result of a command that the printer does not answer comes when its time is over."""
        self.printing()
        self.workshop.link.acks[Command.PAUSE] = None
        self.ask(command="pause", id="x")
        self.ask(command="pause", id="y")
        ((_, second),) = self.results()
        self.assertEqual((second["id"], second["error"]["code"]), ("y", "command_in_flight"))
        self.workshop.clock.advance(COMMAND_TIMEOUT)
        self.assertEqual(self.refusal()["code"], "command_timeout")

    def test_nonsense(self) -> None:
        """What is no command is refused with what was expected; the connection stays."""
        junk: tuple[tuple[bytes, str], ...] = (
            (b"", "truncated"),
            (b"pause", "invalid character"),
            (b"\xff", ""),
            (b'"pause"', "Expected `object`"),
            (b"{}", "missing required field `command`"),
            (b'{"command": "explode"}', "Invalid enum value 'explode'"),
            (b'{"command": "pause", "when": "now"}', "unknown field `when`"),
            (b'{"command": "print", "file": 5}', "`$.file`"),
            (b'{"command": "pause", "id": [1]}', "`$.id`"),
            (b'{"command": "pause", "id": "%s"}' % (b"x" * 129), "`$.id`"),
            (b'{"command":' * 10_000, ""),
            (b'{"command": "pause", "id": %s}' % (b"[" * 100_000), ""),
        )
        for payload, words in junk:
            self.home.publish(f"sdcpd/{SLUG}/command", payload, 1, 7)
            error = self.refusal()
            self.assertEqual(error["code"], "bad_command", payload[:30])
            self.assertIn(words, error["message"])
            self.assertLess(len(error["message"]), 300)
        self.assertFalse(self.home.over)
        self.assertEqual(self.workshop.link.commands(), [])

    def test_repeated(self) -> None:
        """A command that says that it is sent again is not obeyed, and its sender is told."""
        for qos in (1, 2):
            payload = json.dumps({"command": "print", "file": "benchy.goo", "id": qos}).encode()
            self.home.publish(f"sdcpd/{SLUG}/command", payload, qos, 7, dup=True)
            document = self.result()
            self.assertEqual((document["id"], document["error"]["code"]), (qos, "repeated_command"))
        self.assertEqual((self.workshop.link.commands(), self.workshop.jobs.all()), ([], []))

    def test_bug(self) -> None:
        """A bug of ours is in the log with its traceback, and the client is told without it."""
        self.home = self.come(self.workshop.hire(BrokenJobs))
        self.ask(command="print", file="benchy.goo", id=3)
        error = self.refusal()
        self.assertEqual(error["code"], "internal")
        self.assertNotIn("a bug of ours", json.dumps(error))
        self.assertEqual(self.failures(), 1)


class BrokenJobs(Jobs):
    """Fails at a print."""

    def print(self, *_: object, **__: object) -> Job:
        """Not now."""
        raise RuntimeError("a bug of ours")
