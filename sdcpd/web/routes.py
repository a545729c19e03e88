"""A route is a value: method, path, scope, what it takes and what it gives.

One decision: routes are declared, not decorated. The same list makes the Klein tree and the OpenAPI document, so a
route without a scope or without a description cannot exist, and handlers stay "parse, call, render".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, cast

import msgspec
from klein import Klein
from msgspec import Struct
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.routing import BaseConverter, Map, Rule, RuleFactory

from sdcpd.logs import logger
from sdcpd.scopes import SCOPES
from sdcpd.web.access import Access, Client
from sdcpd.web.answer import Answer, header_of, write
from sdcpd.web.errors import NATIVE, ErrorBody, Form, Refusal, refused
from sdcpd.web.site import Request, redacted
from sdcpd.web.upload import Body
from sdcpd.web.way import PREFIX, Way

__all__ = ["Call", "Parameter", "Result", "Route", "streams", "tree"]

T = TypeVar("T")
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_PRINTER = re.compile(r"/printers/<(?:\w+:)?(\w+)>")
_BELOW = b"/printers/<name>"
_SIMPLE = re.compile(rb"[\w.@-]+")
_audit = logger("sdcpd.audit")
_PART = re.compile(r"<(?:(\w+):)?\w+>")
_ALONE = "This port is one printer's own; what concerns all printers is at the daemon's."
Result = Answer | IResource | Deferred[Answer]
"""What a handler may give back; a resource renders itself (files, streams)."""
FormOf = Callable[[IRequest], Form]
"""In which form a request is refused, whether a route has it or none."""


class Parameter(Struct, frozen=True):
    """One query parameter: its name, its meaning, its type in JSON schema's words."""

    name: str
    meaning: str
    type: str = "string"


class Call:
    """One request as a handler sees it: who asks, the parameters, the body."""

    __slots__ = ("_access", "client", "request")

    def __init__(self, request: IRequest, client: Client, access: Access) -> None:
        self.request = request
        self.client = client
        self._access = access

    def audit(self, status: int, asked: str = "") -> None:
        """Tell the log who has changed what; ``asked`` is what the path does not say."""
        request = cast(Request, self.request)
        target = redacted(request.way.within + request.uri) + asked
        words = {"who": self.client.who, "method": request.method.decode("ascii"), "status": status}
        _audit.info("{who}: {method} {target}: {status}", target=target, **words)

    def waits(self) -> None:
        """The answer waits for news from now on: such a request is not counted against its address."""
        self._access.forgive(self.client)

    def must_be_own_page(self) -> None:
        """Refuse a page of another site, unless it is listed, what it may otherwise ask for without seeing it."""
        self._access.check_page(self.request)

    def must_have(self, scope: str) -> None:
        """Refuse what needs one more scope than the route itself."""
        if scope not in self.client.scopes:
            raise Refusal(
                403,
                "forbidden",
                f"{self.client.name} may not do this: it needs the scope {scope!r} as well.",
                f"An administrator can make a key with that scope (sdcp-key add NAME --scope {scope}), "
                "or grant it under [access] trusted.",
            )

    def with_key(self, text: str) -> Client:
        """Who asks, with a key that was typed into a page; the ``Refusal`` of a wrong one."""
        return self._access.with_key(self.client, text)

    @property
    def way(self) -> Way:
        """Where its path leads."""
        return cast(Request, self.request).way

    @property
    def is_proxied(self) -> bool:
        """Whether a configured proxy sent this, so that its forwarded headers count."""
        return self._access.is_proxied(self.request)

    @property
    def body(self) -> Body:
        """The streamed body of an upload."""
        assert isinstance(self.request, Request)
        return self.request.body

    def text(self, name: str, default: str = "") -> str:
        """A query parameter, the last if it is given several times."""
        found = self.request.args.get(name.encode("ascii"))
        return found[-1].decode("utf-8", "replace") if found else default

    def words(self, name: str) -> list[str]:
        """A query parameter that lists things with commas."""
        return [word.strip() for word in self.text(name).split(",") if word.strip()]

    def number(self, name: str, default: float, least: float, most: float) -> float:
        """A number, clamped to its range; a ``Refusal`` if it is none."""
        text = self.text(name)
        if not text:
            return default
        try:
            number = float(text)
        except ValueError:
            number = float("nan")
        if number != number:
            raise Refusal(400, "bad_parameter", f"{name}: expected a number from {least:g} to {most:g}, found {text!r}")
        return max(least, min(most, number))

    def flag(self, name: str) -> bool:
        """Whether a parameter is given and not 0, false or no."""
        return self.text(name).casefold() not in ("", "0", "false", "no", "off")

    def header(self, name: str) -> str:
        """A request header, empty if it is absent."""
        return header_of(self.request, name) or ""

    def json(self, type: type[T]) -> T:
        """The body as JSON of this type; a ``Refusal`` that names the place if it does not fit."""
        raw = self.request.content.read()
        try:
            return msgspec.json.decode(raw or b"{}", type=type)
        except msgspec.ValidationError as error:
            raise Refusal(422, "bad_body", f"The JSON body does not fit: {error}") from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Refusal(400, "bad_json", f"Expected a JSON body: {error}") from error


