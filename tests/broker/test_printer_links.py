"""The way to a board: requests, deadlines, take-over, and who cannot disturb it."""

from __future__ import annotations

from twisted.internet.address import IPv4Address

from sdcpd.broker import Server, Violation
from sdcpd.broker.printers import ACK_WAIT, MISSES, PRINTERS_LIMITS, PrinterIdentity, PrinterLink, PrintersPolicy
from sdcpd.broker.server import Refused
from sdcpd.codec import mqtt
from sdcpd.codec.mqtt import Publish
from sdcpd.codec.sdcp import Command, request_topic
from sdcpd.errors import CommandTimeout, LinkLost, PrinterOffline
from sdcpd.fleet import Reachability
from sdcpd.links import COMMAND_TIMEOUT, DEAD, Link, Links, Session
from tests.broker.boards import OWN, Board, PrintersTestCase, commands
from tests.broker.kit import connect_packet
from tests.client_packets import encode
from tests.fakes import HOME, ID, announcement, events, pump, status_json, status_payload, wall

FAREWELL = PRINTERS_LIMITS.farewell_time


class _CutLinks(Links):
    """A board's connection ends while it is being greeted; once."""

    board: Board | None = None

    def opened(self, link: Link) -> Session:
        """Greet, and cut."""
        session = super().opened(link)
        board, self.board = self.board, None
        if board is not None:
            board.protocol.close("test")
        return session


class RequestTests(PrintersTestCase):
    """Requests go out one at a time, now or never."""

    def link(self) -> PrinterLink:
        """A link of the test's own to the printer that is connected."""
        identity = PrinterIdentity(f"printer/{ID}", stored=False, routed=False, mainboard_id=ID)
        return PrinterLink(self.router, identity, self.clock)

    def test_one_in_flight(self) -> None:
        """At QoS 1 the next request leaves when the one before was acknowledged."""
        board = self.ready()
        self.ask()
        self.ask(Command.ATTRIBUTES)
        (first,) = board.requests()
        self.assertEqual((first.topic, first.qos), (OWN, 1))
        board.say(mqtt.PubAck(first.packet_id + 1))
        self.assertEqual(board.got(), b"")
        board.say(mqtt.PubAck(first.packet_id))
        (second,) = board.requests()
        self.assertEqual(commands([second]), [1])
        self.assertEqual(second.packet_id, first.packet_id + 1)

    def test_ids(self) -> None:
        """Identifiers run from 1 to 65535 and begin again."""
        board = self.ready(0)
        board.subscribe(OWN, qos=1)
        link = self.link()
        seen = []
        at = 2 + 2 + len(OWN)
        for _ in range(65_537):
            link.send(b"{}")
            data = board.got()
            seen.append(int.from_bytes(data[at : at + 2], "big"))
            board.raw(b"\x40\x02" + data[at : at + 2])
        self.assertEqual(seen, [*range(1, 65_536), 1, 2])

    def test_qos_0(self) -> None:
        """A printer that asked for QoS 0 gets its requests without identifiers, as fast as they come."""
        board = self.ready(0)
        for command in (Command.STATUS, Command.ATTRIBUTES, Command.STATUS):
            self.ask(command)
        requests = board.requests()
        self.assertEqual([(r.qos, r.packet_id) for r in requests], [(0, 0)] * 3)
        self.assertEqual(commands(requests), [0, 1, 0])

    def test_qos_2(self) -> None:
        """A printer that asks for QoS 2 is granted 1."""
        board = self.board()
        board.connect(ID)
        self.assertEqual(board.subscribe(OWN, qos=2), (1,))

    def test_never_acknowledged(self) -> None:
        """A printer that answers but never acknowledges is slower for a while, and never deaf."""
        board = self.ready()
        for number in range(100):
            d = self.links.session(ID).request(Command.STATUS)
            (request,) = board.requests()
            self.assertEqual(request.qos, int(number < MISSES))
            board.answer(request)
            self.successResultOf(d)
            pump(self.clock, ACK_WAIT if number < MISSES else 0)
        self.assertEqual(len([line for line in self.lines if "does not acknowledge" in line]), 1)

    def test_waits_for_acknowledgement(self) -> None:
        """The request after one that is not acknowledged leaves 3 s later."""
        board = self.ready()
        self.ask()
        self.ask(Command.ATTRIBUTES)
        self.assertEqual(commands(board.requests()), [0])
        self.clock.advance(ACK_WAIT - 0.1)
        self.assertEqual(board.requests(), [])
        self.clock.advance(0.1)
        self.assertEqual(commands(board.requests()), [1])

    def test_late_acknowledgement(self) -> None:
        """A printer that acknowledges late after all is asked at QoS 1 again."""
        board = self.ready()
        late = []
        for _ in range(MISSES + 1):
            self.ask()
            late += board.requests()
            pump(self.clock, ACK_WAIT)
        self.assertEqual([request.qos for request in late], [1] * MISSES + [0])
        board.say(mqtt.PubAck(late[0].packet_id))
        self.ask()
        self.assertEqual(board.requests()[0].qos, 1)

    def test_not_after_timeout(self) -> None:
        """A command that was queued until its caller gave up is never sent: nobody expects it any more."""
        board = self.ready()
        session = self.links.session(ID)
        for _ in range(4):
            self.ask()
        start = session.request(Command.STOP)
        sent = board.requests()
        pump(self.clock, COMMAND_TIMEOUT - 3)
        board.say(mqtt.PubAck(sent[0].packet_id))  # late; the next one is waited for as well
        pump(self.clock, 3)
        self.failureResultOf(start, CommandTimeout)
        sent += board.requests()
        pump(self.clock, 20)
        self.assertEqual(set(commands(sent + board.requests())), {0})

    def test_not_after_close(self) -> None:
        """What was queued when the connection ended is never sent, however it ended."""
        for end in ("close", "disconnect", "keep alive"):
            board = self.board()
            board.call(keep_alive=1)
            session = self.links.session(ID)
            self.ask(Command.STATUS)
            self.ask(Command.STOP)
            board.got()
            if end == "close":
                session.close("test")
            elif end == "disconnect":
                board.say(mqtt.Disconnect())
            pump(self.clock, 7)
            self.assertTrue(board.over)
            self.failureResultOf(session.request(Command.STATUS), PrinterOffline)
            board.raw(b"\x40\x02\x00\x01")
            self.assertEqual(board.got(), b"", end)
            board.vanish()
            pump(self.clock, COMMAND_TIMEOUT)

    def test_not_redelivered(self) -> None:
        """A request that was not acknowledged is not sent again to the printer that comes back."""
        board = self.ready()
        self.ask(Command.STOP)
        self.ask(Command.PAUSE)
        self.assertEqual(commands(board.requests()), [int(Command.STOP)])
        board.vanish()
        back = self.board()
        back.connect(ID, clean=False)
        back.subscribe(OWN, qos=1)
        (greeting,) = back.requests()
        self.assertEqual((commands([greeting]), greeting.dup), ([0], False))

    def test_old_link(self) -> None:
        """Whoever still holds the link of an earlier connection cannot end the new one with it."""
        self.ready()
        session = self.links.session(ID)
        new = self.ready()
        session.close("late")
        self.assertFalse(new.over)
        self.assertIn(ID, self.links)

    def test_too_slow_to_be_greeted(self) -> None:
        """A connection that ends while its printer is being greeted leaves no session behind."""
        links = _CutLinks(self.fleet, self.clock, wall)
        policy = PrintersPolicy(self.router, self.fleet, links, self.clock)
        door = Server(self.clock, self.router, policy, PRINTERS_LIMITS)
        board = links.board = Board(door)
        board.call()
        self.assertTrue(board.over)
        self.assertNotIn(ID, links)
        Board(door).come_up()
        self.assertIn(ID, links)


