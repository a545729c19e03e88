"""What systemd is told of the daemon: that it is ready, how it is, that it lives, that it reloads or stops.

One decision: the service manager only learns what is so, and never holds anything up. Each message is one datagram that
is sent without waiting. Those that cannot leave, because the queue is full or systemd is being replaced, are sent again
a second later, of each kind the last one; and where nobody listens (no ``$NOTIFY_SOCKET``) nothing is said and nothing
is done. The protocol is sd_notify(3) and sd_watchdog_enabled(3), of which two small functions remain here; the
libraries for it on PyPI are left by their authors or bind libsystemd.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping

from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall

from sdcpd.fleet import Fleet, Printer, Reachability
from sdcpd.logs import logger

__all__ = ["AGAIN", "STATUS_EVERY", "Notifier", "Supervision", "watchdog_interval"]

AGAIN = 1.0
"""Seconds until a message that could not leave is sent again."""
STATUS_EVERY = 2.0
"""Seconds between two status lines at least."""

_log = logger(__name__)


def watchdog_interval(environment: Mapping[str, str], pid: int) -> float | None:
    """Seconds between two signs of life, half of what systemd waits for (sd_watchdog_enabled(3)); or None."""
    if environment.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None  # meant for the process that started this one
    patience = environment.get("WATCHDOG_USEC", "")
    return int(patience) / 2e6 if patience.isdecimal() and int(patience) else None


class Notifier:
    """Datagrams to ``$NOTIFY_SOCKET``, in their order; ``address`` is a path, ``@`` and an abstract name, or empty."""

    def __init__(self, address: str, clock: IReactorTime) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._clock = clock
        self._unsent: dict[tuple[str, ...], bytes] = {}
        self._socket: socket.socket | None = None
        self._again: IDelayedCall | None = None
        self._trouble = ""
        if address.startswith(("/", "@")):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
        elif address:
            _log.warn("systemd cannot be told anything: expected a path in NOTIFY_SOCKET, found {text}", text=address)

    @property
    def heard(self) -> bool:
        """Whether somebody listens."""
        return self._socket is not None

    def tell(self, *fields: str) -> None:
        """Send ``NAME=value`` lines in one message; it takes the place of one with these names that could not leave."""
        if self._socket is None:
            return
        waiting, kind = bool(self._unsent), tuple(field.partition("=")[0] for field in fields)
        self._unsent.pop(kind, None)
        self._unsent[kind] = "\n".join(fields).encode()
        if not waiting:
            self._send()

    def _send(self) -> None:
        while self._unsent and self._socket is not None:
            kind, message = next(iter(self._unsent.items()))
            try:
                self._socket.sendto(message, self._address)
            except OSError as error:
                if not isinstance(error, BlockingIOError) and str(error) != self._trouble:
                    self._trouble = str(error)
                    _log.warn("systemd cannot be told anything just now: {error}", error=error)
                self._again = self._clock.callLater(AGAIN, self._send)
                return
            del self._unsent[kind]
            self._trouble = ""

    def close(self) -> None:
        """Say nothing any more."""
        self._unsent.clear()
        if self._again is not None and self._again.active():
            self._again.cancel()
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class Supervision(Service):
    """Tells systemd how the daemon is: started as the last of all services, when every port listens.

    ``clock`` has to be the monotonic one, for systemd compares its times with its own.
    """

    def __init__(self, environment: Mapping[str, str], fleet: Fleet, clock: IReactorTime) -> None:
        self._environment = environment
        self._fleet = fleet
        self._clock = clock
        self._notifier = Notifier(environment.get("NOTIFY_SOCKET", ""), clock)
        self._life = LoopingCall(self._notifier.tell, "WATCHDOG=1")
        self._life.clock = clock
        self._refusal = ""
        self._told = ""
        self._told_at = clock.seconds() - STATUS_EVERY
        self._due: IDelayedCall | None = None
        self._unsubscribe: Callable[[], None] = lambda: None

    # -- the service -----------------------------------------------------------------------------------------

    def startService(self) -> None:
        """Twisted: everything is there; ready as soon as the reactor turns."""
        super().startService()
        if not self._notifier.heard:
            return
        self._clock.callLater(0, self._ready)
        self._unsubscribe = self._fleet.subscribe(self._changed)
        interval = watchdog_interval(self._environment, os.getpid())  # not before: twistd may have forked
        if interval is not None:
            self._life.start(interval)

    def stopService(self) -> None:
        """Twisted: nothing more is said."""
        super().stopService()
        self._unsubscribe()
        if self._life.running:
            self._life.stop()
        if self._due is not None:
            self._due.cancel()
            self._due = None
        self._notifier.close()

    # -- what the appliance says -----------------------------------------------------------------------------

    def reloading(self) -> None:
        """A reload begins. The time lets systemd tell the end of this one from that of an earlier one."""
        self._notifier.tell("RELOADING=1", f"MONOTONIC_USEC={int(self._clock.seconds() * 1e6)}")

    def reloaded(self, refusal: str) -> None:
        """It is over: the new configuration is in force, or it was refused, and why."""
        self._refusal = refusal
        self._ready()

    def stopping(self) -> None:
        """An ordered stop begins."""
        self._notifier.tell("STOPPING=1", "STATUS=Stopping")

    # -- the status line -------------------------------------------------------------------------------------

    def _ready(self) -> None:
        self._told, self._told_at = self._status(), self._clock.seconds()
        self._notifier.tell("READY=1", f"STATUS={self._told}")

    def _changed(self, old: Printer | None, new: Printer) -> None:
        if self._due is None and (old is None or old.reachability is not new.reachability):
            wait = max(0.0, self._told_at + STATUS_EVERY - self._clock.seconds())
            self._due = self._clock.callLater(wait, self._tell)

    def _tell(self) -> None:
        self._due = None
        status = self._status()
        if status != self._told:
            self._told, self._told_at = status, self._clock.seconds()
            self._notifier.tell(f"STATUS={status}")

    def _status(self) -> str:
        online = sum(printer.reachability is Reachability.ONLINE for printer in self._fleet)
        count = f"{online} of {len(self._fleet)} printers online"
        if not self._refusal:
            return count
        return f"{count}; the new configuration was refused, the old one is in force: {self._refusal}".replace(
            "\n", " "
        )
