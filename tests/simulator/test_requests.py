"""Strict mode: what the printer holds against the hub."""

from __future__ import annotations

import json

from sdcpd.simulator.settings import Settings
from tests.simulator.fakes import PrinterCase


class StrictTests(PrinterCase):
    def setUp(self) -> None:
        super().setUp()
        self.connect()
        self.fetcher.body = b"x" * 10

    def test_flawless(self) -> None:
        """A well-behaved hub is reported for nothing."""
        for cmd, data in ((0, None), (1, {}), (512, {"TimePeriod": 5000}), (256, self.fetch_order())):
            self.request(cmd, data)
        self.advance(5)
        self.request(128, {"Filename": "plate.goo", "StartLayer": 0})
        self.request(64)
        self.assertEqual(self.codes(), [])

    def test_packets(self) -> None:
        """Packet identifier 0, one in QoS 0, and a request before SUBACK are each reported, and obeyed."""
        body = json.dumps(
            {
                "Data": {
                    "Cmd": 0,
                    "Data": None,
                    "From": 0,
                    "MainboardID": self.printer.id,
                    "RequestID": "a",
                    "TimeStamp": 1,
                },
                "Id": self.printer.identity.id,
            }
        ).encode()
        self.deliver(body, packet_id=0)
        self.deliver(b"\x00\x01" + body.replace(b'"a"', b'"b"'), qos=0)
        self.deliver(body.replace(b'"a"', b'"c"'), subscribed=False)
        self.assertEqual(self.codes(), ["packet-id-zero", "qos0-packet-id", "before-suback"])
        self.assertEqual(self.acks(), [0, 0, 0])

    def test_envelope(self) -> None:
        """Wrong ids, and RequestIDs that are missing or came before, are each reported."""
        self.request(0, request_id="a", MainboardID="0000000000000000")
        self.request(0, request_id="b")
        self.request(1, request_id="b")
        self.request(0, RequestID=None)
        self.request(0, request_id="c", TimeStamp="now")
        self.printer.identity.id = "979d4C788A4a78bC777A870F1A02867A"
        self.deliver(json.dumps({"Id": "f252", "Data": {"Cmd": 0}}).encode())
        self.assertEqual(
            self.codes(),
            [
                "mainboard-id",
                "request-id-reused",
                "request-id-missing",
                "missing-key",
                "mainboard-id",
                "id",
                "request-id-missing",
                "missing-key",
                "missing-key",
            ],
        )

    def test_not_for_us(self) -> None:
        """A request with another MainboardID is not obeyed."""
        self.request(0, MainboardID="0000000000000000")
        self.assertEqual(self.acks(), [])

    def test_unreadable(self) -> None:
        """What is no request is reported and changes nothing."""
        for payload in (b"", b"{", b"[]", b'{"Data":null}', b'{"Data":{"Cmd":"0"}}', b"[" * 100_000):
            self.deliver(payload)
        self.assertEqual(self.codes().count("malformed"), 6)

    def test_repeated_start(self) -> None:
        """The same start twice is counted per RequestID, and reported."""
        for _ in range(2):
            self.request(128, {"Filename": "plate.goo", "StartLayer": 0}, request_id="s")
        self.assertEqual(self.printer.counts.request_ids[128, "s"], 2)
        self.assertEqual(self.printer.counts.to_json()["starts"], {"plate.goo": 2})
        self.assertEqual(self.codes(), ["start-repeated"])

    def test_fetch_fields(self) -> None:
        """Each field of Cmd 256 that is not as it should be is reported."""
        good = self.fetch_order()
        for changes, code in (
            ({"URL": "http://127.0.0.1:80/" + "a" * 32 + ".goo"}, "url-host"),
            ({"URL": "https://${ipaddr}:80/a.goo"}, "url"),
            ({"URL": "http://${ipaddr}:80/my plate.goo"}, "url"),
            ({"URL": "http://${ipaddr}:80/a.ctb"}, "url"),
            ({"MD5": "ABCDEF0123456789ABCDEF0123456789"}, "md5-shape"),
            ({"MD5": "abc"}, "md5-shape"),
            ({"Check": None}, "missing-key"),
            ({"FileSize": 0}, "file-size"),
        ):
            self.printer.violations.clear()
            self.printer.inject("refuse", cmd=256, times=1)
            self.request(256, good | changes)
            self.assertEqual(self.codes(), [code], changes)

    def test_missing_keys(self) -> None:
        """Keys that Cmd 128 and 512 lack are reported."""
        self.request(128, {})
        self.request(512, None)
        self.assertEqual(self.codes(), ["missing-key"] * 3)
        self.assertEqual(self.acks(), [4, 4])


class LenientTests(PrinterCase):
    def settings(self) -> Settings:
        return Settings()

    def test_nothing_kept(self) -> None:
        """Without strict mode nothing is held against anybody."""
        self.connect()
        self.request(386)
        self.assertEqual(self.printer.violations, [])
