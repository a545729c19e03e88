"""The MQTT server that V1 boards dial into, and the V1 ``Link``.

One decision: this door is for printers only. Boards cannot authenticate, so a connection is admitted by what
discovery knows: the MainboardID as client id, from the address at which that printer was seen, on its own
``/sdcp/*/<id>`` topics. There is no routing between clients; the daemon's sessions *are* the other side.
"""

from __future__ import annotations

from collections import Counter, deque
from functools import singledispatchmethod

from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime, ITCPTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from sdcpd.codec import mqtt
from sdcpd.codec.sdcp import parse_topic, request_topic
from sdcpd.errors import MalformedMessage, WireError
from sdcpd.fleet import Fleet
from sdcpd.links import COMMAND_TIMEOUT, Links, Session
from sdcpd.logs import logger

__all__ = ["Broker", "PrinterConnection"]

MAX_PACKET = 256 * 1024
"""Bytes that one packet may have (sdcp.md 7.8)."""
MAX_CONNECT = 1024
"""Bytes that the first packet may have: a board's CONNECT has about 30."""
CONNECT_WAIT = 10.0
"""Seconds until a connection must have sent its CONNECT."""
MAX_CONNECTIONS = 4096
"""Connections in all."""
MAX_PER_ADDRESS = 16
"""Connections from one address: a printer needs one, and a second while the first is half-open."""
FAREWELL = 3.0
"""Seconds the last bytes have to leave before a connection is cut."""
ACK_WAIT = 3.0
"""Seconds after which a request is sent although the one before was not acknowledged."""

_log = logger("sdcpd.broker")


