"""Stored files and folders in OctoPrint's data model: entries, with absolute addresses (reference apis.md appendix A).

One decision: an entry tells what is known and leaves out the rest, as the real server does. The print time is what the
file says, the prints are those on this printer, and the hash is the MD5 that its documentation promises.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol
from urllib.parse import quote

from msgspec import UNSET, Struct, UnsetType
from twisted.internet.defer import Deferred

from sdcpd.errors import StoreError
from sdcpd.files import FileStore, StoredFile
from sdcpd.fleet import Printer
from sdcpd.journal import Outcomes, PrintQuery
from sdcpd.names import base_name
from sdcpd.web.shelf import Folder

__all__ = ["Abridged", "Entries", "FileEntry", "FolderEntry", "Past", "Refs", "abridged", "type_path"]

MOST = 10_000
"""Contents whose print time is remembered, a few bytes each."""


class Past(Protocol):
    """Who remembers how prints ended."""

    def outcomes(self, query: PrintQuery) -> Deferred[Mapping[str, Outcomes]]:
        """By the file's name in small letters."""
        ...


class Refs(Struct, frozen=True):
    """Addresses: of the thing itself, and of a file's bytes."""

    resource: str
    download: str | UnsetType = UNSET


class Abridged(Struct, frozen=True):
    """A file or a folder, in short."""

    name: str
    display: str
    path: str
    origin: str
    refs: Refs


class Analysis(Struct, frozen=True, rename="camel"):
    """What the file says of its print."""

    estimated_print_time: int
    """Seconds."""


class LastPrint(Struct, frozen=True, rename="camel"):
    """The last print of a file: its end in seconds since the epoch, and how many it took."""

    success: bool
    date: int
    print_time: int | UnsetType = UNSET


class PrintCounts(Struct, frozen=True):
    """How the prints of a file ended."""

    success: int
    failure: int
    last: LastPrint


class FileEntry(Struct, frozen=True, rename="camel", tag_field="type", tag="machinecode"):
    """One file."""

    name: str
    display: str
    path: str
    type_path: tuple[str, ...]
    origin: str
    hash: str
    size: int
    date: int
    refs: Refs
    gcode_analysis: Analysis | UnsetType = UNSET
    prints: PrintCounts | UnsetType = UNSET


class FolderEntry(Struct, frozen=True, rename="camel", tag_field="type", tag="folder"):
    """One folder; a list that is not recursive tells neither what is in it nor how large that is."""

    name: str
    display: str
    path: str
    type_path: tuple[str, ...]
    origin: str
    refs: Refs
    size: int | UnsetType = UNSET
    children: list[FileEntry | FolderEntry] | UnsetType = UNSET


def type_path(file: StoredFile) -> tuple[str, ...]:
    """What kind of file it is, in general and in particular."""
    return ("machinecode", file.format)


def abridged(base: str, path: str, *, folder: bool = False) -> Abridged:
    """The short form of what has this name, at this address of the printer."""
    name = base_name(path)
    return Abridged(name, name, path, "local", _refs(base, path, folder=folder))


def _refs(base: str, path: str, *, folder: bool = False) -> Refs:
    address = f"/files/local/{quote(path)}"
    return Refs(f"{base}/api{address}", UNSET if folder else f"{base}/downloads{address}")


class Entries:
    """Makes entries, for one printer and with the address at which the client sees it."""

    def __init__(self, store: FileStore, past: Past) -> None:
        self._indexes = store.indexes
        self._past = past
        self._times: dict[str, int] = {}

    def within(
        self, base: str, printer: Printer, folder: Folder, *, recursive: bool, kind: str = ""
    ) -> Deferred[list[FileEntry | FolderEntry]]:
        """What is in a folder, and if ``recursive`` in those inside it; of ``kind`` only, which no folder is."""
        return Deferred.fromCoroutine(self._within(base, printer, folder, recursive, kind))

    async def _within(
        self, base: str, printer: Printer, folder: Folder, recursive: bool, kind: str
    ) -> list[FileEntry | FolderEntry]:
        past = await self._outcomes(PrintQuery(printer=printer.id))
        return await self._list(base, folder, recursive, kind, past)

    async def _list(
        self, base: str, folder: Folder, recursive: bool, kind: str, past: Mapping[str, Outcomes]
    ) -> list[FileEntry | FolderEntry]:
        found: list[FileEntry | FolderEntry] = []
        for inner in folder.folders if not kind else ():
            children = await self._list(base, inner, True, kind, past) if recursive else UNSET
            found.append(_folder(base, inner, children, inner.size if recursive else UNSET))
        for file in folder.files:
            if not kind or kind in type_path(file):
                found.append(await self._file(base, file, past))
        return found

    def folder(self, base: str, printer: Printer, folder: Folder, *, recursive: bool) -> Deferred[FolderEntry]:
        """One folder, with what is in it."""
        size = folder.size if recursive else UNSET
        listed = self.within(base, printer, folder, recursive=recursive)
        return listed.addCallback(lambda children: _folder(base, folder, children, size))

    def file(self, base: str, printer: Printer, file: StoredFile) -> Deferred[FileEntry]:
        """One file."""
        return Deferred.fromCoroutine(self._one(base, printer, file))

    async def _one(self, base: str, printer: Printer, file: StoredFile) -> FileEntry:
        return await self._file(base, file, await self._outcomes(PrintQuery(printer=printer.id, file=file.name)))

    async def _file(self, base: str, file: StoredFile, past: Mapping[str, Outcomes]) -> FileEntry:
        name = base_name(file.name)
        seconds = await self._time(file)
        return FileEntry(
            name=name,
            display=name,
            path=file.name,
            type_path=type_path(file),
            origin="local",
            hash=file.md5,
            size=file.size,
            date=int(file.uploaded_at),
            refs=_refs(base, file.name),
            gcode_analysis=UNSET if seconds is None else Analysis(seconds),
            prints=_counts(past.get(file.name.casefold())),
        )

    async def _outcomes(self, query: PrintQuery) -> Mapping[str, Outcomes]:
        try:
            return await self._past.outcomes(query)
        except StoreError:  # the files are there all the same
            return {}

    async def _time(self, file: StoredFile) -> int | None:
        """The print time by the file; an index can be large, so only this is remembered of many."""
        if file.md5 not in self._times:
            try:
                seconds = (await self._indexes.of(file)).print_time_s
            except (StoreError, OSError):
                seconds = None
            if seconds is None:
                return None
            if len(self._times) >= MOST:
                self._times.clear()
            self._times[file.md5] = seconds
        return self._times[file.md5]


def _folder(
    base: str, folder: Folder, children: list[FileEntry | FolderEntry] | UnsetType, size: int | UnsetType
) -> FolderEntry:
    refs = _refs(base, folder.path, folder=True)
    return FolderEntry(folder.name, folder.name, folder.path, ("folder",), "local", refs, size, children)


def _counts(outcomes: Outcomes | None) -> PrintCounts | UnsetType:
    if outcomes is None:
        return UNSET
    took = UNSET if outcomes.last_printed_s is None else round(outcomes.last_printed_s)
    last = LastPrint(outcomes.last_finished, int(outcomes.last_ended), took)
    return PrintCounts(outcomes.finished, outcomes.failed, last)
