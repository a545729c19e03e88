"""Paths as Moonraker's clients write them: a root, and what is in it.

One decision: one root holds files, ``gcodes``, and it is the store; the others are there because clients ask for
them, and are empty or only to be read. No path is a path of this machine, so none can lead out of its root; one that
tries is refused all the same.
"""

from __future__ import annotations

import unicodedata

from msgspec import Struct

from sdcpd.files import StoredFile
from sdcpd.web.moonraker.form import no

__all__ = ["GCODES", "ROOTS", "Item", "Place", "gcode_name", "item_of", "place_of", "root_of"]

GCODES = "gcodes"
ROOTS = {GCODES: "rw", "config": "r", "config_examples": "r", "logs": "r"}
"""The roots, and what may be done there."""


class Place(Struct, frozen=True):
    """A root, and a path in it without slashes around it; empty for the root itself."""

    root: str
    path: str

    @property
    def whole(self) -> str:
        """Both, as clients write it."""
        return f"{self.root}/{self.path}" if self.path else self.root

    def must_be_writable(self) -> None:
        """Refuse what would change another root than that of the files."""
        if ROOTS[self.root] != "rw":
            raise no(403, f"The root {self.root} is read-only")


class Item(Struct, frozen=True):
    """A file or a folder, as clients name it: the path is relative to the root."""

    path: str
    root: str = GCODES
    modified: float = 0.0
    size: int = 0
    permissions: str = "rw"


def item_of(file: StoredFile) -> Item:
    """A stored file as an item."""
    return Item(file.name, GCODES, file.uploaded_at, file.size)


def root_of(text: str) -> str:
    """A root's name."""
    if text not in ROOTS:
        raise no(400, "Invalid root")
    return text


def place_of(text: str) -> Place:
    """The place that ``root/path`` means."""
    root, _, path = text.strip("/").partition("/")
    return Place(root_of(root), _clean(path))


def gcode_name(text: str) -> str:
    """The store's name of what is called so in ``gcodes``, with or without that root's name before it."""
    name = _clean(text)
    return name.removeprefix(f"{GCODES}/")


def _clean(path: str) -> str:
    parts = [part for part in unicodedata.normalize("NFC", path).split("/") if part]
    if any(part in (".", "..") or "\0" in part for part in parts):
        raise no(403, "Forbidden")
    return "/".join(parts)
