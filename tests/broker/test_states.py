"""What the daemon says of its printers by MQTT."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from sdcpd.broker.states import States
from sdcpd.codec.mqtt import PubAck, Publish
from sdcpd.documents import Documents, PrinterDocument
from sdcpd.fleet import TICK, Beforehand, Printer, Reachability
from sdcpd.plate import Gate
from tests.broker.kit import Client, ServerTestCase
from tests.fakes import HOME, ID, OTHER_ID, announcement, status_json, status_payload
from tests.web.rig import Rig


class BrokenDocuments(Documents):
    """Fails as long as it is told to."""

    broken = False

    def printer(self, printer: Printer) -> PrinterDocument:
        """The document, or a bug."""
        if self.broken:
            raise RuntimeError("a bug of ours")
        return super().printer(printer)


class StatesTests(ServerTestCase):
    """One printer called bench-left, watched by a client from before the start."""

    def setUp(self) -> None:
        super().setUp()
        directory = Path(self.mktemp())
        directory.mkdir(parents=True)
        self.rig = Rig(directory, clock=self.clock)
        self.fleet, self.links = self.rig.fleet, self.rig.links
        self.documents = BrokenDocuments(self.fleet, self.rig.store, self.rig.wall, lambda: Gate.AFTER_PRINT)
        self.states = States(self.router, self.fleet, self.documents)
        self.fleet.announced(announcement(), HOME)
        self.fleet.change(ID, reachability=Reachability.ONLINE)
        self.clock.advance(TICK)
        self.reader = self.subscriber("sdcpd/#", qos=1, client_id="reader")

    def start(self) -> None:
        self.states.startService()
        self.addCleanup(self.stop)

    def stop(self) -> None:
        if self.states.running:
            self.states.stopService()

    def print_layer(self, layer: int, mainboard_id: str = ID) -> None:
        """The printer reports this layer of a print."""
        self.links.overheard(mainboard_id, "status", status_payload(status_json(1, 3, layer=layer, layers=99)))

    def said(self, client: Client | None = None) -> list[tuple[str, Any]]:
        """Topic and document of each message since the last look."""
        found = []
        reader = self.reader if client is None else client
        while packets := reader.take():
            for packet in packets:
                assert isinstance(packet, Publish)
                if packet.qos:
                    reader.say(PubAck(packet.packet_id))
                found.append((packet.topic, msgspec.json.decode(packet.payload) if packet.payload else None))
        return found

    def states_said(self) -> list[tuple[str, Any]]:
        return [(topic, document) for topic, document in self.said() if topic.endswith("/state")]

    def test_retained(self) -> None:
        """The state is there for whoever subscribes later, and is the long poll's document of the printer."""
        self.start()
        self.print_layer(7)
        late = self.client("late")
        late.subscribe("sdcpd/+/state", qos=1)
        ((topic, document),) = self.said(late)
        self.assertEqual(topic, "sdcpd/bench-left/state")
        self.assertEqual(document, self.rig.get("/v1/updates").json["printers"]["bench-left"])
        self.assertEqual((document["layer"], document["phase"], document["mainboard_id"]), (7, "PRINTING", ID))

    def test_before_start(self) -> None:
        """Before the start nothing is said; with it, every printer's state."""
        self.fleet.announced(announcement(OTHER_ID, Name="Right"), "192.0.2.32")
        self.assertEqual(self.said(), [])
        self.start()
        self.assertEqual([topic for topic, _ in self.said()], ["sdcpd/bench-left/state", "sdcpd/right/state"])

    def test_pace(self) -> None:
        """However fast a printer reports, its state comes at most twice a second, and the last word wins."""
        self.start()
        self.print_layer(1)
        self.clock.advance(TICK)
        self.said()
        times = []
        for layer in range(2, 32):
            self.print_layer(layer)
            for _, document in self.states_said():
                times.append((self.clock.seconds(), document["layer"]))
            self.clock.advance(TICK / 10)
        self.clock.advance(TICK)
        times += [(self.clock.seconds(), document["layer"]) for _, document in self.states_said()]
        self.assertEqual(times[-1][1], 31)
        self.assertLessEqual(len(times), 6)
        for (before, _), (after, _) in pairwise(times):
            self.assertGreaterEqual(round(after - before, 3), TICK)

    def test_edge(self) -> None:
        """A print that ends is said at once."""
        self.start()
        self.print_layer(1)
        self.said()
        self.links.overheard(ID, "status", status_payload(status_json(0, 0)))
        self.assertEqual([document["phase"] for _, document in self.states_said()], ["IDLE"])

    def test_only_what_changed(self) -> None:
        """A printer that has no news is not said again."""
        self.fleet.announced(announcement(OTHER_ID, Name="Right"), "192.0.2.32")
        self.start()
        self.said()
        self.print_layer(1)
        self.assertEqual([topic for topic, _ in self.states_said()], ["sdcpd/bench-left/state"])
        self.clock.advance(60)
        self.assertEqual(self.said(), [])

    def test_events(self) -> None:
        """Each happening is said, in order, not retained; the document is the long poll's."""
        self.start()
        self.said()
        for number in range(3):
            self.fleet.happened(ID, "test", {"number": number})
        said = self.said()
        self.assertEqual([topic for topic, _ in said], ["sdcpd/bench-left/event"] * 3)
        self.assertEqual([event["data"]["number"] for _, event in said], [0, 1, 2])
        self.assertEqual([event for _, event in said], self.rig.get("/v1/updates?events=recent").json["events"][-3:])
        self.assertEqual(self.router.retained("sdcpd/+/event"), [])

    def test_old_events(self) -> None:
        """What had happened before the service was made is not said as if it were new."""
        self.fleet.happened(ID, "old", {})
        states = States(self.router, self.fleet, self.documents)
        self.fleet.happened(ID, "meanwhile", {})
        states.startService()
        self.addCleanup(states.stopService)
        self.assertEqual([d["type"] for topic, d in self.said() if topic.endswith("/event")], ["meanwhile"])

    def test_renamed(self) -> None:
        """A printer that gets another slug leaves no state behind under the old one."""
        self.start()
        self.said()
        self.fleet.configure([Beforehand("cellar", ID)])
        self.clock.advance(TICK)
        self.assertEqual([(t, d and d["id"]) for t, d in self.said()], [
            ("sdcpd/bench-left/state", None),
            ("sdcpd/cellar/state", "cellar"),
        ])  # fmt: skip
        self.assertEqual(self.topics(), ["sdcpd/cellar/state"])

    def topics(self) -> list[str]:
        return sorted(topic for topic, _ in self.router.retained("sdcpd/#"))

    def test_swapped(self) -> None:
        """Two printers that swap their slugs each have their own state afterwards."""
        self.fleet.announced(announcement(OTHER_ID, Name="Right"), "192.0.2.32")
        for early in (ID, OTHER_ID):
            self.fleet.configure([Beforehand("a", ID), Beforehand("b", OTHER_ID)])
            self.start()
            self.clock.advance(TICK)
            self.fleet.configure([Beforehand("b", ID), Beforehand("a", OTHER_ID)])
            self.fleet.happened(early, "test", {})
            self.clock.advance(TICK)
            self.assertEqual(self.topics(), ["sdcpd/a/state", "sdcpd/b/state"])
            found = {t: msgspec.json.decode(p)["mainboard_id"] for t, p in self.router.retained("sdcpd/#")}
            self.assertEqual(found, {"sdcpd/a/state": OTHER_ID, "sdcpd/b/state": ID})
            self.states.stopService()

    def test_stop(self) -> None:
        """A stopped service says nothing; the retained states stay."""
        self.start()
        self.said()
        self.states.stopService()
        self.print_layer(3)
        self.fleet.happened(ID, "test", {})
        self.assertEqual(self.said(), [])
        self.assertEqual(self.topics(), ["sdcpd/bench-left/state"])
        self.assertEqual(self.fleet.waiting, 0)

    def test_restart(self) -> None:
        """Started again, it says every state as it is now, and forgets slugs that were given up meanwhile."""
        self.start()
        self.states.stopService()
        self.fleet.configure([Beforehand("cellar", ID)])
        self.clock.advance(TICK)
        self.said()
        self.start()
        self.assertEqual(
            [(topic, d and d["id"]) for topic, d in self.said()],
            [("sdcpd/bench-left/state", None), ("sdcpd/cellar/state", "cellar")],
        )
        self.states.stopService()
        states = States(self.router, self.fleet, self.documents)
        self.fleet.configure([Beforehand("attic", ID)])
        states.startService()
        self.addCleanup(states.stopService)
        self.clock.advance(TICK)
        self.assertEqual(self.topics(), ["sdcpd/attic/state"])

    def test_fleet_stops(self) -> None:
        """When the daemon ends, nothing more is said."""
        self.start()
        self.said()
        self.fleet.stop()
        self.print_layer(3)
        self.fleet.happened(ID, "test", {})
        self.clock.advance(60)
        self.assertEqual(self.said(), [])
        self.states.stopService()

    def test_bug(self) -> None:
        """A document that cannot be made is one line in the log; the next news is said again."""
        self.start()
        self.said()
        self.documents.broken = True
        self.print_layer(1)
        self.clock.advance(TICK)
        self.assertEqual((self.said(), self.failures()), ([], 1))
        self.documents.broken = False
        self.print_layer(2)
        self.clock.advance(TICK)
        self.assertEqual([document["layer"] for _, document in self.said()], [2])

    def test_slow_client(self) -> None:
        """A client that reads slowly keeps nobody else waiting."""
        slow = self.subscriber("sdcpd/#", client_id="slow")
        slow.protocol.pauseProducing()
        self.start()
        for layer in range(20):
            self.print_layer(layer)
            self.clock.advance(TICK)
        self.assertEqual(self.said()[-1][1]["layer"], 19)
        self.assertFalse(slow.over)
