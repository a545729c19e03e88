"""What a printer says on its topics: statuses, periodically and on every change, attributes, and its answers.

One decision: every message is built well and spoilt at the end by the printer's faults, here and nowhere else; and
before a status goes out, whoever looks at statuses has looked at it.
"""

from __future__ import annotations

from collections.abc import Callable

from sdcpd.simulator import fault_kinds as kinds
from sdcpd.simulator.board import Board
from sdcpd.simulator.link import LinkState
from sdcpd.simulator.odd import encode, garbage, reply_payload, spoil_response, spoil_status
from sdcpd.simulator.profiles import AttributesShape
from sdcpd.simulator.simtime import Alarm
from sdcpd.simulator.status import JsonObject

__all__ = ["Reports"]

_PERIOD_AT_LEAST = 0.02  # real seconds


class Reports:
    """Speaks for one printer; ``look`` is called before each status."""

    def __init__(self, board: Board, look: Callable[[], None]) -> None:
        self._board = board
        self._look = look
        self._again = Alarm(board.time)
        self.period = board.settings.period  # printer's seconds, 0 for on change only

    def begin(self) -> None:
        """The link is up: say the status, and go on."""
        self.status()
        self._keep_on()

    def status(self) -> None:
        """Send the status now, unless looking at it switched the printer off, or ``fast-transfer`` hides it."""
        self._look()
        board = self._board
        hidden = board.transfer.busy and board.faults.get(kinds.FastTransfer) is not None
        if board.power.on and not hidden:
            board.caller.publish(*self.status_message(), board.status.phase)

    def status_message(self) -> tuple[str, bytes]:
        """Topic and payload of a status."""
        board = self._board
        return self._topic("status"), encode(board.identity.status_message(self._status(), board.power.uptime))

    def attributes(self) -> None:
        """Send the attributes in the profile's shape."""
        board = self._board
        fault = board.faults.take(kinds.AttributesFault)
        shape = AttributesShape(fault.shape) if fault is not None else board.identity.spec.profile.attributes
        board.printing.tick()
        message = board.identity.attributes_message(shape, board.status.to_json(), board.power.uptime)
        self._publish("attributes", message)

    def answer(self, cmd: int, ack: int, request_id: object) -> None:
        """Send the answer to a request."""
        board = self._board
        message = board.identity.response(cmd, ack, request_id, board.power.uptime)
        self._publish("response", spoil_response(message, cmd, board.faults))

    def garbage(self, kind: str) -> None:
        """Send what is no status, by the names of the fault ``garbage``."""
        self._board.caller.publish(self._topic("status"), garbage(kind))

    def reply(self) -> bytes:
        """What is answered to a probe."""
        board = self._board
        return reply_payload(board.identity.reply(self._status()), board.faults)

    def set_period(self, seconds: float) -> None:
        """Send the status so often (Cmd 512)."""
        self.period = seconds
        self._keep_on()

    def end(self) -> None:
        """Say no more by oneself; the period is the first one again."""
        self._again.cancel()
        self.period = self._board.settings.period

    def _keep_on(self) -> None:
        if self.period > 0:  # assumed, Q8: 0 ends the periodic status
            self._again.set(max(self.period, _PERIOD_AT_LEAST * self._board.time.scale), self._say_again)
        else:
            self._again.cancel()

    def _say_again(self) -> None:
        if self._board.caller.state is LinkState.UP:
            self.begin()

    def _status(self) -> JsonObject:
        self._board.printing.tick()
        return spoil_status(self._board.status.to_json(), self._board.faults)

    def _publish(self, kind: str, message: JsonObject) -> None:
        self._board.caller.publish(self._topic(kind), encode(message))

    def _topic(self, kind: str) -> str:
        return f"/sdcp/{kind}/{self._board.id}"
