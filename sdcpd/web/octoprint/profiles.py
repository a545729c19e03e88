"""``api/printerprofiles``: what kind of machine this is, as far as a filament printer's form can say it.

One decision: one profile, the default and the present one, read only. The volume is what the selected file was sliced
for, null as long as nothing tells: SDCP V1 does not, and a wrong one would move models.
"""

from __future__ import annotations

from msgspec import Struct
from twisted.internet.defer import Deferred

from sdcpd.fleet import Printer
from sdcpd.web.address import base
from sdcpd.web.answer import Answer, json_answer
from sdcpd.web.octoprint.form import no
from sdcpd.web.octoprint.present import Present
from sdcpd.web.routes import Call, Route

__all__ = ["PROFILE", "ProfileEndpoints", "profile_name"]

PROFILE = "_default"


class Volume(Struct, frozen=True, rename="camel"):
    """The room in which it prints, in mm."""

    width: float | None
    depth: float | None
    height: float | None
    form_factor: str = "rectangular"
    origin: str = "lowerleft"
    custom_box: bool = False


class Axis(Struct, frozen=True):
    """How an axis moves; null is what cannot be commanded."""

    speed: float | None = None
    inverted: bool = False


class Extruder(Struct, frozen=True, rename="camel"):
    """Clients count on one; it is the vat."""

    count: int = 1
    offsets: tuple[tuple[float, float], ...] = ((0.0, 0.0),)
    nozzle_diameter: None = None
    shared_nozzle: bool = False
    default_extrusion_length: None = None


class Profile(Struct, frozen=True, rename="camel"):
    """The machine."""

    id: str
    name: str
    model: str
    color: str
    volume: Volume
    axes: dict[str, Axis]
    extruder: Extruder
    heated_bed: bool
    heated_chamber: bool
    current: bool
    default: bool
    resource: str


class Profiles(Struct, frozen=True):
    """All of them, by their identifiers."""

    profiles: dict[str, Profile]


class ProfileEndpoints:
    """Handlers over the printer and what is selected on it."""

    def __init__(self, present: Present) -> None:
        self._present = present
        path = "/api/printerprofiles"
        also = (403, 404)
        self.routes = (
            Route("GET", path, "view", self.all, gives=Profiles),
            Route("GET", f"{path}/<profile>", "view", self.one, gives=Profile, also=(404,)),
            Route("POST", path, "admin", self.refuse, content="", also=also),
            Route("PATCH", f"{path}/<profile>", "admin", self.refuse, content="", also=also),
            Route("DELETE", f"{path}/<profile>", "admin", self.refuse, content="", also=also),
        )

    def all(self, call: Call, printer: Printer) -> Deferred[Answer]:
        """The one profile that there is."""
        return self._of(call, printer).addCallback(lambda profile: json_answer(Profiles({PROFILE: profile})))

    def one(self, call: Call, printer: Printer, profile: str) -> Deferred[Answer]:
        """The profile of this identifier."""
        if profile != PROFILE:
            raise no(404, f"There is no printer profile {profile[:80]!r}; the only one is {PROFILE!r}.")
        return self._of(call, printer).addCallback(json_answer)

    def refuse(self, call: Call, printer: Printer, profile: str = "") -> Answer:
        """Change a profile: it follows from the printer."""
        raise no(403, "The printer profile follows from the printer and cannot be changed.")

    def _of(self, call: Call, printer: Printer) -> Deferred[Profile]:
        return self._present.bed(printer).addCallback(_profile, printer, base(call))


def profile_name(printer: Printer) -> str:
    """The profile's name: the machine's."""
    return printer.announcement.machine_name or printer.name


def _profile(bed: tuple[float, float, float] | None, printer: Printer, where: str) -> Profile:
    width, depth, height = bed or (None, None, None)
    return Profile(
        id=PROFILE,
        name=profile_name(printer),
        model=printer.announcement.machine_name,
        color="default",
        volume=Volume(width, depth, height),
        axes={name: Axis() for name in ("x", "y", "z", "e")},
        extruder=Extruder(),
        heated_bed=False,
        heated_chamber=False,
        current=True,
        default=True,
        resource=f"{where}/api/printerprofiles/{PROFILE}",
    )
