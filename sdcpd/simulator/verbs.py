"""What can be asked of a farm through its control socket.

One decision: a table of verbs, each a small function from a printer and arguments to JSON, with its help beside it; an
unknown verb, fault or printer is answered with the list of the known ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from sdcpd.simulator.farm import Farm
from sdcpd.simulator.faults import FAULTS
from sdcpd.simulator.printer import Printer
from sdcpd.simulator.status import JsonObject

__all__ = ["VERBS", "Verb", "answer"]

_OWN_KEYS = frozenset({"do", "printer"})


@dataclass(frozen=True)
class Verb:
    """One thing to ask for; ``args`` is shown in the help."""

    call: Callable[..., Any]
    help: str
    args: str = ""
    of_farm: bool = False


def _done(happened: bool) -> JsonObject:
    if not happened:
        raise ValueError("not in the printer's present state")
    return {}


def _quietly(call: Callable[[Printer], None]) -> Callable[[Printer], JsonObject]:
    def verb(printer: Printer) -> JsonObject:
        call(printer)
        return {}

    return verb


def _set(printer: Printer, **values: Any) -> JsonObject:
    printer.set_status(**values)
    return printer.to_json()["status"]  # type: ignore[no-any-return]  # a JSON object inside a JSON object


def _inject(printer: Printer, fault: str, **params: Any) -> JsonObject:
    return printer.inject(fault, **params).to_json()


def _clear(printer: Printer, fault: str = "") -> JsonObject:
    printer.clear(fault)
    return {}


def _log(printer: Printer, last: int = 100, kind: str = "") -> list[JsonObject]:
    entries = [entry.to_json() for entry in printer.log if kind in ("", entry.kind)]
    return entries[-last:] if last > 0 else entries


def _put_file(printer: Printer, path: str, name: str = "") -> JsonObject:
    return printer.store.load(Path(path), name).to_json()


def _list(farm: Farm) -> list[JsonObject]:
    keys = ("id", "name", "profile", "address", "powered", "link", "violations")
    return [{key: printer.to_json()[key] for key in keys} for printer in farm.printers]


def _violations(farm: Farm) -> list[JsonObject]:
    return [violation.to_json() for violation in farm.violations]


def _faults(_: Farm) -> list[JsonObject]:
    return [
        {
            "name": name,
            "number": fault.number,
            "does": " ".join((fault.__doc__ or "").split()),
            "params": {field.name: field.default for field in fields(fault)},
            "choices": {key: list(values) for key, values in fault.choices.items()},
        }
        for name, fault in sorted(FAULTS.items())
    ]


VERBS: dict[str, Verb] = {
    "list": Verb(_list, "the printers", of_farm=True),
    "faults": Verb(_faults, "the faults that can be injected", of_farm=True),
    "violations": Verb(_violations, "every breach of the protocol (strict mode)", of_farm=True),
    "state": Verb(Printer.to_json, "everything about a printer"),
    "set": Verb(_set, "overwrite the status", "[current=N] [previous=N] [print_info={...}] [transfer_info={...}]"),
    "tap": Verb(lambda printer: _done(printer.person.tap()), "tap the completed screen away"),
    "start": Verb(
        lambda printer, name, start_layer=0: _done(printer.person.start(name, start_layer)),
        "start a stored file at the screen",
        "name=FILE",
    ),
    "pause": Verb(lambda printer: _done(printer.person.pause()), "pause at the screen"),
    "resume": Verb(lambda printer: _done(printer.person.resume()), "resume at the screen"),
    "stop": Verb(lambda printer: _done(printer.person.stop()), "stop at the screen"),
    "reboot": Verb(_quietly(Printer.reboot), "switch off, and on again after the boot time"),
    "power-off": Verb(_quietly(Printer.power_off), "pull the plug; TCP hangs half-open"),
    "power-on": Verb(_quietly(Printer.power_on), "plug in"),
    "inject": Verb(_inject, "give it a fault", "fault=NAME [param=value ...]"),
    "clear": Verb(_clear, "take a fault away, or all", "[fault=NAME]"),
    "log": Verb(_log, "what it received", "[last=N] [kind=KIND]"),
    "put-file": Verb(_put_file, "put a file of this machine on it", "path=PATH [name=NAME]"),
}


def answer(farm: Farm, request: Any) -> JsonObject:
    """The answer to one request: ``{"ok": true, "result": ...}`` or ``{"ok": false, "error": ...}``."""
    try:
        return {"ok": True, "result": _result(farm, request)}
    except (ValueError, TypeError, OSError) as error:
        return {"ok": False, "error": str(error)}


def _result(farm: Farm, request: Any) -> Any:
    if not isinstance(request, dict):
        raise ValueError('a request is a JSON object such as {"do": "list"}')
    verb = VERBS.get(str(request.get("do")))
    if verb is None:
        raise ValueError(f"unknown verb {request.get('do')!r}: use one of {', '.join(VERBS)}")
    arguments = {key: value for key, value in request.items() if key not in _OWN_KEYS}
    if verb.of_farm:
        return verb.call(farm, **arguments)
    key = request.get("printer", 0)
    if not isinstance(key, (int, str)):
        raise ValueError(f"a printer is an index, an id, a name or an address, not {key!r}")
    return verb.call(farm.printer(key), **arguments)
