"""``GET /metrics``: what the daemon counts, as Prometheus reads it.

One decision: nothing is counted here. Each source keeps its own numbers and is asked when somebody looks, so a metric
can neither disagree with its source nor cost anything while nobody asks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from sdcpd.fleet import Fleet
from sdcpd.web.answer import Answer
from sdcpd.web.doors import Door
from sdcpd.web.routes import Call, Route

if TYPE_CHECKING:
    from sdcpd.web.families import Families

__all__ = ["MetricsApi"]

_CONTENT = "text/plain; version=1.0.0; charset=utf-8"


class MetricsApi:
    """Asks everybody who counts. ``router`` gives the router's counters by name, ``doors`` the open doors by name."""

    def __init__(
        self,
        version: str,
        fleet: Fleet,
        router: Callable[[], Mapping[str, int]],
        doors: Callable[[], Mapping[str, Door]],
    ) -> None:
        self._sources = (version, fleet, router, doors)
        self.routes = (Route("GET", "/metrics", "view", self.metrics, content="text/plain"),)

    @cached_property
    def _families(self) -> Families:
        from sdcpd.web.families import Families  # the first who looks pays for prometheus-client

        return Families(*self._sources)

    def metrics(self, call: Call) -> Answer:
        """The daemon's counters, in Prometheus' text format."""
        return Answer(200, self._families.text(), _CONTENT)
