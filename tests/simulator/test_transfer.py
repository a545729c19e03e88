"""The transfer machine, told by the statuses that it publishes."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

from sdcpd.simulator.settings import Settings
from tests.simulator.fakes import HUB, PrinterCase


class TransferCase(PrinterCase):
    def setUp(self) -> None:
        super().setUp()
        self.connect()
        self.fetcher.body = bytes(range(250)) * 40

    def fetch(self, seconds: float = 15, **changes: object) -> None:
        self.request(256, self.fetch_order(**changes))
        self.advance(seconds)

    def info(self) -> dict[str, object]:
        info: dict[str, object] = self.statuses()[-1]["FileTransferInfo"]
        return info


class TransferTests(TransferCase):
    def test_success(self) -> None:
        """A file is asked for by HEAD and GET at the broker's address, and its progress and end are told."""
        self.fetch()
        self.assertEqual([r.method for r in self.fetcher.requests], ["HEAD", "GET"])
        self.assertEqual({(r.host, r.port) for r in self.fetcher.requests}, {(HUB, 8081)})
        self.assertEqual(self.course(), [(0, 0), (2, 0), (0, 0)])
        offsets = [s["FileTransferInfo"]["DownloadOffset"] for s in self.statuses()]
        self.assertEqual(offsets, sorted(offsets))
        self.assertGreater(len(set(offsets)), 5)
        self.assertEqual(
            self.info(),
            {
                "Status": 2,
                "DownloadOffset": 10000,
                "CheckOffset": 0,
                "FileTotalSize": 10000,
                "Filename": "plate.goo",
            },
        )
        self.assertEqual(self.statuses()[-1]["PreviousStatus"], 2)
        file = self.printer.store.get("plate.goo")
        assert file is not None
        self.assertEqual((file.size, file.md5), (10000, hashlib.md5(self.fetcher.body).hexdigest()))
        self.assertEqual((self.acks(), self.codes()), ([0], []))

    def test_rate(self) -> None:
        """The body is read at the printer's rate."""
        self.fetch(5)
        self.assertEqual(self.statuses()[-1]["CurrentStatus"], 2)
        self.assertIn(self.printer.status.transfer_info.download_offset, range(4000, 7000))

    def test_busy(self) -> None:
        """Neither a second fetch nor a start is taken during a transfer."""
        self.fetch(1)
        self.fetch(0)
        self.request(128, {"Filename": "plate.goo", "StartLayer": 0})
        self.assertEqual(self.acks(), [0, 1, 1])

    def test_stale_info(self) -> None:
        """The last transfer's information stays until the next one begins."""
        self.fetch()
        self.request(0)
        self.assertEqual(self.info()["Status"], 2)
        self.fetch(0.2, Filename="other.goo")
        self.assertEqual((self.info()["Status"], self.info()["Filename"]), (0, "other.goo"))

    def test_layers(self) -> None:
        """A printed file has the layers that its own header tells."""
        self.fetcher.body = b"V3.0\x07\x00\x00\x00DLP\x00" + bytes(0x2FAEE - 12) + struct.pack(">IHH", 7, 11520, 5120)
        self.fetcher.piece = 50_000
        self.fetch(210)
        file = self.printer.store.get("plate.goo")
        assert file is not None
        self.assertEqual((file.layers, file.resolution), (7, (11520, 5120)))

    def test_ctb_layers(self) -> None:
        """So has a plain CTB."""
        body = struct.pack("<I", 0x12FD0106) + bytes(0x30) + struct.pack("<IIIII", 1440, 2560, 0, 0, 9)
        self.fetcher.body = body
        self.fetch(Filename="plate.ctb", URL="http://${ipaddr}:8081/" + "a" * 32 + ".ctb")
        file = self.printer.store.get("plate.ctb")
        assert file is not None
        self.assertEqual((file.layers, file.resolution, self.codes()), (9, (1440, 2560), []))

    def test_check(self) -> None:
        """With Check 1 a wrong MD5 fails the transfer; with Check 0 it passes, and is reported."""
        self.fetch(MD5="0" * 32)
        self.assertEqual((self.info()["Status"], self.codes()), (2, ["md5"]))
        self.fetch(MD5="0" * 32, Check=1, Filename="b.goo")
        self.assertEqual(self.info()["Status"], 3)
        self.assertNotIn("b.goo", self.printer.store)
        self.fetch(Check=1, Filename="c.goo")
        self.assertEqual((self.info()["Status"], self.info()["CheckOffset"]), (2, 10000))

    def test_failures(self) -> None:
        """Status, length or coding of the reply can each fail a transfer."""
        self.fetcher.status = 404
        self.fetch()
        self.assertEqual(self.info()["Status"], 3)
        self.fetcher.status = 200
        self.fetch(FileSize=9999)
        self.assertEqual(self.info()["Status"], 3)
        self.fetcher.headers = {"transfer-encoding": "chunked"}
        self.fetch()
        self.assertEqual(self.info()["Status"], 3)
        self.assertEqual(self.codes(), ["head-length", "file-size", "chunked"])

    def test_blank_in_url(self) -> None:
        """A URL with a blank is never asked for, and fails after a minute at offset 0."""
        self.fetch(59, URL="http://${ipaddr}:8081/my plate.goo")
        self.assertEqual((self.fetcher.requests, self.info()["Status"]), ([], 0))
        self.advance(3)
        self.assertEqual(self.info()["Status"], 3)

    def test_power(self) -> None:
        """A power cut ends a transfer without a trace."""
        self.fetch(3)
        self.printer.power_off()
        self.printer.power_on()
        self.assertEqual((self.printer.status.current, self.printer.status.transfer_info.filename), (0, ""))
        self.assertNotIn("plate.goo", self.printer.store)


class StoreTests(TransferCase):
    def settings(self) -> Settings:
        self.directory = Path(self.mktemp())
        return Settings(rate=10_000, capacity=15_000, store=self.directory, layers=3)

    def test_full(self) -> None:
        """What does not fit fails; the same name again replaces the former file."""
        self.fetch()
        self.fetch()
        self.assertEqual(self.info()["Status"], 2)
        self.fetch(Filename="b.goo")
        self.assertEqual(self.info()["Status"], 3)

    def test_bytes_kept(self) -> None:
        """With a directory the bytes are kept, and are there when the simulation starts again."""
        self.fetch()
        kept = self.directory / self.printer.id / "plate.goo"
        self.assertEqual(kept.read_bytes(), self.fetcher.body)
        again = self.make(Settings(store=self.directory))
        self.assertIn("plate.goo", again.store)

    def test_nothing_half(self) -> None:
        """A failed transfer leaves no file behind."""
        self.fetch(0.5)
        self.printer.power_off()
        self.assertEqual(list((self.directory / self.printer.id).iterdir()), [])
