"""The printer's own file store.

One decision: a stored file is a name with size, MD5 and layer count; the bytes are kept only when a directory was
given, because a test needs to know that the right bytes came and not to have them. It outlives a simulated reboot.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from sdcpd.simulator.status import JsonObject

__all__ = ["HeaderProbe", "IncomingFile", "Store", "StoredFile"]

_GOO_MAGIC = b"V3.0\x07\x00\x00\x00DLP\x00"
_CTB_MAGICS = (b"\x86\x00\xfd\x12", b"\x06\x01\xfd\x12")
_GOO_COUNTS = 0x2FAEE  # u32 layers, u16 x, u16 y, big-endian
_CTB_COUNTS = 0x34  # u32 x, y, two offsets, layers, little-endian
_COPY = 1 << 16


@dataclass(frozen=True)
class StoredFile:
    """One file on the printer."""

    name: str
    size: int
    md5: str
    layers: int
    resolution: tuple[int, int] | None = None

    def to_json(self) -> JsonObject:
        """As the control socket shows it."""
        return asdict(self)


class HeaderProbe:
    """Picks layer count and resolution out of a file that passes by in pieces."""

    def __init__(self) -> None:
        self._offset = 0
        self._windows = {0: bytearray(), _CTB_COUNTS: bytearray(), _GOO_COUNTS: bytearray()}
        self._sizes = {0: 12, _CTB_COUNTS: 20, _GOO_COUNTS: 8}

    def feed(self, data: bytes) -> None:
        """The next piece."""
        end = self._offset + len(data)
        for start, window in self._windows.items():
            if start < end and start + self._sizes[start] > self._offset:
                low = max(start - self._offset, 0)
                window += data[low : start + self._sizes[start] - self._offset]
        self._offset = end

    def geometry(self) -> tuple[int, tuple[int, int]] | None:
        """Layer count and resolution, or None where the header is none that can be read."""
        magic = bytes(self._windows[0])
        goo, ctb = self._windows[_GOO_COUNTS], self._windows[_CTB_COUNTS]
        if magic == _GOO_MAGIC and len(goo) == 8:
            x, y = int.from_bytes(goo[4:6], "big"), int.from_bytes(goo[6:8], "big")
            return int.from_bytes(goo[:4], "big"), (x, y)
        if magic[:4] in _CTB_MAGICS and len(ctb) == 20:
            x, y = int.from_bytes(ctb[:4], "little"), int.from_bytes(ctb[4:8], "little")
            return int.from_bytes(ctb[16:20], "little"), (x, y)
        return None


class IncomingFile:
    """A file on its way in: counted, hashed, looked into, and written out at once or let go."""

    def __init__(self, name: str, path: Path | None) -> None:
        self.name = name
        self._path = path
        self._file: BinaryIO | None = path.open("wb") if path is not None else None
        self.restart()

    def restart(self) -> None:
        """Give up what came, and begin again."""
        self.size = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._probe = HeaderProbe()
        if self._file is not None:
            self._file.seek(0)
            self._file.truncate()

    def write(self, data: bytes) -> None:
        """The next piece."""
        self.size += len(data)
        self._md5.update(data)
        self._probe.feed(data)
        if self._file is not None:
            self._file.write(data)

    @property
    def md5(self) -> str:
        """Of what came so far."""
        return self._md5.hexdigest()

    def finish(self, default_layers: int) -> StoredFile:
        """All is here."""
        if self._file is not None and self._path is not None:
            self._file.close()
            self._path.replace(self._path.with_name(self.name))
        layers, resolution = self._probe.geometry() or (default_layers, None)
        return StoredFile(self.name, self.size, self.md5, layers, resolution)

    def discard(self) -> None:
        """It will not be finished."""
        if self._file is not None and self._path is not None:
            self._file.close()
            self._path.unlink(missing_ok=True)


class Store:
    """Names to files, up to a capacity."""

    def __init__(self, capacity: int, default_layers: int, directory: Path | None) -> None:
        self.capacity = capacity
        self._default_layers = default_layers
        self._directory = directory
        self._files: dict[str, StoredFile] = {}
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
            for path in sorted(directory.glob("*.*")):
                if path.suffix != ".part":
                    self.load(path)

    def __iter__(self) -> Iterator[StoredFile]:
        return iter(self._files.values())

    def __contains__(self, name: object) -> bool:
        return name in self._files

    def get(self, name: str) -> StoredFile | None:
        """The file of that name."""
        return self._files.get(name)

    @property
    def used(self) -> int:
        """Bytes in use."""
        return sum(file.size for file in self._files.values())

    def has_room(self, name: str, size: int) -> bool:
        """Whether so much fits, the former file of that name given up (assumed, Q13: it is overwritten)."""
        former = self._files.get(name)
        return self.used - (former.size if former else 0) + size <= self.capacity

    def add(self, file: StoredFile) -> None:
        """Keep a file, in place of a former one of its name."""
        self._files[file.name] = file

    def receive(self, name: str) -> IncomingFile:
        """Begin to take in a file."""
        return IncomingFile(name, None if self._directory is None else self._directory / f"{name}.part")

    def keep(self, incoming: IncomingFile) -> StoredFile:
        """A file has come whole."""
        file = incoming.finish(self._default_layers)
        self.add(file)
        return file

    def load(self, path: Path, name: str = "") -> StoredFile:
        """Put a file of this machine on the printer, as from a USB stick."""
        incoming = IncomingFile(name or path.name, None)
        with path.open("rb") as source:
            while data := source.read(_COPY):
                incoming.write(data)
        return self.keep(incoming)
