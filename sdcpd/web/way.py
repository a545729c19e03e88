"""Where the path of a request leads: to which printer, and by which of its ways.

One decision: a path is a way to a thing, and each thing stands once, below ``/printers/<name>``. Which way a client has
come is found out once, when the head of its request is read, and kept as a value; whoever needs it reads it there, and
nobody looks at the path again.
"""

from __future__ import annotations

import re

from msgspec import Struct

__all__ = ["PREFIX", "Way", "cleaned"]

PREFIX = re.compile(rb"/printers/([^/]+)(?=/|$)")
"""How a path begins that names its printer."""

# An encoded slash is a slash to the router, which sees decoded paths; so it is one here.
_SLASHES = re.compile(rb"(?:/|%2[Ff])+")


class Way(Struct, frozen=True):
    """What a path means."""

    asked: bytes
    """The path as the client wrote it, but ``cleaned``."""
    path: bytes
    """The same for the router: below a printer, whatever is a printer's."""
    within: bytes = b""
    """What a printer's own port has put before it; the client knows nothing of it."""
    is_meant: bool = False
    """Whether the client names no printer; the name that stands in ``path`` then is nobody's."""
    twin: bytes = b""
    """The twin's place that was taken off: ``/sl1``; empty at the printer's own path."""


def cleaned(path: bytes) -> bytes:
    """A path with single slashes and none at its end; whatever else was asked for as it is."""
    return b"/" + _SLASHES.sub(b"/", path).strip(b"/") if path.startswith(b"/") else path
