"""Where PrusaLink's tree stands: at a printer's own path, and at two twins of it for clients that look who answers.

One decision: PrusaSlicer decides by the first words of ``api/version`` whom it talks to, and its resin profile talks to
"Prusa SLA" alone. So each answer has a place of its own, and beside it stands what such clients ask of OctoPrint's
tree; no setting and no guess decides who somebody is (reference apis.md 2.1, 3.2).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from sdcpd.web.errors import Form
from sdcpd.web.mount import Mount
from sdcpd.web.octoprint.host import Flavour
from sdcpd.web.routes import Route

__all__ = ["mounted"]

_OWN = "/api/v1"
_SHARED = re.compile(rb"/api/(?:(?:v1|files)(?:/|\Z)|(?:version|printer|job)\Z)")
"""What the twins have: this tree, and of OctoPrint's what tells who answers, the printer, its job and its files."""


def mounted(mount: Mount, form: Form, routes: Iterable[Route]) -> tuple[Route, ...]:
    """The dialect's ``routes``, relative to a printer, as they stand in the whole tree; the twins beside them."""
    for flavour in Flavour:
        if flavour is not Flavour.OCTOPRINT:
            mount.twin(flavour.value, form, _SHARED)
    return mount.put(form, routes, owns=(_OWN,))