class PrinterConnection(Protocol):
    """One TCP connection to the printers' port; after CONNECT and SUBSCRIBE it is a ``Link``."""

    transport: ITCPTransport

    def __init__(self, broker: Broker, peer: str) -> None:
        self._broker = broker
        self._clock = broker.clock
        self.peer = peer
        self._mqtt = mqtt.ServerConnection(MAX_PACKET, MAX_CONNECT)
        self._mainboard_id = ""
        self._keep_alive = 0.0
        self._last = self._clock.seconds()
        self._session: Session | None = None
        self._granted = 0
        self._next_id = 0
        self._in_flight: tuple[int, float] | None = None
        self._outgoing: deque[tuple[float, bytes]] = deque()
        self._half_received: set[int] = set()
        self._farewell: IDelayedCall | None = None

    @property
    def mainboard_id(self) -> str:
        """The client id, once CONNECT was accepted; empty before."""
        return self._mainboard_id

    def connectionMade(self) -> None:
        """A peer has connected."""
        # Without it a PUBACK and the next PUBLISH wait 40 ms for each other (mqtt.md 4.3).
        self.transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        """Bytes have arrived, cut anywhere."""
        try:
            for packet in self._mqtt.receive(data):
                self._last = self._clock.seconds()
                self._received(packet)
        except mqtt.ProtocolViolation as error:
            if error.return_code is not None:
                self.transport.write(mqtt.connack(False, error.return_code))
            self._abuse(error)
        except WireError as error:
            self._abuse(error)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone, however it went."""
        if self._farewell is not None and self._farewell.active():
            self._farewell.cancel()
        self._mqtt.close()
        self._broker.forget(self)
        self._closed("the printer closed the connection")

    def _closed(self, reason: str) -> None:
        if self._session is not None:
            session, self._session = self._session, None
            self._broker.links.closed(session, reason)

    # -- what arrives ----------------------------------------------------------------------------------------

    @singledispatchmethod
    def _received(self, packet: mqtt.Packet) -> None:
        raise mqtt.ProtocolViolation(f"a server does not expect {type(packet).__name__}", "[MQTT-4.8.0-1]")

    @_received.register
    def _(self, packet: mqtt.Connect) -> None:
        if not self._broker.admits(packet.client_id, self.peer):
            _log.warn(
                "Refused MQTT client {id} from {peer}: no printer of that id was discovered at that address",
                id=packet.client_id,
                peer=self.peer,
            )
            self.transport.write(mqtt.connack(False, mqtt.ConnectCode.NOT_AUTHORIZED))
            self._end("not admitted")
            return
        self._mainboard_id = packet.client_id
        self._keep_alive = packet.keep_alive * 1.5  # [MQTT-3.1.2-24]
        self._broker.connected(self)
        # Nothing is ever stored for a printer, so there is never a session to resume [MQTT-3.2.2-3].
        self.transport.write(mqtt.connack(False, mqtt.ConnectCode.ACCEPTED))

    @_received.register
    def _(self, packet: mqtt.Subscribe) -> None:
        topic = request_topic(self._mainboard_id)
        codes = []
        for topic_filter, qos in packet.filters:
            own = mqtt.matches(topic_filter, topic)
            codes.append(min(qos, 1) if own else 0x80)
        self.transport.write(mqtt.suback(packet.packet_id, codes))
        granted = [code for code in codes if code != 0x80]
        if not granted:
            _log.warn("{id} asks for topics of others: {filters}", id=self._mainboard_id, filters=packet.filters)
            return
        self._granted = max(granted)
        if self._session is None:
            _log.info("{id} is connected from {peer}", id=self._mainboard_id, peer=self.peer)
            self._session = self._broker.links.opened(self)

    @_received.register
    def _(self, packet: mqtt.Unsubscribe) -> None:
        self.transport.write(mqtt.unsuback(packet.packet_id))
        topic = request_topic(self._mainboard_id)
        if self._session is not None and any(mqtt.matches(f, topic) for f in packet.filters):
            self._closed("the printer no longer takes requests")

    @_received.register
    def _(self, packet: mqtt.Publish) -> None:
        if packet.qos == 1:
            self.transport.write(mqtt.puback(packet.packet_id))
        elif packet.qos == 2:
            self.transport.write(mqtt.pubrec(packet.packet_id))
            if packet.packet_id in self._half_received:
                return  # delivered already [MQTT-4.3.3-2]
            self._half_received.add(packet.packet_id)
        try:
            kind, mainboard_id = parse_topic(packet.topic)
        except MalformedMessage as error:
            _log.warn("{id} publishes on a foreign topic: {error}", id=self._mainboard_id, error=error)
            return
        if mainboard_id != self._mainboard_id:
            _log.warn("{id} publishes for another printer: {topic}", id=self._mainboard_id, topic=packet.topic)
            return
        if self._session is not None:
            self._session.received(kind, packet.payload)
        else:
            # Before SUBSCRIBE: what it says counts, though it cannot be asked yet.
            self._broker.links.overheard(self._mainboard_id, kind, packet.payload)

    @_received.register
    def _(self, packet: mqtt.PubAck) -> None:
        if self._in_flight is not None and packet.packet_id == self._in_flight[0]:
            self._in_flight = None
            self._flush()

    @_received.register
    def _(self, packet: mqtt.PubRel) -> None:
        self._half_received.discard(packet.packet_id)
        self.transport.write(mqtt.pubcomp(packet.packet_id))

    @_received.register(mqtt.PubRec)
    @_received.register(mqtt.PubComp)
    def _(self, packet: mqtt.PubRec | mqtt.PubComp) -> None:
        """Nothing is sent at QoS 2, so these belong to nothing: ignored."""

    @_received.register
    def _(self, packet: mqtt.PingReq) -> None:
        self.transport.write(mqtt.PINGRESP)
        if self._session is not None:
            self._session.alive()

    @_received.register
    def _(self, packet: mqtt.Disconnect) -> None:
        self._end("the printer said goodbye")

    # -- the Link --------------------------------------------------------------------------------------------

    def send(self, payload: bytes) -> None:
        """Publish one request on the printer's request topic; at QoS 1 one at a time."""
        if self._farewell is None:
            self._outgoing.append((self._clock.seconds(), payload))
            self._flush()

    def close(self, reason: str) -> None:
        """End the connection at once; what was not yet sent is never sent."""
        self._end(reason)

    def _flush(self) -> None:
        now = self._clock.seconds()
        while self._outgoing and self._in_flight is None:
            since, payload = self._outgoing.popleft()
            if now - since >= COMMAND_TIMEOUT:
                continue  # who asked was told that there was no answer: a start must not follow after that
            packet_id = 0
            if self._granted:
                self._next_id = packet_id = self._next_id % 65535 + 1
                self._in_flight = (packet_id, now)
            topic = request_topic(self._mainboard_id)
            self.transport.write(mqtt.publish(topic, payload, self._granted, packet_id))

    # -- ends ------------------------------------------------------------------------------------------------

    def sweep(self, now: float) -> None:
        """Look at the deadlines: CONNECT, keep alive, acknowledgement."""
        if not self._mainboard_id:
            if now - self._last > CONNECT_WAIT:
                self._end(f"no CONNECT within {CONNECT_WAIT:.0f} s")
        elif self._keep_alive and now - self._last > self._keep_alive:
            self._end("its keep alive passed without a packet")
        elif self._in_flight is not None and now - self._in_flight[1] > ACK_WAIT:
            _log.warn("{id} does not acknowledge its messages", id=self._mainboard_id)
            self._in_flight = None
            self._flush()

    def _abuse(self, error: WireError) -> None:
        _log.warn("{peer} breaks MQTT: {error}", peer=self.peer, error=error)
        self._end(f"it broke MQTT: {error}")

    def _end(self, reason: str) -> None:
        if self._farewell is not None:
            return
        # To a peer that is gone the last bytes can never be delivered, and loseConnection would wait for that.
        self._farewell = self._clock.callLater(FAREWELL, self.transport.abortConnection)
        self._mqtt.close()
        self._outgoing.clear()
        self._in_flight = None
        self.transport.loseConnection()
        self._closed(reason)


