"""What each Cmd does: the command table of a V1 printer.

One decision: a table from number to method, where each method says its Ack and what happens after it; answering, its
delay and its faults are in one place around the table. A QoS-1 duplicate is obeyed like any other request, so the
counts show what a real printer might have done twice (assumed, Q7).
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from sdcpd.simulator import fault_kinds as kinds
from sdcpd.simulator.board import Board
from sdcpd.simulator.printing import PAUSED, Phase
from sdcpd.simulator.reports import Reports
from sdcpd.simulator.requests import Delivery, Incoming, Judge, parse
from sdcpd.simulator.simtime import Alarms
from sdcpd.simulator.status import IDLE
from sdcpd.simulator.transfer import Order

__all__ = ["Commands"]

# assumed, Q9: no Ack but 0 was ever recorded on V1
_OK, _BUSY, _NO_FILE, _BAD_FIELD, _WRONG_RESOLUTION = 0, 1, 2, 4, 5
_ANSWER_WAIT = (0.02, 0.08)
_FAREWELL_WAIT = 0.1

After = Callable[[], object]
Verdict = tuple[int, After]


def _nothing() -> None:
    """Nothing follows the Ack."""


class Commands:
    """Obeys requests, or refuses them."""

    def __init__(self, board: Board, reports: Reports, random: Random) -> None:
        self._board = board
        self._reports = reports
        self._random = random
        self._judge = Judge(board.journal, board.id)
        self._to_do = Alarms(board.time)
        self._table: dict[int, Callable[[Incoming], Verdict]] = {
            0: lambda _: (_OK, reports.status),
            1: lambda _: (_OK, reports.attributes),
            64: self._leave,
            128: self._start,
            129: lambda _: self._wish(board.printing.pause()),
            130: self._stop,
            131: lambda _: self._wish(board.printing.resume()),
            256: self._fetch,
            512: self._period,
        }

    def delivered(self, delivery: Delivery) -> None:
        """A PUBLISH came."""
        self._judge.delivery(delivery)
        payload = delivery.payload
        if payload[2:3] == b"{" and payload[:1] != b"{":
            payload = payload[2:]  # the malformed QoS 0 of one known peer, which printers tolerate
        request = parse(payload)
        if request is None:
            self._judge.unreadable(payload)
            return
        journal = self._board.journal
        journal.counts.commands[request.cmd] += 1
        journal.counts.request_ids[request.cmd, str(request.request_id)] += 1
        journal.note("request", cmd=request.cmd, qos=delivery.qos, dup=delivery.dup, message=request.raw)
        self._judge.request(request, self._board.identity.id, delivery.dup)
        if request.mainboard_id == self._board.id:  # assumed, Q16: else ignored; the Id is not looked at
            self._obey(request)

    def leave(self) -> None:
        """Forget what is still to be answered or done."""
        self._to_do.cancel()

    def _obey(self, request: Incoming) -> None:
        faults = self._board.faults
        refusal = faults.get(kinds.Refuse)
        if refusal is not None and refusal.cmd == request.cmd:
            faults.take(kinds.Refuse)
            self._answer(request, refusal.ack, _nothing)
            return
        obey = self._table.get(request.cmd)
        if obey is not None:
            self._answer(request, *obey(request))
        elif self._board.settings.answers_unknown:
            self._answer(request, _BUSY, _nothing)

    def _answer(self, request: Incoming, ack: int, after: After) -> None:
        faults = self._board.faults
        wait = self._random.uniform(*_ANSWER_WAIT)
        silent, late = faults.get(kinds.NoResponse), faults.get(kinds.LateResponse)
        if silent is not None and silent.cmd in (-1, request.cmd):
            faults.take(kinds.NoResponse)
            self._later(wait, after)
        elif late is not None and late.cmd in (-1, request.cmd):
            faults.take(kinds.LateResponse)
            self._later(wait, after)
            self._later(late.seconds * self._board.time.scale, self._respond, request, ack, _nothing)
        else:
            self._later(wait, self._respond, request, ack, after)

    def _later(self, seconds: float, call: Callable[..., object], *args: object) -> None:
        power, life = self._board.power, self._board.power.life

        def unless_rebooted() -> None:
            if power.life == life:
                call(*args)

        self._to_do.add(seconds, unless_rebooted)

    def _respond(self, request: Incoming, ack: int, after: After) -> None:
        self._reports.answer(request.cmd, ack, request.request_id)
        after()

    def _wish(self, granted: bool) -> Verdict:
        return (_OK if granted else _BUSY), _nothing

    def _leave(self, _: Incoming) -> Verdict:
        return _OK, lambda: self._later(_FAREWELL_WAIT, self._board.caller.disconnect)  # assumed, Q5

    def _period(self, request: Incoming) -> Verdict:
        period = request.data.get("TimePeriod")
        if type(period) is not int or period < 0:  # assumed, Q8: any other is taken
            return _BAD_FIELD, _nothing
        return _OK, lambda: self._reports.set_period(period / 1000)

    def _stop(self, _: Incoming) -> Verdict:
        board = self._board
        touched = board.printing.phase == Phase.PAUSED_BY_TOUCH
        if touched and board.identity.spec.profile.touch_pause_needs_restart:
            return _BUSY, _nothing
        return self._wish(board.printing.stop())

    def _start(self, request: Incoming) -> Verdict:
        board = self._board
        name, layer = request.data.get("Filename"), request.data.get("StartLayer", 0)
        if not isinstance(name, str) or type(layer) is not int or layer < 0:
            return _BAD_FIELD, _nothing
        board.journal.counts.starts[name] += 1
        if board.printing.busy:
            info = board.status.print_info
            if info.status in PAUSED and name == info.filename and layer == info.current_layer:
                return self._wish(board.printing.resume())  # assumed, Q10
            self._judge.start_while_printing(name)
            return _BUSY, _nothing
        if board.status.current != IDLE:
            return _BUSY, _nothing
        file = board.store.get(name)
        if file is None:
            return _NO_FILE, _nothing
        expected = board.identity.spec.profile.resolution
        if board.settings.check_resolution and file.resolution not in (None, expected):
            return _WRONG_RESOLUTION, _nothing
        if board.faults.take(kinds.StartIgnored) is not None:
            return _OK, _nothing
        board.printing.start(file, layer)
        return _OK, _nothing

    def _fetch(self, request: Incoming) -> Verdict:
        board = self._board
        if board.status.current != IDLE or board.printing.busy or board.transfer.busy:
            return _BUSY, _nothing  # assumed, Q13
        data = request.data
        name, size, md5, url = (data.get(key) for key in ("Filename", "FileSize", "MD5", "URL"))
        if not (isinstance(name, str) and isinstance(md5, str) and isinstance(url, str)):
            return _BAD_FIELD, _nothing
        extension = name.rpartition(".")[2].lower()
        if extension not in board.identity.spec.profile.extensions or "/" in name or name.startswith("."):
            return _BAD_FIELD, _nothing  # assumed, Q13: any other name is taken
        if type(size) is not int or size <= 0 or not url.startswith("http://"):
            return _BAD_FIELD, _nothing
        order = Order(
            filename=name,
            size=size,
            md5=md5,
            url=url,
            check=data.get("Check") == 1,  # assumed, Q11: CleanCache and Compress change nothing
            broker=board.caller.broker_host,
        )
        return _OK, lambda: board.transfer.begin(order)
