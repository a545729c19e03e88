"""``GET server/notifications``: what the WebSocket would have pushed, by long poll (reference apis.md 4.4).

One decision: the cursor is that of ``/v1/updates``, and nothing is kept for a client. The state of the printer is
told as it is, not as it went: what changed twice is told once. Happenings are told one by one, in the JSON-RPC form
that the push would have had, files with the modern names of what was done and the old ones beside them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorTime

from sdcpd.dialects import klippy_of
from sdcpd.documents import Documents
from sdcpd.files import FileStore
from sdcpd.fleet import EVERYONE, Event, Fleet, Printer
from sdcpd.loaded import loaded
from sdcpd.web.moonraker.endpoint import Ask, Endpoint
from sdcpd.web.moonraker.objects import snapshot
from sdcpd.web.moonraker.places import GCODES, Item
from sdcpd.web.moonraker.server import line_of
from sdcpd.web.routes import Parameter
from sdcpd.web.updates import HOLD, LONGEST, MAX_PER_ADDRESS, MAX_WAITING, Cursor

__all__ = ["NotificationsEndpoint"]

_FILES = {
    "file_added": ("create_file", "upload_file"),
    "file_changed": ("modify_file", "upload_file"),
    "file_moved": ("move_file", "move_item"),
    "file_removed": ("delete_file", "delete_file"),
}
"""What happens to files: as it is called now, and as it was called when the API was young."""
_FOLDERS = {
    "folder_added": ("create_dir", "create_dir"),
    "folder_moved": ("move_dir", "move_item"),
    "folder_removed": ("delete_dir", "delete_dir"),
}
_ENDED = frozenset({"print_finished", "print_stopped", "print_failed", "print_lost", "print_unverified"})
_KLIPPY = {"online": "notify_klippy_ready", "offline": "notify_klippy_disconnected"}


class News(Struct, frozen=True):
    """What is new; ``resync`` means: this is not all that happened, begin anew with this."""

    cursor: str
    resync: bool
    notifications: list[dict[str, Any]]
    timed_out: bool


class NotificationsEndpoint:
    """A handler over the fleet's versions; ``epoch`` is the first half of every cursor."""

    def __init__(self, fleet: Fleet, store: FileStore, documents: Documents, clock: IReactorTime, epoch: str) -> None:
        self._fleet = fleet
        self._store = store
        self._documents = documents
        self._clock = clock
        self._epoch = epoch
        self._waiting: dict[str, int] = {}
        query = (
            Parameter("since", "the cursor of the last answer; absent for the present"),
            Parameter("timeout", "seconds to wait for news, 0 to 55; 25 if absent", "number"),
        )
        path = "/server/notifications"
        self.endpoints = (Endpoint("GET", path, "view", self.get, News, query=query, rpc=None, also=(400,)),)

    def cursor(self) -> str:
        """The present."""
        return f"{self._epoch}.{self._fleet.version}"

    def get(self, ask: Ask) -> Deferred[News]:
        """What has happened since the cursor, at once or as soon as something does."""
        cursor = Cursor.parse(ask.arguments.text("since", ""), self._epoch, self._fleet.version)
        timeout = ask.arguments.number("timeout", HOLD, 0.0, LONGEST)
        return Deferred.fromCoroutine(self._get(ask, cursor.version, timeout))

    async def _get(self, ask: Ask, since: int | None, timeout: float) -> News:
        if since is not None and timeout and not self._is_new(ask.printer.id, since):
            await self._wait(ask, since, self._clock.seconds() + timeout)
        ask.headers["Cache-Control"] = "no-store"
        ask.headers["X-Sdcpd-Cursor"] = cursor = self.cursor()
        found = list(self._told(self._fleet[ask.printer.id], since))
        return News(cursor, since is None, found, not found)

    def _is_new(self, mainboard_id: str, since: int) -> bool:
        wanted = frozenset({mainboard_id, EVERYONE})
        return bool(self._fleet.since(since, wanted) or self._fleet.happenings(since, wanted))

    async def _wait(self, ask: Ask, since: int, deadline: float) -> None:
        address = ask.client.counted_as
        waiting = self._waiting.get(address, 0)
        crowded = not ask.client.is_loopback and waiting >= MAX_PER_ADDRESS
        if crowded or self._fleet.waiting >= MAX_WAITING:
            return
        ask.http.waits()
        self._waiting[address] = waiting + 1
        try:
            while not self._is_new(ask.printer.id, since) and not self._fleet.stopped:
                left = deadline - self._clock.seconds()
                if left <= 0:
                    return
                news = self._fleet.changed(self._fleet.version, frozenset({ask.printer.id, EVERYONE}))
                await news.addTimeout(left, self._clock)
        except DeferredTimeout:
            return
        finally:
            self._waiting[address] -= 1
            if not self._waiting[address]:
                del self._waiting[address]

    # -- in the words of the push ----------------------------------------------------------------------------

    def _told(self, printer: Printer, since: int | None) -> Iterator[dict[str, Any]]:
        if since is None or printer.version > since:
            yield _notify("notify_status_update", self._status(printer), self._clock.seconds())
        for event in self._fleet.happenings(since) if since is not None else ():
            if event.printer == printer.slug:
                yield from _happened(event)
            elif event.printer == EVERYONE:
                yield from _files(event)

    def _status(self, printer: Printer) -> dict[str, Any]:
        state, sentence = klippy_of(printer)
        if state == "disconnected":
            return {"webhooks": {"state": "startup", "state_message": sentence}}
        return snapshot(printer, self._documents.printer(printer), loaded(printer, self._store).size)


def _happened(event: Event) -> Iterator[dict[str, Any]]:
    if event.type in _KLIPPY:
        yield _notify(_KLIPPY[event.type])
    elif event.type == "print_started" or event.type in _ENDED:
        action = "added" if event.type == "print_started" else "finished"
        job = {"job_id": event.data.get("print") or event.data.get("job"), "filename": event.data.get("file")}
        yield _notify("notify_history_changed", {"action": action, "job": job})
    elif event.type.startswith("job_"):
        yield _notify("notify_job_queue_changed", {"action": "state_changed"})
    yield _notify("notify_gcode_response", line_of(event))


def _notify(method: str, *params: object) -> dict[str, Any]:
    told: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
    return {**told, "params": list(params)} if params else told


def _files(event: Event) -> Iterator[dict[str, Any]]:
    data = event.data
    if event.type in _FILES:
        action, legacy = _FILES[event.type]
        item = {
            "path": data["file"],
            "root": GCODES,
            "size": data["size"],
            "modified": data["uploaded_at"],
            "permissions": "rw",
        }
        told: dict[str, Any] = {"action": action, "item": item, "legacy_action": legacy}
        if "source" in data:
            told["source_item"] = {"path": data["source"], "root": GCODES}
        yield _notify("notify_filelist_changed", told)
        if legacy == "upload_file":
            told = {"filename": data["file"], "size": data["size"], "modified": data["uploaded_at"]}
            yield _notify("notify_metadata_update", told)
    elif event.type in _FOLDERS:
        action, legacy = _FOLDERS[event.type]
        told = {"action": action, "item": asdict(Item(str(data["folder"]))), "legacy_action": legacy}
        if "source" in data:
            told["source_item"] = {"path": data["source"], "root": GCODES}
        yield _notify("notify_filelist_changed", told)
