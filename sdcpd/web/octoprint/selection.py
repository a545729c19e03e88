"""The selected file: OctoPrint has one for each printer, and ``start`` prints it.

One decision: it is only a name, and only remembered. What the printer prints is the selection as long as it prints and
afterwards, as with the real server; a file that is gone is no selection, and nothing is selected again by itself after
a restart of the daemon, so nothing old can be started by mistake.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sdcpd.codec.status import RUNNING, Phase
from sdcpd.dialects import WORDS, Condition, condition_of
from sdcpd.files import FileStore, StoredFile
from sdcpd.fleet import Fleet, Printer
from sdcpd.loaded import loaded

__all__ = ["Observer", "Selection", "is_at_work", "is_off"]

Observer = Callable[[str, StoredFile | None], object]
"""Called with the printer's MainboardID and what is selected now, whenever that has become another file."""

_ACTIVE = RUNNING | {Phase.TRANSFER, Phase.ATTENTION}


def is_off(printer: Printer) -> bool:
    """Whether nothing can be asked of the printer now."""
    return "operational" not in WORDS[condition_of(printer)].flags


def is_at_work(printer: Printer) -> bool:
    """Whether the printer has a file in hand, so that no other one can be selected."""
    condition = condition_of(printer)
    return condition is Condition.TRANSFER or bool(WORDS[condition].flags & {"printing", "paused"})


class Selection:
    """What is selected, for each printer."""

    def __init__(self, fleet: Fleet, store: FileStore) -> None:
        self._store = store
        self._names: dict[str, str] = {}
        self._observers: list[Observer] = []
        fleet.subscribe(self._changed)
        store.subscribe(self._replaced)

    def subscribe(self, observer: Observer) -> None:
        """Call ``observer`` whenever another file is selected, or none any more."""
        self._observers.append(observer)

    def of(self, printer: Printer) -> StoredFile | None:
        """The selected file; None if nothing is, or the printer prints something that is not stored here."""
        if printer.phase in _ACTIVE:
            return loaded(printer, self._store).stored
        name = self._names.get(printer.id)
        return self._store.find(name) if name else None

    def select(self, printer: Printer, file: StoredFile) -> None:
        """Select a stored file. Whether the printer is free for another one is the caller's question."""
        if self._names.get(printer.id) != file.name:
            self._names[printer.id] = file.name
            self._tell(printer.id, file)

    def unselect(self, printer: Printer) -> None:
        """Select nothing."""
        if self._names.pop(printer.id, None) is not None:
            self._tell(printer.id, None)

    def _changed(self, before: Printer | None, after: Printer) -> None:
        if after.phase not in _ACTIVE:
            return
        file = loaded(after, self._store).stored
        if file is not None:
            self.select(after, file)
        else:
            self.unselect(after)

    def _replaced(self, before: Mapping[str, StoredFile], after: Mapping[str, StoredFile]) -> None:
        for printer, name in list(self._names.items()):
            if name not in after:
                del self._names[printer]
                self._tell(printer, None)

    def _tell(self, printer: str, file: StoredFile | None) -> None:
        for observer in self._observers:
            observer(printer, file)
