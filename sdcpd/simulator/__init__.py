"""A simulated SDCP printer, written from the protocol reference and sharing no code with the daemon.

One decision: the names that a test needs are here, everything else is found in its own module.
"""

from __future__ import annotations

from sdcpd.simulator.farm import Farm, FarmReactor
from sdcpd.simulator.faults import FAULTS
from sdcpd.simulator.printer import Printer
from sdcpd.simulator.profiles import PROFILES, Profile, profile
from sdcpd.simulator.settings import PrinterSpec, Settings, plan
from sdcpd.simulator.slicing import write_goo

__all__ = [
    "FAULTS",
    "PROFILES",
    "Farm",
    "FarmReactor",
    "Printer",
    "PrinterSpec",
    "Profile",
    "Settings",
    "plan",
    "profile",
    "write_goo",
]
