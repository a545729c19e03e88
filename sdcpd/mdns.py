"""mDNS: each printer is announced in the local network, so that slicers find it and its path by themselves.

One decision: what is told is worked out anew as a whole whenever something may have changed, and handed to a responder
that knows what it has told before; so nothing is forgotten, and a responder that fails is simply made anew. It is
python-zeroconf, in threads of its own: it answers, probes for names and says goodbye, beside Avahi and without root
(docs/design.md). That this fails is a line in the log, and nothing else (reference apis.md 3.2 item 5).
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from itertools import chain, count
from typing import Any, Protocol

from msgspec import Struct
from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from sdcpd.fleet import Fleet
from sdcpd.logs import logger
from sdcpd.offload import Offload
from sdcpd.printer import Printer

__all__ = [
    "AGAIN",
    "SERVICE",
    "SOON",
    "Announcer",
    "Place",
    "Record",
    "Responder",
    "place_of",
    "records_of",
]

SERVICE = "_octoprint._tcp.local."
SLA, MODEL = "/sl1", "SL1"
"""PrusaSlicer's resin profiles look for this model only; the path below the printer's is where it is spoken to."""
SOON = 2.0
"""Seconds after a change in which further ones are waited for."""
AGAIN = 60.0
"""Seconds between two looks at this machine's addresses."""
LONGEST = 63 - len(" SL1") - len("-99")
"""Bytes of a printer's name within one label of DNS, with the number of a name that others have [RFC 6763, 4.1.1]."""
LONGEST_TEXT = 255
"""Bytes of one entry of a TXT record, its name included [RFC 6763, 6.1]."""

_log = logger("sdcpd.mdns")


class Place(Struct, frozen=True):
    """Where the web server can be reached: one port, IPv4 addresses."""

    port: int
    addresses: tuple[str, ...]


class Record(Struct, frozen=True):
    """One service: its name in lists, and its TXT."""

    name: str
    place: Place
    text: Mapping[str, str]


class Responder(Protocol):
    """Whoever speaks mDNS; every call may block for seconds, and raise anything."""

    def tell(self, records: Mapping[str, Record], /) -> None:
        """These are the services from now on, by a key that stays when a name changes."""

    def close(self) -> None:
        """Say goodbye for all of them, and end."""


def place_of(listening: Iterable[tuple[str, str]], own: Sequence[str]) -> Place | None:
    """Where others reach the first plain HTTP port that is not for this machine alone; None if there is none.

    ``listening`` are endpoints with the addresses that they got (``host:port``), ``own`` this machine's addresses.
    """
    for description, address in listening:
        host, _, port = address.rpartition(":")
        if not description.startswith(("tcp:", "tcp6:", "systemd:")) or not port.isdecimal():
            continue
        found = ipaddress.ip_address(host)
        addresses = tuple(own) if found.is_unspecified else (host,)
        if not found.is_loopback and addresses and (found.version == 4 or found.is_unspecified):
            return Place(int(port), addresses)
    return None


def records_of(
    printers: Iterable[Printer], place: Place, describe: Callable[[Printer], Mapping[str, str]], *, sla: bool
) -> dict[str, Record]:
    """The services of these printers: one each, and with ``sla`` a second one for PrusaSlicer's resin profiles.

    ``describe`` gives a printer's TXT but for its path. The names are unique, and stay as they are if they can. What
    printers say of themselves is brought into bounds: one that cannot be told would silence all the others.
    """
    printers = list(printers)
    names = Counter(told for printer in printers for told in _both(_label(printer.name)))
    taken: set[str] = set()
    found: dict[str, Record] = {}
    for printer in printers:
        name, path = _label(printer.name), f"/printers/{printer.slug}"
        if any(names[told] > 1 for told in _both(name)):
            words = chain((printer.slug,), (f"{number} {printer.slug}" for number in count(2)))
            possible = (_label(f"{word} {printer.name}") for word in words)
            name = next(told for told in possible if not _both(told) & (taken | names.keys()))
        taken |= _both(name)
        text = _bounded(describe(printer))
        found[printer.id] = Record(name, place, {"path": path, **text})
        if sla:
            # No uuid, as on the real one: Home Assistant would take this for the printer's only address.
            told = {key: value for key, value in text.items() if key != "uuid"}
            found[printer.id + SLA] = Record(f"{name} {MODEL}", place, {"path": path + SLA, **told, "model": MODEL})
    return found


