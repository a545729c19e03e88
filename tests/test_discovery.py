from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise

from twisted.trial.unittest import SynchronousTestCase

from sdcpd import config
from sdcpd.codec.sdcp import Command
from sdcpd.codec.status import Generation
from sdcpd.custody import GRACE, WIN_BACK
from sdcpd.discovery import ANSWERS, SLICE, Discovery
from sdcpd.errors import NotNow, OwnedElsewhere, PrinterOffline
from sdcpd.fleet import MOST, Fleet, Printer, Reachability
from sdcpd.interfaces import Interface
from sdcpd.links import SILENCE, Links
from sdcpd.logs import LINES
from tests.fakes import (
    HOME,
    ID,
    OTHER_ID,
    FakeLink,
    FakeReactor,
    FakeUDPPort,
    announcement,
    discovery_reply,
    events,
    logged,
    pump,
    status_json,
    wall,
)

LAN = Interface("eth0", "192.0.2.10", "192.0.2.255")
WLAN = Interface("wlan0", "198.51.100.7", "198.51.100.255")
LOOPBACK = Interface("lo", "127.0.0.1", "127.255.255.255")
PROBE = b"M99999"
INVITATION = b"M66666 1883"
PRINTER = (HOME, 3000)


class DiscoveryTestCase(SynchronousTestCase):
    interfaces: tuple[Interface, ...] = (LAN,)
    targets: tuple[str, ...] = ()
    beforehand: tuple[str, ...] = ()

    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.fleet = Fleet(self.reactor, wall, [])
        self.links = Links(self.fleet, self.reactor, wall)
        self.present = list(self.interfaces)
        self.unlistable = False
        self.port = 1883
        self.discovery = Discovery(
            self.reactor,
            config.Discovery(targets=self.targets),
            self.beforehand,
            self.fleet,
            self.links,
            lambda: self.port,
            self.enumerate,
        )
        self.discovery.startService()
        self.addCleanup(self.stop)

    def stop(self) -> None:
        if self.discovery.running:
            self.successResultOf(self.discovery.stopService())
        self.fleet.stop()
        self.assertEqual([port for port in self.reactor.ports if port.open], [])

    def enumerate(self, wanted: Iterable[str]) -> list[Interface]:
        if self.unlistable:
            raise OSError(24, "Too many open files")
        return list(self.present)

    @property
    def lan(self) -> FakeUDPPort:
        return self.reactor.at(LAN.address)

    @property
    def wide(self) -> FakeUDPPort:
        return self.reactor.at("")

    def quiet(self) -> None:
        """Forget what was sent so far."""
        for port in self.reactor.ports:
            port.take()

    def hear(self, datagram: bytes, peer: tuple[str, int] = PRINTER, port: FakeUDPPort | None = None) -> None:
        """A datagram arrives."""
        (port or self.lan).protocol.datagramReceived(datagram, peer)

    def printer(self, reference: str = ID) -> Printer:
        return self.fleet.get(reference)

    def invitations(self, port: FakeUDPPort | None = None) -> int:
        return len([sent for sent in (port or self.lan).take() if sent == (INVITATION, PRINTER)])


class ProbeTests(DiscoveryTestCase):
    interfaces = (LAN, LOOPBACK, Interface("tun0", "203.0.113.5", ""))

    def test_broadcast(self) -> None:
        """Each network is asked by its own broadcast address and by the limited one, loopback by its own only."""
        self.assertEqual(self.lan.take(), [(PROBE, ("192.0.2.255", 3000)), (PROBE, ("255.255.255.255", 3000))])
        self.assertEqual(self.reactor.at("127.0.0.1").take(), [(PROBE, ("127.255.255.255", 3000))])
        self.assertEqual(self.reactor.at("203.0.113.5").take(), [])
        self.assertEqual(self.wide.take(), [])
        self.assertTrue(self.lan.broadcast)
        self.assertFalse(self.wide.broadcast)

    def test_times(self) -> None:
        """Everybody is asked at the start, after 1 and 2.5 s, and then at every interval."""
        asked = []
        for tick in range(2 * 95):
            if self.lan.take():
                asked.append(tick / 2)
            self.reactor.advance(0.5)
        self.assertEqual(asked, [0, 1, 2.5, 30, 60, 90])

    def test_listening(self) -> None:
        """The sockets in use can be told."""
        addresses = [address.rpartition(":")[0] for address in self.discovery.listening]
        self.assertEqual(addresses, ["192.0.2.10", "127.0.0.1", "203.0.113.5", "0.0.0.0"])

    def test_stopped(self) -> None:
        """After the stop nothing is asked any more, and every socket is closed."""
        self.successResultOf(self.discovery.stopService())
        self.assertEqual(self.discovery.listening, [])
        ports = list(self.reactor.ports)
        self.quiet()
        self.reactor.advance(100)
        self.assertEqual([port.take() for port in ports], [[], [], [], []])

    def test_started_again(self) -> None:
        """A second start begins anew."""
        self.successResultOf(self.discovery.stopService())
        self.discovery.startService()
        self.assertEqual(len(self.lan.take()), 2)


