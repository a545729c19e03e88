from __future__ import annotations

import json

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.broker import (
    ACK_WAIT,
    CONNECT_WAIT,
    FAREWELL,
    MAX_CONNECTIONS,
    MAX_PER_ADDRESS,
    Broker,
    PrinterConnection,
)
from sdcpd.codec import mqtt
from sdcpd.codec.mqtt import Connect, Publish, Subscribe, Unsubscribe, encode
from sdcpd.codec.sdcp import Command
from sdcpd.errors import CommandTimeout, LinkLost, PrinterOffline
from sdcpd.fleet import Fleet, Reachability
from sdcpd.links import COMMAND_TIMEOUT, DEAD, Links
from tests.fakes import (
    HOME,
    ID,
    OTHER_ID,
    JsonObject,
    announcement,
    events,
    logged,
    pump,
    response_payload,
    status_json,
    status_payload,
    wall,
)

NOT_AUTHORIZED = b"\x20\x02\x00\x05"
ACCEPTED = b"\x20\x02\x00\x00"


class Wire(StringTransport):
    """One TCP connection as the broker sees it; what was sent after its end would be found out."""

    aborted = False

    def setTcpNoDelay(self, enabled: bool) -> None:  # noqa: N802 (Twisted's name)
        self.no_delay = enabled

    def write(self, data: bytes) -> None:
        assert not self.disconnecting, "nothing may be sent after the end"
        super().write(data)

    def abortConnection(self) -> None:
        self.aborted = True


class Board:
    """A printer's side of one connection, byte by byte."""

    def __init__(self, broker: Broker, address: str = HOME) -> None:
        protocol = broker.buildProtocol(IPv4Address("TCP", address, 40_000))
        assert protocol is not None
        self.protocol: PrinterConnection = protocol
        self.wire = Wire(peerAddress=IPv4Address("TCP", address, 40_000))
        self.protocol.makeConnection(self.wire)

    def say(self, *packets: mqtt.Packet) -> None:
        """Send packets, all in one segment."""
        self.raw(b"".join(map(encode, packets)))

    def raw(self, data: bytes) -> None:
        self.protocol.dataReceived(data)

    def take(self) -> bytes:
        """What the broker sent since the last look."""
        data: bytes = self.wire.value()
        self.wire.clear()
        return data

    def connect(self, client_id: str = ID, keep_alive: int = 0) -> None:
        self.say(Connect(client_id, True, keep_alive, None, None, None))

    def subscribe(self, qos: int = 1, *filters: str) -> None:
        chosen = filters or (f"/sdcp/request/{ID}",)
        self.say(Subscribe(1, tuple((f, qos) for f in chosen)))

    def come_up(self, qos: int = 1) -> None:
        """Connect, subscribe and be greeted."""
        self.connect()
        self.subscribe(qos)
        for _ in range(3):
            for request in self.requests():
                if request.qos:
                    self.say(mqtt.PubAck(request.packet_id))
                self.answer(request)
        self.take()

    def requests(self) -> list[Publish]:
        """The requests that the broker sent since the last look."""
        data = self.take()
        while data and data[0] >> 4 != 3:  # CONNACK, SUBACK, PUBACK in front
            data = data[2 + data[1] :]
        # The packets of a server read like those of a client, but for these.
        reader = mqtt.ServerConnection(2**20, 2**20)
        found = list(reader.receive(encode(Connect("x", True, 0, None, None, None)) + b"".join(_publishes(data))))
        return [packet for packet in found if isinstance(packet, Publish)]

    def answer(self, request: Publish, ack: object = 0) -> None:
        """Acknowledge a request as a printer does, by a message."""
        asked = json.loads(request.payload)["Data"]
        self.publish("response", response_payload(asked["RequestID"], asked["Cmd"], ack))

    def publish(self, kind: str, payload: bytes, qos: int = 0, packet_id: int = 0, dup: bool = False) -> None:
        self.say(Publish(f"/sdcp/{kind}/{ID}", payload, qos, False, dup, packet_id))

    def hang_up(self) -> None:
        """The connection is gone."""
        self.protocol.connectionLost(Failure(ConnectionLost()))

    @property
    def over(self) -> bool:
        """Whether the broker has ended it."""
        return bool(self.wire.disconnecting)


