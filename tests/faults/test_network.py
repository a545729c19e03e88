"""Faults of the network and of the connection: F1 to F14 and F44 of the reference's table (sdcp.md 8.4)."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

from sdcpd.broker.printers import PRINTERS_LIMITS
from sdcpd.simulator.settings import PrinterSpec, plan
from tests.fakes import logged
from tests.faults.bench import HUB, FaultCase


class LossyTests(FaultCase):
    """F1."""

    def prepare(self) -> None:
        self.printer.inject("udp-loss", share=1.0)
        self.printer.inject("udp-duplicate", copies=3)
        self.printer.inject("udp-delay", seconds=20.0, spread=20.0)

    async def arrive(self) -> None:
        await self.wait(2)  # the first two probes are lost; three lost invitations are another test's
        self.printer.inject("udp-loss", share=0.0)
        await super().arrive()

    async def test_udp(self) -> None:
        """Lost, doubled, late and overtaking datagrams make one printer that stays online."""
        self.printer.inject("udp-loss", share=0.3)
        for _ in range(10):
            self.discovery.probe()
            await self.wait(5)
        self.assertEqual(self.happenings(), ["online"])
        self.assertEqual(len(self.rig.fleet), 1)
        self.assertIs(self.shown()["online"], True)
        self.assertEqual(self.printer.counts.kinds["up"], 1)


class BadReplyTests(FaultCase):
    """F2."""

    profiles = ("S3U-1.5.4:Bad", "M4U-1.3.0:Good")

    def prepare(self) -> None:
        self.printer.inject("bad-reply", kind="text")

    async def arrive(self) -> None:
        await self.until(lambda: len(self.rig.links) == 1)

    async def test_replies(self) -> None:
        """Whatever comes instead of a reply is ignored; the others are found, and the printer too when it is well."""
        for kind in ("truncated", "text", "ok-mac", "invalid-utf8", "huge", "empty", "array"):
            self.printer.inject("bad-reply", kind=kind)
            await self.probed()
            self.assertEqual([p.name for p in self.rig.fleet], ["Good"], kind)
        self.printer.clear()
        await self.probed()
        await self.until(lambda: len(self.rig.links) == 2)


class WrongAddressTests(FaultCase):
    """F3."""

    def prepare(self) -> None:
        self.printer.inject("wrong-address", address="192.0.2.99")

    async def test_source_wins(self) -> None:
        """The address that a printer answers from is used, and the log says what it claims."""
        lines = logged(self)
        self.assertEqual(self.shown()["address"], self.first)
        self.assertEqual(self.printer.violations, [])
        self.printer.inject("wrong-address", address="192.0.2.98")
        await self.probed()
        await self.until(lambda: any("192.0.2.98" in line for line in lines))
        await self.probed()
        self.assertEqual(self.shown()["address"], self.first)
        self.assertEqual(len([line for line in lines if "192.0.2.98" in line]), 1)


class SameNameTests(FaultCase):
    """F4."""

    def specs(self) -> tuple[PrinterSpec, ...]:
        return plan(("S3U-1.5.4:One", "S3U-1.5.4:Two"), self.first)

    def prepare(self) -> None:
        for printer in self.farm.printers:
            printer.inject("same-name", called="Same")

    def addresses(self) -> list[str]:
        """One address more, for the one that moves."""
        return [*super().addresses(), self.moved]

    @property
    def moved(self) -> str:
        return self.first.rpartition(".")[0] + ".40"

    async def test_moved(self) -> None:
        """Printers are told apart by their boards; one that gets another address is followed there."""
        slugs = {printer.slug for printer in self.rig.fleet}
        self.assertEqual(len(slugs), 2)
        self.assertEqual({printer.name for printer in self.rig.fleet}, {"Same"})
        self.printer.inject("new-address", address=self.moved)
        await self.until(lambda: self.shown()["address"] == self.moved and self.shown()["online"])
        self.assertEqual({printer.slug for printer in self.rig.fleet}, slugs)


class IgnoredTests(FaultCase):
    """F5."""

    def prepare(self) -> None:
        self.printer.inject("ignore-invitations", times=2)

    async def test_third(self) -> None:
        """A printer that comes at the third invitation is online, and nobody is alarmed."""
        self.assertEqual(self.printer.counts.kinds["invitation"], 3)
        self.assertEqual(self.happenings(), ["online"])
        times = [entry.time for entry in self.printer.log if entry.kind == "invitation"]
        self.assertGreaterEqual(min(b - a for a, b in pairwise(times)) * self.haste, 4.4)


class FirewalledTests(FaultCase):
    """F5, once more than the daemon insists."""

    def prepare(self) -> None:
        self.printer.inject("ignore-invitations", times=3)

    async def arrive(self) -> None:
        await self.until(lambda: self.shown().get("message"))

    async def test_fourth(self) -> None:
        """It is shown with our port, our address and the firewall as the likely cause, and comes back by itself."""
        shown = self.shown()
        for word in ("Firewall?", f"port {self.broker_port} at {HUB}", self.first):
            self.assertIn(word, shown["message"])
        self.assertEqual((shown["reachability"], self.printer.counts.kinds["invitation"]), ("stale", 3))
        await self.until(lambda: self.shown()["online"])
        self.assertIsNone(self.shown()["message"])
        self.assertEqual(self.happenings(), ["unreachable_back", "online"])


class OwnedTests(FaultCase):
    """F6."""

    async def test_taken_over(self) -> None:
        """A printer that another broker took is shown as such, invited once a minute at most, and comes back."""
        self.printer.inject("owned", address="tcp://192.0.2.10:33288")
        await self.until(lambda: self.shown()["reachability"] == "owned elsewhere")
        self.assertIn("192.0.2.10:33288", self.shown()["message"])
        before = self.printer.counts.kinds["invitation"]
        await self.wait(55)
        self.assertEqual(self.printer.counts.kinds["invitation"], before)
        await self.until(lambda: self.printer.counts.kinds["invitation"] == before + 1)
        self.printer.clear("owned")
        await self.until(lambda: self.shown()["online"])
        self.assertEqual(self.happenings(), ["online", "taken_over", "back"])

    async def test_adopted(self) -> None:
        """Asked by a person, the daemon invites it at once, also while it prints."""
        self.put()
        self.print()
        await self.until(lambda: self.shown()["phase"] == "PRINTING")
        self.printer.inject("owned", address="tcp://192.0.2.10:33288", obeys=True)
        await self.until(lambda: self.shown()["reachability"] == "owned elsewhere")
        reply = self.ask("POST", f"/v1/printers/{self.printer.id}/adopt")
        self.assertEqual(reply.status, 202, reply.body)
        await self.until(lambda: self.shown()["online"])
        self.assertTrue(self.printer.printing.busy)
        await self.ended("finished")
        self.assertEqual(self.starts, 1)


class SplitTests(FaultCase):
    """F7."""

    def prepare(self) -> None:
        self.printer.inject("split-segments")

    async def test_single_bytes(self) -> None:
        """A printer whose packets come byte by byte is understood, and prints."""
        await self.printing()
        await self.ended("finished")
        self.assertEqual((self.printer.counts.kinds["up"], self.printer.violations), (1, []))


class JoinedTests(FaultCase):
    """F7."""

    def prepare(self) -> None:
        self.printer.inject("joined-packets")

    async def test_one_segment(self) -> None:
        """So is one that sends CONNECT and SUBSCRIBE at once."""
        await self.printing()
        await self.ended("finished")
        self.assertEqual((self.printer.counts.kinds["up"], self.printer.violations), (1, []))


class IntruderTests(FaultCase):
    """F8."""

    profiles = ("S3U-1.5.4", "M4U-1.3.0")

    def prepare(self) -> None:
        self.printer.inject("ignore-invitations", times=0)

    async def arrive(self) -> None:
        await self.until(lambda: len(self.rig.links) == 1 and self.printer.caller.inviter)

    def shown_out(self, number: int) -> bool:
        """Whether so many connections have been closed."""
        return self.printer.counts.kinds["stranger"] == number

    async def test_closed(self) -> None:
        """Who breaks MQTT's rules or is unknown is shown out; the printer that is there does not notice."""
        for number, name in enumerate(
            (
                "wrong-protocol-name",
                "level-5",
                "empty-client-id",
                "unknown-client-id",
                "huge-packet",
                "long-length",
            ),
            1,
        ):
            self.printer.inject(name)
            await self.until(partial(self.shown_out, number))
            self.assertIs(self.shown(1)["online"], True, name)
        raw = await self.connect(self.first, self.broker_port)
        raw.write(b"GET / HTTP/1.1\r\n\r\n")
        await raw.ended
        self.assertEqual(self.farm.printers[1].counts.kinds["up"], 1)
        self.assertEqual(self.farm.printers[1].counts.kinds["disconnected"], 0)


