"""Whether a sliced file is sound to its last run (formats.md, section 7), told as findings.

One decision: a finding is a value, not an exception. A file with one bad layer has 2,399 good ones, and whoever asks
wants to read of all that is wrong with it, in the order in which the printer would come to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

from msgspec import Struct

from sdcpd.codec import goo
from sdcpd.codec.ctb_encrypted import WANTED
from sdcpd.codec.sliced import CtbKey, Layer, SlicedFile, layer_data, read_layers
from sdcpd.codec.source import Source, take
from sdcpd.codec.tally import check_ctb, check_goo
from sdcpd.errors import BadFile, BadLayer, NotDecodable, Truncated

__all__ = ["Finding", "Progress", "verify"]

Progress = Callable[[int, int], None]
"""Told after each layer how many are checked, and how many will be."""

_FEW = 1024
"""Bytes of a layer up to which counting is faster than making arrays of it."""
_BLANK = 1
"""Bytes of runs in a .goo layer that printers take for a blank one (formats.md, section 9.14)."""

Check = Callable[[bytes, int], None]


class Finding(Struct, frozen=True):
    """One thing that is wrong, or odd, with a file."""

    level: Literal["error", "warning"]
    """A file with warnings only can be printed."""
    code: str
    """For programs; never changes."""
    message: str
    layer: int | None = None
    """Counted from 1, as printers show it; None for the file as a whole."""


def verify(
    source: Source,
    sliced: SlicedFile,
    layers: list[Layer],
    progress: Progress,
    key: CtbKey | None = None,
    quick: bool = False,
) -> Iterator[Finding]:
    """Everything that is wrong with the file: marks, bounds and footer, heights, and of each layer checksum and runs.

    ``layers`` are those that are known already, or none; the others are looked for and added. ``quick`` looks into the
    first, the middle and the last layer only. One layer at a time is in memory, three times at most. Raises ``OSError``
    if the disk fails.
    """
    broken: BadFile | None = None
    try:
        read_layers(source, sliced, layers)
    except BadFile as error:
        broken = error
    yield from _around(source, sliced, layers, whole=broken is None)
    yield from _heights(sliced, layers)
    if sliced.pictures_known and sliced.resolution is not None:
        check = _check(sliced)
        chosen = sorted({0, len(layers) // 2, len(layers) - 1}) if quick and layers else range(len(layers))
        for done, index in enumerate(chosen, 1):
            try:
                yield from _layer(source, sliced, layers[index], key, check)
            except Truncated as error:  # somebody made the file shorter meanwhile
                error.layer = index + 1
                yield _end(error, source, sliced, layers)
                return
            progress(done, len(chosen))
    elif sliced.layers_known:
        yield Finding("warning", "not_decodable", f"layers are encrypted, their image data is not checked. {WANTED}")
    if broken is not None:
        yield _end(broken, source, sliced, layers)


def _around(source: Source, sliced: SlicedFile, layers: list[Layer], whole: bool) -> Iterator[Finding]:
    """What is odd before and behind the layers of a .goo."""
    if sliced.format != "goo" or not sliced.layers_known:
        return
    if sliced.layers_at != goo.FIRST:
        found = f"the layers begin at byte {sliced.layers_at}, expected {goo.FIRST}"
        yield Finding("warning", "odd_start", found)
    if whole and (extra := source.size - (layers[-1].offset + layers[-1].length + 3 + len(goo.FOOTER))):
        yield Finding("warning", "extra_bytes", f"{extra} extra bytes behind the footer")


def _heights(sliced: SlicedFile, layers: list[Layer]) -> Iterator[Finding]:
    """Layers that lie below the one before, and a print that is higher than the machine."""
    before = highest = 0.0
    for layer in layers:
        if layer.z is None:
            continue
        if layer.z < before:
            number = layer.index + 1
            found = f"layer {number}: Z decreasing from {before:g} to {layer.z:g} mm"
            yield Finding("warning", "z_decreasing", found, number)
        before = layer.z
        highest = max(highest, before)
    if sliced.bed is not None and highest > sliced.bed[2] * 1.001:
        found = f"the print is {highest:g} mm high, the machine {sliced.bed[2]:g} mm"
        yield Finding("warning", "too_high", found)


def _layer(source: Source, sliced: SlicedFile, layer: Layer, key: CtbKey | None, check: Check) -> Iterator[Finding]:
    """What is wrong with the bytes of one layer."""
    number = layer.index + 1
    if sliced.format == "goo":
        data = take(source, layer.offset, layer.length + 1, f"layer {number}")
        data, written = data[:-1], data[-1]
        if (made := goo.checksum(data)) != written:
            found = f"layer {number}: checksum mismatch: the file says {written:02x}, its bytes make {made:02x}"
            yield Finding("error", "checksum_mismatch", found, number)
    else:
        try:
            data = layer_data(source, sliced, layer, key)
        except NotDecodable as error:
            yield Finding("warning", "not_decodable", f"{error.message}. {error.hint}", number)
            return
    try:
        check(data, sliced.resolution[0] * sliced.resolution[1] if sliced.resolution else 0)
    except BadLayer as error:
        if sliced.format == "goo" and len(data) <= _BLANK:
            yield Finding("warning", "blank_layer", f"layer {number}: no image data, taken for a blank one", number)
            return
        found = f"layer {number}: image data corrupt: {error.message.partition(': ')[2].rstrip('.')}"
        yield Finding("error", "image_corrupt", found, number)


def _end(error: BadFile, source: Source, sliced: SlicedFile, layers: list[Layer]) -> Finding:
    """Why no more layers could be found."""
    number = error.layer
    if isinstance(error, NotDecodable):
        return Finding("warning", "not_decodable", f"its layers are not checked: {error.message}")
    if isinstance(error, Truncated) and number is not None:
        found = f"truncated in layer {number} of {sliced.layer_count}: the file ends at byte {source.size}"
        return Finding("error", "truncated", found, number)
    if number is not None:
        return Finding("error", "corrupt_layer", f"corrupt layer {number}: {error.message.partition(': ')[2]}", number)
    if sliced.format == "goo" and len(layers) == sliced.layer_count:
        return Finding("error", "footer_missing", f"file is incomplete: footer missing: {error.message}")
    return Finding("error", "truncated", error.message)


def _check(sliced: SlicedFile) -> Check:
    """How the runs of this file are counted: small layers plainly, others with numpy where that is at hand."""
    plain = check_goo if sliced.format == "goo" else check_ctb
    try:
        from sdcpd.codec.runs import Encoding, runs_of
    except ImportError:
        return plain
    encoding = Encoding(sliced.format)

    def check(rle: bytes, pixels: int) -> None:
        if len(rle) <= _FEW:
            plain(rle, pixels)
        else:
            for _ in runs_of(rle, encoding, pixels):
                pass

    return check
