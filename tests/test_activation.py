from __future__ import annotations

import os
import socket
from pathlib import Path

from twisted.internet.endpoints import AdoptedStreamServerEndpoint
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.activation import Activation


class ActivationTests(SynchronousTestCase):
    """Sockets that systemd opened."""

    def activation(self, found: socket.socket, family: socket.AddressFamily = socket.AF_INET) -> Activation:
        """As the endpoint ``systemd:domain=INET`` would give this socket to a listener."""
        activation = Activation(AdoptedStreamServerEndpoint(None, found.fileno(), family))
        self.addCleanup(activation.release)
        return activation

    def port(self) -> socket.socket:
        found = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(found.close)
        return found

    def refused(self, found: socket.socket, family: socket.AddressFamily = socket.AF_INET) -> str:
        activation = self.activation(found, family)
        error: ValueError = self.assertRaises(ValueError, activation.take, None)
        return str(error)

    def test_copy(self) -> None:
        """A listener serves a copy: when Twisted has closed that, the socket is still there for the next reload."""
        port = self.port()
        endpoint = self.activation(port).take(None)
        self.assertNotEqual(endpoint.fileno, port.fileno())
        os.close(endpoint.fileno)
        self.assertTrue(port.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
        self.assertIn("found one of domain=INET", self.refused(self.port(), socket.AF_INET6))
        with socket.create_connection(port.getsockname()):
            port.accept()[0].close()

    def test_not_inherited(self) -> None:
        """Programs that the daemon might start do not get the port."""
        port = self.port()
        os.set_inheritable(port.fileno(), True)  # as systemd hands it over
        endpoint = self.activation(port).take(None)
        self.addCleanup(os.close, endpoint.fileno)
        self.assertFalse(port.get_inheritable())
        self.assertFalse(os.get_inheritable(endpoint.fileno))

    def test_twice(self) -> None:
        """Two listeners cannot serve one socket: each would get the other's connections."""
        port = self.port()
        first = self.activation(port)
        for _ in range(2):  # and after a reload it is free again
            self.addCleanup(os.close, first.take(None).fileno)
            self.assertIn("another listener", self.refused(port))
            first.release()
        self.addCleanup(os.close, self.activation(port).take(None).fileno)

    def test_family(self) -> None:
        """A port that listens on [::] is not taken for one of IPv4, and the error says what to write."""
        with socket.create_server(("::1", 0), family=socket.AF_INET6) as port:
            self.assertEqual(self.refused(port), "expected a socket of domain=INET, found one of domain=INET6")
            self.addCleanup(os.close, self.activation(port, socket.AF_INET6).take(None).fileno)

    def test_other_kinds(self) -> None:
        """Datagrams, Unix sockets and single connections are no ports to listen on."""
        path = Path(self.mktemp())
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
            socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as unix,
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as connection,
        ):
            unix.bind(os.path.relpath(path))
            self.assertIn("expected a TCP port", self.refused(datagrams))
            self.assertIn("expected a TCP port", self.refused(unix, socket.AF_UNIX))
            self.assertIn("Accept=yes", self.refused(connection))

    def test_refused_is_free(self) -> None:
        """What was refused is not held: a mended configuration can be taken over by a reload."""
        port = self.port()
        self.refused(port, socket.AF_INET6)
        self.addCleanup(os.close, self.activation(port).take(None).fileno)

    def test_gone(self) -> None:
        """A number under which nothing is open is an error, too."""
        number = os.dup(0)
        os.close(number)
        self.assertRaises(OSError, Activation(AdoptedStreamServerEndpoint(None, number, socket.AF_INET)).take, None)
