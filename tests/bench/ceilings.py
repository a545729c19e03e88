"""What the daemon is compared with: the least that Twisted can do for the same bytes, each as its own process.

One decision: a ceiling does the same input and output and nothing else. It knows no printers, no permissions and
no routes, so the ratio to it is what sdcpd's own work costs. The first line of output is ``{"port": n}``.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from klein import Klein
from twisted.internet import reactor as _reactor  # noqa: TID251 (each ceiling is a program of its own)
from twisted.internet.protocol import Factory, Protocol
from twisted.web import http, server
from twisted.web.http import CACHED
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Site
from twisted.web.static import File

from tests.bench.bare_router import BareRouter

__all__: list[str] = []

reactor: Any = _reactor


class Acknowledge(Protocol):
    """Cuts MQTT packets naively and answers each; looks into none."""

    transport: Any

    def connectionMade(self) -> None:
        self._rest = b""
        self.transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        self._rest += data
        while len(self._rest) >= 2:
            size, at = self._rest[1] & 0x7F, 2
            if self._rest[1] & 0x80:
                if len(self._rest) < 3:
                    return
                size, at = size | self._rest[2] << 7, 3
            if len(self._rest) < at + size:
                return
            first, body = self._rest[0], self._rest[at : at + size]
            self._rest = self._rest[at + size :]
            if first >> 4 == 3:
                topic = 2 + int.from_bytes(body[:2], "big")
                self.transport.write(b"\x40\x02" + body[topic : topic + 2])
            elif first >> 4 == 1:
                self.transport.write(b"\x20\x02\x00\x00")
            elif first >> 4 == 8:
                self.transport.write(b"\x90\x03" + body[:2] + b"\x01")


class Fixed(Resource):
    """Answers each path with the same bytes, or 304 to who has them."""

    isLeaf = True

    def __init__(self, answers: dict[bytes, bytes]) -> None:
        super().__init__()
        self._answers = answers

    def render_GET(self, request: Any) -> bytes:
        if request.setETag(b"bench") is CACHED:
            return b""
        body = self._answers[request.path]
        request.setHeader(b"content-type", b"application/json")
        request.setHeader(b"content-length", b"%d" % len(body))
        return body


class Waiting(Resource):
    """Long polls: who has ``since`` waits until somebody asks for ``/wake``."""

    isLeaf = True

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self._body = body
        self._waiting: dict[Any, None] = {}

    def render_GET(self, request: Any) -> Any:
        if request.path == b"/wake":
            waiting, self._waiting = self._waiting, {}
            for one in waiting:
                self._answer(one)
                one.finish()
            return b"woken"
        if b"since" not in request.args:
            self._answer(request)
            request.finish()
            return NOT_DONE_YET
        self._waiting[request] = None
        request.notifyFinish().addErrback(lambda _: self._waiting.pop(request, None))
        return NOT_DONE_YET

    def _answer(self, request: Any) -> None:
        request.setHeader(b"content-type", b"application/json")
        request.setHeader(b"content-length", b"%d" % len(self._body))
        request.write(self._body)


class Farm(Resource):
    """What lookers of a farm ask for: the same bytes each time, at once or after so many seconds."""

    isLeaf = True

    def __init__(self, answers: dict[bytes, tuple[bytes, float]]) -> None:
        super().__init__()
        self._answers = answers

    def render_GET(self, request: Any) -> Any:
        body, delay = self._answers[request.path]
        request.setHeader(b"content-type", b"application/json")
        request.setHeader(b"content-length", b"%d" % len(body))
        if not delay or b"since" not in request.args:
            return body
        reactor.callLater(delay, self._answer, request, body)
        return NOT_DONE_YET

    @staticmethod
    def _answer(request: Any, body: bytes) -> None:
        if request.channel is not None:
            request.write(body)
            request.finish()


class Received(server.Request):
    """A request whose body goes to a file and through MD5 as it arrives, and is kept nowhere else."""

    target = Path()
    descriptor: int | None = None

    def gotLength(self, length: int | None) -> None:
        if length:
            self.descriptor = os.open(self.target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            self._md5 = hashlib.md5(usedforsecurity=False)
        else:
            super().gotLength(length)

    def handleContentChunk(self, data: bytes) -> None:
        if self.descriptor is not None:
            os.write(self.descriptor, data)
            self._md5.update(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        if self.descriptor is None:
            super().requestReceived(command, path, version)
            return
        self.method, self.clientproto = command, version
        os.fsync(self.descriptor)
        os.close(self.descriptor)
        answer = self._md5.hexdigest().encode()
        self.setResponseCode(http.CREATED)
        self.setHeader(b"content-length", b"%d" % len(answer))
        self.write(answer)
        self.finish()


def _klein(answers: dict[bytes, bytes]) -> IResource:
    app = Klein()
    for path, body in answers.items():

        def answer(request: IRequest, body: bytes = body) -> bytes:
            request.setHeader(b"content-type", b"application/json")
            return body

        app.route(path.decode(), methods=["GET"], endpoint=path.decode())(answer)
    return app.resource()


def _answers(file: str) -> dict[bytes, bytes]:
    found = json.loads(Path(file).read_text())
    return {path.encode(): body.encode() for path, body in found.items()}


def _factory(kind: str, argument: str) -> Any:
    match kind:
        case "mqtt":
            return Factory.forProtocol(Acknowledge)
        case "router":
            return Factory.forProtocol(BareRouter)
        case "resource":
            return Site(Fixed(_answers(argument)))
        case "klein":
            return Site(_klein(_answers(argument)))
        case "polls":
            return Site(Waiting(Path(argument).read_bytes()))
        case "farm":
            told = json.loads(Path(argument).read_text())
            return Site(Farm({path.encode(): (body.encode(), delay) for path, (body, delay) in told.items()}))
        case "files":
            Received.target = Path(argument) / "received"
            return Site(File(argument), requestFactory=Received)
    raise SystemExit(f"no such ceiling: {kind}")


def _listen(kind: str, argument: str) -> int:
    factory = _factory(kind, argument)
    factory.noisy = False
    port: int = reactor.listenTCP(0, factory, backlog=1024, interface="127.0.0.1").getHost().port
    return port


def _main() -> None:
    kind, argument = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
    ports = {"port": _listen(kind, argument)}
    if kind == "farm":  # a farm has two doors
        ports["mqtt"] = _listen("mqtt", "")
    sys.stdout.write(json.dumps(ports) + "\n")
    sys.stdout.flush()
    reactor.run()


if __name__ == "__main__":
    _main()
