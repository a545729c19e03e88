"""Many V1 printers in one process, as bytes: what loads the broker without being the bottleneck itself.

One decision: lighter than the simulator, but the same bytes on the wire. Each printer (``board``) answers discovery
and dials in from an address of its own, since the daemon binds a MainboardID to the address it was seen at; PUBACKs
are recognised without a parser.

Orders come as lines of JSON on standard input; each is answered by one line when it is done:
``ready``, ``pace``, ``loop``, ``publish``, ``hum``.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Mapping
from typing import Any

from tests.bench.board import Printer

__all__: list[str] = []

_IP_PKTINFO = getattr(socket, "IP_PKTINFO", 8)
_HUM = 4.0
"""Seconds between two repetitions of the last status while nothing else is ordered: below the silence limit."""
_LATE = 60.0
"""Seconds that are waited longer for the first acknowledgement: others may have had the machine all the time."""


class Farm:
    """All printers, one epoll."""

    def __init__(self, count: int, port: int, printing: str) -> None:
        self._printers = [Printer(number, printing) for number in range(count)]
        self._by_address = {printer.address: printer for printer in self._printers}
        self._by_descriptor: dict[int, Printer] = {}
        self._poll = select.epoll()
        self._udp: socket.socket | None = None
        self._orders = b""
        self._acked = 0
        self._waits: list[float] = []
        self._looping = False
        self._hummed: float | None = time.monotonic()
        self._full = 3 if not port else 1
        self._poll.register(0, select.EPOLLIN)
        if port:
            for printer in self._printers:
                self._dial(printer, port)
        else:
            self._listen()

    def _listen(self) -> None:
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        self._udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._udp.bind(("0.0.0.0", 0))
        self._udp.setblocking(False)
        self._poll.register(self._udp, select.EPOLLIN)
        self._say(port=self._udp.getsockname()[1])

    @staticmethod
    def _say(**answer: Any) -> None:
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()

    def _dial(self, printer: Printer, port: int) -> None:
        if printer.socket is not None:
            self._hang_up(printer)
        dialled = printer.connect(port)
        self._by_descriptor[dialled.fileno()] = printer
        self._poll.register(dialled, select.EPOLLIN)

    def _hang_up(self, printer: Printer) -> None:
        if printer.socket is not None:
            del self._by_descriptor[printer.socket.fileno()]
            printer.socket.close()
            printer.socket = None

    def run(self) -> None:
        """Serve until standard input ends."""
        while True:
            self._turn(0.25)
            if self._hummed is not None and time.monotonic() - self._hummed > _HUM:
                self._hummed = time.monotonic()
                for printer in self._printers:
                    if printer.socket is not None and printer.greeted:
                        printer.socket.send(printer.same_status())
            while b"\n" in self._orders:
                line, _, self._orders = self._orders.partition(b"\n")
                self._obey(json.loads(line))

    def _turn(self, timeout: float) -> None:
        for descriptor, _ in self._poll.poll(timeout):
            printer = self._by_descriptor.get(descriptor)
            if printer is not None:
                self._readable(printer)
            elif descriptor == 0:
                piece = os.read(0, 65536)
                if not piece:
                    raise SystemExit
                self._orders += piece
            else:
                self._datagrams()

    def _readable(self, printer: Printer) -> None:
        assert printer.socket is not None
        try:
            data = printer.socket.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            self._hang_up(printer)
            return
        if len(data) == 4 and data[0] == 0x40:
            acks = 1
        else:
            out, acks = printer.answers(data)
            if out:
                printer.socket.send(out)
        if acks and printer.sent_at:
            self._acked += 1
            self._waits.append(time.perf_counter() - printer.sent_at)
            printer.sent_at = 0.0
            if self._looping:
                self._send(printer)

    def _send(self, printer: Printer) -> None:
        if printer.socket is not None:
            printer.sent_at = time.perf_counter()
            printer.socket.send(printer.next_status())

    def _datagrams(self) -> None:
        assert self._udp is not None
        while True:
            try:
                datagram, ancillary, _, peer = self._udp.recvmsg(2048, 64)
            except BlockingIOError:
                return
            ours = socket.inet_ntoa(ancillary[0][2][4:8])
            printer = self._by_address.get(ours)
            if printer is None:
                continue
            if datagram == b"M99999":
                source = struct.pack("=I4s4s", 0, socket.inet_aton(ours), b"\0\0\0\0")
                self._udp.sendmsg(
                    [printer.announcement()], [(socket.IPPROTO_IP, _IP_PKTINFO, source)], 0, (peer[0], peer[1])
                )
            elif datagram.startswith(b"M66666 ") and printer.socket is None:
                self._dial(printer, int(datagram[7:]))

    # -- orders ----------------------------------------------------------------------------------------------

    def _obey(self, order: Mapping[str, Any]) -> None:
        match order["do"]:
            case "ready":
                self._say(**self._ready(float(order["seconds"])))
            case "pace":
                self._say(**self._measured(self._pace, float(order["seconds"])))
            case "loop":
                self._say(**self._measured(self._loop, float(order["seconds"])))
            case "publish":
                printer = self._printers[0]
                at = time.monotonic()
                self._send(printer)
                self._say(at=at)
            case "hum":
                self._hummed = time.monotonic() if order["on"] else None
                self._say(on=order["on"])

    def _ready(self, seconds: float) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            ready = sum(printer.greeted & self._full == self._full for printer in self._printers)
            if ready == len(self._printers):
                break
            self._turn(0.02)
        return {"ready": ready}

    def _measured(self, work: Any, seconds: float) -> dict[str, Any]:
        self._acked, self._waits = 0, []
        cpu, start = time.process_time(), time.perf_counter()
        work(start, seconds)
        took = time.perf_counter() - start
        used, acked = (time.process_time() - cpu) / took, self._acked
        late = time.perf_counter() + 2.0  # what is still on its way counts for nothing and disturbs nobody
        while any(p.sent_at for p in self._printers if p.socket is not None) and time.perf_counter() < late:
            self._turn(0.02)
        waits = sorted(self._waits) or [0.0]
        return {
            "acked": acked,
            "seconds": took,
            "p99": waits[len(waits) * 99 // 100],
            "cpu": used,
            "connected": len(self._by_descriptor),
        }

    def _pace(self, start: float, seconds: float) -> None:
        count = len(self._printers)
        for number in range(int(count * seconds)):
            due = start + number / count
            while (left := due - time.perf_counter()) > 0:
                self._turn(left)
            self._send(self._printers[number % count])
        while time.perf_counter() < start + seconds:
            self._turn(0.01)

    def _loop(self, start: float, seconds: float) -> None:
        self._looping = True
        for printer in self._printers:
            self._send(printer)
        late = start + seconds + _LATE
        while (now := time.perf_counter()) < start + seconds or (not self._acked and now < late):
            self._turn(0.05)
        self._looping = False


def _main() -> None:
    parser = argparse.ArgumentParser(description="V1 printers as a load.")
    parser.add_argument("count", type=int)
    parser.add_argument("--connect", type=int, default=0, help="dial this port at once, without discovery")
    parser.add_argument("--printing", default="bench_plate_with_nine_parts.goo", help="empty: idle until it is told")
    options = parser.parse_args()
    Farm(options.count, options.connect, options.printing).run()


if __name__ == "__main__":
    _main()
