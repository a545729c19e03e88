"""A request's body as a stream, and how it gets into a file.

One decision: a body is pushed. The connection hands each piece to the sink in the turn in which it arrived, so
the sender is slowed down by TCP itself and no more than one read's worth is ever held, whatever the file's size.
A body that nobody reads (yet, or any more) stops the connection from reading.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from sdcpd.errors import Interrupted

__all__ = ["Body", "Flow", "Sink", "Upload", "receive_upload"]

T = TypeVar("T")

#: What may arrive before anybody reads; the rest waits in the sender's kernel. Not 0: a connection that is not
#: read does not notice that its client left.
MOST_HELD = 16 * 1024


class Sink(Protocol):
    """Where a body's bytes go, piece by piece."""

    def write(self, data: bytes, /) -> object:
        """Take the next piece; whatever is raised here ends the delivery."""


class Upload(Protocol[T]):
    """A file that is being stored."""

    def write(self, data: bytes, /) -> None:
        """Take the next piece of the file."""

    def finish(self) -> Deferred[T]:
        """Everything was written: keep the file."""

    def abort(self) -> None:
        """Forget the file; also called when ``finish`` failed."""


class Flow(Protocol):
    """The connection that a body arrives on."""

    def take_body(self) -> None:
        """Somebody reads from now on: let the client send."""

    def hold_body(self) -> None:
        """Nobody takes more for now: let the client wait."""


class _State(Enum):
    WAITING = auto()  # still arriving, nobody reads
    ARRIVED = auto()  # complete, nobody reads
    FAILED = auto()  # will never be complete, nobody was told
    READING = auto()  # still arriving, into a sink
    OVER = auto()  # nothing is owed to anybody


class Body:
    """One request's body; read once, by ``deliver_to``.

    ``length`` is what the client announced, ``None`` for a chunked body. ``received`` counts what arrived.
    """

    def __init__(self, length: int | None, flow: Flow) -> None:
        self.length = length
        self.received = 0
        self._flow = flow
        self._state = _State.WAITING
        self._held: list[bytes] = []
        self._error: Interrupted | None = None
        self._sink: Sink | None = None
        self._delivery: Deferred[int] | None = None

    # For the one who handles the request.

    def deliver_to(self, sink: Sink) -> Deferred[int]:
        """Pour the body into ``sink``; fires with the number of bytes when the body is complete.

        Fails with what ``sink.write`` raised, or with ``Interrupted``. Cancelling stops the delivery; so does
        Klein, which cancels its handlers when their client leaves.
        """
        before = self._state
        if before in (_State.READING, _State.OVER):
            raise RuntimeError("a body can be read only once")
        delivery: Deferred[int] = Deferred(self._cancelled)
        self._state, self._sink, self._delivery = _State.READING, sink, delivery
        held, self._held = self._held, []
        if self._error is not None:
            self.fail(self._error)
        for data in held:
            self._pass_on(data)
        if self._state is _State.READING:
            if before is _State.ARRIVED:
                self.complete()
            else:
                self._flow.take_body()
        return delivery

    # For the connection.

    def arrived(self, data: bytes) -> None:
        """The next piece is here."""
        self.received += len(data)
        if self._state is _State.WAITING:
            self._held.append(data)
            if self.received > MOST_HELD:
                self._flow.hold_body()
        else:
            self._pass_on(data)

    def complete(self) -> None:
        """That was the last piece."""
        if self._state is _State.WAITING:
            self._state = _State.ARRIVED
        elif self._state is _State.READING:
            self._end().callback(self.received)

    def fail(self, error: Interrupted) -> None:
        """The last piece will never come."""
        if self._state is _State.WAITING:
            self._state, self._error, self._held = _State.FAILED, error, []
        elif self._state is _State.READING:
            self._end().errback(error)

    # ---

    def _pass_on(self, data: bytes) -> None:
        if self._sink is None:
            return
        try:
            self._sink.write(data)
        except Exception:
            failure = Failure()
            if self._state is _State.READING:
                delivery = self._end()
                self._flow.hold_body()
                delivery.errback(failure)

    def _end(self) -> Deferred[int]:
        delivery = self._delivery
        assert delivery is not None, "READING without a Deferred"
        self._state, self._sink, self._delivery = _State.OVER, None, None
        return delivery

    def _cancelled(self, _: Deferred[int]) -> None:
        self._end()
        self._flow.hold_body()


def receive_upload(body: Body, upload: Upload[T]) -> Deferred[T]:
    """Store ``body`` as ``upload``; fires with what ``upload.finish`` gives, aborts on any failure."""

    async def receive() -> T:
        try:
            await body.deliver_to(upload)
            return await upload.finish()
        except BaseException:
            upload.abort()
            raise

    return Deferred.fromCoroutine(receive())
