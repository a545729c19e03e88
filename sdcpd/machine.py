"""This machine as its neighbours know it: its names, and the private networks that it is in.

One decision: nothing is asked of the network. Names come from the kernel, networks from the interfaces as they are now;
a look-up by DNS could hang, or be answered by somebody who wants to be trusted.
"""

from __future__ import annotations

import ipaddress
import socket

import ifaddr
from msgspec import Struct

__all__ = ["Machine", "Network", "look"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Machine(Struct, frozen=True):
    """What is known of it at one moment."""

    names: frozenset[str] = frozenset()
    """In lower case: the host name, its first word, and that with ``.local``."""
    networks: tuple[Network, ...] = ()
    """The private, unique local and link-local networks of its interfaces; loopback is none of them."""


def look() -> Machine:
    """This machine as it is now."""
    name = socket.gethostname().casefold().rstrip(".")
    short = name.partition(".")[0]
    networks: list[Network] = []
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            address = ip.ip if isinstance(ip.ip, str) else ip.ip[0]
            network = ipaddress.ip_network(f"{address}/{ip.network_prefix}", strict=False)
            if network.is_private and not network.is_loopback and network not in networks:
                networks.append(network)
    return Machine(frozenset({name, short, f"{short}.local"} if short else ()), tuple(networks))
