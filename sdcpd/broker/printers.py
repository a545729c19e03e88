"""The printers' door: V1 boards, each let in as what discovery knows of it, and their ``Link``.

One decision: boards cannot authenticate, so a connection is admitted by what discovery knows: the MainboardID as
client id, from the address at which that printer was seen, on its own ``/sdcp/*/<id>`` topics. Requests go to the
connection that is there now or nowhere; nothing is ever stored for a printer (docs/design.md, "Two doors").
"""

from __future__ import annotations

from collections import deque
from functools import partial

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from sdcpd.broker.limits import Limits
from sdcpd.broker.policy import Identity, OpenPolicy, Verdict
from sdcpd.broker.router import Router
from sdcpd.codec import mqtt
from sdcpd.codec.sdcp import parse_topic, request_topic
from sdcpd.errors import MalformedMessage
from sdcpd.fleet import Fleet
from sdcpd.links import COMMAND_TIMEOUT, Links, Session
from sdcpd.logs import Few, logger, shown

__all__ = ["PRINTERS_LIMITS", "PrinterLink", "PrintersPolicy"]

PRINTERS_LIMITS = Limits(
    packet_size=256 * 1024,  # sdcp.md 7.8
    connect_size=4096,  # a board's CONNECT has about 30 bytes; with a Will, which no capture rules out, a status more
    connections=4096,
    connections_per_address=16,  # and one for each printer seen there; a second while the first is half-open
    connects_per_second=20,
    packets=50,  # a busy board sends two or three in a second
    subscriptions=16,
    queued_bytes=1 << 20,
    queued_bytes_of_all=64 << 20,
)
"""What boards need, and little more: nobody has to authenticate at this door."""
ACK_WAIT = 3.0
"""Seconds after which a request is sent although the one before was not acknowledged."""
MISSES = 3
"""So many of these in a row, and requests go out at QoS 0: a session can only hold so many without an answer."""

_log = logger("sdcpd.broker.printers")


class PrinterIdentity(Identity, frozen=True):
    """One printer. Its session's name cannot be that of a client at another door of the same router."""

    mainboard_id: str = ""


class PrinterLink:
    """The way to one board while it is connected: requests at QoS 1, one at a time."""

    def __init__(self, router: Router, identity: PrinterIdentity, clock: IReactorTime) -> None:
        self._router = router
        self._identity = identity
        self._clock = clock
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._number = 0
        self._in_flight = 0
        self._misses = 0
        self._patience: IDelayedCall | None = None
        self._over = False

    @property
    def mainboard_id(self) -> str:
        """Whose link it is."""
        return self._identity.mainboard_id

    def send(self, payload: bytes) -> None:
        """Publish one request on the printer's request topic, as soon as the one before is acknowledged."""
        if not self._over:
            self._waiting.append((self._clock.seconds(), payload))
            self._flush()

    def close(self, reason: str) -> None:
        """End the connection; what was not yet sent is never sent."""
        if self._over:
            return  # the printer may be back already, and that connection is not this link's
        self.over()
        self._router.end(self._identity.session, reason)

    def over(self) -> None:
        """The connection has ended: nothing may follow."""
        self._over = True
        self._waiting.clear()
        self._settle()

    def _flush(self) -> None:
        while self._waiting and not self._in_flight:
            since, payload = self._waiting.popleft()
            if self._clock.seconds() - since >= COMMAND_TIMEOUT:
                continue  # who asked was told that there was no answer: a start must not follow after that
            self._number += 1
            number, topic = self._number, request_topic(self.mainboard_id)
            if self._misses < MISSES:
                self._in_flight = number
                sent = self._router.deliver(
                    self._identity.session, topic, payload, 1, partial(self._acknowledged, number)
                )
            else:
                sent = self._router.deliver(self._identity.session, topic, payload, 0)
            if not sent:
                _log.warn("{id} cannot be sent a request now", id=self.mainboard_id)
                self._in_flight = 0
            elif self._in_flight == number:
                self._patience = self._clock.callLater(ACK_WAIT, self._impatient)

    def _acknowledged(self, number: int) -> None:
        self._misses = 0
        if number == self._in_flight:
            self._settle()
            self._flush()

    def _impatient(self) -> None:
        self._misses += 1
        if self._misses == 1:
            _log.warn("{id} does not acknowledge its messages", id=self.mainboard_id)
        self._settle()
        self._flush()

    def _settle(self) -> None:
        self._in_flight = 0
        patience, self._patience = self._patience, None
        if patience is not None and patience.active():
            patience.cancel()


