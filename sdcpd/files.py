"""Uploaded files: spooled while they arrive, kept by content, found again by name, MD5 or wire name.

One decision: a file's identity is its MD5; names only point at bytes. So the same upload twice costs nothing, a
re-sliced file never changes under a running job (the job *holds* the old bytes), and what a printer calls a file
tells which bytes it has. Every change is written to disk before it is seen (``sdcpd.spool``), one at a time.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from msgspec import structs
from twisted.internet.defer import Deferred, DeferredLock, succeed

from sdcpd.codec.identify import Identity, identify
from sdcpd.detached import detached
from sdcpd.errors import (
    FileInUse,
    FileMissing,
    NameTaken,
    StoreError,
    StoreFull,
)
from sdcpd.index import FileIndex, Indexes
from sdcpd.logs import logger
from sdcpd.names import check_free, content_of, display_name, folders_of, inside
from sdcpd.offload import Offload
from sdcpd.spool import Limits, Spool, StoredFile, disk, wire_name
from sdcpd.uploads import Upload

__all__ = ["MOST", "FileStore", "Limits", "Offload", "StoredFile", "Upload", "Usage", "wire_name"]

_log = logger("sdcpd.files")

Files = list[StoredFile]
Observer = Callable[[Mapping[str, StoredFile], Mapping[str, StoredFile]], None]

MOST = 10_000
"""Names that files may have in all."""


class Usage(NamedTuple):
    """How full the store is, in bytes."""

    used: int
    quota: int
    free: int
    """What the disk has left."""

    @property
    def room(self) -> int:
        """What may still come."""
        return min(self.free, max(0, self.quota - self.used)) if self.quota else self.free


class FileStore:
    """All files that were uploaded, under one directory.

    Raises ``ConfigError`` or ``OSError`` at once if the directory cannot be used.
    """

    def __init__(self, directory: Path, limits: Limits, offload: Offload, wall: Callable[[], float]) -> None:
        self._limits = limits
        self._offload = offload
        self._wall = wall
        self._spool = Spool(directory)
        self._uploads: set[Upload] = set()
        self._holds: Counter[str] = Counter()
        self._changing = DeferredLock()
        self._names: dict[str, StoredFile] = {}
        self._observers: list[Observer] = []
        contents = self._spool.open()
        self.indexes = Indexes(directory / "index", offload)
        self.indexes.open(file.md5 for file in (*contents.files, *contents.kept))
        self._see({file.name: file for file in contents.files}, {file.md5: file for file in contents.kept})

    def subscribe(self, observer: Observer) -> None:
        """Call ``observer`` with the files by name, before and after each change."""
        self._observers.append(observer)

    def configure(self, limits: Limits) -> None:
        """Obey other limits from now on; what is stored already stays."""
        self._limits = limits

    @property
    def usage(self) -> Usage:
        """How full the store is."""
        return Usage(self._used, self._limits.quota, self._spool.free())

    def check_room(self, size: int) -> None:
        """See that a file of so many bytes may come. Raises ``FileTooLarge``, ``StoreFull``, ``StoreError``."""
        self._check_room(size, size)

    def begin(
        self, name: str, length: int | None, at_least: int = 0, check: Callable[[FileIndex], None] = lambda _: None
    ) -> Upload:
        """Begin an upload of ``length`` bytes, or of ``at_least`` so many; the room for them is reserved.

        ``check`` sees what the file holds when it is whole, and raises a ``StoreError`` if it shall not be kept.

        Raises ``BadName``, ``NameTaken``, ``UnknownFormat`` (nothing announced), ``FileTooLarge``, ``StoreFull``,
        ``StoreError`` if the disk fails.
        """
        name = display_name(name)
        check_free(name, self._names)
        self._check_count(name not in self._names)
        if length == 0:
            identify(b"")
        promise = at_least if length is None else length
        self._check_room(promise, promise)
        with disk():
            descriptor, partial = self._spool.create()
        upload = Upload(self, name, length, promise, check, descriptor, partial)
        self._uploads.add(upload)
        return upload

    def get(self, name_or_md5: str) -> StoredFile:
        """The file of that name, or with that MD5. Raises ``FileMissing``."""
        key = unicodedata.normalize("NFC", name_or_md5)
        if found := self._names.get(key) or self._digests.get(key.lower()):
            return found
        raise FileMissing(f"no file {key!r} is stored", "Look it up in the list of files, or upload it first.")

    def find(self, name: str) -> StoredFile | None:
        """The file of exactly this name; None if there is none."""
        return self._names.get(name)

    def names(self) -> Collection[str]:
        """Every name in use, in no order."""
        return self._names.keys()

    def index_of(self, md5: str) -> Deferred[FileIndex | None]:
        """What the file of this MD5 holds; None if it is not stored. Fails with ``StoreError`` if the disk fails."""
        file = self._digests.get(md5)
        if file is None:
            return succeed(None)

        def found(index: FileIndex) -> FileIndex | None:
            return index

        return self.indexes.of(file).addCallback(found)

    def by_wire_name(self, wire_name: str) -> StoredFile | None:
        """The file that printers know under that name, or the same bytes under another name of ours."""
        return self._wire_names.get(wire_name) or self._contents.get(content_of(wire_name))

    def delete(self, name_or_md5: str) -> Deferred[None]:
        """Remove a name, or every name of an MD5; the bytes go with the last one.

        Fails with ``FileMissing``, ``FileInUse``, ``StoreError`` if the disk fails.
        """
        return detached(self._delete(name_or_md5))

    def move(self, name: str, to: str) -> Deferred[Files]:
        """Give a file, or all files of a folder, another name; fires with them as they are now.

        Fails with ``FileMissing``, ``BadName``, ``NameTaken``, ``StoreError`` if the disk fails.
        """
        return detached(self._give(name, to, keep=False))

    def copy(self, name: str, to: str) -> Deferred[Files]:
        """Give the bytes of a file or folder a second name; fails as ``move`` does."""
        return detached(self._give(name, to, keep=True))

    def delete_folder(self, folder: str) -> Deferred[None]:
        """Remove a folder with all that is in it; fails as ``delete`` does, and then nothing is removed."""
        return detached(self._delete_folder(folder))

    def inside(self, folder: str) -> Files:
        """The files in a folder and in the folders inside it, by upload time."""
        folder = unicodedata.normalize("NFC", folder)
        return [file for file in self.list() if inside(file.name, folder)]

    def hold(self, md5: str) -> StoredFile:
        """Keep the bytes until ``release`` was called as often as this. Raises ``FileMissing``."""
        if (file := self._digests.get(md5)) is None:
            raise FileMissing(f"no file with the MD5 {md5!r} is stored", "Upload it again.")
        self._holds[md5] += 1
        return file

    def release(self, md5: str) -> None:
        """End one hold; bytes that lost their name meanwhile go with the last one.

        Raises ``ValueError`` for a hold that never was.
        """
        if not self._holds[md5]:
            raise ValueError(f"{md5} is not held")
        self._holds[md5] -= 1
        if not self._holds[md5]:
            del self._holds[md5]
            if md5 in self._kept:
                detached(self._settle()).addErrback(
                    lambda failure: _log.failure("Removing {md5} failed", failure, md5=md5)
                )

    def expire(self, now: float, keep_seconds: float) -> Deferred[Files]:
        """Delete what was uploaded more than ``keep_seconds`` before ``now`` and is not held; fires with those.

        Bytes without a name that nobody holds any more go whatever their age. Call it for the first time only
        when the jobs that outlived a restart have their holds again.
        """
        return detached(self._expire(now, keep_seconds))

    def list(self) -> Files:
        """Every file that has a name, by upload time."""
        return sorted(self._names.values(), key=lambda file: (file.uploaded_at, file.name))

    # For Upload only.

    def make_room(self, upload: Upload, total: int) -> None:
        """See that ``upload`` may grow to ``total`` bytes; what it promised was reserved at the beginning."""
        if total > upload.promise:
            self._check_room(total, total - max(upload.received, upload.promise))

    async def keep(self, upload: Upload, identity: Identity, md5: str, descriptor: int, partial: str) -> StoredFile:
        """Make the partial a stored file."""
        path = self._spool.path(md5, identity.extension)
        with disk():
            await self._offload(self._spool.seal, descriptor)
        index = await self.indexes.read(md5, upload.received, partial)
        upload.check(index)
        async with self._changing:
            file = StoredFile(upload.name, md5, upload.received, identity.kind, identity.version, self._wall(), path)
            check_free(file.name, self._names)
            with disk():
                await self._offload(self._spool.place, partial, file)
            await self.indexes.keep(md5, index)
            try:
                await self._replace({**self._names, file.name: file})
            except StoreError:
                if md5 not in self._digests:
                    await self._drop(file)
                raise
        _log.info("Stored {name}: {size} bytes, MD5 {md5}", name=file.name, size=file.size, md5=md5)
        return file

    def ended(self, upload: Upload, partial: str) -> None:
        """Free what was reserved; the partial of a kept upload is gone already."""
        self._uploads.discard(upload)
        detached(self._remove(partial))

    # Changes, each to its end before the next.

    async def _delete(self, key: str) -> None:
        async with self._changing:
            file = self.get(key)
            if self._holds[file.md5]:
                raise FileInUse(f"{file.name} is needed by a job", "Wait for the job's end or stop it, then delete.")
            whole = unicodedata.normalize("NFC", key) not in self._names
            names = {file.name} if not whole else {f.name for f in self._names.values() if f.md5 == file.md5}
            await self._replace({name: other for name, other in self._names.items() if name not in names})
        _log.info("Deleted {name}, MD5 {md5}", name=file.name, md5=file.md5)

    async def _delete_folder(self, folder: str) -> None:
        hint = "Wait for the job's end or stop it, then delete."
        async with self._changing:
            gone = {file.name: file for file in self._of_folder(folder)}
            for file in gone.values():
                if self._holds[file.md5]:
                    raise FileInUse(f"{file.name} is needed by a job", hint)
            await self._replace({name: other for name, other in self._names.items() if name not in gone})
        _log.info("Deleted the folder {folder}, {count} files", folder=folder, count=len(gone))

    async def _give(self, name: str, to: str, keep: bool) -> Files:
        async with self._changing:
            to = display_name(to)
            name = unicodedata.normalize("NFC", name)
            if name in self._names or name.lower() in self._digests:
                file = self.get(name)
                given = {file.name: structs.replace(file, name=to)}
            else:
                folder = {file.name: file for file in self._of_folder(name)}
                given = {
                    old: structs.replace(file, name=display_name(to + old[len(name) :])) for old, file in folder.items()
                }
            names = {old: file for old, file in self._names.items() if keep or old not in given}
            folders = folders_of(names)
            for file in given.values():
                if file.name in names:
                    raise NameTaken(
                        f"there is a file {file.name!r} already", "Delete it first, or choose another name."
                    )
                check_free(file.name, names, folders)
            await self._replace({**names, **{file.name: file for file in given.values()}})
        _log.info("{name} is called {to} now", name=name, to=to)
        return [*given.values()]

    def _of_folder(self, folder: str) -> Files:
        found = self.inside(folder) if folder else []
        if not found:
            raise FileMissing(f"no file or folder {folder!r} is stored", "Look it up in the list of files.")
        return found

    async def _expire(self, now: float, keep_seconds: float) -> Files:
        async with self._changing:
            old = [file for file in self.list() if file.uploaded_at < now - keep_seconds and not self._holds[file.md5]]
            if old or any(not self._holds[md5] for md5 in self._kept):
                names = {file.name for file in old}
                await self._replace({name: file for name, file in self._names.items() if name not in names})
        for file in old:
            _log.info("Expired {name}, MD5 {md5}", name=file.name, md5=file.md5)
        return old

    async def _settle(self) -> None:
        """Remove the bytes that have neither a name nor a hold any more."""
        async with self._changing:
            await self._replace(self._names)

    async def _replace(self, names: dict[str, StoredFile]) -> None:
        """Write down that ``names`` is what there is, then let it be seen, then remove what nobody needs."""
        self._check_count(len(names) - len(self._names))
        before = {file.md5: file for file in (*self._kept.values(), *self._names.values())}
        named = {file.md5 for file in names.values()}
        gone = {md5: file for md5, file in before.items() if md5 not in named}
        try:
            kept = await self._save(names, gone)
        except StoreFull:
            if not names.items() <= self._names.items():
                raise
            # Nothing new: on a full disk only the removal makes room for the record of it.
            kept = self._held(gone)
            self._see(names, kept)
            await self._drop(*(file for md5, file in gone.items() if md5 not in kept))
            gone = kept
            kept = await self._save(names, gone)
        self._see(names, kept)
        await self._drop(*(file for md5, file in gone.items() if md5 not in kept))

    async def _save(self, names: dict[str, StoredFile], gone: dict[str, StoredFile]) -> dict[str, StoredFile]:
        """Write the record; those of the ``gone`` that it keeps, because they are held.

        Holds come and go while the disk works, so it is written again until it says what is true.
        """
        saved: dict[str, StoredFile] | None = None
        while saved != (kept := self._held(gone)):
            with disk():
                await self._offload(self._spool.save, [*names.values()], [*kept.values()])
            saved = kept
        return kept

    def _held(self, files: dict[str, StoredFile]) -> dict[str, StoredFile]:
        return {md5: file for md5, file in files.items() if self._holds[md5]}

    def _see(self, names: dict[str, StoredFile], kept: dict[str, StoredFile]) -> None:
        """Make this what there is, and tell the observers."""
        before, self._names = self._names, names
        self._kept = kept
        files = [*kept.values(), *self.list()]  # of several, the newest that has a name is found
        self._digests = {file.md5: file for file in files}
        self._wire_names = {wire_name(file): file for file in files}
        self._contents = {f"{file.md5[:8]}.{file.format}": file for file in files}
        self._used = sum(file.size for file in self._digests.values())
        for observer in self._observers:
            try:
                observer(before, names)
            except Exception:
                _log.failure("An observer of the files failed")

    async def _drop(self, *files: StoredFile) -> None:
        """Remove contents that nothing refers to, with what was known of them."""
        for file in files:
            await self._remove(file.path)
            try:
                await self.indexes.forget(file.md5)
            except OSError as error:
                _log.error("The index of {md5} could not be removed: {error}", md5=file.md5, error=error)

    async def _remove(self, path: str) -> None:
        """Remove a file that nothing refers to; if that fails, the next start does it."""
        try:
            await self._offload(self._spool.remove, path)
        except OSError as error:
            _log.error("{path} could not be removed: {error}", path=path, error=error)

    def _check_count(self, more: int) -> None:
        """See that so many more names may be there: a name takes no room on the disk, but some everywhere else."""
        if more > 0 and len(self._names) + more > MOST:
            message = f"{len(self._names)} files are stored, {more} more would be more than {MOST}"
            raise StoreFull(message, "Delete files that are no longer needed.")

    def _check_room(self, total: int, more: int) -> None:
        """See that a file may have ``total`` bytes and that ``more`` of them fit beside what was promised."""
        promised = sum(max(upload.promise, upload.received) for upload in self._uploads)
        awaited = sum(max(0, upload.promise - upload.received) for upload in self._uploads)
        with disk():
            free = self._spool.free()
        self._limits.admit(total, more, self._used + promised, free - awaited)
