from __future__ import annotations

import gc
import itertools
import json
import tracemalloc
from typing import Any

import msgspec

from sdcpd.codec.status import Status
from sdcpd.config import parse
from sdcpd.files import wire_name
from sdcpd.scopes import granted
from sdcpd.web.client import Client as AccessClient
from sdcpd.web.octoprint.logins import user_of
from sdcpd.web.sockjs.sessions import MOST
from tests.web.octoprint.rig import JSON, OctoPrintCase
from tests.web.rig import MARS, P, head, printing
from tests.web.sockjs.rig import Client, Reading

STRANGER = "203.0.113.5"


class PushCase(OctoPrintCase):
    """Clients of the push; without more they are this machine, which may look."""

    def client(self, address: str = "127.0.0.1", path: str = P, **more: Any) -> Client:
        def ask(*given: Any, **kept: Any) -> Any:
            return self.rig.begin(*given, **{"address": address, **more, **kept})

        made = Client(ask)
        made.path = path + made.path
        return made

    def messages(self, text: str) -> list[tuple[str, Any]]:
        """The messages in the frames of a stream or of polls, as name and payload."""
        found = []
        for line in text.splitlines():
            if line.startswith("a"):
                for message in json.loads(line[1:]):
                    ((name, payload),) = message.items()
                    found.append((name, payload))
        return found

    def hear(self, stream: Reading) -> list[tuple[str, Any]]:
        return self.messages(stream.read())

    def events(self, stream: Reading) -> list[tuple[str, Any]]:
        """The events that a client heard since the last time."""
        return [(payload["type"], payload["payload"]) for name, payload in self.hear(stream) if name == "event"]

    def names(self, stream: Reading) -> list[str]:
        return [name for name, _ in self.hear(stream)]

    def say(self, client: Client, **message: Any) -> None:
        self.assertEqual(client.send(json.dumps([json.dumps(message)])).status, 204)


