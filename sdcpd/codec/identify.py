"""What a file is, told from its first bytes and never from its name.

One decision: a refusal is half of the answer. Whoever sends a ZIP, a G-code or a web form by mistake reads what
it was that arrived and what to do instead, so the foreign kinds that people really send are listed here too
(formats.md, section 1).
"""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

from sdcpd.errors import UnknownFormat

__all__ = ["ENOUGH", "HEAD", "Format", "Identity", "identify"]

ENOUGH = 16
"""Bytes that decide whether a file is one of ours."""
HEAD = 64
"""Bytes that ``identify`` looks at where it has them: the version of an encrypted CTB, names of foreign kinds."""

Format = Literal["goo", "ctb"]

_GOO = re.compile(rb"V(\d\.\d)\x07\x00\x00\x00DLP\x00", re.DOTALL)
_GOO_VERSION = re.compile(r"3\.0|5\.\d")
_CTB = {
    b"\x86\x00\xfd\x12": (4, False),  # v2, v3
    b"\x06\x01\xfd\x12": (4, False),  # v4, v5
    b"\x10\x08\x22\xff": (4, False),  # v4 of the UniFormation GKtwo
    b"\x07\x01\xfd\x12": (16, True),  # v4, v5, encrypted
}
"""Magic -> where the version stands, whether the rest is encrypted."""

_SLICE = "Send a .goo or .ctb file: slice the model for this printer, or convert the file with UVtools."
_MODEL = "This is a model, not a sliced file: slice it for this printer and send the .goo or .ctb file."
_RAW = "Send the .goo or .ctb file itself (curl -T model.goo), or the form to an address that takes forms."
_AGAIN = "The file is damaged or empty where it was made: export the .goo or .ctb file again and send it."

_FOREIGN: tuple[tuple[bytes, str, str], ...] = (
    (rb"PK(\x03\x04|\x05\x06)", "a ZIP archive (SL1, NanoDLP, CWS, 3MF ...)", _SLICE),
    (rb"\x19\x00\xfd\x12", "a CBDDLP or old .photon file, which networked printers do not take", _SLICE),
    (rb"\xae\x83\xda\x9f", "a PHZ file", _SLICE),
    (rb"ANYCUBIC", "a Photon Workshop file for an Anycubic printer", _SLICE),
    (rb"\x89PNG", "a PNG picture", _SLICE),
    (rb"\xff\xd8\xff", "a JPEG picture", _SLICE),
    (rb"GIF8", "a GIF picture", _SLICE),
    (rb"%PDF", "a PDF document", _SLICE),
    (rb"\x1f\x8b|7z\xbc\xaf|Rar!|\xfd7zXZ|BZh", "a compressed archive", _SLICE),
    (rb"\x7fELF|MZ", "a program", _SLICE),
    (rb"\s*--[-\w]", "a web form (multipart/form-data) with the file inside", _RAW),
    (rb"\s*<(!doctype|html|head|body)", "a web page (HTML)", _SLICE),
    (rb"\s*<\?xml|\s*<", "an XML or HTML text", _SLICE),
    (rb"\s*[{\[]", "a JSON text", _SLICE),
    (rb"solid\b|.{0,57}\bstl\b|exported from blender", "an STL model", _MODEL),
    (rb"(#[^\n]*\n|\s)*(mtllib|o|g|v|vn) \S", "an OBJ model", _MODEL),
    (rb"\s*(;|[GMT]\d+\b)", "a G-code text", _SLICE),
    (rb"\x00+\Z", "nothing but zero bytes", _AGAIN),
)
"""Pattern of the head, what it is called, what to do: the first match names it."""
_PATTERNS = tuple((re.compile(head, re.DOTALL | re.IGNORECASE), kind, hint) for head, kind, hint in _FOREIGN)


class Identity(Struct, frozen=True):
    """What a sliced file says it is."""

    kind: Format
    extension: Literal[".goo", ".ctb"]
    version: str
    """As the file gives it: ``3.0`` of a GOO, ``4`` of a CTB; empty where the head was too short to tell."""
    encrypted: bool


def identify(head: bytes) -> Identity:
    """Tell what file begins with ``head``, its first ``ENOUGH`` bytes or more (all, if it is shorter).

    Raises ``UnknownFormat`` for whatever is neither .goo nor .ctb, naming what it is where that can be seen.
    """
    head = head[:HEAD]
    if goo := _GOO.match(head):
        version = goo[1].decode()
        if not _GOO_VERSION.fullmatch(version):
            raise UnknownFormat(
                f"a GOO file of version {version}; 3.0 and 5.x are known",
                "Save it as a .goo of version 3.0, or as .ctb, in the slicer or with UVtools.",
            )
        return Identity("goo", ".goo", version, encrypted=False)
    if ctb := _CTB.get(head[:4]):
        start, encrypted = ctb
        number = head[start : start + 4]
        version = str(int.from_bytes(number, "little")) if len(number) == 4 else ""
        return Identity("ctb", ".ctb", version, encrypted)
    raise _refusal(head)


def _refusal(head: bytes) -> UnknownFormat:
    """Why ``head`` is not one of ours."""
    if not head:
        return UnknownFormat("the file is empty, expected a .goo or .ctb file", _AGAIN)
    if re.match(rb"V\d\.\d", head):
        return UnknownFormat("a file that begins like GOO, but without its magic number: it is damaged", _AGAIN)
    text = head.removeprefix(b"\xef\xbb\xbf")
    for pattern, kind, hint in _PATTERNS:
        if pattern.match(text):
            return UnknownFormat(f"this is {kind}, expected a .goo or .ctb file", hint)
    if len(head) < ENOUGH:
        return UnknownFormat(f"the file has only {len(head)} bytes, expected a .goo or .ctb file", _AGAIN)
    return UnknownFormat(f"the file begins with {head[:8].hex(' ')}, which is neither .goo nor .ctb", _SLICE)
