"""The truth about every printer: one frozen value each, replaced whole, with versions instead of a log.

One decision: "what is new?" is a filter over the fleet. A change takes the next version when it is *published*;
changes that follow each other within ``TICK``, of all printers, are published together (latest wins), edges at once:
who watches a hundred printers that print is woken twice a second, not a hundred times. Happenings that must not be
merged away stand beside it in a bounded ring with the same counter, and whoever waits for news hears of both in the
reactor turn that made them (docs/design.md, "Where state lives").
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice

from msgspec import Struct
from msgspec.structs import replace
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from sdcpd.codec.sdcp import Announcement
from sdcpd.codec.status import Status
from sdcpd.errors import PrinterUnknown
from sdcpd.logs import Few, logger
from sdcpd.printer import Printer, Reachability, Run
from sdcpd.progress import Job
from sdcpd.records import Plate, Remembered, Wear
from sdcpd.slugs import Beforehand, Called
from sdcpd.waiters import Waiters

__all__ = ["EVERYONE", "TICK", "Beforehand", "Event", "Fleet", "Printer", "Reachability"]

TICK = 0.5
"""Seconds between two publications, unless an edge is among the changes."""
MOST = 2000
"""Printers at which strangers are no longer taken in: somebody may invent one with each datagram."""
NAMED = 20
"""Printers that a refusal names; it is said as often as somebody asks for a wrong one."""
RING = 5000
"""Happenings that are remembered."""
EVERYONE = ""
"""Stands for no printer in particular, where one of them could stand."""

_log = logger("sdcpd.fleet")


class Event(Struct, frozen=True):
    """Something that happened and must not be merged away. ``time`` is seconds since the epoch."""

    seq: int
    time: float
    printer: str
    """The slug; empty for what concerns all printers, as files do."""
    type: str
    data: Mapping[str, object]


Observer = Callable[[Printer | None, Printer], None]
"""Called with a printer before and after each change, in the turn of the change."""


class Fleet:
    """All printers that were ever seen or configured, by MainboardID; none ever vanishes by itself.

    ``wall`` gives seconds since the epoch, for what people read; the clock times what has to be timed.
    """

    def __init__(
        self,
        clock: IReactorTime,
        wall: Callable[[], float],
        beforehand: Iterable[Beforehand],
        remembered: Iterable[Remembered] = (),
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._called = Called()
        self._printers: dict[str, Printer] = {}
        self._ordered: list[str] | None = None
        self._heard: dict[str, tuple[float, float]] = {}
        self.last_heard = 0.0
        """When any printer was last heard of, in seconds since the epoch; 0 before that."""
        self._published = float("-inf")
        self._late: IDelayedCall | None = None
        self._observers: list[Observer] = []
        self._untold: deque[tuple[Printer | None, Printer]] = deque()
        self._telling = False
        self._touched: set[str] = set()
        self._unpublished: dict[str, bool] = {}
        self._waiters = Waiters(clock)
        self._moves = Few(clock.seconds)
        self.version = 0
        """The newest version; grows by one with each publication and each happening."""
        self.stopped = False
        """Whether the daemon is on its way out: nobody should wait any more."""
        self.events: deque[Event] = deque(maxlen=RING)
        """The last happenings, oldest first."""
        for known in remembered:
            self._called.take(known.slug, known.announcement.mainboard_id)
            printer = Printer(known.slug, known.announcement, known.address, self._called.name(known.announcement))
            self._put(printer)
        self.configure(beforehand)

    # -- reading ---------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Printer]:
        if self._ordered is None:
            self._ordered = [p.id for p in sorted(self._printers.values(), key=self._order)]
        return iter([self._printers[mainboard_id] for mainboard_id in self._ordered])

    def __len__(self) -> int:
        return len(self._printers)

    def _order(self, printer: Printer) -> tuple[int, str, str]:
        return (self._called.place(printer.id), printer.name.casefold(), printer.id)

    def find(self, mainboard_id: str) -> Printer | None:
        """The printer of exactly this MainboardID, or None."""
        return self._printers.get(mainboard_id)

    def __getitem__(self, mainboard_id: str) -> Printer:
        """The printer of exactly this MainboardID; ``PrinterUnknown`` if there is none.

        Whoever has seen a printer asks for it so: what a board calls itself may be another printer's slug.
        """
        if (printer := self._printers.get(mainboard_id)) is None:
            raise self._unknown(mainboard_id)
        return printer

    def slug_of(self, mainboard_id: str) -> str:
        """The slug of the printer of this MainboardID, or the MainboardID where there is none."""
        printer = self.find(mainboard_id)
        return mainboard_id if printer is None else printer.slug

    def identify(self, reference: str) -> str | None:
        """The MainboardID that this slug or MainboardID (in any letter case) stands for, or None."""
        mainboard_id = self._called.by_slug(reference.lower()) or reference
        if mainboard_id in self._printers:
            return mainboard_id
        folded = reference.casefold()
        return next((mainboard_id for mainboard_id in self._printers if mainboard_id.casefold() == folded), None)

    def get(self, reference: str) -> Printer:
        """The printer that a person calls so, by slug or MainboardID in any letter case; else ``PrinterUnknown``."""
        mainboard_id = self.identify(reference)
        if mainboard_id is None:
            raise self._unknown(reference)
        return self._printers[mainboard_id]

    def _unknown(self, reference: str) -> PrinterUnknown:
        known = ", ".join(p.slug for p in islice(self, NAMED)) or "none yet"
        known += ", ..." if len(self) > NAMED else ""
        return PrinterUnknown(
            f"No printer is called {reference!r}.", f"Known printers: {known}. GET /v1/printers lists them."
        )

    def since(self, version: int, wanted: frozenset[str] | None = None) -> list[Printer]:
        """The printers whose last publication is newer than ``version``, in the fleet's order.

        Only those of the ``wanted`` MainboardIDs, if they are given.
        """
        found = self if wanted is None else [self._printers[key] for key in wanted if key in self._printers]
        newer = [printer for printer in found if printer.version > version]
        return newer if wanted is None else sorted(newer, key=self._order)

    def heard(self, mainboard_id: str) -> float | None:
        """When the printer was last heard of, in seconds since the epoch; None if never."""
        heard = self._heard.get(mainboard_id)
        return None if heard is None else heard[1]

    def silence(self, mainboard_id: str) -> float:
        """Seconds since the printer was last heard of, by the monotonic clock; infinite if never."""
        heard = self._heard.get(mainboard_id)
        return float("inf") if heard is None else self._clock.seconds() - heard[0]

    # -- writing ---------------------------------------------------------------------------------------------

    def announced(self, announcement: Announcement, address: str) -> Printer:
        """A discovery reply came from ``address``: a new printer, or news of a known one."""
        old = self._printers.get(announcement.mainboard_id)
        self.hear(announcement.mainboard_id)
        known = replace(announcement, status=None)
        if old is None:
            printer = self._new(known)
            return self._put(replace(printer, address=address))
        name = self._called.name(known)
        if old.announcement == known and old.address == address and old.name == name:
            return old
        if old.address and old.address != address and self._moves.may():
            _log.info("{name} moved from {old} to {new}", name=name, old=old.address, new=address)
        return self._put(replace(old, announcement=known, address=address, name=name))

    def hear(self, mainboard_id: str) -> None:
        """Something came from this printer just now; that alone is no change."""
        self.last_heard = self._wall()
        self._heard[mainboard_id] = (self._clock.seconds(), self.last_heard)

    def change(
        self,
        mainboard_id: str,
        *,
        status: Status | None = None,
        reachability: Reachability | None = None,
    ) -> Printer:
        """Replace the status or the reachability of a known printer, if they differ."""
        old = self._printers[mainboard_id]
        new_status = old.status if status is None else status
        new_reachability = old.reachability if reachability is None else reachability
        if new_status == old.status and new_reachability is old.reachability:
            return old
        return self._put(replace(old, status=new_status, reachability=new_reachability))

    def explain(self, mainboard_id: str, message: str | None) -> None:
        """Say why a printer cannot be worked with, or take that back with None."""
        old = self._printers[mainboard_id]
        if old.message != message:
            self._put(replace(old, message=message))

    def assign(self, mainboard_id: str, job: Job | None) -> None:
        """Replace the job on a printer."""
        old = self._printers[mainboard_id]
        if old.job != job:
            self._put(replace(old, job=job))

    def lay(self, mainboard_id: str, plate: Plate) -> None:
        """Replace what is known of a printer's build plate."""
        old = self._printers[mainboard_id]
        if old.plate != plate:
            self._put(replace(old, plate=plate))

    def run(self, mainboard_id: str, run: Run | None) -> None:
        """Replace what is known of the print on a printer."""
        old = self._printers[mainboard_id]
        if old.run != run:
            self._put(replace(old, run=run))

    def worn(self, mainboard_id: str, wear: Wear) -> None:
        """Replace what a printer has done since it is known."""
        self._put(replace(self._printers[mainboard_id], wear=wear))

    def configure(self, beforehand: Iterable[Beforehand]) -> None:
        """Take over another ``[printers]`` section: names and slugs follow, nothing known is lost."""
        self._called.configure(beforehand)
        self._ordered = None
        for printer in list(self._printers.values()):
            slug = self._called.slug(printer.announcement)
            name, port = self._called.name(printer.announcement), self._called.port(printer.id)
            if (slug, name, port) != (printer.slug, printer.name, printer.port):
                self._put(replace(self._printers[printer.id], slug=slug, name=name, port=port))
        for mainboard_id in self._called.beforehand:
            if mainboard_id not in self._printers:
                self._put(self._new(Announcement(mainboard_id)))

    def happened(self, mainboard_id: str, type: str, data: Mapping[str, object]) -> None:
        """Record something that must not be merged away, and tell the waiters at once."""
        if self._unpublished.get(mainboard_id):
            self._schedule(mainboard_id)  # what has happened is seen no later than it is told
        self.version += 1
        slug = self._printers[mainboard_id].slug
        self.events.append(Event(self.version, self._wall(), slug, type, data))
        self._waiters.wake(mainboard_id)

    def noticed(self, type: str, data: Mapping[str, object]) -> None:
        """Record what concerns no printer in particular; who waits for news of everything or of ``EVERYONE`` hears."""
        self.version += 1
        self.events.append(Event(self.version, self._wall(), EVERYONE, type, data))
        self._waiters.wake(EVERYONE)

    def _new(self, announcement: Announcement) -> Printer:
        slug = self._called.slug(announcement)
        _log.info("New printer {slug}: {id}", slug=slug, id=announcement.mainboard_id)
        port = self._called.port(announcement.mainboard_id)
        return Printer(slug=slug, announcement=announcement, name=self._called.name(announcement), port=port)

    def _put(self, new: Printer) -> Printer:
        old = self._printers.get(new.id)
        self._printers[new.id] = new
        if old is None or old.name != new.name:
            self._ordered = None
        edge = (
            old is None
            or old.phase is not new.phase
            or old.reachability is not new.reachability
            or old.plate != new.plate
            or (old.job and old.job.state) is not (new.job and new.job.state)
        )
        self._unpublished[new.id] = edge or self._unpublished.get(new.id, False)
        self._untold.append((old, new))
        self._touched.add(new.id)
        if not self._telling:  # else whoever tells publishes all of it together
            self._tell()
            touched, self._touched = self._touched, set()
            for mainboard_id in touched:
                self._schedule(mainboard_id)
        return self._printers[new.id]

    def _tell(self) -> None:
        """Tell every observer of every change in the order of the changes, those that observers make included."""
        self._telling = True
        while self._untold:
            old, new = self._untold.popleft()
            for observer in list(self._observers):
                try:
                    observer(old, new)
                except Exception:
                    _log.failure("An observer of the fleet failed")
        self._telling = False

    def _schedule(self, mainboard_id: str) -> None:
        if self.stopped or mainboard_id not in self._unpublished:
            return  # or an observer's own change has published this one as well
        due = self._published + TICK - self._clock.seconds()
        if self._unpublished[mainboard_id]:
            self._publish([mainboard_id])
        elif due <= 0:
            self._publish_all()
        elif self._late is None:
            self._late = self._clock.callLater(due, self._publish_all)

    def _publish_all(self) -> None:
        self._publish(list(self._unpublished))

    def _publish(self, mainboard_ids: list[str]) -> None:
        for mainboard_id in mainboard_ids:
            del self._unpublished[mainboard_id]
            self.version += 1
            self._printers[mainboard_id] = replace(self._printers[mainboard_id], version=self.version)
        self._published = self._clock.seconds()
        if not self._unpublished and self._late is not None:
            if self._late.active():
                self._late.cancel()
            self._late = None
        self._waiters.wake(*mainboard_ids)

    # -- waiting ---------------------------------------------------------------------------------------------

    def subscribe(self, observer: Observer) -> Callable[[], None]:
        """Call ``observer`` at each change, published or not; the result ends that."""
        self._observers.append(observer)
        return lambda: self._observers.remove(observer)

    def changed(self, since: int, wanted: frozenset[str] | None) -> Deferred[None]:
        """Fires when there is something newer than ``since`` of the wanted MainboardIDs (None: of any)."""
        if self.version > since and (wanted is None or self.since(since, wanted) or self.happenings(since, wanted)):
            return succeed(None)
        return self._waiters.wait(wanted)

    def happenings(self, since: int, wanted: frozenset[str] | None = None) -> list[Event]:
        """The remembered happenings newer than ``since``, oldest first; only the ``wanted`` printers', if given."""
        found = []
        for event in reversed(self.events):
            if event.seq <= since:
                break
            found.append(event)
        if wanted is not None:
            slugs = {self.slug_of(key) for key in wanted}
            found = [event for event in found if event.printer in slugs]
        return found[::-1]

    @property
    def waiting(self) -> int:
        """How many wait for news."""
        return len(self._waiters)

    def stop(self) -> None:
        """Release everybody who waits, and publish nothing more."""
        if self._late is not None:
            self._late.cancel()
            self._late = None
        self.stopped = True
        self._waiters.wake_all()
