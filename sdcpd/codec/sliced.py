"""Sliced files, read: the one door to .goo and .ctb, whatever their version.

One decision: three small questions instead of one object with a file inside. ``read_head`` is asked of the first
bytes of an upload, ``read_layers`` when it is whole, ``layer_data`` years later of a file on the disk; each takes the
bytes from a ``Source`` and gives values. Whatever the bytes are, nothing but ``BadFile`` and its kinds is raised;
``Truncated`` means: come back when ``needed`` bytes are there.
"""

from __future__ import annotations

from sdcpd.codec import ctb, ctb_encrypted, goo, previews
from sdcpd.codec.ctb_encrypted import CtbKey
from sdcpd.codec.identify import ENOUGH, HEAD, Identity, identify
from sdcpd.codec.sliced_values import MAX_LAYERS, MAX_RLE, Layer, Moves, Preview, SlicedFile, Waits
from sdcpd.codec.source import BytesSource, FileSource, Source, take
from sdcpd.codec.xor86 import reveal
from sdcpd.errors import BadFile, NotDecodable, Truncated, UnknownFormat

__all__ = [
    "MAX_LAYERS",
    "MAX_RLE",
    "BytesSource",
    "CtbKey",
    "FileSource",
    "Layer",
    "Moves",
    "Preview",
    "SlicedFile",
    "Source",
    "Waits",
    "layer_data",
    "must_show",
    "preview",
    "print_time",
    "read_head",
    "read_layers",
]


def read_head(source: Source, key: CtbKey | None = None) -> SlicedFile:
    """What the file is, and all that its head tells; at most 200 KB are read.

    Raises ``UnknownFormat`` for other kinds of files by their name, ``Truncated``, ``BadFile``.
    """
    identity = _identity(source)
    if identity.kind == "goo":
        return goo.read_head(source, identity)
    if identity.encrypted:
        return ctb_encrypted.read_head(source, identity, key)
    return ctb.read_head(source, identity)


def read_layers(source: Source, sliced: SlicedFile, found: list[Layer] | None = None) -> list[Layer]:
    """Every layer in order, when the file is whole: 0.3 KB of memory each, ``MAX_LAYERS`` at most.

    ``found`` is filled as far as the file goes; hand in the same list again after ``Truncated`` to go on there.
    Raises ``Truncated``, ``NotDecodable`` if not ``sliced.layers_known``, ``BadFile``, each with its ``layer``.
    """
    found = [] if found is None else found
    if sliced.format == "goo":
        return goo.read_layers(source, sliced, found)
    if sliced.encrypted:
        return ctb_encrypted.read_layers(source, sliced, found)
    return ctb.read_layers(source, sliced, found)


def preview(source: Source, sliced: SlicedFile, n: int = 0) -> tuple[int, int, bytes]:
    """Width, height and RGB bytes of a thumbnail, 0 being the largest; up to 12 MiB, and 20 MiB on the way.

    Raises ``BadFile`` if the file has no such preview, ``Truncated``.
    """
    if not 0 <= n < len(sliced.previews):
        raise BadFile(f"the file has {len(sliced.previews)} previews, none with number {n}")
    found = sliced.previews[n]
    return found.width, found.height, previews.rgb(source, found)


def layer_data(source: Source, sliced: SlicedFile, layer: Layer, key: CtbKey | None = None) -> bytes:
    """The runs of a layer, in clear; memory is three times its length, which is below ``MAX_RLE``.

    Raises ``NotDecodable`` if not ``sliced.pictures_known``, ``Truncated``, ``BadFile`` for a checksum that is wrong.
    """
    must_show(sliced)
    name = f"layer {layer.index + 1}"
    if sliced.format == "goo":
        data = take(source, layer.offset, layer.length + 1, name)
        if goo.checksum(data[:-1]) != data[-1]:
            raise BadFile(f"{name} is damaged: its checksum is wrong", "Export the file again.")
        return data[:-1]
    data = take(source, layer.offset, layer.length, name)
    return reveal(ctb_encrypted.open_span(data, layer, key), sliced.xor_key, layer.index)


def must_show(sliced: SlicedFile) -> None:
    """Raises ``NotDecodable`` if pictures of the file's layers cannot be made."""
    if not sliced.pictures_known:
        hint = ctb_encrypted.WANTED if sliced.encrypted else "Save it as GOO 3.0 to see its layers."
        raise NotDecodable(
            f"the layers of this file ({sliced.format.upper()} {sliced.version}) cannot be decoded", hint
        )


def print_time(sliced: SlicedFile, layers: list[Layer]) -> int | None:
    """Seconds that the file says, or that its layers add up to (mslicer's .ctb says nothing)."""
    if sliced.print_time_s is not None:
        return sliced.print_time_s
    return round(sum(layer.seconds or 0.0 for layer in layers)) or None


def _identity(source: Source) -> Identity:
    """What the first bytes say; as long as they are too few to be sure, that is ``Truncated``."""
    head = source.read(0, min(HEAD, source.size))
    try:
        identity = identify(head)
    except UnknownFormat as error:
        if len(head) < ENOUGH:
            raise Truncated(error.message, ENOUGH, error.hint) from error
        raise
    take(source, 0, ENOUGH + 4, "the head")  # where the version of an encrypted CTB ends
    return identity
