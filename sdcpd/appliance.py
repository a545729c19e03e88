"""The service tree: ordered start and stop, and a reload that touches only what changed.

One decision: a child belongs to the sections of the configuration that it was made from. A reload makes anew only
the children whose sections differ, and binds their ports before the old ones are stopped, so a configuration that
cannot work changes nothing. Only a port that is our own already has to be freed first, and is bound again if need be.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec import Struct
from twisted.application.service import IService, MultiService
from twisted.internet.defer import Deferred, DeferredLock, maybeDeferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from sdcpd.config import Config
from sdcpd.errors import ConfigError
from sdcpd.listener import Listener
from sdcpd.logs import logger

__all__ = ["STOP_WITHIN", "Appliance", "Part", "Supervisor"]

STOP_WITHIN = 10.0
"""Seconds that an ordered stop may take."""

FAREWELL = 0.25
"""Seconds that the last answers have to leave before the ports close."""

_log = logger("sdcpd.appliance")


class Part(Struct, frozen=True):
    """One child of the appliance: how it is made, and which places of the configuration it depends on."""

    name: str
    sections: tuple[str, ...]
    make: Callable[[Config], IService]


class Supervisor(Protocol):
    """Whoever started the daemon and wants to know how it is."""

    def reloading(self) -> None:
        """A reload begins."""

    def reloaded(self, refusal: str) -> None:
        """A reload is over; empty, or why nothing has changed."""

    def stopping(self) -> None:
        """An ordered stop begins."""


class Appliance(MultiService):
    """All services of the daemon; started in the order of ``parts``, stopped in the reverse order."""

    def __init__(
        self,
        config: Config,
        parts: tuple[Part, ...],
        *,
        reload: Callable[[], Config],
        reconfigured: Callable[[Config], None],
        ended: Callable[[], None],
        clock: IReactorTime,
        supervisor: Supervisor,
    ) -> None:
        super().__init__()
        self.config = config
        """The configuration in force."""
        self._parts = parts
        self._reload = reload
        self._reconfigured = reconfigured
        self._ended = ended
        self._clock = clock
        self._supervisor = supervisor
        self._reloading = DeferredLock()
        self._state = Path(config.sdcpd.state_directory)
        for part in parts:
            self._add(part, part.make(config))

    def _add(self, part: Part, child: IService) -> None:
        child.setName(part.name)
        child.setServiceParent(self)

    def privilegedStartService(self) -> None:
        """Bind every port; a failure ends the start with one line and exit status 1."""
        try:
            super().privilegedStartService()
        except ConfigError as error:
            sys.stderr = sys.__stderr__  # twistd's would make an entry of the log of it
            raise SystemExit(f"sdcpd: {error.message}. {error.hint}") from error

    def startService(self) -> None:
        """Start everything, then say once which ports are in use."""
        super().startService()
        self._tell_ports()

    def _tell_ports(self) -> None:
        ports: dict[str, list[Mapping[str, object]]] = {}
        for service in self._each(self):
            if isinstance(service, Listener):
                entry = {"address": service.address, "port": service.port, "endpoint": service.description}
                ports.setdefault(str(service.name or service.place), []).append(entry)
            elif hasattr(service, "listening"):
                ports[str(service.name)] = [{"address": address} for address in service.listening]
        line = ", ".join(f"{name} {' '.join(str(e['address']) for e in found)}" for name, found in ports.items())
        try:
            temporary = self._state / "ports.json.tmp"
            temporary.write_bytes(msgspec.json.format(msgspec.json.encode(ports)))
            temporary.replace(self._state / "ports.json")
        except OSError as error:
            _log.error("Cannot write {path}: {error}", path=str(self._state / "ports.json"), error=error)
        _log.info("Listening: {ports}", ports=line)

    def _each(self, parent: MultiService) -> list[IService]:
        found: list[IService] = []
        for service in parent:
            found.extend(self._each(service) if isinstance(service, MultiService) else [service])
        return found

    # -- reload ----------------------------------------------------------------------------------------------

    def reload(self) -> Deferred[bool]:
        """Read the configuration again (SIGHUP); fires with whether it is in force now."""
        return self._reloading.run(lambda: Deferred.fromCoroutine(self._supervised()))

    async def _supervised(self) -> bool:
        self._supervisor.reloading()
        refusal = "an error in the daemon"
        try:
            refusal = await self._reload_all()
        finally:
            self._supervisor.reloaded(refusal)
        return not refusal

    async def _reload_all(self) -> str:
        """Empty, or why nothing has changed."""
        try:
            new = self._reload()
            self._may_change(new)
        except Exception as error:
            return _refused(error)
        if new == self.config:
            _log.info("Reloaded: nothing has changed")
            return ""
        changed = [part for part in self._parts if self._differs(part, new)]
        return await self._replace(new, changed)

    def _may_change(self, new: Config) -> None:
        if new.sdcpd.state_directory != self.config.sdcpd.state_directory:
            raise ConfigError("[sdcpd] state_directory: cannot change while the daemon runs", "Restart it instead.")
        if new.journal != self.config.journal:
            raise ConfigError("[journal] url: cannot change while the daemon runs", "Restart it instead.")

    def _differs(self, part: Part, new: Config) -> bool:
        return any(attrgetter(section)(new) != attrgetter(section)(self.config) for section in part.sections)

    async def _replace(self, new: Config, changed: list[Part]) -> str:
        made: dict[str, IService] = {}
        try:
            await self._exchange(new, changed, made)
        except Exception as error:  # a bug of ours, too, must not leave a daemon that lacks half of its parts
            refusal = _refused(error)
            await self._restore(changed, made)
            return refusal
        self.config = new
        self._tell_ports()
        _log.info("Reloaded; made anew: {parts}", parts=", ".join(part.name for part in changed) or "nothing")
        return ""

    async def _exchange(self, new: Config, changed: list[Part], made: dict[str, IService]) -> None:
        for part in changed:
            made[part.name] = child = part.make(new)
            if not self._in_the_way_of(child):
                child.privilegedStartService()
        for part in changed:
            if part.name in self.namedServices:  # not if an earlier reload could not put it back
                await maybeDeferred(self.getServiceNamed(part.name).disownServiceParent)
        for part in changed:
            self._add(part, made[part.name])
        try:
            self._reconfigured(new)
        except Exception:
            self._reconfigured(self.config)
            raise

    async def _restore(self, changed: list[Part], made: dict[str, IService]) -> None:
        """Undo what an exchange has done so far."""
        for name, child in made.items():
            added = self.namedServices.get(name) is child
            stopping = maybeDeferred(child.disownServiceParent if added else child.stopService)
            await stopping.addErrback(lambda f: _log.failure("A service did not stop cleanly", f))
        for part in changed:
            if part.name not in self.namedServices:
                self._put_back(part)
        self._tell_ports()

    def _in_the_way_of(self, child: IService) -> bool:
        """Whether a port that ``child`` needs is our own: then it can only be bound after the old one has gone."""
        wanted = self._each(child) if isinstance(child, MultiService) else [child]
        listeners = [service for service in wanted if isinstance(service, Listener)]
        held = [service for service in self._each(self) if isinstance(service, Listener)]
        return any(ours.blocks(theirs) for ours in held for theirs in listeners)

    def _put_back(self, part: Part) -> None:
        try:
            self._add(part, part.make(self.config))
        except ConfigError as error:
            _log.error("{part} is down: {error}. {hint}", part=part.name, error=error, hint=error.hint)
        except Exception:
            _log.failure("{part} is down", part=part.name)

    # -- stop ------------------------------------------------------------------------------------------------

    def stopService(self) -> Deferred[None]:
        """Stop in order, within ``STOP_WITHIN`` seconds in all."""
        self._supervisor.stopping()
        self._ended()
        # The time limits the waiting, not the flow: cancelled, that would go on to the next service without a limit.
        stopped: Deferred[None] = Deferred()
        Deferred.fromCoroutine(self._stop()).chainDeferred(stopped)
        return stopped.addTimeout(STOP_WITHIN, self._clock).addErrback(self._overdue)

    async def _stop(self) -> None:
        self.running = 0
        await deferLater(self._clock, FAREWELL)
        for name in [part.name for part in reversed(self._parts) if part.name in self.namedServices]:
            stopping = maybeDeferred(self.getServiceNamed(name).stopService)
            await stopping.addErrback(lambda f: _log.failure("A service did not stop cleanly", f))
        _log.info("Stopped (process {pid})", pid=os.getpid())

    def _overdue(self, failure: Failure) -> None:
        failure.trap(DeferredTimeout)
        _log.warn("Not everything had stopped after {seconds:.0f} s; ending all the same", seconds=STOP_WITHIN)


def _refused(error: Exception) -> str:
    """Say, while ``error`` is being handled, why nothing has changed; the same in short."""
    if isinstance(error, ConfigError):
        _log.error("The new configuration is refused, the old one stays: {error}. {hint}", error=error, hint=error.hint)
        return error.message
    _log.failure("The new configuration cannot be taken over, the old one stays")
    return "an error in the daemon, see its log"
