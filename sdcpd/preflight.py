"""Whether a sliced file suits a printer, before the printer hears of it.

One decision: what would fail or hurt the machine (another resolution, a print taller than the machine) refuses; what is
only a name or a small difference warns, because names in files are free text and two machines with one screen may
differ in nothing but the vat (reference formats.md 7, users.md P39).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct

from sdcpd.codec.sliced import SlicedFile
from sdcpd.errors import WrongFile

__all__ = ["MACHINES", "Finding", "Findings", "Machine", "Target", "judge", "known_machine", "suits"]


class Machine(Struct, frozen=True):
    """One model on the market: pixels and mm."""

    name: str
    resolution: tuple[int, int]
    bed: tuple[float, float, float]


_12K = (11520, 5120)
_16K = (15120, 6230)

MACHINES = (
    Machine("Mars 3", (4098, 2560), (143.43, 89.6, 175.0)),
    Machine("Mars 4", (8520, 4320), (153.36, 77.76, 175.0)),
    Machine("Mars 4 DLP", (4098, 2560), (132.8, 74.7, 150.0)),
    Machine("Mars 4 Max", (5760, 3600), (195.84, 122.4, 150.0)),
    Machine("Mars 4 Ultra", (8520, 4320), (153.36, 77.76, 165.0)),
    Machine("Mars 5", (4098, 2560), (143.43, 89.6, 150.0)),
    Machine("Mars 5 Ultra", (8520, 4320), (153.36, 77.76, 165.0)),
    Machine("Saturn 2", (7680, 4320), (218.88, 123.12, 250.0)),
    Machine("Saturn 8K", (7680, 4320), (218.88, 123.12, 210.0)),
    Machine("Saturn 3", _12K, (218.88, 122.88, 250.0)),
    Machine("Saturn 3 Ultra", _12K, (218.88, 122.88, 260.0)),
    Machine("Saturn 4", _12K, (218.88, 122.88, 220.0)),
    Machine("Saturn 4 Ultra", _12K, (218.88, 122.88, 220.0)),
    Machine("Saturn 4 Ultra 16K", _16K, (211.68, 118.37, 220.0)),
    Machine("Jupiter", (5448, 3064), (277.848, 156.264, 300.0)),
    Machine("Jupiter SE", (5448, 3064), (277.848, 156.264, 300.0)),
    Machine("Jupiter 2", _16K, (302.4, 161.98, 300.0)),
)
"""The machines of the reference (formats.md, section 8)."""

HEIGHT_ROOM = 0.5
"""Mm that a print may be higher than the data sheet says: slicers round, and machines have some room."""
BED_ROOM = 0.03
"""Part of a bed's side by which files of one machine differ from each other."""

_NO_NAMES = frozenset({"", "standard", "default", "unknown"})
"""What slicers write when they do not know the machine (formats.md, section 8)."""


class Target(Struct, frozen=True):
    """A printer, as far as it matters here."""

    slug: str
    name: str
    """As people call it."""
    model: str = ""
    """As it announces itself, such as ``ELEGOO Saturn 3 Ultra``."""
    announced: tuple[int, int] | None = None
    """The pixels that it says it has."""

    @property
    def resolution(self) -> tuple[int, int] | None:
        """Its pixels, by its own word or its model's; None if nobody knows, as before it was ever seen."""
        machine = known_machine(self.model)
        return self.announced or (machine.resolution if machine is not None else None)


class Finding(Struct, frozen=True):
    """One thing that does not fit."""

    code: str
    message: str
    expected: str
    found: str


class Findings(Struct, frozen=True):
    """What was found about one file and one printer."""

    refusals: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()


def known_machine(model: str) -> Machine | None:
    """The machine of that name, however it is spelt."""
    return next((machine for machine in MACHINES if _plain(machine.name) == _plain(model)), None)


def judge(sliced: SlicedFile, target: Target, height: float | None = None) -> Findings:
    """What speaks against printing the file there; ``height`` is the last layer's in mm, where the layers are known."""
    machine = known_machine(target.model)
    refusals: list[Finding] = []
    warnings: list[Finding] = []
    resolution = target.resolution
    if sliced.resolution is not None and resolution is not None and sliced.resolution != resolution:
        found, expected = _by(sliced.resolution), _by(resolution)
        message = f"The file is sliced for {found} pixels, {target.name} has {expected}."
        refusals.append(Finding("wrong_resolution", message, expected, found))
    tall = height if height is not None else sliced.height
    if machine is not None and tall is not None and tall > machine.bed[2] + HEIGHT_ROOM:
        found, expected = f"{tall:g} mm", f"at most {machine.bed[2]:g} mm"
        message = f"The print is {found} high, {target.name} ({machine.name}) prints {expected}."
        refusals.append(Finding("too_tall", message, expected, found))
    if refusals:
        return Findings(tuple(refusals))
    if target.model and _plain(sliced.machine or "") not in (*_NO_NAMES, _plain(target.model)):
        message = f"The file is sliced for the machine {sliced.machine}, {target.name} is a {target.model}."
        warnings.append(Finding("other_machine", message, target.model, sliced.machine or ""))
    if machine is not None and sliced.bed is not None and not _alike(sliced.bed, machine.bed):
        found, expected = _mm(sliced.bed), _mm(machine.bed)
        message = f"The file is sliced for a bed of {found}, {target.name} ({machine.name}) has {expected}."
        warnings.append(Finding("other_bed", message, expected, found))
    return Findings((), tuple(warnings))


def suits(
    sliced: SlicedFile, target: Target | None, known: Iterable[Target], height: float | None = None
) -> tuple[str, ...]:
    """The warnings about a file for ``target``, or for whichever of the ``known`` printers if none is named.

    Raises ``WrongFile``, which names those of the known printers that the file is known to suit.
    """
    possible = [(other, not judge(sliced, other, height).refusals) for other in known]
    if target is None:
        if possible and not any(fits for _, fits in possible):
            return ("None of the known printers can print this file.",)
        return ()
    findings = judge(sliced, target, height)
    if findings.refusals:
        first = findings.refusals[0]
        suited = [other for other, fits in possible if fits and other.resolution is not None]
        others = f"It can be printed on: {', '.join(other.name for other in suited)}. Or slice" if suited else "Slice"
        hint = f"{others} it for {target.model or target.name}."
        raise WrongFile(
            " ".join(finding.message for finding in findings.refusals),
            first.code,
            first.expected,
            first.found,
            tuple(other.slug for other in suited),
            hint,
        )
    return tuple(finding.message for finding in findings.warnings)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold()).removeprefix("elegoo")


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _mm(bed: tuple[float, float, float]) -> str:
    return f"{bed[0]:g} x {bed[1]:g} mm"


def _alike(found: tuple[float, float, float], expected: tuple[float, float, float]) -> bool:
    return all(abs(a - b) <= b * BED_ROOM for a, b in zip(found[:2], expected[:2], strict=True))
