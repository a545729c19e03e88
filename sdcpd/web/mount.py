"""Where a dialect's tree stands: under each printer's own path, and at the root for the one that is meant.

One decision: a dialect knows one printer, so its routes are declared with paths relative to a printer and get the
printer as an argument; which one it is, is settled here and nowhere else. Each route stands once, below a printer's
path: what a client asks for at the root is put there when the head of its request is read, and means the only printer
or ``[sdcpd] default_printer``; with several and no default nothing is guessed (reference apis.md 3.2). A twin is a
place below the printer's path at which some of the same routes stand, for clients that ask it to be something else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, cast
from urllib.parse import unquote_to_bytes

from msgspec.structs import replace
from twisted.internet.interfaces import IReactorTime
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource

from sdcpd.errors import PrinterUnknown
from sdcpd.fleet import Fleet, Printer
from sdcpd.web.address import base
from sdcpd.web.errors import NATIVE, Form, Refusal
from sdcpd.web.routes import Call, Result, Route
from sdcpd.web.site import Request, Site
from sdcpd.web.way import PREFIX, Way

__all__ = ["Mount", "MountedSite"]

_MOST_NAMED = 20
"""Printers that are listed to somebody who has to choose one."""
_MEANT = b"/printers/@"
"""Below this stands, for the router, what names no printer; there is none of this name, so a client that writes it
gains nothing."""
_ESCAPED = re.compile(rb"%(?:3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa]|2[Dd]|5[Ff])")
"""Letters, digits, - and _ that were written as numbers."""


class Mount:
    """Puts trees of routes, each with its form of errors, at ``/printers/<name>/...`` and at ``/...``."""

    def __init__(self, fleet: Fleet, default: str) -> None:
        self.default = default
        """A slug or MainboardID, empty for none; may name a printer that is yet to come."""
        self._fleet = fleet
        self._forms: dict[bytes, Form] = {}
        self._twins: dict[bytes, re.Pattern[bytes]] = {}

    def put(self, form: Form, routes: Iterable[Route], *, owns: Iterable[str] = ()) -> tuple[Route, ...]:
        """The routes as they stand in the whole tree. Their handlers are called with the ``Call`` and the printer.

        ``owns`` are the beginnings of paths that are this form's, by default the first words of the routes; the
        longest beginning counts.
        """
        routes = list(routes)
        for begin in [*owns] or [f"/{route.path.split('/')[1]}" for route in routes]:
            self._forms[begin.encode("ascii")] = form
        return tuple(self._below(replace(route, form=form)) for route in routes)

    def twin(self, at: bytes, form: Form, shares: re.Pattern[bytes]) -> None:
        """Below ``at``, which is itself below a printer's path, everything is ``form``'s.

        What ``shares`` matches there is what stands at the same path without it; there is nothing else.
        """
        self._forms[at] = form
        self._twins[at] = shares

    def way(self, asked: bytes, within: bytes = b"") -> Way:
        """Where this path leads, at a port where ``within`` stands before each path."""
        below = _ESCAPED.sub(lambda found: unquote_to_bytes(found[0]), asked)
        before, is_meant = within, False
        if not within:
            named = PREFIX.match(below)
            if named is not None:
                before, below = named[0], below[named.end() :]
            elif self._form(below) is None:
                return Way(asked, asked)
            else:
                before, is_meant = _MEANT, True
        twin = b"/" + below[1:].partition(b"/")[0]
        shares = self._twins.get(twin)
        if shares is None or shares.match(unquote_to_bytes(below), len(twin)) is None:
            twin = b""
        return Way(asked, (before + below[len(twin) :]).rstrip(b"/"), within, is_meant, twin)

    def form_of(self, request: IRequest) -> Form:
        """In which form it is refused: the one that owns the longest beginning of the path."""
        way = cast(Request, request).way
        named = PREFIX.match(way.path)
        return self._form(way.twin or (b"" if named is None else way.path[named.end() :])) or NATIVE

    def _form(self, below: bytes) -> Form | None:
        while below and below not in self._forms:
            below = below.rpartition(b"/")[0]
        return self._forms.get(below)

    def _below(self, route: Route) -> Route:
        @wraps(route.handle)
        def handle(call: Call, name: str, **parts: Any) -> Result:
            return route.handle(call, self._meant(call) if call.way.is_meant else self._fleet.get(name), **parts)

        return replace(route, path=f"/printers/<name>{route.path}", handle=handle)

    def _meant(self, call: Call) -> Printer:
        """The printer that a path without one means; a ``Refusal`` if that is not sure, or not the client's."""
        printer = self._only(call)
        call.client.check(printer.id)
        return printer

    def _only(self, call: Call) -> Printer:
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


class MountedSite(Site):
    """The factory of connections to a tree in which dialects stand."""

    def __init__(
        self,
        mount: Mount,
        resource: IResource,
        streams: Callable[[bytes, bytes], bool],
        reactor: IReactorTime,
    ) -> None:
        super().__init__(resource, streams, reactor)
        self._mount = mount

    def way(self, asked: bytes) -> Way:
        """Where this path leads."""
        return self._mount.way(asked)
