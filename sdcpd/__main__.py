"""``python -m sdcpd [--config FILE]``: the daemon in the foreground, as ``twistd sdcpd`` and 5 MB smaller.

One decision: the configuration is read before the first module of Twisted is imported, because Twisted imports asyncio
and urllib, and these OpenSSL, wherever it is. Everything else is ``twistd``'s, which also says what is wrong with the
command line or the configuration: whatever cannot be read here leaves nothing out.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from getopt import GetoptError, getopt

from sdcpd import config, tls
from sdcpd.errors import ConfigError

__all__ = ["configuration", "main"]

_TWISTD = ("twistd", "--nodaemon", "--pidfile=", "--logger", "sdcpd.logs.console", "sdcpd")


def configuration(arguments: Sequence[str]) -> config.Config | None:
    """The configuration that these arguments name, as ``options.Options`` finds it; None if there is none to be had."""
    try:
        given, _ = getopt(arguments, "c:", ["config=", "help", "version"])
        named = [value for name, value in given if name in ("-c", "--config")]
        return config.find(named[-1] if named else None)
    except (GetoptError, ConfigError):
        return None


def main() -> None:
    """Run the daemon until it ends."""
    found = configuration(sys.argv[1:])
    if found is not None and not tls.wanted(found):
        tls.leave_out()
    sys.argv[:] = [*_TWISTD, *sys.argv[1:]]
    from twisted.scripts.twistd import run

    run()


if __name__ == "__main__":
    main()