def _both(name: str) -> set[str]:
    """The name and that of the second service, as they are compared."""
    return {name.casefold(), f"{name} {MODEL}".casefold()}


def _label(name: str) -> str:
    """A name that can be a label: printable, not too long, never empty.

    The library takes a dot for the end of a label, so there is none; and ``_sub`` for a word of its own.
    """
    shown = "".join(c if c.isprintable() else " " for c in name.replace(".", "-")).strip().lstrip("_ ") or "printer"
    return shown.encode()[:LONGEST].decode("utf-8", "ignore").strip()


def _bounded(text: Mapping[str, str]) -> dict[str, str]:
    """The entries of a TXT record, each as long as it may be."""
    rooms = {key: LONGEST_TEXT - len(f"{key}=".encode()) for key in text}
    return {key: value.encode()[: rooms[key]].decode("utf-8", "ignore") for key, value in text.items()}


class Announcer(Service):
    """Announces the printers of the fleet while it runs; ``where`` says where the web server is just now."""

    def __init__(
        self,
        fleet: Fleet,
        where: Callable[[], Place | None],
        describe: Callable[[Printer], Mapping[str, str]],
        respond: Callable[[Sequence[str]], Responder],
        *,
        sla: bool,
        offload: Offload,
        clock: IReactorTime,
    ) -> None:
        self._fleet = fleet
        self._where = where
        self._describe = describe
        self._respond = respond
        self._sla = sla
        self._offload = offload
        self._clock = clock
        self._unsubscribe: Callable[[], None] = lambda: None
        self._next: IDelayedCall | None = None
        self._responder: Responder | None = None
        self._place: Place | None = None
        self._told: dict[str, Record] = {}
        self._working: Deferred[None] = succeed(None)
        self._complaint = ""

    def startService(self) -> None:
        """Begin; the first word goes out a moment later."""
        super().startService()
        self._unsubscribe = self._fleet.subscribe(self._changed)
        self._look_in(0)

    def stopService(self) -> Deferred[None]:
        """Say goodbye; fires when that is done."""
        super().stopService()
        self._unsubscribe()
        if self._next is not None and self._next.active():
            self._next.cancel()
        return self._then(self._close)

    def _changed(self, before: Printer | None, after: Printer) -> None:
        if before is None or (before.name, before.slug) != (after.name, after.slug):
            self._look_in(SOON)

    def _look_in(self, seconds: float) -> None:
        if self._next is not None and self._next.active():
            if self._next.getTime() <= self._clock.seconds() + seconds:
                return
            self._next.cancel()
        self._next = self._clock.callLater(seconds, self._look)

    def _look(self) -> None:
        self._then(self._tell).addCallback(lambda _: self._look_in(AGAIN) if self.running else None)

    def _then(self, work: Callable[[], Coroutine[Any, Any, None]]) -> Deferred[None]:
        """Do one thing after the other; none of them fails."""
        done: Deferred[None] = Deferred()
        before, self._working = self._working, done

        def begin(_: None) -> None:
            Deferred.fromCoroutine(self._guarded(work)).chainDeferred(done)

        before.addCallback(begin)
        return done

    async def _guarded(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await work()
        except Exception as error:  # whatever the network, the library or another responder makes of it
            said = f"{type(error).__name__}: {error}".rstrip(": ")
            if said != self._complaint:
                _log.warn("Printers cannot be announced by mDNS: {error}", error=said)
            self._complaint = said
            responder, self._responder = self._responder, None
            self._place, self._told = None, {}
            if responder is not None:
                await self._offload(responder.close).addErrback(lambda _: None)
        else:
            self._complaint = ""

    async def _tell(self) -> None:
        if not self.running:
            return
        place = self._where()
        if place != self._place:
            await self._close()
        if place is None:
            return
        records = records_of(self._fleet, place, self._describe, sla=self._sla)
        if records == self._told:
            return
        if self._responder is None:
            self._responder = await self._offload(self._respond, place.addresses)
            self._place = place
        await self._offload(self._responder.tell, records)
        if len(records) != len(self._told):
            _log.info("{count} services are announced by mDNS on {where}", count=len(records), where=place.addresses)
        self._told = records

    async def _close(self) -> None:
        responder, self._responder = self._responder, None
        self._place, self._told = None, {}
        if responder is not None:
            await self._offload(responder.close)