def _publishes(data: bytes) -> list[bytes]:
    found = []
    while data:
        size, shift, at = 0, 0, 1
        while True:
            size |= (data[at] & 127) << shift
            shift, at = shift + 7, at + 1
            if data[at - 1] < 128:
                break
        if data[0] >> 4 == 3:
            found.append(data[: at + size])
        data = data[at + size :]
    return found


def commands(requests: list[Publish]) -> list[int]:
    return [json.loads(request.payload)["Data"]["Cmd"] for request in requests]


class BrokerTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.fleet = Fleet(self.clock, wall, [])
        self.links = Links(self.fleet, self.clock, wall)
        self.broker = Broker(self.clock, self.fleet, self.links)
        self.broker.doStart()
        self.addCleanup(self.stop)
        self.fleet.announced(announcement(), HOME)

    def stop(self) -> None:
        if self.broker.numPorts:
            self.broker.doStop()

    def board(self, address: str = HOME) -> Board:
        return Board(self.broker, address)

    def ready(self, qos: int = 1) -> Board:
        board = self.board()
        board.come_up(qos)
        return board

    def ask(self, command: Command = Command.STATUS) -> None:
        """Send a request whose outcome nobody looks at."""
        self.links.session(ID).request(command).addErrback(lambda _: None)


class AdmissionTests(BrokerTestCase):
    def test_welcome(self) -> None:
        """A printer that discovery found connects, subscribes, is online and is asked for its status."""
        lines = logged(self)
        board = self.board()
        self.assertTrue(board.wire.no_delay)
        self.assertEqual(board.protocol.mainboard_id, "")
        board.connect()
        self.assertEqual(board.take(), ACCEPTED)
        self.assertEqual(board.protocol.mainboard_id, ID)
        self.assertNotIn(ID, self.links)
        board.subscribe()
        data = board.wire.value()
        self.assertEqual(data[:5], b"\x90\x03\x00\x01\x01")
        self.assertEqual(commands(board.requests()), [0])
        self.assertIs(self.fleet.get(ID).reachability, Reachability.ONLINE)
        self.assertTrue(any(f"{ID} is connected from {HOME}" in line for line in lines))

    def refused(self, board: Board, answer: bytes) -> None:
        self.assertEqual(board.take(), answer)
        self.assertTrue(board.over)
        self.assertEqual(len(self.links), 0)

    def test_unknown_id(self) -> None:
        """A client whose id no discovered printer has is refused, and the log says why."""
        lines = logged(self)
        board = self.board()
        board.connect("mosquitto_pub")
        self.refused(board, NOT_AUTHORIZED)
        self.assertTrue(any("mosquitto_pub" in line and HOME in line for line in lines))

    def test_other_letter_case(self) -> None:
        """The MainboardID counts as the board spells it."""
        board = self.board()
        board.connect(ID.lower())
        self.refused(board, NOT_AUTHORIZED)

    def test_wrong_address(self) -> None:
        """Nobody else on the network can pretend to be a printer."""
        board = self.board("192.0.2.66")
        board.connect()
        self.refused(board, NOT_AUTHORIZED)

    def test_never_seen(self) -> None:
        """A printer that is only configured has no address yet, and is not admitted from an empty one."""
        self.fleet.announced(announcement(OTHER_ID), "")
        board = self.board("")
        board.connect(OTHER_ID)
        self.refused(board, NOT_AUTHORIZED)

    def test_nothing_after_refusal(self) -> None:
        """What a refused client sends in the same breath is not looked at."""
        board = self.board()
        board.say(
            Connect("nobody", True, 0, None, None, None),
            Subscribe(1, (("#", 1),)),
            Publish(f"/sdcp/status/{ID}", status_payload(status_json(1, 2)), 0, False, False, 0),
        )
        self.refused(board, NOT_AUTHORIZED)
        board.subscribe()
        self.assertIsNone(self.fleet.get(ID).status)

    def test_wrong_level(self) -> None:
        """MQTT 5 is refused with the code that says so."""
        board = self.board()
        connect = bytearray(encode(Connect(ID, True, 0, None, None, None)))
        connect[8] = 5
        board.raw(bytes(connect))
        self.refused(board, b"\x20\x02\x00\x01")

    def test_wrong_protocol(self) -> None:
        """Another protocol name is refused like another level."""
        board = self.board()
        connect = bytearray(encode(Connect(ID, True, 0, None, None, None)))
        connect[4] = ord("X")
        board.raw(bytes(connect))
        self.refused(board, b"\x20\x02\x00\x01")

    def test_empty_id(self) -> None:
        """An empty client id is nobody's: refused with CleanSession as without."""
        board = self.board()
        board.connect("")
        self.refused(board, NOT_AUTHORIZED)
        board = self.board()
        board.raw(b"\x10\x0c\x00\x04MQTT\x04\x00\x00\x00\x00\x00")
        self.refused(board, b"\x20\x02\x00\x02")

    def test_not_connect(self) -> None:
        """Who does not begin with CONNECT is closed."""
        lines = logged(self)
        board = self.board()
        board.say(mqtt.PingReq())
        self.refused(board, b"")
        self.assertTrue(any("breaks MQTT" in line for line in lines))

    def test_kept_session(self) -> None:
        """A printer that asks for its old session is told that there is none."""
        board = self.board()
        board.say(Connect(ID, False, 60, None, None, None))
        self.assertEqual(board.take(), ACCEPTED)

    def test_huge(self) -> None:
        """Packets that claim too much are closed at once: 1 KiB before CONNECT, 256 KiB after, 4 length bytes."""
        for prefix in (b"\x10\x81\x08", b"\x10\xff\xff\xff\xff\x01"):
            board = self.board()
            board.raw(prefix)
            self.refused(board, b"")
            board.hang_up()
        board = self.ready()
        board.raw(b"\x30\xe0\xa7\x12")  # 300 KB
        self.assertTrue(board.over)
        self.assertNotIn(ID, self.links)


