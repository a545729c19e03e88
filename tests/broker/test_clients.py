"""The clients' door: who comes in, and which topics are whose."""

from __future__ import annotations

import hashlib

from sdcpd.broker import Server, Violation
from sdcpd.broker.clients import CLIENTS_LIMITS, ClientsPolicy, is_command, is_ours, may_match_ours
from sdcpd.broker.printers import PRINTERS_LIMITS
from sdcpd.codec import mqtt
from sdcpd.codec.mqtt import Will
from sdcpd.config import MqttClients, MqttKey
from sdcpd.keys import Keys
from sdcpd.logs import LINES, WHILE
from sdcpd.records import Key
from tests.broker.boards import OWN, Board, PrintersTestCase
from tests.broker.kit import Client, ConnAck, ServerTestCase, connect_packet, payloads
from tests.fakes import ID, FakeKeyRecords, status_json, status_payload, wall

COMMAND = "sdcpd/saturn/command"
KEYS = {
    "viewer": ("view",),
    "pilot": ("view", "control"),
    "blind": ("control",),
    "nobody": (),
}
"""The names of the keys; the key itself is ``key of <name>``."""


def settings(anonymous: bool = False) -> MqttClients:
    keys = tuple(
        MqttKey(name, hashlib.sha256(f"key of {name}".encode()).hexdigest().upper(), scopes)  # type: ignore[arg-type]
        for name, scopes in KEYS.items()
    )
    return MqttClients("tcp:1884", anonymous, keys)


class ClientsTestCase(ServerTestCase):
    """A clients' door with one key of each kind."""

    anonymous = False

    def setUp(self) -> None:
        super().setUp()
        self.obeyed: list[tuple[str, bytes, str, bool]] = []
        self.scopes: list[frozenset[str]] = []
        self.managed = Keys(FakeKeyRecords(), wall)
        self.policy = ClientsPolicy(settings(self.anonymous), self.obey, self.clock.seconds, self.managed.find)
        self.clients = self.serve(self.policy)

    def obey(self, slug: str, payload: bytes, by: str, scopes: frozenset[str], repeated: bool) -> None:
        self.obeyed.append((slug, payload, by, repeated))
        self.scopes.append(scopes)

    def serve(self, policy: ClientsPolicy) -> Server:
        server = Server(self.clock, self.router, policy, CLIENTS_LIMITS)
        server.doStart()
        self.addCleanup(server.doStop)
        return server

    def try_password(self, password: bytes | None, user: str | None = "", will: Will | None = None) -> int:
        """The return code of a CONNECT."""
        client = Client(self.clients)
        client.say(connect_packet("c", will=will, username=user, password=password))
        (answer,) = client.take()
        assert isinstance(answer, ConnAck)
        self.assertEqual(client.over, bool(answer.code))
        return answer.code

    def come(self, key: str, client_id: str = "c", clean: bool = True, will: Will | None = None) -> Client:
        """A client with this key, connected."""
        client = Client(self.clients)
        client.say(connect_packet(client_id, clean, will=will, username="any", password=f"key of {key}".encode()))
        answer = client.take()[0]
        assert isinstance(answer, ConnAck)
        self.assertEqual(answer.code, 0)
        return client


