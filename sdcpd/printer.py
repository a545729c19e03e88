"""One printer, as a value: who it is, how much its last word is worth, what it does.

One decision: everything that is known of a printer is in one frozen struct that is replaced whole, and what follows
from it (the identity, the generation, the phase) is asked of the value itself, so it cannot disagree with its parts.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from sdcpd.codec.sdcp import Announcement
from sdcpd.codec.status import Generation, Phase, Status, phase_of
from sdcpd.progress import Job, JobState
from sdcpd.records import Plate, Wear

__all__ = ["Printer", "Reachability", "Run"]


class Reachability(Enum):
    """How much the last word of a printer is worth."""

    ONLINE = "online"
    """Connected, and heard of lately."""
    STALE = "stale"
    """Heard of lately, but its status is not live: no connection, or silence on it."""
    OFFLINE = "offline"
    """Nothing was heard for a while: off, asleep or out of reach."""
    ELSEWHERE = "owned elsewhere"
    """Connected to another program's broker; watched by UDP and left alone."""


class Run(Struct, frozen=True):
    """The print that is on the machine, ours or not. Times are seconds."""

    id: str
    """Its key in the history."""
    started: float
    """Since the epoch."""
    planned_s: float | None = None
    """The file's own print time."""
    ratio: float | None = None
    """What this printer's prints usually take, as a multiple of that; None as long as nobody knows."""
    stalled: bool = False
    """Whether no new layer has come for far too long."""


class Printer(Struct, frozen=True, eq=False):
    """Everything that is known of one printer, at one version."""

    slug: str
    announcement: Announcement
    """The last discovery reply; identity is its ``mainboard_id``."""
    address: str = ""
    """The source address of that reply, which wins over what the reply says."""
    name: str = ""
    """As configured, else as the printer calls itself, else its model."""
    port: int = 0
    """Its own HTTP port; 0 if it has none."""
    reachability: Reachability = Reachability.OFFLINE
    status: Status | None = None
    job: Job | None = None
    plate: Plate = Plate("")
    """What is known of its build plate."""
    run: Run | None = None
    """The print on the machine."""
    wear: Wear = Wear("")
    """What it has done since it is known."""
    message: str | None = None
    """Why the printer cannot be worked with, and what to do about it."""
    version: int = 0

    @property
    def id(self) -> str:
        """The MainboardID."""
        return self.announcement.mainboard_id

    @property
    def generation(self) -> Generation:
        """The protocol that the printer speaks."""
        return self.announcement.generation

    @property
    def phase(self) -> Phase:
        """What the machine does now, or ``OFFLINE`` when nobody can know."""
        if self.status is None or self.reachability is Reachability.OFFLINE:
            return Phase.OFFLINE
        starting = self.job is not None and self.job.state is JobState.STARTING
        return phase_of(self.status, self.generation, starting=starting)
