"""Who comes to the daemon beside the printer: broken packets, idle connections, somebody else after its file.

One decision: what they are told is only noted in the printer's journal (``stranger`` at the end of a connection,
``stranger-reply`` for HTTP); nothing of theirs touches the printer's state, so what happens to it was done by the
other side.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from sdcpd.simulator import outside_kinds as kinds
from sdcpd.simulator.board import Board
from sdcpd.simulator.dialling import Call, Dialler
from sdcpd.simulator.download import Fetcher, Pace, Reply
from sdcpd.simulator.faults import Fault
from sdcpd.simulator.rawmqtt import connect_packet, oversized_length, publish_packet
from sdcpd.simulator.settings import must_be_loopback
from sdcpd.simulator.simtime import Alarm

__all__ = ["Strangers", "intrusion"]

_BETWEEN = 0.001  # real seconds
_RATE = 1_000_000.0  # bytes a second of the printer's


def intrusion(fault: Fault, mainboard_id: str) -> bytes | None:
    """What the second connection of a fault says; None where the fault is no such one."""
    match fault:
        case kinds.WrongProtocolName():
            return connect_packet(mainboard_id, protocol="MQTTT")
        case kinds.LevelFive():
            return connect_packet(mainboard_id, level=5)
        case kinds.EmptyClientId():
            return connect_packet("")
        case kinds.UnknownClientId():
            return connect_packet(fault.client_id)
        case kinds.HugePacket():
            return connect_packet(mainboard_id) + publish_packet(f"/sdcp/status/{mainboard_id}", b"x" * fault.size)
        case kinds.LongLength():
            return connect_packet(mainboard_id) + oversized_length()
        case _:
            return None


class Strangers:
    """Everybody who comes at the word of one printer's faults."""

    def __init__(self, board: Board, dialler: Dialler, make_fetcher: Callable[[str], Fetcher]) -> None:
        self._board = board
        self._dialler = dialler
        self._make_fetcher = make_fetcher
        self._calls: dict[int, Call] = {}
        self._fetches: set[Deferred[None]] = set()
        self._last = 0
        self._crowding = Alarm(board.time)

    def come(self, fault: Fault) -> bool:
        """Perform a fault that happens at once; False where it is none of these.

        ValueError where nobody has invited the printer, so there is no broker, or an address is no loopback one.
        """
        if isinstance(fault, kinds.IdleConnections):
            self._crowd(fault, fault.count)
            return True
        data = intrusion(fault, self._board.id)
        if data is None:
            return False
        self._dial(fault.name, self._board.identity.spec.address, data)
        return True

    def look(self) -> None:
        """Ask for the file that is being offered, if the printer has the fault."""
        order = self._board.transfer.order
        fault = self._board.faults.get(kinds.StrangerFetches)
        if order is None or fault is None:
            return
        self._board.faults.take(kinds.StrangerFetches)
        journal = self._board.journal

        def answered(reply: Reply) -> None:
            journal.note("stranger-reply", address=fault.address, status=reply.status, received=reply.received)

        def failed(failure: Failure) -> None:
            journal.note("stranger-reply", address=fault.address, status=0, reason=failure.getErrorMessage())

        def fetch() -> Deferred[Reply]:
            pace = Pace(self._board.time, _RATE)
            return self._make_fetcher(fault.address).fetch(order.request("GET"), pace, lambda data: None)

        done = maybeDeferred(fetch).addCallback(answered).addErrback(failed)
        self._fetches.add(done)
        done.addCallback(lambda _: self._fetches.discard(done))

    def leave(self) -> None:
        """All go."""
        self._crowding.cancel()
        for call in list(self._calls.values()):
            call.drop()
        for fetching in list(self._fetches):
            fetching.cancel()

    def _crowd(self, fault: kinds.IdleConnections, count: int) -> None:
        """Connect one after another: all at once would fill the backlog, and leave some that the broker never sees."""
        if count > 0:
            self._dial(fault.name, fault.address, b"")
            self._crowding.set_real(_BETWEEN, self._crowd, fault, count - 1)

    def _dial(self, fault: str, source: str, data: bytes) -> None:
        broker = self._board.caller.inviter
        if broker is None:
            raise ValueError(f"fault {fault!r} needs a broker: let somebody invite the printer first")
        must_be_loopback(broker[0])
        self._last += 1
        number = self._last

        def over(received: bytes, reason: str) -> None:
            self._calls.pop(number, None)
            self._board.journal.note("stranger", fault=fault, received=received.hex(), reason=reason)

        self._calls[number] = self._dialler.dial(*broker, must_be_loopback(source), data, over)