class FramingTests(BrokerTestCase):
    def test_byte_by_byte(self) -> None:
        """A CONNECT and a SUBSCRIBE that arrive in segments of one byte are understood."""
        board = self.board()
        packets = encode(Connect(ID, True, 0, None, None, None)) + encode(Subscribe(1, ((f"/sdcp/request/{ID}", 1),)))
        for index in range(len(packets)):
            board.raw(packets[index : index + 1])
        self.assertTrue(board.take().startswith(ACCEPTED + b"\x90\x03\x00\x01\x01"))
        self.assertIn(ID, self.links)

    def test_two_in_one(self) -> None:
        """Two packets in one segment are two packets."""
        board = self.board()
        board.say(Connect(ID, True, 0, None, None, None), Subscribe(7, ((f"/sdcp/request/{ID}", 0),)))
        self.assertTrue(board.take().startswith(ACCEPTED + b"\x90\x03\x00\x07\x00"))

    def test_after_goodbye(self) -> None:
        """What lies behind a DISCONNECT in the same segment is not looked at."""
        board = self.ready()
        board.say(
            mqtt.Disconnect(),
            Publish(f"/sdcp/status/{ID}", status_payload(status_json(1, 2)), 1, False, False, 5),
        )
        self.assertEqual(board.take(), b"")
        self.assertTrue(board.over)
        self.assertIs(self.fleet.get(ID).reachability, Reachability.STALE)

    def test_not_for_servers(self) -> None:
        """A second CONNECT ends the connection and the session."""
        board = self.ready()
        board.connect()
        self.assertEqual(board.take(), b"")
        self.assertTrue(board.over)
        self.assertNotIn(ID, self.links)


