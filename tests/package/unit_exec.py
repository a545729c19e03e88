"""Run a service as its unit says, where no systemd is there to do it.

``python3 -m tests.package.unit_exec UNIT [-- COMMAND ...]``, from the source tree.

The daemon is started with the unit's ExecStart, user, directories, umask, limits and environment, and with a socket for
its notifications. COMMAND is run as soon as the daemon has said that it is ready, with its number in MAINPID; then the
daemon is stopped. Status 0 means: it got ready, COMMAND ended with 0, each reload was told, it said that it stops, and
it did by the signal that asked it to.

One decision: only the standard library of the machine that the package is installed on, and everything from the unit:
what systemd does by default is done here, what the unit says and this does not know is listed, not passed over.
"""

from __future__ import annotations

import ctypes
import grp
import os
import pwd
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.package.unit import Unit

SANDBOX = ("Protect", "Private", "Restrict", "SystemCall", "Capability", "Ambient", "Memory", "IPAddress", "Device")
"""How the settings begin that need systemd itself; ``systemd-analyze security`` judges those."""
MANAGED = frozenset(
    [
        "Restart",
        "RestartSec",
        "TasksMax",
        "Type",
        "NotifyAccess",
        "ExecReload",
        "TimeoutStartSec",
        "TimeoutStopSec",
        "KillMode",
        "RemoveIPC",
        "OOMPolicy",
        "StandardOutput",
        "StandardError",
        "SyslogIdentifier",
        "KeyringMode",
        "LockPersonality",
        "ProcSubset",
        "ConfigurationDirectory",
    ]
)
"""Settings without a meaning for one run in the foreground."""
HEEDED = frozenset(
    [
        "ExecStart",
        "User",
        "Group",
        "UMask",
        "LimitNOFILE",
        "NoNewPrivileges",
        "Environment",
        "WatchdogSec",
        "WorkingDirectory",
        "StateDirectory",
        "StateDirectoryMode",
        "RuntimeDirectory",
        "RuntimeDirectoryMode",
    ]
)
PATIENCE = 120.0
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38


def unknown(unit: Unit) -> list[str]:
    """What the unit says and nobody here heeds."""
    return sorted(key for key in unit.settings("Service") - HEEDED - MANAGED if not key.startswith(SANDBOX))


def seconds(text: str) -> float:
    """A time as systemd writes it: "5min", "60s", "5"."""
    for unit, factor in (("min", 60), ("ms", 0.001), ("s", 1)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    return float(text)


class Service:
    """One run of the daemon."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        user = pwd.getpwnam(unit.service("User") or "root")
        self._ids = (user.pw_uid, grp.getgrnam(unit.service("Group")).gr_gid if unit.service("Group") else user.pw_gid)
        self._umask = int(unit.service("UMask") or "0022", 8)
        self._files = [int(part) for part in unit.service("LimitNOFILE").split(":") if part]
        self._no_new_privileges = unit.yes("NoNewPrivileges")
        self.told: list[dict[str, str]] = []
        self._place = tempfile.TemporaryDirectory()
        os.chmod(self._place.name, 0o755)
        address = f"{self._place.name}/notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        os.chmod(address, 0o777)
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "LANG": "C.UTF-8"}
        environment |= {"USER": user.pw_name, "LOGNAME": user.pw_name, "HOME": user.pw_dir, "SHELL": user.pw_shell}
        environment |= {
            "NOTIFY_SOCKET": address,
            "WATCHDOG_USEC": str(int(seconds(unit.service("WatchdogSec") or "0") * 1e6)),
        }
        environment |= self._directory("StateDirectory", "/var/lib", "STATE_DIRECTORY")
        environment |= self._directory("RuntimeDirectory", "/run", "RUNTIME_DIRECTORY")
        environment |= unit.environment
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as this object)
        self.process = subprocess.Popen(
            unit.command,
            env=environment,
            cwd=unit.service("WorkingDirectory") or "/",
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            preexec_fn=self._become,
        )

    def _directory(self, key: str, above: str, variable: str) -> dict[str, str]:
        name = self._unit.service(key)
        if not name:
            return {}
        path = Path(above, name)
        path.mkdir(exist_ok=True)
        path.chmod(int(self._unit.service(f"{key}Mode") or "0755", 8))
        os.chown(path, *self._ids)
        return {variable: str(path)}

    def _become(self) -> None:
        uid, gid = self._ids
        if self._files:
            resource.setrlimit(resource.RLIMIT_NOFILE, (self._files[0], self._files[-1]))
        os.umask(self._umask)
        if os.getuid() != uid:
            os.setgroups([gid])
            os.setgid(gid)
            os.setuid(uid)
        prctl = ctypes.CDLL(None).prctl
        if self._no_new_privileges:
            prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    def wait_for(self, field: str) -> bool:
        """Wait until it says this, or ends, or has had time enough."""
        deadline = time.monotonic() + PATIENCE
        self._socket.settimeout(0.1)
        while time.monotonic() < deadline:
            self.listen()
            if any(field in message for message in self.told):
                return True
            if self.process.poll() is not None:
                return False
        return False

    def listen(self) -> None:
        """Take what it has said; waits as long as the socket's time-out is."""
        try:
            while True:
                text = self._socket.recv(65536).decode()
                self.told.append(dict(line.split("=", 1) for line in text.splitlines()))
        except (TimeoutError, BlockingIOError):
            pass

    def stop(self) -> int:
        """Ask it to stop; its status."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            status = self.process.wait(seconds(self._unit.service("TimeoutStopSec") or "90s"))
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self._socket.setblocking(False)
        self.listen()
        return status

    @property
    def log(self) -> str:
        """What it has logged."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")


def faults(service: Service, status: int) -> list[str]:
    """What was wrong with a run that has ended."""
    found = []
    told = [next(iter(message)) for message in service.told if "WATCHDOG" not in message]
    if status not in (0, -signal.SIGTERM):
        found.append(f"it ended with {status}")
    if "STOPPING" not in told:
        found.append("it did not say that it stops")
    reloads = [n for n, message in enumerate(service.told) if "RELOADING" in message]
    if any(not any("READY" in message for message in service.told[number:]) for number in reloads):
        found.append("it did not say that a reload was over")
    if "Traceback" in service.log or "plugin cache" in service.log:
        found.append("its log has a traceback, or a complaint about the plugin cache")
    return found


def main(unit_file: str, command: list[str]) -> int:
    """Run it; the exit status."""
    unit = Unit(Path(unit_file))
    begun = time.monotonic()
    service = Service(unit)
    ready = service.wait_for("READY")
    print(f"unit_exec: ready after {time.monotonic() - begun:.2f} s" if ready else "unit_exec: never ready", flush=True)
    status = 1
    if ready and command:
        environment = os.environ | {"MAINPID": str(service.process.pid)}
        status = subprocess.run(command, env=environment, check=False).returncode
    elif ready:
        status = 0
    wrong = faults(service, service.stop())
    if passed_over := unknown(unit):
        wrong.append(f"the unit has settings that are not known here: {', '.join(passed_over)}")
    for text in wrong:
        print(f"unit_exec: {text}")
    if wrong or status:
        print(service.log, end="")
    return 1 if wrong else status


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []))
