"""The fleet: versions, the tick, edges, observers, waiters, names."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.codec.sdcp import Announcement
from sdcpd.codec.status import Generation, Phase, PrintInfo, Status
from sdcpd.errors import PrinterUnknown
from sdcpd.fleet import RING, TICK, Beforehand, Fleet, Printer, Reachability
from sdcpd.progress import Job, JobState

A, B, C = "0001D2AB12CD34EF", "0001d2ab12cd34f0", "ed58aa10c1d70100"
ONLINE, OFFLINE, STALE = Reachability.ONLINE, Reachability.OFFLINE, Reachability.STALE


def announced(mainboard_id: str = A, name: str = "Saturn", machine: str = "ELEGOO Saturn 3 Ultra") -> Announcement:
    return Announcement(mainboard_id, name=name, machine_name=machine, generation=Generation.V1)


def printing(layer: int, number: int = 3) -> Status:
    return Status((1,), print=PrintInfo(number, layer, 310))


def job(state: JobState, sent: int = 0) -> Job:
    return Job("1", A, "a.goo", "0" * 32, 1000, "a_0.goo", state, 0.0, sent=sent)


class FleetCase(SynchronousTestCase):
    """A fleet with a clock."""

    beforehand: tuple[Beforehand, ...] = ()

    def setUp(self) -> None:
        self.clock = Clock()
        self.fleet = Fleet(self.clock, lambda: 1_700_000_000 + self.clock.seconds(), self.beforehand)

    def slugs(self) -> list[str]:
        return [printer.slug for printer in self.fleet]


class PublishingTests(FleetCase):
    """Versions, the tick and edges."""

    def setUp(self) -> None:
        super().setUp()
        self.fleet.announced(announced(), "10.0.0.1")
        self.fleet.change(A, status=printing(1), reachability=ONLINE)
        self.start = self.fleet.version

    def test_nothing_new(self) -> None:
        """What a printer repeats is no news."""
        self.fleet.change(A, status=printing(1), reachability=ONLINE)
        self.fleet.change(A)
        self.fleet.announced(announced(), "10.0.0.1")
        self.fleet.explain(A, None)
        self.fleet.assign(A, None)
        self.fleet.hear(A)
        self.clock.advance(10)
        self.assertEqual((self.fleet.version, self.clock.getDelayedCalls()), (self.start, []))

    def test_first_change_at_once(self) -> None:
        """After a quiet time a change is told at once."""
        self.clock.advance(TICK)
        self.fleet.change(A, status=printing(2))
        self.assertEqual(self.fleet.version, self.start + 1)
        self.assertEqual(self.fleet.get(A).version, self.start + 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_merged(self) -> None:
        """Changes that follow each other quickly are told together, the latest wins, at most every half second."""
        told: list[tuple[float, int]] = []
        self.clock.advance(TICK)
        for layer in range(2, 22):
            self.fleet.change(A, status=printing(layer))
            if self.fleet.version > self.start + len(told):
                status = self.fleet.get(A).status
                assert status is not None
                told.append((round(self.clock.seconds(), 1), status.print.current_layer))
            self.clock.advance(0.1)
        self.assertEqual(len(told), 4)
        self.assertEqual(told[0], (0.5, 2))
        self.clock.advance(TICK)
        self.assertEqual(self.fleet.get(A).version, self.fleet.version)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_late(self) -> None:
        """The last of several quick changes is told half a second after the first."""
        self.clock.advance(1)
        self.fleet.change(A, status=printing(2))
        self.clock.advance(0.2)
        self.fleet.change(A, status=printing(3))
        self.clock.advance(0.2)
        self.fleet.change(A, status=printing(4))
        self.assertEqual(self.fleet.version, self.start + 1)
        self.clock.advance(0.09)
        self.assertEqual(self.fleet.since(self.start + 1), [])
        self.clock.advance(0.02)
        (printer,) = self.fleet.since(self.start + 1)
        self.assertEqual((printer.version, printer.status), (self.start + 2, printing(4)))

    def test_latest_is_there(self) -> None:
        """Who asks between two publications sees the latest all the same."""
        self.fleet.change(A, status=printing(2))
        self.assertEqual(self.fleet.get(A).status, printing(2))
        self.assertEqual(self.fleet.version, self.start)

    def test_edges(self) -> None:
        """What a person waits for is never held back: phase, reachability, the job's state."""
        edges: list[Callable[[], object]] = [
            lambda: self.fleet.change(A, status=printing(1, 7)),
            lambda: self.fleet.change(A, status=printing(1, 3)),
            lambda: self.fleet.change(A, reachability=STALE),
            lambda: self.fleet.change(A, reachability=OFFLINE),
            lambda: self.fleet.change(A, reachability=ONLINE),
            lambda: self.fleet.assign(A, job(JobState.QUEUED)),
            lambda: self.fleet.assign(A, job(JobState.STARTING)),
            lambda: self.fleet.assign(A, None),
        ]
        for number, edge in enumerate(edges, 1):
            edge()
            self.assertEqual(self.fleet.version, self.start + number, number)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_edges(self) -> None:
        """Layers, bytes, messages and addresses may wait their half second."""
        others: list[Callable[[], object]] = [
            lambda: self.fleet.change(A, status=printing(2)),
            lambda: self.fleet.assign(A, job(JobState.QUEUED, 1)),
            lambda: self.fleet.explain(A, "Look at its screen."),
            lambda: self.fleet.announced(announced(), "10.0.0.2"),
        ]
        self.fleet.assign(A, job(JobState.QUEUED))
        before = self.fleet.version
        for other in others:
            other()
        self.assertEqual(self.fleet.version, before)
        self.clock.advance(TICK)
        self.assertEqual(self.fleet.version, before + 1)

    def test_edge_takes_the_rest_along(self) -> None:
        """An edge tells what had been held back, too, and nothing is told twice."""
        self.fleet.change(A, status=printing(2))
        self.fleet.change(A, status=printing(3, 7))
        self.assertEqual(self.fleet.version, self.start + 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_common_tick(self) -> None:
        """Who watches a farm hears of it twice a second, however many printers print; nobody waits longer than that."""
        ids = [f"{number:016X}" for number in range(16)]
        for mainboard_id in ids:
            self.fleet.announced(announced(mainboard_id), "10.0.0.2")
            self.fleet.change(mainboard_id, status=printing(1), reachability=ONLINE)
        woken: list[tuple[float, int]] = []

        def wait() -> None:
            version = self.fleet.version
            self.fleet.changed(version, None).addCallback(wake, version)

        def wake(_: None, since: int) -> None:
            woken.append((self.clock.seconds(), len(self.fleet.since(since))))
            wait()

        self.clock.advance(1)
        wait()
        for layer in (2, 3):
            for mainboard_id in ids:
                self.fleet.change(mainboard_id, status=printing(layer))
                self.clock.advance(1 / 16)
        self.clock.advance(TICK)
        self.assertEqual(woken, [(1.0, 1), (1.5, 7), (2.0, 8), (2.5, 8), (3.0, 8)])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_edge_among_others(self) -> None:
        """A printer that begins or ends something is told at once; what the others say meanwhile waits for its turn."""
        self.fleet.announced(announced(B), "10.0.0.2")
        self.clock.advance(1)
        self.fleet.change(A, status=printing(2))
        before = self.fleet.version
        self.clock.advance(0.1)
        self.fleet.change(A, status=printing(3))
        self.assertEqual(self.fleet.version, before)
        self.fleet.change(B, reachability=ONLINE)
        self.assertEqual([p.id for p in self.fleet.since(before)], [B])
        self.clock.advance(TICK - 0.1)
        self.assertEqual([p.id for p in self.fleet.since(before + 1)], [A])

    def test_since(self) -> None:
        """What is new since a version is the printers that changed after it, each once."""
        self.fleet.announced(announced(B, "Mars"), "10.0.0.2")
        self.fleet.announced(announced(C, "Alpha"), "10.0.0.3")
        newest = self.fleet.version
        self.assertEqual([p.name for p in self.fleet.since(0)], ["Alpha", "Mars", "Saturn"])
        self.assertEqual([p.name for p in self.fleet.since(self.start)], ["Alpha", "Mars"])
        self.assertEqual([p.name for p in self.fleet.since(newest - 1)], ["Alpha"])
        self.assertEqual(self.fleet.since(newest), [])
        self.assertEqual(self.fleet.since(newest + 100), [])

    def test_phase(self) -> None:
        """A printer out of reach is offline whatever it last said; 10 is checking only while a start is unproved."""
        self.fleet.change(A, status=printing(0, 10))
        self.assertIs(self.fleet.get(A).phase, Phase.STOPPING)
        self.fleet.assign(A, job(JobState.STARTING))
        self.assertIs(self.fleet.get(A).phase, Phase.CHECKING)
        self.fleet.change(A, reachability=STALE)
        self.assertIs(self.fleet.get(A).phase, Phase.CHECKING)
        self.fleet.change(A, reachability=OFFLINE)
        self.assertIs(self.fleet.get(A).phase, Phase.OFFLINE)
        self.assertIs(self.fleet.announced(announced(B), "10.0.0.2").phase, Phase.OFFLINE)

    def test_stopped(self) -> None:
        """When the daemon stops, everybody is released and nothing is left to do."""
        self.fleet.change(A, status=printing(2))
        waiting = self.fleet.changed(self.fleet.version, None)
        self.fleet.stop()
        self.successResultOf(waiting)
        self.assertTrue(self.fleet.stopped)
        self.fleet.change(A, status=printing(3))
        self.fleet.change(A, reachability=OFFLINE)
        self.assertEqual((self.fleet.version, self.clock.getDelayedCalls()), (self.start, []))


class ObserverTests(FleetCase):
    """Who hears each change."""

    def setUp(self) -> None:
        super().setUp()
        self.seen: list[tuple[object, object]] = []
        self.fleet.announced(announced(), "10.0.0.1")
        self.fleet.change(A, reachability=ONLINE)

    def observe(self, before: Printer | None, after: Printer) -> None:
        self.seen.append((before and before.message, after.message))

    def test_each_change(self) -> None:
        """An observer hears of each change, published or not, with what was before."""
        self.fleet.subscribe(self.observe)
        for message in ("a", "b", "b", None):
            self.fleet.explain(A, message)
        self.assertEqual(self.seen, [(None, "a"), ("a", "b"), ("b", None)])

    def test_new_printer(self) -> None:
        """Of a new printer there was nothing before."""
        found: list[tuple[Printer | None, str]] = []
        self.fleet.subscribe(lambda before, after: found.append((before, after.id)))
        self.fleet.announced(announced(B), "10.0.0.2")
        self.assertEqual(found, [(None, B)])

    def test_unsubscribed(self) -> None:
        """Who has enough hears no more."""
        end = self.fleet.subscribe(self.observe)
        end()
        self.fleet.explain(A, "a")
        self.assertEqual(self.seen, [])

    def test_isolated(self) -> None:
        """An observer that fails is logged, and the others hear all the same."""

        def fail(before: Printer | None, after: Printer) -> None:
            raise ZeroDivisionError

        self.fleet.subscribe(fail)
        self.fleet.subscribe(self.observe)
        version = self.fleet.version
        self.fleet.change(A, reachability=STALE)
        self.assertEqual(len(self.seen), 1)
        self.assertEqual(self.fleet.version, version + 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_changes_in_order(self) -> None:
        """An observer may change the fleet; every observer hears the changes in the order in which they happened."""

        def react(before: Printer | None, after: Printer) -> None:
            if after.message in ("a", "b"):
                self.fleet.explain(A, {"a": "b", "b": "c"}[after.message])

        self.fleet.subscribe(self.observe)
        self.fleet.subscribe(react)
        late: list[str | None] = []
        self.fleet.subscribe(lambda before, after: late.append(after.message))
        self.fleet.explain(A, "a")
        self.assertEqual(self.seen, [(None, "a"), ("a", "b"), ("b", "c")])
        self.assertEqual(late, ["a", "b", "c"])
        self.assertEqual(self.fleet.get(A).message, "c")

    def test_published_once(self) -> None:
        """What observers add to a change is published with it, and all of it is there for who waits."""

        def react(before: Printer | None, after: Printer) -> None:
            if after.job is None:
                self.fleet.assign(A, job(JobState.PRINTING))
                self.fleet.happened(A, "print_started", {})

        self.fleet.subscribe(react)
        version = self.fleet.version
        seen: list[object] = []

        def look(_: None) -> None:
            seen.append((self.fleet.get(A).phase, self.fleet.get(A).job))

        self.fleet.changed(version, None).addCallback(look)
        self.fleet.change(A, status=printing(1))
        self.assertEqual(seen, [(Phase.PRINTING, job(JobState.PRINTING))])
        self.assertEqual(self.fleet.get(A).version, version + 1)
        self.assertEqual(self.fleet.events[-1].seq, version + 2)
        self.assertEqual(self.fleet.version, version + 2)

    def test_subscribed_inside(self) -> None:
        """Observers may come and go in the middle of a change."""

        def once(before: Printer | None, after: Printer) -> None:
            end()
            self.fleet.subscribe(self.observe)

        end = self.fleet.subscribe(once)
        self.fleet.explain(A, "a")
        self.fleet.explain(A, "b")
        self.assertEqual(self.seen, [("a", "b")])


class WaitingTests(FleetCase):
    """Who waits for the next change."""

    def setUp(self) -> None:
        super().setUp()
        for mainboard_id, name in ((A, "Saturn"), (B, "Mars")):
            self.fleet.announced(announced(mainboard_id, name), "10.0.0.1")
            self.fleet.change(mainboard_id, status=printing(1), reachability=ONLINE)

    def test_already(self) -> None:
        """Who is behind is answered at once."""
        self.successResultOf(self.fleet.changed(0, None))
        self.successResultOf(self.fleet.changed(self.fleet.version - 1, None))
        self.successResultOf(self.fleet.changed(0, frozenset({A})))
        self.assertEqual(self.fleet.waiting, 0)

    def test_up_to_date(self) -> None:
        """Who is not waits, and hears of the next change of any printer in the turn that makes it."""
        d = self.fleet.changed(self.fleet.version, None)
        self.assertNoResult(d)
        self.fleet.change(B, reachability=STALE)
        self.successResultOf(d)

    def test_wanted(self) -> None:
        """Who asks for one printer hears of no other, neither now nor later."""
        before = self.fleet.version
        self.fleet.change(B, reachability=STALE)
        self.fleet.happened(B, "offline", {})
        d = self.fleet.changed(before, frozenset({A}))
        self.assertNoResult(d)
        self.fleet.change(B, reachability=ONLINE)
        self.assertNoResult(d)
        self.fleet.change(A, reachability=STALE)
        self.successResultOf(d)

    def test_happening(self) -> None:
        """A happening is news as well, before and after one asks."""
        before = self.fleet.version
        d = self.fleet.changed(before, frozenset({A}))
        self.fleet.happened(A, "print_started", {})
        self.successResultOf(d)
        self.successResultOf(self.fleet.changed(before, frozenset({A})))
        self.assertNoResult(self.fleet.changed(before, frozenset({B})))

    def test_unknown(self) -> None:
        """Who asks for a printer that nobody knows yet hears when it appears."""
        d = self.fleet.changed(0, frozenset({C}))
        self.assertNoResult(d)
        self.fleet.announced(announced(C), "10.0.0.3")
        self.successResultOf(d)

    def test_unpublished(self) -> None:
        """A change that is held back is no news before it is published."""
        d = self.fleet.changed(self.fleet.version, None)
        self.fleet.change(A, status=printing(2))
        self.assertNoResult(d)
        self.clock.advance(TICK)
        self.successResultOf(d)

    def test_cancelled(self) -> None:
        """A client that leaves leaves nothing behind."""
        d = self.fleet.changed(self.fleet.version, None)
        self.assertEqual(self.fleet.waiting, 1)
        d.cancel()
        self.failureResultOf(d, CancelledError)
        self.assertEqual(self.fleet.waiting, 0)
        self.fleet.change(A, reachability=STALE)

    def test_answer_that_changes(self) -> None:
        """What is done with the news may make more news."""
        d = self.fleet.changed(self.fleet.version, None)
        d.addCallback(lambda _: self.fleet.change(B, reachability=STALE))
        later = self.fleet.changed(self.fleet.version, frozenset({B}))
        self.fleet.change(A, reachability=STALE)
        self.clock.advance(0)
        self.successResultOf(d)
        self.successResultOf(later)


class EventTests(FleetCase):
    """Happenings."""

    def setUp(self) -> None:
        super().setUp()
        self.fleet.announced(announced(), "10.0.0.1")

    def test_recorded(self) -> None:
        """A happening has its own version, a time, and the name of the printer."""
        self.clock.advance(5)
        before = self.fleet.version
        self.fleet.happened(A, "print_started", {"file": "a.goo"})
        (event,) = self.fleet.happenings(before)
        self.assertEqual((event.seq, event.time, event.printer), (before + 1, 1_700_000_005.0, "saturn"))
        self.assertEqual((event.type, event.data), ("print_started", {"file": "a.goo"}))
        self.assertEqual(self.fleet.version, before + 1)

    def test_never_merged(self) -> None:
        """Quick happenings are all remembered, in order; since a version, only the newer ones."""
        before = self.fleet.version
        for number in range(10):
            self.fleet.happened(A, str(number), {})
        self.assertEqual([e.type for e in self.fleet.happenings(before)], list("0123456789"))
        self.assertEqual([e.type for e in self.fleet.happenings(before + 7)], list("789"))
        self.assertEqual(self.fleet.happenings(self.fleet.version), [])

    def test_ring(self) -> None:
        """Old happenings are forgotten, the newest never."""
        for number in range(RING + 10):
            self.fleet.happened(A, str(number), {})
        found = self.fleet.happenings(0)
        self.assertEqual((len(found), found[0].type, found[-1].type), (RING, "10", str(RING + 9)))


class HearingTests(FleetCase):
    """When a printer was last heard of."""

    def test_never(self) -> None:
        """Of a printer that is only configured nothing was heard."""
        self.assertIsNone(self.fleet.heard(A))
        self.assertEqual(self.fleet.silence(A), float("inf"))

    def test_heard(self) -> None:
        """A reply counts as a word, and so does everything else; the age grows by the clock."""
        self.clock.advance(5)
        self.fleet.announced(announced(), "10.0.0.1")
        self.assertEqual((self.fleet.heard(A), self.fleet.silence(A)), (1_700_000_005.0, 0.0))
        self.clock.advance(7)
        self.assertEqual((self.fleet.heard(A), self.fleet.silence(A)), (1_700_000_005.0, 7.0))
        version = self.fleet.version
        self.fleet.hear(A)
        self.assertEqual((self.fleet.heard(A), self.fleet.silence(A)), (1_700_000_012.0, 0.0))
        self.fleet.announced(announced(), "10.0.0.1")
        self.assertEqual(self.fleet.version, version)


class NamingTests(FleetCase):
    """Slugs and names of printers that nobody configured."""

    def test_new(self) -> None:
        """A new printer is offline until somebody knows better, at the address its reply came from."""
        told = replace(announced(), mainboard_ip="192.0.2.99", status=Status((1,)))
        printer = self.fleet.announced(told, "10.0.0.1")
        self.assertEqual((printer.id, printer.slug, printer.name, printer.address), (A, "saturn", "Saturn", "10.0.0.1"))
        self.assertEqual((printer.reachability, printer.status, printer.version), (OFFLINE, None, 1))
        self.assertIsNone(printer.announcement.status)
        self.assertIs(printer.generation, Generation.V1)

    def test_exactly(self) -> None:
        """A MainboardID that is another printer's slug names its own printer among programs, that one among people."""
        first = self.fleet.announced(announced(), "10.0.0.1")
        second = self.fleet.announced(replace(announced(), mainboard_id=first.slug, name="Guest"), "10.0.0.2")
        self.assertEqual((self.fleet[second.id].slug, self.fleet.get(first.slug).id), ("guest", first.id))
        self.assertRaises(PrinterUnknown, self.fleet.__getitem__, first.id.upper() + "X")
        self.assertRaises(PrinterUnknown, self.fleet.__getitem__, second.slug)

    def test_slugs(self) -> None:
        """A slug is made of the name, else of the model; it fits into any address."""
        for name, machine, slug in (
            ("Bench left", "x", "bench-left"),
            ("", "ELEGOO Saturn 3 Ultra", "elegoo-saturn-3-ultra"),
            ("", "", "printer"),
            ("  Über-Drucker!! ", "", "ber-drucker"),
            ("☃", "", "printer"),
            ("../../etc/passwd", "", "etc-passwd"),
            ("a" * 23 + " b c", "", "a" * 23),
            ("x" * 300, "", "x" * 24),
        ):
            fleet = Fleet(self.clock, lambda: 0.0, ())
            self.assertEqual(fleet.announced(announced(A, name, machine), "10.0.0.1").slug, slug)

    def test_names(self) -> None:
        """A printer without a name is shown by its model, and without that by its MainboardID."""
        for name, machine, shown in (("N", "M", "N"), ("", "M", "M"), ("", "", A)):
            fleet = Fleet(self.clock, lambda: 0.0, ())
            self.assertEqual(fleet.announced(announced(A, name, machine), "10.0.0.1").name, shown)

    def test_unique(self) -> None:
        """Printers of the same name are told apart, however alike their MainboardIDs are."""
        ids = [A, B, C, "x-" + C, "y_" + C]
        slugs = [self.fleet.announced(announced(i), "10.0.0.1").slug for i in ids]
        self.assertEqual(
            slugs,
            ["saturn", "saturn-cd34f0", "saturn-d70100", "printer-xed58aa10c1d70100", "printer-yed58aa10c1d70100"],
        )

    def test_stable(self) -> None:
        """A slug stays when the printer is renamed or moves, so that addresses of clients stay good."""
        self.fleet.announced(announced(), "10.0.0.1")
        printer = self.fleet.announced(announced(name="Other"), "10.0.0.2")
        self.assertEqual((printer.slug, printer.name, printer.address), ("saturn", "Other", "10.0.0.2"))
        self.fleet.configure(())
        self.assertEqual(self.fleet.get(A).slug, "saturn")
        self.assertIs(self.fleet.get("saturn"), self.fleet.get(A))

    def test_same_name_moves_apart(self) -> None:
        """Printers of one name stay apart when one of them gets another address."""
        self.fleet.announced(announced(A), "10.0.0.1")
        self.fleet.announced(announced(B), "10.0.0.2")
        self.fleet.announced(announced(A), "10.0.0.3")
        self.assertEqual([(p.id, p.address) for p in self.fleet], [(A, "10.0.0.3"), (B, "10.0.0.2")])
        self.assertEqual(len(self.fleet), 2)

    def test_find(self) -> None:
        """A MainboardID is found exactly as the board spells it, or not at all."""
        self.fleet.announced(announced(), "10.0.0.1")
        self.assertEqual(self.fleet.find(A), self.fleet.get(A))
        self.assertIsNone(self.fleet.find(A.lower()))

    def test_get(self) -> None:
        """A person may say slug or MainboardID, in any letters."""
        self.fleet.announced(announced(), "10.0.0.1")
        for reference in ("saturn", "SATURN", A, A.lower(), A.title()):
            self.assertEqual(self.fleet.get(reference).id, A)

    def test_get_exact_first(self) -> None:
        """Boards whose MainboardIDs differ in their letter case only are told apart."""
        self.fleet.announced(announced("abc"), "10.0.0.1")
        self.fleet.announced(announced("ABC"), "10.0.0.2")
        self.assertEqual([self.fleet.get(i).id for i in ("abc", "ABC", "Abc")], ["abc", "ABC", "abc"])

    def test_unknown(self) -> None:
        """Who misspells a printer is told which there are."""
        error = self.assertRaises(PrinterUnknown, self.fleet.get, "mars")
        self.assertIn("none yet", error.hint)
        self.fleet.announced(announced(), "10.0.0.1")
        error = self.assertRaises(PrinterUnknown, self.fleet.get, "mars")
        self.assertEqual(error.message, "No printer is called 'mars'.")
        self.assertIn("Known printers: saturn.", error.hint)

    def test_unknown_among_many(self) -> None:
        """Where there are hundreds, whoever misspells one is told some of them."""
        for number in range(300):
            self.fleet.announced(announced(f"{number:016d}"), "10.0.0.1")
        hint = self.assertRaises(PrinterUnknown, self.fleet.get, "mars").hint
        self.assertIn(", ...", hint)
        self.assertLess(len(hint), 1000)

    def test_order(self) -> None:
        """Printers are listed by name."""
        for mainboard_id, name in ((A, "b"), (B, "C"), (C, "a")):
            self.fleet.announced(announced(mainboard_id, name), "10.0.0.1")
        self.assertEqual([p.name for p in self.fleet], ["a", "b", "C"])


class ConfiguredTests(FleetCase):
    """Printers of the configuration."""

    beforehand = (Beforehand("right", B, "Right one"), Beforehand("left", A))

    def test_beforehand(self) -> None:
        """A configured printer is there before it was ever seen, in the order of the file."""
        self.assertEqual(
            [(p.slug, p.name, p.phase) for p in self.fleet],
            [("right", "Right one", Phase.OFFLINE), ("left", A, Phase.OFFLINE)],
        )
        self.fleet.announced(announced(C, "A"), "10.0.0.3")
        self.assertEqual(self.slugs(), ["right", "left", "a"])

    def test_seen(self) -> None:
        """The configured name wins over the printer's own, which fills in where there is none."""
        self.fleet.announced(announced(B), "10.0.0.2")
        self.fleet.announced(announced(A), "10.0.0.1")
        self.assertEqual(
            [(p.slug, p.name, p.address) for p in self.fleet],
            [("right", "Right one", "10.0.0.2"), ("left", "Saturn", "10.0.0.1")],
        )

    def test_configured_slugs_are_taken(self) -> None:
        """A found printer never takes a configured name."""
        self.assertEqual(self.fleet.announced(announced(C, "Left"), "10.0.0.3").slug, "left-d70100")

    def test_renamed_by_a_reload(self) -> None:
        """Names and slugs follow the configuration, and nothing that is known is lost."""
        self.fleet.announced(announced(A), "10.0.0.1")
        self.fleet.change(A, status=printing(5), reachability=ONLINE)
        self.fleet.configure([Beforehand("saturn-3", A, "Mine"), Beforehand("right", B, "Right one")])
        self.assertEqual(self.slugs(), ["saturn-3", "right"])
        printer = self.fleet.get("saturn-3")
        self.assertEqual((printer.name, printer.status, printer.address), ("Mine", printing(5), "10.0.0.1"))
        self.assertRaises(PrinterUnknown, self.fleet.get, "left")

    def test_port_by_a_reload(self) -> None:
        """Whoever follows a printer hears of its own port, given or taken away by a reload."""
        self.assertEqual([p.port for p in self.fleet], [0, 0])
        for port in (7001, 0):
            version = self.fleet.version
            self.clock.advance(TICK)
            self.fleet.configure([Beforehand("right", B, "Right one"), Beforehand("left", A, None, port)])
            self.assertEqual([(p.slug, p.port) for p in self.fleet.since(version)], [("left", port)])

    def test_reload_without_news(self) -> None:
        """The same configuration again is no change."""
        version = self.fleet.version
        self.fleet.configure(self.beforehand)
        self.clock.advance(1)
        self.assertEqual((self.fleet.version, self.slugs()), (version, ["right", "left"]))

    def test_swapped(self) -> None:
        """Two printers may swap their names."""
        self.fleet.configure([Beforehand("left", B), Beforehand("right", A)])
        self.assertEqual([self.fleet.get(s).id for s in ("left", "right")], [B, A])
        self.assertEqual(self.slugs(), ["left", "right"])

    def test_added(self) -> None:
        """A printer that a reload adds is there at once; one that was found before keeps what is known."""
        self.fleet.announced(announced(C), "10.0.0.3")
        version = self.fleet.version
        self.fleet.configure([*self.beforehand, Beforehand("mine", C), Beforehand("new", "0000")])
        self.clock.advance(TICK)
        self.assertEqual([p.slug for p in self.fleet.since(version)], ["mine", "new"])
        self.assertEqual(self.fleet.get("mine").address, "10.0.0.3")

    def test_removed(self) -> None:
        """A printer that a reload takes out of the configuration stays, under its own name."""
        self.fleet.announced(announced(A), "10.0.0.1")
        self.fleet.configure([])
        self.assertEqual([(p.slug, p.name) for p in self.fleet], [("printer", B), ("saturn", "Saturn")])

    def test_taken_over(self) -> None:
        """A found printer gives way when a reload gives its name to another."""
        self.fleet.announced(announced(C, "Saturn"), "10.0.0.3")
        self.fleet.configure([Beforehand("saturn", A)])
        self.assertEqual(self.fleet.get("saturn").id, A)
        self.assertEqual(self.fleet.get(C).slug, "saturn-d70100")
        self.assertEqual(len(set(self.slugs())), 3)

    def test_observer_during_a_reload(self) -> None:
        """What an observer changes during a reload is kept."""
        self.fleet.subscribe(lambda before, after: self.fleet.explain(A, "seen") if after.id == B else None)
        self.fleet.configure([Beforehand("b", B), Beforehand("a", A)])
        self.assertEqual((self.fleet.get("a").message, self.fleet.get("b").name), ("seen", B))