class TwinTests(FaultCase):
    """F9."""

    async def test_session_moves(self) -> None:
        """A second connection of a printer takes the place of the half-open first one, which is closed."""
        before = self.server.connections
        self.printer.inject("twin")
        await self.until(lambda: self.printer.counts.kinds["up"] >= 2 and self.shown()["online"])
        await self.until(lambda: self.server.connections == before)
        await self.printing()
        await self.ended("finished")


class SilentTests(FaultCase):
    """F10."""

    async def test_half_open(self) -> None:
        """A connection that died without a word is found within a minute, and the printer is online again."""
        self.printer.inject("half-open")
        began = self.clock.seconds()
        await self.until(lambda: self.shown()["reachability"] == "stale")
        await self.until(lambda: self.shown()["online"])
        self.assertLess(self.clock.seconds() - began, 75)
        self.assertEqual(self.happenings(), ["online"])

    async def test_power_cut(self) -> None:
        """A printer without power is offline within two minutes, and online when it has power again."""
        self.printer.power_off()
        await self.until(lambda: self.shown()["reachability"] == "offline")
        self.assertEqual(self.happenings(), ["online", "offline"])
        self.printer.power_on()
        await self.until(lambda: self.shown()["online"])

    async def test_cut(self) -> None:
        """A network that is away for a while takes no print with it."""
        await self.printing()
        self.printer.inject("cut", seconds=200.0)
        await self.until(lambda: self.printer.counts.kinds["up"] == 2)
        await self.ended("finished")
        self.assertEqual(self.starts, 1)