class PrintersPolicy(OpenPolicy):
    """Lets discovered printers in and hands what they say to their ``Session``."""

    def __init__(self, router: Router, fleet: Fleet, links: Links, clock: IReactorTime) -> None:
        self._router = router
        self._fleet = fleet
        self._links = links
        self._clock = clock
        self._few = Few(clock.seconds)
        self._here: set[str] = set()
        self._open: dict[str, tuple[PrinterLink, Session]] = {}

    def connect(self, packet: mqtt.Connect, peer: str) -> Identity | mqtt.ConnectCode:
        """A printer that discovery knows, from the address where it was seen; nobody else."""
        printer = self._fleet.find(packet.client_id)
        if printer is None or not printer.address or printer.address != peer:
            return mqtt.ConnectCode.NOT_AUTHORIZED
        return PrinterIdentity(f"printer/{printer.id}", stored=False, routed=False, mainboard_id=printer.id)

    def expected(self, peer: str) -> int:
        """The printers that were seen at this address: several, if a router with NAT stands in between."""
        return sum(printer.address == peer for printer in self._fleet)

    def subscribe(self, identity: Identity, topic_filter: str, qos: int) -> int:
        """Filters that take in its own request topic: at QoS 1 at most, nothing more was ever seen."""
        own = mqtt.matches(topic_filter, request_topic(_id(identity)))
        if not own and self._few.may():
            _log.warn("{id} asks for topics of others: {filter}", id=_id(identity), filter=shown(topic_filter))
        return min(qos, 1) if own else mqtt.SUBACK_FAILURE

    def publish(self, identity: Identity, packet: mqtt.Publish) -> Verdict:
        """Its own topics, whatever their kind, but not the one that it is asked on."""
        try:
            kind, mainboard_id = parse_topic(packet.topic)
        except MalformedMessage as error:
            if self._few.may():
                _log.warn("{id} publishes on a foreign topic: {error}", id=_id(identity), error=error)
            return Verdict.DROP
        if mainboard_id != _id(identity) or kind == "request":
            if self._few.may():
                _log.warn("{id} publishes for another: {topic}", id=_id(identity), topic=shown(packet.topic))
            return Verdict.DROP
        return Verdict.ALLOW

    def published(self, identity: Identity, packet: mqtt.Publish) -> None:
        """A message for its session; before it has subscribed, what it says counts, though it cannot be asked."""
        kind, mainboard_id = parse_topic(packet.topic)
        if mainboard_id in self._open:
            self._open[mainboard_id][1].received(kind, packet.payload)
        elif mainboard_id in self._here:
            self._links.overheard(mainboard_id, kind, packet.payload)
        # Else it is the Will of a connection that has ended: written before all that it said since.

    def connected(self, identity: Identity) -> None:
        """It is here, though it cannot be asked yet."""
        self._here.add(_id(identity))

    def subscribed(self, identity: Identity, topic_filters: tuple[str, ...]) -> None:
        """It can be asked now: the link is open."""
        mainboard_id = _id(identity)
        if mainboard_id in self._open or not topic_filters:
            return
        assert isinstance(identity, PrinterIdentity)
        link = PrinterLink(self._router, identity, self._clock)
        printer = self._fleet.find(mainboard_id)
        if self._links.may(mainboard_id, "connected"):
            address = printer.address if printer is not None else ""
            _log.info("{id} is connected from {address}", id=mainboard_id, address=address)
        session = self._links.opened(link)
        if self._router.is_connected(identity.session):
            self._open[mainboard_id] = (link, session)
        else:  # the greeting was more than it could take
            link.over()
            self._links.closed(session, "the connection ended")

    def unsubscribed(self, identity: Identity, topic_filters: tuple[str, ...]) -> None:
        """It takes no more requests."""
        topic = request_topic(_id(identity))
        if any(mqtt.matches(topic_filter, topic) for topic_filter in topic_filters):
            self._close(_id(identity), "the printer no longer takes requests")

    def pinged(self, identity: Identity) -> None:
        """It is there, though it has nothing to say."""
        if _id(identity) in self._open:
            self._open[_id(identity)][1].alive()

    def ended(self, identity: Identity, reason: str) -> None:
        """Its connection is over."""
        self._here.discard(_id(identity))
        self._close(_id(identity), reason)

    def _close(self, mainboard_id: str, reason: str) -> None:
        if mainboard_id in self._open:
            link, session = self._open.pop(mainboard_id)
            link.over()
            self._links.closed(session, reason)


def _id(identity: Identity) -> str:
    assert isinstance(identity, PrinterIdentity)
    return identity.mainboard_id