class TargetTests(DiscoveryTestCase):
    interfaces = ()
    targets = ("192.0.2.44", "127.0.0.5:3105", "10.1.0.0/30")
    beforehand = ("192.0.2.77",)

    def test_targets(self) -> None:
        """Configured addresses, with or without a port, and all hosts of a network are asked one by one."""
        hosts = [
            ("192.0.2.44", 3000),
            ("127.0.0.5", 3105),
            ("10.1.0.1", 3000),
            ("10.1.0.2", 3000),
            ("192.0.2.77", 3000),
        ]
        self.assertEqual(self.wide.take(), [(PROBE, host) for host in hosts])

    def test_invited_from_there(self) -> None:
        """A printer that answers to a target probe is invited through the same socket."""
        self.quiet()
        self.hear(discovery_reply(), PRINTER, self.wide)
        self.assertEqual(self.wide.take(), [(INVITATION, PRINTER)])


class NetworkTargetTests(DiscoveryTestCase):
    interfaces = ()
    targets = ("10.1.0.0/24",)

    def test_in_slices(self) -> None:
        """A whole network is asked in slices, so that neither the daemon nor the network chokes on it."""
        self.assertEqual(len(self.wide.take()), SLICE)
        self.reactor.advance(0.02)
        self.assertEqual(len(self.wide.take()), SLICE)
        self.reactor.pump([0.02] * 3)
        sent = self.wide.take()
        self.assertEqual(len(sent), 254 - 2 * SLICE)
        self.assertEqual(sent[-1], (PROBE, ("10.1.0.254", 3000)))

    def test_stopped_meanwhile(self) -> None:
        """A stop ends a sweep that is under way."""
        port = self.wide
        self.successResultOf(self.discovery.stopService())
        self.reactor.advance(1)
        self.assertEqual(len(port.take()), SLICE)


class MissingTests(DiscoveryTestCase):
    def test_every_five_seconds(self) -> None:
        """A known printer that is not online is asked every 5 s, where it answered the last time."""
        self.hear(discovery_reply(), (HOME, 3105))
        self.fleet.announced(announcement(OTHER_ID), "")
        self.quiet()
        asked = 0
        for _ in range(25):
            self.reactor.advance(1)
            asked += self.wide.take().count((PROBE, (HOME, 3105)))
        self.assertEqual(asked, 5)

    def test_online(self) -> None:
        """A printer that is online is not asked that often."""
        self.hear(discovery_reply())
        FakeLink(self.links).open()
        self.quiet()
        self.reactor.pump([1] * 20)
        self.assertEqual(self.wide.take(), [])


