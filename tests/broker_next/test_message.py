"""The bytes that all copies of a message share, beside those that the codec makes."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sdcpd.broker.message import Message
from sdcpd.codec.mqtt import publish

EDGES = (0, 1, 122, 123, 124, 125, 126, 127, 16_376, 16_377, 16_378, 16_379, 16_380, 2_097_143, 2_097_144, 2_097_145)
"""Sizes of payloads around those where the remaining length needs one more byte, with a topic of four bytes."""


class MessageTests(SynchronousTestCase):
    """Whole packets."""

    def test_plain(self) -> None:
        """At QoS 0 it is what the codec says, at every length."""
        for size in EDGES:
            self.assertEqual(Message("a/ä", b"x" * size, 2).plain(), publish("a/ä", b"x" * size))

    def test_numbered(self) -> None:
        """At QoS 1 and 2 only the identifier differs from client to client."""
        for size in EDGES:
            message = Message("a/ä", b"x" * size, 2)
            for packet_id in (1, 0x1234, 0xFFFF):
                for qos in (1, 2):
                    self.assertEqual(message.numbered(qos, packet_id), publish("a/ä", b"x" * size, qos, packet_id))

    def test_long_topic(self) -> None:
        """The longest topic fits [MQTT-4.7.3-3]."""
        topic = "t" * 65_535
        message = Message(topic, b"", 1)
        self.assertEqual((message.plain(), message.numbered(1, 1)), (publish(topic, b""), publish(topic, b"", 1, 1)))

    def test_once(self) -> None:
        """The packet of QoS 0 is made once."""
        message = Message("a", b"", 0)
        self.assertIs(message.plain(), message.plain())
