"""What ``/v1/updates`` answers; who waits for it and how long is in ``test_updates_waiting``."""

from __future__ import annotations

import re
from typing import Any

from sdcpd.fleet import RING
from sdcpd.web.updates import Cursor, new_epoch
from tests.web.rig import EPOCH, MARS, SATURN, SECURE, Reply, WebCase, printing

PATH = "/v1/updates"


class UpdatesCase(WebCase):
    """A connected Saturn and a Mars that was seen; ``cursor`` is the newest."""

    def setUp(self) -> None:
        super().setUp()
        self.rig.announce(SATURN)
        self.link = self.rig.connect(SATURN)
        self.rig.announce(MARS, "Mars 4", "192.168.1.101")
        self.cursor: str = self.poll("")["cursor"]

    def asked(self, query: str, path: str = PATH, **more: Any) -> Reply:
        reply = self.rig.get(f"{path}?timeout=0&{query}", **more)
        self.assertEqual(reply.status, 200, reply.body)
        return reply

    def poll(self, query: str | None = None, path: str = PATH) -> Any:
        """A poll that does not wait, from the last cursor unless a query is given; it leads to the next."""
        document = self.asked(f"since={self.cursor}" if query is None else query, path).json
        self.cursor = document["cursor"]
        return document

    @property
    def epoch(self) -> str:
        return self.cursor.partition(".")[0]

    @property
    def version(self) -> int:
        return int(self.cursor.partition(".")[2])


class CursorTests(WebCase):
    """The cursor itself."""

    def test_epoch(self) -> None:
        """Each life of the daemon has a name of its own, in the documented alphabet and length."""
        epochs = {new_epoch() for _ in range(50)}
        self.assertEqual(len(epochs), 50)
        for epoch in epochs:
            self.assertTrue(re.fullmatch("[a-z2-7]{6,40}", epoch))

    def test_parse(self) -> None:
        """A cursor is known with or without an ETag's dress; whatever else means from the beginning."""
        for text in ("abc.5", '"abc.5"', 'W/"abc.5"', " abc.5 ", "abc.5.1786000000"):
            self.assertEqual(Cursor.parse(text, "abc", 5), Cursor(5, False))
        self.assertEqual(Cursor.parse("abc.0", "abc", 5), Cursor(0, False))
        for nothing in ("", " ", '""'):
            self.assertEqual(Cursor.parse(nothing, "abc", 5), Cursor(None, False))
        for strange in ("abc.6", "abd.5", "abc", "abc.", "abc.-1", "abc.x", "abc.²", "5", "*", f"abc.{'9' * 9999}"):
            self.assertEqual(Cursor.parse(strange, "abc", 5), Cursor(None, True), strange)


