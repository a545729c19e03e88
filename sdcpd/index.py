"""What the stored files hold, read once when they arrive and remembered beside them.

One decision: an index belongs to a content, not to a name, so it is made once however often the file is uploaded,
moved or copied. It is only a memory: one that is missing, damaged or of another version is made anew from the bytes.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec import Struct
from twisted.internet.defer import Deferred, succeed

from sdcpd.codec.sliced import (
    MAX_LAYERS,
    CtbKey,
    FileSource,
    Layer,
    SlicedFile,
    print_time,
    read_head,
    read_layers,
)
from sdcpd.errors import BadFile
from sdcpd.logs import logger
from sdcpd.offload import Offload
from sdcpd.spool import disk, write_durably

__all__ = ["Content", "FileIndex", "Indexes", "read_index"]

VERSION = 1
"""Of the record; another number in a file means: make it anew."""

_log = logger("sdcpd.index")


class Content(Protocol):
    """Some bytes in the spool."""

    @property
    def md5(self) -> str:
        """Their identity."""

    @property
    def size(self) -> int:
        """How many they are."""

    @property
    def path(self) -> str:
        """Where they are."""


class FileIndex(Struct, frozen=True):
    """What one content holds."""

    version: int
    size: int
    """Of the file, to notice that the index is another file's."""
    sliced: SlicedFile | None
    """None if not even the head can be read."""
    layers: list[Layer]
    """Empty if they cannot be listed."""
    problem: str = ""
    """Why something could not be read; empty if all could."""
    problem_code: str = ""
    """The same for programs: an error's code."""
    print_time_s: int | None = None
    """Seconds that the file says or its layers add up to."""

    @property
    def height(self) -> float | None:
        """Of the print, in mm: its last layer's, where the layers tell it, else what the head says."""
        return (self.layers[-1].z if self.layers else None) or (self.sliced.height if self.sliced is not None else None)

    @property
    def layer_count(self) -> int | None:
        """How many layers are listed, else what the head says."""
        return len(self.layers) or (self.sliced.layer_count if self.sliced is not None else None)


def read_index(path: str, size: int, key: CtbKey | None = None) -> FileIndex:
    """Read a whole file's head and layers; ``key`` opens encrypted ones. Blocks; raises ``OSError``."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    sliced: SlicedFile | None = None
    layers: list[Layer] = []
    try:
        source = FileSource(descriptor, size)
        sliced = read_head(source, key)
        if sliced.layers_known:
            layers = read_layers(source, sliced)
    except BadFile as error:
        return FileIndex(VERSION, size, sliced, [], error.message, error.code)
    finally:
        os.close(descriptor)
    return FileIndex(VERSION, size, sliced, layers, print_time_s=print_time(sliced, layers))


_INDEX = msgspec.msgpack.Decoder(FileIndex)
"""Made here, before there are threads: msgspec crashes when two threads are the first to meet a type at once."""


class Indexes:
    """The directory of indexes, ``<md5>.index``; those looked at last are in memory, 100,000 layers at most."""

    def __init__(self, directory: Path, offload: Offload) -> None:
        self._directory = directory
        self._offload = offload
        self._known: OrderedDict[str, FileIndex] = OrderedDict()
        self.key: CtbKey | None = None
        """What opens encrypted files, if the owner has given it."""

    def configure(self, key: CtbKey | None) -> None:
        """Open encrypted files with this key from now on; those that were read without one are read again."""
        self.key = key
        for md5 in [md5 for md5, index in self._known.items() if _locked(index)]:
            del self._known[md5]

    def open(self, contents: Iterable[str]) -> None:
        """Make the directory, and remove the indexes of what is not among the MD5 sums ``contents``. Blocks."""
        self._directory.mkdir(mode=0o700, exist_ok=True)
        names = {f"{md5}.index" for md5 in contents}
        for entry in list(self._directory.iterdir()):
            if entry.name not in names:
                entry.unlink()

    def of(self, file: Content) -> Deferred[FileIndex]:
        """The index of a stored content, made now if there is none. Fails with ``StoreError`` if the disk fails."""
        if (known := self._known.get(file.md5)) is not None:
            self._known.move_to_end(file.md5)
            return succeed(known)
        return self._offload(self._find, file.md5, file.size, file.path).addCallback(self._remember, file.md5)

    def read(self, md5: str, size: int, path: str) -> Deferred[FileIndex]:
        """The index of what may become a stored content, which lies at ``path`` yet; nothing is kept."""
        return self._offload(self._find, md5, size, path, False)

    def keep(self, md5: str, index: FileIndex) -> Deferred[FileIndex]:
        """Keep the index of a content that is stored now."""
        return self._offload(self._write, md5, index).addCallback(lambda _: self._remember(index, md5))

    def forget(self, md5: str) -> Deferred[None]:
        """The content is gone."""
        self._known.pop(md5, None)
        return self._offload(self._path(md5).unlink, True)

    def _path(self, md5: str) -> Path:
        return self._directory / f"{md5}.index"

    def _find(self, md5: str, size: int, path: str, keep: bool = True) -> FileIndex:
        """In the pool: the index from the disk, or a new one."""
        key = self.key
        try:
            index = _INDEX.decode(self._path(md5).read_bytes())
            if (index.version, index.size) == (VERSION, size) and not (key is not None and _locked(index)):
                return index
        except FileNotFoundError:
            pass
        except (msgspec.DecodeError, OSError) as error:
            _log.warn("The index of {md5} is made anew: {error}", md5=md5, error=error)
        with disk():
            index = read_index(path, size, key)
        if keep:
            self._write(md5, index)
        return index

    def _write(self, md5: str, index: FileIndex) -> None:
        try:
            write_durably(self._path(md5), msgspec.msgpack.encode(index), 0o600)
        except OSError as error:  # a full disk: the file itself is stored, and it can be read again
            _log.warn("The index of {md5} cannot be kept: {error}", md5=md5, error=error)

    def _remember(self, index: FileIndex, md5: str) -> FileIndex:
        self._known[md5] = index
        while len(self._known) > 1 and sum(1 + len(known.layers) for known in self._known.values()) > MAX_LAYERS:
            self._known.popitem(last=False)
        return index


def _locked(index: FileIndex) -> bool:
    """Whether the file is encrypted, and was read without its key."""
    return index.sliced is not None and index.sliced.encrypted and not index.sliced.pictures_known
