"""What the native API says of stored files: typed documents, made from a file's record and its index.

One decision: what a sliced file does not tell is null; nothing is guessed, but what its layers add up to.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from sdcpd.codec.sliced import Moves, SlicedFile, Waits
from sdcpd.index import FileIndex

__all__ = ["FileAnswer", "FileDocument", "MetadataAnswer", "SlicedDocument", "sliced_document"]


class FileDocument(Struct, frozen=True):
    """One stored file."""

    name: str
    md5: str
    size: int
    format: str
    version: str
    uploaded_at: float
    wire_name: str
    url: str
    thumbnail: str
    """By the content: whoever has this picture need not ask for it again."""


class SlicedDocument(Struct, frozen=True):
    """What a sliced file tells of itself: mm, seconds, ml, grams; null is what it does not tell."""

    machine: str | None
    slicer: str | None
    slicer_version: str | None
    date: str | None
    encrypted: bool
    resolution: tuple[int, int] | None
    bed: tuple[float, float, float] | None
    layer_count: int | None
    layer_height: float | None
    height: float | None
    exposure_s: float | None
    bottom_exposure_s: float | None
    bottom_layers: int | None
    transition_layers: int | None
    moves: Moves
    bottom_moves: Moves
    waits: Waits
    bottom_waits: Waits
    print_time_s: int | None
    volume_ml: float | None
    weight_g: float | None
    cost: float | None
    currency: str | None
    anti_aliasing: int | None
    mirror_x: bool | None
    mirror_y: bool | None
    thumbnails: tuple[tuple[int, int], ...]
    """Width and height of each, the largest first."""
    pictures: bool
    """Whether pictures of its layers can be made."""


class FileAnswer(Struct, frozen=True):
    """The answer to an upload."""

    file: FileDocument
    sliced: SlicedDocument | None = None
    warnings: tuple[str, ...] = ()
    """What does not quite fit between the file and the printer that was named, or all known ones."""


class MetadataAnswer(Struct, frozen=True):
    """All that is known of one stored file."""

    file: FileDocument
    sliced: SlicedDocument | None
    """Null if its head cannot be read."""
    problem: str | None
    """Why not all of it could be read."""


_PLAIN = frozenset(SlicedDocument.__struct_fields__) & frozenset(SlicedFile.__struct_fields__)


def sliced_document(index: FileIndex) -> SlicedDocument | None:
    """What is known of a stored content, in short: without its layers."""
    sliced = index.sliced
    if sliced is None:
        return None
    own: dict[str, Any] = {name: getattr(sliced, name) for name in _PLAIN}
    own["layer_count"], own["height"] = index.layer_count, index.height
    own["print_time_s"] = index.print_time_s or sliced.print_time_s
    thumbnails = tuple((preview.width, preview.height) for preview in sliced.previews)
    return SlicedDocument(**own, thumbnails=thumbnails, pictures=sliced.pictures_known and bool(index.layers))
