"""What happened, in the names and payloads of OctoPrint's events (reference apis.md 1.4).

One decision: one table leads from our happenings to theirs; what OctoPrint tells and we have no happening for (another
state, another file, a new layer) is the difference between two looks at the printer. Nothing is told that a resin
printer does not do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from sdcpd.codec.status import RUNNING
from sdcpd.dialects import WORDS, Condition, condition_of
from sdcpd.files import StoredFile
from sdcpd.fleet import Event, Printer
from sdcpd.names import base_name
from sdcpd.web.octoprint.connection import PORT
from sdcpd.web.octoprint.state import FileInformation, error_of, state_of

__all__ = ["Happening", "Look", "Told", "changes", "look", "told"]

Told = tuple[str, dict[str, Any]]
"""The name of an event and its payload."""


class Happening(Struct, frozen=True):
    """One happening, with what is known around it."""

    event: Event
    printer: Printer
    find: Callable[[str], StoredFile | None]
    """The stored file of a name."""
    since: Callable[[str], float | None]
    """Seconds since the last happening of this type that the same job or print had, if it is remembered."""

    def text(self, name: str) -> str:
        """A part of the happening as text; empty if it has none."""
        value = self.event.data.get(name)
        return value if isinstance(value, str) else ""

    def file(self, **more: object) -> dict[str, Any]:
        """The payload that names the file of a print."""
        name = self.text("file")
        stored = self.find(name)
        job = self.printer.job
        by = job.by if job is not None and job.id == self.event.data.get("job") else None
        origin = "sdcard" if stored is None else "local"
        size = None if stored is None else stored.size
        return {"name": base_name(name), "path": name, "origin": origin, "size": size, "owner": by, "user": by, **more}

    def transfer(self, **more: object) -> dict[str, Any]:
        """The payload that names a file on its way to the printer."""
        job, name = self.printer.job, self.text("file")
        same = job is not None and job.id == self.event.data.get("job")
        return {"local": name, "remote": job.wire_name if job is not None and same else name, **more}

    def entry(self, name: str) -> dict[str, Any]:
        """The payload that names a file in the store."""
        stored = self.find(name)
        kind = str(stored.format) if stored is not None else name.rpartition(".")[2]
        return {"storage": "local", "path": name, "name": base_name(name), "type": ["machinecode", kind]}


# -- what happened to the printer ----------------------------------------------------------------------------


def _connected(it: Happening) -> Iterator[Told]:
    yield "Connected", {"port": PORT, "baudrate": None}


def _disconnected(it: Happening) -> Iterator[Told]:
    yield "Disconnected", {}


def _transfer_started(it: Happening) -> Iterator[Told]:
    yield "TransferStarted", it.transfer()


def _transfer_done(it: Happening) -> Iterator[Told]:
    yield "TransferDone", it.transfer(time=it.since("transfer_started") or 0.0)


def _plain(name: str) -> Callable[[Happening], Iterator[Told]]:
    def tell(it: Happening) -> Iterator[Told]:
        yield name, it.file()

    return tell


def _done(it: Happening) -> Iterator[Told]:
    yield "PrintDone", it.file(time=_time(it))


def _cancelled(it: Happening) -> Iterator[Told]:
    if _was_on_its_way(it):
        yield "TransferFailed", it.transfer()
        return
    payload = it.file(time=_time(it))
    yield "PrintCancelled", payload
    yield "PrintFailed", {**payload, "reason": "cancelled"}


def _failed(it: Happening) -> Iterator[Told]:
    if _was_on_its_way(it):
        yield "TransferFailed", it.transfer()
    else:
        yield "PrintFailed", it.file(time=_time(it), reason="error", error=it.text("message") or None)


def _time(it: Happening) -> float:
    return it.since("print_started") or 0.0


def _was_on_its_way(it: Happening) -> bool:
    """Whether the job ended before the printer had its file."""
    return it.since("transfer_started") is not None and all(
        it.since(later) is None for later in ("transfer_done", "print_started")
    )


# -- what happened to files ----------------------------------------------------------------------------------

_UPDATED: Told = ("UpdatedFiles", {"type": "printables"})


def _file_added(it: Happening) -> Iterator[Told]:
    name = it.text("file")
    analysed = {"name": base_name(name), "path": name, "origin": "local"}
    yield "FileAdded", it.entry(name)
    yield "MetadataAnalysisStarted", analysed
    yield "MetadataAnalysisFinished", {**analysed, "result": None}
    yield _UPDATED
    yield "Upload", {"name": base_name(name), "path": name, "target": "local"}


def _file_removed(it: Happening) -> Iterator[Told]:
    yield "FileRemoved", it.entry(it.text("file"))
    yield _UPDATED


def _file_moved(it: Happening) -> Iterator[Told]:
    source, to = it.entry(it.text("source")), it.entry(it.text("file"))
    yield "FileRemoved", source
    yield "FileAdded", to
    yield "FileMoved", _moved(source, to, "path", "name", "type")
    yield _UPDATED


def _folder_added(it: Happening) -> Iterator[Told]:
    yield "FolderAdded", _folder(it.text("folder"))
    yield _UPDATED


def _folder_removed(it: Happening) -> Iterator[Told]:
    yield "FolderRemoved", _folder(it.text("folder"))
    yield _UPDATED


def _folder_moved(it: Happening) -> Iterator[Told]:
    source, to = _folder(it.text("source")), _folder(it.text("folder"))
    yield "FolderRemoved", source
    yield "FolderAdded", to
    yield "FolderMoved", _moved(source, to, "path", "name")
    yield _UPDATED


def _folder(path: str) -> dict[str, Any]:
    return {"storage": "local", "path": path, "name": base_name(path)}


def _moved(source: Mapping[str, Any], to: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    ends = (("source", source), ("destination", to))
    return {"storage": "local", **{f"{end}_{key}": entry[key] for end, entry in ends for key in keys}}


_HAPPENINGS: Mapping[str, Callable[[Happening], Iterator[Told]]] = {
    "online": _connected,
    "offline": _disconnected,
    "transfer_started": _transfer_started,
    "transfer_done": _transfer_done,
    "print_started": _plain("PrintStarted"),
    "print_paused": _plain("PrintPaused"),
    "print_resumed": _plain("PrintResumed"),
    "print_finished": _done,
    "print_stopped": _cancelled,
    "print_failed": _failed,
    "print_lost": _failed,
    "print_unverified": _failed,
    "file_added": _file_added,
    "file_changed": _file_added,
    "file_moved": _file_moved,
    "file_removed": _file_removed,
    "folder_added": _folder_added,
    "folder_moved": _folder_moved,
    "folder_removed": _folder_removed,
}
"""The table. What is not in it (the plate, the queue, a stalled print) OctoPrint has no word for."""


def told(it: Happening) -> Iterator[Told]:
    """The events that a happening is."""
    tell = _HAPPENINGS.get(it.event.type)
    return tell(it) if tell is not None else iter(())


# -- what changed between two looks --------------------------------------------------------------------------


class Look(Struct, frozen=True):
    """As much of a printer at one moment as makes events when it changes."""

    condition: Condition
    text: str
    error: tuple[str, str]
    """What is wrong, and where that comes from."""
    file: FileInformation
    layer: int
    """0 while nothing is printed."""
    z: float | None


def look(printer: Printer, file: FileInformation, z: float | None) -> Look:
    """Look at a printer; ``file`` is the selected one, ``z`` the height of the model so far in mm."""
    status = printer.status
    layer = status.print.current_layer if status is not None and printer.phase in RUNNING else 0
    return Look(condition_of(printer), state_of(printer).text, error_of(printer), file, layer, z)


def changes(before: Look, after: Look) -> Iterator[Told]:
    """The events that lead from one look to the next."""
    if before.text != after.text:
        if after.condition is Condition.STARTUP:
            yield "Connecting", {}
        if after.condition is Condition.FAULT:
            yield "Error", {"error": after.error[0], "reason": after.error[1]}
        yield "PrinterStateChanged", {"state_id": WORDS[after.condition].state_id, "state_string": after.text}
        if after.condition is Condition.STOPPING:
            yield "PrintCancelling", _file(after.file)
    if before.file.path != after.file.path:
        if after.file.path is None:
            yield "FileDeselected", {}
        else:
            yield "FileSelected", _file(after.file)
    if after.layer > 0 and before.layer != after.layer:
        yield "ZChange", {"new": after.z, "old": before.z, "layer": after.layer}


def _file(file: FileInformation) -> dict[str, Any]:
    return {"name": file.name, "path": file.path, "origin": file.origin, "size": file.size}
