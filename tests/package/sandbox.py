"""Become the service as its unit says, where no systemd runs as process 1: ``sandbox.py --config DIR --state DIR``.

One decision: the unit file is the only source. What can be put in force without systemd is: user, environment, limits,
the view of the file system, namespaces, capabilities and system calls. What cannot is in ``NOT_ENFORCED``, printed by
``--confess``: limits of control groups (memory, tasks, devices), the keyring. Nothing of the machine is changed: it all
happens in namespaces, and directories that an installation would make are laid over the real ones in memory.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import pwd
import resource
import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.package.seccomp import install, system_calls
from tests.package.unit import Unit

NOT_ENFORCED = ("MemoryHigh", "MemoryMax", "TasksMax", "DevicePolicy", "KeyringMode", "RemoveIPC", "WatchdogSec's kill")
STAND_IN = 64998
"""The number of the service's user where the package is not installed."""

_libc = ctypes.CDLL(None, use_errno=True)
_NEWNS, _NEWUTS, _NEWIPC, _NEWUSER = 0x20000, 0x4000000, 0x8000000, 0x10000000
_BIND, _REC, _PRIVATE, _REMOUNT = 0x1000, 0x4000, 0x40000, 0x20
_RDONLY, _NOSUID, _NODEV, _NOEXEC = 1, 2, 4, 8
_MOUNT_SETATTR, _AT_RECURSIVE = 442, 0x8000
_CAPBSET_DROP, _NO_NEW_PRIVS = 24, 38


