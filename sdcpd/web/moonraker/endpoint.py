"""An endpoint: what can be asked, over HTTP and by JSON-RPC alike.

One decision: a handler takes an ``Ask`` and gives a value. The HTTP route wraps the value as ``{"result": ...}``, the
dispatcher puts it into its envelope, and both the routes and the names of the methods come from the same list, by the
real server's rule: slashes become dots, and where a path has several verbs, the verb stands before its last word.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any, Generic, TypeVar, cast

from msgspec import Struct
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.web.resource import IResource

from sdcpd.fleet import Printer
from sdcpd.web.answer import Answer, json_answer
from sdcpd.web.client import Client
from sdcpd.web.moonraker.arguments import Arguments, arguments_of
from sdcpd.web.moonraker.form import no
from sdcpd.web.routes import Call, Parameter, Result, Route
from sdcpd.web.site import Request

__all__ = ["OK", "Ask", "Endpoint", "Wrapped", "answer", "methods_of", "routes_of"]

T = TypeVar("T")
OK = "ok"


class Wrapped(Struct, Generic[T], frozen=True):
    """A good answer."""

    result: T


class Ask:
    """One question, however it came."""

    __slots__ = ("arguments", "call", "client", "headers", "printer")

    def __init__(self, printer: Printer, client: Client, arguments: Arguments, call: Call | None = None) -> None:
        self.printer = printer
        self.client = client
        self.arguments = arguments
        self.call = call
        """The HTTP request; None by JSON-RPC."""
        self.headers: dict[str, str] = {}
        """Headers for the answer, if it is one of HTTP."""

    @property
    def http(self) -> Call:
        """The HTTP request of an endpoint that JSON-RPC does not have."""
        assert self.call is not None
        return self.call

    def must_have(self, scope: str) -> None:
        """Refuse what needs one more scope than the endpoint itself."""
        if scope not in self.client.scopes:
            raise no(403, f"This needs the scope {scope!r} as well")

    def must_be_unlimited(self) -> None:
        """Refuse a key that is limited to printers what concerns the files of all."""
        self.client.must_be_unlimited()


class Endpoint(Struct, frozen=True):
    """One thing that can be asked."""

    method: str
    """One or more verbs, with a space between."""
    path: str
    """Relative to the printer, as Klein writes it."""
    scope: str | None
    handle: Callable[[Ask], Any]
    """Gives a value, a Deferred of one, or (``rpc`` None) an ``Answer`` or a resource, which is sent as it is."""
    gives: Any = dict[str, Any]
    """The type of the value; None for contents that are no JSON."""
    status: int = 200
    query: tuple[Parameter, ...] = ()
    rpc: str | None = ""
    """The method of JSON-RPC; empty for the one that the path makes, None for none."""
    wrapped: bool = True
    """Whether the value is wrapped as ``result``."""
    content: str = "application/json"
    upload: str = ""
    also: tuple[int, ...] = ()
    audited: bool = True
    reads_body: bool = True
    """Whether the body is arguments; else the handler reads it."""


def routes_of(endpoints: Iterable[Endpoint]) -> list[Route]:
    """Their routes, relative to a printer."""
    return [_route(endpoint, method) for endpoint in endpoints for method in endpoint.method.split()]


def _route(endpoint: Endpoint, method: str) -> Route:
    @wraps(endpoint.handle)
    def handle(call: Call, printer: Printer, **parts: str) -> Result:
        ask = Ask(
            printer, call.client, arguments_of(cast(Request, call.request), parts, body=endpoint.reads_body), call
        )

        def render(value: Any) -> Any:
            if isinstance(value, Answer) or IResource.providedBy(value):
                return value
            document = Wrapped(value) if endpoint.wrapped else value
            return json_answer(document, endpoint.status, ask.headers)

        value = endpoint.handle(ask)
        return cast(Result, value.addCallback(render) if isinstance(value, Deferred) else render(value))

    gives = endpoint.gives
    if gives is not None and endpoint.wrapped:
        gives = cast(Any, Wrapped)[gives]
    return Route(
        method,
        endpoint.path,
        endpoint.scope,
        handle,
        gives,
        endpoint.status,
        query=endpoint.query,
        content=endpoint.content,
        upload=endpoint.upload,
        also=tuple(dict.fromkeys((*endpoint.also, 401, 404))),
        audited=endpoint.audited,
    )


def methods_of(endpoints: Iterable[Endpoint]) -> Mapping[str, Endpoint]:
    """The methods of JSON-RPC by name."""
    endpoints = list(endpoints)
    verbs = Counter(endpoint.path for endpoint in endpoints)
    found: dict[str, Endpoint] = {}
    for endpoint in endpoints:
        if endpoint.rpc is None:
            continue
        name = endpoint.rpc or _name(endpoint, several=verbs[endpoint.path] > 1)
        if name in found:
            raise ValueError(f"the method {name} comes twice")
        found[name] = endpoint
    return found


def _name(endpoint: Endpoint, *, several: bool) -> str:
    *parents, last = endpoint.path.strip("/").split("/")
    return ".".join([*parents, f"{endpoint.method.lower()}_{last}" if several else last])


def answer(endpoint: Endpoint, ask: Ask) -> Deferred[Any]:
    """Ask it; whatever goes wrong fails."""
    return maybeDeferred(endpoint.handle, ask)
