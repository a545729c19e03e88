"""The MQTT clients that people have, at the daemon's port for them, while a simulated printer prints."""

from __future__ import annotations

import hashlib
import json
import queue
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from threading import Timer
from typing import Any, Self

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from sdcpd.simulator.slicing import write_goo
from tests.certificates import certificate_pem
from tests.end_to_end.journey import SLOW, Journey
from tests.end_to_end.processes import PATIENCE
from tests.end_to_end.requirements import needs

KEY = "correct horse battery staple"
LAYERS = 120


class Listening:
    """A ``mosquitto_sub`` that runs, and says each line at once; for a message QoS, RETAIN, topic, payload."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            ["stdbuf", "-oL", "mosquitto_sub", "-d", "-F", "> %q %r %t %p", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._end = Timer(PATIENCE, self.process.kill)
        self._end.start()
        self.said = ""

    def line(self, pattern: str) -> re.Match[str]:
        """The next line that begins like this."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line
            if found := re.match(pattern, line):
                return found
        raise AssertionError(f"it ended without {pattern!r}; it said:\n{self.said}")

    def message(self) -> tuple[int, bool, str, str]:
        """The next message."""
        found = self.line(r"> (\d) (\d) (\S+) (.*)")
        return int(found[1]), found[2] == "1", found[3], found[4]

    def __enter__(self) -> Self:
        self.line("Subscribed")
        return self

    def __exit__(self, *_: object) -> None:
        self._end.cancel()
        self.process.kill()
        self.process.communicate()


