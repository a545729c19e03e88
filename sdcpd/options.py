"""What can be said to ``twistd sdcpd`` on its command line, and the configuration that follows from it.

One decision: everything but the path of the configuration is in the configuration.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, ClassVar

from twisted.python import usage

from sdcpd import config as configuration
from sdcpd.config import Config

__all__ = ["Options"]


class Options(usage.Options):
    """``twistd sdcpd``: everything else is in the configuration file."""

    synopsis = "[--config FILE]"
    longdesc = "The open hub for networked resin 3D printers that speak SDCP."
    optParameters: ClassVar = [
        ["config", "c", None, f"The configuration file [default: {configuration.DEFAULT}, if it exists]."]
    ]

    def parseOptions(self, options: Any = None) -> None:
        """Like Twisted's, but an error is one line and exit status 1."""
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            raise SystemExit(f"sdcpd: {str(error).rstrip('.')}. Try: twistd sdcpd --help") from error

    def opt_version(self) -> None:
        """Display the version and exit."""
        print(f"sdcpd {version('sdcpd')}")
        raise SystemExit(0)

    def load(self) -> Config:
        """The configuration of the file in force; raises ``ConfigError``."""
        return configuration.find(self["config"])
