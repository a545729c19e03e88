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
from sdcpd.simulator.calling import Caller
from sdcpd.simulator.commands import Commands
from sdcpd.simulator.dialling import Dialler
from sdcpd.simulator.download import Fetcher
from sdcpd.simulator.faults import Fault, Faults
from sdcpd.simulator.journal import Counts, Entry, Journal, Violation
from sdcpd.simulator.link import Links, LinkState
from sdcpd.simulator.odd import encode, garbage, reply_payload, spoil_status
from sdcpd.simulator.person import Person
from sdcpd.simulator.printing import PrintMachine
from sdcpd.simulator.profiles import AttributesShape
from sdcpd.simulator.settings import PrinterSpec, Settings, must_be_loopback
from sdcpd.simulator.simtime import Alarm, SimTime
from sdcpd.simulator.status import IDLE, Identity, JsonObject, PrinterStatus, PrintInfo, TransferInfo
from sdcpd.simulator.storage import Store
from sdcpd.simulator.strangers import Strangers
from sdcpd.simulator.transfer import TransferMachine
from sdcpd.simulator.waiting import Waiters

__all__ = ["Printer"]

_REPLY_WAIT = (0.005, 0.05)
_PERIOD_AT_LEAST = 0.02  # real seconds
_UPTIME_WRAP = 2**32  # assumed, Q17


