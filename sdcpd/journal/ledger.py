"""The journal as the daemon sees it: records that are there at once, and Deferreds that tell when they are safe.

One decision: memory is the present and the disk follows. A change is seen in the turn that made it; one thread carries
changes to the disk in order, those that gather meanwhile together, and what could not be written stays due until it
can, the newest of each record only. Whoever must not go on before it is safe waits for the Deferred.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from sdcpd.errors import SdcpdError, StoreError
from sdcpd.journal.database import Database, said
from sdcpd.journal.prints import Outcomes, PrintPage, PrintQuery, Totals
from sdcpd.journal.tables import KEPT, KINDS, Name, Record, name_of
from sdcpd.logs import logger
from sdcpd.offload import Offload
from sdcpd.progress import Job
from sdcpd.records import Key, Plate, PrintRecord, PrintResult, Remembered, Wear

__all__ = ["Journal"]

RETRY = 5.0
"""Seconds between two attempts to write what could not be written."""
CLOSE_WITHIN = 4.0
"""Seconds that the last writes may take when the daemon stops."""

_log = logger("sdcpd.journal")

T = TypeVar("T")
_Due = dict[Name, tuple[int, Record | None]]


class Journal:
    """Printers, jobs, plates, prints, wear and keys.

    Made synchronously at the start: ``url`` is empty for a file in ``directory``. ``thread`` must run one function at
    a time, in order. Raises ``ConfigError`` if the journal cannot be used.
    """

    def __init__(self, url: str, directory: Path, thread: Offload, clock: IReactorTime) -> None:
        self._thread = thread
        self._clock = clock
        self._database = Database(url, directory)
        self._mirror: dict[type[Record], dict[str, Record]] = {kind: {} for kind in KINDS}
        records, self._place = self._database.load()
        for record in records:
            kind, key = name_of(record)
            self._mirror[kind][key] = record
        self._due: _Due = {}
        self._flying: _Due | None = None
        self._waiting: list[Deferred[None]] = []
        self._aboard: list[Deferred[None]] = []
        self._retry: IDelayedCall | None = None
        self._closed = False
        self.failing: str | None = None
        """Why nothing can be written now, in a sentence; None while all is well."""
        self.commits = 0
        """Transactions that were written since the start."""

    # -- the present -----------------------------------------------------------------------------------------

    def _all(self, kind: type[T]) -> dict[str, T]:
        return cast("dict[str, T]", self._mirror[cast("type[Record]", kind)])

    def printers(self) -> list[Remembered]:
        """The printers that were connected once, in that order."""
        return list(self._all(Remembered).values())

    def jobs(self) -> list[Job]:
        """All open jobs and the last ``KEPT`` ended ones, oldest first."""
        return list(self._all(Job).values())

    def plates(self) -> dict[str, Plate]:
        """The plates by MainboardID."""
        return dict(self._all(Plate))

    def wears(self) -> dict[str, Wear]:
        """What each printer has done, by MainboardID."""
        return dict(self._all(Wear))

    def keys(self) -> list[Key]:
        """All keys, revoked ones included, oldest first."""
        return list(self._all(Key).values())

    def open_prints(self) -> list[PrintRecord]:
        """The prints that have not ended, oldest first."""
        return list(self._all(PrintRecord).values())

    # -- writing ---------------------------------------------------------------------------------------------

    def write(self, *records: Record) -> Deferred[None]:
        """This is how these things are now; fires when that is on the disk, all of it in one transaction.

        Fails with ``StoreFull`` or ``StoreError``; the records stay due then, and are written as soon as that is
        possible. Cancelling gives up waiting and nothing else. What is known already is not written again.
        """
        return self._change({name_of(record): record for record in records})

    def forget(self, kind: type[Record], key: str) -> Deferred[None]:
        """Drop a record for good; otherwise as ``write``."""
        return self._change({(kind, key): None})

    def _change(self, changes: dict[Name, Record | None]) -> Deferred[None]:
        new = {name: record for name, record in changes.items() if not self._known(name, record)}
        if new and self._closed:
            return fail(StoreError("The daemon stops, and its journal is closed.", "Try again in a minute."))
        for (kind, key), record in new.items():
            self._reflect(kind, key, record)
            self._owe((kind, key), record)
        self._drop_old_jobs()
        flying = self._flying or {}
        if any(name in self._due for name in changes):
            waiter = self._wait(self._waiting)
            self._carry()
            return waiter
        return self._wait(self._aboard) if any(name in flying for name in changes) else succeed(None)

    def _known(self, name: Name, record: Record | None) -> bool:
        kind, key = name
        for owed in (self._due, self._flying or {}):
            if name in owed:
                return owed[name][1] == record
        return record is not None and self._mirror[kind].get(key) == record

    def _reflect(self, kind: type[Record], key: str, record: Record | None) -> None:
        over = isinstance(record, PrintRecord) and record.result is not PrintResult.PRINTING
        if record is None or over:
            self._mirror[kind].pop(key, None)
        else:
            self._mirror[kind][key] = record

    def _owe(self, name: Name, record: Record | None) -> None:
        # A record that is due keeps its place: it is in no table yet.
        place = self._due[name][0] if name in self._due else self._place
        self._place = max(self._place, place + 1)
        self._due[name] = place, record

    def _drop_old_jobs(self) -> None:
        jobs = self._all(Job)
        if len(jobs) > KEPT:
            ended = [job.id for job in jobs.values() if job.ended is not None]
            for key in ended[: max(0, len(ended) - KEPT)]:
                del jobs[key]
                self._owe((Job, key), None)

    @staticmethod
    def _wait(waiters: list[Deferred[None]]) -> Deferred[None]:
        waiter: Deferred[None] = Deferred()
        waiters.append(waiter)
        return waiter

    def _carry(self) -> None:
        """Send everything that is due to the disk, unless something is on its way there."""
        if self._flying is not None or not self._due:
            return
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        batch, self._flying, self._due = self._due, self._due, {}
        self._aboard, self._waiting = self._waiting, []
        self._thread(self._database.apply, batch).addCallbacks(self._written, self._refused)

    def _written(self, _: None) -> None:
        self.commits += 1
        if self.failing is not None:
            self.failing = None
            _log.info("The journal can be written again; nothing was lost")
        self._landed(None)

    def _refused(self, failure: Failure) -> None:
        assert self._flying is not None
        for name, owed in self._due.items():
            place = self._flying.get(name, owed)[0]
            self._due[name] = place, owed[1]
        self._due = self._flying | self._due
        if failure.check(SdcpdError) is None:
            _log.failure("Writing the journal failed", failure)
            failure = Failure(StoreError("The journal could not be written; the log says why.", "Please report it."))
        error = cast("SdcpdError", failure.value)
        if self.failing is None:
            _log.error(
                "{error} {hint} What happens meanwhile is remembered. ({place}: {cause})",
                error=error,
                hint=error.hint,
                place=self._database.place,
                cause=said(error.__cause__),
            )
        self.failing = error.message
        self._landed(error)

    def _landed(self, error: SdcpdError | None) -> None:
        self._flying = None
        waiters, self._aboard = self._aboard, []
        for waiter in waiters:
            if error is None:
                waiter.callback(None)
            else:
                waiter.errback(error)
        if error is None or self._waiting:
            self._carry()
        elif self._due and self._retry is None and not self._closed:
            self._retry = self._clock.callLater(RETRY, self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        self._carry()

    # -- the history -----------------------------------------------------------------------------------------

    def prints(self, query: PrintQuery) -> Deferred[PrintPage]:
        """One page of the history, newest first. Fails with ``BadCursor``, ``StoreError``."""
        return self._ask(self._database.prints, query)

    def print_of(self, print_id: str) -> Deferred[PrintRecord | None]:
        """One print, or None. Fails with ``StoreError``."""
        return self._ask(self._database.print_of, print_id)

    def totals(self, query: PrintQuery) -> Deferred[Totals]:
        """Sums over all prints that the query wants. Fails with ``StoreError``."""
        return self._ask(self._database.totals, query)

    def outcomes(self, query: PrintQuery) -> Deferred[Mapping[str, Outcomes]]:
        """How the prints that the query wants ended, by the file's name in small letters. Fails with ``StoreError``."""
        return self._ask(self._database.outcomes, query)

    def _ask(self, function: Callable[..., T], question: Any) -> Deferred[T]:
        """Ask once everything that was written until now is there, if it can be."""
        return self._settled().addCallback(lambda _: self._thread(function, question))

    def _settled(self) -> Deferred[None]:
        """Fires when everything until now was written or refused; never fails."""
        if self._flying is None:
            return succeed(None)
        settled: Deferred[None] = Deferred()
        self._wait(self._waiting if self._due else self._aboard).addBoth(lambda _: settled.callback(None))
        return settled

    # -- the end ---------------------------------------------------------------------------------------------

    def close(self) -> Deferred[bool]:
        """Write what is due, once more if need be, and let the database go, within ``CLOSE_WITHIN`` seconds.

        Fires with whether the thread is free again: a disk may be so broken that it never answers.
        """
        self._closed = True
        self._carry()
        closing = self._settled().addCallback(lambda _: self._thread(self._database.close))
        closing.addTimeout(CLOSE_WITHIN, self._clock)
        return closing.addCallbacks(lambda _: True, self._unclosed).addCallback(self._count_lost)

    def _unclosed(self, failure: Failure) -> bool:
        failure.trap(DeferredTimeout)
        _log.error("The journal's disk did not answer for {seconds:.0f} s", seconds=CLOSE_WITHIN)
        return False

    def _count_lost(self, free: bool) -> bool:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        lost = len(self._due) + len(self._flying or {})
        if lost:
            _log.error("{lost} records could not be written and end with this process", lost=lost)
        return free
