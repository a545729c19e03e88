"""Pictures of what is stored: thumbnails and layers as PNG files, made where it may block.

One decision: one picture is made at a time, whoever asks. A layer can take 100 MB and a tenth of a second of a core on
the way; so pictures wait in a short line, the one being printed before the others, the ones made ahead behind them.
Who asks for a picture that is on its way waits for that one; one that nobody waits for any more is not made.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from functools import partial

from msgspec import Struct
from msgspec.structs import replace
from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from sdcpd.codec.png import rgb_png
from sdcpd.codec.sliced import CtbKey, FileSource, Preview, SlicedFile, layer_data, must_show, preview
from sdcpd.errors import BadFile, FileMissing, PictureMissing, TooManyPictures
from sdcpd.index import Content, FileIndex, Indexes
from sdcpd.logs import logger
from sdcpd.offload import Offload
from sdcpd.spool import disk

__all__ = ["MOST_KEPT", "MOST_WAITING", "Pictures", "Subject"]

MOST_KEPT = 8 * 2**20
"""Bytes of finished pictures that are kept; one of a layer has 5 to 100 KB."""
MOST_WAITING = 32
"""Different pictures that may wait to be made."""
MOST_AHEAD = 8
"""Pictures that may wait to be made before anybody asks: one for each printer that is watched."""

_log = logger("sdcpd.pictures")

Key = tuple[str, int, int]


class Subject(Struct, frozen=True):
    """One picture that can be made: a layer, or a thumbnail if ``layer`` is 0."""

    file: Content
    index: FileIndex
    layer: int
    """Counted from 1."""
    width: int
    """At most so many pixels of a layer; of a thumbnail its number."""

    @property
    def key(self) -> Key:
        """What tells it from every other picture."""
        return self.file.md5, self.layer, self.width

    @property
    def etag(self) -> str:
        """A strong validator: the same bytes for the same tag."""
        return f'"{self.file.md5}.{self.layer}.{self.width}"'


class _Wish:
    """A picture that is not there yet, and who asked for it."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.asked: list[Deferred[bytes]] = []


