"""SDCP on the wire: datagrams and JSON messages in, values out; wishes in, bytes out.

One decision: reading is tolerant and writing is strict. Any key may be missing, any value odd, and the message
still counts for what it says; but only a listed ``Command`` can ever be written, because unknown commands and
shapes crash some firmware in the middle of a print (reference sdcp.md, 5.3).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import IntEnum

import msgspec
from msgspec import Struct

from sdcpd.codec.status import Generation, Status, bounded, status_from
from sdcpd.errors import MalformedMessage

__all__ = [
    "CHANGING",
    "PROBE",
    "Announcement",
    "AttributesReport",
    "Command",
    "Message",
    "Notice",
    "Response",
    "StatusReport",
    "ack_text",
    "decode_message",
    "encode_request",
    "invitation",
    "parse_announcement",
    "parse_topic",
    "request_topic",
]

PROBE = b"M99999"
"""The discovery probe: six ASCII bytes (sdcp.md 1.1)."""

_MAINBOARD_ID = re.compile(r"[0-9A-Za-z._-]{1,64}")
_RESOLUTION = re.compile(r"\s*(\d{1,6})\s*[xX]\s*(\d{1,6})\s*")
_TEXT_LIMIT = 256


class Command(IntEnum):
    """The V1 commands (sdcp.md 2.5). Nothing else is ever sent."""

    STATUS = 0
    ATTRIBUTES = 1
    DISCONNECT = 64
    START = 128
    PAUSE = 129
    STOP = 130
    RESUME = 131
    FETCH = 256
    PERIOD = 512


CHANGING = frozenset({Command.START, Command.PAUSE, Command.STOP, Command.RESUME, Command.FETCH})
"""Commands that change what the machine does: one in flight per printer, never repeated blindly."""

_ACKS: Mapping[Command, Mapping[int, str]] = {
    Command.START: {
        1: "the printer is busy",
        2: "the printer does not have the file",
        3: "the printer found another MD5 than announced",
        4: "the printer cannot read the file",
        5: "the file does not fit this printer",
        6: "the file does not fit this printer",
        7: "the file does not fit this printer",
    },
}


class Announcement(Struct, frozen=True):
    """What one discovery reply tells (sdcp.md 1.2, 1.3). Only ``mainboard_id`` is always there."""

    mainboard_id: str
    """As the board spells it: the key of everything, case-sensitive on the wire."""
    wire_id: str = ""
    """The ``Id`` that every later message to this printer repeats."""
    name: str = ""
    machine_name: str = ""
    protocol: str = ""
    firmware: str = ""
    resolution: tuple[int, int] | None = None
    mainboard_ip: str = ""
    sdcp_status: int = 0
    local_sdcp_address: str = ""
    sdcp_address: str = ""
    capabilities: tuple[str, ...] = ()
    generation: Generation = Generation.UNKNOWN
    status: Status | None = None


class Response(Struct, frozen=True):
    """The answer to a request. ``ack`` is None when the board sent none or no number."""

    request_id: str
    command: int | None
    ack: int | None
    data: Mapping[str, object]
    wire_id: str


class StatusReport(Struct, frozen=True):
    """A pushed status. ``uptime`` is the board's ``TimeStamp``: milliseconds since its start on V1."""

    status: Status
    uptime: int | None
    wire_id: str


class AttributesReport(Struct, frozen=True):
    """A message on the attributes topic, which on V1 carries a status or nothing (sdcp.md 2.7)."""

    status: Status | None
    wire_id: str


class Notice(Struct, frozen=True):
    """A message on ``error``, ``notice`` or a topic nobody knows: kept for the log."""

    kind: str
    data: Mapping[str, object]
    wire_id: str


Message = Response | StatusReport | AttributesReport | Notice
"""Whatever a printer can say on its topics."""


def invitation(port: int) -> bytes:
    """The datagram that asks a V1 board to dial the sender's address at ``port`` (sdcp.md 1.7)."""
    if not 0 < port < 65536:
        raise ValueError(f"a TCP port is 1 to 65535, not {port}")
    return b"M66666 %d" % port


def request_topic(mainboard_id: str) -> str:
    """The topic on which a board listens for requests (sdcp.md 2.4)."""
    return f"/sdcp/request/{mainboard_id}"


def parse_topic(topic: str) -> tuple[str, str]:
    """``(kind, mainboard_id)`` of an SDCP topic, with or without the leading slash.

    Raises ``MalformedMessage`` for any other topic.
    """
    parts = topic.removeprefix("/").split("/")
    if len(parts) != 3 or parts[0] != "sdcp" or not parts[2]:
        raise MalformedMessage(f"expected a topic /sdcp/<kind>/<MainboardID>, found {topic[:100]!r}")
    return parts[1], parts[2]


def _object(payload: bytes) -> dict[str, object]:
    try:
        found = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedMessage(f"expected a JSON object, found {payload[:40]!r}: {error}") from error
    if not isinstance(found, dict):
        raise MalformedMessage(f"expected a JSON object, found {type(found).__name__}")
    return found


def _part(found: Mapping[str, object], key: str) -> dict[str, object] | None:
    value = found.get(key)
    return value if isinstance(value, dict) else None


