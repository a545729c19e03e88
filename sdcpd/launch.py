"""The twistd plugin's way in: what has to be decided before Twisted's network is imported.

One decision: this module imports next to nothing, so that the configuration is read first and decides what is loaded;
``tap`` comes after it and puts everything together.
"""

from __future__ import annotations

from twisted.application.service import IService

from sdcpd import tls
from sdcpd.errors import ConfigError
from sdcpd.options import Options

__all__ = ["Options", "makeService"]


def makeService(options: Options) -> IService:
    """Twisted: the daemon. A bad configuration ends with exit status 1 and one line."""
    try:
        config = options.load()
    except ConfigError as error:
        raise SystemExit(f"sdcpd: {error.message}. {error.hint}".rstrip(". ") + ".") from error
    if not tls.wanted(config):
        tls.leave_out()
    from sdcpd import tap

    tls.let_in()
    return tap.makeService(options)