class PingTests(FaultCase):
    """F11, at the daemon's real pace: keep-alive is measured in real seconds on both sides."""

    haste = 1.0

    def prepare(self) -> None:
        self.printer.inject("keepalive", seconds=1)

    async def test_every_second(self) -> None:
        """A printer that pings every second stays connected, and so does one that stops pinging but talks."""
        await self.wait(2.5)
        self.printer.inject("no-ping")
        await self.wait(2.5)
        self.assertEqual(self.printer.counts.kinds["up"], 1)
        self.assertEqual((self.shown()["online"], self.happenings()), (True, ["online"]))
        self.assertEqual(self.printer.violations, [])


class NoKeepaliveTests(FaultCase):
    """F11."""

    def prepare(self) -> None:
        self.printer.inject("keepalive", seconds=0)
        self.printer.inject("no-ping")

    async def test_none(self) -> None:
        """A printer without keep-alive that never pings stays connected."""
        await self.wait(60)
        self.assertEqual(self.printer.counts.kinds["up"], 1)
        self.assertEqual(self.happenings(), ["online"])


class DoubledTests(FaultCase):
    """F12."""

    async def test_dup(self) -> None:
        """Messages that come again with DUP are acknowledged again and change nothing: one print, each event once."""
        self.printer.inject("duplicate-publish")
        await self.printing()
        await self.ended("finished")
        transfer, printed = ["transfer_started", "transfer_done"], ["print_started", "print_finished"]
        expected = ["online", "plate_clear", *transfer, *printed, "needs_plate"]
        await self.until(lambda: self.happenings() == expected)
        self.assertEqual((self.starts, self.printer.violations), (1, []))


class EarlyTests(FaultCase):
    """F13."""

    def prepare(self) -> None:
        self.printer.inject("early-publish")
        self.printer.set_status(current=1, print_info={"status": 3, "current_layer": 5, "total_layer": 9})

    async def test_before_subscribe(self) -> None:
        """A status that comes before SUBSCRIBE counts, and the printer is greeted all the same."""
        self.assertEqual(self.shown()["layer"], 5)
        await self.until(lambda: self.printer.counts.commands[512] == 1)
        self.assertEqual(self.printer.violations, [])


class FilterTests(FaultCase):
    """F14."""

    profiles = ("S3U-1.5.4", "M4U-1.3.0")

    def prepare(self) -> None:
        self.farm.printers[0].inject("filters", kind="two")
        self.farm.printers[1].inject("filters", kind="wildcard")

    async def test_filters(self) -> None:
        """Printers that subscribe to two filters, or to everything, are greeted, each with its own messages only."""
        for printer in self.farm.printers:
            await printer.until(lambda one: one.counts.commands[512] == 1)
            self.assertEqual(printer.violations, [])


class StormTests(FaultCase):
    """F44."""

    async def test_storm(self) -> None:
        """Of 200 idle connections 16 an address stay, until the time for CONNECT is over; the printer prints on."""
        await self.printing()
        over = self.printer.counts.kinds
        self.printer.inject("idle-connections", count=200)
        await self.until(lambda: over["stranger"] >= 200 - PRINTERS_LIMITS.connections_per_address)
        await self.until(lambda: over["stranger"] == 200)
        await self.ended("finished")
        self.assertEqual((self.printer.counts.kinds["up"], self.server.connections), (1, 1))