class BeginningTests(PushCase):
    def test_trusted(self) -> None:
        """A client whose request may look is greeted and gets the history at once."""
        (connected, greeting), (history, payload) = self.hear(self.client().stream())
        self.assertEqual((connected, history), ("connected", "history"))
        keys = "apikey branch config_hash debug display_version online permissions plugin_hash safe_mode version"
        self.assertEqual(set(greeting), set(keys.split()))
        self.assertEqual((greeting["apikey"], greeting["version"]), ("", "1.11.8"))
        keys = "busyFiles currentTool currentZ job logs markings messages offsets plugins progress resends serverTime"
        self.assertEqual(set(payload), {*keys.split(), "state", "temps"})
        self.assertEqual(payload["state"]["text"], "Operational")
        self.assertEqual(payload["resends"], {"count": 0, "transmitted": 0, "ratio": 0})
        self.assertEqual((payload["offsets"], payload["temps"], payload["currentZ"]), ({}, [], None))
        own = {"layer": 0, "total_layers": 0, "phase": "IDLE", "hold_reason": None}
        self.assertEqual(payload["plugins"], {"sdcp": own})

    def test_same_as_rest(self) -> None:
        """State, job and progress are told in the very words of the other half of the API."""
        file = self.store()
        self.rig.publish(printing(40, filename=wire_name(file)))
        history = dict(self.hear(self.client().stream()))["history"]
        job, printer = self.get("api/job"), self.get("api/printer")
        self.assertEqual(history["job"], job["job"])
        self.assertEqual(history["progress"], job["progress"])
        self.assertEqual(history["state"], printer["state"])
        self.assertEqual(history["busyFiles"], [{"origin": "local", "path": "plate.goo"}])

    def test_polling(self) -> None:
        """A client that polls gets the opening, then the greeting and the history in one frame, then what is new."""
        client = self.client()
        self.assertEqual(client.poll(), "o\n")
        self.assertEqual([name for name, _ in self.messages(client.poll())], ["connected", "history"])
        poll = client.begin("POST", "xhr")
        self.assertFalse(poll.answered)
        self.rig.publish(printing(1))
        self.assertIn('"PrinterStateChanged"', poll.reply.body.decode())

    def test_history_lines(self) -> None:
        """The history brings what happened lately, as lines, and not more than 300."""
        self.rig.fleet.happened(self.printer.id, "message", {"text": "x" * 70_000})
        for n in range(310):
            self.rig.fleet.happened(self.printer.id, "message", {"text": f"hello {n}"})
        history = dict(self.hear(self.client().stream()))["history"]
        self.assertEqual(len(history["logs"]), 300)
        self.assertEqual((history["logs"][-1], history["messages"][-1]), ("Recv: hello 309", "hello 309"))
        self.rig.fleet.happened(self.printer.id, "message", {"text": "x" * 70_000})
        history = dict(self.hear(self.client().stream()))["history"]
        self.assertEqual(len(history["messages"][-1]), 500)

    def test_temperatures(self) -> None:
        """A board that has a thermometer has its points told, and no other board any."""
        self.rig.publish(msgspec.structs.replace(printing(1), extra={"TempOfBox": 28.25}))
        history = dict(self.hear(self.client().stream()))["history"]
        (point,) = history["temps"]
        self.assertEqual(point["chamber"], {"actual": 28.25, "target": None})
        self.assertIsInstance(point["time"], int)

    def test_nothing_kept(self) -> None:
        """When nobody listens any more nothing is kept, and nobody waits for news in vain."""
        push = self.api.push
        first, second = self.client(), self.client()
        streams = [first.stream(), second.stream()]
        self.assertEqual((len(push.audiences), self.rig.fleet.waiting), (1, 1))
        streams[0].leave()
        self.assertEqual((len(push.audiences), self.rig.fleet.waiting), (1, 1))
        streams[1].leave()
        self.assertEqual((len(push.audiences), self.rig.fleet.waiting), (0, 0))
        self.rig.clock.advance(5)
        self.assertEqual(len(push.sessions), 0)

    def test_two_printers(self) -> None:
        """Who listens to one printer hears nothing of another."""
        self.rig.announce(MARS, "Mars 4")
        self.rig.connect(MARS)
        self.rig.publish(Status((0,)), MARS)
        saturn, mars = self.client().stream(), self.client(path="/printers/mars-4").stream()
        self.hear(saturn), self.hear(mars)
        self.rig.publish(printing(1), MARS)
        self.assertEqual(self.hear(saturn), [])
        self.assertIn("current", self.names(mars))


