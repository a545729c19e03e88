from __future__ import annotations

import gc
import tracemalloc
from typing import Any, cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.web.client import Client
from sdcpd.web.site import Site
from sdcpd.web.sockjs.receivers import Stream, Wire
from sdcpd.web.sockjs.session import EXPIRY, HEARTBEAT_EVERY, MOST_BYTES, MOST_WAITING, STALL, Connection, Session
from sdcpd.web.sockjs.sessions import MOST, MOST_PER_ADDRESS, Sessions
from tests.web.rig import RealCase
from tests.web.sockjs.rig import Echo, SockCase

SLOW = 'c[1011,"slow client"]\n'
TOO_MANY = 'c[1013,"Too many sessions"]\n'


class TimeTests(SockCase):
    """What happens when nothing happens."""

    def test_poll_heartbeat(self) -> None:
        """A poll without news is answered with a heartbeat, before a proxy gives up on it."""
        client = self.client()
        client.poll()
        poll = client.begin("POST", "xhr")
        self.clock.advance(HEARTBEAT_EVERY - 0.1)
        self.assertFalse(poll.answered)
        self.clock.advance(0.1)
        self.assertEqual(poll.reply.body, b"h\n")

    def test_stream_heartbeat(self) -> None:
        """A stream gets a heartbeat after 25 quiet seconds; each message puts it off."""
        client = self.client()
        stream = client.event_source()
        stream.read()
        self.clock.advance(HEARTBEAT_EVERY - 1)
        client.send('["x"]')
        self.assertEqual(stream.read(), 'data: a["x"]\r\n\r\n')
        self.clock.advance(HEARTBEAT_EVERY - 1)
        self.assertEqual(stream.read(), "")
        self.clock.advance(1)
        self.assertEqual(stream.read(), "data: h\r\n\r\n")
        self.clock.pump([HEARTBEAT_EVERY] * 3)
        self.assertEqual(stream.read(), "data: h\r\n\r\n" * 3)

    def test_expiry(self) -> None:
        """A client that asks no more is forgotten after five seconds, and the application is told once."""
        client = self.client()
        client.poll()
        self.clock.advance(EXPIRY - 0.1)
        self.assertEqual(client.send('["x"]').status, 204)
        self.assertEqual(self.echoes.echoes[0].closed_count, 0)
        self.clock.advance(0.1)
        self.assertEqual(self.echoes.echoes[0].closed_count, 1)
        self.assertEqual(client.send('["x"]').status, 404)
        self.assertEqual(len(self.sockjs.sessions), 0)
        self.clock.advance(60)
        self.assertEqual(self.echoes.echoes[0].closed_count, 1)

    def test_polling_keeps(self) -> None:
        """A client that asks again in time stays, for as long as it likes."""
        client = self.client()
        client.poll()
        for _ in range(20):
            self.clock.advance(EXPIRY - 0.1)
            client.send('["x"]')
            self.assertEqual(client.poll(), 'a["x"]\n')

    def test_streaming_keeps(self) -> None:
        """A stream keeps its session without a word from its client."""
        client = self.client()
        client.stream()
        self.clock.pump([HEARTBEAT_EVERY] * 100)
        self.assertEqual(client.send('["x"]').status, 204)

    def test_closed_once(self) -> None:
        """Whichever way a session ends, the application hears of it once."""
        ends = {
            "abort": lambda client: client.stream().leave(),
            "close": lambda client: client.send('["close"]'),
            "expiry": lambda client: None,
        }
        for name, end in ends.items():
            client = self.client()
            client.poll()
            end(client)
            self.clock.advance(EXPIRY)
            self.assertEqual(self.echoes.echoes[-1].closed_count, 1, name)
        self.echoes.closing = True
        self.client().poll()
        self.assertEqual(self.echoes.echoes[-1].closed_count, 1)

    def test_end_is_told(self) -> None:
        """The end of a session is told for five seconds, however it was received, and then it is forgotten."""
        for begin in ("stream", "poll"):
            client = self.client()
            getattr(client, begin)()
            self.clock.advance(EXPIRY - 1)
            client.send('["close"]')
            self.clock.advance(EXPIRY - 0.1)
            self.assertEqual(client.poll(), 'c[3000,"Go away!"]\n')
            self.clock.advance(0.1)
            self.assertEqual(len(self.sockjs.sessions), 0, begin)

    def test_unused(self) -> None:
        """A session that was meant to be opened and never was is forgotten, too."""
        sessions = Sessions(self.clock)
        sessions.open("here", client_at("127.0.0.1"), "x", never)
        self.clock.advance(EXPIRY)
        self.assertEqual(len(sessions), 0)


