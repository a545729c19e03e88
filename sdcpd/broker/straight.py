"""Answers straight into the socket: the one place that knows how Twisted's TCP transport works inside.

One decision: only the transport that was looked at is treated so, by its very type, and only while nothing waits in it.
For TLS, for tests, for a Twisted that calls these things otherwise, and for the rest of what the kernel did not take,
``ITransport.write`` does it. ``write`` waits for the reactor to ask the kernel whether it may write; for an answer of
four bytes on an idle connection, that is three system calls and a turn more than the answer is worth.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from twisted.internet import tcp
from twisted.internet.interfaces import ITransport

__all__ = ["SMALL_READS", "read_little", "straight", "write"]

SMALL_READS = 8192
"""Bytes that are read from a connection at once. Twisted's 64 KiB are taken from the system, and given back, for each
packet of 600 bytes."""


def straight(kind: type) -> Callable[[ITransport, bytes], None]:
    """What writes to transports of this very type at once, and to all others as they wish."""

    def write(transport: ITransport, data: bytes) -> None:
        """Send the data behind all that was written before, now if the kernel takes it."""
        if type(transport) is kind:
            inside = cast("Any", transport)
            try:
                idle = inside.connected and not (
                    inside.dataBuffer
                    or inside._tempDataBuffer
                    or inside.disconnecting
                    or inside._writeDisconnected
                    or inside.TLS
                )
                send = inside.writeSomeData
            except AttributeError:  # another release of Twisted
                idle = False
            if idle:
                sent = send(data)
                # An exception says that the connection is lost. ``write`` finds the same out in the next turn, and
                # ends it where a protocol expects its end: outside of its own calls.
                if isinstance(sent, int) and sent > 0:
                    if sent == len(data):
                        return
                    data = data[sent:]
        transport.write(data)

    return write


write = straight(tcp.Server)


def read_little(transport: ITransport) -> None:
    """Read in pieces that suit small packets; where a transport has no such number, nothing happens."""
    if type(transport) is tcp.Server and hasattr(transport, "bufferSize"):
        transport.bufferSize = SMALL_READS
