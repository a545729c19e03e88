"""The stored files as a shelf with folders, for the dialects that know folders which are empty.

One decision: a folder that somebody made and put nothing into is remembered here until the daemon ends; one with a
file in it is the store's. So every rule about folders is about names, bytes never move (reference apis.md 1.2), and
what is made by one dialect is seen in all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct
from twisted.internet.defer import Deferred

from sdcpd.errors import FileInUse, NameTaken
from sdcpd.files import FileStore, StoredFile
from sdcpd.fleet import Fleet
from sdcpd.jobs import Jobs
from sdcpd.names import above, base_name, check_free, display_name, inside
from sdcpd.progress import ENDED, MOVING, JobState

__all__ = ["Folder", "Shelf"]

_AT_WORK = MOVING | {JobState.DELIVERING}
MOST = 1000
"""Empty folders that are remembered."""


class Folder(Struct, frozen=True):
    """One folder, and what is in it: folders by name, files by upload time."""

    path: str
    """With the folders around it; empty for the root."""
    modified: float
    """When it, or a folder in it, was last added to, in seconds since the epoch."""
    size: int
    """Bytes of all files in it, however deep."""
    folders: tuple[Folder, ...]
    files: tuple[StoredFile, ...]

    @property
    def name(self) -> str:
        """Without the folders around it."""
        return base_name(self.path)


class Shelf:
    """The folders of the store, and which files may be touched; ``wall`` gives seconds since the epoch."""

    def __init__(self, store: FileStore, jobs: Jobs, fleet: Fleet, wall: Callable[[], float]) -> None:
        self._store = store
        self._jobs = jobs
        self._fleet = fleet
        self._wall = wall
        self._empty: dict[str, float] = {}

    def file(self, path: str) -> StoredFile | None:
        """The file of exactly this name."""
        return self._store.find(path)

    def is_folder(self, path: str) -> bool:
        """Whether there is such a folder; the root is one."""
        return (
            not path or path in self._empty or any(inside(name, path) for name in (*self._empty, *self._store.names()))
        )

    def folder(self, path: str) -> Folder:
        """A folder with everything in it, looked at once; one that is not there is empty."""
        files: dict[str, list[StoredFile]] = {}
        within: dict[str, set[str]] = {}

        def reach(folder: str) -> None:
            while folder != path and folder not in within.setdefault(above(folder), set()):
                within[above(folder)].add(folder)
                folder = above(folder)

        for name in self._empty:
            if inside(name, path):
                reach(name)
        for file in self._store.inside(path):
            files.setdefault(above(file.name), []).append(file)
            reach(above(file.name))

        def made(folder: str) -> Folder:
            folders = tuple(made(inner) for inner in sorted(within.get(folder, ())))
            here = files.get(folder, [])
            times = [self._empty.get(folder, 0.0), *(f.modified for f in folders), *(f.uploaded_at for f in here)]
            size = sum(inner.size for inner in folders) + sum(file.size for file in here)
            return Folder(folder, max(times), size, folders, tuple(here))

        return made(path)

    def is_printed(self, path: str) -> bool:
        """Whether a printer is at work on the file of exactly this name: it is sent, or printed."""
        return any(job.file == path and job.state in _AT_WORK for job in self._jobs.all())

    def files(self, path: str) -> list[StoredFile]:
        """The file of that name, or everything in the folder."""
        file = self.file(path)
        return [file] if file is not None else self._store.inside(path)

    def must_be_idle(self, files: Iterable[StoredFile]) -> None:
        """Refuse to touch what a job needs: raises ``FileInUse``."""
        needed = {job.md5 for job in self._jobs.all() if job.state not in ENDED}
        for file in files:
            if file.md5 in needed:
                raise FileInUse(f"{file.name} is needed by a job", "Wait for the job's end or stop it.")

    # -- changes ---------------------------------------------------------------------------------------------

    def make(self, path: str) -> float:
        """Make an empty folder; the time at which that was. Raises ``BadName``, ``NameTaken``."""
        name = display_name(path)
        if self.is_folder(name) or self.file(name) is not None:
            raise NameTaken(f"Directory already exists: {name}", "Choose another name.")
        check_free(f"{name}/x", self._store.names())
        if len(self._empty) >= MOST:
            del self._empty[next(iter(self._empty))]
        self._empty[name] = self._wall()
        self._tell("folder_added", name)
        return self._empty[name]

    def remove(self, path: str) -> Deferred[None]:
        """Remove a folder with all that is in it; fails as ``FileStore.delete_folder`` does, with nothing gone."""
        return Deferred.fromCoroutine(self._remove(path))

    async def _remove(self, path: str) -> None:
        if self._store.inside(path):
            await self._store.delete_folder(path)
        self._empty = {name: at for name, at in self._empty.items() if name != path and not inside(name, path)}
        self._tell("folder_removed", path)

    def give(self, path: str, to: str, *, keep: bool) -> Deferred[StoredFile | None]:
        """Give a file or a folder another name, or with ``keep`` a second one; fires with the file as it is now.

        A second name takes no room. Fails as ``FileStore.move`` does.
        """
        return Deferred.fromCoroutine(self._give(path, to, keep))

    async def _give(self, path: str, to: str, keep: bool) -> StoredFile | None:
        give = self._store.copy if keep else self._store.move
        if self.file(path) is not None:
            (given,) = await give(path, to)
            return given
        to = display_name(to)
        for name in self._empty:
            if inside(name, path):
                display_name(to + name[len(path) :])
        if self._store.inside(path) or not self.is_folder(path):
            await give(path, to)
        empty = {to + n[len(path) :]: at for n, at in self._empty.items() if n == path or inside(n, path)}
        stay = {n: at for n, at in self._empty.items() if keep or not (n == path or inside(n, path))}
        self._empty = dict([*stay.items(), *empty.items()][-MOST:])
        if keep:
            self._tell("folder_added", to)
        else:
            self._tell("folder_moved", to, source=path)
        return None

    def target(self, path: str, to: str) -> str:
        """Where ``path`` goes if it is to go to ``to``: into that, if it is a folder."""
        return f"{to}/{base_name(path)}" if to and to != path and self.is_folder(to) else to

    def _tell(self, event: str, folder: str, **more: object) -> None:
        self._fleet.noticed(event, {"folder": folder, **more})
