from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import Queue
from typing import Any

from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zeroconf import ServiceInfo

from sdcpd.codec.sdcp import Announcement
from sdcpd.fleet import Fleet, Printer
from sdcpd.logs import set_level
from sdcpd.mdns import AGAIN, SERVICE, SOON, Announcer, Place, Record, Responder, place_of, records_of
from sdcpd.zeroconfig import Zeroconfig
from tests.fakes import at_once

HERE = Place(8080, ("192.168.1.2",))
PATIENCE = 60
"""Seconds after which the real library is not waited for any more: far more than it needs."""


class FakeResponder:
    """Notes what it is to tell, and fails when it is told to."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self.addresses = tuple(addresses)
        self.told: list[Mapping[str, Record]] = []
        self.failing: Exception | None = None
        self.closed = 0

    def tell(self, records: Mapping[str, Record], /) -> None:
        if self.failing is not None:
            raise self.failing
        self.told.append(records)

    def close(self) -> None:
        self.closed += 1

    @property
    def paths(self) -> list[str]:
        """What is announced now."""
        return [record.text["path"] for record in self.told[-1].values()]


def announcement(number: int, name: str) -> Announcement:
    return Announcement(mainboard_id=f"{number:016X}", name=name, machine_name=f"ELEGOO {name}")


def describe(printer: Printer) -> Mapping[str, str]:
    return {"uuid": f"u-{printer.slug}", "version": "1.11.8", "api": "0.1", "model": printer.announcement.machine_name}


class PlaceTests(SynchronousTestCase):
    """Where others reach us."""

    OWN = ("192.168.1.2", "10.0.0.2")

    def test_everywhere(self) -> None:
        """A port on all interfaces is announced with the machine's own addresses."""
        for description, address in (
            ("tcp:8080", "0.0.0.0:8080"),
            ("tcp6:8080", ":::8080"),
            ("systemd:domain=INET", "0.0.0.0:8080"),
        ):
            self.assertEqual(place_of([(description, address)], self.OWN), Place(8080, self.OWN))

    def test_one_interface(self) -> None:
        """A port on one interface is announced there, and nowhere else."""
        found = place_of([("tcp:8080:interface=10.0.0.2", "10.0.0.2:8080")], self.OWN)
        self.assertEqual(found, Place(8080, ("10.0.0.2",)))

    def test_nowhere(self) -> None:
        """What only this machine reaches, what is encrypted, and what is no port is never announced."""
        for listening in (
            [],
            [("tcp:8080:interface=127.0.0.1", "127.0.0.1:8080"), ("tcp6:8080:interface=\\:\\:1", "::1:8080")],
            [("ssl:8443", "0.0.0.0:8443")],
            [("unix:/run/x", "/run/x")],
            [("tcp6:8080:interface=fd00\\:\\:1", "fd00::1:8080")],
        ):
            self.assertIsNone(place_of(listening, self.OWN), listening)
        self.assertIsNone(place_of([("tcp:8080", "0.0.0.0:8080")], ()))

    def test_first_that_will_do(self) -> None:
        """Of several ports the first that others can use is told."""
        listening = [("tcp:1:interface=127.0.0.1", "127.0.0.1:1"), ("ssl:2", "0.0.0.0:2"), ("tcp:3", "0.0.0.0:3")]
        self.assertEqual(place_of(listening, self.OWN), Place(3, self.OWN))