class SubscribeTests(BrokerTestCase):
    def codes(self, *pairs: tuple[str, int]) -> tuple[Board, bytes]:
        board = self.board()
        board.connect()
        board.take()
        board.say(Subscribe(1, pairs))
        data = board.take()
        return board, data[4 : 2 + data[1]]

    def test_per_filter(self) -> None:
        """Each filter gets its own answer: the printer's own topic, all of SDCP, and somebody else's."""
        own, other = f"/sdcp/request/{ID}", f"/sdcp/request/{OTHER_ID}"
        _, codes = self.codes((own, 1), ("/sdcp/#", 0), (other, 1), ("#", 2), (f"/sdcp/response/{ID}", 1))
        self.assertEqual(codes, b"\x01\x00\x80\x01\x80")
        self.assertIn(ID, self.links)

    def test_foreign_only(self) -> None:
        """Who wants only topics of others gets nothing and no session."""
        lines = logged(self)
        board, codes = self.codes((f"/sdcp/request/{OTHER_ID}", 1))
        self.assertEqual(codes, b"\x80")
        self.assertNotIn(ID, self.links)
        self.assertFalse(board.over)
        self.assertTrue(any("topics of others" in line for line in lines))

    def test_again(self) -> None:
        """Subscribing again changes the QoS and begins no second session."""
        board = self.ready(0)
        session = self.links.session(ID)
        board.subscribe(1)
        self.assertEqual(board.take(), b"\x90\x03\x00\x01\x01")
        self.assertIs(self.links.session(ID), session)
        self.ask()
        self.assertEqual(board.requests()[0].qos, 1)

    def test_unsubscribe(self) -> None:
        """A printer that no longer listens is no longer asked; unknown filters are acknowledged too."""
        board = self.ready()
        board.say(Unsubscribe(3, ("/something/else",)))
        self.assertEqual(board.take(), b"\xb0\x02\x00\x03")
        self.assertIn(ID, self.links)
        d = self.links.session(ID).request(Command.PAUSE)
        board.take()
        board.say(Unsubscribe(4, (f"/sdcp/request/{ID}",)))
        self.assertEqual(board.take(), b"\xb0\x02\x00\x04")
        self.assertNotIn(ID, self.links)
        self.failureResultOf(d, LinkLost)
        self.assertFalse(board.over)
        board.say(Unsubscribe(5, (f"/sdcp/request/{ID}",)))
        board.subscribe()
        self.assertIn(ID, self.links)