class Route(Struct, frozen=True):
    """One thing that can be asked for over HTTP."""

    method: str
    path: str
    """As Klein writes it: ``/v1/printers/<name>``."""
    scope: str | None
    """The permission it needs, one of ``SCOPES``; None for what anybody may ask."""
    handle: Callable[..., Result]
    """Called with the ``Call`` and the path's parameters; its first docstring line is the summary."""
    gives: Any = None
    """The type of a successful answer's JSON; None for other contents."""
    status: int = 200
    takes: Any = None
    """The type of the JSON body, if it has one."""
    query: tuple[Parameter, ...] = ()
    content: str = "application/json"
    """The content type of a successful answer."""
    upload: str = ""
    """The content type of a body that is streamed to the handler."""
    also: tuple[int, ...] = ()
    """Statuses of refusals that are particular to this route."""
    limited: bool = False
    """Whether keys that are limited to printers may come here, because the handler looks at ``Call.client`` and shows
    only what such a key may see. Where the path names the printer they may, and nothing has to be said."""
    audited: bool = True
    """Whether the audit log says who did it, where it changes something."""
    form: Form = NATIVE
    """How it says that something went wrong; a twin has a form of its own."""

    def __post_init__(self) -> None:
        if self.scope is not None and self.scope not in SCOPES:
            raise ValueError(f"{self.method} {self.path}: expected a scope of {SCOPES} or None, found {self.scope!r}")

    def call(self, access: Access, request: IRequest, parts: Mapping[str, str]) -> Any:
        """Check the request, then handle it; whatever is refused or goes wrong is raised or fails."""
        found = _PRINTER.search(self.path)
        is_meant = cast(Request, request).way.is_meant
        limited = self.limited or self.scope is None or is_meant
        printer = None if found is None or is_meant else parts.get(found[1])
        client = access.check(request, self.scope, printer, limited=limited)
        call = Call(request, client, access)
        answered = self.handle(call, **parts)
        if self.audited and self.method not in _SAFE:
            return answered.addCallback(_noted, call) if isinstance(answered, Deferred) else _noted(answered, call)
        return answered


def _noted(answer: Answer | IResource, call: Call) -> Answer | IResource:
    if isinstance(answer, Answer) and answer.status < 400:
        call.audit(answer.status)
    return answer


class _Tree(Resource):
    """Klein's tree, with a short way to paths in which nothing varies but the printer: pollers ask for nothing else."""

    isLeaf = True

    def __init__(self, klein: Klein, routes: Iterable[Route], access: Access, form_of: FormOf) -> None:
        super().__init__()
        self._klein = klein.resource()
        self._access = access
        self._form_of = form_of
        paths = {route.path.encode("ascii"): route for route in routes if route.method == "GET"}
        self._plain = {path: route for path, route in paths.items() if b"<" not in path.removeprefix(_BELOW)}

    def render(self, request: IRequest) -> bytes | int:
        """Route the request, if its path and its Host can be read at all."""
        cast(Request, request).also = self._access.headers(request)
        try:
            preflight = self._access.preflight(request)
        except Refusal:
            preflight = _refused(request, self._form_of)
        if preflight is not None:
            return write(request, preflight)
        route, parts = self._find(request.path) if request.method == b"GET" else (None, {})
        if route is not None:
            return self._render_plain(route, parts, cast(Request, request))
        try:
            b"/".join(request.postpath).decode("utf-8")
            request.getRequestHostname().decode("utf-8")
            return cast(int, self._klein.render(request))
        except (UnicodeDecodeError, HTTPException):
            body = ErrorBody("bad_request", "The path or the Host is no UTF-8 text or no name.", "Check the address.")
            return write(request, self._form_of(request).answer(request, 400, body, {}))

    def _find(self, path: bytes) -> tuple[Route | None, Mapping[str, str]]:
        """The route of a path that has no variable parts, but perhaps the printer's name."""
        named = PREFIX.match(path)
        if named is None:
            return self._plain.get(path), {}
        if not _SIMPLE.fullmatch(named[1]):
            return None, {}
        return self._plain.get(_BELOW + path[named.end() :]), {"name": named[1].decode("ascii")}

    def _render_plain(self, route: Route, parts: Mapping[str, str], request: Request) -> int:
        def run() -> Any:
            return route.call(self._access, request, parts)

        answered: Deferred[Answer] = maybeDeferred(run)
        left = request.notifyFinish()
        left.addErrback(lambda _: answered.cancel())

        def finish(answer: Answer) -> None:
            if not left.called:
                request.write(write(request, answer))
                request.finish()

        # What ``refused`` hands on is the end of a client that left.
        answered.addErrback(_told, request, self._form_of).addCallbacks(finish, lambda _: None)
        return NOT_DONE_YET


