"""Every fault does to the hub what its description says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sdcpd.simulator.faults import FAULTS
from sdcpd.simulator.link import LinkState
from sdcpd.simulator.profiles import PROFILES
from sdcpd.simulator.storage import StoredFile
from sdcpd.simulator.verbs import VERBS
from tests.simulator.fakes import HUB, PrinterCase
from tests.simulator.test_transfer import TransferCase


class RegistryTests(PrinterCase):
    def test_unknown(self) -> None:
        """An unknown fault, parameter or choice is answered with the known ones."""
        for name, params, known in (
            ("udp-los", {}, "udp-loss"),
            ("udp-loss", {"rate": 1}, "share"),
            ("udp-loss", {"share": "much"}, "float"),
            ("bad-reply", {"kind": "strange"}, "ok-mac"),
        ):
            error = self.assertRaises(ValueError, self.printer.inject, name, **params)
            self.assertIn(known, str(error))
        self.assertRaises(ValueError, self.printer.clear, "nonsense")

    def test_times(self) -> None:
        """A fault with a number of uses is over after them."""
        self.printer.inject("bad-reply", kind="text", times=2)
        replies = [self.udp(b"M99999")[0] for _ in range(3)]
        self.assertEqual([reply == b"hello" for reply in replies], [True, True, False])

    def test_clear(self) -> None:
        """A cleared fault is over; clearing without a name takes them all."""
        self.printer.inject("bad-reply")
        self.printer.inject("udp-duplicate")
        self.printer.clear("bad-reply")
        self.assertEqual([fault.name for fault in self.printer.faults], ["udp-duplicate"])
        self.printer.clear()
        self.assertEqual(list(self.printer.faults), [])

    def test_described(self) -> None:
        """Every fault has a description and a number of the reference's table."""
        for fault in FAULTS.values():
            self.assertTrue(fault.__doc__ and fault.number.startswith("F"), fault)


class UdpFaultTests(PrinterCase):
    def test_loss(self) -> None:
        """Some probes stay without an answer."""
        self.printer.inject("udp-loss", share=0.5)
        answered = sum(len(self.udp(b"M99999")) for _ in range(100))
        self.assertTrue(10 < answered < 45, answered)

    def test_duplicate_and_delay(self) -> None:
        """Replies come twice, and late."""
        self.printer.inject("udp-duplicate")
        self.assertEqual(len(self.udp(b"M99999")), 2)
        self.printer.inject("udp-delay", seconds=2)
        replies = self.udp(b"M99999")
        self.assertEqual(replies, [])
        self.clock.advance(2)
        self.assertEqual(len(replies), 2)

    def test_bad_replies(self) -> None:
        """Each kind of bad reply is something that is no SDCP."""
        for kind in FAULTS["bad-reply"].choices["kind"]:
            self.printer.inject("bad-reply", kind=kind)
            (reply,) = self.udp(b"M99999")
            try:
                message = json.loads(reply)
            except ValueError:
                continue
            self.assertFalse(isinstance(message, dict) and "Data" in message, kind)

    def test_wrong_address(self) -> None:
        """The reply names another address than its own."""
        self.printer.inject("wrong-address", address="192.0.2.5")
        attributes = json.loads(self.udp(b"M99999")[0])["Data"]["Attributes"]
        self.assertEqual(attributes["MainboardIP"], "192.0.2.5")

    def test_ignored_invitations(self) -> None:
        """The third invitation is the first to be obeyed."""
        self.printer.inject("ignore-invitations", times=2)
        for made in (0, 0, 1):
            self.printer.datagram(b"M66666 1883", HUB, self.fail)
            self.clock.advance(5)
            self.assertEqual(len(self.links.made), made)


