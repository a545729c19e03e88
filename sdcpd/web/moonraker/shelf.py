"""Folders as Moonraker knows them, over a store in which a folder is only a part of a name.

One decision: a folder that somebody made and put nothing into is remembered here until the daemon ends; one with a
file in it is the store's. So every rule about folders is about names, and bytes never move (reference apis.md 1.2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct
from msgspec.structs import replace

from sdcpd.files import FileStore, StoredFile
from sdcpd.jobs import Jobs
from sdcpd.names import check_free, display_name, inside
from sdcpd.progress import ENDED
from sdcpd.web.moonraker.form import no
from sdcpd.web.moonraker.places import GCODES

__all__ = ["Folder", "Item", "Shelf", "item_of"]

MOST = 1000
"""Empty folders that are remembered."""


class Item(Struct, frozen=True):
    """A file or a folder, as clients name it: the path is relative to the root."""

    path: str
    root: str = GCODES
    modified: float = 0.0
    size: int = 0
    permissions: str = "rw"


class Folder(Struct, frozen=True):
    """One folder: when it was last added to, and the bytes in it."""

    name: str
    modified: float
    size: int


def item_of(file: StoredFile) -> Item:
    """A stored file as an item."""
    return Item(file.name, GCODES, file.uploaded_at, file.size)


class Shelf:
    """The folders of the store, and which files may be touched; ``wall`` gives seconds since the epoch."""

    def __init__(self, store: FileStore, jobs: Jobs, wall: Callable[[], float]) -> None:
        self._store = store
        self._jobs = jobs
        self._wall = wall
        self._empty: dict[str, float] = {}

    def file(self, path: str) -> StoredFile | None:
        """The file of exactly this name."""
        return next((file for file in self._store.list() if file.name == path), None)

    def is_folder(self, path: str) -> bool:
        """Whether there is such a folder; the root is one."""
        return not path or path in self._empty or any(inside(name, path) for name in self._known())

    def _known(self) -> Iterable[str]:
        """Names that are in folders, and the empty folders themselves."""
        yield from (folder for folder in self._empty)
        yield from (file.name for file in self._store.list())

    def listed(self, path: str) -> tuple[list[Folder], list[StoredFile]]:
        """What is directly in a folder: folders by name, files by upload time."""
        files: list[StoredFile] = []
        folders: dict[str, Folder] = {}
        start = len(path) + 1 if path else 0
        for name, modified in self._empty.items():
            if inside(name, path):
                first = name[start:].partition("/")[0]
                folders.setdefault(first, Folder(first, modified, 0))
        for file in self._store.inside(path):
            first, deeper, _ = file.name[start:].partition("/")
            if not deeper:
                files.append(file)
                continue
            known = folders.get(first) or Folder(first, 0.0, 0)
            folders[first] = replace(known, modified=max(known.modified, file.uploaded_at), size=known.size + file.size)
        return [folders[name] for name in sorted(folders)], files

    def make(self, path: str) -> Item:
        """Make an empty folder."""
        name = display_name(path)
        if self.is_folder(name) or self.file(name) is not None:
            raise no(400, f"Directory already exists: {name}")
        check_free(f"{name}/x", [file.name for file in self._store.list()])
        if len(self._empty) >= MOST:
            del self._empty[next(iter(self._empty))]
        self._empty[name] = self._wall()
        return Item(name, modified=self._empty[name])

    def forget(self, path: str) -> None:
        """A folder is no more, nor what was in it."""
        self._empty = {n: at for n, at in self._empty.items() if n != path and not inside(n, path)}

    def renamed(self, path: str, to: str) -> None:
        """A folder has another name now, and so have the empty ones in it."""
        self._empty = {to + n[len(path) :] if n == path or inside(n, path) else n: at for n, at in self._empty.items()}

    def copied(self, path: str, to: str) -> None:
        """A folder has a copy, and so have the empty ones in it."""
        for name, at in list(self._empty.items()):
            if name == path or inside(name, path):
                self._empty[to + name[len(path) :]] = at

    def files(self, path: str) -> list[StoredFile]:
        """The file of that name, or everything in the folder."""
        file = self.file(path)
        return [file] if file is not None else self._store.inside(path)

    def must_be_idle(self, files: Iterable[StoredFile]) -> None:
        """Refuse to touch what a job needs."""
        needed = {job.md5 for job in self._jobs.all() if job.state not in ENDED}
        if any(file.md5 in needed for file in files):
            raise no(403, "File currently in use")
