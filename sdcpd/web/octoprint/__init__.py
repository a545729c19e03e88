"""OctoPrint's API over plain HTTP, for clients that already exist, as a resin printer can honestly answer it.

``OctoPrintApi`` makes its routes, relative to a printer; everything behind it is asked of the same core as every
dialect.
"""

from __future__ import annotations

from sdcpd.web.octoprint.api import OctoPrintApi
from sdcpd.web.octoprint.form import OCTOPRINT

__all__ = ["OCTOPRINT", "OctoPrintApi"]