class Broker(Factory):
    """Admits printers, hands their sessions to ``Links`` and watches their deadlines."""

    noisy = False

    def __init__(self, clock: IReactorTime, fleet: Fleet, links: Links) -> None:
        self.clock = clock
        self.fleet = fleet
        self.links = links
        self._connections: set[PrinterConnection] = set()
        self._by_id: dict[str, PrinterConnection] = {}
        self._per_address: Counter[str] = Counter()
        self._watch = LoopingCall(self._sweep)
        self._watch.clock = clock

    def startFactory(self) -> None:
        """The port is open."""
        self._watch.start(1.0, now=False)

    def stopFactory(self) -> None:
        """The port is closed: no connection outlives it."""
        self._watch.stop()
        for connection in list(self._connections):
            connection.close("the daemon stops")

    def buildProtocol(self, addr: IAddress | None) -> PrinterConnection | None:
        """One connection, unless there are too many already."""
        peer = str(getattr(addr, "host", addr))
        if len(self._connections) >= MAX_CONNECTIONS or self._per_address[peer] >= MAX_PER_ADDRESS:
            _log.warn("Too many connections to the printers' port; refused {peer}", peer=peer)
            return None
        connection = PrinterConnection(self, peer)
        connection.factory = self
        self._connections.add(connection)
        self._per_address[peer] += 1
        return connection

    def admits(self, client_id: str, peer: str) -> bool:
        """Whether discovery knows a printer of this MainboardID at this address."""
        printer = self.fleet.find(client_id)
        return printer is not None and bool(printer.address) and printer.address == peer

    def connected(self, connection: PrinterConnection) -> None:
        """A CONNECT was accepted; an older connection of the same client id is closed [MQTT-3.1.4-2]."""
        older = self._by_id.get(connection.mainboard_id)
        self._by_id[connection.mainboard_id] = connection
        if older is not None:
            older.close("the printer connected again")

    def forget(self, connection: PrinterConnection) -> None:
        """A connection has ended; only its own entries go."""
        self._connections.discard(connection)
        self._per_address[connection.peer] -= 1
        self._per_address += Counter()  # drops what has come down to zero
        if self._by_id.get(connection.mainboard_id) is connection:
            del self._by_id[connection.mainboard_id]

    def _sweep(self) -> None:
        now = self.clock.seconds()
        for connection in list(self._connections):
            connection.sweep(now)
