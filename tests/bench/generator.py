"""Many V1 printers in one process, as bytes: what loads the broker without being the bottleneck itself.

One decision: lighter than the simulator, but the same bytes on the wire. Each printer answers discovery and dials
in from an address of its own, since the daemon binds a MainboardID to the address it was seen at; a status is a
template with a few numbers changed, and PUBACKs are recognised without a parser.

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
from ipaddress import IPv4Address
from typing import Any

__all__ = ["mainboard_id", "targets"]

_FIRST = int(IPv4Address("127.31.0.1"))
_IP_PKTINFO = getattr(socket, "IP_PKTINFO", 8)
_WIRE_ID = "f25273b12b094c5a8b9513a30ca60049"
_HUM = 4.0
"""Seconds between two repetitions of the last status while nothing else is ordered: below the silence limit."""


def mainboard_id(number: int) -> str:
    """The MainboardID of this printer."""
    return f"0001D2AB{number:08X}"


def targets(count: int, port: int) -> list[str]:
    """``[discovery] targets`` that reach so many printers."""
    prefix = 32 - (count + 1).bit_length()
    return [f"{IPv4Address(_FIRST - 1)}/{min(prefix, 30)}:{port}"]


def _address(number: int) -> str:
    return str(IPv4Address(_FIRST + number))


def _packet(first: int, body: bytes) -> bytes:
    size, left = b"", len(body)
    while True:
        left, low = divmod(left, 128)
        size += bytes((low | (0x80 if left else 0),))
        if not left:
            return bytes((first,)) + size + body


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack(">H", len(encoded)) + encoded


def _json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _status(layer: object, ticks: object) -> dict[str, object]:
    return {
        "CurrentStatus": 1,
        "PreviousStatus": 0,
        "PrintInfo": {
            "Status": 3,
            "CurrentLayer": layer,
            "TotalLayer": 90000000,
            "CurrentTicks": ticks,
            "TotalTicks": 99999999,
            "ErrorNumber": 0,
            "Filename": "bench_plate_with_nine_parts.goo",
        },
        "FileTransferInfo": dict.fromkeys(("Status", "DownloadOffset", "CheckOffset", "FileTotalSize"), 0)
        | {"Filename": ""},
    }


class Printer:
    """One printer: its connection and what it says next."""

    def __init__(self, number: int) -> None:
        self.id = mainboard_id(number)
        self.address = _address(number)
        self.socket: socket.socket | None = None
        self.greeted = 0
        self.sent_at = 0.0
        self._rest = b""
        self._packet_id = 0
        self._layer = 10000000
        topic = _text(f"/sdcp/status/{self.id}")
        payload = _json(
            {
                "Id": _WIRE_ID,
                "Data": {"Status": _status(11111111, 22222222), "MainboardID": self.id, "TimeStamp": 33333333},
            }
        )
        marks = (b"11111111", b"22222222", b"33333333")
        self._status = _packet(0x32, topic + b"\0\0" + payload)
        self._id_at = len(self._status) - len(payload) - 2
        self._marks = [self._status.index(mark) for mark in marks]
        self._buffer = bytearray(self._status)

    def next_status(self) -> bytearray:
        """The next status: one layer further."""
        self._layer += 1
        number = b"%d" % self._layer
        for at in self._marks:
            self._buffer[at : at + 8] = number
        return self.same_status()

    def same_status(self) -> bytearray:
        """The last status again, which is news to nobody."""
        packet_id = self._packet_id = self._packet_id % 65535 + 1
        self._buffer[self._id_at] = packet_id >> 8
        self._buffer[self._id_at + 1] = packet_id & 0xFF
        return self._buffer

    def connect(self, port: int) -> socket.socket:
        """Dial in and say CONNECT."""
        dialling = socket.socket()
        dialling.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        dialling.bind((self.address, 0))
        dialling.connect(("127.0.0.1", port))
        dialling.setblocking(False)
        dialling.send(_packet(0x10, _text("MQTT") + b"\x04\x02\x00\x3c" + _text(self.id)))
        self.socket, self._rest, self.greeted = dialling, b"", 0
        return dialling

    def answers(self, data: bytes) -> tuple[bytes, int]:
        """What to write after having read ``data``, and how many PUBACKs were in it."""
        self._rest += data
        out, acks = b"", 0
        while len(self._rest) >= 2:
            size, at = self._rest[1] & 0x7F, 2
            if self._rest[1] & 0x80:
                if len(self._rest) < 3:
                    break
                size, at = size | self._rest[2] << 7, 3
            if len(self._rest) < at + size:
                break
            first, body = self._rest[0], self._rest[at : at + size]
            self._rest = self._rest[at + size :]
            if first == 0x40:
                acks += 1
            elif first == 0x20:
                out += _packet(0x82, b"\0\1" + _text(f"/sdcp/request/{self.id}") + b"\1")
            elif first == 0x90:
                self.greeted |= 1
            elif first & 0xF0 == 0x30:
                out += self._answer(first, body)
        return out, acks

    def _answer(self, first: int, body: bytes) -> bytes:
        at = 2 + int.from_bytes(body[:2], "big")
        out = b""
        if first & 0x06:
            out, at = b"\x40\x02" + body[at : at + 2], at + 2
        wish = json.loads(body[at:])["Data"]
        self._packet_id = self._packet_id % 65535 + 1
        answer = {
            "Id": _WIRE_ID,
            "Data": {
                "Cmd": wish["Cmd"],
                "Data": {"Ack": 0},
                "RequestID": wish["RequestID"],
                "MainboardID": self.id,
                "TimeStamp": self._layer,
            },
        }
        topic = _text(f"/sdcp/response/{self.id}")
        out += _packet(0x32, topic + struct.pack(">H", self._packet_id) + _json(answer))
        if wish["Cmd"] == 0:
            out += self.same_status()
        elif wish["Cmd"] == 512:
            self.greeted |= 2
        return out

    def announcement(self) -> bytes:
        """The discovery reply (sdcp.md 1.2)."""
        attributes = {
            "Name": f"Bench {self.id[-4:]}",
            "MachineName": "ELEGOO Saturn 3 Ultra",
            "ProtocolVersion": "V1.0.0",
            "FirmwareVersion": "V1.4.2",
            "Resolution": "11520x5120",
            "MainboardIP": self.address,
            "MainboardID": self.id,
            "SDCPStatus": 0,
            "LocalSDCPAddress": "",
            "SDCPAddress": "",
            "Capabilities": ["FILE_TRANSFER", "PRINT_CONTROL"],
        }
        return _json({"Id": _WIRE_ID, "Data": {"Attributes": attributes, "Status": _status(self._layer, 1)}})


class Farm:
    """All printers, one epoll."""

    def __init__(self, count: int, port: int) -> None:
        self._printers = [Printer(number) for number in range(count)]
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
        while time.perf_counter() < start + seconds:
            self._turn(0.05)
        self._looping = False


def _main() -> None:
    parser = argparse.ArgumentParser(description="V1 printers as a load.")
    parser.add_argument("count", type=int)
    parser.add_argument("--connect", type=int, default=0, help="dial this port at once, without discovery")
    options = parser.parse_args()
    Farm(options.count, options.connect).run()


if __name__ == "__main__":
    _main()
