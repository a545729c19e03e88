"""The printers that the simulator knows how to be, as data.

One decision: whatever differs between two machines or two firmwares is a field of the frozen ``Profile``, so no code
asks for a machine's name. What no source has recorded is marked with the number of the open question of the protocol
reference (section 9) that would settle it. ``MARS4MAX-1.0.0`` was never captured at all: its resolution is that of
real sliced files, and its firmware number, attributes shape, pause number and host form are those of the
Saturn 3 Ultra of 1.5.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["PROFILES", "AttributesShape", "HostForm", "Profile", "profile"]


class AttributesShape(Enum):
    """What the topic ``/sdcp/attributes/<id>`` carries under ``Data``."""

    STATUS_AS_ATTRIBUTES = "status-as-attributes"  # S3U up to 1.5.0: the status again, under "Attributes"
    STATUS = "status"  # S3U 1.5.4 dropped the key "Attributes"
    ATTRIBUTES = "attributes"  # what one would expect; only as a fault
    NOTHING = "nothing"


class HostForm(Enum):
    """What ``M66666 <host> <port>`` does."""

    HONOUR = "honour"
    IGNORE = "ignore"


@dataclass(frozen=True)
class Profile:
    """One machine with one firmware."""

    name: str
    machine: str
    firmware: str
    resolution: tuple[int, int]
    attributes: AttributesShape
    host_form: HostForm
    extensions: tuple[str, ...]
    paused: int  # PrintInfo.Status after Cmd 129
    stopping: int  # PrintInfo.Status right after Cmd 130
    lingers_abandoned: bool = False  # 14 for three seconds between stopping and 13
    touch_pause_needs_restart: bool = False  # M4U: 130 is refused in 7 until a 128 was sent
    upper_case_id: bool = True

    @property
    def resolution_text(self) -> str:
        """The resolution as the printer writes it."""
        return "{}x{}".format(*self.resolution)


PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile(
            name="S3U-1.4.2",
            machine="ELEGOO Saturn 3 Ultra",
            firmware="V1.4.2",
            resolution=(11520, 5120),
            attributes=AttributesShape.STATUS_AS_ATTRIBUTES,
            host_form=HostForm.IGNORE,  # assumed, Q4: one tester's 1.x obeyed "M66666 localhost ..." from afar
            extensions=("goo", "ctb"),
            paused=7,  # assumed, Q10: one program shows 7 as paused on this machine
            stopping=9,  # assumed, Q10
        ),
        Profile(
            name="S3U-1.5.4",
            machine="ELEGOO Saturn 3 Ultra",
            firmware="V1.5.4",
            resolution=(11520, 5120),
            attributes=AttributesShape.STATUS,
            host_form=HostForm.IGNORE,  # assumed, Q4
            extensions=("goo", "ctb"),
            paused=7,  # assumed, Q10
            stopping=9,  # assumed, Q10
        ),
        Profile(
            name="M4U-1.3.0",
            machine="ELEGOO Mars 4 Ultra",
            firmware="V1.3.0",
            resolution=(8520, 4320),
            attributes=AttributesShape.STATUS_AS_ATTRIBUTES,  # assumed, 2.7: no capture of it on this machine
            host_form=HostForm.HONOUR,
            extensions=("goo", "ctb"),
            paused=8,  # assumed, Q10: this and the next three, one program says so
            stopping=10,
            lingers_abandoned=True,
            touch_pause_needs_restart=True,
        ),
        Profile(
            name="MARS4MAX-1.0.0",
            machine="ELEGOO Mars 4 Max",
            firmware="V1.0.0",  # assumed, 8.1
            resolution=(5760, 3600),
            attributes=AttributesShape.STATUS,  # assumed, 2.7
            host_form=HostForm.IGNORE,  # assumed, Q4
            extensions=("goo", "ctb"),
            paused=7,  # assumed, Q10
            stopping=9,  # assumed, Q10
        ),
    )
}


def profile(name: str) -> Profile:
    """The profile of that name, in any case; an unknown one is a ValueError that lists the known ones."""
    found = {key.lower(): value for key, value in PROFILES.items()}.get(name.lower())
    if found is None:
        raise ValueError(f"unknown profile {name!r}: use one of {', '.join(PROFILES)}")
    return found
