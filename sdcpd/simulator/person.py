"""The person at the touch screen: what somebody can do there, and does for the faults that have one.

One decision: the person looks whenever the status changes and acts in a turn of their own, because a print must not be
stopped from inside the step that tells of it.
"""

from __future__ import annotations

from sdcpd.simulator import outside_kinds as kinds
from sdcpd.simulator.board import Board
from sdcpd.simulator.simtime import Alarm
from sdcpd.simulator.status import IDLE

__all__ = ["Person"]

_LOOKS_AGAIN = 0.5  # printer's seconds

Act = kinds.ScreenPause | kinds.ScreenStop | kinds.ScreenStart


class Person:
    """Taps, starts, pauses, resumes and stops; each says whether the printer's state allowed it."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._hand = Alarm(board.time)

    def tap(self) -> bool:
        """Tap the completed screen away."""
        return self._board.printing.tap()

    def start(self, name: str, start_layer: int = 0) -> bool:
        """Start a stored file."""
        board = self._board
        file = board.store.get(name)
        if file is None or board.status.current != IDLE or board.printing.busy:
            return False
        board.printing.start(file, start_layer)
        return True

    def pause(self) -> bool:
        """Pause the print."""
        return self._board.printing.pause(by_touch=True)

    def resume(self) -> bool:
        """Let it go on."""
        return self._board.printing.resume()

    def stop(self) -> bool:
        """Give it up."""
        return self._board.printing.stop()

    def look(self) -> None:
        """See whether the layer of a fault is reached."""
        board = self._board
        if self._hand.pending or not board.printing.busy:
            return
        for kind in (kinds.ScreenPause, kinds.ScreenStop, kinds.ScreenStart):
            fault = board.faults.get(kind)
            if isinstance(fault, Act) and board.status.print_info.current_layer >= fault.layer:
                self._hand.set(0, self._act, fault)
                return

    def leave(self) -> None:
        """Go away."""
        self._hand.cancel()

    def _act(self, fault: Act) -> None:
        board = self._board
        happened = self.pause() if isinstance(fault, kinds.ScreenPause) else self.stop()
        if not happened:  # between two states; the next status is another chance
            return
        board.faults.take(type(fault))
        board.journal.note("screen", fault=fault.name, layer=board.status.print_info.current_layer)
        if isinstance(fault, kinds.ScreenStart):
            self._hand.set(_LOOKS_AGAIN, self._start_other, fault.filename)

    def _start_other(self, filename: str) -> None:
        board = self._board
        if board.store.get(filename) is None:
            board.journal.note("screen", fault=kinds.ScreenStart.name, missing=filename)
        elif self.start(filename):
            board.journal.note("screen", fault=kinds.ScreenStart.name, started=filename)
        else:
            self._hand.set(_LOOKS_AGAIN, self._start_other, filename)
