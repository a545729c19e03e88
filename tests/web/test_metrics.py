from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import asdict
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from sdcpd.broker import Violation
from sdcpd.web.doors import Door
from tests.web.rig import MARS, SATURN, Rig, WebCase, printing

DOCUMENT = Path(__file__).parents[2] / "docs" / "operations.md"
_VIOLATIONS = dict.fromkeys(map(str, Violation), 0)


def families(rig: Rig) -> dict[str, Metric]:
    """What Prometheus makes of the answer, by the names that a query uses."""
    reply = rig.get("/metrics")
    assert reply.status == 200
    found = text_string_to_metric_families(reply.body.decode())
    return {metric.name + "_total" * (metric.type == "counter"): metric for metric in found}


def samples(rig: Rig, name: str) -> dict[tuple[str, ...], float]:
    """The values of one metric by its labels' values."""
    return {tuple(sample.labels.values()): sample.value for sample in families(rig)[name].samples}


def documented(first: str) -> Iterator[list[str]]:
    """The rows of the table that begins with this column, without their back-ticks."""
    inside = False
    for line in DOCUMENT.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] == first:
            inside = True
        elif inside and not line.startswith("|"):
            return
        elif inside and not cells[0].startswith("-"):
            yield cells


class MetricsTests(WebCase):
    """What an operator's Prometheus sees."""

    def setUp(self) -> None:
        super().setUp()
        self.rig.doors["printers"] = Door(7, 3, 4096, {**_VIOLATIONS, "keep_alive": 2})

    def test_content(self) -> None:
        """The answer says of itself that it is Prometheus' text."""
        self.assertEqual(self.rig.get("/metrics").headers["content-type"], "text/plain; version=1.0.0; charset=utf-8")

    def test_scope(self) -> None:
        """Who may not look at printers may not look at their numbers."""
        reply = self.rig.get("/metrics", address="203.0.113.5")
        self.assertEqual((reply.status, reply.error["code"]), (403, "forbidden"))

    def test_documented(self) -> None:
        """The manual lists every metric with its kind, and none that does not exist."""
        table = {cells[0].strip("`"): cells[1] for cells in documented("metric")}
        self.assertEqual(table, {name: metric.type for name, metric in families(self.rig).items()})

    def test_causes_documented(self) -> None:
        """The manual explains every reason for which a connection is ended."""
        words = [word for cells in documented("`why`") for word in re.findall("`([a-z_]+)`", cells[0])]
        self.assertEqual(sorted(words), sorted(Violation))

    def test_all_counters(self) -> None:
        """Every number that the MQTT server counts is told, as it is now."""
        rig = self.rig
        rig.router.watch("a", lambda topic, payload: None)
        rig.router.publish("a", b"message", retain=True)
        rig.router.publish("b", b"", 1)
        found = families(rig)
        for name, count in asdict(rig.router.counters).items():
            metric = found.get(f"sdcpd_mqtt_{name}") or found[f"sdcpd_mqtt_{name}_total"]
            self.assertEqual([sample.value for sample in metric.samples], [count], name)
        self.assertEqual(samples(rig, "sdcpd_mqtt_received_total"), {(): 2})
        self.assertEqual(samples(rig, "sdcpd_mqtt_retained"), {(): 1})

    def test_doors(self) -> None:
        """Each open port of the MQTT server has its own numbers; a closed one has none."""
        rig = self.rig
        rig.doors["clients"] = Door(9, 0, 0, _VIOLATIONS)
        self.assertEqual(samples(rig, "sdcpd_mqtt_accepted_total"), {("printers",): 7, ("clients",): 9})
        self.assertEqual(samples(rig, "sdcpd_mqtt_connections"), {("printers",): 3, ("clients",): 0})
        self.assertEqual(samples(rig, "sdcpd_mqtt_queued_bytes"), {("printers",): 4096, ("clients",): 0})
        violations = samples(rig, "sdcpd_mqtt_violations_total")
        self.assertEqual(len(violations), 2 * len(Violation))
        self.assertEqual(
            {labels: count for labels, count in violations.items() if count}, {("printers", "keep_alive"): 2}
        )
        del rig.doors["clients"]
        self.assertEqual(samples(rig, "sdcpd_mqtt_connections"), {("printers",): 3})

    def test_printers(self) -> None:
        """Printers are counted by how reachable they are and by what they do; a state that none is in is 0."""
        rig = self.rig
        rig.announce(SATURN)
        rig.announce(MARS, "Mars", "192.168.1.101")
        rig.connect(SATURN)
        rig.report(printing(3), SATURN)
        by_reachability = samples(rig, "sdcpd_printers")
        self.assertEqual(set(by_reachability), {("online",), ("stale",), ("offline",), ("owned elsewhere",)})
        self.assertEqual(by_reachability["online",], 1)
        self.assertEqual(sum(by_reachability.values()), 2)
        by_phase = samples(rig, "sdcpd_printers_in_phase")
        self.assertEqual((by_phase["PRINTING",], by_phase["PAUSED",]), (1, 0))
        self.assertEqual(sum(by_phase.values()), 2)

    def test_version(self) -> None:
        """The version that runs is a label, so that an upgrade can be seen."""
        self.assertEqual(samples(self.rig, "sdcpd_up"), {("1.2.3",): 1})
