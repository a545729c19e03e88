"""The page at ``/`` and what it is made of: HTML with the present in it, a style sheet and ES modules.

One decision: the first answer is enough to see the printers, without a second request and without any script. The parts
are found under a path that names their content, so a browser asks for each of them once and never runs a new module
beside an old one; they are read once, at the start, and served from memory.
"""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from sdcpd.documents import Documents, PrinterDocument
from sdcpd.fleet import Fleet
from sdcpd.glance import NEEDS
from sdcpd.web.answer import Answer, has_etag
from sdcpd.web.client import Client
from sdcpd.web.errors import Refusal
from sdcpd.web.me import me_document
from sdcpd.web.routes import Call, Route

__all__ = ["FrontApi", "Part", "parts_in"]

DIRECTORY = Path(__file__).with_name("page")
TEMPLATE = "index.html"
FOREVER = "public, max-age=31536000, immutable"
_HOLE = re.compile(r"\{\{(\w+)\}\}")
_PADDING = re.compile(rb"(?m)^[ \t]*(?://.*$|/\*.*\*/$)|^[ \t]+")
"""What a browser does not need: indentation, and lines that are comments; the numbers of lines stay as they are."""
_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
"""Nothing runs and nothing loads but the parts, and no string ever becomes markup or script."""


class Part(msgspec.Struct, frozen=True):
    """One file that the page is made of."""

    body: bytes
    type: str
    etag: str


def parts_in(directory: Path) -> Mapping[str, Part]:
    """The parts by their names; the template is none."""
    found = {}
    for path in sorted(directory.iterdir()):
        if path.suffix in _TYPES:
            body = _PADDING.sub(b"", path.read_bytes())
            found[path.name] = Part(body, _TYPES[path.suffix], f'"{_digest(body)}"')
    return found


def _digest(*contents: bytes) -> str:
    digest = hashlib.blake2b(digest_size=9)
    for content in contents:
        digest.update(hashlib.blake2b(content).digest())
    return digest.hexdigest()


class FrontApi:
    """The page. ``present`` makes the first answer of the long poll for a client, as JSON."""

    def __init__(self, fleet: Fleet, documents: Documents, present: Callable[[Client], bytes], site: str) -> None:
        self._fleet = fleet
        self._documents = documents
        self._present = present
        self._parts = parts_in(DIRECTORY)
        self._template = (DIRECTORY / TEMPLATE).read_text(encoding="utf-8")
        self._version = _digest(*(part.body for part in self._parts.values()))
        self.site = site
        """The name of the place, as configured; empty if it has none."""
        self.routes = (
            Route("GET", "/", None, self.page, content="text/html"),
            Route("GET", "/page/<version>/<name>", None, self.part, content="text/javascript", also=(304, 404)),
        )

    def page(self, call: Call) -> Answer:
        """The page that people look at, with the present state in it."""
        client = call.client
        sees = "view" in client.scopes
        present = self._present(client) if sees else b"null"
        me = msgspec.json.encode(me_document(client, self._fleet))
        base = f"page/{self._version}"
        filled = {
            "site": html.escape(self.site or "sdcpd"),
            "base": base,
            "modules": "\n".join(
                f'<link rel="modulepreload" href="{base}/{name}">'
                for name in self._parts
                if name.endswith(".js") and name not in ("main.js", "theme.js")
            ),
            "printers": self._list(client) if sees else _CLOSED,
            "state": _inert(b'{"me":%s,"updates":%s}' % (me, present)),
        }
        text = _HOLE.sub(lambda hole: filled[hole[1]], self._template)  # at once: no name is ever taken for a hole
        headers = {"Cache-Control": "private, no-cache", "Vary": "X-Api-Key, Authorization"}
        headers["Content-Security-Policy"] = _POLICY
        return Answer(200, text.encode("utf-8"), "text/html; charset=utf-8", headers)

    def part(self, call: Call, version: str, name: str) -> Answer:
        """One part of the page; under the path of its present content it may be kept forever."""
        part = self._parts.get(name)
        if part is None:
            raise Refusal(404, "not_found", f"The page has no part {name[:100]!r}.", "GET / is the page.")
        headers = {"ETag": part.etag, "Cache-Control": FOREVER if version == self._version else "no-cache"}
        if has_etag(call.header("if-none-match"), part.etag):
            return Answer(304, headers=headers)
        return Answer(200, part.body, part.type, headers)

    def _list(self, client: Client) -> str:
        seen = [self._documents.printer(printer) for printer in self._fleet if client.sees(printer.id)]
        if not seen:
            return _NOBODY
        seen.sort(key=lambda printer: NEEDS.index(printer.needs) if printer.needs else len(NEEDS))
        return f'<ul class="cards">{"".join(map(_card, seen))}</ul>'


_CLOSED = "<p>This page shows the printers to who has a key, or comes from a trusted address.</p>"
_NOBODY = (
    "<p>No printer has been found yet. Switch one on that is in this network; one in another network (a guest Wi-Fi, "
    "a VLAN) is found where its address stands under [discovery] targets.</p>"
)


def _card(printer: PrinterDocument) -> str:
    """One printer, for the moment before the script runs, and for who runs none."""
    text = html.escape
    lines = [f'<h2><bdi>{text(printer.name)}</bdi></h2><p class="state">{text(printer.state_text)}</p>']
    if printer.file:
        lines.append(f'<p class="file"><bdi>{text(printer.file)}</bdi></p>')
    if printer.total_layers:
        lines.append(
            f'<progress max="100" value="{printer.progress or 0:g}" aria-label="Progress"></progress>'
            f"<p>Layer {printer.layer} of {printer.total_layers}</p>"
        )
    if printer.message:
        lines.append(f"<p>{text(printer.message)}</p>")
    return f'<li class="card plain">{"".join(lines)}</li>'


def _inert(document: bytes) -> str:
    """JSON that ends no script element, whatever the names in it are."""
    return document.decode("utf-8").replace("<", "\\u003c")
