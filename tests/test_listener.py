from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.policies import WrappingFactory
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.errors import ConfigError
from sdcpd.listener import WARN_EVERY, Listener, Sparing
from tests.fakes import FakeStreams, logged


class Refusing(FakeStreams):
    """A reactor where every port is refused with this error."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:  # noqa: N802
        """Refuse."""
        if isinstance(self.error, OSError):
            raise CannotListenError(interface, port, self.error)
        raise self.error


class ListenerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = FakeStreams()

    def listener(self, description: str) -> Listener:
        return Listener(self.reactor, "[mqtt] listen", description, Factory())

    def stopped(self, listener: Listener) -> None:
        d = listener.stopService()
        self.reactor.advance(0)
        self.successResultOf(d)

    def test_any_free_port(self) -> None:
        """Port 0 has become a number as soon as the service has started."""
        listener = self.listener("tcp:0:interface=127.0.0.1")
        self.assertEqual((listener.port, listener.address), (0, ""))
        listener.privilegedStartService()
        listener.startService()
        self.assertEqual(listener.port, 50_000)
        self.assertTrue(listener.address.endswith(":50000"))
        self.assertEqual(list(self.reactor.open), [50_000])

    def test_bound_once(self) -> None:
        """A port that was bound with privileges is not bound again at the start."""
        listener = self.listener("tcp:1883")
        listener.startService()
        self.assertEqual(listener.port, 1883)
        listener.privilegedStartService()
        self.assertEqual(list(self.reactor.open), [1883])

    def test_stop(self) -> None:
        """After the stop the port is free, and can be bound again; to stop what never started is nothing."""
        listener = self.listener("tcp:1883")
        self.successResultOf(listener.stopService())
        for _ in range(2):
            listener.startService()
            self.stopped(listener)
            self.assertEqual((listener.port, listener.address, self.reactor.open), (0, "", {}))

    def refused(self, description: str) -> ConfigError:
        error: ConfigError = self.assertRaises(ConfigError, self.listener(description).startService)
        self.assertTrue(error.message.startswith("[mqtt] listen: "), error.message)
        self.assertNotIn("\n", error.message)
        return error

    def test_busy(self) -> None:
        """A busy port is an error that names the key, the port and what to do."""
        self.reactor.busy.add(1883)
        error = self.refused("tcp:1883")
        self.assertEqual(error.message, "[mqtt] listen: cannot listen on tcp:1883: Address already in use")
        self.assertIn("ss -ltnp", error.hint)

    def test_hints(self) -> None:
        """What to do fits the kernel's reason: busy, privileged, an address of another machine, or else."""
        for number, words in (
            (errno.EADDRINUSE, "Stop the program that uses the port"),
            (errno.EACCES, "Ports below 1024 need a privilege"),
            (errno.EADDRNOTAVAIL, "This machine has no such address"),
            (errno.ENOBUFS, "Set an endpoint there that this machine can use"),
        ):
            self.reactor = Refusing(OSError(number, os.strerror(number)))
            error = self.refused("tcp:80")
            self.assertIn(os.strerror(number), error.message)
            self.assertTrue(error.hint.startswith(words), error.hint)
        self.reactor = Refusing(OverflowError("port must be 0-65535."))
        error = self.refused("tcp:99999")
        self.assertTrue(error.message.endswith("0-65535"), error.message)

    def test_unusable_hints(self) -> None:
        """What is no endpoint, or needs what is not there, is an error that says what to do."""
        for description, words in (
            ("tcp:abc", "Write it as tcp:PORT"),
            ("tcp", "Write it as tcp:PORT"),
            ("systemd:", "socket unit"),
            ("systemd:domain=INET:index=3", "socket unit"),
            ("ssl:8883:privateKey=/nowhere/key.pem", "be readable for the daemon"),
        ):
            self.assertIn(words, self.refused(description).hint)

    def test_unusable(self) -> None:
        """What is no endpoint, or needs what is not there, is an error that names the key."""
        key = Path(self.mktemp())
        key.write_text("no key")
        for description in (
            "carrier-pigeon:1",
            "tcp",
            "tcp:mqtt",
            "ssl:8883:privateKey=/nowhere/key.pem",
            f"ssl:8883:privateKey={key}",
            "systemd:domain=INET:index=3",
        ):
            self.assertIn(description, self.refused(description).message)

    def test_unix(self) -> None:
        """A Unix socket has a path and no port."""
        listener = self.listener("unix:/run/sdcpd/web.sock")
        listener.startService()
        self.assertEqual((listener.port, listener.address), (0, "/run/sdcpd/web.sock"))

    def test_blocks(self) -> None:
        """Two listeners that want the same port or path cannot be bound together; who is not bound blocks nobody."""
        bound = self.listener("tcp:0")
        other = {text: self.listener(text) for text in ("tcp:50000:interface=::1", "ssl:port=50000", "tcp:1", "tcp:0")}
        self.assertFalse(any(bound.blocks(o) for o in other.values()))
        bound.startService()
        self.assertEqual([bound.blocks(o) for o in other.values()], [True, True, False, False])
        path = self.listener("unix:/run/a.sock")
        path.startService()
        self.assertTrue(path.blocks(self.listener("unix:/run/a.sock:mode=660")))
        self.assertFalse(path.blocks(self.listener("tcp:0")))

    def test_other_failure(self) -> None:
        """An error that is not the network's is shown in its own words."""
        error = self.refused("unix:/run/taken.sock:mode=nonsense")
        self.assertIn("nonsense", error.message)


