"""Everybody who listens to one printer: its present in the words of the push, made once for all of them.

One decision: it exists while somebody listens. Its only source is the fleet, whose versions it waits for as every poll
does; each version is rendered once, and everybody who hears the same gets the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from msgspec import Struct
from twisted.internet.defer import CancelledError, Deferred

from sdcpd.documents import Documents
from sdcpd.files import FileStore
from sdcpd.fleet import EVERYONE, Event, Fleet, Printer
from sdcpd.logs import logger
from sdcpd.web.client import Client
from sdcpd.web.lines import sentence_of
from sdcpd.web.octoprint.events import Happening, Look, Told, changes, look, told
from sdcpd.web.octoprint.listener import Listener
from sdcpd.web.octoprint.present import Present
from sdcpd.web.octoprint.state import JobInformation, Progress, State, points_of, state_of
from sdcpd.web.octoprint.subscription import Subscription, chosen
from sdcpd.web.sockjs.frames import encoded

__all__ = ["HISTORY", "Audience"]

HISTORY = 300
"""Lines in a history at most."""

_log = logger("sdcpd.web.octoprint")


class _Resends(Struct, frozen=True):
    """Nothing is ever sent again to a printer without a serial port."""

    count: int = 0
    transmitted: int = 0
    ratio: int = 0


class _Core(Struct, frozen=True, rename="camel"):
    """The part of ``current`` and ``history`` that makes a new one worth sending when it changes."""

    state: State
    job: JobInformation
    progress: Progress
    current_z: float | None
    plugins: dict[str, dict[str, Any]]
    busy_files: tuple[dict[str, str], ...] = ()
    offsets: dict[str, Any] = {}
    resends: _Resends = _Resends()
    current_tool: None = None
    markings: tuple[()] = ()


class _Rest(Struct, frozen=True, rename="camel"):
    """The part that only goes with it. ``server_time`` is seconds since the epoch."""

    server_time: float
    temps: list[dict[str, Any]]
    logs: list[str]
    messages: list[str]


class Audience:
    """The listeners of one printer; ``empty`` is called when the last one has left."""

    def __init__(
        self,
        mainboard_id: str,
        *,
        fleet: Fleet,
        store: FileStore,
        documents: Documents,
        present: Present,
        wall: Callable[[], float],
        find: Callable[[str, str], Client | None],
        empty: Callable[[], object],
    ) -> None:
        self._id = mainboard_id
        self._fleet = fleet
        self._store = store
        self._documents = documents
        self._present = present
        self._wall = wall
        self._find = find
        self._empty = empty
        self._listeners: dict[Listener, None] = {}
        self._moment = 0
        self._look: Look | None = None
        self._core = b""
        self._rendered: dict[object, bytes] = {}
        self._waiting: Deferred[None] | None = None
        self._over = False
        Deferred.fromCoroutine(self._follow())

    def __len__(self) -> int:
        return len(self._listeners)

    def __iter__(self) -> Iterator[Listener]:
        return iter(list(self._listeners))

    def enter(self, listener: Listener) -> None:
        """One more listens."""
        self._listeners[listener] = None
        self.visited("ClientOpened", listener)

    # -- for a listener (``Room``) ---------------------------------------------------------------------------

    @property
    def moment(self) -> int:
        """The version of the present, 0 until it is known."""
        return self._moment

    def leave(self, listener: Listener) -> None:
        """It hears no more."""
        if listener not in self._listeners:
            return
        del self._listeners[listener]
        self.visited("ClientClosed", listener)
        if not self._listeners:
            self._over = True
            self._empty()
            if self._waiting is not None:
                self._waiting.cancel()

    def find(self, user: str, session: str) -> Client | None:
        """Who has this login; None if nobody has who may hear of this printer."""
        return self._find(user, session)

    def visited(self, name: str, listener: Listener) -> None:
        """Tell the others that a client came, logged in or went; only admins hear who."""
        who: dict[str, Any] = {"remoteAddress": listener.address}
        if name == "ClientAuthed" and listener.client is not None:
            who["username"] = listener.client.key
        for other in self:
            if other is not listener:
                known = other.client is not None and "admin" in other.client.scopes
                other.tell(name, _event(name, who if known else {}), spare=True)

    def history(self, wanted: Subscription) -> tuple[bytes, bytes]:
        """The message ``history`` of the present, and its lasting part."""
        return self._message("history", wanted, self._lines(0)), self._core

    def current(self, wanted: Subscription, since: int, before: bytes) -> tuple[bytes, bytes]:
        """The message ``current`` of the present, for who was told up to a version, and its lasting part."""
        lines = self._lines(since)
        if self._core == before and not lines:
            return b"", before
        return self._message("current", wanted, lines), self._core

    # -- following the fleet ---------------------------------------------------------------------------------

    async def _follow(self) -> None:
        version = await self._news(self._fleet.version)
        while not self._over and not self._fleet.stopped:
            self._waiting = self._fleet.changed(version, frozenset({self._id, EVERYONE}))
            try:
                await self._waiting
            except CancelledError:
                return  # the last one has left
            finally:
                self._waiting = None
            version = await self._news(version)

    async def _news(self, since: int) -> int:
        """Tell everybody what is new; the version up to which that is."""
        version = self._fleet.version
        try:
            printer = self._fleet[self._id]
            seen = await self._render(printer)
            before, self._look, self._moment = self._look, seen, version
            happened = [event for event in self._fleet.happenings(since) if event.seq <= version]
            self.tell_all([*(changes(before, seen) if before is not None else ()), *self._told(printer, happened)])
            for listener in self:
                listener.offer()
        except Exception:
            _log.failure("The push of {printer} failed once", printer=self._id)
        return version

    def tell_all(self, events: list[Told]) -> None:
        """Tell everybody what happened."""
        for name, payload in events:
            message = _event(name, payload)
            for listener in self:
                listener.tell(name, message)

    async def _render(self, printer: Printer) -> Look:
        job = await self._present.job(printer)
        z = await self._present.current_z(printer)
        state = state_of(printer)
        document = self._documents.printer(printer)
        busy = state.flags["printing"] or state.flags["paused"]
        file = {"origin": job.file.origin or "", "path": job.file.path or ""}
        own = {
            "layer": document.layer,
            "total_layers": document.total_layers,
            "phase": document.phase,
            "hold_reason": document.hold_reason,
        }
        self._core = encoded(
            _Core(
                state=state,
                job=job,
                progress=self._present.progress(printer),
                current_z=z,
                plugins={"sdcp": own},
                busy_files=(file,) if busy and job.file.path else (),
            )
        )
        self._rendered.clear()
        return look(printer, job.file, z)

    def _told(self, printer: Printer, happened: list[Event]) -> Iterator[Told]:
        for event in happened:
            if event.printer == EVERYONE or self._of_printer(event):
                yield from told(Happening(event, printer, self._store.find, partial(self._since, event)))

    # -- looking back ----------------------------------------------------------------------------------------

    def _lines(self, since: int) -> list[Event]:
        """What happened to the printer between a version and the present, as far as a history goes back."""
        found = [e for e in self._fleet.happenings(since) if e.seq <= self._moment and self._of_printer(e)]
        return found[-HISTORY:]

    def _of_printer(self, event: Event) -> bool:
        printer = self._fleet.find(self._id)
        return printer is not None and event.printer == printer.slug

    def _since(self, event: Event, type: str) -> float | None:
        for key in ("job", "print"):
            value = event.data.get(key)
            for earlier in reversed(self._fleet.events) if value else ():
                if earlier.seq < event.seq and earlier.type == type and earlier.data.get(key) == value:
                    return event.time - earlier.time
        return None

    # -- messages --------------------------------------------------------------------------------------------

    def _message(self, name: str, wanted: Subscription, events: list[Event]) -> bytes:
        key = (name, wanted.logs, wanted.messages, events[0].seq if events else None)
        message = self._rendered.get(key)
        if message is None:
            lines = [sentence_of(event) for event in events]
            rest = _Rest(
                self._wall(),
                points_of(self._fleet[self._id], self._fleet.heard(self._id)),
                chosen(wanted.logs, [f"Recv: {line}" for line in lines]),
                chosen(wanted.messages, lines),
            )
            whole = self._core[:-1] + b"," + encoded(rest)[1:]
            message = self._rendered[key] = b'{"' + name.encode("ascii") + b'":' + whole + b"}"
        return message


def _event(name: str, payload: dict[str, Any]) -> bytes:
    return encoded({"event": {"type": name, "payload": payload}})
