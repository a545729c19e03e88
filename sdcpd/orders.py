"""Wishes that name a file: print it, or let it wait. The door through which every dialect and MQTT go to ``Jobs``.

One decision: a file is judged here and nowhere else, before the printer hears of it, so no way in can forget to; and
whoever is answered here has the word that the job is on the disk.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from msgspec.structs import replace
from twisted.internet.defer import Deferred

from sdcpd.files import FileStore, StoredFile
from sdcpd.fleet import Fleet, Printer
from sdcpd.jobs import Jobs, Wish
from sdcpd.judging import Gate
from sdcpd.progress import Job

__all__ = ["Orders", "Sees"]

Sees = Callable[[str], bool]
"""Whether the one who asks may know of the printer with this MainboardID."""
Take = Callable[[StoredFile, Wish], Deferred[Job]]
"""Makes a job of a file that was judged; fires once it is on the disk."""


def _everything(mainboard_id: str) -> bool:
    return True


class Orders:
    """Takes wishes to ``jobs``; the printer is named by its MainboardID, the file by its name or its MD5."""

    def __init__(self, fleet: Fleet, jobs: Jobs, store: FileStore) -> None:
        self._fleet = fleet
        self._jobs = jobs
        self._store = store

    def print(self, mainboard_id: str, file: str, wish: Wish, sees: Sees = _everything) -> Deferred[Job]:
        """Deliver the file if the printer does not have it, and start it; fires once the job is on the disk.

        Fails with ``WrongFile`` for one that would not print there, as ``Jobs.print`` and ``Jobs.kept`` fail, and with
        ``KeyReused``.
        """
        return Deferred.fromCoroutine(self._print(mainboard_id, file, wish, sees))

    def enqueue(self, mainboard_id: str, file: str, wish: Wish, sees: Sees = _everything) -> Deferred[Job]:
        """Let the file wait for a printer, or with an empty one for any that it suits; fires and fails alike."""
        return Deferred.fromCoroutine(self._enqueue(mainboard_id, file, wish, sees))

    async def _print(self, mainboard_id: str, file: str, wish: Wish, sees: Sees) -> Job:
        printer = self._fleet[mainboard_id]

        def take(found: StoredFile, judged: Wish) -> Deferred[Job]:
            return self._jobs.kept(self._jobs.print(printer.id, found, judged))

        return await self._take(printer, file, wish, sees, take)

    async def _enqueue(self, mainboard_id: str, file: str, wish: Wish, sees: Sees) -> Job:
        printer = self._fleet[mainboard_id] if mainboard_id else None
        return await self._take(printer, file, wish, sees, partial(self._jobs.enqueue, mainboard_id))

    async def _take(self, printer: Printer | None, file: str, wish: Wish, sees: Sees, take: Take) -> Job:
        """``take`` the file with its wish, if it suits; the job that is there if the wish came before."""
        if (before := self._before(wish)) is not None:
            return before
        found = self._store.get(file)
        warnings = await self._judged(found, printer, sees)
        if (before := self._before(wish)) is not None:  # the same wish came twice while the file was read
            return before
        return await take(found, replace(wish, warnings=warnings))

    def _before(self, wish: Wish) -> Job | None:
        return self._jobs.asked_before(wish.by, wish.key, wish.asked)

    async def _judged(self, file: StoredFile, printer: Printer | None, sees: Sees) -> tuple[str, ...]:
        gate = Gate((known for known in self._fleet if sees(known.id)), printer)
        gate.whole(await self._store.indexes.of(file))
        return gate.warnings