class Printer:
    """A printer: its state, its machines, its link, its faults, and the person in front of it."""

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
        self.spec = spec
        self.time = SimTime(clock, settings.scale)
        self.identity = Identity(spec, spec.name)
        self.status = PrinterStatus()
        self.faults = Faults()
        self._waiters = Waiters()
        self.journal = Journal(self.time, spec.mainboard_id, settings.strict, self._waiters.check)
        directory = settings.store / spec.mainboard_id if settings.store is not None else None
        self.store = Store(settings.capacity, settings.layers, directory)
        self._settings = settings
        self._random = Random(f"{settings.seed}/{spec.address}/behaviour")
        self._booted_at = self.time.now()
        self._powered = True
        self.boots = 1  # an answer to a request of before is nobody's
        self._silent = False
        self._cut = Alarm(self.time)
        self._boot = Alarm(self.time)
        self._periodic = Alarm(self.time)
        self.period = settings.period
        self.printing = PrintMachine(self.time, spec.profile, settings, self.status, self.publish_status)
        self.transfer = TransferMachine(
            self.time,
            settings,
            self.status,
            self.store,
            self.faults,
            self.journal,
            lambda: make_fetcher(self.time, self.spec.address),
            self.publish_status,
            self,
        )
        self._commands = Commands(self, settings, self._random)
        self._strangers = Strangers(self, dialler, lambda address: make_fetcher(self.time, address))
        self._person = Person(self)
        self._rehouse = rehouse
        self.caller = Caller(
            self.time,
            settings,
            self.identity,
            self.faults,
            self.journal,
            links,
            self._random,
            self._link_up,
            self._commands.delivered,
            lambda: (self._topic("status"), self._status_payload()),
        )

    @property
    def id(self) -> str:
        """The MainboardID."""
        return self.spec.mainboard_id

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
        return self._powered

    @property
    def uptime(self) -> int:
        """TimeStamp: milliseconds since power-on, in 32 bits."""
        return round((self.time.now() - self._booted_at) * 1000) % _UPTIME_WRAP

    def until(self, predicate: Callable[[Printer], bool]) -> Deferred[None]:
        """Fires as soon as the predicate holds; asked after everything received and every change of status."""
        return self._waiters.until(lambda: predicate(self))

    def datagram(self, data: bytes, source: str, reply: Callable[[bytes], None]) -> None:
        """Something came by UDP."""
        loss = self.faults.get(kinds.UdpLoss)
        if not self._powered or self._silent:
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

    def publish(self, kind: str, message: JsonObject, key: object = None) -> None:
        """Send a message on one of the printer's topics."""
        self.caller.publish(self._topic(kind), encode(message), key)

    def publish_status(self) -> None:
        """Send the status now."""
        reboot = self.faults.get(kinds.RebootAtLayer)
        if reboot is not None and self.printing.busy and self.status.print_info.current_layer >= reboot.layer:
            self.faults.take(kinds.RebootAtLayer)
            self.reboot()
            return
        self._waiters.check()
        self._strangers.look()
        self._person.look()
        if self.transfer.busy and self.faults.get(kinds.FastTransfer) is not None:
            return
        self.caller.publish(self._topic("status"), self._status_payload(), self.status.phase)

    def publish_attributes(self) -> None:
        """Send the attributes in the profile's shape."""
        fault = self.faults.take(kinds.AttributesFault)
        shape = AttributesShape(fault.shape) if fault is not None else self.spec.profile.attributes
        self.printing.tick()
        self.publish("attributes", self.identity.attributes_message(shape, self.status.to_json(), self.uptime))

    def set_period(self, seconds: float) -> None:
        """Send the status so often (Cmd 512)."""
        self.period = seconds
        self._keep_publishing()

    def tap(self) -> bool:
        """A person taps the completed screen away."""
        return self.printing.tap()

    def start_local(self, name: str, start_layer: int = 0) -> bool:
        """A person starts a stored file at the touch screen."""
        file = self.store.get(name)
        if file is None or self.status.current != IDLE or self.printing.busy:
            return False
        self.begin_print(name, start_layer)
        return True

    def pause_local(self) -> bool:
        """A person pauses at the touch screen."""
        return self.printing.pause(by_touch=True)

    def resume_local(self) -> bool:
        """A person resumes at the touch screen."""
        return self.printing.resume()

    def stop_local(self) -> bool:
        """A person stops at the touch screen."""
        return self.printing.stop()

    def begin_print(self, name: str, start_layer: int) -> None:
        """Print a stored file, whoever asked for it."""
        file = self.store.get(name)
        if file is None:
            raise ValueError(f"no file {name!r} on the printer")
        screen = self.faults.take(kinds.CompletedScreen)
        self.printing.completed_screen = self._settings.completed_screen if screen is None else screen.seconds
        self.printing.start(file, start_layer)

    def power_off(self) -> None:
        """Pull the plug: nothing is said, and TCP connections hang half-open."""
        self._halt()
        self.journal.note("power-off")

    def _halt(self) -> None:
        self._powered = False
        self._silent = False
        self.boots += 1
        for alarm in (self._periodic, self._cut, self._boot):
            alarm.cancel()
        self.caller.freeze()
        self._person.leave()
        self.printing.power_off()
        self.transfer.power_off()

    def power_on(self) -> None:
        """Plug it in again: everything forgotten but the files and the last broker (assumed, Q3)."""
        if self._powered:
            return
        self._boot.cancel()
        self._powered = True
        self.caller.thaw()
        self._booted_at = self.time.now()
        self.period = self._settings.period
        self.status.current = self.status.previous = IDLE
        self.status.print_info, self.status.transfer_info = PrintInfo(), TransferInfo()
        self.journal.note("power-on")

    def reboot(self) -> None:
        """Off, and on again after the boot time."""
        self.power_off()
        self._boot.set(self._settings.boot_time, self.power_on)

    def shut_down(self) -> None:
        """The simulation ends: leave nothing pending."""
        self._halt()
        self._strangers.leave()
        self.caller.thaw()

    def move(self, address: str) -> None:
        """Live at another address of the loopback, as after DHCP: what was connected hangs; ValueError if taken."""
        self._rehouse(self, must_be_loopback(address))
        self.spec = self.identity.spec = replace(self.spec, address=address)
        self.caller.freeze()
        self.transfer.interrupt()

    def cut_link(self) -> None:
        """Reset the connection to the broker."""
        self.caller.drop()
        self._periodic.cancel()

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
                self.caller.publish(self._topic("status"), garbage(injected.kind))
            case kinds.Uptime():
                self._booted_at = self.time.now() - injected.milliseconds / 1000
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
            "powered": self._powered,
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

    def _link_up(self) -> None:
        self.publish_status()
        self._keep_publishing()

    def _keep_publishing(self) -> None:
        if self.period > 0:  # assumed, Q8: 0 ends the periodic status
            self._periodic.set(max(self.period, _PERIOD_AT_LEAST * self.time.scale), self._publish_again)
        else:
            self._periodic.cancel()

    def _publish_again(self) -> None:
        if self.link_state is LinkState.UP:
            self.publish_status()
            self._keep_publishing()

    def _answer_probe(self, reply: Callable[[bytes], None], loss: kinds.UdpLoss | None) -> None:
        wait = self._random.uniform(*_REPLY_WAIT)
        delay = self.faults.take(kinds.UdpDelay)
        if delay is not None:
            wait += delay.seconds + self._random.uniform(0, delay.spread)
        twice = self.faults.take(kinds.UdpDuplicate)
        for _ in range(1 if twice is None else twice.copies):
            if loss is None or self._random.random() >= loss.share:
                self.time.later(wait, self._reply, reply)

    def _reply(self, reply: Callable[[bytes], None]) -> None:
        if self._powered and not self._silent:
            self.printing.tick()
            status = spoil_status(self.status.to_json(), self.faults)
            reply(reply_payload(self.identity.reply(status), self.faults))

    def _topic(self, kind: str) -> str:
        return f"/sdcp/{kind}/{self.id}"

    def _status_payload(self) -> bytes:
        self.printing.tick()
        status = spoil_status(self.status.to_json(), self.faults)
        return encode(self.identity.status_message(status, self.uptime))
