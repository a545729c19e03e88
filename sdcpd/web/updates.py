"""The long poll: ``GET /v1/updates``, for all printers or one (reference apis.md 4.2, 4.3).

One decision: the server keeps nothing for a poller but its Deferred. The cursor ``<epoch>.<version>`` says what
the client has; state is latest-wins, happenings come from the fleet's ring, and a cursor that cannot be
understood is answered at once with everything. Equal questions of one moment get the same bytes.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorTime

from sdcpd.documents import Documents, PrinterDocument
from sdcpd.fleet import Fleet
from sdcpd.web.answer import Answer, json_answer
from sdcpd.web.client import Client
from sdcpd.web.errors import ErrorBody, Refusal
from sdcpd.web.routes import Call, Parameter, Route

__all__ = ["Cursor", "UpdatesApi", "UpdatesDocument", "new_epoch"]

HOLD = 25.0
"""Seconds that a poll is held by default: below the 30 s of common proxies."""
LONGEST = 55.0
"""Seconds that a poll is held at most: phones and proxies give up at 60 s."""
MAX_WAITING = 10_000
"""Polls that may wait in all; beyond, they are answered at once."""
MAX_PER_ADDRESS = 16
"""Polls that may wait from one address other than loopback; the oldest gives way."""
FRESH = 0.25
"""Seconds that an answer may be given to others who ask the same: as long as a large wake-up takes."""
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"


def new_epoch() -> str:
    """A name for one life of the daemon: cursors of another life are recognised by it."""
    return "".join(random.SystemRandom().choices(_ALPHABET, k=8))


class EventDocument(Struct, frozen=True):
    """One happening."""

    seq: int
    time: float
    printer: str
    type: str
    data: dict[str, Any]


class UpdatesDocument(Struct, frozen=True):
    """The answer to a poll."""

    cursor: str
    resync: bool
    gap: bool
    more: bool
    timed_out: bool
    replaced: bool
    now: float
    retry_after: int
    printers: dict[str, PrinterDocument]
    removed: tuple[str, ...]
    events: list[EventDocument]


class ExpiredDocument(Struct, frozen=True):
    """The refusal of a cursor that cannot be continued, with the one to go on with."""

    error: ErrorBody
    cursor: str


class Cursor(Struct, frozen=True):
    """What a client has: everything up to ``version``; None when it has nothing (of this epoch)."""

    version: int | None
    gap: bool
    """Whether the client had something that cannot be continued."""

    @classmethod
    def parse(cls, text: str, epoch: str, newest: int) -> Cursor:
        """Read a cursor or an ETag made of one; whatever cannot be understood means "from the beginning"."""
        text = text.strip().removeprefix("W/").strip('"')
        if not text:
            return cls(None, False)
        parts = text.split(".")
        if len(parts) >= 2 and parts[0] == epoch and parts[1].isascii() and parts[1].isdigit():
            version = int(parts[1][:18])
            if version <= newest:
                return cls(version, False)
        return cls(None, True)


class _Question(Struct, frozen=True):
    """What one poll wants to know; equal questions share their answer."""

    since: int | None
    gap: bool
    wanted: frozenset[str] | None
    state: bool
    events: bool
    recent: bool
    limit: int


class UpdatesApi:
    """Handlers over the fleet's versions."""

    def __init__(
        self,
        fleet: Fleet,
        documents: Documents,
        clock: IReactorTime,
        wall: Callable[[], float],
        epoch: str,
    ) -> None:
        self._fleet = fleet
        self._documents = documents
        self._clock = clock
        self._wall = wall
        self._epoch = epoch
        self._stopping = False
        self._count = 0
        self._waiting: defaultdict[str, dict[Deferred[None], None]] = defaultdict(dict)
        self._named: dict[tuple[str, str], Deferred[None]] = {}
        self._replaced: set[Deferred[None]] = set()
        self._rendered: dict[_Question, bytes] = {}
        self._rendered_at = (-1, 0.0)
        query = (
            Parameter("since", "the cursor of the last answer; absent for everything now"),
            Parameter("timeout", "seconds to wait for news, 0 to 55; 25 if absent", "number"),
            Parameter("printers", "slugs or MainboardIDs, with commas; all if absent"),
            Parameter("kinds", "state, events, with commas; both if absent"),
            Parameter("limit", "events in one answer, 1 to 1000; 200 if absent", "integer"),
            Parameter("events", "recent: a first answer brings the remembered events, too"),
            Parameter("client", "a name; a newer poll of the same name ends the older one"),
            Parameter("strict", "1: a cursor that cannot be continued is answered with 410", "integer"),
        )
        also = (304, 404, 410)
        self.routes = (
            Route("GET", "/v1/updates", "view", self.all, UpdatesDocument, query=query, also=also, limited=True),
            Route("GET", "/printers/<name>/v1/updates", "view", self.one, UpdatesDocument, query=query, also=also),
        )

    def all(self, call: Call) -> Answer | Deferred[Answer]:
        """What is new of all printers (or of those listed), at once or as soon as something is."""
        return self._poll(call, call.client.wanted(self._fleet, call.words("printers")))

    def one(self, call: Call, name: str) -> Answer | Deferred[Answer]:
        """What is new of one printer."""
        return self._poll(call, frozenset({self._fleet.get(name).id}))

    def _poll(self, call: Call, wanted: frozenset[str] | None) -> Answer | Deferred[Answer]:
        since = call.text("since")
        answered = self._asked(call, wanted, since or call.header("if-none-match"))
        if since:
            return answered
        return _brief(answered) if isinstance(answered, Answer) else answered.addCallback(_brief)

    def _asked(self, call: Call, wanted: frozenset[str] | None, since: str) -> Answer | Deferred[Answer]:
        cursor = Cursor.parse(since, self._epoch, self._fleet.version)
        if cursor.gap and call.flag("strict"):
            body = ErrorBody("cursor_expired", "The cursor is of another life of this daemon.", "Take the new one.")
            return json_answer(ExpiredDocument(body, self._cursor()), 410, {"X-Sdcpd-Cursor": self._cursor()})
        kinds = set(call.words("kinds")) or {"state", "events"}
        unknown = kinds - {"state", "events", "notify"}
        if unknown:
            raise Refusal(
                400, "bad_parameter", f"kinds: expected state, events or notify, found {sorted(unknown)[0]!r}"
            )
        question = _Question(
            since=cursor.version,
            gap=cursor.gap,
            wanted=wanted,
            state="state" in kinds,
            events="events" in kinds,
            recent=call.text("events") == "recent",
            limit=int(call.number("limit", 200, 1, 1000)),
        )
        timeout = call.number("timeout", HOLD, 0.0, LONGEST)
        if cursor.version is None or timeout == 0 or self._has_news(question):
            return self._answer(question)
        if self._stopping or self._count >= MAX_WAITING:
            return self._answer(question, retry_after=5)
        return Deferred.fromCoroutine(self._wait(call, question, timeout * random.uniform(0.9, 1.0)))

    def _has_news(self, question: _Question) -> bool:
        since = question.since
        if since is None:
            return True
        if since == self._fleet.version:
            return False
        if question.state and self._fleet.since(since, question.wanted):
            return True
        return question.events and bool(self._events(question))

    def present(self, client: Client) -> bytes:
        """Everything that this client may see now, as the first answer to its poll would be."""
        return self._answer(_Question(None, False, client.printers, True, False, False, 1)).body

    # -- waiting ---------------------------------------------------------------------------------------------

    async def _wait(self, call: Call, question: _Question, hold: float) -> Answer:
        deadline = self._clock.seconds() + hold
        assert question.since is not None
        seen = self._fleet.version
        self._make_room(call)
        while not self._has_news(question):
            left = deadline - self._clock.seconds()
            if left <= 0:
                break
            news = self._fleet.changed(seen, question.wanted)
            self._enter(call, news)
            try:
                await news.addTimeout(left, self._clock)
            except DeferredTimeout:
                break
            except CancelledError:
                if news not in self._replaced:
                    raise  # the client has left
                return self._answer(question, replaced=True)
            finally:
                self._leave(call, news)
            if self._stopping:
                break
            seen = self._fleet.version
        return self._answer(question)

    def _make_room(self, call: Call) -> None:
        """End the poll whose place this one takes; one that ends none is not counted against its address.

        Two clients of one name, or one too many at an address, would else end each other's polls without end.
        """
        older = self._named.get(_called(call))
        waiting = self._waiting.get(call.client.counted_as, {})
        if older is None and not call.client.is_loopback and len(waiting) >= MAX_PER_ADDRESS:
            older = next(iter(waiting))
        if older is None:
            call.waits()
        else:
            self._replaced.add(older)
            older.cancel()

    def _enter(self, call: Call, news: Deferred[None]) -> None:
        called = _called(call)
        if called[1]:
            self._named[called] = news
        self._waiting[call.client.counted_as][news] = None
        self._count += 1

    def _leave(self, call: Call, news: Deferred[None]) -> None:
        address = call.client.counted_as
        del self._waiting[address][news]
        if not self._waiting[address]:
            del self._waiting[address]
        self._count -= 1
        self._replaced.discard(news)
        called = _called(call)
        if self._named.get(called) is news:
            del self._named[called]

    def stop(self) -> None:
        """From now on everybody is answered at once and asked to come back later."""
        self._stopping = True

    # -- answering -------------------------------------------------------------------------------------------

    def _cursor(self) -> str:
        return f"{self._epoch}.{self._fleet.version}"

    def _events(self, question: _Question) -> list[EventDocument]:
        if question.since is None and not question.recent:
            return []
        found = self._fleet.happenings(question.since or 0, question.wanted)
        return [EventDocument(e.seq, e.time, e.printer, e.type, dict(e.data)) for e in found]

    def _answer(self, question: _Question, *, replaced: bool = False, retry_after: int = 0) -> Answer:
        if self._stopping:
            retry_after = random.randint(1, 15)
        headers = {"Cache-Control": "no-store", "Vary": "X-Api-Key, Authorization", "X-Accel-Buffering": "no"}
        if retry_after:
            headers["Retry-After"] = str(retry_after)
        shared = not replaced and not retry_after
        version, now = self._fleet.version, self._clock.seconds()
        if self._rendered_at[0] != version or now - self._rendered_at[1] >= FRESH:
            self._rendered.clear()
            self._rendered_at = (version, now)
        body = self._rendered.get(question) if shared else None
        if body is None:
            body = self._render(question, replaced, retry_after)
            if shared:
                self._rendered[question] = body
        cursor = body[11 : body.index(b'"', 11)].decode("ascii")  # {"cursor":"<epoch>.<version>"
        headers["ETag"] = f'"{cursor}"'
        headers["X-Sdcpd-Cursor"] = cursor
        return Answer(200, body, headers=headers)

    def _render(self, question: _Question, replaced: bool, retry_after: int) -> bytes:
        since = question.since
        printers = {}
        if question.state:
            newer = self._fleet.since(-1 if since is None else since, question.wanted)
            printers = {p.slug: self._documents.printer(p) for p in newer}
        events = self._events(question) if question.events else []
        more = len(events) > question.limit
        events = events[: question.limit]
        ring = self._fleet.events
        lost = since is not None and len(ring) == ring.maxlen and ring[0].seq > since + 1
        return msgspec.json.encode(
            UpdatesDocument(
                cursor=f"{self._epoch}.{events[-1].seq}" if more else self._cursor(),
                resync=since is None,
                gap=question.gap or lost,
                more=more,
                timed_out=not self._has_news(question),
                replaced=replaced,
                now=self._wall(),
                retry_after=retry_after,
                printers=printers,
                removed=(),
                events=events,
            )
        )


def _called(call: Call) -> tuple[str, str]:
    """The address of who polls and the name that it gives itself; without one nobody is taken for it."""
    return call.client.address, call.text("client")[:64]


def _brief(answer: Answer) -> Answer:
    """For a client that asks by If-None-Match: without a body when there is nothing in it."""
    if answer.status != 200 or not msgspec.json.decode(answer.body, type=_TimedOut).timed_out:
        return answer
    return Answer(304, headers=answer.headers)


class _TimedOut(Struct):
    timed_out: bool
