"""An upload that is judged while it streams: a wrong file is refused long before its last byte.

One decision: the reader of whole files judges the stream. What arrives is held until the head can be read, a few
hundred KB at most, and never longer; the end of the file is judged by its index, when all of it is there.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred

from sdcpd.codec.identify import ENOUGH
from sdcpd.codec.sliced import BytesSource, CtbKey, SlicedFile, read_head
from sdcpd.errors import BadFile, Truncated
from sdcpd.files import FileStore, StoredFile, Upload
from sdcpd.judging import Gate

__all__ = ["HEAD_HELD", "Gate", "Judged", "begin"]

HEAD_HELD = 512 * 1024
"""Bytes of a file that are held to read its head; one whose head lies further back is judged when it is whole."""


class Judged:
    """A sink before an upload, that looks at the file's head on its way."""

    def __init__(self, upload: Upload, look: Callable[[SlicedFile], None], key: CtbKey | None) -> None:
        self.upload = upload
        self._look = look
        self._key = key
        self._held: bytearray | None = bytearray()
        self._needed = ENOUGH

    def write(self, data: bytes, /) -> None:
        """Take the next piece; raises what the upload raises, ``BadFile``, or what the look at the head does."""
        self.upload.write(data)
        if self._held is not None:
            self._held += data
            if len(self._held) >= self._needed:
                self._read()

    def finish(self) -> Deferred[StoredFile]:
        """Everything was written: keep the file."""
        return self.upload.finish()

    def abort(self) -> None:
        """Forget the file."""
        self.upload.abort()

    def _read(self) -> None:
        held = self._held
        assert held is not None, "asked for once only"
        try:
            sliced = read_head(BytesSource(bytes(held)), self._key)
        except Truncated as error:
            self._needed = max(error.needed, len(held) + 1)
            if self._needed > HEAD_HELD:
                self._held = None
            return
        except BadFile:
            self._held = None
            raise
        self._held = None
        self._look(sliced)


def begin(store: FileStore, gate: Gate, name: str, length: int | None, at_least: int = 0) -> Judged:
    """Begin an upload that must pass the gate, by its head on the way and by its whole content in the end.

    Lengths are bytes, as ``FileStore.begin`` has them; raises what that does.
    """
    return Judged(store.begin(name, length, at_least, gate.whole), gate.head, store.indexes.key)
