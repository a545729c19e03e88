"""What is told of a printer where nobody has asked it yet: the TXT of its mDNS record, but for the path.

One decision: it is made of the very values that the printer's tree answers later, so a client that compares the two, as
Home Assistant does with the uuid, finds them the same (reference apis.md 2.1d, 2.8, 3.2).
"""

from __future__ import annotations

from collections.abc import Mapping

from sdcpd.printer import Printer
from sdcpd.web.octoprint.host import API, OCTOPRINT_VERSION
from sdcpd.web.octoprint.profiles import profile_name
from sdcpd.web.octoprint.settings import uuid_of

__all__ = ["announced"]


def announced(printer: Printer) -> Mapping[str, str]:
    """Who it is and what it speaks."""
    told = {"uuid": uuid_of(printer), "version": OCTOPRINT_VERSION, "api": API}
    return {**told, "model": profile_name(printer)}
