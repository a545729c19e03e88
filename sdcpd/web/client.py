"""Who asks: an address, perhaps a key, and what they may do.

One decision: a client is a value that handlers only read. What it may do is settled before a handler runs, and what it
may see of the printers is one question, ``wanted``, that every list answers in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from sdcpd.fleet import Fleet
from sdcpd.web.errors import Refusal

__all__ = ["Client"]


class Client(Struct, frozen=True):
    """One request's author."""

    address: str
    is_loopback: bool
    scopes: frozenset[str]
    """Everything that it may do, included scopes included."""
    counted_as: str = ""
    """Under which name its requests are counted: its address, or from further away its whole /64 of IPv6."""
    forwarded: bool = False
    """Whether a proxy stands between that nobody listed, or that does not say for whom."""
    key: str = ""
    """The name of its key; empty if it came without one."""
    printers: frozenset[str] | None = None
    """The MainboardIDs that its key is limited to; None for all."""

    once: bool = False
    """Whether it came with a one-shot token: that makes no other, or it would live for ever."""

    @property
    def name(self) -> str:
        """For people, kept with what it asked for."""
        return f"key:{self.key}" if self.key else self.address or "this machine"

    @property
    def who(self) -> str:
        """For the log: the key and the address."""
        address = self.address or "a local socket"
        return f"key {self.key} at {address}" if self.key else f"{address} without a key"

    def sees(self, mainboard_id: str | None) -> bool:
        """Whether it may know of this printer."""
        return self.printers is None or mainboard_id in self.printers

    def check(self, mainboard_id: str | None) -> None:
        """Raise a ``Refusal`` unless it may know of this printer; one that does not exist is refused in one word."""
        if not self.sees(mainboard_id):
            raise Refusal(
                403,
                "forbidden",
                f"The key {self.key!r} is limited to other printers.",
                "An administrator can make a key for this printer.",
            )

    def must_be_unlimited(self) -> None:
        """Raise a ``Refusal`` for a key that is limited to printers: the files are one shelf for all of them."""
        if self.printers is not None:
            raise Refusal(
                403,
                "forbidden",
                f"The key {self.key!r} is limited to printers, and may not change what belongs to all of them.",
                "An administrator can make a key that is not limited.",
            )

    def wanted(self, fleet: Fleet, names: Iterable[str]) -> frozenset[str] | None:
        """The MainboardIDs that it asks about: those named, else all that it may see; None is all there are.

        Raises ``PrinterUnknown``, and a ``Refusal`` for a printer that it may not see.
        """
        found = set()
        for name in names:
            if self.printers is not None:
                self.check(fleet.identify(name))
            found.add(fleet.get(name).id)
        return frozenset(found) if found else self.printers
