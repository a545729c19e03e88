"""Questions to the history of prints."""

from __future__ import annotations

from msgspec.structs import replace
from twisted.internet.defer import Deferred

from sdcpd.errors import BadCursor
from sdcpd.journal import Outcomes, PrintQuery
from sdcpd.records import PrintRecord, PrintResult
from tests.fakes import ID, OTHER_ID, WALL, Pool
from tests.journal.test_ledger import PRINT, JournalCase

RESULTS = (PrintResult.FINISHED, PrintResult.STOPPED, PrintResult.FAILED)


def past(number: int) -> PrintRecord:
    return replace(
        PRINT,
        id=f"p{number:03}",
        printer=ID if number % 2 else OTHER_ID,
        file=f"Größe_{number % 5}%.goo",
        started=WALL + number // 2 * 10,  # two each begin at the same moment
        result=RESULTS[number % 3],
        layers=number,
        printed_s=1.5,
        volume_ml=0.25,
    )


class HistoryTests(JournalCase):
    def setUp(self) -> None:
        super().setUp()
        self.all = [past(number) for number in range(30)]
        self.history = self.journal()
        self.successResultOf(self.history.write(*self.all))

    def found(self, query: PrintQuery) -> list[PrintRecord]:
        return list(self.successResultOf(self.history.prints(query)).prints)

    def test_newest_first(self) -> None:
        """Without any wish the history is everything, the newest first."""
        page = self.successResultOf(self.history.prints(PrintQuery()))
        self.assertEqual((list(page.prints), page.next), (self.all[::-1], None))

    def test_filters(self) -> None:
        """Printer, result, span of time and a piece of the file's name narrow it, alone and together."""
        cases = {
            PrintQuery(printer=ID): lambda p: p.printer == ID,
            PrintQuery(printers=frozenset({ID, "nobody"})): lambda p: p.printer == ID,
            PrintQuery(printers=frozenset({ID, OTHER_ID}), text="_4"): lambda p: "_4" in p.file,
            PrintQuery(printer=ID, printers=frozenset({OTHER_ID})): lambda p: False,
            PrintQuery(result=PrintResult.STOPPED): lambda p: p.result is PrintResult.STOPPED,
            PrintQuery(since=WALL + 50): lambda p: p.started >= WALL + 50,
            PrintQuery(until=WALL + 50): lambda p: p.started < WALL + 50,
            PrintQuery(text="GRÖSSE_3"): lambda p: "_3" in p.file,
            PrintQuery(text="3%.G"): lambda p: "3%.g" in p.file,
            PrintQuery(file="GRÖSSE_3%.goo"): lambda p: p.file == "Größe_3%.goo",
            PrintQuery(file="Größe_3"): lambda p: False,
            PrintQuery(text="_%"): lambda p: False,
            PrintQuery(printer=OTHER_ID, since=WALL + 20, text="_4"): lambda p: (
                p.printer == OTHER_ID and p.started >= WALL + 20 and "_4" in p.file
            ),
        }
        for query, wanted in cases.items():
            with self.subTest(query=query):
                self.assertEqual(self.found(query), [p for p in self.all[::-1] if wanted(p)])

    def test_pages(self) -> None:
        """Page by page nothing is left out or told twice, though prints begin meanwhile."""
        seen: list[PrintRecord] = []
        query = PrintQuery(limit=7)
        while True:
            page = self.successResultOf(self.history.prints(query))
            seen += page.prints
            self.history.write(past(1000 + len(seen)))
            if page.next is None:
                break
            query = PrintQuery(limit=7, cursor=page.next)
        self.assertEqual(seen, self.all[::-1])

    def test_bad_cursor(self) -> None:
        """A cursor that somebody invented is refused in a word, and the journal is none the worse."""
        for cursor in ("", "x", "AAAA", "é", "W10", "A" * 5000):
            self.failureResultOf(self.history.prints(PrintQuery(cursor=cursor)), BadCursor)
        self.assertIsNone(self.history.failing)

    def test_totals(self) -> None:
        """Sums count every wanted print, whatever the page, and each result by its word."""
        totals = self.successResultOf(self.history.totals(PrintQuery(limit=1, cursor="x")))
        self.assertEqual(
            {word: n for word, n in totals.results.items() if n}, dict.fromkeys(["finished", "stopped", "failed"], 10)
        )
        self.assertEqual(set(totals.results), {result.value for result in PrintResult})
        self.assertEqual(
            (totals.layers, totals.printed_s, totals.exposure_s, totals.volume_ml), (sum(range(30)), 45.0, 0.0, 7.5)
        )
        none = self.successResultOf(self.history.totals(PrintQuery(printer="nobody")))
        self.assertEqual((none.layers, none.volume_ml, sum(none.results.values())), (0, 0.0, 0))

    def test_outcomes(self) -> None:
        """Of each file it is told how often it succeeded and failed, and how the last of its prints went."""
        for number, result, after in (
            (60, PrintResult.FINISHED, 10),
            (61, PrintResult.LOST, 30),
            (62, PrintResult.UNVERIFIED, 40),
            (63, PrintResult.PRINTING, None),
        ):
            ended = None if after is None else WALL + after
            record = replace(past(number), printer=ID, file="Vase.goo", result=result, ended=ended, printed_s=after)
            self.successResultOf(self.history.write(record))
        found = self.successResultOf(self.history.outcomes(PrintQuery(printer=ID, limit=1)))
        self.assertEqual(found["vase.goo"], Outcomes(1, 1, False, WALL + 30, 30))
        self.assertEqual(self.successResultOf(self.history.outcomes(PrintQuery(file="vase.goo"))).keys(), {"vase.goo"})
        self.assertEqual(self.successResultOf(self.history.outcomes(PrintQuery(printer="nobody"))), {})

    def test_own_words(self) -> None:
        """Who asks sees what was written before, even if the disk was busy."""
        thread = Pool(slow=True)
        journal = self.journal(thread)
        for number in (50, 51):
            journal.write(past(number))
        answer: Deferred[PrintRecord | None] = journal.print_of("p051")
        while thread.begun:
            thread.work()
        self.assertEqual(self.successResultOf(answer), past(51))

    def test_hostile(self) -> None:
        """Whatever a printer calls a file, and however many layers it claims, can be kept."""
        odd = replace(PRINT, id="odd", file="a\0b\u202e'; DROP TABLE prints; --", layers=10**30)
        self.successResultOf(self.history.write(odd))
        self.assertEqual(self.successResultOf(self.history.print_of("odd")), odd)
        self.assertEqual(self.found(PrintQuery(text="drop table")), [odd])
        self.assertIsNone(self.successResultOf(self.history.print_of("none")))