class Paho:
    """A paho client; what its thread hears comes out of queues here."""

    def __init__(self, port: int, client_id: str, certificate: Path | None = None) -> None:
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id)
        self.client.username_pw_set("anybody", KEY)
        if certificate is not None:
            self.client.tls_set(str(certificate))
        self._connected: queue.Queue[str] = queue.Queue()
        self._subscribed: queue.Queue[list[int]] = queue.Queue()
        self._messages: queue.Queue[tuple[str, bytes, int, bool]] = queue.Queue()
        self.client.on_connect = lambda c, u, f, reason, p: self._connected.put(str(reason))
        self.client.on_subscribe = lambda c, u, m, codes, p: self._subscribed.put([code.value for code in codes])
        self.client.on_message = lambda c, u, m: self._messages.put((m.topic, bytes(m.payload), m.qos, m.retain))
        self.client.connect_async("127.0.0.1", port)
        self.client.loop_start()
        self.outcome = self._connected.get(timeout=PATIENCE)

    def subscribe(self, *filters: str, qos: int = 1) -> list[int]:
        self.client.subscribe([(topic_filter, qos) for topic_filter in filters])
        return self._subscribed.get(timeout=PATIENCE)

    def publish(self, topic: str, payload: bytes, qos: int = 1, retain: bool = False) -> None:
        self.client.publish(topic, payload, qos, retain).wait_for_publish(PATIENCE)

    def message(self) -> tuple[str, bytes, int, bool]:
        return self._messages.get(timeout=PATIENCE)

    def document(self, topic: str, wanted: Callable[[Any], bool]) -> Any:
        """The first document on a topic that is as wanted."""
        while True:
            found, payload, _, _ = self.message()
            if found == topic and wanted(document := json.loads(payload)):
                return document

    def stop(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


class ClientsJourney(Journey):
    """The clients' port is open, for one key."""

    speed = SLOW
    certificate: Path | None = None

    def listen(self) -> str:
        """The endpoint."""
        return "tcp:0:interface=127.0.0.1"

    def more(self) -> str:
        digest = hashlib.sha256(KEY.encode()).hexdigest()
        return f"""
            [mqtt.clients]
            listen = {json.dumps(self.listen())}
            [[mqtt.clients.keys]]
            name = "home"
            sha256 = "{digest}"
            scopes = ["view", "control"]
            """

    def setUp(self) -> None:
        super().setUp()
        self.port = self.daemon.ports["mqtt clients"][0]["port"]

    def print(self) -> None:
        """The printer prints."""
        file = self.directory / "vase.goo"
        write_goo(file, layers=LAYERS, resolution=(5760, 3600), machine="ELEGOO Mars 4 Max")
        self.upload(file)
        self.start(file.name)
        self.daemon.wait_until(self.slug, lambda p: p["phase"] == "PRINTING" and p["layer"] > 0)

    def paho(self, client_id: str) -> Paho:
        client = Paho(self.port, client_id, self.certificate)
        self.addCleanup(client.stop)
        self.assertEqual(client.outcome, "Success")
        return client

    def options(self, key: str = KEY, port: int = 0) -> list[str]:
        """How the programs of mosquitto-clients reach the port."""
        found = ["-h", "127.0.0.1", "-p", str(port or self.port), "-u", "anybody", "-P", key]
        return found if self.certificate is None else [*found, "--cafile", str(self.certificate)]

    def mosquitto_pub(self, *arguments: str) -> None:
        subprocess.run(["mosquitto_pub", *self.options(), *arguments], check=True, timeout=PATIENCE)

    def refused(self, *arguments: str) -> str:
        """What mosquitto_sub says when it is not let in."""
        command = ["mosquitto_sub", "-t", "#", "-W", "20", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        self.assertNotIn(done.returncode, (0, 27), "27: it was let in and waited")
        return done.stdout + done.stderr


@pytest.mark.end_to_end
class PahoTests(ClientsJourney):
    """paho-mqtt 2, as scripts and Home Assistant use it."""

    def test_print(self) -> None:
        """A client sees the print in the printer's words and in ours, pauses it, resumes it, and sees that, too."""
        self.print()
        client = self.paho("script")
        self.assertEqual(client.subscribe("/sdcp/status/+", "sdcpd/+/state", "sdcpd/+/result", qos=2), [2, 2, 2])
        topic, state = f"sdcpd/{self.slug}/state", f"sdcpd/{self.slug}/result"
        first = client.document(topic, lambda _: True)
        self.assertEqual((first["phase"], first["total_layers"], first["id"]), ("PRINTING", LAYERS, self.slug))
        raw = client.document(f"/sdcp/status/{first['mainboard_id']}", lambda _: True)
        self.assertGreater(raw["Data"]["Status"]["PrintInfo"]["CurrentLayer"], 0)
        for command, phase in (("pause", "PAUSED"), ("resume", "PRINTING")):
            client.publish(f"sdcpd/{self.slug}/command", json.dumps({"command": command, "id": command}).encode())
            result = client.document(state, lambda _: True)
            self.assertEqual(result, {"id": command, "command": command, "ok": True, "ack": 0})
            client.document(topic, lambda p, phase=phase: p["phase"] == phase)  # type: ignore[misc]  # its default
        client.publish(f"sdcpd/{self.slug}/command", b'{"command": "resume"}')
        refusal = client.document(state, lambda _: True)
        self.assertEqual((refusal["ok"], refusal["error"]["code"]), (False, "not_now"))
        done = client.document(topic, lambda p: p["job"] and p["job"]["ended"])
        self.assertEqual(done["job"]["state"], "finished")
        self.assertEqual(self.starts(), 1)

    def test_own_topics(self) -> None:
        """Two clients exchange topics of their own, at each QoS and retained; a printer hears none of it."""
        one, two = self.paho("one"), self.paho("two")
        one.subscribe("home/#", qos=2)
        for qos in (0, 1, 2):
            two.publish("home/light", b"%d" % qos, qos)
            self.assertEqual(one.message(), ("home/light", b"%d" % qos, qos, False))
        two.publish("home/door", b"open", 1, retain=True)
        self.assertEqual(one.message(), ("home/door", b"open", 1, False))
        late = self.paho("late")
        late.subscribe("#", qos=0)
        while (found := late.message())[0] != "home/door":
            self.assertTrue(found[0].startswith(("sdcpd/", "/sdcp/")), found)
        self.assertEqual(found, ("home/door", b"open", 0, True))


@pytest.mark.end_to_end
@needs("mosquitto_sub", "mosquitto_pub", "stdbuf")
class MosquittoTests(ClientsJourney):
    """mosquitto_sub and mosquitto_pub, as in everybody's examples."""

    def test_watch(self) -> None:
        """The retained state is there at once, marked as such; then news of the print come by themselves."""
        with Listening(*self.options(), "-q", "1", "-t", "sdcpd/+/state", "-t", "/sdcp/status/+") as listening:
            qos, retain, topic, payload = listening.message()
            self.assertEqual((qos, retain, topic), (1, True, f"sdcpd/{self.slug}/state"))
            self.assertIs(json.loads(payload)["online"], True)
            self.print()
            topics: set[str] = set()
            layer = 0
            while layer < 5 or len(topics) < 2:
                _, retain, topic, payload = listening.message()
                self.assertFalse(retain)
                topics.add(topic.split("/")[1])
                if topic.endswith("/state"):
                    layer = max(layer, json.loads(payload)["layer"])

    def test_exchange(self) -> None:
        """A message of QoS 2 comes through between two clients, a retained one is there later."""
        with Listening(*self.options(), "-q", "2", "-t", "home/+") as listening:
            self.mosquitto_pub("-q", "2", "-t", "home/a", "-m", "exactly once")
            self.assertEqual(listening.message(), (2, False, "home/a", "exactly once"))
        self.mosquitto_pub("-q", "1", "-r", "-t", "home/b", "-m", "kept")
        with Listening(*self.options(), "-q", "0", "-t", "home/#") as listening:
            self.assertEqual(listening.message(), (0, True, "home/b", "kept"))

    def test_pause(self) -> None:
        """The command of the documentation pauses the print."""
        self.print()
        with Listening(*self.options(), "-t", f"sdcpd/{self.slug}/result") as listening:
            self.mosquitto_pub("-q", "1", "-t", f"sdcpd/{self.slug}/command", "-m", '{"command": "pause"}')
            result = json.loads(listening.message()[3])
        self.assertEqual(result, {"id": None, "command": "pause", "ok": True, "ack": 0})
        self.daemon.wait_until(self.slug, lambda p: p["phase"] == "PAUSED")

    def test_refused(self) -> None:
        """Nobody comes in with a wrong key, without one, with MQTT 5, or at the printers' port; each is told why."""
        self.assertIn("bad user name or password", self.refused(*self.options("wrong")))
        self.assertIn("not authorised", self.refused("-h", "127.0.0.1", "-p", str(self.port)))
        self.assertIn("not authorised", self.refused(*self.options(port=self.daemon.ports["mqtt"][0]["port"])))
        self.assertIn("Unsupported Protocol Version", self.refused(*self.options(), "-V", "mqttv5"))
        self.daemon.server.wait_for("CONNECT speaks 'MQTT' level 5")
        self.assertIs(self.daemon.get("/v1/printers")[0]["online"], True)


@pytest.mark.end_to_end
@needs("mosquitto_sub", "mosquitto_pub", "stdbuf")
class TlsTests(ClientsJourney):
    """The clients' port with TLS."""

    def listen(self) -> str:
        found = dict(zip(("certKey", "privateKey"), certificate_pem(), strict=True))
        for name, pem in found.items():
            (self.directory / f"{name}.pem").write_bytes(pem)
        self.certificate = self.directory / "certKey.pem"
        return "ssl:0:interface=127.0.0.1" + "".join(f":{name}={self.directory / name}.pem" for name in found)

    def test_tls(self) -> None:
        """Both programs check the certificate and get their messages, small and large."""
        client = self.paho("safe")
        client.subscribe("sdcpd/+/state", "home/#", qos=2)
        topic, _, _, retain = client.message()
        self.assertEqual((topic, retain), (f"sdcpd/{self.slug}/state", True))
        with Listening(*self.options(), "-q", "2", "-t", "home/#") as listening:
            self.mosquitto_pub("-q", "2", "-t", "home/a", "-m", "x" * 100_000)
            self.assertEqual(len(listening.message()[3]), 100_000)
        while (found := client.message())[0] != "home/a":
            pass
        self.assertEqual(len(found[1]), 100_000)
