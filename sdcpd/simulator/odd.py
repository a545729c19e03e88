"""What faults make of well-formed messages.

One decision: pure functions from a good message to a bad one, so the printer builds every message in one way and
spoils it at the end.
"""

from __future__ import annotations

import json

from sdcpd.simulator import fault_kinds as kinds
from sdcpd.simulator.faults import Faults
from sdcpd.simulator.status import JsonObject

__all__ = ["encode", "garbage", "reply_payload", "spoil_response", "spoil_status"]

_MEGABYTE = 1_000_000
_DEPTH = 2_000
_HUGE_REPLY = 60_000


def encode(message: object) -> bytes:
    """Compact JSON."""
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()


def spoil_status(status: JsonObject, faults: Faults) -> JsonObject:
    """The status object, as ``odd-status`` wants it."""
    fault = faults.take(kinds.OddStatus)
    if fault is None:
        return status
    info, transfer = status["PrintInfo"], status["FileTransferInfo"]
    spoilt: dict[str, JsonObject] = {
        "unknown-keys": {"Mystery": {"Deep": [1, None]}, "PrintInfo": {**info, "UVLED": 17.5}},
        "no-print-info": {"PrintInfo": None},
        "no-transfer-info": {"FileTransferInfo": None},
        "floats": {
            "CurrentStatus": float(status["CurrentStatus"]),
            "PrintInfo": {key: _floated(value) for key, value in info.items()},
        },
        "list": {"CurrentStatus": [status["CurrentStatus"]]},
        "enum-99": {"CurrentStatus": 99, "PrintInfo": {**info, "Status": 99}},
        "negative": {"PrintInfo": {**info, "CurrentLayer": -1, "TotalLayer": -1, "CurrentTicks": -5}},
        "huge": {
            "PrintInfo": {**info, "CurrentLayer": 10**18, "CurrentTicks": 2**63, "TotalTicks": 2**63 - 1},
            "FileTransferInfo": {**transfer, "DownloadOffset": 2**40, "FileTotalSize": 2**40},
        },
        "zero-layers": {"PrintInfo": {**info, "TotalLayer": 0, "TotalTicks": 0}},
        "late-ticks": {"PrintInfo": {**info, "CurrentTicks": info["TotalTicks"] + 60_000}},
        "null": {"PrintInfo": dict.fromkeys(info), "CurrentStatus": None},
        "strings": {"PrintInfo": {key: str(value) for key, value in info.items()}},
    }
    changed = {**status, **spoilt[fault.kind]}
    absent = {"no-print-info": "PrintInfo", "no-transfer-info": "FileTransferInfo"}.get(fault.kind)
    return {key: value for key, value in changed.items() if key != absent}


def spoil_response(message: JsonObject, cmd: int, faults: Faults) -> JsonObject:
    """A response, as ``odd-response`` wants it."""
    fault = faults.get(kinds.OddResponse)
    if fault is None or fault.cmd not in (-1, cmd):
        return message
    faults.take(kinds.OddResponse)
    data = dict(message["Data"])
    match fault.kind:
        case "request-id-wrong":
            data["RequestID"] = "0" * 32
        case "request-id-absent":
            data.pop("RequestID")
        case "cmd-absent":
            data.pop("Cmd", None)
        case "cmd-wrong":
            data["Cmd"] = cmd + 1
        case "ack-absent":
            data["Data"] = {}
        case "ack-string":
            data["Data"] = {"Ack": str(data["Data"]["Ack"])}
        case "data-null":
            data["Data"] = None
        case "id-stale":
            return {**message, "Id": "0a69ee780fbd40d7bfb95b312250bf46"}
    return {**message, "Data": data}


def garbage(kind: str) -> bytes:
    """A payload that is no SDCP message, by the names of the fault ``garbage``."""
    return {
        "malformed": b'{"Id":"f252","Data":{"Status":',
        "nul": b'{"Id":"f252\x00","Data":\x00\x00}',
        "empty": b"",
        "megabyte": b'{"Data":"' + b"x" * _MEGABYTE + b'"}',
        "deep": b'{"Data":' + b"[" * _DEPTH + b"]" * _DEPTH + b"}",
        "invalid-utf8": b'{"Data":"\xff\xfe\xc3"}',
        "array": b"[1,2,3]",
    }[kind]


def reply_payload(reply: JsonObject, faults: Faults) -> bytes:
    """The reply to a probe, as ``wrong-address`` and ``bad-reply`` want it."""
    wrong = faults.take(kinds.WrongAddress)
    if wrong is not None:
        reply["Data"]["Attributes"]["MainboardIP"] = wrong.address
    payload = encode(reply)
    fault = faults.take(kinds.BadReply)
    if fault is None:
        return payload
    return {
        "truncated": payload[: len(payload) // 2],
        "text": b"hello",
        "ok-mac": b"ok MAC:00:11:22:33:44:55 IP:192.0.2.7 VER:V1.4.1 ID:3f00d801,18000300 NAME:OLD",
        "invalid-utf8": b"\xff\xfe" + payload,
        "huge": b'{"Id":"' + b"x" * _HUGE_REPLY + b'"}',
        "empty": b"",
        "array": b"[" + payload + b"]",
    }[fault.kind]


def _floated(value: object) -> object:
    return value + 0.5 if isinstance(value, int) else value