class LinkFaultTests(PrinterCase):
    def setUp(self) -> None:
        super().setUp()
        self.connect()

    def test_taken_over(self) -> None:
        """Another broker has the printer: the link drops, the address changes, invitations are in vain."""
        self.printer.inject("owned", address="tcp://192.0.2.10:1883")
        self.assertEqual(self.link.ended, "fin")
        attributes = json.loads(self.udp(b"M99999")[0])["Data"]["Attributes"]
        self.assertEqual((attributes["SDCPStatus"], attributes["LocalSDCPAddress"]), (1, "tcp://192.0.2.10:1883"))
        self.printer.datagram(b"M66666 1883", HUB, self.fail)
        self.clock.advance(5)
        self.assertEqual(len(self.links.made), 1)
        self.printer.clear("owned")
        self.connect()
        self.assertEqual(len(self.links.made), 2)

    def test_half_open(self) -> None:
        """The connection hangs, while UDP still answers; a new invitation makes a new one."""
        self.printer.inject("half-open")
        self.assertEqual((self.link.ended, len(self.udp(b"M99999"))), ("frozen", 1))
        self.connect()
        self.assertIs(self.printer.link_state, LinkState.UP)

    def test_twin(self) -> None:
        """The same client id calls again while its first connection hangs."""
        self.printer.inject("twin")
        self.assertEqual([link.ended for link in self.links.made], ["frozen", ""])
        self.assertEqual(len({link.terms.client_id for link in self.links.made}), 1)

    def test_terms(self) -> None:
        """Keep-alive, filters and an early PUBLISH can be chosen for the next connection."""
        self.printer.inject("keepalive", seconds=0)
        self.printer.inject("filters", kind="wildcard", times=1)
        self.printer.inject("early-publish")
        self.connect()
        terms = self.link.terms
        self.assertEqual((terms.keepalive, terms.filters), (0, ("/sdcp/#",)))
        assert terms.early is not None
        self.assertEqual(terms.early[0], f"/sdcp/status/{self.printer.id}")
        self.printer.inject("filters")
        self.connect()
        self.assertEqual(len(self.link.terms.filters), 2)

    def test_cut(self) -> None:
        """During a network cut nothing comes; afterwards UDP answers and the old connection is reset."""
        old = self.link
        self.printer.inject("cut", seconds=10)
        self.assertEqual((old.ended, self.udp(b"M99999")), ("frozen", []))
        self.clock.advance(10)
        self.assertEqual((old.ended, len(self.udp(b"M99999"))), ("reset", 1))


class MessageFaultTests(PrinterCase):
    def setUp(self) -> None:
        super().setUp()
        self.connect()

    def answer(self, kind: str) -> dict[str, Any]:
        self.printer.inject("odd-response", kind=kind, times=1)
        self.request(0, request_id=f"{len(self.printer.log):032x}")
        message: dict[str, Any] = self.messages("response")[-1]
        return message

    def test_odd_responses(self) -> None:
        """Each kind of odd response is odd in its own way."""
        self.assertEqual(self.answer("request-id-wrong")["Data"]["RequestID"], "0" * 32)
        self.assertNotIn("RequestID", self.answer("request-id-absent")["Data"])
        self.assertNotIn("Cmd", self.answer("cmd-absent")["Data"])
        self.assertEqual(self.answer("cmd-wrong")["Data"]["Cmd"], 1)
        self.assertEqual(self.answer("ack-absent")["Data"]["Data"], {})
        self.assertEqual(self.answer("ack-string")["Data"]["Data"], {"Ack": "0"})
        self.assertIsNone(self.answer("data-null")["Data"]["Data"])
        self.assertNotEqual(self.answer("id-stale")["Id"], self.printer.identity.id)

    def test_one_command_only(self) -> None:
        """A fault for one command leaves the others alone."""
        self.printer.inject("no-response", cmd=512)
        self.request(0)
        self.request(512, {"TimePeriod": 9000})
        self.assertEqual((self.acks(), self.printer.period), ([0], 9.0))

    def test_late_response(self) -> None:
        """A late response comes after the status that it announces, after real seconds."""
        self.printer.inject("late-response", seconds=8, times=1)
        before = len(self.statuses())
        self.request(0)
        self.assertEqual((len(self.statuses()), self.acks()), (before + 1, []))
        self.clock.advance(8)
        self.assertEqual(self.acks(), [0])

    def test_odd_statuses(self) -> None:
        """Every kind of odd status is JSON, on MQTT and on UDP, and differs from a good one."""
        self.printer.store.add(StoredFile("a.goo", 9, "", 3))
        self.printer.person.start("a.goo")
        self.advance(20)
        for kind in FAULTS["odd-status"].choices["kind"]:
            self.printer.publish_status()
            good = self.statuses()[-1]
            self.printer.inject("odd-status", kind=kind)
            self.printer.publish_status()
            self.assertNotEqual(self.statuses()[-1], good, kind)
            self.assertIn("Status", json.loads(self.udp(b"M99999")[0])["Data"], kind)
            self.printer.clear("odd-status")

    def test_attributes(self) -> None:
        """The attributes topic can carry any shape."""
        for shape, key in (("status", "Status"), ("attributes", "Attributes"), ("status-as-attributes", "Attributes")):
            self.printer.inject("attributes", shape=shape)
            self.request(1, request_id=shape)
            self.assertIn(key, self.messages("attributes")[-1]["Data"])
        self.printer.inject("attributes")
        self.request(1, request_id="none")
        self.assertEqual(sorted(self.messages("attributes")[-1]["Data"]), ["MainboardID", "TimeStamp"])

    def test_garbage(self) -> None:
        """Each kind of garbage is sent once, at once, and is no SDCP message."""
        for kind in FAULTS["garbage"].choices["kind"]:
            self.printer.inject("garbage", kind=kind)
            payload = self.link.sent[-1][1]
            self.assertNotIn(b'"Status":{', payload)
        sizes = [len(payload) for _, payload in self.link.sent]
        self.assertGreater(max(sizes), 1_000_000)


