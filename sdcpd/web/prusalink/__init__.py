"""PrusaLink's local API v1 over plain HTTP, for PrusaSlicer, Home Assistant and whatever else speaks it.

``PrusaLinkApi`` makes its routes, relative to a printer; everything behind it is asked of the same core as every
dialect.
"""

from __future__ import annotations

from sdcpd.web.prusalink.api import PrusaLinkApi
from sdcpd.web.prusalink.twins import mounted

__all__ = ["PrusaLinkApi", "mounted"]
