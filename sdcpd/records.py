"""What outlasts the process, as values: printers, plates, prints, wear and keys; jobs are ``progress.Job``.

One decision: a record is the whole present of one thing, keyed by its own name, so that writing it again is harmless
and whoever keeps records needs no verbs but "this is how it is now".
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from sdcpd.codec.sdcp import Announcement

__all__ = ["Key", "Plate", "PlateState", "PrintRecord", "PrintResult", "Remembered", "Wear"]


class Remembered(Struct, frozen=True):
    """A printer that was connected once: who it is, and how it is called here."""

    slug: str
    announcement: Announcement
    address: str


class PlateState(Enum):
    """Whether something may be on the build plate."""

    UNKNOWN = "unknown"
    """Nobody has said anything, and no print was seen."""
    CLEAR = "clear"
    """A person said so; good for exactly one start."""
    OCCUPIED = "occupied"
    """A print was started or has ended since somebody said that the plate is clear."""
    SUSPECT = "suspect"
    """Something happened that may have left a print behind: a reboot, a start that was never proved."""


class Plate(Struct, frozen=True):
    """The build plate of one printer."""

    printer: str
    """The MainboardID."""
    state: PlateState = PlateState.UNKNOWN
    revision: int = 0
    """Grows by one with each change; a confirmation names the revision that its author saw."""
    by: str | None = None
    """Who said that it is clear."""
    at: float | None = None
    """When that was, in seconds since the epoch."""
    job: str | None = None
    """The job or print that occupies it, if it is known."""
    reason: str | None = None
    """Why it is suspect or how the print came to be known, in a stable word."""
    shown: str | None = None
    """What the printer showed of its last print when somebody said that the plate is clear, or when a start was noted:
    that print is gone."""
    word: str | None = None
    """The last word that came with an Idempotency-Key, as ``wishes.word`` writes it; it outlasts what happens next."""


class PrintResult(Enum):
    """How a print ended."""

    PRINTING = "printing"
    """It has not."""
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"
    LOST = "lost"
    UNVERIFIED = "unverified"


class PrintRecord(Struct, frozen=True):
    """One print in the history: ours, or one that was started at the printer's screen. Times are seconds."""

    id: str
    printer: str
    """The MainboardID."""
    file: str
    """The display name; the printer's own name for a foreign file."""
    started: float
    """Seconds since the epoch, as far as it is known."""
    job: str | None = None
    """The job that it belongs to; None if it was started at the printer."""
    md5: str | None = None
    ended: float | None = None
    result: PrintResult = PrintResult.PRINTING
    reason: str | None = None
    message: str | None = None
    layers: int = 0
    """Layers that were printed."""
    total_layers: int = 0
    planned_s: float | None = None
    """The file's own print time."""
    printed_s: float | None = None
    """Time between the first and the last word of this print, without pauses."""
    exposure_s: float | None = None
    """Seconds for which the lamp was on, by the file's own exposure times, pro rata of the layers."""
    volume_ml: float | None = None
    """Resin used, pro rata of the layers printed; None if the file does not tell."""


class Wear(Struct, frozen=True):
    """What a printer has done since it is known."""

    printer: str
    """The MainboardID."""
    layers: int = 0
    exposure_s: float = 0.0
    prints: int = 0


class Key(Struct, frozen=True):
    """A permission to come in. The key itself is nowhere, only what it is known by."""

    id: str
    name: str
    sha256: str
    """64 lower-case hex digits."""
    scopes: tuple[str, ...]
    printers: tuple[str, ...] = ()
    """MainboardIDs that it is limited to; none is all."""
    created: float = 0.0
    """Seconds since the epoch."""
    revoked: float | None = None
    ha1: str = ""
    """For HTTP Digest, where that was wished: MD5 of name, realm and key, 32 lower-case hex digits. Whoever reads it
    can answer challenges with it."""
