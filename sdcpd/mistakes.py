"""What is wrong in a configuration, in the words of whoever wrote it.

One decision: msgspec finds the mistakes; here its sentences become ours, with the place first, in TOML's words and
with what is known there, so that one line is enough to mend the file.
"""

from __future__ import annotations

import re
from typing import Literal, get_args, get_origin, get_type_hints

from msgspec import Struct

__all__ = ["sentence"]

_TYPES = {
    "array": 'a list such as ["..."]',
    "bool": "true or false",
    "float": "a number",
    "int": "a whole number",
    "object": "a table",
    "str": 'a text in "quotes"',
}


def sentence(problem: str, place: str, parts: list[str], section: type) -> str:
    """msgspec's error as a person would say it, with the place first and as the file writes it."""
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", problem, re.DOTALL)
    if unknown:
        known = ", ".join(section.__struct_fields__) if issubclass(section, Struct) else ""
        return f"{place} {unknown[1]}: unknown key; known here: {known}".lstrip()
    for part in parts:
        place += f" item {int(part) + 1}" if part.isdecimal() else f" {part}"
    choices = _choices(get_type_hints(section)[parts[0]]) if parts and issubclass(section, Struct) else ()
    if choices and problem.startswith("Invalid enum value "):
        problem = f"expected {' or '.join(choices)}, found {problem.removeprefix('Invalid enum value ')}"
    types = re.fullmatch(r"Expected `(.*)`, got `(.*)`", problem)
    if types:
        problem = f"expected {_words(types[1])}, found {_words(types[2])}"
    return f"{place.lstrip()}: {problem}"


def _choices(hint: object) -> tuple[str, ...]:
    if get_origin(hint) is Literal:
        return get_args(hint)
    return next((found for part in get_args(hint) if (found := _choices(part))), ())


def _words(types: str) -> str:
    return " or ".join(_TYPES.get(name, name) for name in types.split(" | "))
