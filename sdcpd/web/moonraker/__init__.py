"""Moonraker's API over plain HTTP, for clients that already exist, as a resin printer can honestly answer it.

``MoonrakerApi`` makes its routes, relative to a printer; everything behind it is asked of the same core as every
dialect.
"""

from __future__ import annotations

from sdcpd.web.moonraker.api import MoonrakerApi
from sdcpd.web.moonraker.form import MOONRAKER

__all__ = ["MOONRAKER", "MoonrakerApi"]
