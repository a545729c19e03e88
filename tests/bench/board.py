"""One V1 printer as bytes: what it says of itself, what it answers, and the print it is at.

One decision: a status is a template with a few numbers changed, and only what begins or ends a print makes another
template, so that a hundred printers cost less than the daemon that listens to them.
"""

from __future__ import annotations

import http.client
import json
import socket
import struct
from ipaddress import IPv4Address
from urllib.parse import urlsplit

__all__ = ["Printer", "mainboard_id", "targets"]

_FIRST = int(IPv4Address("127.31.0.1"))
_WIRE_ID = "f25273b12b094c5a8b9513a30ca60049"


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


def _status(printing: str, fetched: str, size: int) -> dict[str, object]:
    """The numbers of eight digits are put into each status anew, those of four are layers."""
    return {
        "CurrentStatus": 1 if printing else 0,
        "PreviousStatus": 0,
        "PrintInfo": {
            "Status": 3 if printing else 0,
            "CurrentLayer": 1111,
            "TotalLayer": 9999,
            "CurrentTicks": 22222222,
            "TotalTicks": 99999999,
            "ErrorNumber": 0,
            "Filename": printing,
        },
        "FileTransferInfo": {
            "Status": 2 if fetched else 0,
            "DownloadOffset": size,
            "CheckOffset": size,
            "FileTotalSize": size,
            "Filename": fetched,
        },
    }


class Printer:
    """One printer: its connection and what it says next."""

    def __init__(self, number: int, printing: str) -> None:
        self.id = mainboard_id(number)
        self.address = _address(number)
        self.socket: socket.socket | None = None
        self.greeted = 0
        self.sent_at = 0.0
        self._rest = b""
        self._packet_id = 0
        self._said = 0
        self._printing = printing
        self._fetched, self._size = "", 0
        self._compose()

    def _compose(self) -> None:
        """What every status has in common until the print or the file is another one."""
        status = _status(self._printing, self._fetched, self._size)
        data = {"Status": status, "MainboardID": self.id, "TimeStamp": 33333333}
        payload = _json({"Id": _WIRE_ID, "Data": data})
        self._buffer = bytearray(_packet(0x32, _text(f"/sdcp/status/{self.id}") + b"\0\0" + payload))
        self._id_at = len(self._buffer) - len(payload) - 2
        self._layer_at = self._buffer.index(b"1111,")
        self._marks = [self._buffer.index(mark) for mark in (b"22222222", b"33333333")]
        self.next_status()

    def next_status(self) -> bytearray:
        """The next status: one layer further."""
        self._said += 1
        self._buffer[self._layer_at : self._layer_at + 4] = b"%d" % (1000 + self._said % 9000)
        number = b"%d" % (10000000 + self._said)
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
                "TimeStamp": self._said,
            },
        }
        topic = _text(f"/sdcp/response/{self.id}")
        out += _packet(0x32, topic + struct.pack(">H", self._packet_id) + _json(answer))
        match wish["Cmd"]:
            case 0:
                out += self.same_status()
            case 128:
                self._printing = wish["Data"]["Filename"]
                self._compose()
                out += self.same_status()
            case 256:
                self._size = self._fetch(wish["Data"]["URL"])
                self._fetched = wish["Data"]["Filename"]
                self._compose()
                out += self.same_status()
            case 512:
                self.greeted |= 2
        return out

    def _fetch(self, url: str) -> int:
        """Fetch the file as a board does, from the broker's address; how many bytes it has."""
        place = urlsplit(url.replace("${ipaddr}", "127.0.0.1"))
        connection = http.client.HTTPConnection("127.0.0.1", place.port, source_address=(self.address, 0), timeout=60)
        connection.request("GET", place.path)
        size = len(connection.getresponse().read())
        connection.close()
        return size

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
        return _json(
            {
                "Id": _WIRE_ID,
                "Data": {"Attributes": attributes, "Status": _status(self._printing, self._fetched, self._size)},
            }
        )