class RecordTests(SynchronousTestCase):
    """What is said of printers."""

    def records(self, *names: str, sla: bool = True) -> list[Record]:
        fleet = Fleet(Clock(), lambda: 0.0, ())
        for number, name in enumerate(names):
            fleet.announced(announcement(number, name), f"192.168.1.{number + 100}")
        return [*records_of(fleet, HERE, describe, sla=sla).values()]

    def test_both(self) -> None:
        """A printer is there for everybody under its path, and as an SL1 under the one where it speaks as such."""
        printer, sla = self.records("Saturn 3")
        self.assertEqual((printer.name, sla.name, printer.place), ("Saturn 3", "Saturn 3 SL1", HERE))
        self.assertEqual(
            printer.text,
            {
                "path": "/printers/saturn-3",
                "uuid": "u-saturn-3",
                "version": "1.11.8",
                "api": "0.1",
                "model": "ELEGOO Saturn 3",
            },
        )
        self.assertEqual((sla.text["path"], sla.text["model"]), ("/printers/saturn-3/sl1", "SL1"))
        self.assertNotIn("uuid", sla.text)

    def test_without(self) -> None:
        """The second one can be left out."""
        self.assertEqual([record.name for record in self.records("Saturn 3", sla=False)], ["Saturn 3"])

    def test_same_names(self) -> None:
        """Two printers of one name are told apart by what is unique."""
        names = [record.name for record in self.records("Saturn", "saturn", "Mars", sla=False)]
        self.assertEqual(len({name.casefold() for name in names}), 3)
        self.assertIn("Mars", names)

    def test_odd_names(self) -> None:
        """Whatever a printer calls itself becomes a label of DNS."""
        for name in ("", " \t ", "x" * 300, "\u00e4" * 300, "a\nb\0c", "\u202e", "a.b.c", "\U0001f5a8" * 20):
            for record in self.records(name):
                self.assertTrue(record.name.isprintable() and record.name.strip(), record.name)
                self.assertLessEqual(len(record.name.encode()), 63)

    def test_one_says_nothing_of_the_others(self) -> None:
        """A printer that calls itself what cannot be told, or what another is called, takes nobody's announcement."""
        hostile = ("_sub", "a._sub", ".", "..", ".x", "x.", "_", "x" * 63, "Saturn SL1", "1 Saturn", "saturn-2 Saturn")
        for sla in (True, False):
            records = self.records("Saturn", *hostile, "Saturn", "saturn", "2 saturn-3 Saturn", sla=sla)
            names = [record.name for record in records]
            self.assertEqual(len({name.casefold() for name in names}), len(names), names)
            self.assertEqual(len(names), (2 if sla else 1) * (len(hostile) + 4))
            for record in records:
                # So many bytes are left for a number: others in the network may have the name already.
                told = ServiceInfo(SERVICE, f"{record.name}-99.{SERVICE}", port=1, properties=dict(record.text))
                self.assertEqual((told.get_name(), told.type), (f"{record.name}-99", SERVICE))
                self.assertNotIn(".", record.name)

    def test_long_text(self) -> None:
        """A model of more bytes than an entry can have is cut between two characters; the rest is as it was."""
        fleet = Fleet(Clock(), lambda: 0.0, ())
        fleet.announced(Announcement(mainboard_id="AB12", name="Saturn", machine_name="\u00e4" * 256), "192.168.1.100")
        printer, sla = records_of(fleet, HERE, describe, sla=True).values()
        self.assertEqual(printer.text["model"], "\u00e4" * 124)
        self.assertEqual(sla.text["model"], "SL1")
        told = ServiceInfo(SERVICE, f"{printer.name}.{SERVICE}", port=1, properties=dict(printer.text))
        self.assertEqual(told.decoded_properties, printer.text)