class AnswerTests(DiscoveryTestCase):
    def test_new_printer(self) -> None:
        """A printer that answers is known with its status at once, before it has connected."""
        self.hear(discovery_reply(status=status_json(1, 2, layer=12)))
        printer = self.printer()
        self.assertEqual((printer.name, printer.address), ("Bench left", HOME))
        self.assertIs(printer.reachability, Reachability.STALE)
        assert printer.status is not None
        self.assertEqual(printer.status.print.current_layer, 12)

    def test_connected(self) -> None:
        """While a printer is connected, what it says by UDP neither invites it nor changes its status."""
        self.hear(discovery_reply())
        FakeLink(self.links).open()
        self.quiet()
        self.hear(discovery_reply(status=status_json(1, 2)))
        self.assertEqual(self.lan.take(), [])
        status = self.printer().status
        assert status is not None
        self.assertEqual(status.current, (0,))
        self.assertIs(self.printer().reachability, Reachability.ONLINE)

    def test_garbage(self) -> None:
        """Whatever else arrives is ignored, and printers are found all the same."""
        lines = logged(self, "debug")
        for datagram in (
            b"",
            PROBE,
            INVITATION,
            b"ok MAC:00:11:22:33:44:55 IP:192.0.2.9 VER:V1 ID:1 NAME:Old",
            b"\xff\xfe\x00",
            discovery_reply()[:-20],
            b"[" * 60_000,
            b"x" * 60_000,
            b'{"Data":{"Attributes":{"MainboardID":"../../etc"}}}',
            b'{"Data":{"MainboardID":17}}',
        ):
            self.hear(datagram, ("192.0.2.9", 3000))
        self.assertEqual(len(self.fleet), 0)
        self.assertEqual(len([line for line in lines if "Ignored a datagram" in line]), 10)
        self.hear(discovery_reply())
        self.assertEqual(len(self.fleet), 1)

    def test_duplicates(self) -> None:
        """Several answers to several probes are one printer and one invitation."""
        for _ in range(5):
            self.hear(discovery_reply())
        self.assertEqual(len(self.fleet), 1)
        self.assertEqual(self.invitations(), 1)

    def test_source_wins(self) -> None:
        """The address that a printer answers from counts, not the one that it tells; the log says it once."""
        lines = logged(self)
        for _ in range(3):
            self.hear(discovery_reply(MainboardIP="192.0.2.99"))
        self.assertEqual(self.printer().address, HOME)
        self.assertEqual(len([line for line in lines if "192.0.2.99" in line]), 1)

    def test_moved(self) -> None:
        """A printer that got another address is followed there, and invited from there."""
        self.hear(discovery_reply())
        self.quiet()
        pump(self.reactor, 5)
        moved = ("192.0.2.90", 3000)
        self.hear(discovery_reply(MainboardIP="192.0.2.90"), moved)
        self.assertEqual(len(self.fleet), 1)
        self.assertEqual(self.printer().address, "192.0.2.90")
        self.assertIn((INVITATION, moved), self.lan.take())

    def test_same_name(self) -> None:
        """Two printers of the same name are two printers."""
        self.hear(discovery_reply())
        self.hear(discovery_reply(OTHER_ID, MainboardIP="192.0.2.32"), ("192.0.2.32", 3000))
        self.assertEqual({p.address for p in self.fleet}, {HOME, "192.0.2.32"})
        self.assertEqual(len({p.slug for p in self.fleet}), 2)

    def test_v3(self) -> None:
        """A printer that speaks V3 is listed, with the reason why it cannot be used, and not invited."""
        flat = {"Name": "S4", "MainboardID": OTHER_ID, "MainboardIP": "192.0.2.44", "ProtocolVersion": "V3.0.0"}
        self.quiet()
        self.hear(json.dumps({"Id": "x", "Data": flat}).encode(), ("192.0.2.44", 3000))
        printer = self.printer(OTHER_ID)
        self.assertIs(printer.generation, Generation.V3)
        self.assertIn("V3.0.0", str(printer.message))
        self.assertIs(printer.reachability, Reachability.STALE)
        self.assertEqual(self.lan.take(), [])

    def test_unknown_protocol(self) -> None:
        """A printer of a version that nobody knows is listed the same way, named or not."""
        self.quiet()
        self.hear(discovery_reply(ProtocolVersion="V9"))
        self.assertIn("V9", str(self.printer().message))
        flat = {"Data": {"MainboardID": OTHER_ID}}
        self.hear(json.dumps(flat).encode(), ("192.0.2.44", 3000))
        self.assertIn("another protocol", str(self.printer(OTHER_ID).message))
        self.assertEqual(self.lan.take(), [])

    def test_two_generations(self) -> None:
        """When the same board says another version, the last word counts and the log tells."""
        lines = logged(self)
        self.hear(discovery_reply(ProtocolVersion="V3.0.0"))
        self.assertIs(self.printer().generation, Generation.V3)
        self.hear(discovery_reply(ProtocolVersion="V1.0.0"))
        self.assertIs(self.printer().generation, Generation.V1)
        self.assertTrue(any("instead of V3.0.0" in line for line in lines))
        self.assertIsNone(self.printer().message)