class TableTests(UpdatesCase):
    """Each row of the table of cursors (reference apis.md 4.3)."""

    def test_first(self) -> None:
        """The first question, without a cursor, gets everything at once, and no happenings of the past."""
        self.rig.fleet.happened(SATURN, "print_started", {})
        for query in ("", "since="):
            document = self.rig.get(f"{PATH}?{query}").json
            self.assertEqual(set(document["printers"]), {"saturn-3-ultra", "mars-4"})
            self.assertEqual((document["resync"], document["gap"], document["timed_out"]), (True, False, False))
            self.assertEqual((document["events"], document["removed"], document["more"]), ([], [], False))

    def test_first_with_recent(self) -> None:
        """On request the first answer brings what is remembered, oldest first."""
        self.rig.fleet.happened(SATURN, "noted", {"n": 1})
        document = self.poll("events=recent")
        self.assertEqual([e["type"] for e in document["events"]], ["online", "noted"])
        self.assertTrue(document["resync"])

    def test_whole_document(self) -> None:
        """An answer has exactly the documented keys, and a printer's document those of the native API."""
        self.rig.publish(printing(45, 200))
        document = self.poll()
        self.assertEqual(
            set(document),
            {"cursor", "resync", "gap", "more", "timed_out", "replaced", "now", "retry_after"}
            | {"printers", "removed", "events"},
        )
        self.assertEqual(document["cursor"], f"{self.epoch}.{self.rig.fleet.version}")
        self.assertEqual((document["now"], document["retry_after"]), (EPOCH + 0.5, 0))
        printer = document["printers"]["saturn-3-ultra"]
        self.assertEqual(printer, self.rig.get(f"/v1/printers/{SATURN}").json)
        self.assertEqual(printer["rev"], self.rig.fleet.get(SATURN).version)
        self.assertLess(len(document["cursor"]), 65)
        self.assertTrue(re.fullmatch("[a-z0-9.]+", document["cursor"]))

    def test_newest(self) -> None:
        """Who has everything and does not wait hears that nothing is new."""
        document = self.poll()
        self.assertEqual((document["timed_out"], document["resync"], document["gap"]), (True, False, False))
        self.assertEqual((document["printers"], document["events"]), ({}, []))

    def test_older(self) -> None:
        """Who has less gets each printer that changed once, as it is now, and what happened since."""
        self.rig.publish(printing(1))
        self.rig.fleet.happened(SATURN, "print_started", {"by": "me"})
        self.rig.publish(printing(2))
        document = self.poll()
        self.assertEqual({slug: p["layer"] for slug, p in document["printers"].items()}, {"saturn-3-ultra": 2})
        (event,) = document["events"]
        self.assertEqual(
            (event["printer"], event["type"], event["data"]), ("saturn-3-ultra", "print_started", {"by": "me"})
        )
        self.assertEqual((event["time"], event["seq"] < self.version), (EPOCH + 0.5, True))
        self.assertFalse(document["timed_out"] or document["resync"] or document["gap"])
        self.assertTrue(self.poll()["timed_out"])

    def test_gap(self) -> None:
        """Who was away longer than happenings are remembered is told of the gap, and the state is still exact."""
        for number in range(RING + 10):
            self.rig.fleet.happened(SATURN, "noted", {"n": number})
        self.rig.publish(printing(7))
        document = self.poll(f"since={self.cursor}&limit=5")
        self.assertEqual((document["gap"], document["resync"], document["more"]), (True, False, True))
        self.assertEqual(document["printers"]["saturn-3-ultra"]["layer"], 7)
        self.assertEqual([e["data"]["n"] for e in document["events"]], [10, 11, 12, 13, 14])
        self.assertFalse(self.poll()["gap"])

    def test_full_ring_without_gap(self) -> None:
        """A full memory alone is no gap for who was there in time."""
        for _ in range(RING):
            self.rig.fleet.happened(SATURN, "noted", {})
        document = self.poll(f"since={self.epoch}.{self.rig.fleet.version - 2}")
        self.assertEqual((document["gap"], len(document["events"])), (False, 2))

    def test_strange_cursors(self) -> None:
        """A cursor of the future, of another life or of no sense gets everything at once, and is never an error."""
        for since in (f"{self.epoch}.{self.version + 1}", f"zzzzzzzz.{self.version}", "%FF%00", "garbage", "1", "*"):
            document = self.poll(f"since={since}")
            self.assertEqual((document["resync"], document["gap"], document["timed_out"]), (True, True, False), since)
            self.assertEqual(len(document["printers"]), 2)

    def test_strict(self) -> None:
        """On request such a cursor is refused, with the one to go on with in the body and in a header."""
        reply = self.rig.get(f"{PATH}?since=zzzzzzzz.1&strict=1")
        self.assert_refused(reply, 410, "cursor_expired")
        self.assertEqual(reply.json["cursor"], self.cursor)
        self.assertEqual(reply.headers["x-sdcpd-cursor"], self.cursor)
        self.assertEqual(self.rig.get(f"{PATH}?strict=1").status, 200)
        self.assertEqual(self.rig.get(f"{PATH}?since={self.cursor}&strict=1&timeout=0").status, 200)

    def test_restart(self) -> None:
        """After a restart a client with an old cursor gets everything once, and goes on as before."""
        other = self.make()
        other.announce(SATURN)
        first = other.get(f"{PATH}?since={self.cursor}").json
        self.assertEqual((first["resync"], first["gap"], list(first["printers"])), (True, True, ["saturn-3-ultra"]))
        second = other.get(f"{PATH}?timeout=0&since={first['cursor']}").json
        self.assertEqual((second["resync"], second["printers"]), (False, {}))

    def test_added(self) -> None:
        """A printer that was just found is in the next answer."""
        self.rig.announce("CC", "Atom")
        self.assertEqual(list(self.poll()["printers"]), ["atom"])