class CurrentTests(PushCase):
    """How often the present is told."""

    def setUp(self) -> None:
        super().setUp()
        self.listener = self.client()
        self.stream = self.listener.stream()
        self.hear(self.stream)
        self.rig.clock.advance(10)

    def currents(self) -> list[Any]:
        return [payload for name, payload in self.hear(self.stream) if name == "current"]

    def test_only_on_change(self) -> None:
        """Nothing is told while nothing changes."""
        for _ in range(20):
            self.rig.report(Status((0,)))
            self.rig.clock.advance(1)
        self.assertEqual(self.hear(self.stream), [])
        self.store()
        self.rig.clock.advance(1)
        self.assertEqual(set(self.names(self.stream)), {"event"})

    def test_changes(self) -> None:
        """What the printer does is told as it goes on."""
        self.store()
        self.rig.publish(printing(10))
        self.rig.clock.advance(1)
        first = self.currents()[-1]
        self.rig.publish(printing(20))
        self.rig.clock.advance(1)
        (second,) = self.currents()
        self.assertEqual((first["progress"]["completion"], second["progress"]["completion"]), (10.0, 20.0))
        self.assertEqual(second["plugins"]["sdcp"]["layer"], 20)
        self.assertEqual(second["state"]["text"], "Printing")

    def test_twice_a_second(self) -> None:
        """A printer that reports all the time is told of twice a second, with the latest that it said."""
        for n in range(1, 101):
            self.rig.report(printing(n))
            self.rig.clock.advance(0.05)
        told = self.currents()
        self.assertTrue(9 <= len(told) <= 11, len(told))
        times = [payload["serverTime"] for payload in told]
        self.assertGreaterEqual(min(b - a for a, b in itertools.pairwise(times)), 0.49)
        self.rig.clock.advance(1)
        self.assertEqual([*told, *self.currents()][-1]["plugins"]["sdcp"]["layer"], 100)

    def test_throttle(self) -> None:
        """A client that wants less hears less of the present, and of what happens as much as before."""
        self.say(self.listener, throttle=4)
        for n in range(1, 101):
            self.rig.report(printing(n))
            self.rig.clock.advance(0.05)
        self.rig.fleet.happened(self.printer.id, "print_paused", {"file": "plate.goo"})
        heard = self.hear(self.stream)
        self.assertIn(len([name for name, _ in heard if name == "current"]), (2, 3))
        self.assertIn("PrintPaused", [payload.get("type") for _, payload in heard])
        self.say(self.listener, throttle=1)
        self.assertEqual(self.currents()[-1]["plugins"]["sdcp"]["layer"], 100)

    def test_lines(self) -> None:
        """New lines come with the next present, each once."""
        self.rig.publish(printing(2))
        self.rig.clock.advance(1)
        self.currents()
        self.rig.fleet.happened(self.printer.id, "message", {"text": "one"})
        self.rig.fleet.happened(self.printer.id, "message", {"text": "two"})
        self.rig.clock.advance(1)
        self.assertEqual([line for told in self.currents() for line in told["logs"]], ["Recv: one", "Recv: two"])
        self.rig.publish(printing(3))
        self.rig.clock.advance(1)
        self.assertEqual(self.currents()[-1]["logs"], [])

    def test_latest_wins(self) -> None:
        """A client that did not read for a while gets the present once, and everything that happened meanwhile."""
        self.stream.stop()
        for n in range(1, 11):
            self.rig.publish(printing(n))
        self.assertEqual(self.hear(self.stream), [])
        self.stream.go_on()
        heard = self.hear(self.stream)
        (current,) = [payload for name, payload in heard if name == "current"]
        self.assertEqual(current["plugins"]["sdcp"]["layer"], 10)
        layers = [p["payload"]["layer"] for name, p in heard if name == "event" and p["type"] == "ZChange"]
        self.assertEqual(layers, list(range(1, 11)))

    def test_too_slow(self) -> None:
        """A client for which too much happened is hung up on, and another one hears all of it."""
        other = self.client().stream()
        self.hear(other)
        self.stream.stop()
        for n in range(70):
            self.rig.fleet.happened(self.printer.id, "print_paused", {"file": f"{n}.goo"})
        self.assertTrue(self.stream.pending.transport.disconnected)
        self.assertEqual(self.listener.poll(), 'c[1011,"slow client"]\n')
        self.assertEqual([name for name, _ in self.events(other)].count("PrintPaused"), 70)

    def test_shared(self) -> None:
        """A thousand who hear the same are told it in bytes that were made once."""
        made: list[object] = []
        documents = self.api.present.progress
        self.api.present.progress = lambda printer: made.append(printer) or documents(printer)  # type: ignore[method-assign, func-returns-value]
        streams = [self.client().stream() for _ in range(50)]
        for stream in streams:
            stream.read()
        before = len(made)
        self.rig.publish(printing(1))
        self.rig.clock.advance(1)
        self.assertLessEqual(len(made) - before, 2)
        self.assertTrue(all(any(n == "current" for n, _ in self.hear(stream)) for stream in streams))