class StrangerTests(DiscoveryTestCase):
    """Datagrams that anybody could send."""

    def test_impostor(self) -> None:
        """Who says it is a connected printer, from another address, changes nothing; the log tells it once."""
        lines = logged(self)
        self.hear(discovery_reply())
        link = FakeLink(self.links)
        link.open()
        for _ in range(3):
            self.hear(discovery_reply(Name="Mallory", ProtocolVersion="V3.0.0"), ("192.0.2.66", 3000))
        printer = self.printer()
        self.assertEqual((printer.address, printer.name), (HOME, "Bench left"))
        self.assertIs(printer.generation, Generation.V1)
        self.assertEqual(len([line for line in lines if "192.0.2.66" in line]), 1)
        link.drop()
        self.hear(discovery_reply(), ("192.0.2.66", 3000))
        self.assertEqual(self.printer().address, "192.0.2.66")

    def test_flood_of_claims(self) -> None:
        """Whoever says from hundreds of addresses that it is a connected printer fills no log with it."""
        lines = logged(self)
        self.hear(discovery_reply())
        FakeLink(self.links).open()
        for number in range(500):
            self.hear(discovery_reply(), (f"192.0.3.{number % 250}", 3000))
        self.assertEqual(len([line for line in lines if "ignored" in line]), LINES)

    def test_flood_of_moves(self) -> None:
        """A printer that is always elsewhere, lies about it and speaks two versions fills no log with it either."""
        lines = logged(self)
        for number in range(2000):
            reply = discovery_reply(MainboardIP=f"192.0.2.{number % 250}", ProtocolVersion=f"V{1 + 2 * (number % 2)}")
            self.hear(reply, (f"192.0.3.{number % 250}", 3000))
            self.reactor.advance(0.01)
        for word in ("moved from", "but says it is", "now says"):
            self.assertEqual(len([line for line in lines if word in line]), LINES, word)

    def test_flood_of_news(self) -> None:
        """Statuses that anybody sends by UDP by the thousand wake nobody more than ten times a second."""
        self.quiet()
        version = self.fleet.version
        for number in range(1000):
            self.hear(discovery_reply(status=status_json(number % 2, 3)))
            self.reactor.advance(0.001)
        self.assertLessEqual(self.fleet.version - version, 2 * ANSWERS + 2)

    def test_crowd(self) -> None:
        """The list of printers ends somewhere, however many answer, and the known ones stay; the log tells it once."""
        lines = logged(self)
        for number in range(MOST + 5):
            self.hear(discovery_reply(f"{number:016X}"))
        self.assertEqual(len(self.fleet), MOST)
        self.hear(discovery_reply(f"{1:016X}", Name="Renamed"))
        self.assertEqual(self.printer(f"{1:016X}").name, "Renamed")
        self.assertEqual(len([line for line in lines if "More printers" in line]), 1)


class InvitationTests(DiscoveryTestCase):
    def answer(self, seconds: float) -> list[float]:
        """The printer answers every second; when it was invited."""
        times = []
        for _ in range(round(seconds)):
            self.reactor.advance(1)
            self.hear(discovery_reply())
            if self.invitations():
                times.append(self.reactor.seconds())
        return times

    def test_back_off(self) -> None:
        """A printer that does not come is invited three times, then less and less often."""
        times = self.answer(260)
        gaps = [later - earlier for earlier, later in pairwise(times)]
        self.assertEqual(gaps, [5, 5, 15, 30, 60, 60, 60])

    def test_firewall(self) -> None:
        """After three invitations in vain somebody hears of the firewall: which port, and at which address."""
        lines = logged(self)
        self.answer(15)
        self.assertIsNone(self.printer().message)
        self.answer(2)
        self.assertIn("Firewall?", str(self.printer().message))
        self.answer(180)
        message = str(self.printer().message)
        for word in ("Firewall?", "1883", LAN.address, HOME):
            self.assertIn(word, message)
        self.assertEqual(events(self.fleet), ["unreachable_back"])
        self.assertEqual(self.fleet.events[0].data, {"port": 1883, "address": LAN.address})
        self.assertEqual(len([line for line in lines if "firewall?" in line]), 1)

    def test_connects_at_last(self) -> None:
        """When the printer connects after all, the message goes, and counting begins anew."""
        self.answer(120)
        link = FakeLink(self.links)
        link.open()
        self.assertIsNone(self.printer().message)
        link.drop()
        times = self.answer(15)
        self.assertEqual(times, [124, 129, 134])
        self.assertIsNone(self.printer().message)

    def test_connects_between_answers(self) -> None:
        """A printer that came and went is asked and invited again as soon as it cannot be on its way to another."""
        self.answer(1)
        link = FakeLink(self.links)
        link.open()
        link.drop()
        self.wide.take()
        self.reactor.advance(GRACE - 0.1)
        self.hear(discovery_reply())
        self.assertEqual(self.invitations(), 0)
        self.reactor.advance(0.1)
        self.assertEqual(self.wide.take(), [(PROBE, PRINTER)])
        self.hear(discovery_reply())
        self.assertEqual(self.invitations(), 1)

    def test_unknown_way(self) -> None:
        """Of a printer found by a target probe, our address towards it is looked up."""
        for _ in range(40):
            self.reactor.advance(1)
            self.hear(discovery_reply(), ("127.0.0.1", 3000), self.wide)
        self.assertIn("at 127.0.0.1", str(self.printer().message))

    def test_port_changes(self) -> None:
        """The port that is told is the one of this moment; while there is none, nobody is invited."""
        self.port = 0
        self.assertEqual(self.answer(10), [])
        self.port = 40_001
        self.hear(discovery_reply())
        self.assertEqual(self.lan.take()[-1], (b"M66666 40001", PRINTER))


