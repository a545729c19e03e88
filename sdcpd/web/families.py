"""The daemon's numbers as Prometheus' families of metrics.

One decision: this module alone imports prometheus-client, and is itself imported when somebody looks for the first
time: most daemons are never asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sdcpd.codec.status import Phase
from sdcpd.fleet import Fleet, Reachability
from sdcpd.web.doors import Door

__all__ = ["Families"]

_COUNTERS = {
    "received": "Messages that clients, printers and the daemon published, those that a rule dropped left out.",
    "delivered": "Copies of messages handed to sessions and to the daemon itself.",
    "refused": "Messages that a rule dropped.",
    "dropped": "Copies lost because too much waited for their reader.",
    "not_retained": "Messages that were delivered and not retained for want of room.",
    "taken_over": "Connections that ended because the same client connected again.",
    "expired": "Stored sessions that ended: their clients stayed away, too many others did, or too much waited.",
}
_GAUGES = {
    "connected": "Clients and printers with a session and a connection.",
    "stored": "Sessions whose clients are away.",
    "subscriptions": "Subscriptions of all sessions and of the daemon.",
    "retained": "Retained messages.",
    "retained_bytes": "Their size.",
    "waiting_bytes": "Size of all messages that are not yet acknowledged or not yet sent.",
}


class Families(Collector):
    """Asks everybody who counts, each time; see ``MetricsApi``."""

    def __init__(
        self,
        version: str,
        fleet: Fleet,
        router: Callable[[], Mapping[str, int]],
        doors: Callable[[], Mapping[str, Door]],
    ) -> None:
        self._version = version
        self._fleet = fleet
        self._router = router
        self._doors = doors
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        """All metrics, as they are now."""
        up = GaugeMetricFamily("sdcpd_up", "1; the version is in the label.", labels=["version"])
        up.add_metric([self._version], 1)
        yield up
        yield from self._printers()
        counters = self._router()
        for name, help in _COUNTERS.items():
            yield CounterMetricFamily(f"sdcpd_mqtt_{name}", help, counters[name])
        for name, help in _GAUGES.items():
            yield GaugeMetricFamily(f"sdcpd_mqtt_{name}", help, counters[name])
        yield from self._at_doors()

    def _printers(self) -> Iterable[Metric]:
        reachable = Counter(printer.reachability for printer in self._fleet)
        phases = Counter(printer.phase for printer in self._fleet)
        metric = GaugeMetricFamily("sdcpd_printers", "Known printers by reachability.", labels=["reachability"])
        for reachability in Reachability:
            metric.add_metric([reachability.value], reachable[reachability])
        yield metric
        metric = GaugeMetricFamily("sdcpd_printers_in_phase", "Known printers by phase.", labels=["phase"])
        for phase in Phase:
            metric.add_metric([phase.value], phases[phase])
        yield metric

    def _at_doors(self) -> Iterable[Metric]:
        accepted = CounterMetricFamily("sdcpd_mqtt_accepted", "Connections that were accepted.", labels=["door"])
        held = GaugeMetricFamily("sdcpd_mqtt_connections", "Open connections, mute ones included.", labels=["door"])
        queued = GaugeMetricFamily(
            "sdcpd_mqtt_queued_bytes", "Bytes that wait for clients that do not read.", labels=["door"]
        )
        violations = CounterMetricFamily(
            "sdcpd_mqtt_violations", "Connections refused or ended by the server, by why.", labels=["door", "why"]
        )
        for name, door in self._doors().items():
            accepted.add_metric([name], door.accepted)
            held.add_metric([name], door.connections)
            queued.add_metric([name], door.queued_bytes)
            for why, count in door.violations.items():
                violations.add_metric([name, why], count)
        yield from (accepted, held, queued, violations)
