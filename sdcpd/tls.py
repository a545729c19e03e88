"""TLS: loaded at the start if an endpoint of the configuration wants it, and else left out.

One decision: a package is left out as Python documents it, by a ``None`` in ``sys.modules`` (import system, 5.3.1),
before somebody looks whether it is there; Twisted then does without, as where it was installed without TLS. pyOpenSSL
and cryptography are 13 MB, a fifth of an idle daemon, and most serve a home's own network in clear text. Python's own
modules of OpenSSL are another 5 MB, and ``python -m sdcpd`` leaves them out, too: Python's library does without them,
as where it was built without. hashlib has implementations of its own: MD5, which every upload needs, is as fast
(180 MB/s, OpenSSL's 168), SHA-256, which uploads to Moonraker's API need besides, is not (93 MB/s, OpenSSL's 436).
"""

from __future__ import annotations

import sys
from typing import cast

from sdcpd.config import Config
from sdcpd.errors import ConfigError

__all__ = ["check", "errors", "leave_out", "let_in", "wanted"]

_PACKAGE = "OpenSSL"
_PYTHONS_OWN = ("ssl", "_hashlib")
_LESS_WITHOUT = ("http.client", "urllib.request")
"""What has no HTTPS if it is imported where ``ssl`` is left out; prometheus-client refuses such ones."""


def wanted(config: Config) -> bool:
    """Whether an endpoint needs it. Printers know no TLS, so theirs never do."""
    return any(_is_tls(listen) for listen in (*config.web.listen, config.mqtt.clients.listen))


def leave_out() -> None:
    """From now on there is no TLS in this process, and nothing of OpenSSL, unless it is loaded already."""
    modules = cast(dict[str, object], sys.modules)
    for name in (_PACKAGE, *_PYTHONS_OWN):
        modules.setdefault(name, None)


def let_in() -> None:
    """Everything is loaded that can do without Python's ``ssl``: who comes later and cannot shall have it."""
    if sys.modules.get("ssl", sys) is None:
        for name in (*_PYTHONS_OWN, *_LESS_WITHOUT):
            sys.modules.pop(name, None)


def check(description: str, place: str) -> None:
    """Raise ``ConfigError`` for an endpoint with TLS where TLS was left out."""
    if _is_tls(description) and sys.modules.get(_PACKAGE, sys) is None:
        raise ConfigError(
            f"{place}: {description.partition(':')[0]}: cannot be used until the next start",
            "Restart the daemon: TLS is loaded at the start only, if an endpoint wants it then.",
        )


def errors(description: str) -> tuple[type[Exception], ...]:
    """What may be wrong with key and certificate of an endpoint, beyond Python's own errors."""
    if not _is_tls(description):
        return ()
    from OpenSSL.crypto import Error

    return (Error,)


def _is_tls(description: str) -> bool:
    return description.startswith("ssl:")