def tree(routes: Iterable[Route], access: Access, form_of: FormOf = lambda request: NATIVE) -> IResource:
    """Routes as a resource; every answer, good or bad, leaves in one piece."""
    routes = list(routes)
    klein = _Klein()
    klein.url_map.converters["dotless"] = _Dotless
    for route in routes:
        klein.route(route.path, methods=[route.method], endpoint=f"{route.method} {route.path}")(
            _handler(route, access, form_of)
        )
    klein.handle_errors(NotFound)(_unrouted(access, form_of, _not_found))
    klein.handle_errors(MethodNotAllowed)(_unrouted(access, form_of, _not_allowed))
    return _Tree(klein, routes, access, form_of)


class _Klein(Klein):
    """Klein over paths that are only read."""

    def __init__(self) -> None:
        super().__init__()
        self._url_map = _Paths()


class _Paths(Map):
    """Paths that are matched, from which no address is built."""

    def add(self, rulefactory: RuleFactory) -> None:
        for rule in rulefactory.get_rules(self):
            super().add(_Path(rule.rule, **rule.get_empty_kwargs()))


class _Path(Rule):
    """Without the functions that build addresses, which werkzeug compiles for each: most of the time of ``tree``."""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        return _build_nothing


def _build_nothing(_: Rule, **values: object) -> tuple[str, str]:
    raise NotImplementedError("paths are matched only")


class _Dotless(BaseConverter):
    """``<dotless:name>``: one part of a path in which no dot may be."""

    regex = "[^/.]+"


def streams(routes: Iterable[Route]) -> Callable[[bytes, bytes], bool]:
    """Tells of a method and a path (decoded, with single slashes) whether its body is streamed to a route."""
    found = [(r.method.encode("ascii"), re.compile(_pattern(r.path), re.DOTALL)) for r in routes if r.upload]

    def streamed(method: bytes, path: bytes) -> bool:
        return any(method == own and pattern.fullmatch(path) for own, pattern in found)

    return streamed


def _pattern(path: str) -> bytes:
    parts = _PART.split(path)  # text, converter, text, ...
    text = "".join(
        re.escape(part or "") if n % 2 == 0 else ".+" if part == "path" else "[^/]+" for n, part in enumerate(parts)
    )
    return text.encode("ascii")


def _handler(route: Route, access: Access, form_of: FormOf) -> Callable[..., Deferred[bytes | IResource]]:
    def handle(request: IRequest, **parts: str) -> Deferred[bytes | IResource]:
        def run() -> Any:
            return route.call(access, request, parts)

        answered: Deferred[Answer | IResource] = maybeDeferred(run)
        answered.addErrback(_told, request, form_of)
        return answered.addCallback(lambda answer: write(request, answer) if isinstance(answer, Answer) else answer)

    return handle


def _unrouted(access: Access, form_of: FormOf, answer: Callable[[IRequest, Any, Form], Answer]) -> Any:
    """Where no route is, the same rules hold: nobody learns from the paths what a key would tell."""

    def handle(request: IRequest, failure: Any) -> bytes:
        try:
            access.check(request, None)
        except Refusal:
            return write(request, _refused(request, form_of))
        return write(request, answer(request, failure, form_of(request)))

    return handle


def _told(failure: Failure, request: IRequest, form_of: FormOf) -> Answer | Failure:
    return refused(failure, request, form_of(request))


def _refused(request: IRequest, form_of: FormOf) -> Answer:
    """The answer to the ``Refusal`` that is being handled."""
    return cast(Answer, _told(Failure(), request, form_of))


def _not_found(request: IRequest, failure: object, form: Form) -> Answer:
    way = cast(Request, request).way
    path = way.asked.decode("utf-8", "replace")[:200]
    hint = _ALONE if way.within else "GET /openapi.json lists what there is."
    body = ErrorBody("not_found", f"There is nothing at {path}.", hint)
    return form.answer(request, 404, body, {})


def _not_allowed(request: IRequest, failure: Any, form: Form) -> Answer:
    allowed = ", ".join(sorted(failure.value.valid_methods or ()))
    method = request.method.decode("ascii", "replace")[:20]
    body = ErrorBody("method_not_allowed", f"{method} is not possible here; possible: {allowed}.")
    return form.answer(request, 405, body, {"Allow": allowed})
