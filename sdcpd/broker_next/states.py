"""What the daemon itself says over MQTT: each printer's state, retained, and what happens.

One decision: it waits for news of the fleet as a long poll does, and says the same document, so both ways tell the
same at the same pace: state latest-wins, at most twice a second per printer, happenings each.
"""

from __future__ import annotations

import msgspec
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred

from sdcpd.broker_next.router import Router
from sdcpd.documents import Documents
from sdcpd.fleet import Event, Fleet

__all__ = ["States"]


class States(Service):
    """Publishes ``sdcpd/<slug>/state`` and ``sdcpd/<slug>/event`` while it runs."""

    def __init__(self, router: Router, fleet: Fleet, documents: Documents) -> None:
        self._router = router
        self._fleet = fleet
        self._documents = documents
        self._told = 0
        self._slugs: dict[str, str] = {}
        self._telling: Deferred[None] | None = None

    def startService(self) -> None:
        """Say everything, then what is new."""
        super().startService()
        self._telling = Deferred.fromCoroutine(self._tell_all())

    def stopService(self) -> None:
        """Say no more."""
        super().stopService()
        telling, self._telling = self._telling, None
        if telling is not None:
            telling.addErrback(lambda failure: failure.trap(CancelledError) and None)
            telling.cancel()

    async def _tell_all(self) -> None:
        while not self._fleet.stopped:
            since, self._told = self._told, self._fleet.version
            for printer in self._fleet.since(since):
                before = self._slugs.get(printer.id, printer.slug)
                if before != printer.slug:
                    self._router.publish(f"sdcpd/{before}/state", b"", retain=True)
                self._slugs[printer.id] = printer.slug
                document = msgspec.json.encode(self._documents.printer(printer))
                self._router.publish(f"sdcpd/{printer.slug}/state", document, 1, retain=True)
            for event in self._fleet.happenings(since):
                self._router.publish(f"sdcpd/{event.printer}/event", _event(event), 1)
            await self._fleet.changed(self._told, None)


def _event(event: Event) -> bytes:
    return msgspec.json.encode(
        {"seq": event.seq, "time": event.time, "printer": event.printer, "type": event.type, "data": event.data}
    )
