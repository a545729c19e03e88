"""How a stored file gets onto a printer in this dialect: now, or by the queue.

One decision: the door, the gate and the queue are those of the native API; this module only chooses between them. A
start that was asked for by itself is refused if it cannot be now. One that came with an upload waits, where it may:
the file is here, and the slicer that sent it will not ask again (reference apis.md 5.5, 7).
"""

from __future__ import annotations

from twisted.internet.defer import Deferred

from sdcpd.errors import NotNow, SdcpdError
from sdcpd.files import StoredFile
from sdcpd.fleet import Fleet
from sdcpd.jobs import Wish
from sdcpd.judging import Gate
from sdcpd.orders import Orders
from sdcpd.plate import PlateNotClear
from sdcpd.progress import Job
from sdcpd.web.moonraker.endpoint import Ask

__all__ = ["Starts"]


class Starts:
    """Over the door through which files go to printers."""

    def __init__(self, fleet: Fleet, orders: Orders) -> None:
        self._fleet = fleet
        self._orders = orders

    def gate(self, ask: Ask) -> Gate:
        """What a file must suit to be printed on the printer."""
        return Gate((known for known in self._fleet if ask.client.sees(known.id)), ask.printer)

    def now(self, ask: Ask, file: StoredFile) -> Deferred[Job]:
        """Deliver and start; fires when the job is safe. Fails as ``Orders.print``."""
        return self._orders.print(ask.printer.id, file.name, Wish(ask.client.name), ask.client.sees)

    def enqueue(self, ask: Ask, file: StoredFile, *, start: bool) -> Deferred[Job]:
        """Let a file wait for its turn on the printer. Fails as ``Orders.enqueue``."""
        wish = Wish(ask.client.name, start=start)
        return self._orders.enqueue(ask.printer.id, file.name, wish, ask.client.sees)

    async def with_upload(self, ask: Ask, file: StoredFile) -> tuple[bool, bool, str]:
        """Whether the print was started, whether it waits in the queue, and why it was not started."""
        if "control" not in ask.client.scopes:
            return False, False, "The file is stored; starting a print needs the scope 'control' as well."
        try:
            await self.now(ask, file)
        except (PlateNotClear, NotNow) as error:
            message = f"{error.message} {error.hint}".strip()
            return False, "queue" in ask.client.scopes and await self._queued(ask, file), message
        except SdcpdError as error:
            return False, False, f"{error.message} {error.hint}".strip()
        return True, False, ""

    async def _queued(self, ask: Ask, file: StoredFile) -> bool:
        try:
            await self.enqueue(ask, file, start=True)
        except SdcpdError:
            return False
        return True
