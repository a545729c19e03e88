"""Where PrusaLink's tree stands: at a printer's own path, and at two twins of it for clients that look who answers.

One decision: PrusaSlicer decides by the first words of ``api/version`` whom it talks to, and its resin profile talks to
"Prusa SLA" alone. So each answer has a place of its own, and beside it stands what such clients ask of OctoPrint's
tree; no setting and no guess decides who somebody is (reference apis.md 2.1, 3.2).
"""

from __future__ import annotations

from collections.abc import Iterable

from sdcpd.web.errors import Form
from sdcpd.web.mount import Mount
from sdcpd.web.octoprint.host import Flavour, VersionEndpoint
from sdcpd.web.routes import Route

__all__ = ["LINK", "SLA", "mounted"]

SLA = "/sl1"
"""For PrusaSlicer's resin profiles."""
LINK = "/prusalink"
"""For Home Assistant's PrusaLink and PrusaSlicer's filament profiles."""
_OWN = "/api/v1"
_FLAVOURS = {SLA: Flavour.SLA, LINK: Flavour.PRUSALINK}


def mounted(
    mount: Mount, form: Form, routes: Iterable[Route], common: Iterable[Route], release: str
) -> tuple[Route, ...]:
    """All places of the dialect's ``routes``, relative to a printer; ``common`` are those of OctoPrint's tree."""
    beside = [route for route in common if _is_beside(route.path)]
    twins = (
        mount.put(form, (*VersionEndpoint(release, flavour).routes, *beside), at=(place,))
        for place, flavour in _FLAVOURS.items()
    )
    here = mount.put(form, routes, owns=(_OWN,), at=("", *_FLAVOURS))
    return (*here, *(route for twin in twins for route in twin))


def _is_beside(path: str) -> bool:
    return path in ("/api/printer", "/api/job") or path.startswith("/api/files")
