"""Where a printer's own port is bound: as the web server is, with another number.

One decision: who can reach the web server can reach its printers' own ports, and nobody else, so there is nothing to be
said twice: they take over kind, interface and certificate of ``[web] listen``, and differ in the number alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["at_port", "number_of"]

_PARTS = re.compile(r"(?<!\\):")
_NUMBER = re.compile(r"(port=)?\d+")
_ALL = frozenset({"", "0.0.0.0", r"\:\:"})


def at_port(listen: Sequence[str], port: int) -> tuple[str, ...]:
    """The endpoints of ``listen`` that have a port, with this one instead: one for each interface.

    Where one of them is bound on all interfaces, that is the only one. Sockets in the file system and those that
    systemd hands in have no number that could be another; without any other endpoint the result is empty.
    """
    found: dict[str, str] = {}
    for endpoint in listen:
        parts = _PARTS.split(endpoint)
        place = _place(parts)
        if place:
            parts[place] = f"{'port=' if '=' in parts[place] else ''}{port}"
            found.setdefault(_interface(parts), ":".join(parts))
    everywhere = next((endpoint for interface, endpoint in found.items() if interface in _ALL), None)
    return tuple(found.values()) if everywhere is None else (everywhere,)


def number_of(endpoint: str) -> int:
    """The number of an endpoint's port; 0 if it has none or any will do."""
    parts = _PARTS.split(endpoint)
    place = _place(parts)
    return int(parts[place].removeprefix("port=")) if place else 0


def _place(parts: Sequence[str]) -> int:
    """Which part is the port's number; 0 if there is none."""
    if parts[0] not in ("tcp", "tcp6", "ssl"):
        return 0
    return next((n for n, part in enumerate(parts) if n and _NUMBER.fullmatch(part)), 0)


def _interface(parts: Sequence[str]) -> str:
    return next((part.partition("=")[2] for part in parts if part.startswith("interface=")), "")
