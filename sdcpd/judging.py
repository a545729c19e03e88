"""What a file must suit, asked of its head while it arrives, and of its whole content before anything is done with it.

One decision: there is one gate for all ways. An upload passes it piece by piece, a print and a place in a queue pass it
whole; so a file is refused for the same reason in the same words, whoever brings it.
"""

from __future__ import annotations

from collections.abc import Iterable

from sdcpd.codec.sliced import SlicedFile
from sdcpd.errors import Truncated, WrongFile
from sdcpd.index import FileIndex
from sdcpd.preflight import Target, suits
from sdcpd.printer import Printer

__all__ = ["Gate", "target_of"]


class Gate:
    """What a file must suit: one printer, or none in particular; ``known`` are those that the asker may know of."""

    def __init__(self, known: Iterable[Printer], printer: Printer | None) -> None:
        self.warnings: tuple[str, ...] = ()
        self._known = tuple(known)
        self._target = None if printer is None else target_of(printer)

    def head(self, sliced: SlicedFile, height: float | None = None) -> None:
        """Judge what the head tells. Raises ``WrongFile``."""
        self.warnings = suits(sliced, self._target, map(target_of, self._known), height)

    def whole(self, index: FileIndex) -> None:
        """Judge a file that is here to its end. Raises ``WrongFile``, also for one that is cut off or damaged."""
        if index.problem:
            code = "truncated" if index.problem_code == Truncated.code else index.problem_code
            raise WrongFile(
                f"The file cannot be printed: {index.problem}.",
                code,
                hint="Export it again, check the room on that disk, and send it again.",
            )
        if index.sliced is not None:
            self.head(index.sliced, index.height)


def target_of(printer: Printer) -> Target:
    """A printer, as far as files matter."""
    announcement = printer.announcement
    model = announcement.machine_name or announcement.name
    return Target(printer.slug, printer.name, model, announcement.resolution)
