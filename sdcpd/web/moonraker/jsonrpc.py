"""``POST server/jsonrpc``: many questions in one request (reference apis.md 3.1).

One decision: one dispatcher over the endpoints that HTTP has, and the names of its methods are made from their list,
so a method can neither be missing nor do something else. The answer is always 200; what went wrong is in the
envelope. A batch leaves its turn to others between its questions, and its answer is bounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from sdcpd.web.answer import Answer, json_answer
from sdcpd.web.errors import verdict
from sdcpd.web.moonraker.arguments import Arguments
from sdcpd.web.moonraker.endpoint import Ask, Endpoint, answer, methods_of
from sdcpd.web.moonraker.form import no, trouble

__all__ = ["MOST", "MOST_BYTES", "SLICE", "JsonRpcEndpoint"]

MOST = 100
"""Questions in one batch."""
MOST_BYTES = 8 * 2**20
"""Bytes of a batch's answer, beyond which no further question is asked: several whole lists of a full store."""
SLICE = 0.02
"""Seconds after which a batch leaves its turn to others."""

_PARSE_ERROR = (-32700, "Parse error")
_INVALID_REQUEST = (-32600, "Invalid Request")
_NO_METHOD = (-32601, "Method not found")
_INVALID_PARAMS = (-32602, "Invalid params")
_TOO_LONG = (-32000, "Not asked: the answer to this batch is too long already. Ask in several batches.")
_SOCKETS_ONLY = {
    "printer.objects.subscribe": (-32601, "Subscriptions not available for HTTP transport"),
    "server.connection.identify": (-32601, "Method not found for transport HTTP"),
}


class JsonRpcEndpoint:
    """A handler over the other endpoints."""

    def __init__(self, endpoints: Iterable[Endpoint], clock: IReactorTime) -> None:
        self._clock = clock
        self.methods: Mapping[str, Endpoint] = methods_of(endpoints)
        path = "/server/jsonrpc"
        self.endpoints = (
            Endpoint(
                "POST",
                path,
                "view",
                self.post,
                None,
                rpc=None,
                wrapped=False,
                also=(400,),
                audited=False,
                reads_body=False,
            ),
        )

    def post(self, ask: Ask) -> Deferred[Answer]:
        """Ask one or several things by JSON-RPC 2.0."""
        return Deferred.fromCoroutine(self._post(ask))

    async def _post(self, ask: Ask) -> Answer:
        call = ask.http
        kind = call.header("content-type").partition(";")[0].strip().casefold()
        if kind != "application/json":
            raise no(400, "Expected the Content-Type application/json")
        try:
            asked = msgspec.json.decode(call.request.content.read())
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return json_answer(_error(_PARSE_ERROR, None))
        if not isinstance(asked, list):
            reply = await self._one(ask, asked)
            return Answer(200) if reply is None else json_answer(reply)
        if not asked or len(asked) > MOST:
            return json_answer(_error(_INVALID_REQUEST, None))
        told = await self._batch(ask, asked)
        return json_answer(told) if told else Answer(200)

    async def _batch(self, ask: Ask, asked: list[object]) -> list[msgspec.Raw]:
        """The replies to many questions, encoded one by one: none of them lies in memory as objects and as text."""
        told: list[msgspec.Raw] = []
        size, since = 0, self._clock.seconds()
        for one in asked:
            if size > MOST_BYTES:
                reply: dict[str, Any] | None = _error(_TOO_LONG, one.get("id") if isinstance(one, dict) else None)
            else:
                reply = await self._one(ask, one)
            if reply is not None:
                told.append(msgspec.Raw(msgspec.json.encode(reply)))
                size += len(told[-1])
            if self._clock.seconds() - since > SLICE:
                await deferLater(self._clock, 0)
                since = self._clock.seconds()
        return told

    async def _one(self, ask: Ask, asked: object) -> dict[str, Any] | None:
        """The reply to one question; None to a notification, which is done and not answered."""
        if not isinstance(asked, dict) or asked.get("jsonrpc") != "2.0" or not isinstance(asked.get("method"), str):
            return _error(_INVALID_REQUEST, asked.get("id") if isinstance(asked, dict) else None)
        number = asked.get("id")
        if number is not None and not isinstance(number, str | int | float):
            return _error(_INVALID_REQUEST, None)
        try:
            reply = await self._asked(ask, asked["method"], asked.get("params"))
        except _Known as known:
            reply = {"error": {"code": known.code, "message": known.message}}
        except Exception:
            said = trouble(*verdict(Failure())[:2])
            reply = {"error": {"code": said.code, "message": said.message}}
        return {"jsonrpc": "2.0", **reply, "id": number} if "id" in asked else None

    async def _asked(self, ask: Ask, method: str, params: object) -> dict[str, Any]:
        if method in _SOCKETS_ONLY:
            raise _Known(*_SOCKETS_ONLY[method])
        endpoint = self.methods.get(method)
        if endpoint is None:
            raise _Known(*_NO_METHOD)
        if params is not None and not isinstance(params, dict):
            raise _Known(*_INVALID_PARAMS)
        if endpoint.scope is not None and endpoint.scope not in ask.client.scopes:
            raise _Known(401, "Unauthorized") if not ask.client.key else _Known(403, f"needs {endpoint.scope!r}")
        result = await answer(endpoint, Ask(ask.printer, ask.client, Arguments(params or {})))
        if endpoint.audited and endpoint.method != "GET":
            ask.http.audit(200, f" {method}")
        return {"result": result}


class _Known(Exception):
    """An error of the envelope."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def _error(what: tuple[int, str], number: object) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "error": {"code": what[0], "message": what[1]}, "id": number}