class TransferFaultTests(TransferCase):
    def requests(self) -> list[tuple[str, str]]:
        return [(r.method, r.headers.get("Range", "")) for r in self.fetcher.requests]

    def test_habits(self) -> None:
        """The file can be asked for in other ways than HEAD then GET."""
        for kind, expected, result in (
            ("never", [], 3),
            ("head-only", [("HEAD", "")], 3),
            ("get-only", [("GET", "")], 2),
            ("get-twice", [("HEAD", ""), ("GET", ""), ("GET", "")], 2),
            ("range", [("HEAD", ""), ("GET", "bytes=0-")], 2),
            ("garbage", [("get me", "")], 3),
        ):
            self.fetcher.requests.clear()
            self.printer.inject("http", kind=kind, times=1)
            self.fetch(90, Filename=f"{kind}.goo")
            self.assertEqual((self.requests(), self.info()["Status"]), (expected, result), kind)

    def test_drop(self) -> None:
        """A dropped transfer is tried again from the start, from where it was, or not at all."""
        for retry, ranges, result in (
            ("zero", ["", ""], 2),
            ("range", ["", "bytes=4000-"], 2),
            ("never", [""], 3),
        ):
            self.fetcher.requests.clear()
            self.printer.inject("drop", at=0.4, retry=retry)
            self.fetch(30, Filename=f"{retry}.goo")
            self.assertEqual([r for m, r in self.requests() if m == "GET"], ranges)
            self.assertEqual(self.info()["Status"], result, retry)
            self.assertEqual(f"{retry}.goo" in self.printer.store, result == 2)

    def test_drop_with_link(self) -> None:
        """The link can go with the transfer."""
        self.printer.inject("drop", at=0.4, link="cut")
        self.fetch(30)
        self.assertEqual(self.link.ended, "reset")
        self.assertIn("plate.goo", self.printer.store)

    def test_cut(self) -> None:
        """A network cut ends a transfer badly, and UDP tells so afterwards."""
        self.fetch(3)
        self.printer.inject("cut", seconds=5)
        self.advance(6)
        status = json.loads(self.udp(b"M99999")[0])["Data"]["Status"]
        self.assertEqual((status["CurrentStatus"], status["FileTransferInfo"]["Status"]), (0, 3))

    def test_link_lost(self) -> None:
        """The link drops while the file still comes; UDP tells its end."""
        self.printer.inject("link-lost-in-transfer", at=0.4)
        self.fetch(30)
        self.assertEqual(self.link.ended, "reset")
        status = json.loads(self.udp(b"M99999")[0])["Data"]["Status"]
        self.assertEqual((status["CurrentStatus"], status["FileTransferInfo"]["Status"]), (0, 2))

    def test_readers(self) -> None:
        """A slow reader is slow, and a stalled one stops for its time."""
        self.printer.inject("slow-reader", rate=100)
        self.fetch(50)
        self.assertIn(self.printer.status.transfer_info.download_offset, range(4000, 7000))
        self.advance(100)
        self.printer.clear()
        self.printer.inject("stalled-reader", at=0.5, seconds=60)
        self.fetch(50, Filename="b.goo")
        self.assertLess(self.printer.status.transfer_info.download_offset, 7000)
        self.advance(30)
        self.assertEqual(self.info()["Status"], 2)

    def test_failures(self) -> None:
        """A transfer fails in every way that can be injected, and the next one succeeds."""
        for how in ("status", "md5", "size", "full"):
            self.printer.inject("transfer-fails", how=how, times=1)
            self.fetch(Filename=f"{how}.goo")
            self.assertEqual((self.info()["Status"], self.statuses()[-1]["CurrentStatus"]), (3, 0), how)
        self.fetch()
        self.assertEqual(self.info()["Status"], 2)

    def test_stale(self) -> None:
        """Right after the Ack a former file's success is shown."""
        self.printer.inject("stale-transfer", times=1)
        self.fetch(0.2)
        stale = [s["FileTransferInfo"] for s in self.statuses()][-2]
        self.assertEqual((stale["Status"], stale["Filename"]), (2, "former.goo"))

    def test_fast(self) -> None:
        """No status is seen between the Ack and the end."""
        self.printer.inject("fast-transfer")
        self.fetch()
        self.assertEqual(self.course(), [(0, 0)])
        self.assertEqual(self.info()["Status"], 2)