class Aborted(StringTransport):
    """A transport that can be cut."""

    aborted = False

    def abortConnection(self) -> None:
        """Note it."""
        self.aborted = True


class SparingTests(SynchronousTestCase):
    """Ten descriptors are for clients; ``next`` is the number that the next one will have."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.next = 4
        self.inner = Factory.forProtocol(Protocol)
        self.inner.noisy = False
        self.factory = Sparing(self.inner, 10, lambda: self.next, self.clock.seconds)

    def connect(self) -> Aborted:
        transport = Aborted()
        protocol = self.factory.buildProtocol(IPv4Address("TCP", "192.0.2.1", 50_000))
        protocol.makeConnection(transport)
        return transport

    def test_room(self) -> None:
        """Clients are let in up to the last descriptor that they may have."""
        self.next = 10
        self.assertFalse(self.connect().aborted)

    def test_full(self) -> None:
        """Beyond it they are closed at once, and let in again when others have left."""
        logged(self)
        self.next = 11
        self.assertTrue(self.connect().aborted)
        self.next = 9
        self.assertFalse(self.connect().aborted)

    def test_warning(self) -> None:
        """Many refused clients are one warning a minute, with their number."""
        lines = logged(self)
        self.next = 11
        for _ in range(100):
            self.connect()
        self.assertEqual(len(lines), 1)
        self.assertIn("192.0.2.1", lines[0])
        self.clock.advance(WARN_EVERY)
        self.connect()
        self.assertEqual(len(lines), 2)
        self.assertIn("100 of clients", lines[1])

    def test_wrapped(self) -> None:
        """Inside a factory that wraps connections, as TLS does, a refused one is cut as well."""
        logged(self)
        self.next = 11
        transport = Aborted()
        WrappingFactory(self.factory).buildProtocol(IPv4Address("TCP", "192.0.2.1", 1)).makeConnection(transport)
        self.assertTrue(transport.aborted)

    def test_port(self) -> None:
        """The factory behind it learns when its port opens and closes, and nothing is logged of that."""
        lines = logged(self)
        self.factory.doStart()
        self.assertEqual(self.inner.numPorts, 1)
        self.factory.doStop()
        self.assertEqual((self.inner.numPorts, lines), (0, []))
