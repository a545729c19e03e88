"""The page on which an administrator lets a program in, or not.

One decision: there are no cookies and there is no script, so the page can do nothing by itself: whoever decides types
an admin's key into it. What the program says of itself is shown as text and nothing else, and no other site can show
the page within one of its own.
"""

from __future__ import annotations

import html
from base64 import b64encode
from hashlib import sha256

from msgspec import Struct

from sdcpd.records import Key
from sdcpd.web.answer import Answer
from sdcpd.web.errors import Refusal

__all__ = ["Facts", "done", "over", "question"]


class Facts(Struct, frozen=True):
    """Who asks, and for what."""

    app: str
    user: str
    address: str
    scopes: tuple[str, ...]
    printers: tuple[str, ...]
    """Their names; none is all."""


_ALLOWS = {
    "view": "look at printers, jobs, files and history",
    "upload": "store, move and delete files",
    "queue": "change the queue",
    "control": "print, pause, resume and stop",
    "plate": "say that a build plate is clear",
}
_STYLE = """
:root{color-scheme:light dark;font:1rem/1.5 system-ui,sans-serif}
body{max-width:34rem;margin:2rem auto;padding:0 1rem;overflow-wrap:anywhere}
dt{font-weight:bold}dd{margin:0 0 .6rem}
label,input{display:block;width:100%;box-sizing:border-box}
input,button{font:inherit;padding:.6rem}
button{margin:1rem 1rem 0 0}
[role=alert]{border-left:.3rem solid #c00;padding-left:.8rem}
"""
_HASH = b64encode(sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    # With no-referrer a browser would send "Origin: null" with the form, like another site's page.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>sdcpd: {title}</title>
<style>{style}</style>
<h1>{title}</h1>
{body}
</html>
"""
_QUESTION = """{problem}<p>A program asks for a key. Is it yours, and have you just told it to?</p>
<dl>
<dt>It calls itself</dt><dd>{app}</dd>
<dt>For the user</dt><dd>{user}</dd>
<dt>From the address</dt><dd>{address}</dd>
<dt>It could then</dt><dd><ul>{allows}</ul></dd>
<dt>On</dt><dd>{printers}</dd>
</dl>
<form method="post">
<label for="key">An admin's key (the daemon's own is in admin.key in its state directory)</label>
<input id="key" name="key" type="password" required autocomplete="off" autofocus>
<button name="decision" value="allow">Allow</button><button name="decision" value="refuse">Refuse</button>
</form>"""


def question(facts: Facts, problem: Refusal | None = None) -> Answer:
    """The question, with what was wrong about the last answer to it."""
    words = {
        "app": html.escape(facts.app),
        "user": html.escape(facts.user) or "(it does not say)",
        "address": html.escape(facts.address) or "this machine",
        "allows": "".join(f"<li>{_ALLOWS[scope]}</li>" for scope in facts.scopes),
        "printers": html.escape(", ".join(facts.printers)) or "all printers",
        "problem": "" if problem is None else f'<p role="alert">{html.escape(problem.sentence)}</p>',
    }
    return _page("Let a program in?", _QUESTION.format(**words), problem)


def done(facts: Facts, key: Key | None) -> Answer:
    """What has become of it."""
    app = html.escape(facts.app)
    if key is None:
        return _page("Refused", f"<p>{app} gets no key. You can close this page.</p>")
    name = html.escape(key.name)
    text = f"<p>{app} fetches its key now. You can close this page.</p><p>To take it back: sdcp-key revoke {name}</p>"
    return _page("Allowed", text)


def over(refusal: Refusal) -> Answer:
    """There is nothing to decide."""
    return _page("Nothing to decide", f"<p>{html.escape(refusal.sentence)}</p>", refusal)


def _page(title: str, body: str, problem: Refusal | None = None) -> Answer:
    status, headers = (200, {}) if problem is None else (problem.status, problem.headers)
    text = _PAGE.format(title=title, style=_STYLE, body=body)
    return Answer(status, text.encode(), "text/html; charset=utf-8", {**headers, **_HEADERS})
