"""Live connections to printers, above the question of who dialled whom.

One decision: a ``Session`` is the only way to say something to a printer. It correlates answers by RequestID, lets
one state-changing command be in flight, repeats nothing by itself, and puts every status into the fleet; a
connection, MQTT or WebSocket, only has to be a ``Link``.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Protocol

from twisted.internet.defer import Deferred, fail
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from sdcpd.codec.sdcp import (
    CHANGING,
    AttributesReport,
    Command,
    Message,
    Notice,
    Response,
    StatusReport,
    ack_text,
    decode_message,
    encode_request,
)
from sdcpd.detached import detached
from sdcpd.errors import (
    CommandInFlight,
    CommandRefused,
    CommandTimeout,
    LinkLost,
    MalformedMessage,
    OwnedElsewhere,
    PrinterError,
    PrinterOffline,
)
from sdcpd.fleet import Fleet, Reachability
from sdcpd.logs import Few, logger, shown

__all__ = ["COMMAND_TIMEOUT", "SILENCE", "STATUS_PERIOD", "Link", "Links", "Session"]

STATUS_PERIOD = 5.0
"""Seconds between two pushed statuses that a V1 printer is asked for (Cmd 512)."""
COMMAND_TIMEOUT = 10.0
"""Seconds a printer may take to acknowledge a command (sdcp.md appendix C)."""
SILENCE = 3 * STATUS_PERIOD
"""Seconds of silence on a connection after which its printer counts as stale and is asked for its status."""
DEAD = 2 * SILENCE
"""Seconds of silence after which the connection is given up: a printer that lost power says no farewell."""
OFFLINE_AFTER = 45.0
"""Seconds without a word on any way after which a printer counts as offline."""

_NOTICE = 500
"""Characters of a printer's own words that the log has of each."""

_log = logger("sdcpd.links")


class Link(Protocol):
    """One connection to one printer."""

    @property
    def mainboard_id(self) -> str:
        """Whose connection it is."""
        ...

    def send(self, payload: bytes) -> None:
        """Put one request on the wire."""
        ...

    def close(self, reason: str) -> None:
        """End the connection; the session hears of it as of any other end."""
        ...