class Pictures:
    """Finds and makes pictures, and keeps the last ones."""

    def __init__(self, indexes: Indexes, offload: Offload) -> None:
        self._indexes = indexes
        self._offload = offload
        self._kept: OrderedDict[Key, bytes] = OrderedDict()
        self._waiting: OrderedDict[Key, _Wish] = OrderedDict()
        self._ahead: OrderedDict[Key, _Wish] = OrderedDict()
        self._making: _Wish | None = None

    def thumbnail(self, file: Content, size: int | None) -> Deferred[Subject]:
        """The thumbnail whose longer side comes next to ``size``, the largest for None.

        Fails with ``PictureMissing`` if the file has none, with ``StoreError`` if the disk fails.
        """

        def found(index: FileIndex) -> Subject:
            previews = index.sliced.previews if index.sliced is not None else ()
            if not previews:
                raise PictureMissing("The file has no thumbnail.", "Switch previews on in the slicer.")
            return Subject(file, index, 0, _nearest(previews, size))

        return self._indexes.of(file).addCallback(found)

    def layer(self, file: Content, number: int, width: int) -> Deferred[Subject]:
        """The layer with this number, counted from 1, at most ``width`` pixels wide.

        Fails with ``PictureMissing`` if there is none, ``NotDecodable`` if it cannot be shown, ``BadFile``.
        """

        def found(index: FileIndex) -> Subject:
            _shown(index)
            if not 1 <= number <= len(index.layers):
                raise PictureMissing(f"The file has {len(index.layers)} layers, none with the number {number}.")
            return Subject(file, index, number, width)

        return self._indexes.of(file).addCallback(found)

    def printed(self, file: Content, number: int, width: int) -> Deferred[Subject]:
        """As ``layer``, of what a printer says; before its first and behind its last layer that one is meant."""
        found = self._indexes.of(file).addCallback(lambda index: len(index.layers))
        return found.addCallback(lambda count: self.layer(file, max(1, min(number, count)), width))

    def make(self, subject: Subject, *, first: bool = False) -> Deferred[bytes]:
        """The picture as a PNG file, before all that wait if ``first``; cancel it if nobody wants it any more.

        Fails with ``TooManyPictures``, ``BadFile`` and its kinds, ``FileMissing``, ``StoreError``.
        """
        key = subject.key
        if (picture := self._kept.get(key)) is not None:
            self._kept.move_to_end(key)
            return succeed(picture)
        if self._making is not None and self._making.subject.key == key:
            wish = self._making
        else:
            if key not in self._waiting:
                if len(self._waiting) >= MOST_WAITING:
                    return fail(TooManyPictures(f"{MOST_WAITING} pictures wait to be made.", "Ask again in a moment."))
                self._waiting[key] = self._ahead.pop(key, _Wish(subject))
            if first:
                self._waiting.move_to_end(key, last=False)
            wish = self._waiting[key]
        asked: Deferred[bytes] = Deferred(partial(self._left, wish))
        wish.asked.append(asked)
        self._go_on()
        return asked

    def prepare(self, subject: Subject) -> None:
        """Make the layer after this one when there is nothing else to do: it will be asked for."""
        if subject.layer >= len(subject.index.layers):
            return
        subject = replace(subject, layer=subject.layer + 1)
        key = subject.key
        making = self._making is not None and self._making.subject.key == key
        if making or key in self._kept or key in self._waiting:
            return
        self._ahead[key] = _Wish(subject)
        if len(self._ahead) > MOST_AHEAD:
            self._ahead.popitem(last=False)
        self._go_on()

    def _left(self, wish: _Wish, asked: Deferred[bytes]) -> None:
        """Somebody gave up."""
        wish.asked.remove(asked)
        if not wish.asked and self._waiting.get(wish.subject.key) is wish:
            del self._waiting[wish.subject.key]

    def _go_on(self) -> None:
        line = self._waiting or self._ahead
        if self._making is None and line:
            _, wish = line.popitem(last=False)
            self._making = wish
            self._offload(_draw, wish.subject, self._indexes.key).addBoth(self._made, wish)

    def _made(self, result: bytes | Failure, wish: _Wish) -> None:
        self._making = None
        asked, wish.asked = wish.asked, []
        if isinstance(result, bytes):
            self._keep(wish.subject.key, result)
        elif not asked:
            _log.debug("A picture could not be made ahead: {error}", error=result.value)
        self._go_on()
        for deferred in asked:
            if isinstance(result, bytes):
                deferred.callback(result)
            else:
                deferred.errback(result)

    def _keep(self, key: Key, picture: bytes) -> None:
        self._kept[key] = picture
        while sum(map(len, self._kept.values())) > MOST_KEPT:
            self._kept.popitem(last=False)


def _nearest(previews: tuple[Preview, ...], size: int | None) -> int:
    if size is None:
        return 0
    return min(range(len(previews)), key=lambda n: abs(max(previews[n].width, previews[n].height) - size))


def _shown(index: FileIndex) -> SlicedFile:
    """The head of a file whose layers can be shown. Raises ``NotDecodable``, ``BadFile``."""
    if index.sliced is not None:
        must_show(index.sliced)
    if index.sliced is None or not index.layers:
        raise BadFile(f"The layers cannot be read: {index.problem or 'there are none'}.", "Export the file again.")
    return index.sliced


def _draw(subject: Subject, key: CtbKey | None) -> bytes:
    """In the pool: the picture."""
    file, sliced = subject.file, subject.index.sliced
    assert sliced is not None, "a subject has been looked at"
    with disk():
        try:
            descriptor = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise FileMissing("the file was deleted meanwhile", "Upload it again.") from error
        try:
            source = FileSource(descriptor, file.size)
            if not subject.layer:
                return rgb_png(*preview(source, sliced, subject.width))
            data = layer_data(source, sliced, subject.index.layers[subject.layer - 1], key)
        finally:
            os.close(descriptor)
    from sdcpd.codec.raster import shown  # numpy: 20 MB that a daemon does without until it is asked

    return shown(data, sliced, subject.width).png()
