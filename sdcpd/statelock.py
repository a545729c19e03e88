"""The state directory belongs to one daemon at a time.

One decision: the lock is the kernel's and ends with its process, however that ends: nothing is left to clean up.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from twisted.application.service import Service

from sdcpd.errors import ConfigError

__all__ = ["StateLock"]


class StateLock(Service):
    """The state directory belongs to this process until it ends: the kernel takes the lock away, and nobody before."""

    def __init__(self, directory: Path) -> None:
        self._descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.pread(self._descriptor, 20, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise ConfigError(
                f"[sdcpd] state_directory: another sdcpd (process {owner or 'unknown'}) uses this state directory,"
                f" {directory}",
                "Stop that one first, or give this one a directory and ports of its own.",
            ) from error
        self._sign()

    def privilegedStartService(self) -> None:
        """Twisted: the daemon begins, and has forked."""
        super().privilegedStartService()
        self._sign()  # as a daemon it is another process now; the lock has come along

    def _sign(self) -> None:
        os.ftruncate(self._descriptor, os.pwrite(self._descriptor, b"%d\n" % os.getpid(), 0))
