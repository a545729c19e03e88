"""How a farm of simulated printers behaves, and which printers are in it.

One decision: two frozen values say it all, ``Settings`` for what the printers share and ``PrinterSpec`` for one of
them, so the command line, a test and the control socket build a farm in the same way. Times are in the printer's own
seconds; ``scale`` divides them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from random import Random

from sdcpd.simulator.profiles import Profile, profile

__all__ = ["PrinterSpec", "Settings", "must_be_loopback", "plan"]

_LOOPBACK = IPv4Network("127.0.0.0/8")


@dataclass(frozen=True)
class Settings:
    """What every printer of a farm shares."""

    port: int = 3000  # UDP
    broadcast: bool = True  # answer probes sent to 127.255.255.255
    scale: float = 1.0
    seed: int = 0
    strict: bool = False
    rate: float = 2_500_000.0  # bytes per printer's second
    capacity: int = 8_000_000_000  # assumed, Q14
    store: Path | None = None  # keep the bytes of received files here
    keepalive: int = 60  # assumed, Q1; real seconds, as the broker measures them
    period: float = 5.0  # assumed, Q8: between statuses until Cmd 512 says otherwise
    layers: int = 100  # of a file whose header cannot be read
    layer_time: float = 8.0  # this and the next five: assumed, 8.2
    bottom_layers: int = 5
    bottom_layer_time: float = 30.0
    home_time: float = 15.0
    final_lift_time: float = 30.0
    completed_screen: float = 60.0
    boot_time: float = 5.0  # assumed, 2.9
    check_resolution: bool = False  # assumed, Q23: Ack 5 on a start of a file for another screen
    ticks_include_pauses: bool = False  # assumed, Q18
    answers_unknown: bool = False  # assumed, Q9: silence, else Ack 1
    obeys_invitation_while_up: bool = True  # assumed, Q4


@dataclass(frozen=True)
class PrinterSpec:
    """One printer: what it is, what it is called, and where it lives."""

    profile: Profile
    name: str
    address: str
    mainboard_id: str


def must_be_loopback(address: str) -> str:
    """The same address; ValueError where it is none of the loopback network."""
    if IPv4Address(address) not in _LOOPBACK:
        raise ValueError(f"{address} is no loopback address: use one of {_LOOPBACK}")
    return address


def plan(printers: Sequence[str], first_address: str = "127.0.0.2", seed: int = 0) -> tuple[PrinterSpec, ...]:
    """Specs for ``PROFILE[:name]`` entries on consecutive loopback addresses; the same seed gives the same ids."""
    specs = []
    for index, entry in enumerate(printers):
        kind, _, name = entry.partition(":")
        made_of = profile(kind)
        address = must_be_loopback(str(IPv4Address(first_address) + index))
        digits = f"{Random(f'{seed}/{address}').getrandbits(64):016X}"
        specs.append(
            PrinterSpec(
                profile=made_of,
                name=name or f"Bench {index + 1}",
                address=address,
                mainboard_id=digits if made_of.upper_case_id else digits.lower(),
            )
        )
    return tuple(specs)
