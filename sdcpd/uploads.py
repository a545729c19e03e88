"""One file on its way into the store: hashed, counted and judged while it arrives.

One decision: an upload ends once, by ``finish`` or ``abort`` or its first error, and frees then what it reserved,
whoever called what in which order.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from enum import Enum
from typing import Protocol

from twisted.internet.defer import Deferred

from sdcpd.codec.identify import ENOUGH, HEAD, Identity, identify
from sdcpd.detached import detached
from sdcpd.errors import Interrupted, StoreError, UnknownFormat
from sdcpd.index import FileIndex
from sdcpd.names import display_name
from sdcpd.spool import StoredFile, disk

__all__ = ["Upload"]

GATHERED = 4096
"""Bytes that are written at once: a body in chunks of one byte costs no more than another one."""
_FOOTER = bytes.fromhex("000000 07000000 444C5000")


class Keeper(Protocol):
    """The store, as an upload knows it."""

    def make_room(self, upload: Upload, total: int) -> None:
        """See that ``upload`` may grow to ``total`` bytes."""

    async def keep(self, upload: Upload, identity: Identity, md5: str, descriptor: int, partial: str) -> StoredFile:
        """Make the partial a stored file."""

    def ended(self, upload: Upload, partial: str) -> None:
        """Free what was reserved; the partial of a kept upload is gone already."""


class _State(Enum):
    """How far an upload is."""

    OPEN = "open"
    FINISHING = "finishing"
    CLOSED = "closed"


class Upload:
    """One file on its way in: begun by ``FileStore.begin``, ended by ``finish`` or ``abort``."""

    def __init__(
        self,
        store: Keeper,
        name: str,
        length: int | None,
        promise: int,
        check: Callable[[FileIndex], None],
        descriptor: int,
        partial: str,
    ) -> None:
        self.name = name
        self.length = length
        self.promise = promise
        self.check = check
        self.received = 0
        self.identity: Identity | None = None
        self._store = store
        self._descriptor = descriptor
        self._partial = partial
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._head = b""
        self._tail = b""
        self._pieces = bytearray()
        self._state = _State.OPEN

    @property
    def md5(self) -> str:
        """The MD5 of what has arrived so far, in lower-case hex digits."""
        found = self._md5.copy()
        found.update(self._pieces)
        return found.hexdigest()

    def write(self, data: bytes) -> None:
        """Spool the next bytes. An upload that raised is aborted.

        Raises ``UnknownFormat`` as soon as the head shows it, ``FileTooLarge``, ``StoreFull``, ``Interrupted``
        if more bytes come than were announced or the upload has ended, ``StoreError`` if the disk fails.
        """
        if self._state is not _State.OPEN:
            raise Interrupted("the upload has already ended", "Send the file again.")
        if len(self._head) == HEAD and len(self._pieces) + len(data) < GATHERED:
            self._pieces += data
        else:
            self._pass_on(data)

    def rename(self, name: str) -> None:
        """Be kept under another name: some clients tell it only behind the file. Raises ``BadName``."""
        self.name = display_name(name)

    def finish(self) -> Deferred[StoredFile]:
        """Keep the file; fires when it is safely on disk. Cancelling gives up waiting, not the file.

        Fails with ``Interrupted`` if bytes are missing, ``UnknownFormat`` (also of a truncated .goo),
        ``StoreFull``, ``StoreError`` if the disk fails. An upload that failed is aborted.
        """
        return detached(self._finish())

    def abort(self) -> None:
        """Forget what has arrived and free its room; does nothing once ``finish`` or ``abort`` was called."""
        if self._state is _State.OPEN:
            os.close(self._descriptor)
            self._drop()

    def _pass_on(self, data: bytes = b"") -> None:
        """Write what was gathered, and this behind it."""
        if self._pieces:
            data = bytes(self._pieces) + data
            self._pieces.clear()
        try:
            self._write(data)
        except StoreError:
            self.abort()
            raise

    def _write(self, data: bytes) -> None:
        if len(self._head) < HEAD:
            self._head += data[: HEAD - len(self._head)]
            if len(self._head) >= ENOUGH:
                self.identity = identify(self._head)
        total = self.received + len(data)
        if self.length is not None and total > self.length:
            raise Interrupted(f"{self.length} bytes were announced and more came", "Send the file again.")
        self._store.make_room(self, total)
        with disk():
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        self._md5.update(data)
        size = len(_FOOTER)
        self._tail = data[-size:] if len(data) >= size else (self._tail + data)[-size:]
        self.received = total

    async def _finish(self) -> StoredFile:
        if self._state is not _State.OPEN:
            raise Interrupted("the upload has already ended", "Send the file again.")
        self._pass_on()
        try:
            identity = self._judge()
        except StoreError:
            self.abort()
            raise
        self._state = _State.FINISHING
        try:
            return await self._store.keep(self, identity, self.md5, self._descriptor, self._partial)
        finally:
            self._drop()

    def _judge(self) -> Identity:
        if self.length is not None and self.received < self.length:
            raise Interrupted(
                f"{self.received} of {self.length} bytes arrived", "The connection broke off; send the file again."
            )
        identity = identify(self._head)
        if identity.version == "3.0" and identity.kind == "goo" and self._tail != _FOOTER:
            raise UnknownFormat(
                "the .goo file does not end with its footer",
                "The file is truncated: export it again, check the room on that disk, and send it again.",
            )
        return identity

    def _drop(self) -> None:
        self._state = _State.CLOSED
        self._store.ended(self, self._partial)
