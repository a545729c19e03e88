"""Real clients of OctoPrint's push while a simulated printer prints: npm sockjs-client by each transport, OctoRest."""

from __future__ import annotations

import json
import os
import subprocess
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event, Timer
from typing import Any

import pytest
import requests
from octorest.xhrstreaminggenerator import XHRStreamingGenerator

from sdcpd.simulator.slicing import write_goo
from tests.end_to_end.journey import SLOW, Journey
from tests.end_to_end.requirements import NODE_MODULES, find, needs

PATIENCE = 240
CHECKOUT = Path(__file__).parents[2]
SCRIPT = CHECKOUT / "tests" / "node" / "push.js"
INSTALLED = (Path(NODE_MODULES) / "sockjs-client").is_dir() or bool(os.environ.get("SDCPD_REQUIRE_ALL"))

Message = dict[str, Any]


class Listening:
    """A node process that listens; what it heard so far."""

    def __init__(self, *arguments: str) -> None:
        environment = {**os.environ, "NODE_PATH": NODE_MODULES, "NO_PROXY": "*", "no_proxy": "*"}
        self.heard: list[Message] = []
        self._process = subprocess.Popen(
            [find("node") or "node", str(SCRIPT), *arguments], stdout=subprocess.PIPE, env=environment
        )
        self._watchdog = Timer(PATIENCE, self._process.kill)
        self._watchdog.start()

    def read(self, until: str | None) -> None:
        """Read until a message of this name, or to the end."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.heard.append(json.loads(line))
            if until is not None and until in self.heard[-1]:
                return
        assert until is None, f"it ended before {until}: {self.heard}"

    def end(self) -> int:
        """Its exit code; it is over, or it ends now."""
        self._watchdog.cancel()
        self._process.kill()
        assert self._process.stdout is not None
        self._process.stdout.close()
        return self._process.wait()


@pytest.mark.end_to_end
@needs("node")
class PushClientTests(Journey):
    """They come before a print, hear all of it, and go."""

    speed = SLOW

    def setUp(self) -> None:
        super().setUp()
        self.base = f"{self.daemon.url}/printers/{self.slug}"
        self.file = self.directory / "vase.goo"
        write_goo(self.file, layers=120, resolution=(5760, 3600), machine="ELEGOO Mars 4 Max")

    def listen(self, *arguments: str) -> Listening:
        listening = Listening(*arguments)
        self.addCleanup(listening.end)
        listening.read("history")
        return listening

    def auth(self) -> str:
        """What a passive login with a key gives to the push."""
        answer = requests.post(f"{self.base}/api/login", json={"passive": True}, headers=self.key, timeout=PATIENCE)
        told = answer.json()
        return f"{told['name']}:{told['session']}"

    def heard_of_print(self, heard: list[Message]) -> None:
        """The print was heard from its beginning to its end, with its progress between."""
        events = [message["event"] for message in heard if "event" in message]
        told = [event["type"] for event in events]
        order = ["TransferStarted", "TransferDone", "PrintStarted", "PrintDone"]
        self.assertEqual([name for name in told if name in order], order)
        done = events[told.index("PrintDone")]["payload"]
        self.assertEqual((done["path"], done["origin"]), ("vase.goo", "local"))
        self.assertGreater(done["time"], 0)
        self.assertIn("ZChange", told)
        self.assertNotIn("PrintFailed", told)
        currents = [message["current"] for message in heard if "current" in message]
        parts = [c["progress"]["completion"] for c in currents if c["state"]["text"] == "Printing"]
        self.assertGreater(len(parts), 3)
        self.assertEqual(parts, sorted(parts))
        self.assertGreater(parts[-1], parts[0])
        names = [next(iter(message)) for message in heard]
        self.assertLess(names.index("connected"), names.index("history"))
        self.assertLess(names.index("history"), names.index("current"))

    def test_print(self) -> None:
        """By each transport, and through OctoRest, a client hears a whole print."""
        if not INSTALLED:
            self.skipTest("sockjs-client is not installed: make node")
        self.key = {"X-Api-Key": self.daemon.key}
        sockjs = f"{self.base}/sockjs"
        clients = {
            "xhr-streaming": self.listen(sockjs, "xhr-streaming"),
            "xhr-polling": self.listen(f"{sockjs}?apikey={self.daemon.key}", "xhr-polling"),
            "eventsource": self.listen(sockjs, "eventsource", self.auth()),
        }
        pool = ThreadPoolExecutor(1)
        self.addCleanup(pool.shutdown)
        listens = Event()
        octorest: Future[list[Message]] = pool.submit(self.octorest, listens)
        self.assertTrue(listens.wait(PATIENCE))
        self.upload(self.file)
        self.finish(self.start("vase.goo"))
        for transport, client in clients.items():
            client.read(None)
            self.assertEqual(client.heard[0], {"open": transport})
            self.assertEqual(client.heard[-1], {"close": 1000, "reason": "Normal closure"})
            self.heard_of_print(client.heard[1:-1])
        self.heard_of_print(octorest.result(PATIENCE))

    def octorest(self, listens: Event) -> list[Message]:
        """What OctoRest's generator brings, up to the end of the print; it takes the only printer, at the root."""
        session = requests.Session()
        session.headers.update(self.key)
        stream = XHRStreamingGenerator(self.daemon.url, session)
        assert stream.info()["websocket"] is False
        heard: list[Message] = []
        for message in stream.read_loop():
            heard.append(message)
            if "history" in message:
                listens.set()
            if message.get("event", {}).get("type") == "PrintDone":
                break
        session.close()
        return heard
