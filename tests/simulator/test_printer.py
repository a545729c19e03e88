"""A simulated V1 printer, moved by a clock."""

from __future__ import annotations

import json

from sdcpd.simulator.link import LinkState
from sdcpd.simulator.settings import Settings
from sdcpd.simulator.storage import StoredFile
from tests.simulator.fakes import HUB, PrinterCase


class DiscoveryTests(PrinterCase):
    def test_probe(self) -> None:
        """A probe is answered in the nested shape, with the whole status."""
        (reply,) = self.udp(b"M99999")
        message = json.loads(reply)
        self.assertEqual(message["Id"], "f25273b12b094c5a8b9513a30ca60049")
        attributes = message["Data"]["Attributes"]
        self.assertEqual(attributes["MachineName"], "ELEGOO Saturn 3 Ultra")
        self.assertEqual(attributes["Resolution"], "11520x5120")
        self.assertEqual((attributes["SDCPStatus"], attributes["LocalSDCPAddress"]), (0, ""))
        self.assertEqual(message["Data"]["Status"]["FileTransferInfo"]["Filename"], "")

    def test_noise(self) -> None:
        """What is no probe is not answered."""
        for data in (b"M99999\n", b"M9999", b"", b"M77777 1"):
            self.assertEqual(self.udp(data), [])

    def test_broker_shown(self) -> None:
        """While connected the reply names the broker, and still does afterwards."""
        self.connect()
        attributes = json.loads(self.udp(b"M99999")[0])["Data"]["Attributes"]
        self.assertEqual((attributes["SDCPStatus"], attributes["LocalSDCPAddress"]), (1, f"tcp://{HUB}:1883"))
        self.link.owner.link_lost("gone")
        attributes = json.loads(self.udp(b"M99999")[0])["Data"]["Attributes"]
        self.assertEqual((attributes["SDCPStatus"], attributes["LocalSDCPAddress"]), (0, f"tcp://{HUB}:1883"))


class InvitationTests(PrinterCase):
    def test_calls_the_source(self) -> None:
        """The printer calls who sent the invitation, from its own address, with its id."""
        self.connect()
        terms = self.link.terms
        self.assertEqual((terms.host, terms.port, terms.bind_address), (HUB, 1883, "127.20.9.2"))
        self.assertEqual(terms.client_id, self.printer.id)
        self.assertEqual(terms.filters, (f"/sdcp/request/{self.printer.id}",))

    def test_ignores_host(self) -> None:
        """A Saturn 3 Ultra calls the source whatever host the invitation names."""
        self.printer.datagram(b"M66666 127.20.0.77 1884", HUB, self.fail)
        self.clock.advance(5)
        self.assertEqual((self.link.terms.host, self.link.terms.port), (HUB, 1884))

    def test_bad_ports(self) -> None:
        """An invitation without a usable port is obeyed by nobody and reported."""
        for words in (b"M66666", b"M66666 0", b"M66666 70000", b"M66666 x", b"M66666 a b c"):
            self.printer.datagram(words, HUB, self.fail)
        self.clock.advance(10)
        self.assertEqual(self.links.made, [])
        self.assertEqual(self.codes(), ["invitation"] * 5)

    def test_refused(self) -> None:
        """It tries three times to connect, and then waits to be invited again."""
        self.links.refusals = 3
        self.printer.datagram(b"M66666 1883", HUB, self.fail)
        self.advance(20)
        self.assertEqual((self.links.made, self.links.refusals), ([], 0))
        self.connect()
        self.assertIs(self.printer.link_state, LinkState.UP)

    def test_new_invitation(self) -> None:
        """A new invitation moves the printer to another broker at once."""
        self.connect()
        first = self.link
        self.printer.datagram(b"M66666 1999", HUB, self.fail)
        self.clock.advance(5)
        self.assertEqual((first.ended, self.link.terms.port), ("reset", 1999))

    def test_stays(self) -> None:
        """A printer that ignores invitations while connected stays."""
        self.printer = self.make(Settings(obeys_invitation_while_up=False))
        self.connect()
        self.printer.datagram(b"M66666 1999", HUB, self.fail)
        self.clock.advance(5)
        self.assertEqual(len(self.links.made), 1)


