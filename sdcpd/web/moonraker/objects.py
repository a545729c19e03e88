"""The printer objects that Moonraker's clients query, as far as they are true of resin (apis.md 1.2).

One decision: an object or an attribute that would have to be invented is left out, as the real server leaves out what
a machine does not have. So there is no toolhead, no extruder and no bed, and a dashboard shows blanks instead of
lies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import asdict

from sdcpd import dialects
from sdcpd.codec.status import RUNNING, Phase
from sdcpd.dialects import ON_THE_MACHINE, WORDS, Condition, condition_of, klippy_of, message_of, trouble_of
from sdcpd.documents import PrinterDocument, progress_of
from sdcpd.fleet import Printer

__all__ = ["available", "query", "sensors_of", "snapshot"]

_SENSORS = {
    "TempOfUVLED": "temperature_sensor uv_led",
    "TempOfBox": "temperature_sensor enclosure",
    "TempOfTank": "temperature_sensor vat",
}
"""What boards call their sensors, and what they are called here."""

_ALWAYS = (
    "webhooks",
    "print_stats",
    "virtual_sdcard",
    "display_status",
    "pause_resume",
    "idle_timeout",
    "heaters",
    "configfile",
    "sdcp",
)
_WITH_A_PRINT = ON_THE_MACHINE | {Condition.COMPLETE, Condition.STOPPED, Condition.FAILED}
"""Where the numbers of a print are those of the print that the state is about."""


def sensors_of(printer: Printer) -> dict[str, float]:
    """The temperatures that the board reports, in degrees Celsius, under the names of this dialect."""
    return {_SENSORS[name]: value for name, value in dialects.sensors_of(printer).items()}


def available(printer: Printer) -> list[str]:
    """The names of the objects that this printer has."""
    return [*_ALWAYS, *sensors_of(printer)]


def query(
    printer: Printer, document: PrinterDocument, size: int, objects: Mapping[str, frozenset[str] | None]
) -> dict[str, dict[str, Any]]:
    """The objects that are asked for, with the attributes that are (None: all); unknown ones are left out.

    ``document`` is the printer as the native API tells it, ``size`` the bytes of its file, 0 if unknown.
    """
    whole = snapshot(printer, document, size)
    return {
        name: whole[name] if wanted is None else {key: v for key, v in whole[name].items() if key in wanted}
        for name, wanted in objects.items()
        if name in whole
    }


def snapshot(printer: Printer, document: PrinterDocument, size: int) -> dict[str, dict[str, Any]]:
    """Every object with every attribute."""
    condition = condition_of(printer)
    klippy, sentence = klippy_of(printer)
    shown = condition in _WITH_A_PRINT and document.file is not None
    percent = progress_of(printer) if shown else None
    progress = round((percent or 0.0) / 100.0, 4)
    status = printer.status
    duration = status.print.current_ticks / 1000 if shown and status is not None else 0.0
    printing = printer.phase in RUNNING
    message = message_of(printer)
    sensors = sensors_of(printer)
    return {
        "webhooks": {"state": klippy, "state_message": sentence},
        "print_stats": {
            "filename": (document.file or "") if shown else "",
            "total_duration": max(0.0, duration),
            "print_duration": max(0.0, duration),
            "filament_used": 0.0,
            "state": WORDS[condition].moonraker,
            "message": trouble_of(printer) or (message if condition is Condition.STOPPING else None) or "",
            "info": {
                "total_layer": document.total_layers if shown else None,
                "current_layer": document.layer if shown else None,
            },
        },
        "virtual_sdcard": {
            "file_path": document.file if shown else None,
            "progress": progress,
            "is_active": printing and condition is not Condition.PAUSED,
            "file_position": int(progress * size),
            "file_size": size if shown else 0,
        },
        "display_status": {"progress": progress, "message": message},
        "pause_resume": {"is_paused": condition is Condition.PAUSED},
        "idle_timeout": {
            "state": "Printing" if printing else "Ready" if klippy == "ready" else "Idle",
            "printing_time": max(0.0, duration) if printing else 0.0,
        },
        "heaters": {"available_heaters": [], "available_sensors": list(sensors), "available_monitors": []},
        "configfile": {"config": {}, "settings": {}, "warnings": [], "save_config_pending": False},
        "sdcp": _own(printer, document),
        **{name: {"temperature": value} for name, value in sensors.items()},
    }


def _own(printer: Printer, document: PrinterDocument) -> dict[str, Any]:
    """What no Klipper has: the board's own numbers."""
    status = printer.status
    known = printer.announcement
    told: dict[str, Any] = {
        "phase": printer.phase.value,
        "is_busy": printer.phase not in (Phase.IDLE, Phase.OFFLINE),
        "protocol": known.protocol,
        "capabilities": list(known.capabilities),
        "age_s": document.age_s,
        "eta_s": document.eta_s,
        "hold_reason": document.hold_reason,
        "plate": document.plate.state,
    }
    if status is not None:
        told["current_status"] = list(status.current)
        told["print_info"] = asdict(status.print)
        told["file_transfer_info"] = asdict(status.transfer)
    return told
