"""How a stored file gets onto a printer in the dialects of other programs: now, or by the queue.

One decision: the door, the gate and the queue are those of the native API; this module only chooses between them. A
start that was asked for by itself is refused if it cannot be now. One that came with an upload waits, where it may:
the file is here, and the slicer that sent it will not ask again (reference apis.md 5.5, 7).
"""

from __future__ import annotations

from msgspec import Struct
from twisted.internet.defer import Deferred

from sdcpd.errors import NotNow, SdcpdError
from sdcpd.files import StoredFile
from sdcpd.fleet import Fleet, Printer
from sdcpd.jobs import Wish
from sdcpd.judging import Gate
from sdcpd.orders import Orders
from sdcpd.progress import Job
from sdcpd.web.client import Client

__all__ = ["Started", "Starts"]

_WAITS = "It waits in the printer's queue."


class Started(Struct, frozen=True):
    """What became of a print that was wanted with an upload."""

    started: bool
    queued: bool = False
    """Whether it waits in the printer's queue instead."""
    message: str = ""
    """Why it was not started, and what to do."""


class Starts:
    """Over the door through which files go to printers."""

    def __init__(self, fleet: Fleet, orders: Orders) -> None:
        self._fleet = fleet
        self._orders = orders

    def gate(self, client: Client, printer: Printer) -> Gate:
        """What a file must suit to be printed on the printer."""
        return Gate((known for known in self._fleet if client.sees(known.id)), printer)

    def now(self, client: Client, printer: Printer, file: StoredFile) -> Deferred[Job]:
        """Deliver and start; fires when the job is safe. Fails as ``Orders.print``."""
        return self._orders.print(printer.id, file.name, Wish(client.name), client.sees)

    def enqueue(self, client: Client, printer: Printer, file: StoredFile, *, start: bool) -> Deferred[Job]:
        """Let a file wait for its turn on the printer. Fails as ``Orders.enqueue``."""
        return self._orders.enqueue(printer.id, file.name, Wish(client.name, start=start), client.sees)

    def with_upload(self, client: Client, printer: Printer, file: StoredFile) -> Deferred[Started]:
        """Start what was just uploaded, or let it wait; whatever stands against that is told, and no failure.

        What is not started is also told as the event ``print_not_started``.
        """
        return Deferred.fromCoroutine(self._with_upload(client, printer, file))

    async def _with_upload(self, client: Client, printer: Printer, file: StoredFile) -> Started:
        found = await self._try(client, printer, file)
        if not found.started:
            told = {"file": file.name, "queued": found.queued, "message": found.message}
            self._fleet.happened(printer.id, "print_not_started", told)
        return found

    async def _try(self, client: Client, printer: Printer, file: StoredFile) -> Started:
        if "control" not in client.scopes:
            return Started(False, message="The file is stored; starting a print needs the scope 'control' as well.")
        try:
            await self.now(client, printer, file)
        except NotNow as error:
            queued = "queue" in client.scopes and await self._queued(client, printer, file)
            return Started(False, queued, f"{error.sentence} {_WAITS}" if queued else error.sentence)
        except SdcpdError as error:
            return Started(False, message=error.sentence)
        return Started(True)

    async def _queued(self, client: Client, printer: Printer, file: StoredFile) -> bool:
        try:
            await self.enqueue(client, printer, file, start=True)
        except SdcpdError:
            return False
        return True
