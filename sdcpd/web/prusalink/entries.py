"""Files and folders as PrusaLink lists them (reference apis.md 5.4).

One decision: what an entry refers to is told as paths of the same tree (``/api/v1/...``), without the place where the
tree stands, as the real server does: its clients put their own address before them, with whatever path is in it.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from msgspec import UNSET, Struct, UnsetType
from twisted.internet.defer import Deferred

from sdcpd.files import FileStore, StoredFile
from sdcpd.index import FileIndex
from sdcpd.loaded import Loaded
from sdcpd.names import base_name
from sdcpd.web.prusalink.present import JobFile
from sdcpd.web.shelf import Folder, Shelf

__all__ = ["HERE", "Entries", "Entry", "Path"]

HERE = "local"
"""The one storage: what is stored here for all printers."""
ICON = 100
"""Pixels of the longer side of the small picture, about."""

Path = str
"""Of a file or folder in the storage: its name, with folders; empty for the storage itself."""


class Entry(Struct, frozen=True, omit_defaults=True):
    """One file or folder; ``m_timestamp`` is seconds since the epoch."""

    name: str
    display_name: str
    type: str
    read_only: bool
    m_timestamp: int
    size: int | UnsetType = UNSET
    refs: dict[str, str] | UnsetType = UNSET
    meta: dict[str, Any] | UnsetType = UNSET
    children: list[Entry] | UnsetType = UNSET


class Entries:
    """Makes entries of the store and its shelf."""

    def __init__(self, store: FileStore, shelf: Shelf) -> None:
        self._store = store
        self._shelf = shelf

    def file(self, file: StoredFile) -> Deferred[Entry]:
        """A file, with what is known of its contents. Fails with ``StoreError`` if the disk fails."""
        return self._store.indexes.of(file).addCallback(lambda index: _entry(file, index, whole=True))

    def folder(self, path: Path) -> Deferred[Entry]:
        """A folder with what is directly in it; fails alike."""
        return Deferred.fromCoroutine(self._of_folder(path))

    async def _of_folder(self, path: Path) -> Entry:
        folder = self._shelf.folder(path)
        children = [_folder(inner) for inner in folder.folders]
        for file in folder.files:  # one after the other: an index can be large, and of each only a line is told
            children.append(_entry(file, await self._store.indexes.of(file), whole=False))
        name = base_name(path) or HERE
        newest = max((child.m_timestamp for child in children), default=0)
        return Entry(name, name, "FOLDER", read_only=False, m_timestamp=newest, children=children)

    def of_job(self, file: Loaded) -> Deferred[JobFile]:
        """The file of a print. Fails with ``StoreError`` if the disk fails."""
        return Deferred.fromCoroutine(self._of_job(file.name or "", file.stored))

    async def _of_job(self, name: str, file: StoredFile | None) -> JobFile:
        if file is None:
            return JobFile(base_name(name), base_name(name), "/", "/", None)
        entry = await self.file(file)
        folder = "/".join(("", HERE, *file.name.split("/")[:-1]))
        return JobFile(
            entry.name, entry.display_name, folder, folder, entry.m_timestamp, entry.size, entry.meta, entry.refs
        )


def _folder(folder: Folder) -> Entry:
    return Entry(folder.name, folder.name, "FOLDER", read_only=False, m_timestamp=int(folder.modified))


def _entry(file: StoredFile, index: FileIndex, *, whole: bool) -> Entry:
    name = base_name(file.name)
    return Entry(
        name,
        name,
        "PRINT_FILE",
        read_only=False,
        m_timestamp=int(file.uploaded_at),
        size=file.size,
        refs=_refs(file, index),
        meta=_meta(index) if whole else UNSET,
    )


def _refs(file: StoredFile, index: FileIndex) -> dict[str, str]:
    here = f"/api/v1/files/{HERE}/{quote(file.name)}"
    found = {"download": f"{here}/raw"}
    if index.sliced is not None and index.sliced.previews:
        found.update(icon=f"{here}/thumbnail.png?size={ICON}", thumbnail=f"{here}/thumbnail.png")
    return found


def _meta(index: FileIndex) -> dict[str, Any]:
    """What is known of the contents, under the real server's names for those of an SL1: mm, seconds, ml."""
    sliced = index.sliced
    if sliced is None:
        return {}
    told = {
        "estimated_print_time": index.print_time_s,
        "layer_height": sliced.layer_height,
        "max_layer_z": index.height,
        "exposure_time": sliced.exposure_s,
        "initial_exposure_time": sliced.bottom_exposure_s,
        "faded_layers": sliced.transition_layers,
        "required_resin_ml": sliced.volume_ml,
        "printer_model": sliced.machine,
    }
    return {key: value for key, value in told.items() if value is not None}
