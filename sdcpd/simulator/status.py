"""What a printer says of itself: the status object and the messages around it.

One decision: the state is a plain mutable record with the wire's own numbers, and becomes JSON objects only here, so
every message of the simulator (UDP reply, MQTT status, attributes, response) is built in one place from the protocol
reference, and from nothing of the daemon.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sdcpd.simulator.profiles import AttributesShape
from sdcpd.simulator.settings import PrinterSpec

__all__ = [
    "BRAND_ID",
    "IDLE",
    "PRINTING",
    "TRANSFERRING",
    "Identity",
    "JsonObject",
    "PrintInfo",
    "PrinterStatus",
    "TransferInfo",
]

JsonObject = dict[str, Any]

BRAND_ID = "f25273b12b094c5a8b9513a30ca60049"
IDLE, PRINTING, TRANSFERRING = 0, 1, 2


@dataclass
class PrintInfo:
    """The present or the last print."""

    status: int = 0
    current_layer: int = 0
    total_layer: int = 0
    current_ticks: int = 0
    total_ticks: int = 0
    error_number: int = 0
    filename: str = ""

    def to_json(self) -> JsonObject:
        """As it stands in a status."""
        return {
            "Status": self.status,
            "CurrentLayer": self.current_layer,
            "TotalLayer": self.total_layer,
            "CurrentTicks": self.current_ticks,
            "TotalTicks": self.total_ticks,
            "ErrorNumber": self.error_number,
            "Filename": self.filename,
        }


@dataclass
class TransferInfo:
    """The present or the last file transfer; it stays until the next one begins."""

    status: int = 0
    download_offset: int = 0
    check_offset: int = 0
    file_total_size: int = 0
    filename: str = ""

    def to_json(self) -> JsonObject:
        """As it stands in a status."""
        return {
            "Status": self.status,
            "DownloadOffset": self.download_offset,
            "CheckOffset": self.check_offset,
            "FileTotalSize": self.file_total_size,
            "Filename": self.filename,
        }


@dataclass
class PrinterStatus:
    """The status object of the protocol."""

    current: int = IDLE
    previous: int = IDLE
    print_info: PrintInfo = field(default_factory=PrintInfo)
    transfer_info: TransferInfo = field(default_factory=TransferInfo)

    def enter(self, current: int) -> None:
        """Change CurrentStatus; PreviousStatus is the last different one."""
        if current != self.current:
            self.previous, self.current = self.current, current

    @property
    def phase(self) -> tuple[int, bool, str, int, str]:
        """What two statuses have in common of which only the newer need be sent."""
        info, transfer = self.print_info, self.transfer_info
        return self.current, info.status in (1, 2, 3, 4), info.filename, transfer.status, transfer.filename

    def overwrite(self, print_info: JsonObject, transfer_info: JsonObject) -> None:
        """Set fields of ``PrintInfo`` and ``TransferInfo`` by their names; ValueError lists the known ones."""
        for record, values in ((self.print_info, print_info), (self.transfer_info, transfer_info)):
            known = vars(record)
            if not isinstance(values, dict):
                raise ValueError(f"expected an object of fields ({', '.join(known)}), found {values!r}")
            for key, value in values.items():
                if key not in known:
                    raise ValueError(f"no field {key!r}: use one of {', '.join(known)}")
                setattr(record, key, value)

    def to_json(self) -> JsonObject:
        """As it stands in every message."""
        return {
            "CurrentStatus": self.current,
            "PreviousStatus": self.previous,
            "PrintInfo": self.print_info.to_json(),
            "FileTransferInfo": self.transfer_info.to_json(),
        }


@dataclass
class Identity:
    """Who the printer is, and who its broker was."""

    spec: PrinterSpec
    name: str
    id: str = BRAND_ID
    sdcp_status: int = 0  # assumed, Q6: 1 while a broker is connected
    broker: str = ""  # "tcp://HOST:PORT" of the last broker, kept after the link is gone

    def attributes(self) -> JsonObject:
        """The attributes of the UDP reply."""
        profile = self.spec.profile
        return {
            "Name": self.name,
            "MachineName": profile.machine,
            "ProtocolVersion": "V1.0.0",
            "FirmwareVersion": profile.firmware,
            "Resolution": profile.resolution_text,
            "MainboardIP": self.spec.address,
            "MainboardID": self.spec.mainboard_id,
            "SDCPStatus": self.sdcp_status,
            "LocalSDCPAddress": self.broker,
            "SDCPAddress": "",
            "Capabilities": ["FILE_TRANSFER", "PRINT_CONTROL"],
        }

    def reply(self, status: JsonObject) -> JsonObject:
        """The answer to a probe."""
        return {"Id": self.id, "Data": {"Attributes": self.attributes(), "Status": status}}

    def response(self, cmd: int, ack: int, request_id: object, uptime: int) -> JsonObject:
        """The answer to a request."""
        return self._message({"Cmd": cmd, "Data": {"Ack": ack}, "RequestID": request_id}, uptime)

    def status_message(self, status: JsonObject, uptime: int) -> JsonObject:
        """The status as it is published."""
        return self._message({"Status": status}, uptime)

    def attributes_message(self, shape: AttributesShape, status: JsonObject, uptime: int) -> JsonObject:
        """The attributes as they are published: on no known firmware what the topic's name says."""
        body: JsonObject = {
            AttributesShape.STATUS_AS_ATTRIBUTES: {"Attributes": status},
            AttributesShape.STATUS: {"Status": status},
            AttributesShape.ATTRIBUTES: {"Attributes": self.attributes()},
            AttributesShape.NOTHING: {},
        }[shape]
        return self._message(body, uptime)

    def _message(self, data: JsonObject, uptime: int) -> JsonObject:
        return {
            "Id": self.id,
            "Data": {**data, "MainboardID": self.spec.mainboard_id, "TimeStamp": uptime},
        }