class HostFormTests(PrinterCase):
    profile = "M4U-1.3.0"

    def test_honours_host(self) -> None:
        """A Mars 4 Ultra calls the host that the invitation names."""
        self.printer.datagram(b"M66666 127.20.0.77 1884", HUB, self.fail)
        self.clock.advance(5)
        self.assertEqual(self.link.terms.host, "127.20.0.77")

    def test_loopback_only(self) -> None:
        """A simulated printer never leaves the loopback."""
        self.printer.datagram(b"M66666 192.0.2.1 1884", HUB, self.fail)
        self.clock.advance(5)
        self.assertEqual(self.links.made, [])


class EndTests(PrinterCase):
    def test_nothing_left(self) -> None:
        """A simulation that ends does so at once: a reply and an answer on their way are forgotten."""
        self.connect()
        self.printer.inject("late-response", seconds=8)
        self.request(0)
        self.printer.datagram(b"M99999", HUB, self.fail)
        self.printer.shut_down()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.acks(), [])


class CommandTests(PrinterCase):
    def setUp(self) -> None:
        super().setUp()
        self.connect()

    def test_status(self) -> None:
        """Cmd 0 is acknowledged with its RequestID, then the status comes."""
        before = len(self.statuses())
        self.request(0, request_id="ab" * 16)
        (response,) = self.messages("response")
        self.assertEqual(response["Data"]["RequestID"], "ab" * 16)
        self.assertEqual((response["Data"]["Cmd"], response["Data"]["Data"]), (0, {"Ack": 0}))
        self.assertEqual(len(self.statuses()), before + 1)

    def test_attributes(self) -> None:
        """Firmware 1.4.2 sends the status again under the key Attributes."""
        self.request(1)
        (message,) = self.messages("attributes")
        self.assertIn("CurrentStatus", message["Data"]["Attributes"])

    def test_period(self) -> None:
        """Cmd 512 changes how often the status comes."""
        self.request(512, {"TimePeriod": 1000})
        before = len(self.statuses())
        self.advance(10.5)
        self.assertEqual(len(self.statuses()), before + 10)

    def test_default_period(self) -> None:
        """Without Cmd 512 the status comes every five seconds."""
        before = len(self.statuses())
        self.advance(21)
        self.assertEqual(len(self.statuses()), before + 4)

    def test_farewell(self) -> None:
        """Cmd 64 is acknowledged, then the printer disconnects."""
        self.request(64)
        self.clock.advance(0.2)
        self.assertEqual((self.acks(), self.link.ended), ([0], "disconnect"))

    def test_unknown_file(self) -> None:
        """Starting a file that the printer does not have is refused with Ack 2."""
        self.request(128, {"Filename": "absent.goo", "StartLayer": 0})
        self.assertEqual(self.acks(), [2])

    def test_wrong_state(self) -> None:
        """Pause, resume and stop of an idle printer are refused."""
        for cmd in (129, 130, 131):
            self.request(cmd)
        self.assertEqual(self.acks(), [1, 1, 1])

    def test_unlisted(self) -> None:
        """A command that V1 does not know is met with silence, and reported."""
        self.request(386, {"Enable": 1})
        self.assertEqual((self.acks(), self.codes()), ([], ["unlisted-command"]))

    def test_uptime(self) -> None:
        """TimeStamp is the printer's uptime and wraps at 32 bits."""
        self.request(0)
        self.assertLess(self.messages("status")[-1]["Data"]["TimeStamp"], 10_000)
        self.printer.inject("uptime", milliseconds=2**32 - 50)
        self.request(0)
        self.assertLess(self.messages("status")[-1]["Data"]["TimeStamp"], 1000)

    def test_bad_fields(self) -> None:
        """A fetch with unusable fields is refused with Ack 4."""
        self.fetcher.body = b"x"
        for changes in (
            {"Filename": "../x.goo"},
            {"Filename": "x.stl"},
            {"FileSize": 0},
            {"FileSize": "1"},
            {"URL": "ftp://x"},
            {"MD5": None},
        ):
            self.request(256, self.fetch_order(**changes))
        self.assertEqual(self.acks(), [4] * 6)


class NewerFirmwareTests(PrinterCase):
    profile = "S3U-1.5.4"

    def test_attributes(self) -> None:
        """Firmware 1.5.4 has no key Attributes any more."""
        self.connect()
        self.request(1)
        (message,) = self.messages("attributes")
        self.assertNotIn("Attributes", message["Data"])
        self.assertIn("CurrentStatus", message["Data"]["Status"])


