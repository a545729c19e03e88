"""The few words of G-code that mean something to a resin printer.

One decision: a script is understood as a whole or refused as a whole, before anything of it is done. There is no G-code
channel in SDCP, and nothing that is not listed here is ever taken for done (reference apis.md 1.2, 1.3).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum

from msgspec import Struct

__all__ = ["HELP", "LONGEST", "MOST", "Step", "Verb", "steps_of"]


class Verb(Enum):
    """What a line asks for."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    STOP = "stop"
    """At once, whatever runs."""
    PRINT = "print"
    SAY = "say"


class Step(Struct, frozen=True):
    """One line: the verb, and the file's name or the text that goes with it."""

    verb: Verb
    text: str = ""


HELP: Mapping[str, str] = {
    "PAUSE": "Pauses the current print",
    "RESUME": "Resumes the print from a pause",
    "CANCEL_PRINT": "Cancels the current print",
    "SDCARD_PRINT_FILE": "Prints a stored file: FILENAME=<name>",
    "M117": "Keeps a line of text in the printer's log",
    "RESPOND": "Keeps a line of text in the printer's log: MSG=<text>",
    "M112": "Stops the current print; nothing harsher exists",
}

_VERBS = {
    "PAUSE": Verb.PAUSE,
    "M25": Verb.PAUSE,
    "RESUME": Verb.RESUME,
    "M24": Verb.RESUME,
    "CANCEL_PRINT": Verb.CANCEL,
    "M524": Verb.CANCEL,
    "M112": Verb.STOP,
    "SDCARD_PRINT_FILE": Verb.PRINT,
    "M117": Verb.SAY,
    "RESPOND": Verb.SAY,
}
_NAMED = {Verb.PRINT: ("SDCARD_PRINT_FILE", "FILENAME"), Verb.SAY: ("RESPOND", "MSG")}
# No part of it can be read in two ways, so a line costs what its length is, whatever is in it.
_PARAMETER = r"""(?:^|\s){}=(?:"([^"]*)"|'([^']*)'|((?:\S|\s+(?!\s|[A-Za-z_]+=))*))"""
LONGEST = 200
"""Characters of a text that are kept."""
MOST = 100
"""Lines of one script."""


def steps_of(script: str) -> list[Step] | None:
    """The steps of a script, line by line; None if a line is none of ours, or there are none or more than ``MOST``."""
    lines = [line.strip() for line in script.splitlines()]
    lines = [line for line in lines if line and not line.startswith(";")]
    if len(lines) > MOST:
        return None
    steps = [_step(line) for line in lines]
    found = [step for step in steps if step is not None]
    return found if found and len(found) == len(steps) else None


def _step(line: str) -> Step | None:
    word, _, rest = line.partition(" ")
    verb = _VERBS.get(word.upper())
    if verb is None:
        return None
    rest = rest.strip()
    if verb in _NAMED:
        named, parameter = _NAMED[verb]
        if word.upper() == named:
            match = re.search(_PARAMETER.format(parameter), rest, re.IGNORECASE)
            if match is None:
                return None
            rest = next((part for part in match.groups() if part is not None), "").strip()
        if verb is Verb.PRINT and not rest:
            return None
    return Step(verb, rest[:LONGEST] if verb is Verb.SAY else rest)
