"""``machine/...``: the machine that the daemon runs on.

One decision: it may be looked at and not be touched. Shutting a host down is nobody's business who prints, so those
paths exist only to say so (reference apis.md 5.3, 7.4).
"""

from __future__ import annotations

from typing import Any

from sdcpd.web.moonraker.endpoint import Ask, Endpoint
from sdcpd.web.moonraker.form import no
from sdcpd.web.moonraker.host import Host

__all__ = ["MachineEndpoints"]

_SERVICES = ("restart", "start", "stop")


class MachineEndpoints:
    """Handlers over the host."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.endpoints = (
            Endpoint("GET", "/machine/system_info", "view", self.system_info),
            Endpoint("GET", "/machine/proc_stats", "view", self.proc_stats),
            *(
                Endpoint("POST", f"/machine/{verb}", "admin", self.disabled, also=(403,))
                for verb in ("shutdown", "reboot", *(f"services/{verb}" for verb in _SERVICES))
            ),
        )

    def system_info(self, ask: Ask) -> dict[str, Any]:
        """Processor, memory and distribution of the daemon's machine."""
        return {"system_info": self._host.system_info()}

    def proc_stats(self, ask: Ask) -> dict[str, Any]:
        """How busy the daemon's machine is."""
        return self._host.proc_stats()

    def disabled(self, ask: Ask) -> str:
        """Control of the daemon's machine: refused."""
        raise no(403, "machine control is disabled in the configuration")
