"""Requests as they arrive, and whether the daemon wrote them as the reference says.

One decision: the printer obeys what it can read and this module judges it beside that, so a breach of the protocol
shows in the journal and changes nothing in the printer's behaviour.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from sdcpd.simulator.journal import Journal
from sdcpd.simulator.status import JsonObject

__all__ = ["V1_COMMANDS", "Delivery", "Incoming", "Judge", "parse"]

V1_COMMANDS = frozenset({0, 1, 64, 128, 129, 130, 131, 256, 512})
_REPEATABLE = frozenset({0, 1, 512})

_URL = re.compile(r"http://([^/:]+):(\d+)/([0-9A-Za-z_\-./]+)\.(goo|ctb)")
_MD5 = re.compile(r"[0-9a-f]{32}")
_KEYS: dict[int, dict[str, type]] = {
    128: {"Filename": str, "StartLayer": int},
    256: {
        "Check": int,
        "CleanCache": int,
        "Compress": int,
        "FileSize": int,
        "Filename": str,
        "MD5": str,
        "URL": str,
    },
    512: {"TimePeriod": int},
}


@dataclass(frozen=True)
class Delivery:
    """How MQTT brought a payload."""

    topic: str
    payload: bytes
    qos: int = 0
    packet_id: int = 0
    dup: bool = False
    subscribed: bool = True  # whether SUBSCRIBE had been acknowledged


@dataclass(frozen=True)
class Incoming:
    """A request that could be read."""

    cmd: int
    data: JsonObject
    request_id: Any
    mainboard_id: Any
    id: Any
    raw: JsonObject


def parse(payload: bytes) -> Incoming | None:
    """The request in a payload, or None where there is none."""
    try:
        message = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    envelope = message.get("Data") if isinstance(message, dict) else None
    if not isinstance(envelope, dict) or type(envelope.get("Cmd")) is not int:
        return None
    data = envelope.get("Data")
    return Incoming(
        cmd=envelope["Cmd"],
        data=data if isinstance(data, dict) else {},
        request_id=envelope.get("RequestID"),
        mainboard_id=envelope.get("MainboardID"),
        id=message.get("Id"),
        raw=message,
    )


class Judge:
    """Records what is wrong with the requests to one printer."""

    def __init__(self, journal: Journal, mainboard_id: str) -> None:
        self._journal = journal
        self._mainboard_id = mainboard_id
        self._request_ids: set[str] = set()

    def delivery(self, delivery: Delivery) -> None:
        """Judge the PUBLISH."""
        wrong = self._journal.violation
        if delivery.topic != f"/sdcp/request/{self._mainboard_id}":
            wrong("topic", f"a message on {delivery.topic!r}")
        if delivery.qos > 0 and delivery.packet_id == 0:
            wrong("packet-id-zero", "a PUBLISH with packet identifier 0")
        if delivery.qos == 2:
            wrong("qos", "a PUBLISH with QoS 2, the printer asked for 1")
        if delivery.qos == 0 and not delivery.payload.startswith(b"{"):
            wrong("qos0-packet-id", "a PUBLISH of QoS 0 that carries a packet identifier, or no JSON object")
        if not delivery.subscribed:
            wrong("before-suback", "a request before SUBSCRIBE was acknowledged")

    def unreadable(self, payload: bytes) -> None:
        """Judge what is no request."""
        self._journal.violation("malformed", f"no request: {payload[:80]!r}")

    def request(self, request: Incoming, announced_id: str, dup: bool) -> None:
        """Judge the message."""
        wrong = self._journal.violation
        if request.cmd not in V1_COMMANDS:
            wrong("unlisted-command", f"Cmd {request.cmd} is not in the table of V1")
        if request.mainboard_id != self._mainboard_id:
            wrong("mainboard-id", f"MainboardID {request.mainboard_id!r}, this is {self._mainboard_id}")
        if request.id != announced_id:
            wrong("id", f"Id {request.id!r}, announced was {announced_id}")
        self._request_id(request, dup)
        envelope = request.raw["Data"]
        for key in ("TimeStamp", "From"):
            if type(envelope.get(key)) is not int:
                wrong("missing-key", f"{key} of Cmd {request.cmd} is {envelope.get(key)!r}")
        for key, kind in _KEYS.get(request.cmd, {}).items():
            if type(request.data.get(key)) is not kind:
                wrong("missing-key", f"{key} of Cmd {request.cmd} is {request.data.get(key)!r}")
        if request.cmd == 256:
            self._fetch(request.data)

    def start_while_printing(self, filename: object) -> None:
        """Judge a second start."""
        self._journal.violation("start-while-printing", f"Cmd 128 for {filename!r} during a print")

    def _request_id(self, request: Incoming, dup: bool) -> None:
        wrong = self._journal.violation
        if not isinstance(request.request_id, str) or not request.request_id:
            wrong("request-id-missing", f"RequestID of Cmd {request.cmd} is {request.request_id!r}")
            return
        seen = self._journal.counts.request_ids
        if request.cmd == 128 and seen[128, request.request_id] > 1:
            wrong("start-repeated", f"Cmd 128 came again with RequestID {request.request_id}")
            return
        if request.request_id in self._request_ids and not (dup and request.cmd in _REPEATABLE):
            wrong("request-id-reused", f"RequestID {request.request_id} of Cmd {request.cmd} came before")
        self._request_ids.add(request.request_id)

    def _fetch(self, data: JsonObject) -> None:
        wrong = self._journal.violation
        url, md5, name, size = (data.get(key) for key in ("URL", "MD5", "Filename", "FileSize"))
        if isinstance(url, str):
            shape = _URL.fullmatch(url)
            if shape is None:
                wrong("url", f"URL {url!r} is not http://${{ipaddr}}:PORT/PATH.goo or .ctb")
            elif shape[1] != "${ipaddr}":
                wrong("url-host", f"URL {url!r} names a host instead of ${{ipaddr}}")
            elif isinstance(name, str) and not name.lower().endswith("." + shape[4]):
                wrong("url", f"URL {url!r} has another extension than {name!r}")
        if isinstance(md5, str) and not _MD5.fullmatch(md5):
            wrong("md5-shape", f"MD5 {md5!r} is not 32 lower-case hex digits")
        if type(size) is int and size <= 0:
            wrong("file-size", f"FileSize {size}")
