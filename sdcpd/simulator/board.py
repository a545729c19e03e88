"""The parts of one printer, for those who work with them.

One decision: the parts know nothing of each other but what they were handed, and nothing of the commands, the person
and the strangers that move them; whoever moves several is handed this value instead of the whole printer.
"""

from __future__ import annotations

from dataclasses import dataclass

from sdcpd.simulator.calling import Caller
from sdcpd.simulator.faults import Faults
from sdcpd.simulator.journal import Journal
from sdcpd.simulator.power import Power
from sdcpd.simulator.printing import PrintMachine
from sdcpd.simulator.settings import Settings
from sdcpd.simulator.simtime import SimTime
from sdcpd.simulator.status import Identity, PrinterStatus
from sdcpd.simulator.storage import Store
from sdcpd.simulator.transfer import TransferMachine

__all__ = ["Board"]


@dataclass(frozen=True)
class Board:
    """What a printer is made of."""

    time: SimTime
    settings: Settings
    identity: Identity
    status: PrinterStatus
    power: Power
    faults: Faults
    journal: Journal
    store: Store
    printing: PrintMachine
    transfer: TransferMachine
    caller: Caller

    @property
    def id(self) -> str:
        """The MainboardID."""
        return self.identity.spec.mainboard_id
