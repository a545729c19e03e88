from __future__ import annotations

import socket
from typing import Any, cast

from twisted.internet import tcp
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Protocol
from twisted.internet.testing import MemoryReactor, StringTransport
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.broker.straight import SMALL_READS, read_little, straight, write


class Inside:
    """A transport with all that is looked at inside of Twisted's; what it takes at once is ``takes``."""

    def __init__(self, takes: object) -> None:
        self.connected = 1
        self.disconnecting = 0
        self.dataBuffer = b""
        self._tempDataBuffer: list[bytes] = []
        self._writeDisconnected = False
        self.TLS = False
        self.takes = takes
        self.at_once: list[bytes] = []
        self.later: list[bytes] = []

    def writeSomeData(self, data: bytes) -> object:  # noqa: N802 (Twisted's name)
        self.at_once.append(data)
        return self.takes

    def write(self, data: bytes) -> None:
        self.later.append(data)


def sent(transport: Inside) -> tuple[list[bytes], list[bytes]]:
    """What it was given when it was asked to send four bytes: at once, and by the ordinary way."""
    straight(type(transport))(cast("Any", transport), b"data")
    return transport.at_once, transport.later


class WriteTests(SynchronousTestCase):
    """When an answer goes straight to the socket, and when it does not."""

    def test_idle(self) -> None:
        """An answer on an idle connection is sent at once, and only once."""
        self.assertEqual(sent(Inside(4)), ([b"data"], []))

    def test_kernel_is_full(self) -> None:
        """What the kernel does not take waits in the transport, whole or in part."""
        for takes, rest in ((0, b"data"), (1, b"ata"), (3, b"a")):
            self.assertEqual(sent(Inside(takes)), ([b"data"], [rest]))

    def test_lost(self) -> None:
        """A connection that turns out to be lost is left to the transport, which ends it in its own time."""
        self.assertEqual(sent(Inside(ConnectionLost())), ([b"data"], [b"data"]))

    def test_behind(self) -> None:
        """Nothing overtakes what waits already, and nothing is sent on a connection that ends."""
        states: dict[str, Any] = {
            "connected": 0,
            "disconnecting": 1,
            "dataBuffer": b"before",
            "_tempDataBuffer": [b"before"],
            "_writeDisconnected": True,
            "TLS": True,
        }
        for name, value in states.items():
            transport = Inside(4)
            setattr(transport, name, value)
            self.assertEqual(sent(transport), ([], [b"data"]), name)

    def test_another_twisted(self) -> None:
        """A release of Twisted that calls one of these otherwise is written to as the interface says."""
        for name in ("connected", "disconnecting", "dataBuffer", "_tempDataBuffer", "_writeDisconnected", "TLS"):
            transport = Inside(4)
            delattr(transport, name)
            self.assertEqual(sent(transport), ([], [b"data"]), name)

    def test_no_straight_way(self) -> None:
        """So is a release that has no way to send at once."""

        class Other(Inside):
            def __getattribute__(self, name: str) -> Any:
                if name == "writeSomeData":
                    raise AttributeError(name)
                return super().__getattribute__(name)

        self.assertEqual(sent(Other(4)), ([], [b"data"]))

    def test_other_transports(self) -> None:
        """TLS, tests and subclasses are written to as the interface says; they read as much as they like."""

        class Sub(Inside):
            pass

        sub = Sub(4)
        straight(Inside)(cast("Any", sub), b"data")
        self.assertEqual((sub.at_once, sub.later), ([], [b"data"]))
        transport = StringTransport()
        read_little(transport)
        write(transport, b"data")
        self.assertEqual(transport.value(), b"data")
        self.assertFalse(hasattr(transport, "bufferSize"))


class SocketTests(SynchronousTestCase):
    """The transport that this Twisted really has."""

    def setUp(self) -> None:
        ours, self.peer = socket.socketpair()
        self.peer.setblocking(False)
        self.addCleanup(self.peer.close)
        self.addCleanup(ours.close)
        self.reactor = MemoryReactor()
        self.transport = tcp.Server(ours, Protocol(), ("", 0), cast("Any", None), 0, cast("Any", self.reactor))

    def test_at_once(self) -> None:
        """The peer has the answer before the reactor turns; so this Twisted is the one that was looked at."""
        write(self.transport, b"data")
        self.assertEqual(self.peer.recv(100), b"data")
        self.assertFalse(self.reactor.writers)

    def test_order(self) -> None:
        """An answer behind something that waits keeps its place."""
        self.transport.write(b"one ")
        write(self.transport, b"two ")
        self.assertRaises(BlockingIOError, self.peer.recv, 100)
        self.transport.doWrite()
        write(self.transport, b"three")
        self.assertEqual(self.peer.recv(100), b"one two three")

    def test_full(self) -> None:
        """More than the kernel takes arrives all the same, each byte once and in order."""
        data = b"".join(number.to_bytes(4, "big") for number in range(500_000))
        write(self.transport, data)
        write(self.transport, b"end")
        arrived = b""
        while len(arrived) < len(data) + 3:
            try:
                arrived += self.peer.recv(1 << 20)
            except BlockingIOError:
                self.transport.doWrite()
        self.assertEqual(arrived, data + b"end")

    def test_gone(self) -> None:
        """A peer that is gone costs no exception; the reactor's next turn finds the connection lost."""
        self.peer.close()
        write(self.transport, b"data")
        self.assertIn(self.transport, self.reactor.writers)
        self.assertIsInstance(self.transport.doWrite(), ConnectionLost)

    def test_little(self) -> None:
        """Small pieces are read from a TCP connection, as its packets are small."""
        read_little(self.transport)
        self.peer.sendall(bytes(3 * SMALL_READS))
        sizes: list[int] = []
        self.transport.protocol.dataReceived = lambda data: sizes.append(len(data))  # type: ignore[method-assign]
        self.transport.doRead()
        self.assertEqual(sizes, [SMALL_READS])
