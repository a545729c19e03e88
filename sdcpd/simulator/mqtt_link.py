"""The MQTT connection of a printer, spoken by paho-mqtt inside Twisted's reactor.

One decision: paho's hooks for external event loops, wrapped as one file descriptor of the reactor, so there is no
thread; and whatever paho calls back is queued until paho has returned, because its callbacks must not close the
connection they come from. paho numbers, frames and parses; only what it cannot do (a repetition with DUP inside a
connection) is written beside it, and the connect, which paho would wait for with the whole reactor.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from twisted.internet.interfaces import IReactorFDSet, IReadWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from sdcpd.simulator import fault_kinds as kinds
from sdcpd.simulator.faults import Faults
from sdcpd.simulator.journal import Journal
from sdcpd.simulator.link import Link, LinkOwner, LinkState, LinkTerms
from sdcpd.simulator.rawmqtt import publish_packet
from sdcpd.simulator.requests import Delivery
from sdcpd.simulator.segments import JoinedSocket, Segments, make_socket, send_whole
from sdcpd.simulator.simtime import Alarm, SimTime

__all__ = ["MqttLink", "MqttLinks"]

_HANDSHAKE = 10.0  # real seconds for CONNACK, and for SUBACK
_PUBACK = 10.0  # real seconds; assumed, 8.2
_PINGRESP = 10.0  # real seconds
_ATTEMPTS = 3  # assumed, 8.2: then it closes
_CROWD = 8  # waiting messages, from where on statuses with one key replace each other


class _Client(Client):
    """paho, connecting without waiting: a full backlog in the same process would wait for ever."""

    segments = Segments.WHOLE

    def _create_socket_connection(self) -> socket.socket:
        sock = make_socket(self.segments)
        try:
            sock.bind((self._bind_address, 0))
            error = sock.connect_ex((self._host, self._port))
            if error not in (0, errno.EINPROGRESS):
                raise OSError(error, os.strerror(error))
        except OSError:
            sock.close()
            raise
        return sock


@dataclass
class _Outgoing:
    topic: str
    payload: bytes
    key: Hashable
    packet_id: int = 0
    attempts: int = 1


@implementer(IReadWriteDescriptor)
class MqttLink:
    """One connection to one broker."""

    def __init__(
        self,
        reactor: IReactorFDSet,
        time: SimTime,
        owner: LinkOwner,
        terms: LinkTerms,
        faults: Faults,
        journal: Journal,
    ) -> None:
        self._reactor = reactor
        self._time = time
        self._owner = owner
        self._terms = terms
        self._faults = faults
        self._journal = journal
        self._state = LinkState.CONNECTING
        self._fd = -1
        self._frozen = False
        self._events: list[Callable[[], None]] = []
        self._waiting: deque[_Outgoing] = deque()
        self._in_flight: _Outgoing | None = None
        self._deadline = Alarm(time)
        self._puback = Alarm(time)
        self._misc = Alarm(time)
        self._misc_interval = min(terms.keepalive / 10 or 1.0, 1.0)  # in time for the shortest keep-alive
        self._pinged_at: float | None = None
        self._client = self._make_client()

    @property
    def state(self) -> LinkState:
        """How far the connection has come."""
        return self._state

    def connect(self) -> None:
        """Begin to connect; OSError where it is clear at once that nobody listens."""
        terms = self._terms
        self._client.connect(terms.host, terms.port, terms.keepalive, bind_address=terms.bind_address)
        if terms.segments is Segments.JOINED:
            self._subscribe()
        self._deadline.set_real(_HANDSHAKE, self._lose, "no CONNACK")
        self._misc.set_real(self._misc_interval, self._miscellaneous)

    def publish(self, topic: str, payload: bytes, key: Hashable = None) -> None:
        """Send with QoS 1, one at a time."""
        if self._state is LinkState.DOWN:
            return
        outgoing = _Outgoing(topic, payload, key)
        if key is not None and len(self._waiting) >= _CROWD and self._waiting[-1].key == key:
            self._waiting[-1] = outgoing
        else:
            self._waiting.append(outgoing)
        self._send_next()

    def disconnect(self) -> None:
        """Say DISCONNECT, and close."""
        if self._fd >= 0:
            self._client.disconnect()
            self._drain()

    def drop(self, reset: bool = True) -> None:
        """Close without a word; the owner is not told."""
        self._close(reset)
        self._events.clear()

    def freeze(self) -> None:
        """Neither read, write nor close from now on; the owner is not told."""
        self._frozen = True
        self._quiet()
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)

    def fileno(self) -> int:
        """The reactor asks."""
        return self._fd

    def logPrefix(self) -> str:
        """The reactor asks."""
        return f"printer {self._terms.client_id}"

    def doRead(self) -> None:
        """Bytes are there."""
        if not self._reached():
            return
        if self._client.loop_read() is MQTTErrorCode.MQTT_ERR_PROTOCOL:
            self._journal.violation("mqtt", "a packet that paho cannot read")
        self._drain()

    def doWrite(self) -> None:
        """There is room for bytes."""
        if not self._reached():
            return
        self._client.loop_write()
        sock = self._client.socket()
        if isinstance(sock, JoinedSocket) and not sock.flush():
            self._wants_to_write()
        self._drain()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor found the descriptor broken, or is stopping."""
        if not self._reached():
            return
        self._lose(reason.getErrorMessage())
        self._drain()

    def _reached(self) -> bool:
        """Whether the connection was made, told once when it was not."""
        sock = self._client.socket()
        if self._state is LinkState.CONNECTING and isinstance(sock, socket.socket):
            error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                self._close(reset=False)
                self._events.clear()
                self._owner.link_refused(os.strerror(error))
                return False
            self._state = LinkState.CONNACK_WAIT
        return True

    def _make_client(self) -> _Client:
        client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._terms.client_id,
            clean_session=True,  # assumed, Q1: and no Will
            protocol=MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        client.segments = self._terms.segments
        client.on_socket_open = self._socket_opened
        client.on_socket_close = self._socket_closing
        client.on_socket_register_write = self._wants_to_write
        client.on_socket_unregister_write = self._has_written
        client.on_log = self._logged
        client.on_connect = lambda *args: self._events.append(lambda: self._connected(args[3]))
        client.on_subscribe = lambda *_: self._events.append(self._subscribed)
        client.on_disconnect = lambda *args: self._events.append(lambda: self._gone(str(args[3])))
        client.on_message = self._received
        return client

    def _socket_opened(self, _client: Client, _userdata: Any, sock: Any) -> None:
        self._fd = sock.fileno()
        self._reactor.addReader(self)

    def _socket_closing(self, *_: Any) -> None:
        if self._fd >= 0:
            self._reactor.removeReader(self)
            self._reactor.removeWriter(self)
            self._fd = -1

    def _wants_to_write(self, *_: Any) -> None:
        if self._fd >= 0 and not self._frozen:
            self._reactor.addWriter(self)

    def _has_written(self, *_: Any) -> None:
        if self._fd >= 0:
            self._reactor.removeWriter(self)

    def _logged(self, _client: Client, _userdata: Any, _level: Any, text: str) -> None:
        """Listen to paho's log for the packets that it has no callback for."""
        if text.startswith("Received PUBACK (Mid: "):
            packet_id = int(text.partition(": ")[2].rstrip(")"))
            self._events.append(lambda: self._acknowledged(packet_id))
        elif text == "Sending PINGREQ":
            self._pinged_at = self._time.real()
        elif text == "Received PINGRESP" and self._pinged_at is not None:
            if self._time.real() - self._pinged_at > _PINGRESP:
                self._journal.violation("pingresp-late", f"PINGRESP took more than {_PINGRESP:g} s")
            self._pinged_at = None

    def _received(self, _client: Client, _userdata: Any, message: MQTTMessage) -> None:
        self._events.append(lambda: self._deliver(message))

    def _deliver(self, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            self._journal.violation("topic", "a topic that is not UTF-8")
            return
        self._owner.delivered(
            Delivery(
                topic=topic,
                payload=bytes(message.payload),
                qos=message.qos,
                packet_id=message.mid,
                dup=message.dup,
                subscribed=self._state is LinkState.UP,
            )
        )

    def _drain(self) -> None:
        while self._events:
            self._events.pop(0)()

    def _connected(self, reason_code: Any) -> None:
        if reason_code.is_failure:
            self._journal.note("connack-refused", reason=str(reason_code))
            return
        self._state = LinkState.SUBACK_WAIT
        self._deadline.set_real(_HANDSHAKE, self._lose, "no SUBACK")
        if self._terms.early is not None:
            self._client.publish(*self._terms.early, qos=1)
        if self._terms.segments is not Segments.JOINED:
            self._subscribe()

    def _subscribe(self) -> None:
        self._client.subscribe([(each, 1) for each in self._terms.filters])  # assumed, Q7: QoS 1

    def _subscribed(self) -> None:
        self._state = LinkState.UP
        self._deadline.cancel()
        self._owner.link_up()

    def _send_next(self) -> None:
        if self._in_flight is not None or not self._waiting or self._state is not LinkState.UP:
            return
        outgoing = self._in_flight = self._waiting.popleft()
        outgoing.packet_id = self._client.publish(outgoing.topic, outgoing.payload, qos=1).mid  # assumed, Q7: no RETAIN
        self._puback.set_real(_PUBACK, self._unacknowledged)

    def _acknowledged(self, packet_id: int) -> None:
        outgoing = self._in_flight
        if outgoing is None or outgoing.packet_id != packet_id:
            return
        if self._faults.take(kinds.NoPuback) is not None:
            self._puback.set(_PUBACK, self._repeat)
            return
        if self._faults.take(kinds.DuplicatePublish) is not None:
            self._send_dup(outgoing)
        self._puback.cancel()
        self._in_flight = None
        self._send_next()

    def _unacknowledged(self) -> None:
        self._journal.violation("puback", f"no PUBACK within {_PUBACK:g} s")
        self._repeat()

    def _repeat(self) -> None:
        outgoing = self._in_flight
        if outgoing is None:
            return
        if outgoing.attempts >= _ATTEMPTS:
            self._lose("no PUBACK")
            self._drain()
            return
        outgoing.attempts += 1
        self._puback.set_real(_PUBACK, self._unacknowledged)
        self._send_dup(outgoing)

    def _send_dup(self, outgoing: _Outgoing) -> None:
        sock = self._client.socket()
        if sock is None or self._client.want_write():  # paho is in mid-packet: leave it out
            return
        packet = publish_packet(outgoing.topic, outgoing.payload, 1, outgoing.packet_id, dup=True)
        try:
            whole = send_whole(sock, packet)
        except BlockingIOError:
            return
        except OSError:
            whole = False
        if not whole:
            self._events.append(lambda: self._lose("repetition cut short"))

    def _miscellaneous(self) -> None:
        self._misc.set_real(self._misc_interval, self._miscellaneous)
        if self._faults.get(kinds.NoPing) is None:
            self._client.loop_misc()  # assumed, Q2: PINGREQ after a silence, and the end of the link without PINGRESP
            self._drain()

    def _lose(self, reason: str) -> None:
        if self._state is not LinkState.DOWN:
            self._close(reset=True)
            self._events.clear()
            self._gone(reason)

    def _close(self, reset: bool) -> None:
        sock = self._client.socket()
        self._quiet()
        self._state = LinkState.DOWN
        if sock is None:
            return
        self._socket_closing()
        if reset and isinstance(sock, socket.socket):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
        self._client.loop_read()  # paho finds its socket gone, and tidies up

    def _gone(self, reason: str) -> None:
        self._quiet()
        self._state = LinkState.DOWN
        self._owner.link_lost(reason)

    def _quiet(self) -> None:
        self._deadline.cancel()
        self._puback.cancel()
        self._misc.cancel()
        self._waiting.clear()
        self._in_flight = None


class MqttLinks:
    """Makes links with paho-mqtt."""

    def __init__(self, reactor: IReactorFDSet, time: SimTime) -> None:
        self._reactor = reactor
        self._time = time

    def connect(self, owner: LinkOwner, terms: LinkTerms, faults: Faults, journal: Journal) -> Link:
        """Connect to a broker; OSError where nobody listens."""
        link = MqttLink(self._reactor, self._time, owner, terms, faults, journal)
        link.connect()
        return link