class DeadlineTests(PrintersTestCase):
    """Silence has an end."""

    def test_no_connect(self) -> None:
        """A connection on which no CONNECT comes is closed, also if its bytes trickle."""
        silent, slow = self.board(), self.board()
        for byte in encode(connect_packet(ID))[:-1]:
            slow.raw(bytes((byte,)))
        pump(self.clock, PRINTERS_LIMITS.connect_time - 1)
        self.assertFalse(silent.over)
        pump(self.clock, 2)
        self.assertTrue(silent.over)
        self.assertTrue(slow.over)

    def test_keep_alive(self) -> None:
        """After one and a half of its keep alive without a packet a printer counts as gone."""
        board = self.board()
        board.call(keep_alive=10)
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
        board.connect(ID)
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
        board.vanish()

    def test_gone_in_time(self) -> None:
        """A connection that ends by itself is not cut afterwards."""
        board = self.ready()
        board.say(mqtt.Disconnect())
        board.vanish()
        pump(self.clock, 2 * FAREWELL)
        self.assertFalse(board.wire.aborted)

    def test_after_goodbye(self) -> None:
        """What lies behind a DISCONNECT in the same segment is not looked at."""
        board = self.ready()
        status = status_payload(status_json(1, 2))
        board.say(mqtt.Disconnect(), Publish(f"/sdcp/status/{ID}", status, 1, False, False, 5))
        self.assertEqual(board.got(), b"")
        self.assertTrue(board.over)
        self.assertIs(self.fleet.get(ID).reachability, Reachability.STALE)

    def test_second_connect(self) -> None:
        """A second CONNECT ends the connection and the session."""
        board = self.ready()
        board.say(connect_packet(ID))
        self.assertEqual(board.got(), b"")
        self.assertTrue(board.over)
        self.assertNotIn(ID, self.links)


