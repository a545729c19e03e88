from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sdcpd.codec.mqtt import Connect, Packet, Publish, ServerConnection
from tests.client_packets import encode


class Counting(ServerConnection):
    """Notes how often it looks at an unfinished packet."""

    looks = 0

    def _read(self) -> Packet | None:
        self.looks += 1
        return super()._read()


class TrickleTests(SynchronousTestCase):
    def test_linear(self) -> None:
        """A large packet that comes byte by byte is looked at a few times, not at every byte."""
        connection = Counting(1 << 20, 1 << 16)
        list(connection.receive(encode(Connect("c", True, 0, None, None, None))))
        connection.looks = 0
        publish = Publish("a", bytes(50_000), 0, False, False, 0)
        found = [packet for byte in encode(publish) for packet in connection.receive(bytes((byte,)))]
        self.assertEqual(found, [publish])
        self.assertLess(connection.looks, 10)