def _text(found: Mapping[str, object], key: str) -> str:
    value = found.get(key)
    return value[:_TEXT_LIMIT] if isinstance(value, str) else ""


def _integer(value: object) -> int | None:
    """A whole number, also as a text; half a number or a truth value must not become an Ack of 0."""
    if isinstance(value, str):
        try:
            value = int(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**63:
        return None
    return int(value) if value == int(value) else None


def _kept(found: Mapping[str, object]) -> dict[str, object]:
    kept = bounded(found)
    return kept if isinstance(kept, dict) else {}


def parse_announcement(datagram: bytes) -> Announcement:
    """Read a discovery reply, nested (V1, and V3 behind proxies) or flat (V3).

    Raises ``MalformedMessage`` for everything else that arrives on that port: our own echo, the text answer of
    old ChiTu boards, truncated JSON.
    """
    found = _object(datagram)
    data = _part(found, "Data")
    if data is None:
        raise MalformedMessage("expected a discovery reply with an object Data, found none")
    nested = _part(data, "Attributes")
    attributes = data if nested is None else nested
    mainboard_id = attributes.get("MainboardID")
    if not isinstance(mainboard_id, str) or not _MAINBOARD_ID.fullmatch(mainboard_id):
        shown = repr(mainboard_id[:80]) if isinstance(mainboard_id, str) else type(mainboard_id).__name__
        raise MalformedMessage(f"expected a MainboardID, found {shown}")
    protocol = _text(attributes, "ProtocolVersion")
    match = _RESOLUTION.fullmatch(_text(attributes, "Resolution"))
    capabilities = attributes.get("Capabilities")
    status = _part(data, "Status")
    return Announcement(
        mainboard_id=mainboard_id,
        wire_id=_text(found, "Id"),
        name=_text(attributes, "Name"),
        machine_name=_text(attributes, "MachineName"),
        protocol=protocol,
        firmware=_text(attributes, "FirmwareVersion"),
        resolution=(int(match[1]), int(match[2])) if match else None,
        mainboard_ip=_text(attributes, "MainboardIP"),
        sdcp_status=_integer(attributes.get("SDCPStatus")) or 0,
        local_sdcp_address=_text(attributes, "LocalSDCPAddress"),
        sdcp_address=_text(attributes, "SDCPAddress"),
        capabilities=tuple(c[:_TEXT_LIMIT] for c in capabilities[:32] if isinstance(c, str))
        if isinstance(capabilities, list)
        else (),
        generation=_generation(protocol, nested is not None),
        status=status_from(status) if status is not None else None,
    )


def _generation(protocol: str, nested: bool) -> Generation:
    if not protocol:
        return Generation.V1 if nested else Generation.V3
    if protocol.startswith("V1"):
        return Generation.V1
    if protocol.startswith("V3"):
        return Generation.V3
    return Generation.UNKNOWN


def decode_message(kind: str, payload: bytes) -> Message:
    """Read one message of a printer; ``kind`` is the topic's middle word.

    Raises ``MalformedMessage`` if the payload is no JSON object.
    """
    found = _object(payload)
    wire_id = _text(found, "Id")
    data = _part(found, "Data") or {}
    if kind == "response":
        inner = _part(data, "Data") or {}
        return Response(
            request_id=_text(data, "RequestID"),
            command=_integer(data.get("Cmd")),
            ack=_integer(inner.get("Ack")),
            data=_kept(inner),
            wire_id=wire_id,
        )
    if kind == "status":
        body = _part(data, "Status") or _part(found, "Status")
        if body is not None:
            stamp = data.get("TimeStamp", found.get("TimeStamp"))
            return StatusReport(status_from(body), _integer(stamp), wire_id)
    if kind == "attributes":
        # S3U <= 1.5.0 sends the status under the key Attributes, 1.5.4 under Status, others nothing.
        for place in (data, found):
            for key in ("Attributes", "Status"):
                body = _part(place, key) or {}
                body = _part(body, "Status") or body
                if "CurrentStatus" in body:
                    return AttributesReport(status_from(body), wire_id)
        return AttributesReport(None, wire_id)
    return Notice(kind, _kept(data or found), wire_id)


def encode_request(
    command: Command,
    data: Mapping[str, object] | None,
    *,
    request_id: str,
    wire_id: str,
    mainboard_id: str,
    timestamp: int,
) -> bytes:
    """A V1 request as CHITUBOX writes it: keys in alphabetical order, ``Data`` null when empty (sdcp.md 2.5).

    ``timestamp`` is milliseconds since the epoch; ``request_id`` 32 lower-case hex digits.
    """
    request = {
        "Cmd": int(Command(command)),
        "Data": data or None,
        "From": 0,
        "MainboardID": mainboard_id,
        "RequestID": request_id,
        "TimeStamp": timestamp,
    }
    return msgspec.json.encode({"Data": request, "Id": wire_id}, order="sorted")


def ack_text(command: Command, ack: int | None) -> str:
    """What a refusal means, in words; for V1 only a hint, since no number but 0 was ever recorded there."""
    if ack is None:
        return "the printer's answer had no Ack"
    meaning = _ACKS.get(command, {}).get(ack, "the printer refused")
    return f"{meaning} (Ack {ack})"
