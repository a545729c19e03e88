from __future__ import annotations

import csv
import io
from typing import Any

from sdcpd.codec.status import PrintInfo, Status
from sdcpd.records import PrintRecord, PrintResult
from tests.web.rig import EPOCH, MARS, SATURN, WebCase


class HistoryTests(WebCase):
    """Three prints on two printers."""

    def setUp(self) -> None:
        super().setUp()
        self.rig.announce(SATURN)
        self.rig.announce(MARS, "Mars 4")
        for number, (printer, file, result) in enumerate(
            (
                (SATURN, "vase.goo", PrintResult.FINISHED),
                (MARS, "=cmd|' /C calc'!A0", PrintResult.STOPPED),
                (SATURN, 'Ring, "small".goo', PrintResult.FINISHED),
            )
        ):
            record = PrintRecord(
                f"p{number}", printer, file, EPOCH + number, ended=EPOCH + 100, result=result, layers=10, volume_ml=2.5
            )
            self.successResultOf(self.rig.journal.write(record))

    def ids(self, query: str = "") -> list[str]:
        return [found["id"] for found in self.rig.get(f"/v1/history{query}").json["prints"]]

    def test_filters(self) -> None:
        """The history is told newest first, and by printer, end, time and file."""
        self.assertEqual(self.ids(), ["p2", "p1", "p0"])
        for query, expected in (
            ("?printer=saturn-3-ultra", ["p2", "p0"]),
            (f"?printer={MARS}", ["p1"]),
            ("?result=stopped", ["p1"]),
            (f"?since={EPOCH + 1}", ["p2", "p1"]),
            (f"?until={EPOCH + 1}", ["p0"]),
            ("?q=VASE", ["p0"]),
            ("?q=nothing", []),
        ):
            self.assertEqual(self.ids(query), expected, query)

    def test_pages(self) -> None:
        """A long history comes page by page, each print once, also if others begin meanwhile."""
        page = self.rig.get("/v1/history?limit=2").json
        self.assertEqual([p["id"] for p in page["prints"]], ["p2", "p1"])
        self.successResultOf(self.rig.journal.write(PrintRecord("p9", SATURN, "new.goo", EPOCH + 9)))
        page = self.rig.get(f"/v1/history?limit=2&cursor={page['next']}").json
        self.assertEqual(([p["id"] for p in page["prints"]], page["next"]), (["p0"], None))

    def test_bad(self) -> None:
        """What cannot be asked is said."""
        self.assert_refused(self.rig.get("/v1/history?result=good"), 400, "bad_parameter")
        self.assert_refused(self.rig.get("/v1/history?since=x"), 400, "bad_parameter")
        self.assert_refused(self.rig.get("/v1/history?printer=moon"), 404, "unknown_printer")
        self.assertEqual(self.rig.get("/v1/history?cursor=x").status, 400)
        self.assert_refused(self.rig.get("/v1/history/nothing"), 404, "unknown_print")

    def test_one(self) -> None:
        """One print, key by key."""
        document = self.rig.get("/v1/history/p0").json
        self.assertEqual((document["printer"], document["file"]), ("saturn-3-ultra", "vase.goo"))
        self.assertEqual((document["result"], document["layers"], document["volume_ml"]), ("finished", 10, 2.5))
        self.assertIsNone(document["job"])

    def test_thumbnail(self) -> None:
        """A print has a link to its picture for as long as its file is stored, and none that leads nowhere."""
        file = self.rig.put().json["file"]
        self.successResultOf(self.rig.journal.write(PrintRecord("p7", SATURN, "plate.goo", EPOCH + 7, md5=file["md5"])))
        self.assertEqual(self.rig.get("/v1/history/p7").json["thumbnail"], file["thumbnail"])
        self.assertEqual(self.rig.get("/v1/history").json["prints"][0]["thumbnail"], file["thumbnail"])
        self.assertIn(file["thumbnail"], self.rig.get("/v1/history.csv").body.decode())
        self.assertIsNone(self.rig.get("/v1/history/p0").json["thumbnail"])
        self.rig.ask("DELETE", f"/v1/files/{file['md5']}")
        self.assertIsNone(self.rig.get("/v1/history/p7").json["thumbnail"])

    def test_totals(self) -> None:
        """The sums are those of the prints that were asked for."""
        found = self.rig.get("/v1/history/totals").json
        self.assertEqual((found["prints"], found["layers"], found["volume_ml"]), (3, 30, 7.5))
        self.assertEqual((found["results"]["finished"], found["results"]["stopped"]), (2, 1))
        self.assertEqual(self.rig.get("/v1/history/totals?result=stopped").json["prints"], 1)

    def test_table(self) -> None:
        """The table has every print in a row, whatever is in its name, and nothing that a spreadsheet would run."""
        reply = self.rig.get("/v1/history.csv")
        self.assertTrue(reply.headers["content-type"].startswith("text/csv"))
        rows: list[dict[str, Any]] = list(csv.DictReader(io.StringIO(reply.body.decode())))
        self.assertEqual([row["file"] for row in rows], ['Ring, "small".goo', "'=cmd|' /C calc'!A0", "vase.goo"])
        self.assertEqual([row["id"] for row in rows], ["p2", "p1", "p0"])
        self.assertEqual((rows[0]["md5"], rows[0]["layers"]), ("", "10"))

    def test_touchscreen(self) -> None:
        """A print from the touchscreen is in the history as soon as it has begun."""
        self.rig.connect(SATURN)
        self.rig.publish(Status((0,)))
        self.rig.publish(Status((1,), 0, PrintInfo(3, 1, 9, 1, 9, 0, "usb.goo")))
        newest = self.rig.get("/v1/history?q=usb").json["prints"][0]
        self.assertEqual((newest["file"], newest["result"], newest["job"]), ("usb.goo", "printing", None))
        self.assertEqual(self.rig.get(f"/v1/printers/{SATURN}").json["print"], newest["id"])
