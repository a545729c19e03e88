"""The printers' door: who is let in, what may be subscribed to and said there."""

from __future__ import annotations

from sdcpd.broker import Server
from sdcpd.broker.clients import CLIENTS_LIMITS
from sdcpd.codec import mqtt
from sdcpd.codec.mqtt import Connect, Publish, Subscribe, Unsubscribe, Will
from sdcpd.codec.sdcp import Command
from sdcpd.errors import LinkLost
from sdcpd.fleet import Reachability
from tests.broker.boards import OWN, Board, PrintersTestCase, commands
from tests.broker.kit import Client, connect_packet, payloads
from tests.client_packets import encode
from tests.fakes import HOME, ID, OTHER_ID, JsonObject, announcement, logged, status_json, status_payload

NOT_AUTHORIZED = b"\x20\x02\x00\x05"
ACCEPTED = b"\x20\x02\x00\x00"


class AdmissionTests(PrintersTestCase):
    """Boards cannot say a password: what discovery knows decides."""

    def test_welcome(self) -> None:
        """A printer that discovery found connects, subscribes, is online and is asked for its status."""
        board = self.board()
        self.assertTrue(board.wire.no_delay)
        self.assertEqual(board.connect(ID), (False, 0))
        self.assertNotIn(ID, self.links)
        self.assertEqual(board.subscribe(OWN, qos=1), (1,))
        self.assertEqual(commands(board.requests()), [0])
        self.assertIs(self.fleet.get(ID).reachability, Reachability.ONLINE)
        self.assertTrue(self.said(f"{ID} is connected from {HOME}"))

    def refused(self, board: Board, answer: bytes) -> None:
        self.assertEqual(board.got(), answer)
        self.assertTrue(board.over)
        self.assertEqual(len(self.links), 0)

    def test_unknown_id(self) -> None:
        """A client whose id no discovered printer has is refused, and the log names it."""
        board = self.board()
        board.say(connect_packet("mosquitto_pub"))
        self.refused(board, NOT_AUTHORIZED)
        self.assertTrue(self.said("mosquitto_pub", HOME))

    def test_other_letter_case(self) -> None:
        """The MainboardID counts as the board spells it."""
        board = self.board()
        board.say(connect_packet(ID.lower()))
        self.refused(board, NOT_AUTHORIZED)

    def test_wrong_address(self) -> None:
        """Nobody else on the network can pretend to be a printer, and the printer stays connected."""
        ready = self.ready()
        board = self.board("192.0.2.66")
        board.say(connect_packet(ID))
        self.assertEqual(board.got(), NOT_AUTHORIZED)
        self.assertFalse(ready.over)

    def test_retain(self) -> None:
        """Nothing that a board says is kept for later: it would crowd out what clients keep, and be old news."""
        board = self.ready()
        for number in range(100):
            board.publish(f"/sdcp/kind{number}/{ID}", b"{}", 1, 1, retain=True)
        self.assertEqual(self.router.counters.retained, 0)

    def test_never_seen(self) -> None:
        """A printer that is only configured has no address yet, and is not admitted from an empty one."""
        self.fleet.announced(announcement(OTHER_ID), "")
        board = self.board("")
        board.say(connect_packet(OTHER_ID))
        self.refused(board, NOT_AUTHORIZED)

    def test_nothing_after_refusal(self) -> None:
        """What a refused client sends in the same breath is not looked at."""
        board = self.board()
        board.say(
            connect_packet("nobody"),
            Subscribe(1, (("#", 1),)),
            Publish(f"/sdcp/status/{ID}", status_payload(status_json(1, 2)), 0, False, False, 0),
        )
        self.refused(board, NOT_AUTHORIZED)
        board.say(Subscribe(1, ((OWN, 1),)))
        self.assertIsNone(self.fleet.get(ID).status)

    def test_other_protocols(self) -> None:
        """MQTT 5, and another protocol name, are refused with the code that says so."""
        for at, byte in ((8, 5), (4, ord("X"))):
            board = self.board()
            packet = bytearray(encode(connect_packet(ID)))
            packet[at] = byte
            board.raw(bytes(packet))
            self.refused(board, b"\x20\x02\x00\x01")

    def test_empty_id(self) -> None:
        """An empty client id is nobody's: refused with CleanSession as without."""
        board = self.board()
        board.say(connect_packet(""))
        self.refused(board, NOT_AUTHORIZED)
        board = self.board()
        board.raw(b"\x10\x0c\x00\x04MQTT\x04\x00\x00\x00\x00\x00")
        self.refused(board, b"\x20\x02\x00\x02")

    def test_not_connect(self) -> None:
        """Who does not begin with CONNECT is closed."""
        board = self.board()
        board.say(mqtt.PingReq())
        self.refused(board, b"")
        self.assertTrue(self.said("PINGREQ before CONNECT"))

    def test_kept_session(self) -> None:
        """A printer that asks for its old session is told that there is none, each time."""
        for _ in range(2):
            board = self.board()
            board.say(Connect(ID, False, 60, None, None, None))
            self.assertEqual(board.got(), ACCEPTED)
            board.subscribe(OWN, qos=1)
            board.vanish()
        self.assertEqual(self.router.counters.stored, 0)

    def test_huge(self) -> None:
        """Packets that claim too much are closed at once: 4 KiB before CONNECT, 256 KiB after, 4 length bytes."""
        for prefix in (b"\x10\x81\x20", b"\x10\xff\xff\xff\xff\x01"):
            board = self.board()
            board.raw(prefix)
            self.refused(board, b"")
            board.vanish()
        board = self.ready()
        board.raw(b"\x30\xe0\xa7\x12")  # 300 KB
        self.assertTrue(board.over)
        self.assertNotIn(ID, self.links)

    def test_framing(self) -> None:
        """Segments of one byte, and two packets in one segment, are understood alike."""
        packets = encode(connect_packet(ID)) + encode(Subscribe(7, ((OWN, 0),)))
        for size in (1, len(packets)):
            board = self.board()
            for at in range(0, len(packets), size):
                board.raw(packets[at : at + size])
            self.assertTrue(board.got().startswith(ACCEPTED + b"\x90\x03\x00\x07\x00"))
            self.assertIn(ID, self.links)


