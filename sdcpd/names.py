"""What files are called: by people, and on the wire to a printer.

One decision: a folder is nothing but the part of a name before a slash. It comes with its first file and goes with
its last, so moving, copying and listing folders are matters of names alone, and the bytes never move.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable

from sdcpd.errors import BadName, NameTaken

__all__ = [
    "DEEPEST",
    "LONGEST_NAME",
    "LONGEST_PATH",
    "above",
    "base_name",
    "check_free",
    "content_of",
    "display_name",
    "folders_of",
    "inside",
    "wire_stem",
]

LONGEST_NAME = 200
"""UTF-8 bytes of each part of a display name: any file system and any header can carry it."""
LONGEST_PATH = 800
"""UTF-8 bytes of a whole name, with its folders."""
DEEPEST = 8
"""Folders in each other."""
LONGEST_STEM = 19
"""With ``_``, 8 digits and the extension: 32, which every firmware is known to take (users.md, P8)."""

_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_WIRE = re.compile(r"[A-Za-z0-9_-]+_([0-9a-f]{8}\.(?:goo|ctb))")
_RENAME = "Rename the file, for example to model.goo, and send it again."


def display_name(text: str) -> str:
    """The name to keep for a file that somebody calls ``text``, with its folders: any script, NFC-normalised.

    Raises ``BadName`` if it could not be stored or shown safely.
    """
    name = unicodedata.normalize("NFC", text)
    if not name.strip():
        raise BadName("the file name is empty", "Give the file a name, for example model.goo.")
    if (length := len(name.encode(errors="surrogatepass"))) > LONGEST_PATH:
        raise BadName(f"the file name has {length} bytes, {LONGEST_PATH} are possible with all folders", _RENAME)
    parts = name.split("/")
    if len(parts) > DEEPEST + 1:
        raise BadName(f"the file name has {len(parts) - 1} folders, {DEEPEST} are possible", "Use fewer folders.")
    for part in parts:
        _check_part(part, name)
    if re.fullmatch("[0-9A-Fa-f]{32}", name):
        raise BadName(f"the file name {name} could be taken for the MD5 of another file", _RENAME)
    return name


def _check_part(part: str, name: str) -> None:
    if not part.strip():
        raise BadName(f"the file name {name!r} has a folder or a file without a name", _RENAME)
    if (length := len(part.encode(errors="surrogatepass"))) > LONGEST_NAME:
        raise BadName(f"the file name has {length} bytes, {LONGEST_NAME} are possible", _RENAME)
    if part.startswith("."):
        raise BadName(f"the file name {part!r} begins with a dot", _RENAME)
    for character in part:
        if character == "\\":
            raise BadName(f"the file name {part!r} contains {character}", "Folders are separated by a slash.")
        if character in _BIDI or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
            raise BadName(f"the file name {part!r} contains U+{ord(character):04X}, which is not shown", _RENAME)


def base_name(name: str) -> str:
    """The name without its folders."""
    return name.rpartition("/")[2]


def above(name: str) -> str:
    """The folder that a file or a folder is in; empty for the root."""
    return name.rpartition("/")[0]


def inside(name: str, folder: str) -> bool:
    """Whether a file of that name is in the folder, or in one inside it; everything is in the folder ``""``."""
    return not folder or name.startswith(f"{folder}/")


def folders_of(names: Iterable[str]) -> set[str]:
    """Every folder that one of these files is in."""
    found: set[str] = set()
    for name in names:
        while (name := above(name)) and name not in found:
            found.add(name)
    return found


def check_free(name: str, names: Collection[str], folders: Collection[str] | None = None) -> None:
    """See that ``name`` can be a file beside the others, which may have it. Raises ``NameTaken``.

    ``folders`` are those of ``names``, for who asks about many names: else each question looks at all of them.
    """
    parts = name.split("/")
    for depth in range(1, len(parts)):
        if (folder := "/".join(parts[:depth])) in names:
            raise NameTaken(f"{folder!r} is a file, and cannot be a folder, too", "Choose another folder.")
    if any(inside(other, name) for other in names) if folders is None else name in folders:
        raise NameTaken(f"{name!r} is a folder, and cannot be a file, too", "Choose another name.")


def content_of(wire_name: str) -> str:
    """What a name of ours on the wire tells of the bytes: 8 digits of their MD5 and the extension; else empty."""
    found = _WIRE.fullmatch(wire_name)
    return found[1] if found else ""


def wire_stem(name: str) -> str:
    """What stays of a display name on the wire: short, safe ASCII, without folders and extension."""
    stem = re.sub(r"\.(goo|ctb|prz)\Z", "", base_name(name), flags=re.IGNORECASE)
    ascii_stem = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    return re.sub("[^A-Za-z0-9-]+", "_", ascii_stem).strip("_-")[:LONGEST_STEM].rstrip("_-") or "file"
