"""SockJS without printers: an application that sends back what it hears, behind the real access rules, in memory."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import count
from typing import Any

from msgspec.structs import replace

from sdcpd.config import parse
from sdcpd.keys import Keys
from sdcpd.machine import Machine
from sdcpd.web.access import Access
from sdcpd.web.routes import Call, streams, tree
from sdcpd.web.site import Site
from sdcpd.web.sockjs import Connection, Session, SockJs
from sdcpd.web.sockjs.frames import encoded
from tests.fakes import FakeKeyRecords
from tests.web.rig import Pending, Reply, WebCase, head

PRELUDE = "h" * 2048 + "\n"


def body_of(data: bytes) -> tuple[int, dict[str, str], str, bool]:
    """Status, headers, body so far and whether it is complete, of an answer in chunks or up to the connection's end."""
    top, _, rest = data.partition(b"\r\n\r\n")
    first, *lines = top.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    status = int(first.split(" ", 2)[1])
    if headers.get("transfer-encoding") != "chunked":
        return status, headers, rest.decode(), len(rest) == int(headers.get("content-length", -1))
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            return status, headers, body.decode(), True
        body, rest = body + rest[:length], rest[length + 2 :]
    return status, headers, body.decode(), False


class Reading:
    """A client that reads a stream as it comes."""

    def __init__(self, pending: Pending) -> None:
        self.pending = pending
        self._read = 0

    @property
    def status(self) -> int:
        return body_of(self.pending.transport.value())[0]

    @property
    def headers(self) -> dict[str, str]:
        return body_of(self.pending.transport.value())[1]

    def read(self) -> str:
        """What came since the last time."""
        text = body_of(self.pending.transport.value())[2]
        found, self._read = text[self._read :], len(text)
        return found

    @property
    def over(self) -> bool:
        """Whether the server has ended this answer."""
        return body_of(self.pending.transport.value())[3]

    def stop(self) -> None:
        """From now on the client takes nothing, and what waits for it is more than the transport likes."""
        self.pending.channel.pauseProducing()

    def go_on(self) -> None:
        """The client has taken everything."""
        self.pending.channel.resumeProducing()

    def leave(self) -> None:
        self.pending.leave()


class Client:
    """One client of SockJS: it says its session's path once."""

    _names = count()

    def __init__(self, ask: Any, path: str = "", **more: Any) -> None:
        self._ask = ask
        self.path = path or f"/sockjs/000/session{next(self._names)}"
        self._more = more

    def begin(self, method: str, last: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Pending:
        pending: Pending = self._ask(method, f"{self.path}/{last}", body, headers, **self._more)
        return pending

    def xhr(self, headers: Mapping[str, str] | None = None) -> Reply:
        """One poll that is answered at once."""
        return self.begin("POST", "xhr", b"", headers).reply

    def poll(self) -> str:
        reply = self.xhr()
        assert reply.status == 200, reply
        return reply.body.decode()

    def send(self, body: bytes | str, headers: Mapping[str, str] | None = None) -> Reply:
        return self.begin("POST", "xhr_send", body if isinstance(body, bytes) else body.encode(), headers).reply

    def stream(self) -> Reading:
        return Reading(self.begin("POST", "xhr_streaming"))

    def event_source(self, headers: Mapping[str, str] | None = None) -> Reading:
        return Reading(self.begin("GET", "eventsource", b"", headers))


class Echo:
    """Sends back what it hears, except for two words; takes note of what it is told."""

    def __init__(self, session: Session, call: Call, place: str) -> None:
        self.session = session
        self.key = call.client.key
        self.place = place
        self.ready_count = 0
        self.closed_count = 0

    def received(self, message: object) -> None:
        if message == "close":
            self.session.close(3000, "Go away!")
        else:
            self.session.send(encoded(message))

    def ready(self) -> None:
        self.ready_count += 1

    def closed(self) -> None:
        self.closed_count += 1


class Echoes:
    """The application: an echo for each session; with ``closing`` it ends each at once."""

    def __init__(self) -> None:
        self.closing = False
        self.echoes: list[Echo] = []
        self.asked_by: list[str] = []

    def name_of(self, place: str) -> str:
        return place

    def opened(self, session: Session, call: Call, place: str) -> Connection:
        echo = Echo(session, call, place)
        self.echoes.append(echo)
        if self.closing:
            session.close(3000, "Go away!")
        return echo

    def asked(self, connection: Connection, call: Call, place: str) -> None:
        self.asked_by.append(call.client.key)


class SockCase(WebCase):
    """A test with a site that speaks only SockJS, at two places: ``/sockjs`` and ``/other/sockjs``."""

    config = ""

    def setUp(self) -> None:
        super().setUp()
        self.clock = self.rig.clock
        self.echoes = Echoes()
        self.sockjs: SockJs[str] = SockJs(self.echoes, self.clock)
        settings = parse(self.config)
        self.keys = Keys(FakeKeyRecords(), self.rig.wall)
        access = Access(
            settings.access,
            settings.web,
            keys=self.keys,
            identify=lambda name: None,
            look=lambda: Machine(frozenset({"hub.local"})),
            clock=self.clock,
        )
        routes = [
            replace(route, path=prefix + route.path, handle=partial(self._handle, route.handle, place))
            for route in self.sockjs.routes
            for place, prefix in (("here", ""), ("there", "/other"))
        ]
        self.rig.site = Site(tree(routes, access), streams(routes), self.clock)

    @staticmethod
    def _handle(handle: Any, place: str, call: Call, **parts: str) -> Any:
        return handle(call, place, **parts)

    def begin(
        self, method: str, target: str, body: bytes = b"", headers: Any = None, *, address: str = "127.0.0.1"
    ) -> Pending:
        return self.rig.begin(method, target, body, headers, address=address)

    def client(self, path: str = "", **more: Any) -> Client:
        return Client(self.begin, path, **more)

    def ask(self, method: str, target: str, body: bytes = b"", headers: Any = None, **more: Any) -> Reply:
        return self.begin(method, target, body, headers, **more).reply

    def old_client(self, target: str) -> Pending:
        """A request of HTTP/1.0."""
        pending = self.begin("GET", "/sockjs")
        data = head("POST", target, b"", {"Connection": "Keep-Alive"}).replace(b"HTTP/1.1", b"HTTP/1.0")
        pending = Pending(self.rig.site, pending.transport.getPeer(), False)
        pending.send(data)
        return pending
