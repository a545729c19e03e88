"""What happened, as lines for people who follow a log.

One decision: a line is made from the happening itself when somebody reads it; no log is kept.
"""

from __future__ import annotations

from sdcpd.fleet import Event

__all__ = ["LONGEST", "sentence_of"]

LONGEST = 500
"""Characters of one line; what people and files say of themselves may be longer."""


def sentence_of(event: Event) -> str:
    """One happening: what somebody said, or what it is called with its file and its message."""
    data = event.data
    text = data.get("text")
    if event.type == "message" and isinstance(text, str):
        return text[:LONGEST]
    words = [event.type.replace("_", " ")]
    words += [str(data[key]) for key in ("file", "message") if data.get(key)]
    return ": ".join(words)[:LONGEST]
