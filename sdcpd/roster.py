"""The printers that are known for good: those that were connected once.

One decision: only who a printer is, and how it is called here, outlasts a restart; what it was doing is for itself to
say. So it comes back as offline under the same slug, and nothing is written while it merely prints.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from msgspec.structs import replace

from sdcpd.fleet import Printer, Reachability, Remembered
from sdcpd.logs import logger
from sdcpd.spool import write_durably

__all__ = ["Roster"]

_log = logger("sdcpd.roster")


class Roster:
    """Remembers printers in one small file under ``directory``; an observer of the fleet."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "printers.json"
        self._known: dict[str, Remembered] = {}
        if self._path.exists():
            self._read()

    def _read(self) -> None:
        try:
            for known in msgspec.json.decode(self._path.read_bytes(), type=list[Remembered]):
                self._known[known.announcement.mainboard_id] = known
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            aside = self._path.with_name(f"printers.json.damaged-{os.getpid()}")
            self._path.rename(aside)
            _log.error(
                "The list of known printers was damaged ({error}); it is kept as {aside}, and a new one begins",
                error=error,
                aside=str(aside),
            )

    def printers(self) -> list[Remembered]:
        """The remembered printers, in the order in which they were first connected."""
        return list(self._known.values())

    def changed(self, before: Printer | None, after: Printer) -> None:
        """Remember a printer that is or was connected, whenever what is remembered of it changes."""
        if after.id not in self._known and after.reachability is not Reachability.ONLINE:
            return
        # Who owns it at the moment is no part of who it is.
        announcement = replace(after.announcement, sdcp_status=0, local_sdcp_address="")
        known = Remembered(after.slug, announcement, after.address)
        if self._known.get(after.id) == known:
            return
        self._known[after.id] = known
        try:
            self._write()
        except OSError as error:
            _log.error("The list of known printers could not be written: {error}", error=error)

    def _write(self) -> None:
        write_durably(self._path, msgspec.json.format(msgspec.json.encode(list(self._known.values()))))
