"""One simulated V1 printer, whole, without a socket.

One decision: a plain object driven by an injected clock; the network comes in through four calls (a datagram, a link
up, a delivery, a reply of HTTP) and goes out through three seams (``Links``, ``Fetcher``, the datagram's ``reply``), so
a test moves it by ``Clock.advance`` alone and a farm by real time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from sdcpd.simulator import fault_kinds as kinds
from sdcpd.simulator import outside_kinds as outside
from sdcpd.simulator.board import Board
from sdcpd.simulator.calling import Caller
from sdcpd.simulator.commands import Commands
from sdcpd.simulator.dialling import Dialler
from sdcpd.simulator.download import Fetcher
from sdcpd.simulator.faults import Fault, Faults
from sdcpd.simulator.journal import Counts, Entry, Journal, Violation
from sdcpd.simulator.link import Links, LinkState
from sdcpd.simulator.person import Person
from sdcpd.simulator.power import Power
from sdcpd.simulator.printing import PrintMachine
from sdcpd.simulator.reports import Reports
from sdcpd.simulator.settings import PrinterSpec, Settings, must_be_loopback
from sdcpd.simulator.simtime import Alarm, Alarms, SimTime
from sdcpd.simulator.status import IDLE, Identity, JsonObject, PrinterStatus, PrintInfo, TransferInfo
from sdcpd.simulator.storage import Store
from sdcpd.simulator.strangers import Strangers
from sdcpd.simulator.transfer import TransferMachine
from sdcpd.simulator.waiting import Waiters

__all__ = ["Printer"]

_REPLY_WAIT = (0.005, 0.05)


class Printer:
    """A printer: its parts, what it obeys and says, the person in front of it, and its faults."""

    def __init__(
        self,
        spec: PrinterSpec,
        settings: Settings,
        clock: IReactorTime,
        links: Links,
        make_fetcher: Callable[[SimTime, str], Fetcher],
        dialler: Dialler,
        rehouse: Callable[[Printer, str], None],
    ) -> None:
        time = self.time = SimTime(clock, settings.scale)
        identity = self.identity = Identity(spec, spec.name)
        status = self.status = PrinterStatus()
        faults = self.faults = Faults()
        self._waiters = Waiters()
        journal = self.journal = Journal(time, spec.mainboard_id, settings.strict, self._waiters.check)
        directory = settings.store / spec.mainboard_id if settings.store is not None else None
        store = self.store = Store(settings.capacity, settings.layers, directory)
        power = self._power = Power(time)
        self._random = Random(f"{settings.seed}/{spec.address}/behaviour")
        self._silent = False
        self._cut = Alarm(time)
        self._boot = Alarm(time)
        self._replies = Alarms(time)
        self._boot_time = settings.boot_time
        self._rehouse = rehouse
        caller = self.caller = Caller(
            time,
            settings,
            identity,
            faults,
            journal,
            links,
            self._random,
            lambda: self._reports.begin(),
            lambda delivery: self._commands.delivered(delivery),
            lambda: self._reports.status_message(),
        )
        printing = self.printing = PrintMachine(time, spec.profile, settings, status, faults, self.publish_status)
        transfer = self.transfer = TransferMachine(
            time,
            settings,
            status,
            store,
            faults,
            journal,
            lambda: make_fetcher(time, identity.spec.address),
            self.publish_status,
            caller.drop,
        )
        board = Board(time, settings, identity, status, power, faults, journal, store, printing, transfer, caller)
        self._reports = Reports(board, self._look)
        self._commands = Commands(board, self._reports, self._random)
        self._strangers = Strangers(board, dialler, lambda address: make_fetcher(time, address))
        self.person = Person(board)

    @property
    def id(self) -> str:
        """The MainboardID."""
        return self.spec.mainboard_id

    @property
    def spec(self) -> PrinterSpec:
        """What it is, and where it lives now."""
        return self.identity.spec

    @property
    def violations(self) -> list[Violation]:
        """Every breach of the protocol that was seen (strict mode)."""
        return self.journal.violations

    @property
    def log(self) -> list[Entry]:
        """Everything that was received, with the reactor's time."""
        return list(self.journal.entries)

    @property
    def counts(self) -> Counts:
        """How often what was received."""
        return self.journal.counts

    @property
    def link_state(self) -> LinkState:
        """How far the link to the broker has come."""
        return self.caller.state

    @property
    def powered(self) -> bool:
        """Whether it is switched on."""
        return self._power.on

    @property
    def uptime(self) -> int:
        """TimeStamp: milliseconds since power-on, in 32 bits."""
        return self._power.uptime

    @property
    def period(self) -> float:
        """Seconds between two statuses while nothing changes, 0 for none."""
        return self._reports.period

    def until(self, predicate: Callable[[Printer], bool]) -> Deferred[None]:
        """Fires as soon as the predicate holds; asked after everything received and every change of status."""
        return self._waiters.until(lambda: predicate(self))

    def datagram(self, data: bytes, source: str, reply: Callable[[bytes], None]) -> None:
        """Something came by UDP."""
        loss = self.faults.get(kinds.UdpLoss)
        if not self._power.on or self._silent:
            return
        if loss is not None and self._random.random() < loss.share:
            return
        if data == b"M99999":
            self.journal.note("probe", source=source)
            self._answer_probe(reply, loss)
        elif data.startswith(b"M66666"):
            self.caller.invited(data.decode("ascii", "replace").split()[1:], source)
        else:
            self.journal.note("datagram", source=source, size=len(data))

    def publish_status(self) -> None:
        """Send the status now."""
        self._reports.status()

    def power_off(self) -> None:
        """Pull the plug: nothing is said, and TCP connections hang half-open."""
        self._halt()
        self.journal.note("power-off")

    def _halt(self) -> None:
        self._power.switch_off()
        self._silent = False
        for alarm in (self._cut, self._boot):
            alarm.cancel()
        self._reports.end()
        self.caller.freeze()
        self.person.leave()
        self.printing.power_off()
        self.transfer.power_off()

    def power_on(self) -> None:
        """Plug it in again: everything forgotten but the files and the last broker (assumed, Q3)."""
        if self._power.on:
            return
        self._boot.cancel()
        self._power.switch_on()
        self.caller.thaw()
        self.status.current = self.status.previous = IDLE
        self.status.print_info, self.status.transfer_info = PrintInfo(), TransferInfo()
        self.journal.note("power-on")

    def reboot(self) -> None:
        """Off, and on again after the boot time."""
        self.power_off()
        self._boot.set(self._boot_time, self.power_on)

    def shut_down(self) -> None:
        """The simulation ends: leave nothing pending."""
        self._halt()
        self._replies.cancel()
        self._commands.leave()
        self._strangers.leave()
        self.caller.thaw()

    def move(self, address: str) -> None:
        """Live at another address of the loopback, as after DHCP: what was connected hangs; ValueError if taken."""
        self._rehouse(self, must_be_loopback(address))
        self.identity.spec = replace(self.spec, address=address)
        self.caller.freeze()
        self.transfer.interrupt()

    def set_status(
        self,
        current: int | None = None,
        previous: int | None = None,
        print_info: JsonObject | None = None,
        transfer_info: JsonObject | None = None,
        name: str | None = None,
    ) -> None:
        """Overwrite parts of the status (field names of ``PrintInfo``, ``TransferInfo``), and publish it."""
        self.status.overwrite(print_info or {}, transfer_info or {})
        self.status.current = self.status.current if current is None else current
        self.status.previous = self.status.previous if previous is None else previous
        self.identity.name = self.identity.name if name is None else name
        self.publish_status()

    def inject(self, fault: str, **params: Any) -> Fault:
        """Give the printer a fault by its name; those that are events happen at once."""
        injected = self.faults.inject(fault, **params)
        try:
            if self._happen(injected):
                self.faults.clear(fault)
        except ValueError:
            self.faults.clear(fault)
            raise
        return injected

    def _happen(self, injected: Fault) -> bool:
        """Perform what happens at once; whether that was all."""
        match injected:
            case kinds.BrokerTakeover():
                self.caller.taken_over(injected.address)
            case kinds.HalfOpen():
                self.caller.freeze()
            case kinds.Twin():
                self.caller.twin()
            case kinds.Garbage():
                self._reports.garbage(injected.kind)
            case kinds.Uptime():
                self._power.jump(injected.milliseconds)
            case kinds.Cut():
                self._silent = True
                self.caller.freeze()
                self.transfer.interrupt()
                self._cut.set(injected.seconds, self.clear, injected.name)
            case outside.SameName():
                self.identity.name = injected.called
            case outside.NewAddress():
                self.move(injected.address)
            case outside.StrangerFetches():
                must_be_loopback(injected.address)
                self._strangers.look()
            case _:
                return self._strangers.come(injected)
        return not isinstance(injected, (kinds.BrokerTakeover, kinds.Cut, outside.StrangerFetches))

    def clear(self, fault: str = "") -> None:
        """Take a fault away, or all of them."""
        taken = self.faults.get(kinds.BrokerTakeover)
        self.faults.clear(fault)
        if taken is not None and self.faults.get(kinds.BrokerTakeover) is None:
            self.identity.sdcp_status = 0
        if self._silent and self.faults.get(kinds.Cut) is None:
            self._cut.cancel()
            self._silent = False
            self.caller.thaw()

    def to_json(self) -> JsonObject:
        """Everything about the printer, for the control socket."""
        self.printing.tick()
        return {
            "id": self.id,
            "name": self.identity.name,
            "profile": self.spec.profile.name,
            "address": self.spec.address,
            "powered": self.powered,
            "link": self.link_state.value,
            "broker": self.identity.broker,
            "uptime": self.uptime,
            "period": self.period,
            "status": self.status.to_json(),
            "files": [file.to_json() for file in self.store],
            "faults": [fault.to_json() for fault in self.faults],
            "counts": self.counts.to_json(),
            "violations": len(self.violations),
        }

    def _look(self) -> None:
        """See what the present status moves somebody to."""
        reboot = self.faults.get(kinds.RebootAtLayer)
        if reboot is not None and self.printing.busy and self.status.print_info.current_layer >= reboot.layer:
            self.faults.take(kinds.RebootAtLayer)
            self.reboot()
            return
        self._waiters.check()
        self._strangers.look()
        self.person.look()

    def _answer_probe(self, reply: Callable[[bytes], None], loss: kinds.UdpLoss | None) -> None:
        wait = self._random.uniform(*_REPLY_WAIT)
        delay = self.faults.take(kinds.UdpDelay)
        if delay is not None:
            wait += delay.seconds + self._random.uniform(0, delay.spread)
        twice = self.faults.take(kinds.UdpDuplicate)
        for _ in range(1 if twice is None else twice.copies):
            if loss is None or self._random.random() >= loss.share:
                self._replies.add(wait, self._reply, reply)

    def _reply(self, reply: Callable[[bytes], None]) -> None:
        if self._power.on and not self._silent:
            reply(self._reports.reply())
