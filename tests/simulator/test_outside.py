"""Faults from beside the printer: strangers, other addresses, the person at the screen."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from sdcpd.codec.mqtt import Subscribe
from sdcpd.simulator.fault_kinds import Twin
from sdcpd.simulator.rawmqtt import connect_packet
from sdcpd.simulator.storage import StoredFile
from sdcpd.simulator.strangers import intrusion
from tests.client_packets import encode
from tests.simulator.fakes import HUB, TAKEN, PrinterCase
from tests.simulator.test_farm import BODY, FarmCase
from tests.simulator.test_transfer import TransferCase

INTRUDERS = (
    "wrong-protocol-name",
    "level-5",
    "empty-client-id",
    "unknown-client-id",
    "huge-packet",
    "long-length",
)


class AddressTests(PrinterCase):
    """F4."""

    def attributes(self) -> dict[str, object]:
        attributes: dict[str, object] = json.loads(self.udp(b"M99999")[0])["Data"]["Attributes"]
        return attributes

    def test_same_name(self) -> None:
        """A printer can go by anybody's name."""
        self.printer.inject("same-name", called="Left")
        self.assertEqual(self.attributes()["Name"], "Left")
        self.assertEqual(list(self.printer.faults), [])

    def test_moved(self) -> None:
        """It answers from its new address, calls and fetches from there, and what was connected hangs."""
        self.connect()
        former = self.link
        self.printer.inject("new-address", address="127.20.9.8")
        self.assertEqual((former.ended, self.houses), ("frozen", ["127.20.9.8"]))
        self.assertEqual(self.attributes()["MainboardIP"], "127.20.9.8")
        self.connect()
        self.assertEqual(self.link.terms.bind_address, "127.20.9.8")
        self.fetcher.body = b"x" * 100
        self.request(256, self.fetch_order())
        self.assertEqual(self.addresses[-1], "127.20.9.8")

    def test_no_house(self) -> None:
        """Where the address is taken, or not of this machine, it stays."""
        for address in (TAKEN, "192.0.2.7", "nowhere"):
            self.assertRaises(ValueError, self.printer.inject, "new-address", address=address)
        self.assertEqual(self.printer.spec.address, "127.20.9.2")
        self.assertEqual(list(self.printer.faults), [])


class StrangerTests(TransferCase):
    """F8, F27 and F44."""

    def setUp(self) -> None:
        super().setUp()
        self.dialled = self.dialler.calls

    def test_intruders(self) -> None:
        """Each says its own broken packets from the printer's address, and the log keeps what came back."""
        for name in INTRUDERS:
            self.printer.inject(name)
            call = self.dialled[-1]
            self.assertEqual(call.source, self.printer.spec.address)
            call.over(b"\x20\x02\x00\x01", "closed")
            noted = self.printer.log[-1]
            self.assertEqual(
                (noted.kind, noted.detail["fault"], noted.detail["received"]), ("stranger", name, "20020001")
            )
        said = [call.data for call in self.dialled]
        self.assertEqual(len({*said}), len(INTRUDERS))
        self.assertNotIn(connect_packet(self.printer.id), said)
        self.assertIn(b"MQTTT", said[0])
        self.assertEqual(said[1][8], 5)
        self.assertTrue(said[2].endswith(b"\x00\x00"))
        self.assertTrue(said[3].endswith(b"0" * 16))
        self.assertGreater(len(said[4]), 300_000)
        self.assertTrue(said[5].endswith(b"\x30\xff\xff\xff\xff\x01"))
        self.assertEqual(self.link.ended, "")

    def test_idle(self) -> None:
        """So many connections from another address say nothing, and all end with the simulation."""
        self.printer.inject("idle-connections", count=20, address="127.9.9.9")
        self.advance(1, 0.01)
        self.assertEqual({(call.source, call.data) for call in self.dialled}, {("127.9.9.9", b"")})
        self.assertEqual((len(self.dialled), len(self.dialler.targets)), (20, 1))
        self.dialled[0].over(b"", "closed")
        self.printer.shut_down()
        self.assertEqual([call.dropped for call in self.dialled], [False] + [True] * 19)
        self.assertEqual(self.printer.counts.kinds["stranger"], 20)

    def test_not_on_the_loopback(self) -> None:
        """No address of anybody's network is used."""
        for name in ("idle-connections", "stranger-fetches"):
            self.assertRaises(ValueError, self.printer.inject, name, address="192.0.2.1")
        self.assertEqual((self.dialled, list(self.printer.faults)), ([], []))

    def test_fetches(self) -> None:
        """Somebody else asks once for the very file, and what they got is noted."""
        self.printer.inject("stranger-fetches", address="127.9.9.9")
        for _ in range(2):
            self.fetch()
        self.assertEqual(self.addresses.count("127.9.9.9"), 1)
        replies = [entry.detail for entry in self.printer.log if entry.kind == "stranger-reply"]
        self.assertEqual([(reply["address"], reply["status"]) for reply in replies], [("127.9.9.9", 200)])
        self.assertEqual(len({request.path for request in self.fetcher.requests}), 1)