class PublishTests(BrokerTestCase):
    def status(self) -> JsonObject:
        return status_json(1, 2, layer=9)

    def layer(self) -> int | None:
        status = self.fleet.get(ID).status
        return status.print.current_layer if status is not None else None

    def test_qos_0(self) -> None:
        """A status at QoS 0 is taken and not acknowledged."""
        board = self.ready()
        board.publish("status", status_payload(self.status()))
        self.assertEqual(board.take(), b"")
        self.assertEqual(self.layer(), 9)

    def test_qos_1(self) -> None:
        """A status at QoS 1 is acknowledged at once: boards stall without it."""
        board = self.ready()
        board.publish("status", status_payload(self.status()), 1, 77)
        self.assertEqual(board.take(), b"\x40\x02\x00\x4d")
        self.assertEqual(self.layer(), 9)

    def test_duplicate(self) -> None:
        """A message that is sent again because its PUBACK was lost is acknowledged again and does no harm."""
        board = self.ready()
        for dup in (False, True):
            board.publish("status", status_payload(self.status()), 1, 77, dup)
            self.assertEqual(board.take(), b"\x40\x02\x00\x4d")
        self.assertEqual(self.layer(), 9)

    def test_qos_2(self) -> None:
        """A message at QoS 2 is delivered once, however often it is sent before its PUBREL."""
        lines = logged(self)
        board = self.ready()
        for dup in (False, True):
            board.publish("notice", b'{"Data":{"word":1}}', 2, 8, dup)
            self.assertEqual(board.take(), b"\x50\x02\x00\x08")
        for _ in range(2):
            board.say(mqtt.PubRel(8))
            self.assertEqual(board.take(), b"\x70\x02\x00\x08")
        self.assertEqual(len([line for line in lines if "word" in line]), 1)
        board.publish("notice", b'{"Data":{"word":2}}', 2, 8)
        self.assertEqual(len([line for line in lines if "word" in line]), 2)

    def test_before_subscribe(self) -> None:
        """What a printer says before it subscribes counts already."""
        board = self.board()
        board.connect()
        board.take()
        board.publish("status", status_payload(self.status()), 1, 1)
        self.assertEqual(board.take(), b"\x40\x02\x00\x01")
        self.assertEqual(self.layer(), 9)

    def test_for_another_printer(self) -> None:
        """A printer cannot speak for another one, nor on other topics; both are acknowledged and ignored."""
        lines = logged(self)
        self.fleet.announced(announcement(OTHER_ID), "192.0.2.32")
        board = self.ready()
        for topic in (f"/sdcp/status/{OTHER_ID}", "homeassistant/status", "/sdcp/status/"):
            board.say(Publish(topic, status_payload(self.status()), 1, False, False, 3))
            self.assertEqual(board.take(), b"\x40\x02\x00\x03")
        self.assertIsNone(self.fleet.get(OTHER_ID).status)
        self.assertIsNone(self.layer())
        self.assertTrue(any("another printer" in line for line in lines))
        self.assertTrue(any("foreign topic" in line for line in lines))
        self.assertIn(ID, self.links)

    def test_without_slash(self) -> None:
        """Topics without their leading slash count as well."""
        board = self.ready()
        board.say(Publish(f"sdcp/status/{ID}", status_payload(self.status()), 0, False, False, 0))
        self.assertEqual(self.layer(), 9)

    def test_ping(self) -> None:
        """A ping is answered before and after SUBSCRIBE, and shows that the printer is there."""
        board = self.board()
        board.connect()
        board.take()
        board.say(mqtt.PingReq())
        self.assertEqual(board.take(), mqtt.PINGRESP)
        board.subscribe()
        for request in board.requests():
            board.answer(request)
        for _ in range(40):
            self.clock.advance(1)
            self.links.sweep()
            board.say(mqtt.PingReq())
        self.assertIs(self.fleet.get(ID).reachability, Reachability.ONLINE)

    def test_stray_acknowledgements(self) -> None:
        """Acknowledgements of what was never sent are ignored."""
        board = self.ready()
        board.say(mqtt.PubAck(999), mqtt.PubRec(9), mqtt.PubComp(9))
        self.assertEqual(board.take(), b"")
        self.assertIn(ID, self.links)