class TakeoverTests(PrintersTestCase):
    """A board that reboots comes back before TCP has noticed."""

    def test_same_id(self) -> None:
        """A printer that connects again while its old connection is half-open moves to the new one."""
        old = self.ready()
        d = self.links.session(ID).request(Command.PAUSE)
        old.take()
        new = self.ready()
        self.failureResultOf(d, LinkLost)
        self.assertTrue(old.over)
        session = self.links.session(ID)
        old.vanish()
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
        new.connect(ID)
        self.assertTrue(old.over)
        error = self.assertRaises(PrinterOffline, self.links.session, ID)
        self.assertIn("stale", error.message)

    def test_moved(self) -> None:
        """A printer with a new address is let in from there once discovery has seen it."""
        old = self.ready()
        self.fleet.announced(announcement(), "192.0.2.77")
        new = self.board("192.0.2.77")
        new.come_up()
        self.assertTrue(old.over)
        self.assertIn(ID, self.links)


class LimitTests(PrintersTestCase):
    """Strangers on the printers' port."""

    def setUp(self) -> None:
        super().setUp()
        self.most = PRINTERS_LIMITS.connections_per_address

    def test_per_address(self) -> None:
        """One address cannot take all connections; when some end, there is room again."""
        boards = [self.board("192.0.2.66") for _ in range(self.most)]
        self.assertIsInstance(self.printers.buildProtocol(IPv4Address("TCP", "192.0.2.66", 1)), Refused)
        self.assertTrue(self.said("too many connections", "192.0.2.66"))
        self.ready()
        self.assertIn(ID, self.links)
        boards[0].vanish()
        self.board("192.0.2.66")

    def test_one_router(self) -> None:
        """A farm behind one address, as a router with NAT makes of it, comes back whole after a power cut."""
        farm = [f"{number:016X}" for number in range(100)]
        for mainboard_id in farm:
            self.fleet.announced(announcement(mainboard_id), "192.0.2.66")
        for mainboard_id in farm:
            board = self.board("192.0.2.66")
            board.connect(mainboard_id)
            board.subscribe(request_topic(mainboard_id), qos=1)
        self.assertEqual(len(self.links), 100)
        for _ in range(self.most):
            self.board("192.0.2.66")
        self.assertIsInstance(self.printers.buildProtocol(IPv4Address("TCP", "192.0.2.66", 1)), Refused)
        self.assertTrue(self.said(f"too many connections, {100 + self.most} are from there"))

    def test_last_words(self) -> None:
        """A printer that leaves a status as its Will is let in, though it needs a CONNECT of more than a kilobyte."""
        board = self.board()
        will = mqtt.Will(f"/sdcp/status/{ID}", status_payload(status_json(0, 0)).ljust(2000), 0, False)
        self.assertEqual(board.connect(ID, will=will).code, mqtt.ConnectCode.ACCEPTED)

    def test_in_all(self) -> None:
        """There is a limit to all connections together."""
        for number in range(PRINTERS_LIMITS.connections):
            self.board(f"10.0.{number // 256}.{number % 256}")
        self.assertIsInstance(self.printers.buildProtocol(IPv4Address("TCP", HOME, 1)), Refused)
        self.assertEqual(self.printers.violations[Violation.CONNECTIONS], 1)

    def test_storm(self) -> None:
        """A port scanner's idle connections go by themselves and keep no printer out."""
        storm = [self.board("192.0.2.66") for _ in range(self.most)]
        ready = self.ready()
        for board in storm[:8]:
            board.raw(b"GET / HTTP/1.1\r\n\r\n")
        self.assertEqual([board.over for board in storm], [True] * 8 + [False] * 8)
        pump(self.clock, PRINTERS_LIMITS.connect_time + 1)
        self.assertTrue(all(board.over for board in storm))
        self.assertFalse(ready.over)
        ready.say(mqtt.PingReq())
        self.assertEqual(ready.got(), mqtt.PINGRESP)

    def test_abuse_hurts_nobody_else(self) -> None:
        """Whatever one connection sends, another printer's session goes on."""
        ready = self.ready()
        junk: tuple[bytes, ...] = (b"\x00\x00", b"\x36\x00", b"\x10\xff\xff\xff\xff", b"\xf0\x00", b"\x10\x02\x00\x09")
        for data in junk:
            board = self.board("192.0.2.66")
            board.raw(data)
            self.assertTrue(board.over)
            self.assertEqual(board.got(), b"")
        ready.tell("status", status_payload(status_json(1, 2)))
        self.assertIsNotNone(self.fleet.get(ID).status)


class StopTests(PrintersTestCase):
    """The port closes."""

    def test_stop(self) -> None:
        """When the port closes, every connection is ended, greeted or not."""
        ready: Board = self.ready()
        idle = self.board()
        self.printers.doStop()
        self.assertTrue(ready.over)
        self.assertTrue(idle.over)
        self.assertEqual(len(self.links), 0)
        idle.protocol.close("again")

    def test_made_anew(self) -> None:
        """A printer that is invited to a new port, while the old one is still open, is one printer with one link."""
        old = self.ready()
        policy = PrintersPolicy(self.router, self.fleet, self.links, self.clock)
        second = Server(self.clock, self.router, policy, PRINTERS_LIMITS)
        second.doStart()
        self.addCleanup(second.doStop)
        new = Board(second)
        new.come_up()
        self.assertTrue(old.over)
        self.printers.doStop()
        old.vanish()
        self.assertFalse(new.over)
        self.ask()
        self.assertEqual(commands(new.requests()), [0])
