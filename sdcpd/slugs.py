"""How a printer is called in addresses: its slug.

One decision: a slug is made from the printer's own name while that is free, else with digits of its MainboardID, which
nobody shares; so it can be found without trying one number after another, however many printers have one name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count

from sdcpd.codec.sdcp import Announcement

__all__ = ["slugs_for"]


def slugs_for(announcement: Announcement) -> Iterator[str]:
    """Slugs that would do, the nicest first: ``[a-z0-9][a-z0-9-]*``, 32 characters at most but for the last resort."""
    name = announcement.name or announcement.machine_name
    base = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:24].strip("-") or "printer"
    own = re.sub(r"[^a-z0-9]", "", announcement.mainboard_id.lower())
    yield base
    yield f"{base}-{own[-6:]}".strip("-")
    yield f"printer-{own}".strip("-")
    for number in count(2):
        yield f"printer-{own}-{number}"
