"""Where a dialect's tree stands: under each printer's own path, and at the root for the one that is meant.

One decision: a dialect knows one printer, so its routes are declared with paths relative to a printer and get the
printer as an argument; which one it is, is settled here and nowhere else. At the root that is the only printer or
``[sdcpd] default_printer``; with several and no default nothing is guessed (reference apis.md 3.2). A twin is the same
routes at one more place below the printer's path, for clients that ask it to be something else.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import wraps
from typing import Any

from msgspec.structs import replace

from sdcpd.errors import PrinterUnknown
from sdcpd.fleet import Fleet, Printer
from sdcpd.web.address import PREFIX, base
from sdcpd.web.errors import NATIVE, Form, Refusal
from sdcpd.web.routes import Call, Result, Route

__all__ = ["Mount"]

_MOST_NAMED = 20
"""Printers that are listed to somebody who has to choose one."""


class Mount:
    """Puts trees of routes, each with its form of errors, at ``/printers/<name>/...`` and at ``/...``."""

    def __init__(self, fleet: Fleet, default: str) -> None:
        self.default = default
        """A slug or MainboardID, empty for none; may name a printer that is yet to come."""
        self._fleet = fleet
        self._forms: dict[bytes, Form] = {}

    def put(
        self, form: Form, routes: Iterable[Route], *, owns: Iterable[str] = (), at: Iterable[str] = ("",)
    ) -> tuple[Route, ...]:
        """The routes as they stand in the whole tree. Their handlers are called with the ``Call`` and the printer.

        ``owns`` are the beginnings of paths that are refused in this form, by default the first words of the routes;
        the longest beginning counts. ``at`` are the places where the routes stand below a printer's path and below
        the root: ``""`` is that path itself, ``"/sl1"`` a twin of it, which is this form's with all that is in it.
        """
        routes = [replace(route, form=form) for route in routes]
        begins = [*owns] or [f"/{route.path.split('/')[1]}" for route in routes]
        put: list[Route] = []
        for place in at:
            for begin in [place] if place else begins:
                self._forms[begin.encode("ascii")] = form
            put += (both for route in routes for both in self._below(route, place))
        return tuple(put)

    def form_of(self, path: bytes) -> Form:
        """In which form this path is refused: the one that owns the longest beginning of it."""
        named = PREFIX.match(path)
        own = path if named is None else path[named.end() :]
        while own:
            if own in self._forms:
                return self._forms[own]
            own = own.rpartition(b"/")[0]
        return NATIVE

    def _below(self, route: Route, place: str) -> tuple[Route, Route]:
        @wraps(route.handle)
        def named(call: Call, name: str, **parts: Any) -> Result:
            return route.handle(call, self._fleet.get(name), **parts)

        @wraps(route.handle)
        def meant(call: Call, **parts: Any) -> Result:
            printer = self._meant(call)
            call.client.check(printer.id)
            return route.handle(call, printer, **parts)

        path = f"{place}{route.path}"
        return (
            replace(route, path=f"/printers/<name>{path}", handle=named, described=not place),
            replace(route, path=path, handle=meant, limited=True, described=False),
        )

    def _meant(self, call: Call) -> Printer:
        """The printer that a path without one means; a ``Refusal`` that lists them if that is not sure."""
        if self.default:
            try:
                return self._fleet.get(self.default)
            except PrinterUnknown:
                message = f"The default printer {self.default!r} was not seen yet."
                raise self._choose(call, message) from None
        if len(self._fleet) == 1:
            return next(iter(self._fleet))
        if not len(self._fleet):
            raise Refusal(404, "no_printer", "No printer was seen yet.", "Switch it on, in the same network.")
        raise self._choose(call, "Several printers are served here.")

    def _choose(self, call: Call, message: str) -> Refusal:
        slugs = [printer.slug for printer in self._fleet if call.client.sees(printer.id)]
        listed = ", ".join(slugs[:_MOST_NAMED]) + (", ..." if len(slugs) > _MOST_NAMED else "")
        hint = f"Use {base(call)}/printers/<id>. Known: {listed or 'none yet'}."
        return Refusal(404, "which_printer", message, hint)
