"""What a sliced file holds, in words for a terminal and as a document for programs.

One decision: what a file does not tell is left out of the lines, and null in the document. A line with a made-up value,
or one that says "unknown" twenty times, would hide what is known. The document has the names that the HTTP API uses.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from sdcpd.codec.sliced import Layer, Moves, SlicedFile, Waits, print_time

__all__ = ["document", "escaped", "lines"]

_HIDDEN = frozenset({"layers_at", "byte_order", "xor_key", "previews", "layers_known", "pictures_known"})
"""What only the readers need."""


def document(sliced: SlicedFile, layers: list[Layer], size: int) -> dict[str, Any]:
    """Everything, in mm, seconds, ml and grams; null is what the file does not tell."""
    found: dict[str, Any] = {"size": size}
    found |= {name: value for name, value in msgspec.to_builtins(sliced).items() if name not in _HIDDEN}
    if layers:
        found["layer_count"], found["height"] = len(layers), layers[-1].z or sliced.height
    found["print_time_s"] = print_time(sliced, layers)
    found["thumbnails"] = [(preview.width, preview.height) for preview in sliced.previews]
    found["pictures"] = sliced.pictures_known and bool(layers)
    return found


def lines(sliced: SlicedFile, layers: list[Layer], size: int) -> list[str]:
    """The same for people: a name and a value with its unit in each line, the values below each other."""
    rows = [(name, value) for name, value in _rows(sliced, layers, size) if value]
    widest = max(len(name) for name, _ in rows)
    return [f"  {name:<{widest}}  {escaped(value)}" for name, value in rows]


def escaped(text: str) -> str:
    """A text in one line that cannot command a terminal, whoever wrote it."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape", "surrogatepass").decode() for letter in text
    )


def _rows(sliced: SlicedFile, layers: list[Layer], size: int) -> Iterator[tuple[str, str]]:
    height = (layers[-1].z if layers else None) or sliced.height
    count = len(layers) or sliced.layer_count
    yield "Format", f"{sliced.format.upper()} {sliced.version}" + (", encrypted" if sliced.encrypted else "")
    yield "Size", f"{size:,} bytes"
    yield "Machine", sliced.machine or ""
    yield "Slicer", _slicer(sliced)
    yield "Sliced", (sliced.date or "").replace("T", " ").replace("Z", " UTC")
    if sliced.resolution:
        yield "Resolution", "{} x {} pixels".format(*sliced.resolution)
    if sliced.bed:
        yield "Build volume", " x ".join(f"{side:g}" for side in sliced.bed) + " mm"
    if sliced.bed and sliced.resolution:
        sides = (1000 * bed / pixels for bed, pixels in zip(sliced.bed[:2], sliced.resolution, strict=True))
        yield "Pixel", " x ".join(f"{side:.1f}" for side in sides) + " um"
    yield "Layers", _with(count, "", f"{count:,}" if count else "")
    yield "Layer height", _with(sliced.layer_height, "mm")
    yield "Height", _with(height, "mm")
    yield "Exposure", _bottom(_with(sliced.exposure_s, "s"), _with(sliced.bottom_exposure_s, "s"))
    yield "Bottom layers", _with(sliced.bottom_layers, "", f"{sliced.bottom_layers}")
    yield "Transition layers", _with(sliced.transition_layers, "", f"{sliced.transition_layers}")
    yield "Lift", _bottom(*(_lift(moves) for moves in (sliced.moves, sliced.bottom_moves)))
    yield "Retract", _bottom(*(_retract(moves) for moves in (sliced.moves, sliced.bottom_moves)))
    yield "Waits", _bottom(*(_waits(waits) for waits in (sliced.waits, sliced.bottom_waits)))
    powers = (sliced.light_pwm, sliced.bottom_light_pwm)
    yield "Light", _bottom(*("" if power is None else f"{power} of 255" for power in powers))
    yield "Layers' own settings", {True: "yes", False: "no", None: ""}[sliced.per_layer]
    yield "Anti-aliasing", _with(sliced.anti_aliasing, "", f"{sliced.anti_aliasing}")
    flips = (("left to right", sliced.mirror_x), ("top to bottom", sliced.mirror_y))
    yield "Mirrored", " and ".join(words for words, flipped in flips if flipped)
    yield "Print time", _time(print_time(sliced, layers))
    yield "Resin", ", ".join(filter(None, (_with(sliced.volume_ml, "ml"), _with(sliced.weight_g, "g"))))
    yield "Cost", _with(sliced.cost, (sliced.currency or "").removesuffix("/L"))  # ChiTuBox means the whole print
    pauses = [str(layer.index + 1) for layer in layers if layer.pause]
    yield "Pauses", f"at layer {', '.join(pauses[:10])}{' ...' if len(pauses) > 10 else ''}" if pauses else ""
    sizes = (f"{preview.width} x {preview.height}" for preview in sliced.previews)
    yield "Thumbnails", " and ".join(sizes) + " pixels" if sliced.previews else "none"


def _slicer(sliced: SlicedFile) -> str:
    """Name and version; ChiTuBox writes the version into the name as well."""
    name, version = sliced.slicer or "", sliced.slicer_version or ""
    return name if version and name.endswith(version) else f"{name} {version}".strip()


def _with(value: float | None, unit: str, written: str = "") -> str:
    """A number with its unit, nothing for none."""
    return "" if value is None else (written or f"{value:.6g} {unit}").strip()


def _bottom(normal: str, bottom: str) -> str:
    """A setting, and the bottom layers' where it is another."""
    return f"{normal or '-'} (bottom layers: {bottom})" if bottom and bottom != normal else normal


def _lift(moves: Moves) -> str:
    return _stages((moves.lift, moves.lift_speed), (moves.second_lift, moves.second_lift_speed))


def _retract(moves: Moves) -> str:
    return _stages((moves.retract, moves.retract_speed), (moves.second_retract, moves.second_retract_speed))


def _stages(*stages: tuple[float | None, float | None]) -> str:
    ways = (f"{way:g} mm" + (f" at {pace:g} mm/min" if pace else "") for way, pace in stages if way)
    return ", then ".join(ways)


def _waits(waits: Waits) -> str:
    named = (
        ("light off", waits.light_off),
        ("before lift", waits.before_lift),
        ("after lift", waits.after_lift),
        ("after retract", waits.after_retract),
    )
    return ", ".join(f"{value:g} s {name}" for name, value in named if value)


def _time(seconds: int | None) -> str:
    if not seconds:
        return ""
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours} h {minutes:02} min {seconds:02} s" if hours else f"{minutes} min {seconds:02} s"