class AnnouncerTests(SynchronousTestCase):
    """The service, over a responder that notes."""

    def setUp(self) -> None:
        set_level("critical")
        self.clock = Clock()
        self.fleet = Fleet(self.clock, self.clock.seconds, ())
        self.place: Place | None = HERE
        self.made: list[FakeResponder] = []
        self.failing: Exception | None = None
        self.announcer = Announcer(
            self.fleet, lambda: self.place, describe, self.respond, sla=False, offload=at_once, clock=self.clock
        )
        self.fleet.announced(announcement(1, "Saturn"), "192.168.1.100")

    def respond(self, addresses: Sequence[str]) -> Responder:
        if self.failing is not None:
            raise self.failing
        self.made.append(FakeResponder(addresses))
        return self.made[-1]

    def start(self) -> FakeResponder:
        self.announcer.startService()
        self.clock.advance(0)
        return self.made[-1]

    def test_life(self) -> None:
        """Known printers are told at the start, on the addresses of the machine; at the stop goodbye is said."""
        told = self.start()
        self.assertEqual((told.addresses, told.paths), (("192.168.1.2",), ["/printers/saturn"]))
        self.successResultOf(self.announcer.stopService())
        self.assertEqual(told.closed, 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_come_and_rename(self) -> None:
        """A printer that comes, and one that gets another name, is told within seconds, both in one word."""
        told = self.start()
        self.fleet.announced(announcement(2, "Mars"), "192.168.1.101")
        self.fleet.announced(announcement(1, "Big Saturn"), "192.168.1.100")
        self.clock.advance(SOON)
        self.assertEqual(len(told.told), 2)
        self.assertEqual({record.name for record in told.told[-1].values()}, {"Big Saturn", "Mars"})

    def test_quiet(self) -> None:
        """What is not told by mDNS is no reason to say anything, and neither is time that goes by."""
        told = self.start()
        self.fleet.explain(f"{1:016X}", "It is hot.")
        self.fleet.announced(announcement(1, "Saturn"), "192.168.1.105")
        self.clock.pump([AGAIN] * 5)
        self.assertEqual(len(told.told), 1)

    def test_other_network(self) -> None:
        """A machine that moves says goodbye where it was and hello where it is, within a minute."""
        first = self.start()
        self.place = Place(8080, ("10.0.0.7",))
        self.clock.advance(AGAIN)
        self.assertEqual(
            (first.closed, self.made[-1].addresses, self.made[-1].paths), (1, ("10.0.0.7",), ["/printers/saturn"])
        )
        self.place = None
        self.clock.advance(AGAIN)
        self.assertEqual((self.made[-1].closed, len(self.made)), (1, 2))
        self.place = HERE
        self.clock.advance(AGAIN)
        self.assertEqual((len(self.made), self.made[-1].paths), (3, ["/printers/saturn"]))

    def test_loopback_only(self) -> None:
        """Where nobody else reaches us the library is not even loaded."""
        self.place = None
        self.announcer.startService()
        self.clock.pump([AGAIN] * 3)
        self.assertEqual(self.made, [])
        self.successResultOf(self.announcer.stopService())

    def test_no_socket(self) -> None:
        """A responder that cannot begin is tried again every minute; the daemon goes on, and so does its stop."""
        self.failing = OSError(98, "Address already in use")
        self.announcer.startService()
        self.clock.pump([0, AGAIN, AGAIN])
        self.assertEqual(self.made, [])
        self.failing = None
        self.clock.advance(AGAIN)
        self.assertEqual(self.made[-1].paths, ["/printers/saturn"])
        self.made[-1].failing = RuntimeError("odd")
        self.fleet.announced(announcement(2, "Mars"), "192.168.1.101")
        self.clock.advance(SOON)
        self.assertEqual(self.made[-1].closed, 1)
        self.clock.advance(AGAIN)
        self.assertEqual(len(self.made[-1].paths), 2)
        self.successResultOf(self.announcer.stopService())

    def test_where_fails(self) -> None:
        """Even a look at the machine's addresses that fails is only a line of the log."""

        def broken() -> Place | None:
            raise OSError("no interfaces")

        self.announcer._where = broken
        self.announcer.startService()
        self.clock.pump([0, AGAIN])
        self.successResultOf(self.announcer.stopService())

    def test_stop_in_between(self) -> None:
        """A stop waits for the word that is being said, and nothing is said after goodbye."""
        held: list[tuple[Deferred[Any], Callable[..., Any], tuple[object, ...]]] = []

        def offload(function: Callable[..., Any], *args: object) -> Deferred[Any]:
            done: Deferred[Any] = Deferred()
            held.append((done, function, args))
            return done

        self.announcer._offload = offload
        self.announcer.startService()
        self.clock.advance(0)
        stopped = self.announcer.stopService()
        self.assertNoResult(stopped)
        while held:
            done, function, args = held.pop(0)
            execute(function, *args).chainDeferred(done)
        self.successResultOf(stopped)
        self.assertEqual((len(self.made), self.made[-1].closed, len(self.made[-1].told)), (1, 1, 1))
        self.clock.pump([AGAIN] * 2)
        self.assertEqual(len(self.made), 1)


def in_thread(call: Callable[[], None]) -> None:
    """Make the call in a thread of its own; raises what it raises."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(call).result()


class NetworkTests(SynchronousTestCase):
    """The real library, on this machine's own loopback; in a thread, as in the daemon.

    In a thread whose asyncio loop runs, Playwright's for one, the library would take that loop for its own.
    """

    def test_round_trip(self) -> None:
        """A browser finds each printer with path and port, sees a new name, and hears the goodbye."""
        in_thread(self.round_trip)

    def test_ended(self) -> None:
        """A library that has ended is an error for the one who speaks, and leaves nothing half said behind."""
        for _ in range(3):  # what other tests have left, and what that has left in turn, is not told as ours
            gc.collect()
        self.flushWarnings()
        in_thread(self.ended)

    def round_trip(self) -> None:
        from zeroconf import ServiceBrowser, ServiceListener, Zeroconf

        place = Place(47_011, ("127.0.0.1",))
        name = f"Saturn \u00fc.{id(self):x}"
        news: Queue[tuple[str, str]] = Queue()

        class Listener(ServiceListener):
            def add_service(self, zc: Zeroconf, type_: str, name: str) -> None:
                news.put(("add", name))

            def update_service(self, zc: Zeroconf, type_: str, name: str) -> None:
                news.put(("update", name))

            def remove_service(self, zc: Zeroconf, type_: str, name: str) -> None:
                news.put(("remove", name))

        def heard(*wanted: tuple[str, str]) -> None:
            """Wait until all of this was heard; others may be announced here, too."""
            left = set(wanted)
            while left:
                left.discard(news.get(timeout=PATIENCE))

        ours = Zeroconfig(["127.0.0.1"])
        self.addCleanup(ours.close)
        text = {"path": "/printers/saturn", "uuid": "u", "version": "1.11.8", "api": "0.1", "model": "ELEGOO Saturn"}
        sla = {"path": "/printers/saturn/sl1", "model": "SL1"}
        ours.tell({"a": Record(name, place, text), "b": Record(f"{name} SL1", place, sla)})
        theirs = Zeroconf(interfaces=["127.0.0.1"])
        self.addCleanup(theirs.close)
        browser = ServiceBrowser(theirs, SERVICE, Listener())
        self.addCleanup(browser.cancel)
        heard(("add", f"{name}.{SERVICE}"), ("add", f"{name} SL1.{SERVICE}"))
        found = theirs.get_service_info(SERVICE, f"{name}.{SERVICE}", PATIENCE * 1000)
        assert found is not None
        self.assertEqual((found.port, found.parsed_addresses()), (47_011, ["127.0.0.1"]))
        self.assertEqual(found.decoded_properties, text)
        found = theirs.get_service_info(SERVICE, f"{name} SL1.{SERVICE}", PATIENCE * 1000)
        assert found is not None
        self.assertEqual(found.decoded_properties, sla)
        ours.tell({"a": Record(f"{name} new", place, text), "b": Record(f"{name} SL1", place, {**sla, "api": "0.1"})})
        heard(("remove", f"{name}.{SERVICE}"), ("add", f"{name} new.{SERVICE}"), ("update", f"{name} SL1.{SERVICE}"))
        ours.close()
        heard(("remove", f"{name} new.{SERVICE}"), ("remove", f"{name} SL1.{SERVICE}"))

    def ended(self) -> None:
        ours = Zeroconfig(["127.0.0.1"])
        ours.close()
        record = Record(f"late {id(self):x}", Place(47_011, ("127.0.0.1",)), {"path": "/printers/late"})
        self.assertRaises(RuntimeError, ours.tell, {"a": record})
        gc.collect()
        self.assertEqual(self.flushWarnings(), [])
