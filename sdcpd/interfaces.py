"""The IPv4 addresses of this machine.

One decision: interfaces are values, listed anew at each look; a laptop changes its networks while the daemon runs.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable

import ifaddr
from msgspec import Struct

__all__ = ["Interface", "interfaces_of", "local_address_towards"]


class Interface(Struct, frozen=True):
    """One IPv4 address of this machine."""

    name: str
    address: str
    broadcast: str
    """Where everybody on its network hears; empty where there is none."""


def interfaces_of(wanted: Iterable[str]) -> list[Interface]:
    """This machine's IPv4 addresses among ``wanted``: names, addresses, or ``auto`` for all but loopback."""
    wanted = set(wanted)
    found = []
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            if not ip.is_IPv4:
                continue
            interface = ipaddress.IPv4Interface(f"{ip.ip}/{ip.network_prefix}")
            auto = "auto" in wanted and not interface.ip.is_loopback
            if auto or adapter.name in wanted or str(ip.ip) in wanted:
                broadcast = interface.network.broadcast_address if interface.network.prefixlen < 31 else ""
                found.append(Interface(adapter.name, str(ip.ip), str(broadcast)))
    return found


def local_address_towards(host: str, port: int) -> str:
    """The address of this machine from which datagrams to ``host`` leave; empty if there is no way."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, port))
        except OSError:
            return ""
        return str(probe.getsockname()[0])