class Session:
    """One printer's conversation over one link, from the link's opening to its end.

    ``may`` says whether the log takes one more line of a kind that the printer can provoke.
    """

    def __init__(
        self, link: Link, fleet: Fleet, clock: IReactorTime, wall: Callable[[], float], may: Callable[[str], bool]
    ) -> None:
        self._link = link
        self._fleet = fleet
        self._clock = clock
        self._wall = wall
        self._may = may
        self._pending: dict[str, tuple[Command, Deferred[Response]]] = {}
        self._changing: Command | None = None
        self._turns: list[Deferred[None]] = []
        self._lost: str | None = None
        self._last = clock.seconds()
        self.reported = float("-inf")
        """When the last status came, by the clock; also one that changed nothing."""
        printer = fleet.find(link.mainboard_id)
        self._wire_id = printer.announcement.wire_id if printer is not None else ""
        self._greeting: Deferred[None] | None = None

    @property
    def mainboard_id(self) -> str:
        """Whose session it is."""
        return self._link.mainboard_id

    @property
    def silence(self) -> float:
        """Seconds since anything arrived on this link."""
        return self._clock.seconds() - self._last

    @property
    def changing(self) -> Command | None:
        """The command that changes what the machine does and that the printer has not answered yet."""
        return self._changing

    def turn(self) -> Deferred[None]:
        """Fires when the present ``changing`` was answered, or its time was over, or the link ended; never fails."""
        turn: Deferred[None] = Deferred()
        self._turns.append(turn)
        return turn

    def greet(self) -> None:
        """Ask for status, attributes and regular reports, as every known client does first."""
        self._greeting = Deferred.fromCoroutine(self._greet())

    async def _greet(self) -> None:
        period = {"TimePeriod": int(STATUS_PERIOD * 1000)}
        greetings: tuple[tuple[Command, Mapping[str, object] | None], ...] = (
            (Command.STATUS, None),
            (Command.ATTRIBUTES, None),
            (Command.PERIOD, period),
        )
        for command, data in greetings:
            try:
                await self.request(command, data)
            except LinkLost:
                return
            except PrinterError as error:
                if self._may("greeting"):
                    _log.warn(
                        "{id} did not take {command}: {error}", id=self.mainboard_id, command=command.name, error=error
                    )

    def request(self, command: Command, data: Mapping[str, object] | None = None) -> Deferred[Response]:
        """Send one command; fires with the response whose Ack is 0.

        Cancelling ends the wait only: until the printer has answered, or its time is over, the command is in flight.
        Fails with ``CommandRefused``, ``CommandTimeout``, ``CommandInFlight`` (before anything is sent),
        ``PrinterOffline`` (before anything is sent) or ``LinkLost`` (afterwards).
        """
        if self._lost is not None:
            return fail(PrinterOffline(f"The connection to the printer has ended: {self._lost}"))
        if command in CHANGING:
            if self._changing is not None:
                return fail(
                    CommandInFlight(
                        f"The printer has not answered {self._changing.name} yet.", "Wait a moment and try again."
                    )
                )
            self._changing = command
        request_id = secrets.token_hex(16)
        answered: Deferred[Response] = Deferred()
        self._pending[request_id] = (command, answered)
        answered.addTimeout(COMMAND_TIMEOUT, self._clock)
        answered.addBoth(self._settled, request_id, command)
        self._link.send(
            encode_request(
                command,
                data,
                request_id=request_id,
                wire_id=self._wire_id,
                mainboard_id=self.mainboard_id,
                timestamp=int(self._wall() * 1000),
            )
        )
        return detached(answered)

    def _settled(self, result: Response | Failure, request_id: str, command: Command) -> Response | Failure:
        self._pending.pop(request_id, None)
        if command in CHANGING:
            self._changing = None
            turns, self._turns = self._turns, []
            for turn in turns:
                turn.callback(None)
        if isinstance(result, Failure):
            if result.check(DeferredTimeout):
                return Failure(
                    CommandTimeout(
                        f"The printer did not acknowledge {command.name} within {COMMAND_TIMEOUT:.0f} s.",
                        "Look at the printer's screen before you try again.",
                    )
                )
            return result
        if result.ack != 0:
            ack = -1 if result.ack is None else result.ack
            return Failure(CommandRefused(f"{command.name} was refused: {ack_text(command, result.ack)}.", ack))
        return result

    def received(self, kind: str, payload: bytes) -> None:
        """A message arrived on the topic of this kind; a malformed one is dropped, the session stays."""
        self.alive()
        message = _decoded(self.mainboard_id, kind, payload, self._may)
        if message is None:
            return
        if message.wire_id:
            self._wire_id = message.wire_id
        self._understood(message)

    def _understood(self, message: Message) -> None:
        match message:
            case Response():
                waiting = self._pending.pop(message.request_id, None)
                if waiting is None:
                    _log.debug("{id} answered a request that nobody waits for", id=self.mainboard_id)
                else:
                    waiting[1].callback(message)
            case StatusReport(status=status) | AttributesReport(status=status) if status is not None:
                self.reported = self._clock.seconds()
                self._fleet.change(self.mainboard_id, status=status)
            case Notice() if self._may("notice"):
                kind, data = shown(message.kind), shown(str(message.data), _NOTICE)
                _log.info("{id} says on {kind}: {data}", id=self.mainboard_id, kind=kind, data=data)
            case _:
                pass

    def alive(self) -> None:
        """Anything arrived on the link: the printer is there."""
        self._last = self._clock.seconds()
        self._fleet.hear(self.mainboard_id)
        self._fleet.change(self.mainboard_id, reachability=Reachability.ONLINE)

    def ask(self) -> None:
        """Ask a silent printer for its status; whatever comes of it, nobody waits for the answer."""
        self.request(Command.STATUS).addErrback(lambda _: None)

    def lost(self, reason: str) -> None:
        """The link has ended: everything that was asked fails, and nothing more can be asked."""
        if self._lost is not None:
            return
        self._lost = reason
        pending, self._pending = self._pending, {}
        for command, deferred in pending.values():
            deferred.errback(LinkLost(f"The connection ended before {command.name} was answered: {reason}"))

    def close(self, reason: str) -> None:
        """End the link."""
        self._link.close(reason)