class ParameterTests(UpdatesCase):
    """Every parameter."""

    def test_printers(self) -> None:
        """Only the chosen printers' changes and happenings are in the answer."""
        self.rig.publish(printing(1))
        self.rig.fleet.happened(SATURN, "noted", {})
        self.rig.fleet.happened(MARS, "noted", {})
        self.rig.fleet.explain(MARS, "its door is open")
        everything, since = {"saturn-3-ultra", "mars-4"}, self.cursor
        for chosen, expected in (
            ("mars-4", {"mars-4"}),
            (SATURN.lower(), {"saturn-3-ultra"}),
            (f"{MARS},saturn-3-ultra", everything),
            ("", everything),
        ):
            document = self.poll(f"since={since}&printers={chosen}")
            self.assertEqual(set(document["printers"]), expected)
            self.assertEqual({e["printer"] for e in document["events"]}, expected)
        self.assert_refused(self.rig.get(f"{PATH}?printers=mars-4,moon"), 404, "unknown_printer")

    def test_narrow_first(self) -> None:
        """The first answer of a chosen printer has only that one."""
        self.assertEqual(list(self.poll("printers=mars-4")["printers"]), ["mars-4"])

    def test_two_printers_paths(self) -> None:
        """Each printer's own path tells of that printer and of no other."""
        self.rig.publish(printing(3))
        saturn = self.asked("", "/printers/saturn-3-ultra/v1/updates").json
        mars = self.asked("", f"/printers/{MARS.lower()}/v1/updates").json
        self.assertEqual([list(d["printers"]) for d in (saturn, mars)], [["saturn-3-ultra"], ["mars-4"]])
        self.assertNotEqual(saturn["printers"]["saturn-3-ultra"]["layer"], mars["printers"]["mars-4"]["layer"])
        self.assert_refused(self.rig.get("/printers/moon/v1/updates"), 404, "unknown_printer")

    def test_narrow_cursor_moves(self) -> None:
        """A quiet printer's cursor keeps up with what others do, so it never grows old."""
        path = f"/printers/{MARS}/v1/updates"
        self.rig.publish(printing(1))
        self.rig.fleet.happened(SATURN, "noted", {})
        document = self.poll(path=path)
        self.assertEqual((document["timed_out"], document["printers"], document["events"]), (True, {}, []))
        self.assertEqual(document["cursor"], f"{self.epoch}.{self.rig.fleet.version}")
        self.rig.fleet.explain(MARS, "its door is open")
        self.rig.clock.advance(0.5)
        self.assertEqual(list(self.poll(path=path)["printers"]), ["mars-4"])

    def test_kinds(self) -> None:
        """State and happenings can be had alone; notifications are allowed and empty; other words are refused."""
        self.rig.publish(printing(1))
        self.rig.fleet.happened(SATURN, "noted", {})
        since = self.cursor
        for kinds, printers, events in (
            ("state", 1, 0),
            ("events", 0, 1),
            ("events,state", 1, 1),
            ("state,events,notify", 1, 1),
            ("", 1, 1),
            ("notify", 0, 0),
        ):
            document = self.poll(f"since={since}&kinds={kinds}")
            self.assertEqual((len(document["printers"]), len(document["events"])), (printers, events), kinds)
            self.assertEqual(document["timed_out"], not printers and not events)
        self.assertIn(
            "weather", self.assert_refused(self.rig.get(f"{PATH}?kinds=weather"), 400, "bad_parameter")["message"]
        )

    def test_limit(self) -> None:
        """Many happenings come in parts, none twice, none lost, and the last part says that it is the last."""
        for number in range(25):
            self.rig.fleet.happened((SATURN, MARS)[number % 2], "noted", {"n": number})
        seen: list[int] = []
        for _ in range(3):
            document = self.poll(f"since={self.cursor}&limit=10")
            self.assertEqual(document["more"], len(seen) < 20 and len(seen) + 10 < 25)
            seen += [e["data"]["n"] for e in document["events"]]
        self.assertEqual(seen, list(range(25)))
        self.assertTrue(self.poll()["timed_out"])

    def test_limit_while_more_happens(self) -> None:
        """Happenings that come between two parts are not lost, whichever printer they are of, and state is exact."""
        for number in range(6):
            self.rig.fleet.happened(SATURN, "noted", {"n": number})
        first = self.poll(f"since={self.cursor}&limit=4&printers=saturn-3-ultra")
        self.rig.publish(printing(9))
        self.rig.fleet.happened(MARS, "noted", {"n": -1})
        self.rig.fleet.happened(SATURN, "noted", {"n": 6})
        second = self.poll(f"since={self.cursor}&limit=4&printers=saturn-3-ultra")
        self.assertEqual([e["data"]["n"] for e in first["events"] + second["events"]], list(range(7)))
        self.assertEqual(second["printers"]["saturn-3-ultra"]["layer"], 9)
        self.assertEqual((first["more"], second["more"]), (True, False))

    def test_recent_in_parts(self) -> None:
        """What is remembered can be had in parts, too."""
        for number in range(3):
            self.rig.fleet.happened(SATURN, "noted", {"n": number})
        first = self.poll("events=recent&limit=1")
        self.assertEqual(([e["type"] for e in first["events"]], first["more"]), (["online"], True))
        self.assertEqual([e["data"]["n"] for e in self.poll()["events"]], [0, 1, 2])

    def test_limit_range(self) -> None:
        """The limit is clamped to 1 to 1000 and 200 by itself; a word is refused."""
        for _ in range(1100):
            self.rig.fleet.happened(SATURN, "noted", {})
        for limit, expected in (("", 200), ("0", 1), ("-5", 1), ("1000", 1000), ("99999", 1000), ("inf", 1000)):
            document = self.asked(f"since={self.cursor}&limit={limit}").json
            self.assertEqual(len(document["events"]), expected, limit)
        for word in ("many", "nan"):
            self.assert_refused(self.rig.get(f"{PATH}?limit={word}"), 400, "bad_parameter")

    def test_bad_timeout(self) -> None:
        """A timeout that is no number is refused."""
        self.assert_refused(self.rig.get(f"{PATH}?timeout=long"), 400, "bad_parameter")