class AdmissionTests(ClientsTestCase):
    """A key is the password, and the user name is free."""

    def test_right_key(self) -> None:
        """Each key lets its client in, under whatever user name."""
        for name in KEYS:
            for user in ("", "home", name):
                self.assertEqual(self.try_password(f"key of {name}".encode(), user), 0)

    def test_wrong_key(self) -> None:
        """A wrong key is refused with the code for that, and counted; the key is not in the log."""
        for password in (b"key of viewe", b"key of viewer ", b"viewer", b"\xff\x00"):
            self.assertEqual(self.try_password(password), 4)
        hashed = hashlib.sha256(b"key of viewer").hexdigest().encode()
        self.assertEqual(self.try_password(hashed), 4)
        self.assertEqual(self.clients.violations[Violation.POLICY], 5)
        self.assertNotIn("key of", "".join(self.lines))

    def test_no_key(self) -> None:
        """Without a password, or with an empty one, nobody comes in."""
        for user in (None, "viewer"):
            self.assertEqual(self.try_password(None, user), 5)
        self.assertEqual(self.try_password(b"", "viewer"), 5)

    def test_printer(self) -> None:
        """A printer that dials the wrong port is no client."""
        client = Client(self.clients)
        self.assertEqual(client.connect(ID), (False, 5))

    def test_mqtt_5(self) -> None:
        """MQTT 5 is refused with the code that says so."""
        client = Client(self.clients)
        client.raw(b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01a")
        self.assertEqual(client.take(), [ConnAck(False, 1)])


class ManagedKeyTests(ClientsTestCase):
    """Keys that are made while the daemon runs."""

    def key(self, *scopes: str, name: str = "pilot", printers: tuple[str, ...] = ()) -> tuple[Key, str]:
        return self.successResultOf(self.managed.make(name, scopes, printers))

    def enter(self, text: str, client_id: str = "a/b") -> Client:
        client = Client(self.clients)
        client.say(connect_packet(client_id, True, username="any", password=text.encode()))
        return client

    def test_scopes(self) -> None:
        """Such a key is a password like any other, and every scope includes looking; upload commands nothing."""
        for scopes, obeyed in (
            (("control",), 1),
            (("admin",), 1),
            (("upload", "plate"), 1),
            (("queue",), 1),
            (("upload",), 0),
            (("view",), 0),
        ):
            self.obeyed.clear()
            client = self.enter(self.key(*scopes, name="-".join(scopes))[1])
            self.assertEqual(client.take()[0], ConnAck(False, 0))
            self.assertEqual(client.subscribe("sdcpd/#"), (0,))
            client.publish(COMMAND)
            self.assertEqual(len(self.obeyed), obeyed, scopes)

    def test_own_names(self) -> None:
        """A key made here and one of the configuration with the same name do not take over each other's sessions."""
        old = self.come("pilot", "c")
        self.enter(self.key("view")[1], "c")
        self.assertFalse(old.over)

    def test_limited(self) -> None:
        """A key that is limited to printers stays outside: here it could see the others."""
        client = self.enter(self.key("view", printers=(ID,))[1])
        self.assertEqual(client.take(), [ConnAck(False, 5)])
        self.assertTrue(client.over)
        self.assertIn("limited to printers", "".join(self.lines))

    def test_revoked(self) -> None:
        """Those who came in with a key can be found, and put out, when it is revoked; it opens nothing then."""
        key, text = self.key("view")
        other = self.enter(self.key("view", name="other")[1])
        clients = [self.enter(text, client_id) for client_id in ("a/b", "c", "c")]
        self.assertEqual([client.over for client in clients], [False, True, False])
        self.assertEqual(len(self.policy.sessions(key)), 2)
        self.successResultOf(self.managed.revoke(key.name))
        for session in self.policy.sessions(key):
            self.router.end(session, "its key was revoked")
        self.assertEqual([client.over for client in clients], [True, True, True])
        self.assertEqual((other.over, self.policy.sessions(key)), (False, []))
        refused = self.enter(text)
        self.assertEqual(refused.take(), [ConnAck(False, 4)])


class AnonymousTests(ClientsTestCase):
    """With ``anonymous = true``."""

    anonymous = True

    def test_no_key(self) -> None:
        """Whoever brings no key may read, and exchange topics of its own, and not command."""
        self.assertEqual(self.try_password(None, None), 0)
        self.assertEqual(self.try_password(None, "home"), 0)
        client = Client(self.clients)
        self.assertEqual(client.connect().code, 0)
        self.assertEqual(client.subscribe("/sdcp/#", "sdcpd/#", "#", qos=2), (2, 2, 2))
        client.publish(COMMAND)
        self.assertEqual(client.take(), [])
        client.publish("home/light", b"on")
        self.assertEqual(payloads(client.take()), [b"on"])
        self.assertEqual(self.obeyed, [])

    def test_wrong_key(self) -> None:
        """Whoever brings a wrong key, or an empty one, meant to be somebody: refused."""
        self.assertEqual(self.try_password(b"key of nobody else"), 4)
        self.assertEqual(self.try_password(b""), 5)

    def test_apart(self) -> None:
        """An anonymous client takes over no session of a key, though it uses its client id."""
        keyed = self.come("viewer", "c", clean=False)
        for client_id in ("c", "viewer/c", "/viewer/c"):
            client = Client(self.clients)
            self.assertEqual(client.connect(client_id, clean=False), (False, 0))
        self.assertFalse(keyed.over)


class SubscribeTests(ClientsTestCase):
    """Who may hear what."""

    OURS = ("#", "+", "+/#", "+/+", "/#", "/+", "/+/+/+", "/sdcp", "/sdcp/#", f"/sdcp/status/{ID}", "sdcp/#",
            "sdcpd", "sdcpd/#", "sdcpd/+/state", "+/saturn/state", "+/sdcp/#")  # fmt: skip
    THEIRS = ("home/#", "home", "sdcpdx/#", "sdcpx", "/", "/home/#", "home/sdcpd/+", "//sdcp", "SDCPD/#", "a/+/#")

    def test_view(self) -> None:
        """With view, everything may be subscribed to."""
        for key in ("viewer", "pilot"):
            self.assertEqual(self.come(key).subscribe(*self.OURS, *self.THEIRS, qos=1), (1,) * 26)

    def test_without_view(self) -> None:
        """Without view, every filter that could match a topic of the daemon's is refused, all others are granted."""
        for key in ("blind", "nobody"):
            codes = self.come(key).subscribe(*self.OURS, *self.THEIRS, qos=2)
            self.assertEqual(codes, (0x80,) * 16 + (2,) * 10)

    def test_no_filter_leaks(self) -> None:
        """What may not match our topics indeed matches none of them."""
        topics = ("/sdcp/status/x", "/sdcp", "sdcp/status/x", "sdcpd", "sdcpd/a/state", "sdcpd/a/command", "sdcp")
        for topic in topics:
            self.assertTrue(is_ours(topic), topic)
        for topic_filter in self.THEIRS:
            self.assertFalse(may_match_ours(topic_filter))
            self.assertFalse(any(mqtt.matches(topic_filter, topic) for topic in topics), topic_filter)

    def test_revoked(self) -> None:
        """A key that loses its view loses the subscriptions that need it, also in a stored session."""
        client = self.come("viewer", "c", clean=False)
        client.subscribe("sdcpd/#", "home/#", qos=1)
        client.vanish()
        poorer = settings()
        keys = tuple(MqttKey(key.name, key.sha256, ()) for key in poorer.keys)
        self.clients = self.serve(
            ClientsPolicy(MqttClients("x", False, keys), self.obey, self.clock.seconds, self.managed.find)
        )
        client = self.come("viewer", "c", clean=False)
        self.router.publish("sdcpd/a/state", b"secret", 1)
        self.router.publish("home/a", b"own", 1)
        self.assertEqual(payloads(client.take()), [b"own"])


class PublishTests(ClientsTestCase):
    """Who may say what."""

    def test_own_topics(self) -> None:
        """Clients of any keys exchange their own topics: at each QoS, retained, and by Will."""
        reader = self.come("viewer", "reader")
        reader.subscribe("home/#", qos=2)
        writer = self.come("nobody", "writer", will=Will("home/writer", b"gone", 1, True))
        for qos in (0, 1, 2):
            writer.publish("home/light", b"%d" % qos, qos, packet_id=qos, retain=True)
        self.assertEqual(payloads(reader.take()), [b"0", b"1", b"2"])
        writer.vanish()
        self.assertEqual(payloads(reader.take()), [b"gone"])
        late = self.come("blind", "late")
        late.subscribe("home/+")
        self.assertEqual(sorted(payloads(late.take())), [b"2", b"gone"])

    def test_ours(self) -> None:
        """Nobody writes on the daemon's topics, whatever the key: acknowledged, dropped, and said in the log."""
        heard: list[str] = []
        self.router.watch("#", lambda topic, _: heard.append(topic))
        self.router.watch("$SYS/#", lambda topic, _: heard.append(topic))
        topics = ("/sdcp/status/x", f"sdcp/status/{ID}", OWN, "sdcpd/a/state", "sdcpd/a/result", "sdcpd/command",
                  "sdcpd/a/b/command", "sdcpd", "/sdcp", "$SYS/a", "sdcpd/a/command/")  # fmt: skip
        for key in ("viewer", "pilot", "blind"):
            client = self.come(key, key)
            for topic in topics:
                client.publish(topic, b"forged", 1, 7, retain=True)
                self.assertEqual(client.take(), [mqtt.PubAck(7)])
        self.assertEqual((heard, self.router.retained("#")), ([], []))
        self.assertEqual(self.obeyed, [])
        self.assertEqual(len([line for line in self.lines if "may not publish" in line]), LINES)
        self.clock.advance(WHILE)
        client.publish("sdcpd/a/state")
        self.assertIn("key:blind may not publish on sdcpd/a/state", self.lines[-1])
        client.publish("sdcpd/\nforged\x1b[31m" + "x" * 1000)
        self.assertIn("may not publish on sdcpd/\\nforged\\x1b[31mx", self.lines[-1])
        self.assertLess(len(self.lines[-1]), 250)

    def test_command(self) -> None:
        """With control, a command is obeyed once, in the name of the key; at every QoS."""
        for key in ("pilot", "blind"):
            client = self.come(key, key)
            for qos in (0, 1, 2):
                client.publish(COMMAND, b"%d" % qos, qos)
            self.assertEqual(self.obeyed, [("saturn", b"%d" % qos, f"key:{key}", False) for qos in (0, 1, 2)])
            self.obeyed.clear()

    def test_command_without_control(self) -> None:
        """Without control, a command is dropped."""
        for key in ("viewer", "nobody"):
            self.come(key, key).publish(COMMAND, b"stop", 1)
        self.assertEqual(self.obeyed, [])

    def test_retained_command(self) -> None:
        """A retained command is not obeyed and not kept: it would be obeyed again and again."""
        self.come("pilot").publish(COMMAND, b"print", 1, retain=True)
        self.assertEqual((self.obeyed, self.router.retained("#")), ([], []))
        self.assertIn("with RETAIN", self.lines[-1])

    def test_repeated_command(self) -> None:
        """A command that is sent again says so, at QoS 1 and 2; also after a new session forgot its identifier."""
        for qos in (1, 2):
            client = self.come("pilot")
            client.publish(COMMAND, b"print", qos, 9)
            client.vanish()
            again = self.come("pilot")
            again.publish(COMMAND, b"print", qos, 9, dup=True)
            self.assertEqual([repeated for *_, repeated in self.obeyed], [False, True])
            self.obeyed.clear()

    def test_sent_twice_at_qos_2(self) -> None:
        """Within one session a command at QoS 2 comes once, however often it is sent."""
        client = self.come("pilot", clean=False)
        client.publish(COMMAND, b"print", 2, 9)
        client.vanish()
        client = self.come("pilot", clean=False)
        client.publish(COMMAND, b"print", 2, 9, dup=True)
        client.say(mqtt.PubRel(9))
        self.assertEqual([payload for _, payload, *_ in self.obeyed], [b"print"])

    def test_will(self) -> None:
        """A Will on a topic of the daemon's, a command above all, is refused at once: code 5, and said in the log."""
        for topic in (COMMAND, "sdcpd/a/state", f"/sdcp/status/{ID}"):
            self.assertEqual(self.try_password(b"key of pilot", will=Will(topic, b"stop", 1, False)), 5)
            self.assertIn(f"key:pilot at 10.0.0.1 may not leave a Will on {topic}", "\n".join(self.lines))

    def test_is_command(self) -> None:
        """Only ``sdcpd/<slug>/command`` is a command."""
        for topic in ("sdcpd/command", "/sdcpd/a/command", "sdcpd/a/b/command", "sdcpd/a/commands", "x/a/command"):
            self.assertFalse(is_command(topic), topic)
        self.assertTrue(is_command(COMMAND))


class SessionTests(ClientsTestCase):
    """A client id is no proof of anything."""

    def test_other_key(self) -> None:
        """Clients of different keys use the same client id side by side."""
        one = self.come("viewer", "phone", clean=False)
        one.subscribe("home/#", qos=1)
        two = self.come("pilot", "phone", clean=False)
        self.assertFalse(one.over)
        self.router.publish("home/a", b"for one", 1)
        self.assertEqual((payloads(one.take()), payloads(two.take())), ([b"for one"], []))

    def test_other_names(self) -> None:
        """No client id leads into the session of another key."""
        one = self.come("viewer", "phone", clean=False)
        for client_id in ("viewer/phone", "../viewer/phone", "client/viewer/phone"):
            other = Client(self.clients)
            other.say(connect_packet(client_id, False, username="", password=b"key of pilot"))
            self.assertEqual(other.take(), [ConnAck(False, 0)])
        self.assertFalse(one.over)

    def test_same_key(self) -> None:
        """The same key and client id is the same client: its old connection ends, its session goes on."""
        old = self.come("viewer", "phone", clean=False)
        old.subscribe("home/#")
        new = Client(self.clients)
        new.say(connect_packet("phone", False, username="", password=b"key of viewer"))
        self.assertEqual(new.take(), [ConnAck(True, 0)])
        self.assertTrue(old.over)


class BothDoorsTests(PrintersTestCase):
    """Printers and clients share one router."""

    def setUp(self) -> None:
        super().setUp()
        policy = ClientsPolicy(settings(anonymous=True), lambda *_: None, self.clock.seconds, lambda _: None)
        self.clients = Server(self.clock, self.router, policy, CLIENTS_LIMITS)
        self.clients.doStart()
        self.addCleanup(self.clients.doStop)

    def test_printers_session(self) -> None:
        """A client that calls itself like a printer does not disturb the printer, and hears none of its requests."""
        board = self.ready()
        for client_id in (ID, f"printer/{ID}", f"/printer/{ID}"):
            client = Client(self.clients)
            self.assertEqual(client.connect(client_id), (False, 0))
            self.assertEqual(client.subscribe(OWN, "#", qos=1), (1, 1))
            self.assertFalse(board.over)
            self.ask()
            self.assertEqual(client.take(), [])
            board.say(mqtt.PubAck(board.requests()[0].packet_id))
            client.vanish()
        self.assertIn(ID, self.links)

    def test_raw(self) -> None:
        """What a printer says reaches clients as it was said; what clients say never reaches a printer."""
        board = self.ready()
        board.subscribe("#", OWN, qos=1)
        client = Client(self.clients)
        client.connect()
        client.subscribe("/sdcp/status/+", qos=1)
        status = status_payload(status_json(1, 2))
        board.tell("status", status, 1, 5)
        self.assertEqual(payloads(client.take()), [status])
        board.got()
        client.publish(OWN, b"forged")
        client.publish("home/light", b"on")
        self.assertEqual(board.got(), b"")

    def test_printers_door(self) -> None:
        """A key is worth nothing at the printers' port."""
        board = Board(self.printers)
        board.say(connect_packet("c", username="any", password=b"key of pilot"))
        self.assertEqual(board.take(), [ConnAck(False, 5)])

    def test_slow_client(self) -> None:
        """A client that does not read is cut off, and its printer goes on."""
        board = self.ready()
        client = Client(self.clients)
        client.connect()
        client.subscribe("/sdcp/#")
        client.protocol.pauseProducing()
        padded = status_payload(status_json(1, 2), Padding="x" * 100_000)
        for number in range(CLIENTS_LIMITS.queued_bytes // 100_000 + 1):
            board.tell("status", padded, 1, number + 1)
        self.assertTrue(client.over)
        self.assertFalse(board.over)
        self.assertIn(ID, self.links)
        self.assertLess(len(padded), PRINTERS_LIMITS.packet_size)