class RequestTests(BrokerTestCase):
    def test_one_in_flight(self) -> None:
        """At QoS 1 the next request leaves when the one before was acknowledged."""
        board = self.ready()
        self.ask()
        self.ask(Command.ATTRIBUTES)
        (first,) = board.requests()
        self.assertEqual((first.topic, first.qos), (f"/sdcp/request/{ID}", 1))
        board.say(mqtt.PubAck(first.packet_id + 1))
        self.assertEqual(board.take(), b"")
        board.say(mqtt.PubAck(first.packet_id))
        (second,) = board.requests()
        self.assertEqual(commands([second]), [1])
        self.assertEqual(second.packet_id, first.packet_id + 1)

    def test_ids(self) -> None:
        """Identifiers run from 1 to 65535 and begin again."""
        board = self.ready(0)
        board.subscribe(1)
        board.take()
        seen = []
        for _ in range(65_537):
            board.protocol.send(b"{}")
            data = board.take()
            at = 2 + 2 + len(f"/sdcp/request/{ID}")
            seen.append(int.from_bytes(data[at : at + 2], "big"))
            board.raw(b"\x40\x02" + data[at : at + 2])
        self.assertEqual(seen, [*range(1, 65_536), 1, 2])

    def test_qos_0(self) -> None:
        """A printer that asked for QoS 0 gets its requests without identifiers, as fast as they come."""
        board = self.ready(0)
        self.ask()
        self.ask(Command.ATTRIBUTES)
        requests = board.requests()
        self.assertEqual([(r.qos, r.packet_id) for r in requests], [(0, 0), (0, 0)])

    def test_qos_2(self) -> None:
        """A printer that asks for QoS 2 is granted 1."""
        board = self.board()
        board.connect()
        board.take()
        board.subscribe(2)
        self.assertEqual(board.wire.value()[:5], b"\x90\x03\x00\x01\x01")

    def test_never_acknowledged(self) -> None:
        """A printer that answers but never acknowledges is slower, not deaf."""
        lines = logged(self)
        board = self.ready()
        d1 = self.links.session(ID).request(Command.STATUS)
        d2 = self.links.session(ID).request(Command.ATTRIBUTES)
        for d in (d1, d2):
            for request in board.requests():
                board.answer(request)
            self.successResultOf(d)
            pump(self.clock, ACK_WAIT + 1)
        self.assertTrue(any("does not acknowledge" in line for line in lines))

    def test_not_after_timeout(self) -> None:
        """A command that was queued until its caller gave up is never sent: nobody expects it any more."""
        board = self.ready()
        session = self.links.session(ID)
        for _ in range(4):
            self.ask()
        start = session.request(Command.STOP)
        pump(self.clock, COMMAND_TIMEOUT)
        self.failureResultOf(start, CommandTimeout)
        sent = board.requests()
        pump(self.clock, 20)
        self.assertEqual(set(commands(sent + board.requests())), {0})

    def test_not_after_close(self) -> None:
        """What was queued when the connection ended is never sent, however it ended."""
        for end in ("close", "disconnect", "keep alive"):
            board = self.board()
            board.connect(keep_alive=1)
            board.subscribe()
            self.ask(Command.STATUS)
            self.ask(Command.STOP)
            board.take()
            if end == "close":
                board.protocol.close("test")
            elif end == "disconnect":
                board.say(mqtt.Disconnect())
            pump(self.clock, 7)
            self.assertTrue(board.over)
            board.protocol.send(b"{}")
            board.raw(b"\x40\x02\x00\x01")
            self.assertEqual(board.take(), b"", end)
            board.hang_up()
            pump(self.clock, COMMAND_TIMEOUT)


class DeadlineTests(BrokerTestCase):
    def test_no_connect(self) -> None:
        """A connection on which no CONNECT comes is closed, also if its bytes trickle."""
        silent, slow = self.board(), self.board()
        for byte in encode(Connect(ID, True, 0, None, None, None))[:-1]:
            slow.raw(bytes((byte,)))
        pump(self.clock, CONNECT_WAIT)
        self.assertFalse(silent.over)
        pump(self.clock, 1)
        self.assertTrue(silent.over)
        self.assertTrue(slow.over)
        pump(self.clock, 1)

    def test_keep_alive(self) -> None:
        """After one and a half of its keep alive without a packet a printer counts as gone."""
        board = self.board()
        board.connect(keep_alive=10)
        board.subscribe()
        pump(self.clock, 14)
        board.say(mqtt.PingReq())
        pump(self.clock, 15)
        self.assertFalse(board.over)
        board.raw(b"\x30")  # not a whole packet: no sign of life [MQTT-3.1.2-24]
        pump(self.clock, 1)
        self.assertTrue(board.over)
        self.assertNotIn(ID, self.links)

    def test_no_keep_alive(self) -> None:
        """A printer without a keep alive may be silent as far as MQTT is concerned."""
        board = self.board()
        board.connect(keep_alive=0)
        pump(self.clock, 3600)
        self.assertFalse(board.over)

    def test_half_open(self) -> None:
        """A printer that was unplugged is found by its silence; the connection is cut though nothing drains."""
        board = self.ready()
        pump(self.clock, DEAD, self.links.sweep)
        self.assertTrue(board.over)
        self.assertNotIn(ID, self.links)
        self.assertFalse(board.wire.aborted)
        pump(self.clock, FAREWELL)
        self.assertTrue(board.wire.aborted)
        board.hang_up()

    def test_gone_in_time(self) -> None:
        """A connection that ends by itself is not cut afterwards."""
        board = self.ready()
        board.say(mqtt.Disconnect())
        board.hang_up()
        pump(self.clock, 2 * FAREWELL)
        self.assertFalse(board.wire.aborted)


