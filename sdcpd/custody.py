"""Who has one V1 printer, and when it may be invited to us.

One decision: nobody fights over a printer. A board obeys whoever invited it last and no program can refuse that
(reference sdcp.md 1.7), so two hubs that both insist would pull it to and fro for ever. One that was ours is asked
back once a minute while it does nothing, and more and more rarely when the other side takes it again at once; one
that never was ours is left alone until a person asks for it or the other program lets go.
"""

from __future__ import annotations

from msgspec import Struct

__all__ = ["GRACE", "INVITATIONS", "INVITE_WAIT", "WIN_BACK", "Advice", "Custody", "owner_of"]

INVITE_WAIT = 5.0
"""Seconds a printer may take to connect after an invitation."""
INVITATIONS = 3
"""Invitations in a row, before the printer is asked less often."""
BACK_OFF = (15.0, 30.0, 60.0)
"""Seconds between invitations after that; the last one holds from then on."""
SLACK = 0.5
"""Seconds by which an answer may come before its invitation is due: probes have the same period."""
GRACE = 3.5
"""Seconds without an invitation after a link has ended: a board that somebody else invited needs up to 3 s until it is
there, and looks free meanwhile (sdcp.md 1.7, 8.2)."""
WIN_BACK = 60.0
"""Seconds between two attempts to win a printer back from another program."""
CONTEST = 600.0
"""Who takes a printer again within so many seconds after it came back to us insists on it."""
MOST_PATIENT = 3600.0
"""Seconds between two attempts at most, however often it was taken."""

_FAR_PAST = float("-inf")


def owner_of(sdcp_status: int, address: str) -> str:
    """``host:port`` of the broker that a printer says it is connected to; empty if it is connected to none.

    The address of the last broker stands in a reply for good; only with SDCPStatus 1 is it the present one (1.2).
    """
    return address.rpartition("//")[2] if sdcp_status == 1 else ""


class Advice(Struct, frozen=True):
    """What follows from one answer of a printer."""

    invite: bool = False
    in_vain: bool = False
    """Whether the invitations so far have led to nothing, so that somebody should hear of it."""
    taken: bool = False
    """Whether this very answer shows that a printer of ours was taken over."""


class Custody:
    """One printer's whereabouts. Fed with what it answers, with our link's beginnings and ends, and with the time."""

    def __init__(self, *, known: bool) -> None:
        """``known``: it was connected to us in an earlier life of the daemon."""
        self._ours = known
        self._held = False
        self._taken = False
        self._adopting = False
        self._in_vain = False
        self._owner = ""
        self._sent = 0
        self._last = _FAR_PAST
        self._due = _FAR_PAST
        self._lost = _FAR_PAST
        self._won = _FAR_PAST
        self._pause = WIN_BACK
        self._next = _FAR_PAST

    def connected(self, now: float) -> bool:
        """It is connected to us; whether that ends a takeover."""
        back, self._taken = self._taken, False
        if back:
            self._won = now
        self._ours = self._held = True
        self._adopting = self._in_vain = False
        self._owner = ""
        self._begin_anew()
        return back

    def lost(self, now: float) -> None:
        """Our link has ended."""
        self._lost = now

    def adopt(self) -> None:
        """A person wants it here, whoever has it and whatever it does."""
        self._adopting = True
        self._in_vain = False
        self._lost = _FAR_PAST
        self._begin_anew()

    def answered(self, now: float, owner: str, busy: bool) -> Advice:
        """It answered a probe: ``owner`` is the foreign broker that has it, ``busy`` says that it is not idle."""
        news = bool(owner) and not self._owner
        self._owner = owner
        if not owner:
            return self._free(now)
        taken = news and self._ours and not self._taken
        if taken:
            self._taken = True
            contested = now - self._won < CONTEST
            self._pause = min(2 * self._pause, MOST_PATIENT) if contested else WIN_BACK
            self._next = now + self._pause
            taken = self._held  # else it may have been told before we began
        if self._adopting:
            return self._adopted(now, taken)
        self._begin_anew()
        invite = self._taken and not busy and now >= self._next
        if invite:
            self._next = now + self._pause
        return Advice(invite, self._in_vain, taken)

    def invited(self, now: float) -> None:
        """The invitation that was advised has left."""
        self._sent += 1
        self._last = now
        late = self._sent - INVITATIONS
        self._due = now + (INVITE_WAIT if late < 0 else BACK_OFF[min(late, len(BACK_OFF) - 1)]) - SLACK

    def _begin_anew(self) -> None:
        self._sent = 0
        self._due = _FAR_PAST

    def _expired(self, now: float) -> bool:
        """Whether all invitations in a row have left, and the last one was not obeyed."""
        return self._sent >= INVITATIONS and now >= self._last + INVITE_WAIT - SLACK

    def _free(self, now: float) -> Advice:
        self._in_vain = False
        if now < self._lost + GRACE:
            return Advice()
        return Advice(now >= self._due, self._expired(now))

    def _adopted(self, now: float, taken: bool) -> Advice:
        if self._expired(now):
            self._adopting, self._in_vain = False, True
            self._begin_anew()
            return Advice(in_vain=True, taken=taken)
        return Advice(now >= self._due, taken=taken)
