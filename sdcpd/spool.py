"""The file store's directory: what a stored file is and is called, and how it survives a power cut.

One decision: this half is synchronous and knows no Deferred; ``sdcpd.files`` runs its slow methods in the pool.
The bytes go first (partial, fsync, rename), the record of names follows (temporary, fsync, rename), so a name on
disk always has its bytes. What contradicts that is damage: it is set aside and logged, never thrown away.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from sdcpd.aside import aside
from sdcpd.codec.identify import HEAD, Format, identify
from sdcpd.errors import ConfigError, FileTooLarge, StoreError, StoreFull, UnknownFormat
from sdcpd.logs import logger
from sdcpd.names import wire_stem

__all__ = [
    "Contents",
    "Limits",
    "Spool",
    "StoredFile",
    "disk",
    "sync_directory",
    "wire_name",
    "write_durably",
]

_log = logger("sdcpd.spool")

_FREE_DISK = "Delete files that are no longer needed, here or elsewhere on that disk."
"""What to do about a full disk."""

_BLOB = re.compile(r"([0-9a-f]{32})\.(goo|ctb)")
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Limits(Struct, frozen=True):
    """How much may be stored, in bytes."""

    quota: int
    """All files together; 0 is no limit but the disk."""
    max_size: int
    """One file."""
    reserve: int
    """What must stay free on the disk."""

    def admit(self, total: int, more: int, taken: int, free: int) -> None:
        """Let a file have ``total`` bytes, ``more`` of them new, beside ``taken`` others, with ``free`` on disk.

        Raises ``FileTooLarge``, ``StoreFull``.
        """
        if total > self.max_size:
            raise FileTooLarge(
                f"the file has {total} bytes or more, at most {self.max_size} are allowed",
                "Slice it smaller (fewer layers, no anti-aliasing), or raise [files] max_size.",
            )
        if self.quota and taken + more > self.quota:
            raise StoreFull(
                f"{more} bytes are needed, {max(0, self.quota - taken)} of the quota of {self.quota} are left",
                "Delete files that are no longer needed, or raise [files] quota.",
            )
        if more > free - self.reserve:
            raise StoreFull(
                f"{more} bytes are needed, the disk has room for {max(0, free - self.reserve)}"
                f" ({self.reserve} stay reserved)",
                _FREE_DISK,
            )


class StoredFile(Struct, frozen=True):
    """A file as it was uploaded: one name for some bytes."""

    name: str
    """As people see it, any script."""
    md5: str
    size: int
    format: Format
    version: str
    uploaded_at: float
    """Seconds since the epoch."""
    path: str
    """Where the bytes are, absolute; for this machine only."""


class _Entry(Struct, frozen=True, forbid_unknown_fields=True):
    """A ``StoredFile`` in the record: without its path, which follows from the rest."""

    name: str
    md5: Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]
    size: int
    format: Format
    version: str
    uploaded_at: float


class _Record(Struct, frozen=True, forbid_unknown_fields=True):
    """What ``names.json`` holds."""

    files: list[_Entry]
    kept: list[_Entry]


class Contents(Struct, frozen=True):
    """What the spool holds."""

    files: list[StoredFile]
    kept: list[StoredFile]
    """Files that lost their name while a job still needed them."""


class Spool:
    """One directory: ``blobs/<md5>.<ext>``, ``partial/<random>`` and ``names.json``."""

    def __init__(self, directory: Path) -> None:
        self._root = directory.absolute()
        self._blobs = self._root / "blobs"
        self._partial = self._root / "partial"
        self._record = self._root / "names.json"

    def open(self) -> Contents:
        """Make the directories, sweep what uploads left half done, and tell what is stored.

        Raises ``ConfigError`` if a directory of ours is a symbolic link, ``OSError`` if the disk refuses.
        """
        for directory in (self._root, self._blobs, self._partial):
            if directory is not self._root and directory.is_symlink():
                raise ConfigError(
                    f"{directory} is a symbolic link, expected a directory",
                    "Move or mount the whole spool elsewhere; its parts must share one file system.",
                )
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            directory.chmod(0o700)
        for half in self._partial.iterdir():
            half.unlink()
            _log.info("Removed {partial}, an upload that never ended", partial=half.name)
        return self._load()

    def free(self) -> int:
        """Bytes that the disk still has for us."""
        disk = os.statvfs(self._root)
        return disk.f_bavail * disk.f_frsize

    def path(self, md5: str, extension: str) -> str:
        """Where the bytes of that digest belong."""
        return str(self._blobs / f"{md5}{extension}")

    def create(self) -> tuple[int, str]:
        """Open a new partial for writing; its descriptor and path."""
        partial = str(self._partial / secrets.token_hex(16))
        return os.open(partial, _NEW, 0o600), partial

    def seal(self, descriptor: int) -> None:
        """Put a partial's bytes safely on disk and close it."""
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def place(self, partial: str, file: StoredFile) -> None:
        """Give a sealed partial its final place; of bytes that are there already, the first copy stays."""
        if _size(file.path) == file.size:
            os.unlink(partial)
        else:
            os.rename(partial, file.path)
            sync_directory(self._blobs)

    def remove(self, path: str) -> None:
        """Remove a blob or a partial; one that is gone already is no error."""
        Path(path).unlink(missing_ok=True)

    def save(self, files: Iterable[StoredFile], kept: Iterable[StoredFile]) -> None:
        """Replace the record: after a power cut either the old or the new one is there, whole."""
        record = _Record([_entry(file) for file in files], [_entry(file) for file in kept])
        fresh = self._partial / f"names-{secrets.token_hex(8)}"
        try:
            with os.fdopen(os.open(fresh, _NEW, 0o600), "wb") as out:
                out.write(msgspec.json.format(msgspec.json.encode(record), indent=1))
                out.flush()
                os.fsync(out.fileno())
            fresh.replace(self._record)
        finally:
            fresh.unlink(missing_ok=True)
        sync_directory(self._root)

    def _load(self) -> Contents:
        """Read the record and compare it with the blobs; recover or set aside what does not fit."""
        blobs = {entry.name: entry.stat(follow_symlinks=False) for entry in os.scandir(self._blobs)}
        sizes = {name: s.st_size for name, s in blobs.items() if _BLOB.fullmatch(name) and stat.S_ISREG(s.st_mode)}
        record, whole = self._read(bool(sizes))
        files: list[StoredFile] = []
        kept: list[StoredFile] = []
        for entries, into in ((record.files, files), (record.kept, kept)):
            for entry in entries:
                blob = f"{entry.md5}.{entry.format}"
                found = sizes.get(blob)
                if found == entry.size:
                    into.append(self._file(entry))
                    continue
                _log.error(
                    "{name} is lost: {blob} should have {size} bytes and has {found}",
                    name=entry.name,
                    blob=blob,
                    size=entry.size,
                    found="none" if found is None else found,
                )
                whole = False
                if found is not None:
                    self._set_aside(blob)
                    del sizes[blob]
        for blob in sorted(sizes.keys() - {f"{file.md5}.{file.format}" for file in files + kept}):
            if whole:
                (self._blobs / blob).unlink()
                _log.info("Removed {blob}, which has no name", blob=blob)
            elif recovered := self._recover(blob, sizes[blob], blobs[blob].st_mtime):
                files.append(recovered)
        if not whole:
            self._keep_aside()
        if not whole or not self._record.exists():
            self.save(files, kept)
        return Contents(files, kept)

    def _read(self, blobs: bool) -> tuple[_Record, bool]:
        """The record, and whether it can be believed."""
        try:
            return msgspec.json.decode(self._record.read_bytes(), type=_Record), True
        except FileNotFoundError:
            if blobs:
                _log.error("{path} is missing, the files are recovered without their names", path=self._record.name)
            return _Record([], []), not blobs
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            _log.error("{path} is damaged: {error}", path=self._record.name, error=error)
            return _Record([], []), False

    def _keep_aside(self) -> None:
        """Copy a damaged record aside, under a name that nothing has yet; ``save`` then replaces it."""
        if self._record.exists():
            kept = aside(self._record)
            shutil.copy(self._record, kept)
            _log.warn("The damaged record is kept as {path}", path=kept.name)

    def _recover(self, blob: str, size: int, uploaded_at: float) -> StoredFile | None:
        """A file without a record, named by its blob; nothing if its content is no longer what it was."""
        with os.fdopen(os.open(self._blobs / blob, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as content:
            head = content.read(HEAD)
        try:
            found = identify(head)
            if not blob.endswith(found.extension):
                raise UnknownFormat(f"its content is {found.extension}")
        except UnknownFormat as error:
            _log.error("{blob} cannot be recovered: {error}", blob=blob, error=error)
            self._set_aside(blob)
            return None
        _log.warn("Recovered {blob}; what it was called is not known", blob=blob)
        return self._file(_Entry(blob, blob[:32], size, found.kind, found.version, uploaded_at))

    def _set_aside(self, blob: str) -> None:
        """Take a damaged blob out of the way without deleting it."""
        (self._blobs / blob).rename(self._blobs / f"{blob}.damaged")
        _log.warn("The damaged file is kept as {blob}.damaged", blob=blob)

    def _file(self, entry: _Entry) -> StoredFile:
        """The file that an entry of the record stands for."""
        path = self.path(entry.md5, f".{entry.format}")
        return StoredFile(entry.name, entry.md5, entry.size, entry.format, entry.version, entry.uploaded_at, path)


def wire_name(file: StoredFile) -> str:
    """What printers call the file: safe ASCII, and another name for other bytes."""
    return f"{wire_stem(file.name)}_{file.md5[:8]}.{file.format}"


@contextmanager
def disk() -> Iterator[None]:
    """Say in the store's words that the disk failed."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreFull("the disk is full", _FREE_DISK) from error
        raise StoreError(
            f"the spool cannot be written: {error.strerror or error}",
            "Check the disk and who owns the state directory.",
        ) from error


def _entry(file: StoredFile) -> _Entry:
    return _Entry(file.name, file.md5, file.size, file.format, file.version, file.uploaded_at)


def _size(path: str) -> int | None:
    """The size of a regular file, or none if there is no such file."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def sync_directory(directory: Path) -> None:
    """Make a rename inside the directory last."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Replace a small file whole; it is on the disk when this returns. Raises ``OSError``.

    ``mode`` is that of a new file, less the umask; at no moment may anybody else open what is being written.
    """
    temporary = path.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)  # one that a crash left behind would keep its mode
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)
