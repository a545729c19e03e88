"""How a simulated printer is given faults, by name.

One decision: a fault is a frozen dataclass whose fields are its parameters, kept in a registry by its wire-friendly
name; the place that misbehaves asks for its own class. A fault lasts until it is cleared, or for ``times`` uses where
that is not 0. The faults themselves are in ``fault_kinds``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar, TypeVar

__all__ = ["FAULTS", "Fault", "Faults"]

FAULTS: dict[str, type[Fault]] = {}


@dataclass(frozen=True)
class Fault:
    """What every fault has."""

    name: ClassVar[str] = ""
    number: ClassVar[str] = ""  # of the fault table
    choices: ClassVar[dict[str, tuple[str, ...]]] = {}

    times: int = 0  # uses until it is over by itself, 0 = until cleared

    def __init_subclass__(cls, name: str, number: str, **choices: tuple[str, ...]) -> None:
        super().__init_subclass__()
        cls.name, cls.number, cls.choices = name, number, choices
        FAULTS[name] = cls

    def to_json(self) -> dict[str, Any]:
        """The name and the parameters, for the control socket."""
        return {"name": self.name, **asdict(self)}


FaultT = TypeVar("FaultT", bound=Fault)


class Faults:
    """The faults that one printer has at present."""

    def __init__(self) -> None:
        self._active: dict[type[Fault], Fault] = {}

    def __iter__(self) -> Iterator[Fault]:
        return iter(self._active.values())

    def inject(self, name: str, **params: Any) -> Fault:
        """Make a fault from its name and parameters, and have it from now on."""
        kind = FAULTS.get(name)
        if kind is None:
            raise ValueError(f"unknown fault {name!r}: use one of {', '.join(sorted(FAULTS))}")
        known = {field.name: type(field.default) for field in fields(kind)}
        for key, value in params.items():
            if key not in known:
                raise ValueError(f"fault {name!r} has no parameter {key!r}: use one of {', '.join(known)}")
            if known[key] is float and type(value) is int:
                params[key] = float(value)
            elif type(value) is not known[key]:
                raise ValueError(f"{key} of fault {name!r} is a {known[key].__name__}, not {value!r}")
            if value not in kind.choices.get(key, (value,)):
                raise ValueError(f"{key} of fault {name!r} is one of {', '.join(kind.choices[key])}, not {value!r}")
        fault = kind(**params)
        self._active[kind] = fault
        return fault

    def clear(self, name: str = "") -> None:
        """Have it no more; all of them without a name."""
        if name and name not in FAULTS:
            raise ValueError(f"unknown fault {name!r}: use one of {', '.join(sorted(FAULTS))}")
        for kind in [kind for kind in self._active if name in ("", kind.name)]:
            del self._active[kind]

    def get(self, kind: type[FaultT]) -> FaultT | None:
        """The fault, if the printer has it."""
        fault = self._active.get(kind)
        return fault if isinstance(fault, kind) else None

    def take(self, kind: type[FaultT]) -> FaultT | None:
        """Use the fault once, if the printer has it; the last of its ``times`` clears it."""
        fault = self.get(kind)
        if fault is not None and fault.times:
            if fault.times == 1:
                del self._active[kind]
            else:
                self._active[kind] = replace(fault, times=fault.times - 1)
        return fault