class SubscribeTests(PrintersTestCase):
    """A session begins with the first filter that takes in the printer's request topic."""

    def codes(self, *pairs: tuple[str, int]) -> tuple[Board, bytes]:
        board = self.board()
        board.connect(ID)
        board.say(Subscribe(1, pairs))
        data = board.got()
        return board, data[4 : 2 + data[1]]

    def test_per_filter(self) -> None:
        """Each filter gets its own answer: the printer's own topic, all of SDCP, and somebody else's."""
        _, codes = self.codes(
            (OWN, 1), ("/sdcp/#", 0), (f"/sdcp/request/{OTHER_ID}", 1), ("#", 2), (f"/sdcp/response/{ID}", 1)
        )
        self.assertEqual(codes, b"\x01\x00\x80\x01\x80")
        self.assertIn(ID, self.links)

    def test_foreign_only(self) -> None:
        """Who wants only topics of others gets nothing and no session."""
        board, codes = self.codes((f"/sdcp/request/{OTHER_ID}", 1))
        self.assertEqual(codes, b"\x80")
        self.assertNotIn(ID, self.links)
        self.assertFalse(board.over)
        self.assertTrue(self.said("topics of others"))

    def test_flood(self) -> None:
        """A connection that asks for thousands of topics of others does not fill the log."""
        self.codes(*((f"/sdcp/request/{number}", 0) for number in range(60)))
        self.assertLessEqual(len([line for line in self.lines if "topics of others" in line]), 5)

    def test_everything(self) -> None:
        """A printer that subscribes to everything is sent its requests, and nothing that anybody else says."""
        self.router.publish(f"/sdcp/status/{OTHER_ID}", b"{}", 1, retain=True)
        board = self.board()
        board.connect(ID)
        board.subscribe("#", "/sdcp/#", qos=1)
        (request,) = board.requests()
        self.assertEqual(commands([request]), [0])
        self.router.publish("home/light", b"on", 1)
        board.tell("status", status_payload(status_json(1, 2)))
        self.assertEqual(board.take(), [])
        board.say(mqtt.PubAck(request.packet_id))
        board.answer(request)
        self.assertEqual(commands(board.requests()), [1])

    def test_again(self) -> None:
        """Subscribing again changes the QoS and begins no second session."""
        board = self.ready(0)
        session = self.links.session(ID)
        self.assertEqual(board.subscribe(OWN, qos=1), (1,))
        self.assertEqual(board.got(), b"")
        self.assertIs(self.links.session(ID), session)
        self.ask()
        self.assertEqual(board.requests()[0].qos, 1)

    def test_unsubscribe(self) -> None:
        """A printer that no longer listens is no longer asked; unknown filters are acknowledged too."""
        board = self.ready()
        board.unsubscribe("/something/else", packet_id=3)
        self.assertEqual(board.got(), b"\xb0\x02\x00\x03")
        self.assertIn(ID, self.links)
        d = self.links.session(ID).request(Command.PAUSE)
        board.got()
        board.say(Unsubscribe(4, (OWN,)))
        self.assertEqual(board.got(), b"\xb0\x02\x00\x04")
        self.assertNotIn(ID, self.links)
        self.failureResultOf(d, LinkLost)
        self.assertFalse(board.over)
        board.unsubscribe(OWN, packet_id=5)
        self.assertEqual(board.got(), b"\xb0\x02\x00\x05")
        board.subscribe(OWN, qos=1)
        self.assertIn(ID, self.links)