class RightsTests(PushCase):
    """Who may hear."""

    def setUp(self) -> None:
        super().setUp()
        self.key = self.rig.key("view", name="widget")

    def stranger(self, **more: Any) -> Client:
        return self.client(STRANGER, **more)

    def login(self, key: str) -> str:
        """What a client of this key sends as ``auth``."""
        found = self.rig.keys.find(key)
        assert found is not None
        printers = frozenset(found.printers) or None
        client = AccessClient(STRANGER, False, granted(found.scopes), STRANGER, key=found.name, printers=printers)
        return f"{user_of(client)}:{self.api.logins.issue(client)}"

    def test_nobody(self) -> None:
        """Who has no rights is greeted, hears nothing, and has to go after a minute."""
        client = self.stranger()
        stream = client.stream()
        self.assertEqual(self.names(stream), ["connected"])
        self.rig.publish(printing(1))
        self.rig.fleet.happened(self.printer.id, "print_paused", {"file": "plate.goo"})
        self.assertEqual(self.hear(stream), [])
        self.rig.clock.advance(59)
        self.assertFalse(stream.over)
        self.rig.clock.advance(1)
        self.assertTrue(stream.read().endswith('c[1008,"auth expected"]\n'))

    def test_key(self) -> None:
        """A key in the request is enough."""
        stream = self.stranger(key=self.key).stream()
        self.assertEqual(self.names(stream), ["connected", "history"])

    def test_wrong_key(self) -> None:
        """A wrong one opens nothing, as everywhere."""
        self.assertEqual(self.stranger(key="sdcpd_00000000_" + "a" * 32).begin("POST", "xhr").reply.status, 403)

    def test_auth(self) -> None:
        """A login opens the ears of a client that could send no key, and no minute ends it."""
        client = self.stranger()
        stream = client.stream()
        self.hear(stream)
        self.say(client, auth=self.login(self.key))
        self.assertEqual(self.names(stream), ["history"])
        self.say(client, auth=self.login(self.key))
        self.assertEqual(self.names(stream), [])
        self.rig.clock.advance(120)
        self.assertFalse(stream.over)

    def test_wrong_auth(self) -> None:
        """A login that is none, or another one's name on it, opens nothing."""
        client = self.stranger()
        stream = client.stream()
        self.hear(stream)
        session = self.login(self.key).partition(":")[2]
        for auth in ("", "widget", "widget:", "widget:nonsense", f"admin:{session}", f":{session}", None, 7, {"a": 1}):
            self.say(client, auth=auth)
        self.assertEqual(self.hear(stream), [])

    def test_limited(self) -> None:
        """A key for one printer does not hear of another, by request or by login."""
        self.rig.announce(MARS, "Mars 4")
        limited = self.rig.key("view", name="limited", printers=[MARS])
        self.assertEqual(self.stranger(key=limited).begin("POST", "xhr").reply.status, 403)
        client = self.stranger()
        stream = client.stream()
        self.hear(stream)
        self.say(client, auth=self.login(limited))
        self.assertEqual(self.hear(stream), [])
        mars = self.stranger(path="/printers/mars-4", key=limited).stream()
        self.assertEqual(self.names(mars), ["connected", "history"])

    def test_revoked(self) -> None:
        """When a key is revoked who hears by it is told to log in again, and hears nothing until it has."""
        client, login = self.stranger(), self.stranger()
        by_key = self.stranger(key=self.key).stream()
        stream = login.stream()
        self.say(login, auth=self.login(self.key))
        for each in (by_key, stream):
            self.hear(each)
        self.rig.keys.revoke("widget")
        for each in (by_key, stream):
            self.assertEqual(self.hear(each), [("reauthRequired", {"reason": "removed"})])
        self.rig.publish(printing(1))
        self.assertEqual(self.hear(stream), [])
        other = self.rig.key("view", name="other")
        self.say(login, auth=self.login(other))
        self.assertEqual(self.names(stream), ["history"])
        del client

    def test_rights_come(self) -> None:
        """A client that begins without its key and asks with it later hears from then on."""
        client = self.stranger()
        client.poll()
        self.messages(client.poll())
        poll = client.begin("POST", "xhr", b"", {"X-Api-Key": self.key})
        self.assertEqual([name for name, _ in self.messages(poll.reply.body.decode())], ["history"])

    def test_reload(self) -> None:
        """When the rules change who came in by its address comes again, and is judged anew; a key stays."""
        trusted, by_key = self.client().stream(), self.stranger(key=self.key).stream()
        self.hear(trusted), self.hear(by_key)
        self.rig.web.configure(parse(self.config))
        self.assertEqual([name for name, _ in self.events(trusted)], ["SettingsUpdated"])
        self.rig.web.configure(parse(""))
        self.assertTrue(trusted.read().endswith('c[1012,"the rules have changed"]\n'))
        self.assertFalse(by_key.over)

    def test_reload_ends_logins(self) -> None:
        """Who logged in by its address alone cannot come back by that login when the address is trusted no more."""
        told = self.rig.post(f"{P}/api/login", {"passive": True}, JSON, address="127.0.0.1").json
        self.rig.web.configure(parse(""))
        for login, heard in ((f"{told['name']}:{told['session']}", []), (self.login(self.key), ["history"])):
            client = self.stranger()
            stream = client.stream()
            self.hear(stream)
            self.say(client, auth=login)
            self.assertEqual(self.names(stream), heard)

    def test_reload_keeps_logins(self) -> None:
        """A reload that changes no rule logs nobody out."""
        told = self.rig.post(f"{P}/api/login", {"passive": True}, JSON, address="127.0.0.1").json
        self.rig.web.configure(parse(self.config))
        client = self.stranger()
        stream = client.stream()
        self.hear(stream)
        self.say(client, auth=f"{told['name']}:{told['session']}")
        self.assertEqual(self.names(stream), ["history"])

    def test_trust_lost(self) -> None:
        """A client whose address is trusted no more when it asks again hears no more."""
        client = self.client()
        client.poll()
        client.poll()
        self.rig.web._access.configure(parse("").access, parse("").web)
        client.begin("POST", "xhr")
        self.rig.publish(printing(1))
        self.assertNotIn("current", client.poll())

    def test_stop(self) -> None:
        """When the daemon stops everybody is told, and let go."""
        stream = self.client().stream()
        self.hear(stream)
        self.rig.web.stop()
        text = stream.read()
        self.assertIn('a[{"event":{"type":"Shutdown","payload":{}}}]', text)
        self.assertTrue(text.endswith('c[3000,"Go away!"]\n'))

    def test_others(self) -> None:
        """Admins hear who comes, logs in and goes; others only that somebody does."""
        friend, boss = self.client().stream(), self.stranger(key=self.rig.admin).stream()
        self.hear(friend), self.hear(boss)
        client = self.stranger()
        stream = client.stream()
        self.say(client, auth=self.login(self.key))
        stream.leave()
        where = {"remoteAddress": STRANGER}
        told = [("ClientOpened", where), ("ClientAuthed", {**where, "username": "widget"}), ("ClientClosed", where)]
        self.assertEqual(self.events(boss), told)
        self.assertEqual(self.events(friend), [(name, {}) for name, _ in told])

    def test_crowd(self) -> None:
        """However many come and go, who does not read for a moment is not lost by it."""
        listener = self.client()
        stream = listener.stream()
        self.hear(stream)
        stream.stop()
        for _ in range(70):
            self.client().stream().leave()
        stream.go_on()
        self.assertFalse(stream.over)
        self.assertLessEqual(len(self.events(stream)), 40)