class UninvitedTests(PrinterCase):
    """A printer that nobody has invited."""

    def test_no_broker(self) -> None:
        """There is nobody to call, which is said; an invitation that is ignored is enough."""
        error = self.assertRaises(ValueError, self.printer.inject, "level-5")
        self.assertIn("invite", str(error))
        self.printer.inject("ignore-invitations")
        self.printer.datagram(b"M66666 1884", HUB, self.fail)
        self.printer.inject("level-5")
        self.assertEqual(self.dialler.targets, {(HUB, 1884)})


class IntrusionTests(SynchronousTestCase):
    """The bytes alone."""

    def test_others(self) -> None:
        """Any other fault has none."""
        self.assertIsNone(intrusion(Twin(), "ID"))


class ScreenTests(PrinterCase):
    """F32."""

    def setUp(self) -> None:
        super().setUp()
        self.connect()
        self.printer.store.add(StoredFile("a.goo", 9, "", 10))
        self.printer.store.add(StoredFile("foreign.goo", 9, "", 10))

    def start(self) -> None:
        self.request(128, {"Filename": "a.goo", "StartLayer": 0})

    def test_pause(self) -> None:
        """The print pauses at the layer as at the screen, once."""
        self.printer.inject("screen-pause", layer=3)
        self.start()
        self.advance(200, 0.5)
        info = self.printer.status.print_info
        self.assertEqual((info.status, info.current_layer), (7, 3))
        self.printer.person.resume()
        self.advance(400, 0.5)
        self.assertEqual(info.status, 16)

    def test_stop(self) -> None:
        """The print stops at the layer."""
        self.printer.inject("screen-stop", layer=2)
        self.start()
        self.advance(200, 0.5)
        info = self.printer.status.print_info
        self.assertEqual((self.printer.status.current, info.status, info.current_layer), (0, 13, 2))

    def test_start(self) -> None:
        """Another file is printed in place of the first."""
        self.printer.inject("screen-start", layer=2)
        self.start()
        self.advance(200, 0.5)
        self.assertEqual(self.printer.status.print_info.filename, "foreign.goo")
        self.assertEqual([e.detail["fault"] for e in self.printer.log if e.kind == "screen"], ["screen-start"] * 2)

    def test_start_nothing(self) -> None:
        """A file that is not there is not started, and the log says so."""
        self.printer.inject("screen-start", layer=2, filename="gone.goo")
        self.start()
        self.advance(200, 0.5)
        self.assertEqual(self.printer.status.current, 0)
        self.assertEqual(self.printer.log[-1].detail["missing"], "gone.goo")


class WireTests(FarmCase):
    """On real sockets."""

    async def test_segments(self) -> None:
        """A printer whose bytes are cut in another way lives as ever, and breaks no rule."""
        printer = self.farm.printers[0]
        for name in ("split-segments", "joined-packets"):
            printer.inject(name, times=1)
            sessions, messages = len(self.broker.sessions), len(self.broker.messages)
            self.invite()
            await self.broker.until(
                lambda s=sessions, m=messages: len(self.broker.sessions) > s and len(self.broker.messages) > m
            )
            session = self.broker.sessions[-1]
            session.request(0, request_id=f"{1000 + sessions:032x}")
            await self.broker.until(lambda m=messages: len(self.broker.messages) > m + 2)
            self.assertEqual(session.filters, [f"/sdcp/request/{printer.id}"])
            if name == "split-segments":
                self.assertLess(max(session.pieces), 8)  # one, unless the reader came late
            else:
                own = f"/sdcp/request/{printer.id}"
                self.assertEqual(session.pieces[0], len(connect_packet(printer.id) + encode(Subscribe(1, ((own, 1),)))))
        self.assertEqual(self.farm.violations, [])

    async def test_moved(self) -> None:
        """Probes are answered at the new address, and no longer at the old one."""
        printer = self.farm.printers[0]
        printer.inject("new-address", address="127.20.7.99")
        heard = self.ear.until(1)
        self.ear.say(b"M99999", "127.20.7.99", self.port)
        await heard
        self.assertEqual(self.ear.heard[0][1], ("127.20.7.99", self.port))
        self.invite("127.20.7.99")
        await self.broker.until(lambda: self.broker.messages)
        self.assertEqual(self.broker.sessions[-1].peer, "127.20.7.99")

    async def test_strangers(self) -> None:
        """A second connection and a stranger's GET really go out, and their ends are noted."""
        await self.connected()
        printer = self.farm.printers[0]
        printer.inject("idle-connections", count=3)
        printer.inject("unknown-client-id")
        await self.broker.until(lambda: len(self.broker.sessions) == 2)
        self.assertEqual(self.broker.sessions[-1].client_id, "0" * 16)
        self.broker.sessions[-1].lose()
        await printer.until(lambda p: p.counts.kinds["stranger"] == 1)
        printer.inject("stranger-fetches")
        self.broker.sessions[0].request(256, self.fetch())
        await printer.until(lambda p: p.counts.kinds["stranger-reply"] == 1 and p.status.transfer_info.status == 2)
        reply = next(entry.detail for entry in printer.log if entry.kind == "stranger-reply")
        self.assertEqual((reply["status"], reply["received"]), (200, len(BODY)))