class ResolutionTests(PrinterCase):
    def settings(self) -> Settings:
        return Settings(check_resolution=True)

    def test_other_screen(self) -> None:
        """A file for another screen is refused with Ack 5 where the printer looks."""
        self.connect()
        self.printer.store.add(StoredFile("a.goo", 9, "", 3, (1440, 2560)))
        self.request(128, {"Filename": "a.goo", "StartLayer": 0})
        self.assertEqual(self.acks(), [5])


class PowerTests(PrinterCase):
    def test_power_cut(self) -> None:
        """A printer without power is silent, keeps TCP hanging, and comes back with its files and nothing else."""
        self.connect()
        self.printer.store.add(StoredFile("a.goo", 9, "", 3))
        self.assertTrue(self.printer.person.start("a.goo"))
        self.advance(20)
        old = self.link
        self.printer.power_off()
        self.assertEqual((old.ended, self.udp(b"M99999")), ("frozen", []))
        self.printer.power_on()
        self.assertEqual(old.ended, "reset")
        status = json.loads(self.udp(b"M99999")[0])["Data"]["Status"]
        self.assertEqual((status["CurrentStatus"], status["PrintInfo"]["Filename"]), (0, ""))
        self.assertIn("a.goo", self.printer.store)
        self.assertLess(self.printer.uptime, 1000)

    def test_reboot(self) -> None:
        """A reboot takes its time, and the uptime begins anew."""
        self.advance(60)
        self.printer.reboot()
        self.assertEqual(self.udp(b"M99999"), [])
        self.clock.advance(5)
        self.assertEqual(len(self.udp(b"M99999")), 1)
        self.assertLess(self.printer.uptime, 1000)

    def test_set_status(self) -> None:
        """A test can put the printer into any state."""
        self.connect()
        self.printer.set_status(current=1, print_info={"status": 16, "error_number": 3}, name="Left")
        self.assertEqual(self.statuses()[-1]["PrintInfo"]["ErrorNumber"], 3)
        self.assertEqual(json.loads(self.udp(b"M99999")[0])["Data"]["Attributes"]["Name"], "Left")
        self.assertRaises(ValueError, self.printer.set_status, print_info={"nonsense": 1})


class ScaleTests(PrinterCase):
    def settings(self) -> Settings:
        return Settings(scale=100, layers=3, bottom_layers=0)

    def test_scaled(self) -> None:
        """At scale 100 a print of three layers lasts less than two seconds."""
        self.connect()
        self.printer.store.add(StoredFile("a.goo", 9, "", 3))
        self.printer.person.start("a.goo")
        self.advance(0.75, 0.005)
        self.assertEqual(self.statuses()[-1]["PrintInfo"]["Status"], 16)


class WaitingTests(PrinterCase):
    def test_until(self) -> None:
        """One can wait for what a printer receives or does; at once where it already did."""
        done = self.printer.until(lambda printer: printer.counts.commands[0] == 1)
        self.connect()
        self.assertNoResult(done)
        self.request(0)
        self.successResultOf(done)
        self.successResultOf(self.printer.until(lambda printer: printer.link_state is LinkState.UP))

    def test_ends(self) -> None:
        """A predicate that fails tells its waiter only, and a cancelled waiter is forgotten."""
        broken = self.printer.until(lambda printer: 1 // 0 > 0)
        cancelled = self.printer.until(lambda printer: printer.counts.kinds["probe"] > 0)
        self.failureResultOf(broken, ZeroDivisionError)
        cancelled.cancel()
        self.failureResultOf(cancelled)
        self.udp(b"M99999")


class OptionTests(PrinterCase):
    def settings(self) -> Settings:
        return Settings(answers_unknown=True)

    def test_unknown_refused(self) -> None:
        """A printer can answer unknown commands with Ack 1."""
        self.connect()
        self.request(386)
        self.assertEqual(self.acks(), [1])

    def test_no_period(self) -> None:
        """A period of 0 ends the periodic status; an impossible one is refused."""
        self.connect()
        self.request(512, {"TimePeriod": 0})
        before = len(self.statuses())
        self.advance(60)
        self.assertEqual(len(self.statuses()), before)
        self.request(512, {"TimePeriod": -1})
        self.assertEqual(self.acks(), [0, 4])

    def test_other_datagrams(self) -> None:
        """What else comes by UDP is in the log."""
        self.udp(b"hello")
        self.assertEqual((self.printer.log[-1].kind, self.printer.log[-1].detail["size"]), ("datagram", 5))