class SubscriptionTests(PushCase):
    """What a client may ask to hear."""

    def setUp(self) -> None:
        super().setUp()
        self.listener = self.client()
        self.stream = self.listener.stream()
        self.hear(self.stream)
        self.rig.clock.advance(1)

    def heard(self) -> list[tuple[str, Any]]:
        """What is told of a print that begins, a word and a pause."""
        self.rig.publish(printing(1))
        self.rig.fleet.happened(self.printer.id, "message", {"text": "said"})
        self.rig.fleet.happened(self.printer.id, "print_paused", {"file": "plate.goo"})
        self.rig.clock.advance(1)
        return self.hear(self.stream)

    def test_nothing(self) -> None:
        """Who subscribes to nothing hears nothing."""
        self.say(self.listener, subscribe={})
        self.assertEqual(self.heard(), [])

    def test_events(self) -> None:
        """Who names events hears those."""
        self.say(self.listener, subscribe={"events": ["PrintPaused", "PrintDone"]})
        self.assertEqual([p["type"] for _, p in self.heard()], ["PrintPaused"])
        self.say(self.listener, subscribe={"events": True})
        self.assertIn("PrintPaused", [p["type"] for _, p in self.heard()])

    def test_state(self) -> None:
        """Who wants the state alone hears no events, and lines only as it says."""
        self.say(self.listener, subscribe={"state": {"logs": "^Recv: s", "messages": False}, "plugins": ["x"]})
        heard = self.heard()
        self.assertEqual({name for name, _ in heard}, {"current"})
        self.assertEqual([line for _, p in heard for line in p["logs"]], ["Recv: said"])
        self.assertEqual([line for _, p in heard for line in p["messages"]], [])

    def test_state_true(self) -> None:
        """State without more brings the log and not its second form."""
        self.say(self.listener, subscribe={"state": True})
        heard = self.heard()
        self.assertIn("Recv: said", [line for _, p in heard for line in p["logs"]])
        self.assertEqual([line for _, p in heard for line in p["messages"]], [])

    def test_nonsense(self) -> None:
        """What cannot be understood changes nothing."""
        for message in ("", "{", "[]", "7", '{"subscribe": 7}', '{"throttle": "x"}', '{"unknown": 1}', "[" * 3000):
            self.assertEqual(self.listener.send(json.dumps([message])).status, 204)
        self.assertEqual(self.listener.send('[{"subscribe": {"state": 1}}, 7, null]').status, 204)
        self.assertIn("current", [name for name, _ in self.heard()])

    def test_too_long(self) -> None:
        """A message that is longer than any that means something is not read."""
        self.say(self.listener, subscribe={"events": ["x" * 4096]})
        self.assertIn("current", [name for name, _ in self.heard()])

    def test_before_login(self) -> None:
        """What a client wishes before it says who it is holds from then on; nonsense holds up nobody."""
        for wish, heard in (({"events": ["PrintPaused"]}, []), ({"state": 7}, ["history"])):
            client = self.client("203.0.113.5")
            stream = client.stream()
            self.hear(stream)
            self.say(client, subscribe=wish)
            client.begin("POST", "xhr", b"", {"X-Api-Key": self.rig.admin})  # turned away, and known from now on
            self.assertEqual(self.names(stream), heard)

    def test_plain_object(self) -> None:
        """A message that is an object and not the text of one is understood as well."""
        self.assertEqual(self.listener.send('{"subscribe": {}}').status, 204)
        self.assertEqual(self.heard(), [])


class CrowdTests(PushCase):
    def test_full(self) -> None:
        """All the sessions that a printer may have cost less than 4 KiB each, and all hear how a print goes on."""
        clients = [self.client() for _ in range(MOST)]
        line = self.rig.begin("GET", f"{P}/sockjs", address="127.0.0.1")  # one connection takes all of them
        gc.collect()
        tracemalloc.start()
        try:
            for client in clients * 2:
                line.send(head("POST", f"{client.path}/xhr", b"", {}))
                line.transport.clear()
            gc.collect()
            size = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        self.assertLess(size / MOST, 4 * 1024)
        self.assertEqual((len(self.api.push.sessions), self.rig.fleet.waiting), (MOST, 1))
        polls = [client.begin("POST", "xhr") for client in clients]
        self.rig.publish(printing(1))
        self.assertTrue(all(b"PrinterStateChanged" in poll.reply.body for poll in polls))
        self.rig.clock.advance(5)
        self.assertEqual((len(self.api.push.sessions), self.rig.fleet.waiting), (0, 0))