class HeaderTests(UpdatesCase):
    """Every header."""

    def test_headers(self) -> None:
        """The answer may not be kept by anybody, and carries its cursor twice, as a tag and by itself."""
        reply = self.asked("")
        for name, value in {
            "cache-control": "no-store",
            "etag": f'"{self.cursor}"',
            "x-sdcpd-cursor": self.cursor,
            "content-type": "application/json",
            "content-length": str(len(reply.body)),
            "vary": "X-Api-Key, Authorization",
            "x-accel-buffering": "no",
        }.items():
            self.assertEqual(reply.headers[name], value)
        self.assertLessEqual(SECURE.items(), reply.headers.items())
        self.assertNotIn("retry-after", reply.headers)

    def test_cut_cursor_in_headers(self) -> None:
        """When an answer is cut, its headers tell the same cursor as its body."""
        for _ in range(3):
            self.rig.fleet.happened(SATURN, "noted", {})
        reply = self.asked(f"since={self.cursor}&limit=1")
        self.assertNotEqual(reply.json["cursor"], f"{self.epoch}.{self.rig.fleet.version}")
        self.assertEqual(
            (reply.headers["etag"], reply.headers["x-sdcpd-cursor"]),
            (f'"{reply.json["cursor"]}"', reply.json["cursor"]),
        )

    def test_conditional(self) -> None:
        """Who asks with If-None-Match gets news whole, and for no news a 304 with the cursor to go on with."""
        self.rig.fleet.happened(MARS, "noted", {})
        path = "/printers/saturn-3-ultra/v1/updates?timeout=0"
        reply = self.rig.get(path, {"If-None-Match": f'"{self.cursor}"'})
        self.assertEqual((reply.status, reply.body), (304, b""))
        moved = f"{self.epoch}.{self.rig.fleet.version}"
        self.assertEqual((reply.headers["x-sdcpd-cursor"], reply.headers["etag"]), (moved, f'"{moved}"'))
        self.assertLessEqual(SECURE.items(), reply.headers.items())
        self.rig.publish(printing(1))
        for tag in (f'"{moved}"', f'W/"{moved}"'):
            reply = self.rig.get(path, {"If-None-Match": tag})
            self.assertEqual((reply.status, list(reply.json["printers"])), (200, ["saturn-3-ultra"]))

    def test_since_wins(self) -> None:
        """With since given, too, a time-out has a body: only who asks by the header alone can do without."""
        reply = self.asked(f"since={self.cursor}", headers={"If-None-Match": f'"{self.cursor}"'})
        self.assertTrue(reply.json["timed_out"])

    def test_conditional_strange(self) -> None:
        """A tag of another life gets everything, or 410 where that is wanted."""
        reply = self.rig.get(PATH, {"If-None-Match": '"zzzzzzzz.1"'})
        self.assertEqual((reply.status, reply.json["resync"]), (200, True))
        self.assert_refused(self.rig.get(f"{PATH}?strict=1", {"If-None-Match": '"zzzzzzzz.1"'}), 410, "cursor_expired")

    def test_head(self) -> None:
        """HEAD tells the cursor without the news."""
        reply = self.rig.ask("HEAD", f"{PATH}?timeout=0")
        self.assertEqual((reply.status, reply.body, reply.headers["x-sdcpd-cursor"]), (200, b"", self.cursor))

    def test_methods(self) -> None:
        """News cannot be posted."""
        for path in (PATH, f"/printers/{MARS}/v1/updates"):
            reply = self.rig.ask("POST", path)
            self.assert_refused(reply, 405, "method_not_allowed")
            self.assertEqual(reply.headers["allow"], "GET, HEAD")