class ElsewhereTests(DiscoveryTestCase):
    def owned(self, by: str = "tcp://192.0.2.200:33288", connected: int = 1, printing: bool = True) -> bytes:
        status = status_json(1, 2) if printing else status_json()
        return discovery_reply(status=status, SDCPStatus=connected, LocalSDCPAddress=by)

    def taken(self) -> FakeLink:
        """A printer that was ours is connected to another program; the link that it had."""
        self.hear(discovery_reply())
        link = FakeLink(self.links)
        link.open()
        link.drop()
        self.hear(self.owned())
        self.quiet()
        return link

    def answer(self, seconds: int, *, printing: bool) -> list[float]:
        """It answers every 5 s that the other one has it; when it was invited."""
        times = []
        for _ in range(seconds // 5):
            self.reactor.advance(5)
            self.hear(self.owned(printing=printing))
            if self.invitations():
                times.append(self.reactor.seconds())
        return times

    def test_watched(self) -> None:
        """A printer that another program controls is shown with its status, and not invited."""
        self.quiet()
        for _ in range(10):
            self.hear(self.owned())
            self.reactor.advance(5)
        printer = self.printer()
        self.assertIs(printer.reachability, Reachability.ELSEWHERE)
        self.assertIn("192.0.2.200:33288", str(printer.message))
        self.assertIsNotNone(printer.status)
        self.assertEqual(self.invitations(), 0)
        self.assertEqual(events(self.fleet), [])

    def test_reason_comes_along(self) -> None:
        """Whoever waits for news of the printer is never told that it is owned without being told by whom."""
        self.hear(discovery_reply())
        seen: list[Printer] = []
        self.fleet.subscribe(lambda before, after: seen.append(after))
        self.hear(self.owned())
        owned = [str(printer.message) for printer in seen if printer.reachability is Reachability.ELSEWHERE]
        self.assertTrue(owned)
        self.assertEqual([message for message in owned if "192.0.2.200:33288" not in message], [])

    def test_recovers(self) -> None:
        """When the other program lets go, the printer is invited and nothing is explained any more."""
        self.hear(self.owned())
        self.quiet()
        self.hear(self.owned(connected=0))
        self.assertIs(self.printer().reachability, Reachability.STALE)
        self.assertIsNone(self.printer().message)
        self.assertEqual(self.invitations(), 1)

    def test_taken_away(self) -> None:
        """A printer that was ours and was taken away is not fought for."""
        self.hear(discovery_reply())
        link = FakeLink(self.links)
        link.open()
        link.drop()
        self.quiet()
        self.hear(self.owned())
        self.assertIs(self.printer().reachability, Reachability.ELSEWHERE)
        self.assertEqual(self.invitations(), 0)

    def test_ours(self) -> None:
        """A printer that still believes in its connection to us is ours, and invited."""
        for address in (LAN.address, "127.0.0.1"):
            self.hear(self.owned(f"tcp://{address}:1883"))
            self.assertIs(self.printer().reachability, Reachability.STALE)

    def test_other_port(self) -> None:
        """Another broker on this machine is another program all the same, and so is a host by name."""
        for owner in (f"tcp://{LAN.address}:1884", "tcp://mosquitto:1883"):
            self.hear(self.owned(owner))
            self.assertIs(self.printer().reachability, Reachability.ELSEWHERE)
            self.hear(self.owned(connected=0))

    def test_no_owner(self) -> None:
        """A printer that claims a connection and no owner is invited."""
        self.quiet()
        self.hear(self.owned(by=""))
        self.assertEqual(self.invitations(), 1)

    def test_told(self) -> None:
        """That a printer was taken over, and that it came back, is told once each, with who has it."""
        lines = logged(self)
        link = self.taken()
        self.answer(50, printing=False)
        self.assertEqual(events(self.fleet), ["online", "taken_over"])
        self.assertEqual(self.fleet.events[-1].data, {"owner": "192.0.2.200:33288"})
        self.assertEqual(len([line for line in lines if "taken over by 192.0.2.200:33288" in line]), 1)
        link.open()
        self.assertEqual(events(self.fleet)[-1], "back")
        self.assertIs(self.printer().reachability, Reachability.ONLINE)
        self.assertIsNone(self.printer().message)

    def test_won_back(self) -> None:
        """One that was ours and is idle is asked back at most once a minute."""
        self.taken()
        times = self.answer(200, printing=False)
        self.assertEqual(times, [WIN_BACK, 2 * WIN_BACK, 3 * WIN_BACK])

    def test_printing(self) -> None:
        """While it prints for somebody else it is left alone, and asked back as soon as it is idle again."""
        self.taken()
        self.assertEqual(self.answer(600, printing=True), [])
        self.assertEqual(self.answer(10, printing=False), [605.0])

    def test_stranger(self) -> None:
        """A printer that never was ours is not lured away from who has it."""
        self.hear(self.owned(printing=False))
        self.assertEqual(self.answer(600, printing=False), [])

    def test_left_without_farewell(self) -> None:
        """A connection that fell silent is ended when the printer says that it is somebody else's now."""
        self.hear(discovery_reply())
        link = FakeLink(self.links)
        link.open()
        self.hear(self.owned())
        self.assertEqual(link.closed, [])
        link.acks[Command.STATUS] = None
        self.reactor.advance(SILENCE)
        self.links.sweep()
        self.hear(self.owned())
        self.assertEqual(link.closed, ["the printer has gone to 192.0.2.200:33288"])
        self.assertIs(self.printer().reachability, Reachability.ELSEWHERE)
        self.assertEqual(events(self.fleet)[-1], "taken_over")

    def test_wishes(self) -> None:
        """Whoever wants something of it hears who has it and how to get it."""
        self.taken()
        error = self.assertRaises(OwnedElsewhere, self.links.session, ID)
        self.assertIn("192.0.2.200:33288", error.message)
        self.assertIn(f"/v1/printers/{self.printer().slug}/adopt", error.hint)

    def test_adopted(self) -> None:
        """Somebody who asks gets it at once, even while it prints: it is probed, and invited as it answers."""
        link = self.taken()
        self.discovery.adopt(ID)
        self.assertEqual(self.wide.take(), [(PROBE, PRINTER)])
        self.hear(self.owned())
        self.assertEqual(self.invitations(), 1)
        link.open()
        self.assertEqual(events(self.fleet)[-1], "back")

    def test_adopted_in_vain(self) -> None:
        """One that does not obey is invited three times, then shown as the other's again, and what was tried."""
        self.taken()
        self.discovery.adopt(ID)
        self.assertEqual(self.answer(60, printing=True), [5, 10, 15])
        self.assertIs(self.printer().reachability, Reachability.ELSEWHERE)
        self.assertIn("invited 3 times", str(self.printer().message))
        self.discovery.adopt(ID)
        self.hear(self.owned())
        self.assertNotIn("invited", str(self.printer().message))

    def test_adopted_stranger(self) -> None:
        """One that never was ours can be had in the same way."""
        self.hear(self.owned())
        self.quiet()
        self.discovery.adopt(ID)
        self.hear(self.owned())
        self.assertEqual(self.invitations(), 1)

    def test_nothing_to_adopt(self) -> None:
        """What is off, what speaks V3 and what is here already is not invited."""
        self.fleet.announced(announcement(OTHER_ID, ProtocolVersion="V3.0.0"), HOME)
        self.assertRaises(NotNow, self.discovery.adopt, OTHER_ID)
        self.fleet.announced(announcement(), HOME)
        self.assertRaises(PrinterOffline, self.discovery.adopt, ID)
        FakeLink(self.links).open()
        self.quiet()
        self.discovery.adopt(ID)
        self.assertEqual(self.wide.take(), [])


class NetworkTests(DiscoveryTestCase):
    def test_down(self) -> None:
        """A network that is down stops nothing: when it is back, the next probe goes out."""
        self.hear(discovery_reply())
        self.reactor.unreachable = True
        self.hear(discovery_reply())
        pump(self.reactor, 100)
        self.reactor.unreachable = False
        self.quiet()
        pump(self.reactor, 30)
        self.assertEqual(len(self.lan.take()), 2)
        self.assertIn((PROBE, PRINTER), self.wide.take())

    def test_interface_comes(self) -> None:
        """A network that comes up later is asked too."""
        self.present.append(WLAN)
        pump(self.reactor, 30)
        self.assertIn((PROBE, (WLAN.broadcast, 3000)), self.reactor.at(WLAN.address).take())

    def test_interface_goes(self) -> None:
        """The socket of an address that is gone is closed; when it is back, it is asked again."""
        lan = self.lan
        self.present.clear()
        pump(self.reactor, 30)
        self.assertFalse(lan.open)
        self.present.append(LAN)
        pump(self.reactor, 30)
        self.assertEqual(len(self.lan.take()), 2)

    def test_other_netmask(self) -> None:
        """An interface whose network changed is asked by its new broadcast address."""
        self.present[:] = [Interface("eth0", LAN.address, "192.0.2.127")]
        pump(self.reactor, 30)
        self.assertEqual(self.lan.take()[0], (PROBE, ("192.0.2.127", 3000)))

    def test_vanished_meanwhile(self) -> None:
        """An address that vanishes before it can be used is left out, and the search goes on."""
        lines = logged(self)
        self.present.append(WLAN)
        self.reactor.gone.add(WLAN.address)
        pump(self.reactor, 30)
        self.assertEqual(len(self.discovery.listening), 2)
        self.assertTrue(any(WLAN.address in line for line in lines))
        self.reactor.gone.clear()
        pump(self.reactor, 30)
        self.assertEqual(len(self.discovery.listening), 3)

    def test_unlistable(self) -> None:
        """If the interfaces cannot be listed just now, those that are known are asked on."""
        self.unlistable = True
        self.quiet()
        pump(self.reactor, 30)
        self.assertEqual(len(self.lan.take()), 2 * 3)

    def test_socket_lost(self) -> None:
        """A socket that the system took away is replaced at the next probe; until then nothing breaks."""
        self.hear(discovery_reply())
        pump(self.reactor, 3)
        for port in (self.lan, self.wide):
            self.successResultOf(port.stopListening())
        self.assertEqual(self.discovery.listening, [])
        pump(self.reactor, 3)
        self.assertEqual(self.discovery.listening, [])
        pump(self.reactor, 24)
        self.assertTrue(self.lan.open)
        self.assertEqual(len(self.discovery.listening), 2)
        pump(self.reactor, 6)
        self.assertIn((PROBE, PRINTER), self.wide.take())

    def test_no_socket_at_all(self) -> None:
        """Where no socket can be opened, the daemon waits for better times."""
        self.successResultOf(self.discovery.stopService())
        self.reactor.gone |= {"", LAN.address}
        self.discovery.startService()
        pump(self.reactor, 20)
        self.fleet.announced(announcement(), HOME)
        pump(self.reactor, 20)
        self.assertEqual(self.discovery.listening, [])
        self.reactor.gone.clear()
        pump(self.reactor, 30)
        self.assertEqual(len(self.discovery.listening), 2)


class CommandTests(DiscoveryTestCase):
    def test_greeted_from_here(self) -> None:
        """A printer that was found and connects is greeted with the Id it announced."""
        self.hear(discovery_reply())
        link = FakeLink(self.links)
        link.open()
        self.assertEqual(link.sent[0]["Data"]["Cmd"], Command.STATUS)
        self.assertEqual(link.sent[0]["Id"], self.printer().announcement.wire_id)
