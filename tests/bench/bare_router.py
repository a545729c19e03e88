"""The least that Twisted can do to route MQTT: look the topic up, write to who subscribed, acknowledge.

One decision: nothing is checked, bounded, kept or sent again. It answers what it must so that a well-behaved client
at QoS 0, 1 or 2 goes on, and a topic belongs to a filter if it equals it or lies under its ``/+``.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Protocol

__all__ = ["BareRouter"]

_ANSWERS = {5: b"\x62\x02", 6: b"\x70\x02"}
_SUBSCRIBED: dict[bytes, list[Any]] = {}


class BareRouter(Protocol):
    """One connection; the subscriptions belong to all."""

    transport: Any
    filters: tuple[bytes, ...] = ()

    def connectionMade(self) -> None:
        self._rest = b""
        self._last_id = 0
        self.transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        at, have, answers = 0, len(data), []
        while have - at >= 2:
            size, start, shift = data[at + 1] & 0x7F, at + 2, 7
            while data[start - 1] & 0x80 and start < have:
                size |= (data[start] & 0x7F) << shift
                start, shift = start + 1, shift + 7
            end = start + size
            if data[start - 1] & 0x80 or end > have:
                break
            answers.append(self._answer(data[at], data[start:end]))
            at = end
        self._rest = data[at:]
        if answer := b"".join(answers):
            self.transport.write(answer)

    def connectionLost(self, reason: object = None) -> None:
        for topic_filter in self.filters:
            _SUBSCRIBED[topic_filter].remove(self)

    def forward(self, head: bytes, qos: int, payload: bytes) -> None:
        """Write a message to this subscriber."""
        if not qos:
            self.transport.write(head + payload)
            return
        self._last_id = self._last_id % 65535 + 1
        self.transport.write(head + self._last_id.to_bytes(2, "big") + payload)

    def _answer(self, first: int, body: bytes) -> bytes:
        kind = first >> 4
        if kind == 3:
            qos, end = first >> 1 & 3, 2 + int.from_bytes(body[:2], "big")
            topic, payload = body[2:end], body[end + 2 :] if qos else body[end:]
            size = len(body)
            head = bytes((first, size & 0x7F | 0x80, size >> 7)) if size > 127 else bytes((first, size))
            for subscriber in _SUBSCRIBED.get(topic) or _SUBSCRIBED.get(topic.rpartition(b"/")[0] + b"/+") or ():
                subscriber.forward(head + body[:end], qos, payload)
            return (b"", b"\x40\x02", b"\x50\x02")[qos] + body[end : end + 2] if qos else b""
        if kind in _ANSWERS:
            return _ANSWERS[kind] + body[:2]
        if kind == 8:
            self.filters += (body[4:-1],)
            _SUBSCRIBED.setdefault(body[4:-1], []).append(self)
            return b"\x90\x03" + body[:2] + body[-1:]
        return b"\x20\x02\x00\x00" if kind == 1 else b""
