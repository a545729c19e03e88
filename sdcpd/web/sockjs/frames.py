"""The frames of SockJS: one letter, and JSON behind it for messages and for the end.

One decision: a message is encoded once, by whoever has it, and a frame joins what is encoded already, so a thousand
sessions that hear the same share its bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

__all__ = ["HEARTBEAT", "MOST_AT_ONCE", "OPEN", "Broken", "closing", "encoded", "framed", "received"]

OPEN = b"o"
HEARTBEAT = b"h"
MOST_AT_ONCE = 64
"""Messages that a client may send in one request."""
_MANGLED = re.compile("[\u200c-\u200f\u2028-\u202f\u2060-\u206f\ufff0-\uffff]")
"""What browsers may change on its way through a response; below the space JSON escapes everything anyway."""


class Broken(ValueError):
    """What a client sent is not what the protocol lets it send; the text is the protocol's own."""


def encoded(message: object) -> bytes:
    """A message as JSON that reaches a browser as it left."""
    text = msgspec.json.encode(message)
    if text.isascii():
        return text
    return _MANGLED.sub(lambda found: f"\\u{ord(found[0]):04x}", text.decode("utf-8")).encode("utf-8")


def framed(messages: Iterable[bytes]) -> bytes:
    """The frame that carries these encoded messages."""
    return b"a[" + b",".join(messages) + b"]"


def closing(code: int, reason: str) -> bytes:
    """The frame that ends a session."""
    return b"c" + encoded([code, reason])


def received(body: bytes) -> list[object]:
    """The messages of one ``xhr_send``: an array of them, or a single one. Raises ``Broken``."""
    if not body:
        raise Broken("Payload expected.")
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Broken("Broken JSON encoding.") from None
    messages = found if isinstance(found, list) else [found]
    if len(messages) > MOST_AT_ONCE:
        raise Broken(f"At most {MOST_AT_ONCE} messages at once.")
    return messages
