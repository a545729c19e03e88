"""The transfer machine: what a printer does after it said yes to Cmd 256.

One decision: the whole errand is one coroutine that can be cancelled at any point (power, reboot), and every bad end
is the same exception, so FileTransferInfo.Status 3 is set in exactly one place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from sdcpd.simulator import fault_kinds as kinds
from sdcpd.simulator.download import Fetcher, FetchFailed, Pace, Reply, Request
from sdcpd.simulator.faults import Faults
from sdcpd.simulator.journal import Journal
from sdcpd.simulator.settings import Settings
from sdcpd.simulator.simtime import Alarm, SimTime
from sdcpd.simulator.status import IDLE, PRINTING, TRANSFERRING, PrinterStatus, TransferInfo
from sdcpd.simulator.storage import IncomingFile, Store

__all__ = ["Order", "TransferMachine"]

_REPORT_EVERY = 0.3  # assumed, 8.2: 100 to 500 ms
_REPORT_AT_LEAST = 0.02  # real seconds: a scaled printer must not drown its broker
_BAD_URL_WAIT = 60.0  # assumed, 8.2
_CHECK_RATE = 50_000_000.0  # assumed, Q15
_RETRIES = 3  # assumed, Q12: none but after the fault ``drop``


@dataclass(frozen=True)
class Order:
    """The fields of Cmd 256 that matter, and the address of the broker that sent it."""

    filename: str
    size: int
    md5: str
    url: str
    check: bool
    broker: str

    def request(self, method: str, headers: dict[str, str] | None = None) -> Request:
        """What asks for the file, at port 80 where the URL names none; FetchFailed where it names what is no number."""
        rest = self.url.replace("${ipaddr}", self.broker).removeprefix("http://")
        authority, _, path = rest.partition("/")
        host, _, port = authority.partition(":")
        if not port.isdecimal() and port:
            raise FetchFailed(f"no number for a port in {self.url}")
        return Request(method, host, int(port or 80), "/" + path, headers or {})


class TransferMachine:
    """Fetches one file at a time and writes its course into the printer's status."""

    _log = Logger()

    def __init__(
        self,
        time: SimTime,
        settings: Settings,
        status: PrinterStatus,
        store: Store,
        faults: Faults,
        journal: Journal,
        make_fetcher: Callable[[], Fetcher],
        changed: Callable[[], None],
        cut_link: Callable[[], None],
    ) -> None:
        self._time = time
        self._settings = settings
        self._status = status
        self._store = store
        self._faults = faults
        self._journal = journal
        self._make_fetcher = make_fetcher
        self.order: Order | None = None  # what is being fetched
        self._changed = changed
        self._cut_link = cut_link
        self._errand: Deferred[None] | None = None
        self._report = Alarm(time)
        self._reported = 0

    @property
    def busy(self) -> bool:
        """Whether a transfer is under way."""
        return self._errand is not None

    def begin(self, order: Order) -> None:
        """Fetch a file; the Ack has been given. Nothing happens where something else has begun meanwhile."""
        if self._status.current == PRINTING or self.busy:
            return
        self._show_stale()
        self.order = order
        # FileTransferInfo.Status is 0 until the end: assumed, Q15
        self._status.transfer_info = TransferInfo(file_total_size=order.size, filename=order.filename)
        self._status.enter(TRANSFERRING)
        self._reported = 0
        if self._faults.get(kinds.FastTransfer) is None:
            self._changed()
            self._keep_reporting()
        errand = self._errand = Deferred.fromCoroutine(self._fetch(order))
        errand.addErrback(self._failed, order).addErrback(self._gone).addErrback(self._broken)

    def power_off(self) -> None:
        """Forget everything at once."""
        errand, self._errand, self.order = self._errand, None, None
        self._report.cancel()
        if errand is not None:
            errand.cancel()

    def interrupt(self) -> None:
        """The network is gone: the transfer fails as it stands."""
        errand, self._errand = self._errand, None
        if errand is not None:
            errand.cancel()
            self._journal.note("transfer-failed", reason="the network is gone")
            self._end(3)

    def _show_stale(self) -> None:
        stale = self._faults.take(kinds.StaleTransfer)
        if stale is not None:
            info = self._status.transfer_info
            info.status, info.filename = 2, info.filename or stale.filename
            info.file_total_size = info.download_offset = info.file_total_size or 1_000_000
            self._changed()

    async def _fetch(self, order: Order) -> None:
        if " " in order.url or not order.url.isascii():
            await self._time.sleep(_BAD_URL_WAIT)  # S3U: never asks for such a URL
            raise FetchFailed("the URL has a blank or is not ASCII")
        habit = self._faults.take(kinds.HttpHabit)
        kind = habit.kind if habit is not None else ""
        if kind == "never":
            await self._time.sleep(_BAD_URL_WAIT)
            raise FetchFailed("the file was never asked for")
        if kind == "garbage":
            await self._ask("get me", order, _ignore)
            raise FetchFailed("asked in garbage")
        if kind != "get-only":
            self._check_head(await self._ask("HEAD", order, _ignore), order)
        if kind == "head-only":
            await self._time.sleep(_BAD_URL_WAIT)
            raise FetchFailed("only HEAD was asked for")
        if kind == "get-twice":
            await self._ask("GET", order, _ignore)
        if not self._store.has_room(order.filename, order.size) or self._fails("full"):
            raise FetchFailed("no room left")  # assumed, Q14: seen after HEAD, told as any failure
        incoming = self._store.receive(order.filename)
        try:
            await self._body(order, incoming, ranged=kind == "range")
            await self._check(order, incoming)
        except BaseException:
            incoming.discard()
            raise
        self._store.keep(incoming)
        self._end(2)

    async def _body(self, order: Order, incoming: IncomingFile, ranged: bool) -> None:
        for _ in range(_RETRIES):
            drop = self._faults.take(kinds.DropTransfer)
            sink = self._sink(order, incoming, drop)
            offset = f"bytes={incoming.size}-"
            try:
                reply = await self._ask("GET", order, sink, {"Range": offset} if ranged else {})
            except _Dropped:
                if drop is None or drop.retry == "never":
                    raise
                await self._time.sleep(drop.pause)
                ranged = drop.retry == "range"
                if not ranged:
                    incoming.restart()
                    self._status.transfer_info.download_offset = 0
                    self._reported = 0
                continue
            if reply.status == 200 and ranged and incoming.size > order.size:
                raise FetchFailed("Range was not honoured")
            if incoming.size != order.size or self._fails("size"):
                raise FetchFailed(f"{incoming.size} bytes came, {order.size} were announced")
            return
        raise FetchFailed("too many attempts")

    async def _check(self, order: Order, incoming: IncomingFile) -> None:
        if order.check:
            for part in range(1, 11):
                await self._time.sleep(order.size / _CHECK_RATE / 10)
                self._status.transfer_info.check_offset = order.size * part // 10
        differs = incoming.md5 != order.md5
        if differs:
            self._journal.violation("md5", f"MD5 of {order.filename} is {incoming.md5}, announced {order.md5}")
        if (differs and order.check) or self._fails("md5"):  # assumed, Q11: only Check 1 compares
            raise FetchFailed("the MD5 differs")
        if self._fails("status"):
            raise FetchFailed("as injected")

    async def _ask(
        self, method: str, order: Order, sink: Callable[[bytes], None], headers: dict[str, str] | None = None
    ) -> Reply:
        request = order.request(method, headers)
        slow = self._faults.get(kinds.SlowReader)
        pace = Pace(self._time, slow.rate / self._time.scale if slow is not None else self._settings.rate)
        self._pace = pace
        self._journal.note("http", method=method, url=order.url, range=request.headers.get("Range", ""))
        reply = await self._make_fetcher().fetch(request, pace, sink)
        self._journal.note(
            "http-reply", method=method, status=reply.status, length=reply.length, received=reply.received
        )
        if reply.chunked:
            self._journal.violation("chunked", f"{method} was answered with chunked transfer coding")
            raise FetchFailed("the reply is chunked")
        if reply.status not in (200, 206):  # assumed, Q12: nor is a redirect followed
            raise FetchFailed(f"{method} was answered with {reply.status}")
        if method == "GET" and reply.status == 200:
            self._check_length(reply, order)
        return reply

    def _check_head(self, reply: Reply, order: Order) -> None:
        if reply.length not in (order.size, None, 0):  # an empty HEAD is known to work
            self._journal.violation("head-length", f"HEAD says {reply.length} bytes, Cmd 256 {order.size}")

    def _check_length(self, reply: Reply, order: Order) -> None:
        if reply.length is None:
            self._journal.violation("no-length", "GET was answered without Content-Length")
        elif reply.length != order.size:
            self._journal.violation("file-size", f"Content-Length is {reply.length}, FileSize {order.size}")
            raise FetchFailed("Content-Length is not FileSize")

    def _sink(self, order: Order, incoming: IncomingFile, drop: kinds.DropTransfer | None) -> Callable[[bytes], None]:
        cut_at = round(drop.at * order.size) if drop is not None else None

        def take(data: bytes) -> None:
            if cut_at is not None and incoming.size + len(data) >= cut_at:
                data = data[: max(cut_at - incoming.size, 0)]
            incoming.write(data)
            self._status.transfer_info.download_offset = min(incoming.size, order.size)
            self._witness(order, incoming.size)
            if cut_at is not None and incoming.size >= cut_at and drop is not None:
                self._journal.note("dropped", offset=incoming.size)
                if drop.link == "cut":
                    self._cut_link()
                raise _Dropped(f"dropped at {incoming.size} bytes")

        return take

    def _witness(self, order: Order, size: int) -> None:
        lost = self._faults.get(kinds.LinkLostInTransfer)
        if lost is not None and size >= lost.at * order.size:
            self._faults.take(kinds.LinkLostInTransfer)
            self._cut_link()
        stalled = self._faults.get(kinds.StalledReader)
        if stalled is not None and size >= stalled.at * order.size:
            self._faults.take(kinds.StalledReader)
            self._pace.stall(stalled.seconds)

    def _fails(self, how: str) -> bool:
        fault = self._faults.get(kinds.TransferFails)
        return fault is not None and fault.how == how and self._faults.take(kinds.TransferFails) is not None

    def _keep_reporting(self) -> None:
        self._report.set(max(_REPORT_EVERY, _REPORT_AT_LEAST * self._time.scale), self._report_progress)

    def _report_progress(self) -> None:
        info = self._status.transfer_info
        done = info.download_offset + info.check_offset
        if done != self._reported:
            self._reported = done
            self._changed()
        self._keep_reporting()

    def _failed(self, failure: Failure, order: Order) -> None:
        failure.trap(FetchFailed)
        self._journal.note("transfer-failed", filename=order.filename, reason=failure.getErrorMessage())
        self._end(3)

    def _gone(self, failure: Failure) -> None:
        failure.trap(CancelledError)

    def _broken(self, failure: Failure) -> None:
        self._log.failure("a transfer broke", failure)
        self._end(3)

    def _end(self, result: int) -> None:
        self._errand = self.order = None
        self._report.cancel()
        self._status.transfer_info.status = result
        self._status.enter(IDLE)
        self._changed()


class _Dropped(FetchFailed):
    """The fault ``drop`` struck."""


def _ignore(data: bytes) -> None:
    """Let it pass."""