class TakeoverTests(BrokerTestCase):
    def test_same_id(self) -> None:
        """A printer that connects again while its old connection is half-open moves to the new one."""
        old = self.ready()
        d = self.links.session(ID).request(Command.PAUSE)
        old.take()
        new = self.ready()
        self.failureResultOf(d, LinkLost)
        self.assertTrue(old.over)
        session = self.links.session(ID)
        old.hang_up()
        self.assertIs(self.links.session(ID), session)
        self.assertIs(self.fleet.get(ID).reachability, Reachability.ONLINE)
        self.ask()
        self.assertEqual(commands(new.requests()), [0])
        third = self.ready()
        self.assertTrue(new.over)
        self.assertFalse(third.over)
        self.assertEqual(events(self.fleet), ["online"])

    def test_before_subscribe(self) -> None:
        """The old connection ends with the new CONNECT, not only with its SUBSCRIBE."""
        old = self.ready()
        new = self.board()
        new.connect()
        self.assertTrue(old.over)
        error = self.assertRaises(PrinterOffline, self.links.session, ID)
        self.assertIn("stale", error.message)


class LimitTests(BrokerTestCase):
    def test_per_address(self) -> None:
        """One address cannot take all connections; when some end, there is room again."""
        lines = logged(self)
        boards = [self.board("192.0.2.66") for _ in range(MAX_PER_ADDRESS)]
        self.assertIsNone(self.broker.buildProtocol(IPv4Address("TCP", "192.0.2.66", 1)))
        self.assertTrue(any("Too many connections" in line for line in lines))
        self.assertIn(ID, self.links if self.ready() else ())
        boards[0].hang_up()
        self.board("192.0.2.66")

    def test_in_all(self) -> None:
        """There is a limit to all connections together."""
        for number in range(MAX_CONNECTIONS):
            self.board(f"10.0.{number // 256}.{number % 256}")
        self.assertIsNone(self.broker.buildProtocol(IPv4Address("TCP", HOME, 1)))

    def test_storm(self) -> None:
        """A port scanner's idle connections go by themselves and keep no printer out."""
        storm = [self.board("192.0.2.66") for _ in range(MAX_PER_ADDRESS)]
        ready = self.ready()
        for board in storm[:8]:
            board.raw(b"GET / HTTP/1.1\r\n\r\n")
        self.assertEqual([board.over for board in storm], [True] * 8 + [False] * 8)
        pump(self.clock, CONNECT_WAIT + 1)
        self.assertTrue(all(board.over for board in storm))
        self.assertFalse(ready.over)
        ready.say(mqtt.PingReq())
        self.assertEqual(ready.take(), mqtt.PINGRESP)

    def test_abuse_hurts_nobody_else(self) -> None:
        """Whatever one connection sends, another printer's session goes on."""
        ready = self.ready()
        junk: tuple[bytes, ...] = (b"\x00\x00", b"\x36\x00", b"\x10\xff\xff\xff\xff", b"\xf0\x00", b"\x10\x02\x00\x09")
        for data in junk:
            board = self.board("192.0.2.66")
            board.raw(data)
            self.assertTrue(board.over)
            self.assertEqual(board.take(), b"")
        ready.publish("status", b"[" * 3000 + b"\xff")
        ready.publish("status", status_payload(status_json(1, 2)))
        self.assertIsNotNone(self.fleet.get(ID).status)


class StopTests(BrokerTestCase):
    def test_stop(self) -> None:
        """When the port closes, every connection is ended, greeted or not."""
        ready, idle = self.ready(), self.board()
        self.broker.doStop()
        self.assertTrue(ready.over)
        self.assertTrue(idle.over)
        self.assertEqual(len(self.links), 0)
        idle.protocol.close("again")
        self.clock.advance(FAREWELL)
        self.assertTrue(ready.wire.aborted)
