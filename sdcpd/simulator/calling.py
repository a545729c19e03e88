"""How a printer comes to its broker: the invitation, the wait, the attempts.

One decision: everything about the link's life is here (invited, connecting, up, cut, frozen, taken over), so the
printer itself only publishes and obeys. Nobody has recorded that a V1 printer calls again by itself after its link was
lost; this one does not (assumed, Q3).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from random import Random

from sdcpd.simulator import fault_kinds as kinds
from sdcpd.simulator import outside_kinds as outside
from sdcpd.simulator.faults import Faults
from sdcpd.simulator.journal import Journal
from sdcpd.simulator.link import Link, LinkOwner, Links, LinkState, LinkTerms
from sdcpd.simulator.profiles import HostForm
from sdcpd.simulator.requests import Delivery
from sdcpd.simulator.segments import Segments
from sdcpd.simulator.settings import Settings, must_be_loopback
from sdcpd.simulator.simtime import Alarm, SimTime
from sdcpd.simulator.status import Identity

__all__ = ["Caller"]

_WAIT = (0.5, 3.0)
_ATTEMPTS = 3
_BETWEEN = 1.0


class Caller:
    """Keeps at most one link, to the broker that invited last."""

    def __init__(
        self,
        time: SimTime,
        settings: Settings,
        identity: Identity,
        faults: Faults,
        journal: Journal,
        links: Links,
        random: Random,
        up: Callable[[], None],
        delivered: Callable[[Delivery], None],
        early: Callable[[], tuple[str, bytes]],
    ) -> None:
        self._time = time
        self._settings = settings
        self._identity = identity
        self._faults = faults
        self._journal = journal
        self._links = links
        self._random = random
        self._up = up
        self._delivered = delivered
        self._early = early
        self._link: Link | None = None
        self._frozen: list[Link] = []
        self._dialling = Alarm(time)
        self._broker: tuple[str, int] | None = None
        self.inviter: tuple[str, int] | None = None  # who invited last, obeyed or not

    @property
    def state(self) -> LinkState:
        """How far the link has come."""
        return LinkState.DOWN if self._link is None else self._link.state

    @property
    def broker_host(self) -> str:
        """The address of the last broker, which ``${ipaddr}`` stands for."""
        return self._broker[0] if self._broker else ""

    def invited(self, words: list[str], source: str) -> None:
        """``M66666`` came, with these words after it."""
        honours = self._identity.spec.profile.host_form is HostForm.HONOUR
        host = words[0] if len(words) == 2 and honours else source
        port = words[-1] if len(words) in (1, 2) else ""
        self._journal.note("invitation", words=words, source=source)
        if not port.isdecimal() or not 0 < int(port) < 65536:  # assumed, Q4: ignored; nor is any invitation answered
            self._journal.violation("invitation", f"M66666 {' '.join(words)}")
            return
        self.inviter = (host, int(port))
        if self._faults.take(kinds.IgnoreInvitations) is not None:
            return
        taken = self._faults.get(kinds.BrokerTakeover)
        if taken is not None and not taken.obeys:
            return
        if self.state is LinkState.UP and not self._settings.obeys_invitation_while_up:
            return
        self.drop()
        self._dialling.set(self._random.uniform(*_WAIT), self._dial, host, int(port), 1)

    def publish(self, topic: str, payload: bytes, key: Hashable = None) -> None:
        """Send, if there is a link."""
        if self._link is not None and self._link.state is LinkState.UP:
            self._link.publish(topic, payload, key)

    def disconnect(self) -> None:
        """Leave the broker politely."""
        if self._link is not None:
            self._link.disconnect()

    def drop(self, reset: bool = True) -> None:
        """Leave it without a word, and call nobody."""
        self._dialling.cancel()
        link, self._link = self._link, None
        self._identity.sdcp_status = 0
        if link is not None:
            link.drop(reset)
            self._journal.note("disconnected", reason="dropped by the printer")

    def freeze(self) -> None:
        """Leave the TCP connection hanging half-open."""
        self._dialling.cancel()
        link, self._link = self._link, None
        self._identity.sdcp_status = 0
        if link is not None:
            link.freeze()
            self._frozen.append(link)
            self._journal.note("frozen")

    def thaw(self) -> None:
        """Reset what hangs half-open, as a booting network stack does."""
        while self._frozen:
            self._frozen.pop().drop()

    def twin(self) -> None:
        """Call the same broker again while the first connection hangs."""
        self.freeze()
        if self._broker is not None:
            self._dial(*self._broker, 1)

    def taken_over(self, address: str) -> None:
        """Another broker has the printer now."""
        self.drop(reset=False)
        self._identity.broker = address
        self._identity.sdcp_status = 1

    def _dial(self, host: str, port: int, attempt: int) -> None:
        host = "127.0.0.1" if host == "localhost" else host
        try:
            must_be_loopback(host)
        except ValueError:
            self._journal.note("refused", broker=(host, port), reason="not a loopback address")
            return
        keepalive = self._faults.take(kinds.Keepalive)
        early = self._faults.take(kinds.EarlyPublish)
        terms = LinkTerms(
            host=host,
            port=port,
            bind_address=self._identity.spec.address,
            client_id=self._identity.spec.mainboard_id,
            keepalive=self._settings.keepalive if keepalive is None else keepalive.seconds,
            filters=self._filters(),
            early=None if early is None else self._early(),
            segments=self._segments(),
        )
        self._broker = (host, port)
        owner = _Owner(self, attempt)
        self._journal.note("calling", host=host, port=port)
        try:
            owner.link = self._link = self._links.connect(owner, terms, self._faults, self._journal)
        except OSError as error:
            self._refused(str(error), attempt)

    def _refused(self, reason: str, attempt: int) -> None:
        assert self._broker is not None
        self._journal.note("refused", broker=self._broker, reason=reason)
        if attempt < _ATTEMPTS:  # assumed, Q3
            self._dialling.set(_BETWEEN, self._dial, *self._broker, attempt + 1)

    def _segments(self) -> Segments:
        if self._faults.take(outside.SplitSegments) is not None:
            return Segments.SPLIT
        return Segments.WHOLE if self._faults.take(outside.JoinedPackets) is None else Segments.JOINED

    def _filters(self) -> tuple[str, ...]:
        own = f"/sdcp/request/{self._identity.spec.mainboard_id}"
        fault = self._faults.take(kinds.SubscribeFilters)
        if fault is None:
            return (own,)
        return ("/sdcp/#",) if fault.kind == "wildcard" else (own, own.replace("request", "notice"))

    def is_up(self, link: Link | None) -> None:
        """A link has come up."""
        if link is self._link:
            self._identity.sdcp_status = 1
            self._identity.broker = "tcp://{}:{}".format(*self._broker or ("", 0))
            self._journal.note("up", broker=self._identity.broker)
            self._up()

    def is_refused(self, link: Link | None, reason: str, attempt: int) -> None:
        """A broker could not be reached."""
        if link is self._link:
            self._link = None
            self._refused(reason, attempt)

    def is_lost(self, link: Link | None, reason: str) -> None:
        """A link is gone."""
        if link is self._link:
            self._link = None
            self._identity.sdcp_status = 0
            self._journal.note("disconnected", reason=reason)

    def has_delivered(self, link: Link | None, delivery: Delivery) -> None:
        """A link brought something."""
        if link is self._link:
            self._delivered(delivery)


class _Owner(LinkOwner):
    """Tells the caller which of its links speaks, so one that was left long ago is nobody's."""

    def __init__(self, caller: Caller, attempt: int) -> None:
        self._caller = caller
        self._attempt = attempt
        self.link: Link | None = None

    def link_up(self) -> None:
        self._caller.is_up(self.link)

    def link_refused(self, reason: str) -> None:
        self._caller.is_refused(self.link, reason, self._attempt)

    def link_lost(self, reason: str) -> None:
        self._caller.is_lost(self.link, reason)

    def delivered(self, delivery: Delivery) -> None:
        self._caller.has_delivered(self.link, delivery)
