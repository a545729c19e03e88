"""The system calls that a unit leaves, as filters of the kernel, by libseccomp.

One decision: each setting is a filter of its own, as systemd makes them: what any of them refuses is refused.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import subprocess
from collections.abc import Iterable

from tests.package.unit import Unit

__all__ = ["available", "install", "names_of", "system_calls"]

_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_NE, _LT, _EQ, _GT, _MASKED = 1, 2, 4, 6, 7
_PROT_WRITE, _PROT_EXEC, _SHM_EXEC = 2, 4, 0o100000
_NAMESPACES = (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)
_SUID_SGID = (0o4000, 0o2000)
_O_CREAT = 0o100
_LIBRARY = "libseccomp.so.2"
_FAMILIES = {name: getattr(socket, name).value for name in ("AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK")}


class _Condition(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


def available() -> bool:
    """Whether the library is there."""
    try:
        ctypes.CDLL(_LIBRARY)
    except OSError:
        return False
    return True


def names_of(item: str) -> set[str]:
    """The system calls of a set such as ``@system-service``, those of the sets in it included; or the one call."""
    if not item.startswith("@"):
        return {item}
    done = subprocess.run(["systemd-analyze", "syscall-filter", item], capture_output=True, text=True, check=True)
    words = [line.strip() for line in done.stdout.splitlines()[1:]]
    return {name for word in words if word and not word.startswith("#") for name in names_of(word)}


def system_calls(unit: Unit) -> set[str]:
    """What ``SystemCallFilter`` allows: a list that begins with what is allowed, systemd.exec(5)."""
    allowed: set[str] = set()
    for value in unit["Service", "SystemCallFilter"]:
        names = {name for item in value.removeprefix("~").split() for name in names_of(item)}
        allowed = allowed - names if value.startswith("~") else allowed | names
    return allowed


class _Filter:
    """One filter: ``default`` for what no rule names."""

    def __init__(self, default: int) -> None:
        self._library = ctypes.CDLL(_LIBRARY)
        self._library.seccomp_init.restype = ctypes.c_void_p
        self._context = ctypes.c_void_p(self._library.seccomp_init(ctypes.c_uint32(default)))

    def rule(self, action: int, name: str, *conditions: tuple[int, int, int, int]) -> None:
        """``name`` with these values of its arguments gets ``action``; names of other architectures are left out."""
        number = self._library.seccomp_syscall_resolve_name(name.encode())
        if number < 0:
            return
        array = (_Condition * len(conditions))(*(_Condition(*condition) for condition in conditions))
        failed = self._library.seccomp_rule_add_array(
            self._context, ctypes.c_uint32(action), number, len(conditions), array
        )
        if failed:
            raise OSError(-failed, f"no rule for {name}")

    def load(self) -> None:
        """In force from now on, in this process and whatever it becomes."""
        failed = self._library.seccomp_load(self._context)
        if failed:
            raise OSError(-failed, "the filter cannot be loaded")


def _refuse(error: int) -> int:
    return 0x00050000 | error


def _denied(rules: Iterable[tuple[str, tuple[tuple[int, int, int, int], ...]]], error: int = errno.EPERM) -> None:
    found = _Filter(_ALLOW)
    for name, conditions in rules:
        found.rule(_refuse(error), name, *conditions)
    found.load()


def _has(argument: int, bits: int) -> tuple[int, int, int, int]:
    return (argument, _MASKED, bits, bits)


def install(unit: Unit, allowed: set[str]) -> None:
    """Put the unit's filters in force. ``allowed`` is found before, while programs can still be run."""
    families = sorted(_FAMILIES[name] for name in unit.service("RestrictAddressFamilies").split())
    others = [family for family in range(families[0], families[-1]) if family not in families]
    first, last = (0, _LT, families[0], 0), (0, _GT, families[-1], 0)
    refused = [("socket", (condition,)) for condition in (first, last, *((0, _EQ, f, 0) for f in others))]
    _denied(refused, errno.EAFNOSUPPORT)
    if unit.yes("MemoryDenyWriteExecute"):
        both = _PROT_WRITE | _PROT_EXEC
        maps = [("mmap", (_has(2, both),)), ("mprotect", (_has(2, _PROT_EXEC),))]
        _denied([*maps, ("pkey_mprotect", (_has(2, _PROT_EXEC),)), ("shmat", (_has(2, _SHM_EXEC),))])
    if unit.yes("RestrictNamespaces"):
        _denied([("clone3", ())], errno.ENOSYS)
        _denied([("setns", ()), *((name, (_has(0, flag),)) for name in ("clone", "unshare") for flag in _NAMESPACES)])
    if unit.yes("RestrictRealtime"):
        policies = [(1, _GT, 5, 0), *((1, _EQ, policy, 0) for policy in (1, 2, 4))]
        _denied([("sched_setscheduler", (condition,)) for condition in policies])
    if unit.yes("RestrictSUIDSGID"):
        modes = {"chmod": 1, "fchmod": 1, "fchmodat": 2, "mkdir": 1, "mkdirat": 2}
        rules = [(name, (_has(argument, bit),)) for name, argument in modes.items() for bit in _SUID_SGID]
        _denied([*rules, *(("openat", (_has(2, _O_CREAT), _has(3, bit))) for bit in _SUID_SGID)])
    if unit.yes("LockPersonality"):
        current = ctypes.CDLL(None).personality(ctypes.c_ulong(0xFFFFFFFF))  # which only asks
        _denied([("personality", ((0, _NE, current, 0),))])
    found = _Filter(_refuse(getattr(errno, unit.service("SystemCallErrorNumber"))))
    for name in sorted(allowed):
        found.rule(_ALLOW, name)
    found.load()