class PublishTests(PrintersTestCase):
    """What a board says, in each form that MQTT has for it."""

    def status(self, layer: int = 9) -> bytes:
        status: JsonObject = status_json(1, 2, layer=layer)
        return status_payload(status)

    def layer(self) -> int | None:
        status = self.fleet.get(ID).status
        return status.print.current_layer if status is not None else None

    def test_qos_0(self) -> None:
        """A status at QoS 0 is taken and not acknowledged."""
        board = self.ready()
        board.tell("status", self.status())
        self.assertEqual(board.got(), b"")
        self.assertEqual(self.layer(), 9)

    def test_qos_1(self) -> None:
        """A status at QoS 1 is acknowledged at once, again when it is sent again: boards stall without it."""
        board = self.ready()
        for dup in (False, True):
            board.tell("status", self.status(), 1, 77, dup)
            self.assertEqual(board.got(), b"\x40\x02\x00\x4d")
        self.assertEqual(self.layer(), 9)

    def test_qos_2(self) -> None:
        """A message at QoS 2 is delivered once, however often it is sent before its PUBREL."""
        lines = logged(self)
        board = self.ready()
        for dup in (False, True):
            board.tell("notice", b'{"Data":{"word":1}}', 2, 8, dup)
            self.assertEqual(board.got(), b"\x50\x02\x00\x08")
        for _ in range(2):
            board.say(mqtt.PubRel(8))
            self.assertEqual(board.got(), b"\x70\x02\x00\x08")
        self.assertEqual(len([line for line in lines if "word" in line]), 1)
        board.tell("notice", b'{"Data":{"word":2}}', 2, 8)
        self.assertEqual(len([line for line in lines if "word" in line]), 2)

    def test_before_subscribe(self) -> None:
        """What a printer says before it subscribes counts already."""
        board = self.board()
        board.connect(ID)
        board.tell("status", self.status(), 1, 1)
        self.assertEqual(board.got(), b"\x40\x02\x00\x01")
        self.assertEqual(self.layer(), 9)

    def test_will(self) -> None:
        """What a printer left behind as its Will is older than its last word, and changes nothing."""
        for end in (Board.vanish, lambda _: self.ready()):
            board = self.board()
            board.connect(ID, will=Will(f"/sdcp/status/{ID}", self.status(1), 0, False))
            board.subscribe(OWN)
            board.tell("status", self.status())
            end(board)
            self.assertEqual(self.layer(), 9)
        self.assertEqual(self.failures(), 0)

    def test_for_another_printer(self) -> None:
        """A printer cannot speak for another one, nor on other topics; all are acknowledged and ignored."""
        self.fleet.announced(announcement(OTHER_ID), "192.0.2.32")
        board = self.ready()
        heard: list[str] = []
        self.router.watch("#", lambda topic, _: heard.append(topic))
        for topic in (f"/sdcp/status/{OTHER_ID}", "homeassistant/status", "/sdcp/status/", "sdcpd/a/command", OWN):
            board.publish(topic, self.status(), 1, 3, retain=True)
            self.assertEqual(board.got(), b"\x40\x02\x00\x03")
        self.assertIsNone(self.fleet.get(OTHER_ID).status)
        self.assertIsNone(self.layer())
        self.assertTrue(self.said("publishes for another"))
        self.assertTrue(self.said("foreign topic"))
        self.assertIn(ID, self.links)
        self.assertEqual((heard, self.router.counters.retained), ([], 0))

    def test_heard_by_clients(self) -> None:
        """What a printer says, clients at the other door hear as it was said."""
        other = Server(self.clock, self.router, self.server.policy, CLIENTS_LIMITS)
        other.doStart()
        self.addCleanup(other.doStop)
        client = Client(other)
        client.connect("dashboard")
        client.subscribe("/sdcp/status/+")
        self.ready().tell("status", self.status(), 1, 5)
        self.assertEqual(payloads(client.take()), [self.status()])

    def test_without_slash(self) -> None:
        """Topics without their leading slash count as well."""
        self.ready().publish(f"sdcp/status/{ID}", self.status())
        self.assertEqual(self.layer(), 9)

    def test_ping(self) -> None:
        """A ping is answered before and after SUBSCRIBE, and shows that the printer is there."""
        board = self.board()
        board.connect(ID)
        board.say(mqtt.PingReq())
        self.assertEqual(board.got(), mqtt.PINGRESP)
        board.subscribe(OWN, qos=1)
        for request in board.requests():
            board.answer(request)
        for _ in range(40):
            self.clock.advance(1)
            self.links.sweep()
            board.say(mqtt.PingReq())
        self.assertIs(self.fleet.get(ID).reachability, Reachability.ONLINE)

    def test_stray_acknowledgements(self) -> None:
        """Acknowledgements of what was never sent hurt nobody."""
        board = self.ready()
        board.say(mqtt.PubAck(999), mqtt.PubComp(9))
        self.assertEqual(board.got(), b"")
        self.assertIn(ID, self.links)

    def test_nonsense(self) -> None:
        """A message that is no SDCP is dropped, and the next one counts."""
        board = self.ready()
        board.tell("status", b"[" * 3000 + b"\xff")
        board.tell("status", self.status())
        self.assertEqual(self.layer(), 9)
