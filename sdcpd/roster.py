"""The printers that are known for good: those that were connected once.

One decision: only who a printer is, and how it is called here, outlasts a restart; what it was doing is for itself to
say. So it comes back as offline under the same slug, and nothing is written while it merely prints.
"""

from __future__ import annotations

from typing import Protocol

from msgspec.structs import replace
from twisted.internet.defer import Deferred

from sdcpd.errors import StoreError
from sdcpd.fleet import Printer, Reachability
from sdcpd.records import Remembered

__all__ = ["Roster", "RosterRecords"]


class RosterRecords(Protocol):
    """Who keeps printers over a restart."""

    def printers(self) -> list[Remembered]:
        """All remembered printers."""
        ...

    def write(self, known: Remembered, /) -> Deferred[None]:
        """Remember the printer as it is now; what is the same already is not written. Fails with ``StoreError``."""
        ...


class Roster:
    """Remembers printers; an observer of the fleet."""

    def __init__(self, journal: RosterRecords) -> None:
        self._journal = journal
        self._known = {known.announcement.mainboard_id for known in journal.printers()}

    def changed(self, before: Printer | None, after: Printer) -> None:
        """Remember a printer that is or was connected, whenever what is remembered of it changes."""
        if after.id not in self._known and after.reachability is not Reachability.ONLINE:
            return
        self._known.add(after.id)
        if before is not None and (before.slug, before.announcement, before.address, before.reachability) == (
            after.slug,
            after.announcement,
            after.address,
            after.reachability,
        ):
            return
        # Who owns it at the moment is no part of who it is.
        announcement = replace(after.announcement, sdcp_status=0, local_sdcp_address="")
        writing = self._journal.write(Remembered(after.slug, announcement, after.address))
        writing.addErrback(lambda failure: failure.trap(StoreError) and None)  # the journal says and mends it
