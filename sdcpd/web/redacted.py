"""What of a request's address may be written down.

One decision: whatever a parameter's name lets suspect is blacked out, not only the names that we read: people mistype
``apikey``, and their key would be in the log all the same. So is whatever has the shape of a key, wherever it stands:
people paste keys where ids belong.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

__all__ = ["redacted"]

_SECRETS = re.compile(rb"key|token|password|secret", re.IGNORECASE)
# Twisted takes ";" for "&"; and who appends a query to an address that has one writes "?".
_SEPARATORS = re.compile(rb"([&;?])")
_KEY = re.compile(rb"sdcpd(?:_|%5F)[0-9A-F]{8}(?:_|%5F)[A-Z2-7]+", re.IGNORECASE)

_APP = re.compile(rb"(appkeys(?:/|%2F)+(?:request|auth|decision)(?:/|%2F)+)[^/]+", re.IGNORECASE)


def redacted(uri: bytes) -> str:
    """The URI for the log: without the keys that some clients put there."""
    path, mark, query = uri.partition(b"?")
    shown = b"".join(_shown(part) for part in _SEPARATORS.split(query))
    return _KEY.sub(b"***", _APP.sub(rb"\1***", path) + mark + shown).decode("ascii", "backslashreplace")


def _shown(part: bytes) -> bytes:
    name, sign, value = part.partition(b"=")
    return name + sign + (b"***" if value and _SECRETS.search(unquote_to_bytes(name)) else value)
