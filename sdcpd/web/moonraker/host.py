"""The machine that the daemon runs on, in numbers: processor, memory, network, uptime.

One decision: everything comes from ``/proc`` at the moment somebody asks, without a thread and without a sampler;
shares of processor time are those since the last question. What this machine does not tell is null, never made up.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["Host"]

_PAGE = os.sysconf("SC_PAGE_SIZE")


class Host:
    """Reads ``proc`` and ``thermal``; ``clock`` gives seconds, ``wall`` those since the epoch."""

    def __init__(
        self,
        clock: Callable[[], float],
        wall: Callable[[], float],
        proc: Path,
        sys: Path,
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._proc = proc
        self._sys = sys
        self._own = (clock(), self._own_seconds())
        self._shares: dict[str, tuple[int, int]] = {}

    def _text(self, path: Path) -> str:
        try:
            return path.read_text("utf-8", "replace")
        except OSError:
            return ""

    # -- what it is ------------------------------------------------------------------------------------------

    def system_info(self) -> dict[str, Any]:
        """Processor, memory and distribution, as ``machine/system_info`` has them."""
        memory = self._memory()
        return {
            "cpu_info": {
                "cpu_count": os.cpu_count(),
                "bits": platform.architecture()[0],
                "processor": platform.machine(),
                "cpu_desc": self._first("cpuinfo", "model name"),
                "serial_number": "",
                "hardware_desc": self._first("cpuinfo", "Hardware"),
                "model": self._first("cpuinfo", "Model"),
                "total_memory": memory["total"],
                "memory_units": "kB",
            },
            "sd_info": {},
            "distribution": _distribution(),
            "virtualization": {"virt_type": "none", "virt_identifier": "none"},
            "python": {
                "version": [*map(int, platform.python_version_tuple()[:2])],
                "version_string": platform.python_version(),
            },
            "network": {},
            "canbus": {},
            "available_services": [],
            "service_state": {},
            "instance_ids": {"moonraker": "sdcpd", "klipper": ""},
            "provider": "none",
        }

    def _first(self, name: str, key: str) -> str:
        for line in self._text(self._proc / name).splitlines():
            found, _, value = line.partition(":")
            if found.strip() == key:
                return value.strip()
        return ""

    # -- how it is -------------------------------------------------------------------------------------------

    def proc_stats(self) -> dict[str, Any]:
        """Use of processor, memory and network, as ``machine/proc_stats`` has them."""
        uptime = self._text(self._proc / "uptime").split()
        return {
            "moonraker_stats": [self._own_stats()],
            "throttled_state": None,
            "cpu_temp": self._temperature(),
            "network": self._network(),
            "system_cpu_usage": self._processors(),
            "system_uptime": float(uptime[0]) if uptime else None,
            "system_memory": self._memory(),
            "websocket_connections": 0,
        }

    def _own_seconds(self) -> float:
        times = os.times()
        return times.user + times.system

    def _own_stats(self) -> dict[str, Any]:
        now, used = self._clock(), self._own_seconds()
        before, self._own = self._own, (now, used)
        passed = now - before[0]
        pages = self._text(self._proc / "self" / "statm").split()
        return {
            "time": self._wall(),
            "cpu_usage": round(100 * (used - before[1]) / passed, 2) if passed > 0 else 0.0,
            "memory": int(pages[1]) * _PAGE // 1024 if len(pages) > 1 else None,
            "mem_units": "kB",
        }

    def _temperature(self) -> float | None:
        text = self._text(self._sys / "class" / "thermal" / "thermal_zone0" / "temp").strip()
        return int(text) / 1000 if text.lstrip("-").isdigit() else None

    def _processors(self) -> dict[str, float]:
        """Percent of each processor's time that was used since the last question, or since the machine's start."""
        found = {}
        for line in self._text(self._proc / "stat").splitlines():
            name, *words = line.split()
            if not name.startswith("cpu"):
                break
            ticks = [int(word) for word in words[:8]]
            total, idle = sum(ticks), sum(ticks[3:5])
            before = self._shares.get(name, (0, 0))
            self._shares[name] = (total, idle)
            passed = total - before[0]
            found[name] = round(100 * (1 - (idle - before[1]) / passed), 2) if passed > 0 else 0.0
        return found

    def _memory(self) -> dict[str, int | None]:
        """In kB."""
        lines = (line.partition(":") for line in self._text(self._proc / "meminfo").splitlines())
        known: Mapping[str, int] = {
            name: int(rest.split()[0]) for name, _, rest in lines if rest.split() and rest.split()[0].isdigit()
        }
        total, free = known.get("MemTotal"), known.get("MemAvailable")
        used = total - free if total is not None and free is not None else None
        return {"total": total, "available": free, "used": used}

    def _network(self) -> dict[str, dict[str, int]]:
        found = {}
        for line in self._text(self._proc / "net" / "dev").splitlines()[2:]:
            name, _, rest = line.partition(":")
            words = [int(word) for word in rest.split() if word.isdigit()]
            if len(words) >= 16:
                found[name.strip()] = {
                    "rx_bytes": words[0],
                    "rx_packets": words[1],
                    "rx_errs": words[2],
                    "rx_drop": words[3],
                    "tx_bytes": words[8],
                    "tx_packets": words[9],
                    "tx_errs": words[10],
                    "tx_drop": words[11],
                }
        return found


def _distribution() -> dict[str, Any]:
    try:
        told = platform.freedesktop_os_release()
    except OSError:
        told = {}
    version = told.get("VERSION_ID", "")
    major, _, minor = version.partition(".")
    return {
        "name": told.get("PRETTY_NAME", ""),
        "id": told.get("ID", ""),
        "version": version,
        "version_parts": {"major": major, "minor": minor, "build_number": ""},
        "like": told.get("ID_LIKE", ""),
        "codename": told.get("VERSION_CODENAME", ""),
        "release_info": {},
        "kernel_version": platform.release(),
    }
