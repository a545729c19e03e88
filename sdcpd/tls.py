"""TLS: loaded at the start if an endpoint of the configuration wants it, and else left out.

One decision: a package is left out as Python documents it, by a ``None`` in ``sys.modules`` (import system, 5.3.1),
before Twisted looks whether it is there; Twisted then does without, as where it was installed without TLS. pyOpenSSL
and cryptography are 13 MB, a sixth of an idle daemon, and most serve a home's own network in clear text.
"""

from __future__ import annotations

import sys
from typing import cast

from sdcpd.config import Config
from sdcpd.errors import ConfigError

__all__ = ["check", "errors", "leave_out", "wanted"]

_PACKAGE = "OpenSSL"


def wanted(config: Config) -> bool:
    """Whether an endpoint needs it. Printers know no TLS, so theirs never do."""
    return any(_is_tls(listen) for listen in (*config.web.listen, config.mqtt.clients.listen))


def leave_out() -> None:
    """From now on there is no TLS in this process, unless it is loaded already."""
    modules = cast(dict[str, object], sys.modules)
    modules.setdefault(_PACKAGE, None)


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