class PrintFaultTests(PrinterCase):
    def setUp(self) -> None:
        super().setUp()
        self.connect()
        self.printer.store.add(StoredFile("a.goo", 9, "", 3))

    def start(self) -> None:
        self.request(128, {"Filename": "a.goo", "StartLayer": 0})

    def test_refused(self) -> None:
        """Any command can be refused with any Ack."""
        for ack in range(1, 8):
            self.printer.inject("refuse", ack=ack)
            self.start()
        self.assertEqual((self.acks(), self.course()), ([*range(1, 8)], [(0, 0)]))

    def test_ignored(self) -> None:
        """A start is acknowledged and does not happen."""
        self.printer.inject("start-ignored", times=1)
        self.start()
        self.advance(30)
        self.assertEqual((self.acks(), self.course()), ([0], [(0, 0)]))

    def test_reboot(self) -> None:
        """The printer reboots at a layer, and knows nothing of the print afterwards."""
        self.printer.inject("reboot-at-layer", layer=2)
        self.start()
        self.advance(40)
        self.assertEqual(self.link.ended, "reset")
        self.assertEqual(self.printer.status.print_info.filename, "")
        self.assertLess(self.printer.uptime, 20_000)

    def test_completed_screen(self) -> None:
        """The completed screen stays for an hour."""
        self.printer.inject("completed-screen", seconds=3600, times=1)
        self.start()
        self.advance(3000, 0.5)
        self.assertEqual(self.course()[-1], (1, 16))
        self.advance(700, 0.5)
        self.assertEqual(self.course()[-1], (0, 16))


class DocumentationTests(SynchronousTestCase):
    def test_all_named(self) -> None:
        """Every fault, verb, profile and violation is in the documentation."""
        root = Path(__file__).parents[2]
        text = (root / "docs" / "simulator.md").read_text(encoding="utf-8")
        source = "".join(path.read_text(encoding="utf-8") for path in (root / "sdcpd/simulator").glob("*.py"))
        codes = re.findall(r"(?:wrong|violation)\(\s*\"([a-z0-9-]+)\"", source)
        self.assertGreater(len(set(codes)), 20)
        for name in (*FAULTS, *VERBS, *PROFILES, *codes):
            self.assertIn(f"`{name}`", text)

    def test_assumptions(self) -> None:
        """Whoever has a real printer finds all that is assumed about it in one list, and each row in the source."""
        root = Path(__file__).parents[2]
        text = (root / "docs" / "simulator.md").read_text(encoding="utf-8")
        rows = re.findall(r"^\| (Q\d+|\d\.\d) \|[^|]+\|([^|]+)\|", text, re.MULTILINE)
        listed = {(mark, module) for mark, modules in rows for module in re.findall(r"`(\w+)`", modules)}
        marked = set()
        for path in (root / "sdcpd" / "simulator").rglob("*.py"):
            source = path.read_text(encoding="utf-8")
            self.assertEqual(re.findall(r".*\bassumed\b(?!, (?:Q\d+|\d\.\d)).*", source), [], path.name)
            marked |= {(mark, path.stem) for mark in re.findall(r"\bassumed, (Q\d+|\d\.\d)", source)}
        self.assertEqual(listed, marked)
        self.assertGreater(len(marked), 30)
