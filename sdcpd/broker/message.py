"""One message on its way to any number of subscribers.

One decision: it keeps the bytes that all copies share. At QoS 0 that is the whole packet; at QoS 1 and 2 everything
but the packet identifier.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from sdcpd.codec import mqtt

__all__ = ["Message"]

_OVERHEAD = 256
_NUMBERED = (b"", b"\x32", b"\x34")


class Message(Struct, eq=False):
    """What was published, at which QoS."""

    topic: str
    payload: bytes
    qos: int
    acknowledged: Callable[[], None] | None = None
    """Called when the receiver owns the message: for what goes to one client only."""
    _plain: bytes = b""
    _head: bytes = b""

    @property
    def size(self) -> int:
        """About what it costs to keep."""
        return len(self.payload) + len(self.topic) + _OVERHEAD

    def plain(self) -> bytes:
        """The PUBLISH of QoS 0, the same for everybody."""
        if not self._plain:
            self._plain = b"".join((b"\x30", _head(self.topic, len(self.payload)), self.payload))
        return self._plain

    def numbered(self, qos: int, packet_id: int) -> bytes:
        """The PUBLISH of QoS 1 or 2 with one client's packet identifier."""
        if not self._head:
            self._head = _head(self.topic, len(self.payload) + 2)
        return b"".join((_NUMBERED[qos], self._head, packet_id.to_bytes(2, "big"), self.payload))

    def special(self, qos: int, packet_id: int, retain: bool, dup: bool) -> bytes:
        """The PUBLISH that one client alone gets: because it is new, or because it was away."""
        return mqtt.publish(self.topic, self.payload, qos, packet_id, retain, dup)


def _head(topic: str, size: int) -> bytes:
    """A PUBLISH from its second byte to its topic, if ``size`` bytes follow.

    The codec checks the topic once more and takes four times as long; every topic here was checked when it came.
    """
    name = topic.encode()
    high, low = divmod(len(name), 256)
    size += len(name) + 2
    if size < 1 << 7:
        return bytes((size, high, low)) + name
    if size < 1 << 14:
        return bytes((size & 127 | 128, size >> 7, high, low)) + name
    if size < 1 << 21:
        return bytes((size & 127 | 128, size >> 7 & 127 | 128, size >> 14, high, low)) + name
    return bytes((size & 127 | 128, size >> 7 & 127 | 128, size >> 14 & 127 | 128, size >> 21, high, low)) + name