def _checked(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str | Path, kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2)."""
    words = (source.encode(), str(target).encode(), kind.encode() or None, flags, data.encode() or None)
    _checked(_libc.mount(*words), f"mount {source} {target}")


def writable(target: str | Path, yes: bool) -> None:
    """Whether a mount, and with ``yes`` being false everything below it, can be written to."""
    attributes = (ctypes.c_uint64 * 4)(0 if yes else _RDONLY, _RDONLY if yes else 0, 0, 0)
    recursive = 0 if yes else _AT_RECURSIVE
    path = str(target).encode()
    _checked(_libc.syscall(_MOUNT_SETATTR, -100, path, recursive, attributes, 32), f"mount_setattr {target}")


class Sandbox:
    """One process on its way to be the service."""

    def __init__(self, unit: Unit, config: Path, state: Path, program: str, seen: list[Path]) -> None:
        self._unit = unit
        self._config = config
        self._state = state
        self._program = program
        self._seen = seen
        self._work = Path("/mnt")  # which nobody needs here
        try:
            found = pwd.getpwnam(unit.service("User"))
            self._user, self._group = found.pw_uid, found.pw_gid
        except KeyError:
            self._user = self._group = STAND_IN
        self._places = {
            "STATE_DIRECTORY": Path("/var/lib", unit.service("StateDirectory")),
            "RUNTIME_DIRECTORY": Path("/run", unit.service("RuntimeDirectory")),
            "CONFIGURATION_DIRECTORY": Path("/etc", unit.service("ConfigurationDirectory")),
        }

    # -- the file system -------------------------------------------------------------------------------------

    def namespaces(self) -> None:
        """A view of the file system of its own, as the unit wants it."""
        _checked(_libc.unshare(_NEWNS | _NEWUTS | _NEWIPC), "unshare")
        mount("none", "/", flags=_PRIVATE | _REC)
        mount("tmpfs", self._work, "tmpfs", data="mode=755")
        kept = [(path, self._keep(path)) for path in self._seen]
        config, state = self._keep(self._config), self._keep(self._state)
        for directory in ("/etc", "/run", "/var/lib", "/usr/bin"):
            self._overlay(directory)
        if not Path("/usr/bin/sdcpd").exists():
            Path("/usr/bin/sdcpd").write_text(f'#!/bin/sh\nexec {self._program} "$@"\n')
            Path("/usr/bin/sdcpd").chmod(0o755)
        for place in self._places.values():
            place.mkdir(exist_ok=True)
        os.chown(state, self._user, self._group)
        state.chmod(int(self._unit.service("StateDirectoryMode"), 8))
        mount(str(config), self._places["CONFIGURATION_DIRECTORY"], flags=_BIND)
        mount(str(state), self._places["STATE_DIRECTORY"], flags=_BIND)
        mount("tmpfs", self._places["RUNTIME_DIRECTORY"], "tmpfs", _NOSUID | _NODEV, "mode=755")
        os.chown(self._places["RUNTIME_DIRECTORY"], self._user, self._group)
        if self._unit.yes("ProtectHome"):
            for home in ("/home", "/root", "/run/user"):
                self._hide(home)
        if self._unit.yes("PrivateTmp"):
            for directory in ("/tmp", "/var/tmp"):
                mount("tmpfs", directory, "tmpfs", _NOSUID | _NODEV, "mode=1777")
        for path, place in kept:
            if not path.exists():  # it was below one of those that are hidden now
                path.mkdir(parents=True)
                mount(str(place), path, flags=_BIND | _REC)
        self._system()
        if self._unit.yes("PrivateDevices"):
            self._devices()

    def _keep(self, path: Path) -> Path:
        """A second way to what is at ``path`` now."""
        place = self._work / f"kept-{len(list(self._work.iterdir()))}"
        place.mkdir()
        mount(str(path), place, flags=_BIND | _REC)
        return place

    def _overlay(self, directory: str) -> None:
        """Let what is made below ``directory`` be made in memory."""
        name = directory.strip("/").replace("/", "-")
        upper, work = self._work / f"{name}-upper", self._work / f"{name}-work"
        upper.mkdir()
        work.mkdir()
        mount("overlay", directory, "overlay", data=f"lowerdir={directory},upperdir={upper},workdir={work}")

    def _hide(self, directory: str) -> None:
        if Path(directory).is_dir():
            mount("tmpfs", directory, "tmpfs", _NOSUID | _NODEV | _NOEXEC, "mode=755")

    def _system(self) -> None:
        """ProtectSystem=strict, and the settings for the kernel's own file systems."""
        assert self._unit.service("ProtectSystem") == "strict"
        hidden = "invisible" if self._unit.service("ProtectProc") == "invisible" else "off"
        mount("proc", "/proc", "proc", _NOSUID | _NODEV | _NOEXEC, f"hidepid={hidden}")
        writable("/", False)
        writable("/proc", True)
        if self._unit.yes("ProtectKernelTunables"):
            mount("/proc/sys", "/proc/sys", flags=_BIND)
            writable("/proc/sys", False)
        for place in ("/tmp", "/var/tmp", self._places["STATE_DIRECTORY"], self._places["RUNTIME_DIRECTORY"]):
            writable(place, True)

    def _devices(self) -> None:
        """The devices that are none, and nothing else."""
        place = self._work / "dev"
        names = ("null", "zero", "full", "random", "urandom", "tty")
        writable(self._work, True)
        place.mkdir()
        mount("tmpfs", place, "tmpfs", _NOSUID, "mode=755")
        for name in names:
            (place / name).touch()
            mount(f"/dev/{name}", place / name, flags=_BIND)
        for name in ("shm", "mqueue"):
            (place / name).mkdir(mode=0o1777)
        mount(str(place), "/dev", flags=_BIND | _REC)
        mount("none", "/dev", flags=_REMOUNT | _BIND | _RDONLY | _NOSUID | _NOEXEC)

    # -- the process -----------------------------------------------------------------------------------------

    def environment(self) -> dict[str, str]:
        """What systemd sets, what the unit sets, and what whoever started this hands on for systemd."""
        handed_on = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "JOURNAL_STREAM", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "USER": self._unit.service("User"),
            "LOGNAME": self._unit.service("User"),
            "HOME": str(self._places["STATE_DIRECTORY"]),
            "SHELL": "/usr/sbin/nologin",
            "INVOCATION_ID": "0" * 32,
            **{name: str(place) for name, place in self._places.items()},
            **{name: os.environ[name] for name in handed_on if name in os.environ},
            "WATCHDOG_PID": str(os.getpid()),
            **self._unit.environment,
        }

    def limits(self) -> None:
        """Descriptors, and the mode of new files."""
        most = int(self._unit.service("LimitNOFILE"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        os.umask(int(self._unit.service("UMask"), 8))

    def users(self) -> None:
        """PrivateUsers: only root and the service's own user have numbers."""
        unshared, mapped = os.pipe(), os.pipe()
        parent = os.getpid()
        if not os.fork():
            os.read(unshared[0], 1)
            for kind, own in (("uid", self._user), ("gid", self._group)):
                Path(f"/proc/{parent}/{kind}_map").write_text(f"0 0 1\n{own} {own} 1\n")
            os.write(mapped[1], b".")
            os._exit(0)
        _checked(_libc.unshare(_NEWUSER), "unshare users")
        os.write(unshared[1], b".")
        os.read(mapped[0], 1)
        os.wait()
        for end in (*unshared, *mapped):
            os.close(end)

    def privileges(self) -> None:
        """Be the service's user, without capabilities and without a way to get some."""
        assert not self._unit["Service", "CapabilityBoundingSet"]
        for number in range(int(Path("/proc/sys/kernel/cap_last_cap").read_text()) + 1):
            _checked(_libc.prctl(_CAPBSET_DROP, number, 0, 0, 0), f"capability {number}")
        os.setgroups([])
        os.setresgid(self._group, self._group, self._group)
        os.setresuid(self._user, self._user, self._user)
        if self._unit.yes("NoNewPrivileges"):
            _checked(_libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0), "NoNewPrivileges")


def main(arguments: list[str]) -> None:
    """Become the unit's ``ExecStart``, or another program in its place."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--confess", action="store_true", help="print the settings that are not enforced here")
    parser.add_argument("--config", type=Path, help="what is /etc/sdcpd")
    parser.add_argument("--state", type=Path, help="what is /var/lib/sdcpd")
    parser.add_argument("--see", type=Path, action="append", default=[], help="what stays readable though it is hidden")
    parser.add_argument("--instead", action="store_true", help="run the words in place of ExecStart")
    parser.add_argument("words", nargs="*", help="what /usr/bin/sdcpd does, if it is not installed")
    given = parser.parse_args(arguments)
    if given.confess:
        print("\n".join(NOT_ENFORCED))
        return
    unit = Unit()
    allowed = system_calls(unit)
    sandbox = Sandbox(unit, given.config, given.state, shlex.join(given.words), given.see)
    sandbox.namespaces()
    environment = sandbox.environment()
    sandbox.limits()
    os.chdir("/")
    if unit.yes("PrivateUsers"):
        sandbox.users()
    sandbox.privileges()
    install(unit, allowed)
    command = given.words if given.instead else unit.command
    os.execve(command[0], command, environment)


if __name__ == "__main__":
    main(sys.argv[1:])
