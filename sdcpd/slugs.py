"""How printers are called: by people by a name, in addresses by a slug.

One decision: the configuration has the first word. Where it says nothing, a slug is made from the printer's own name
while that is free, else with digits of its MainboardID, which nobody shares; so it can be found without trying one
number after another, however many printers have one name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import count

from msgspec import Struct

from sdcpd.codec.sdcp import Announcement

__all__ = ["Beforehand", "Called"]


class Beforehand(Struct, frozen=True):
    """What the configuration knows of a printer before it was ever seen (``[printers.<slug>]``)."""

    slug: str
    mainboard_id: str
    name: str | None = None
    port: int = 0


class Called:
    """How each printer is called, by MainboardID; a slug that was given stays until the configuration has it."""

    def __init__(self) -> None:
        self._beforehand: dict[str, Beforehand] = {}
        self._configured: set[str] = set()
        self._places: dict[str, int] = {}
        self._ids: dict[str, str] = {}
        self._slugs: dict[str, str] = {}

    def configure(self, beforehand: Iterable[Beforehand]) -> None:
        """Another ``[printers]`` section: who is or was in it, or has a slug that is in it now, is called anew."""
        before, self._beforehand = self._beforehand, {known.mainboard_id: known for known in beforehand}
        self._places = {mainboard_id: place for place, mainboard_id in enumerate(self._beforehand)}
        self._configured = {known.slug for known in self._beforehand.values()}
        anew = before.keys() | self._beforehand.keys()
        kept = {own: slug for own, slug in self._slugs.items() if own not in anew and slug not in self._configured}
        self._slugs, self._ids = kept, {slug: own for own, slug in kept.items()}

    @property
    def beforehand(self) -> Mapping[str, Beforehand]:
        """What the configuration knows, by MainboardID, in its order."""
        return self._beforehand

    def place(self, mainboard_id: str) -> int:
        """Where in the configuration's order a printer comes; the others come behind all of it."""
        return self._places.get(mainboard_id, len(self._places))

    def by_slug(self, slug: str) -> str | None:
        """The MainboardID of the printer with this slug."""
        return self._ids.get(slug)

    def take(self, slug: str, mainboard_id: str) -> None:
        """A printer has this slug."""
        self._slugs[mainboard_id] = slug
        self._ids[slug] = mainboard_id

    def slug(self, announcement: Announcement) -> str:
        """The printer's slug; made and taken now if it has none."""
        own = announcement.mainboard_id
        if own not in self._slugs:
            known = self._beforehand.get(own)
            free = (s for s in _slugs_for(announcement) if s not in self._ids and s not in self._configured)
            self.take(known.slug if known is not None else next(free), own)
        return self._slugs[own]

    def name(self, announcement: Announcement) -> str:
        """As configured, else as the printer calls itself, else its model, else its MainboardID."""
        known = self._beforehand.get(announcement.mainboard_id)
        configured = known.name if known is not None else None
        return configured or announcement.name or announcement.machine_name or announcement.mainboard_id

    def port(self, mainboard_id: str) -> int:
        """The printer's own HTTP port; 0 if it has none."""
        known = self._beforehand.get(mainboard_id)
        return known.port if known is not None else 0


def _slugs_for(announcement: Announcement) -> Iterator[str]:
    """Slugs that would do, the nicest first: ``[a-z0-9][a-z0-9-]*``, 32 characters at most but for the last resort."""
    name = announcement.name or announcement.machine_name
    base = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:24].strip("-") or "printer"
    own = re.sub(r"[^a-z0-9]", "", announcement.mainboard_id.lower())
    yield base
    yield f"{base}-{own[-6:]}".strip("-")
    yield f"printer-{own}".strip("-")
    for number in count(2):
        yield f"printer-{own}-{number}"
