"""What of a request's address may be written down.

One decision: whatever a parameter's name lets suspect is blacked out, not only the names that we read: people mistype
``apikey``, and their key would be in the log all the same.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

__all__ = ["redacted"]

_SECRETS = re.compile(rb"key|token|password|secret", re.IGNORECASE)


def redacted(uri: bytes) -> str:
    """The URI for the log: without the keys that some clients put there."""
    path, mark, query = uri.partition(b"?")
    pairs = (pair.partition(b"=") for pair in query.split(b"&"))
    shown = (n + sign + (b"***" if _SECRETS.search(unquote_to_bytes(n)) else value) for n, sign, value in pairs)
    return (path + mark + b"&".join(shown)).decode("ascii", "backslashreplace")
