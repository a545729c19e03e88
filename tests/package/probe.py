"""Tries what the unit's sandbox is there to refuse, and what the daemon needs; prints what happened, as JSON.

One decision: it knows nothing of the unit. A refusal is the error's name, and what went through is null.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)


def _call(*words: int | bytes | None) -> None:
    """A system call by its number."""
    if _libc.syscall(*words) == -1:
        raise OSError(ctypes.get_errno(), "refused")


def _write(path: str) -> Callable[[], object]:
    return lambda: Path(path, "probe").write_text("x")


def _socket(family: int, kind: int = socket.SOCK_DGRAM) -> Callable[[], None]:
    return lambda: socket.socket(family, kind).close()


def _broadcast() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)


def _code() -> None:
    _libc.mmap.restype = ctypes.c_void_p
    found = _libc.mmap(None, ctypes.c_size_t(4096), 7, 0x22, -1, ctypes.c_long(0))
    if found == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "refused")


def _suid() -> None:
    path = Path("/tmp/suid")
    path.write_text("x")
    path.chmod(0o4755)


def _empty(directory: str) -> Callable[[], None]:
    def look() -> None:
        ours = {place for path in (sys.prefix, sys.base_prefix, __file__) for place in Path(path).parents}
        if not [name for name in os.listdir(directory) if Path(directory, name) not in ours]:
            raise OSError(errno.ENOENT, "nothing there")

    return look


def _others() -> None:
    if not [name for name in os.listdir("/proc") if name.isdigit() and name != str(os.getpid())]:
        raise OSError(errno.ENOENT, "nobody there")


def _thread() -> None:
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()


def _namespace() -> None:
    if _libc.unshare(0x10000000):
        raise OSError(ctypes.get_errno(), "refused")


TRIALS: dict[str, Callable[[], object]] = {
    "write state": _write(os.environ["STATE_DIRECTORY"]),
    "write runtime": _write(os.environ["RUNTIME_DIRECTORY"]),
    "write config": _write(os.environ["CONFIGURATION_DIRECTORY"]),
    "write tmp": _write("/tmp"),
    "write etc": _write("/etc"),
    "write usr": _write("/usr"),
    "write run": _write("/run"),
    "write var": _write("/var/lib"),
    "write sysctl": lambda: Path("/proc/sys/vm/swappiness").write_text("1"),
    "write dev": _write("/dev"),
    "read config": lambda: os.listdir(os.environ["CONFIGURATION_DIRECTORY"]),
    "read home": _empty("/home"),
    "read stat": lambda: Path("/proc/stat").read_text(),
    "read meminfo": lambda: Path("/proc/meminfo").read_text(),
    "read kmsg": lambda: Path("/dev/kmsg").open("rb").close(),
    "see other processes": _others,
    "IPv4 socket": _socket(socket.AF_INET, socket.SOCK_STREAM),
    "broadcast socket": _broadcast,
    "IPv6 socket": _socket(socket.AF_INET6, socket.SOCK_STREAM),
    "Unix socket": _socket(socket.AF_UNIX),
    "netlink socket": _socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "packet socket": _socket(socket.AF_PACKET, socket.SOCK_RAW),
    "Bluetooth socket": _socket(31),
    "make code": _code,
    "make a thread": _thread,
    "make a namespace": _namespace,
    "set user": lambda: os.setuid(0),
    "set suid": _suid,
    "set personality": lambda: _call(135, 0x0400000),
    "set host name": lambda: socket.sethostname("probe"),
    "set the clock": lambda: __import__("time").clock_settime(0, 1.0),
    "be in real time": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
    "mount": lambda: _call(165, b"none", b"/tmp", b"tmpfs", 0, None),
    "trace": lambda: _call(101, 0, 0, 0, 0),
    "own a file": lambda: os.chown(os.environ["STATE_DIRECTORY"], 0, 0),
    "ask for the limit": lambda: resource.getrlimit(resource.RLIMIT_NOFILE),
}
"""System call numbers are those of x86-64; elsewhere they name other calls, which the filter refuses as well."""


def _refusal(trial: Callable[[], object]) -> str | None:
    try:
        trial()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return None


if __name__ == "__main__":
    lines = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    bases = {"CapEff": 16, "CapBnd": 16, "NoNewPrivs": 10, "Seccomp": 10, "Umask": 8}
    found: dict[str, object] = {what: _refusal(trial) for what, trial in TRIALS.items()}
    found["status"] = {name: int(lines[name], base) for name, base in bases.items()}
    found["user"] = os.getuid()
    found["limits"] = resource.getrlimit(resource.RLIMIT_NOFILE)
    json.dump(found, sys.stdout)
