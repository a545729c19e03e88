"""What the daemon itself says over MQTT: each printer's state, retained, and what happens.

One decision: it waits for news of the fleet as a long poll does, and says the same document, so both ways tell the
same at the same pace: state latest-wins, at most twice a second per printer (edges at once), happenings each.
"""

from __future__ import annotations

import msgspec
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred

from sdcpd.broker.router import Router
from sdcpd.documents import Documents
from sdcpd.fleet import EVERYONE, Event, Fleet, Printer
from sdcpd.logs import logger

__all__ = ["States"]

_log = logger("sdcpd.broker.states")


class States(Service):
    """Publishes ``sdcpd/<slug>/state`` and ``sdcpd/<slug>/event`` while it runs."""

    def __init__(self, router: Router, fleet: Fleet, documents: Documents) -> None:
        self._router = router
        self._fleet = fleet
        self._documents = documents
        self._told = 0
        self._happened = fleet.version
        """Happenings up to here are old: others may have said them, to sessions that were kept."""
        self._slugs: dict[str, str] = {}
        self._telling: Deferred[None] | None = None

    def startService(self) -> None:
        """Say every state, then what is new."""
        super().startService()
        self._told = 0
        self._slugs = {}
        known = {f"sdcpd/{printer.slug}/state" for printer in self._fleet}
        for topic, _ in self._router.retained("sdcpd/+/state"):
            if topic not in known:  # renamed while nobody looked
                self._clear(topic)
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
            try:
                self._tell()
            except Exception:
                _log.failure("The printers' states could not be published")
            await self._fleet.changed(self._told, None)

    def _tell(self) -> None:
        since, self._told = self._told, self._fleet.version
        printers = self._fleet.since(since)
        events, self._happened = self._fleet.happenings(self._happened), self._told
        self._clear_renamed(printers)
        for printer in printers:
            document = msgspec.json.encode(self._documents.printer(printer))
            self._router.publish(f"sdcpd/{printer.slug}/state", document, 1, retain=True)
        for event in events:
            if event.printer == EVERYONE:
                continue  # files are no business of MQTT
            self._router.publish(f"sdcpd/{event.printer}/event", _event(event), 1)

    def _clear_renamed(self, printers: list[Printer]) -> None:
        """Take back the state under a slug that a printer gave up, unless another one has taken that slug."""
        left = [before for printer in printers if (before := self._slugs.get(printer.id, printer.slug)) != printer.slug]
        self._slugs.update({printer.id: printer.slug for printer in printers})
        if left:
            taken = {printer.slug for printer in self._fleet}
            for slug in left:
                if slug not in taken:
                    self._clear(f"sdcpd/{slug}/state")

    def _clear(self, topic: str) -> None:
        self._router.publish(topic, b"", 1, retain=True)


def _event(event: Event) -> bytes:
    return msgspec.json.encode(
        {"seq": event.seq, "time": event.time, "printer": event.printer, "type": event.type, "data": event.data}
    )