def client_at(address: str, counted_as: str = "") -> Client:
    return Client(address, address == "127.0.0.1", frozenset(), counted_as or address)


def never(session: Session) -> Connection:
    raise AssertionError("nobody has received yet")


class WaitingTests(SockCase):
    """What waits for a client, and how much."""

    def test_most(self) -> None:
        """As many messages wait as the limit says, and come in one frame, in order."""
        client = self.client()
        client.poll()
        session = self.echoes.echoes[0].session
        for n in range(MOST_WAITING):
            self.assertEqual(session.room, MOST_WAITING - n)
            client.send(f'["{n}"]')
        self.assertEqual(client.poll(), "a[" + ",".join(f'"{n}"' for n in range(MOST_WAITING)) + "]\n")

    def test_too_many(self) -> None:
        """One more, and the session ends with a word that says why; nothing was dropped in silence."""
        client = self.client()
        client.poll()
        for n in range(MOST_WAITING + 1):
            client.send(f'["{n}"]')
        self.assertEqual(client.poll(), SLOW)
        self.assertEqual(self.echoes.echoes[0].closed_count, 1)
        self.echoes.echoes[0].session.send(b'"late"')
        self.assertEqual(client.poll(), SLOW)

    def test_too_large(self) -> None:
        """Large messages count by their bytes; a single one may be any size."""
        client = self.client()
        client.poll()
        session = self.echoes.echoes[0].session
        session.send(b'"' + b"x" * MOST_BYTES + b'"')
        self.assertEqual(len(client.poll()), MOST_BYTES + len('a[""]\n'))
        for _ in range(3):
            session.send(b'"' + b"x" * (MOST_BYTES // 2 - 2) + b'"')
        self.assertEqual(client.poll(), SLOW)

    def test_ready(self) -> None:
        """The application is told when a message would be on its way at once, and only then."""
        client = self.client()
        client.poll()
        echo = self.echoes.echoes[0]
        self.assertEqual((echo.session.ready, echo.ready_count), (False, 0))
        client.begin("POST", "xhr")
        self.assertEqual((echo.session.ready, echo.ready_count), (True, 1))
        client.send('["x"]')
        self.assertFalse(echo.session.ready)
        client.send('["y"]')
        client.poll()
        self.assertEqual((echo.session.ready, echo.ready_count), (False, 1))
        client.stream()
        self.assertEqual((echo.session.ready, echo.ready_count), (True, 2))
        client.send('["close"]')
        self.assertFalse(echo.session.ready)


class SlowTests(SockCase):
    """A client that opens a stream and does not read it."""

    def setUp(self) -> None:
        super().setUp()
        self.slow = self.client()
        self.stream = self.slow.stream()
        self.stream.read()
        self.stream.stop()

    def send(self, count: int) -> None:
        for n in range(count):
            self.slow.send(f'["{n}"]')

    def test_goes_on(self) -> None:
        """While its transport is full nothing more is written to it; what waited comes when it has read."""
        self.send(3)
        self.assertEqual(self.stream.read(), "")
        self.assertFalse(self.echoes.echoes[0].session.ready)
        self.stream.go_on()
        self.assertEqual(self.stream.read(), 'a["0","1","2"]\n')
        self.assertTrue(self.echoes.echoes[0].session.ready)

    def test_cut_off(self) -> None:
        """When too much waits it is hung up on, and learns why if it ever asks again."""
        self.send(MOST_WAITING + 1)
        self.assertTrue(self.stream.pending.transport.disconnected)
        self.assertEqual(self.stream.read(), "")
        self.assertEqual(self.slow.poll(), SLOW)

    def test_stalled(self) -> None:
        """A stream of which nothing is read for half a minute is hung up on, though little waits."""
        self.send(1)
        self.clock.advance(STALL - 0.1)
        self.assertFalse(self.stream.pending.transport.disconnected)
        self.clock.advance(0.1)
        self.assertTrue(self.stream.pending.transport.disconnected)
        self.assertEqual(self.slow.poll(), SLOW)

    def test_no_heartbeat(self) -> None:
        """A heartbeat is not added to what is not read; it comes again when the client reads."""
        self.clock.advance(HEARTBEAT_EVERY)
        self.assertEqual(self.stream.read(), "")
        self.stream.go_on()
        self.clock.advance(HEARTBEAT_EVERY)
        self.assertEqual(self.stream.read(), "h\n")

    def test_leaves(self) -> None:
        """It may leave while it is blocked."""
        self.send(3)
        self.stream.leave()
        self.assertEqual(self.slow.poll(), 'c[1002,"Connection interrupted"]\n')

    def test_others(self) -> None:
        """Another client hears everything meanwhile."""
        other = self.client()
        stream = other.stream()
        self.send(MOST_WAITING + 1)
        other.send('["x"]')
        self.assertTrue(stream.read().endswith('a["x"]\n'))


class RealSlowTests(RealCase):
    """The same over a real connection, where the kernel says how much may wait."""

    async def test_cut_off(self) -> None:
        """What waits for a client that reads nothing is bounded, and it is hung up on when there is too much."""
        found = Sessions(Clock()).open("here", client_at("127.0.0.1"), "slow", connected)
        assert found is not None
        stream = Stream(found, Wire("text/plain", b"", b"", b"\n"))
        stream._left = 2**40  # the limit of a stream would end it before the kernel's buffers are full
        port = self.listen(Site(stream, lambda method, path: False, Clock()))
        exchange = self.connect(port, "GET", "/")
        await exchange.began
        message = b'"' + b"x" * 60_000 + b'"'
        sent = 0
        while found.ready:
            found.send(message)
            sent += 1
            self.assertLess(sent, 1000, "it never blocks")
        for _ in range(MOST_WAITING + 1):
            found.send(b'"more"')
        self.assertFalse(found.is_open)
        exchange.go_on()
        self.assertNotIn(b"more", await exchange.done)


class NumberTests(SockCase):
    """How many sessions there may be."""

    def test_per_address(self) -> None:
        """One address has room for eight, at all places together; this machine for as many as a place has."""
        for n in range(MOST_PER_ADDRESS):
            path = ("/sockjs", "/other/sockjs")[n % 2]
            self.assertEqual(self.client(f"{path}/0/s{n}", address="192.168.1.5").poll(), "o\n")
        for client in (self.client(address="192.168.1.5"), self.client("/other/sockjs/0/x", address="192.168.1.5")):
            self.assertEqual(client.poll(), TOO_MANY)
            self.assertTrue(client.stream().read().endswith(TOO_MANY))
            self.assertEqual(client.event_source().read(), f"\r\ndata: {TOO_MANY[:-1]}\r\n\r\n")
        self.assertEqual(self.client(address="192.168.1.6").poll(), "o\n")
        for _ in range(MOST_PER_ADDRESS + 1):
            self.assertEqual(self.client().poll(), "o\n")
        self.clock.advance(EXPIRY)
        self.assertEqual(self.client(address="192.168.1.5").poll(), "o\n")

    def test_per_place(self) -> None:
        """A place has room for 256, and the next one is told to come later; elsewhere there is room."""
        clients = [self.client() for _ in range(MOST)]
        for client in clients:
            self.assertEqual(client.poll(), "o\n")
        self.assertEqual(self.client().poll(), TOO_MANY)
        self.assertEqual(self.client("/other/sockjs/0/x").poll(), "o\n")
        self.assertEqual(clients[0].send('["x"]').status, 204)
        self.clock.advance(EXPIRY)
        self.assertEqual(len(self.sockjs.sessions), 0)
        self.assertEqual(self.client().poll(), "o\n")

    def test_own_names(self) -> None:
        """Who knows the name of another address's session has one of its own under it."""
        mine, thine = (self.client("/sockjs/0/same", address=f"192.168.1.{n}") for n in (5, 6))
        self.assertEqual((mine.poll(), thine.poll()), ("o\n", "o\n"))
        mine.send('["secret"]')
        waiting = thine.begin("POST", "xhr")
        self.assertFalse(waiting.answered)
        self.assertEqual(mine.poll(), 'a["secret"]\n')

    def test_own_places(self) -> None:
        """The same name at two places is two sessions."""
        self.client("/sockjs/0/same").poll()
        self.assertEqual(self.client("/other/sockjs/0/same").poll(), "o\n")
        self.assertEqual([echo.place for echo in self.echoes.echoes], ["here", "there"])

    def test_household(self) -> None:
        """An IPv6 network is one household."""
        sessions = Sessions(self.clock)
        for n in range(MOST_PER_ADDRESS):
            self.assertTrue(sessions.open("here", client_at(f"2001:db8::{n}", "2001:db8::/64"), "x", never))
        self.assertIsNone(sessions.open("here", client_at("2001:db8::99", "2001:db8::/64"), "x", never))

    def test_stop(self) -> None:
        """When the daemon stops everybody is told to go, and nobody comes in any more."""
        client, other = self.client(), self.client()
        stream = client.stream()
        other.poll()
        self.sockjs.stop()
        self.assertTrue(stream.read().endswith('c[3000,"Go away!"]\n'))
        self.assertEqual(other.poll(), 'c[3000,"Go away!"]\n')
        self.assertEqual(self.client().poll(), 'c[3000,"Go away!"]\n')

    def test_rights(self) -> None:
        """The application hears who opened a session, and each time who asks."""
        made: Any = self.keys.make("widget", ["view"])
        client = self.client()
        client.xhr({"X-Api-Key": made.result[1]})
        self.assertEqual((self.echoes.echoes[0].key, self.echoes.asked_by), ("widget", []))
        client.begin("POST", "xhr", b"", {"X-Api-Key": made.result[1]})
        client.xhr()
        self.assertEqual(self.echoes.asked_by, ["widget", ""])
        self.assertEqual(client.xhr({"X-Api-Key": "wrong"}).status, 401)


class MemoryTests(SynchronousTestCase):
    """What idle sessions cost."""

    def test_idle(self) -> None:
        """A full place of sessions between two polls costs less than 3 KiB each."""
        clock = Clock()
        sessions = Sessions(clock)
        gc.collect()
        tracemalloc.start()
        try:
            for n in range(MOST):
                session = sessions.open("here", client_at("127.0.0.1"), f"session{n}", connected)
                assert session is not None
                session.attach(Once())
            gc.collect()
            size = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        self.assertEqual(len(sessions), MOST)
        self.assertLess(size / MOST, 3 * 1024)
        clock.advance(EXPIRY)
        self.assertEqual((len(sessions), clock.getDelayedCalls()), (0, []))


class Once:
    """A poll that was answered."""

    blocked = False

    def take(self, frame: bytes) -> bool:
        return False

    def finish(self) -> None:
        """Nobody reads it."""

    def cut(self) -> None:
        """Nobody reads it."""


def connected(session: Session) -> Connection:
    return Echo(session, cast(Any, _Anybody), "here")


class _Anybody:
    client = client_at("127.0.0.1")