class Links:
    """The sessions that are open, by MainboardID, and how fresh each printer's word is."""

    def __init__(self, fleet: Fleet, clock: IReactorTime, wall: Callable[[], float]) -> None:
        self._fleet = fleet
        self._clock = clock
        self._wall = wall
        self._sessions: dict[str, Session] = {}
        self._present: set[str] = set()
        self._few: dict[tuple[str, str], Few] = {}

    def __contains__(self, mainboard_id: object) -> bool:
        return mainboard_id in self._sessions

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._sessions.values()))

    def __len__(self) -> int:
        return len(self._sessions)

    def opened(self, link: Link) -> Session:
        """A printer is ready for requests on this link; an older link of the same printer is closed."""
        mainboard_id = link.mainboard_id
        older = self._sessions.get(mainboard_id)
        session = Session(link, self._fleet, self._clock, self._wall, partial(self.may, mainboard_id))
        self._sessions[mainboard_id] = session
        if older is not None:
            older.lost("the printer connected again")
            older.close("the printer connected again")
        self._fleet.explain(mainboard_id, None)
        session.alive()
        if mainboard_id not in self._present:
            self._present.add(mainboard_id)
            self._fleet.happened(mainboard_id, "online", {})
        session.greet()
        return session

    def overheard(self, mainboard_id: str, kind: str, payload: bytes) -> None:
        """A printer that has no session yet says something: its status counts, the rest does not."""
        message = _decoded(mainboard_id, kind, payload, partial(self.may, mainboard_id))
        if message is None:
            return
        self._fleet.hear(mainboard_id)
        if isinstance(message, StatusReport):
            self._fleet.change(mainboard_id, status=message.status)

    def closed(self, session: Session, reason: str) -> None:
        """A session's link has ended; only the printer's present session counts for its reachability."""
        session.lost(reason)
        if self._sessions.get(session.mainboard_id) is session:
            del self._sessions[session.mainboard_id]
            self._fleet.change(session.mainboard_id, reachability=Reachability.STALE)
            if self.may(session.mainboard_id, "disconnected"):
                _log.info("{id} is disconnected: {reason}", id=session.mainboard_id, reason=reason)

    def may(self, mainboard_id: str, about: str) -> bool:
        """Whether the log takes one more line about this: the printer can provoke as many as it likes."""
        few = self._few.setdefault((mainboard_id, about), Few(self._clock.seconds))
        return few.may()

    def session(self, mainboard_id: str) -> Session:
        """The printer's open session; ``OwnedElsewhere`` or ``PrinterOffline`` if there is none."""
        session = self._sessions.get(mainboard_id)
        if session is None:
            printer = self._fleet[mainboard_id]
            if printer.reachability is Reachability.ELSEWHERE:
                owner = printer.announcement.local_sdcp_address.rpartition("//")[2]
                program = f"the program at {owner}" if owner else "another program"
                raise OwnedElsewhere(
                    f"{printer.name} is owned elsewhere: {program} controls it.",
                    f"Close it there, or take the printer over by POST /v1/printers/{printer.slug}/adopt.",
                )
            raise PrinterOffline(
                f"{printer.name} is {printer.reachability.value}: there is no connection to it.",
                printer.message or "Switch it on and wait until it is shown as online.",
            )
        return session

    def reported(self, mainboard_id: str) -> float:
        """When the printer last sent a status on its open connection, by the clock; before all times if never."""
        session = self._sessions.get(mainboard_id)
        return session.reported if session is not None else float("-inf")

    def sweep(self) -> None:
        """Look at every printer's silence; to be called about once a second."""
        for session in self:
            if session.silence >= DEAD:
                session.close(f"nothing was heard for {DEAD:.0f} s")
            elif session.silence >= SILENCE:
                printer = self._fleet.find(session.mainboard_id)
                if printer is not None and printer.reachability is Reachability.ONLINE:
                    self._fleet.change(printer.id, reachability=Reachability.STALE)
                    session.ask()
        for printer in self._fleet:
            if (
                printer.reachability is not Reachability.OFFLINE
                and printer.id not in self._sessions
                and self._fleet.silence(printer.id) >= OFFLINE_AFTER
            ):
                self._fleet.change(printer.id, reachability=Reachability.OFFLINE)
                if printer.id in self._present:
                    self._present.remove(printer.id)
                    self._fleet.happened(printer.id, "offline", {})

    def close_all(self, reason: str) -> None:
        """End every link: the daemon stops."""
        for session in self:
            session.close(reason)


def _decoded(mainboard_id: str, kind: str, payload: bytes, may: Callable[[str], bool]) -> Message | None:
    try:
        return decode_message(kind, payload)
    except MalformedMessage as error:
        if may("nonsense"):
            _log.warn("{id} sent nonsense on {kind}: {error}", id=mainboard_id, kind=shown(kind), error=error)
        return None
