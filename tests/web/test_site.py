"""Whole connections in memory: bytes in at one end of ``Site``, bytes out at the same end."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from typing import NamedTuple

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import HTTPChannel
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from sdcpd.errors import Interrupted, StoreFull
from sdcpd.logs import set_level
from sdcpd.web import site as web_site
from sdcpd.web.site import MAX_SMALL_BODY, Request, Site, redacted
from tests.web.rig import Pending

MAX_DRAIN = web_site.MAX_DRAIN


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


def answers(data: bytes, to_head: bool = False) -> list[Answer]:
    """What a client would make of these bytes."""
    found = []
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        size = 0 if to_head else int(headers.get("content-length", 0))
        found.append(Answer(int(first.split()[1]), headers, data[:size]))
        data = data[size:]
    return found


class Desk(Resource):
    """Every path; each test says how requests are handled."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Request] = []
        self.handle: Callable[[Request], bytes | int] = lambda request: request.path

    def render(self, request: IRequest) -> bytes | int:
        assert isinstance(request, Request)
        self.seen.append(request)
        return self.handle(request)


class Client(Pending):
    """One connection; what is sent waits while the server does not read."""

    def __init__(self, site: Site, cut: int | None, clock: Clock) -> None:
        super().__init__(site, None, to_head=False)
        self.cut = cut
        self.waiting = b""
        self.clock = clock

    def send(self, data: bytes) -> None:
        self.waiting += data
        self.go_on()

    def go_on(self) -> None:
        while self.waiting and self.transport.producerState == "producing" and not self.closed:
            size = self.cut or len(self.waiting)
            data, self.waiting = self.waiting[:size], self.waiting[size:]
            self.channel.dataReceived(data)
            while self.channel.paused:  # requests wait that were sent ahead
                self.clock.advance(0)

    @property
    def closed(self) -> bool:
        return bool(self.transport.disconnecting)

    @property
    def answers(self) -> list[Answer]:
        return answers(self.transport.value())


class SiteCase(SynchronousTestCase):
    cut: int | None = None

    def setUp(self) -> None:
        self.clock = Clock()
        self.desk = Desk()
        self.site = Site(self.desk, lambda method, path: method == b"PUT" and path.startswith(b"/f/"), self.clock)
        self.client = Client(self.site, self.cut, self.clock)
        self.file = BytesIO()
        self.delivery: Deferred[int] | None = None

    def ask(self, data: bytes) -> Answer:
        self.client.send(data)
        return self.client.answers[-1]

    def store(self, request: Request) -> int:
        """Handle a request by reading its body into ``self.file``."""

        def stored(size: int) -> None:
            request.setResponseCode(201)
            request.setHeader(b"Content-Length", b"2")
            request.write(b"ok")
            request.finish()

        self.delivery = request.body.deliver_to(self.file)
        self.delivery.addCallback(stored)
        return NOT_DONE_YET

    def refuse(self, request: Request) -> bytes:
        request.setResponseCode(401)
        return b"key?"

    def wait(self, request: Request) -> int:
        return NOT_DONE_YET


class PathTests(SiteCase):
    def path_of(self, target: bytes) -> bytes:
        return self.ask(b"GET " + target + b" HTTP/1.1\r\n\r\n").body

    def test_slashes(self) -> None:
        """An address typed with too many slashes works, and is not redirected."""
        for target in (b"/v1/printers", b"//v1///printers", b"/v1/printers/", b"/v1%2F%2fprinters//?a=1"):
            self.assertEqual(self.path_of(target), b"/v1/printers")
        for root in (b"/", b"//", b"/?a"):
            self.assertEqual(self.path_of(root), b"/")

    def test_query(self) -> None:
        """What stands behind the question mark reaches the handler, empty values too."""
        self.path_of(b"/a?x=1&x=2&y=&z=%2F")
        self.assertEqual(self.desk.seen[0].args, {b"x": [b"1", b"2"], b"y": [b""], b"z": [b"/"]})

    def test_no_path(self) -> None:
        """A target that is no path gets a readable refusal."""
        answer = self.ask(b"GET http://elsewhere/ HTTP/1.1\r\n\r\n")
        self.assertEqual((answer.status, json.loads(answer.body)["error"]["code"]), (400, "bad_request"))
        self.assertEqual(self.desk.seen, [])

    def test_no_http(self) -> None:
        """Garbage gets a readable refusal and the connection ends."""
        number = b"9" * 5000
        for garbage in (b"hello\r\n", b"POST / HTTP/1.1\r\nContent-Length: %b\r\nA: b\r\n\r\n" % number):
            self.client = Client(self.site, self.cut, self.clock)
            answer = self.ask(garbage)
            self.assertEqual((answer.status, json.loads(answer.body)["error"]["code"]), (400, "bad_request"))
            self.assertTrue(self.client.closed)
        self.assertEqual((self.desk.seen, len(self.client.answers)), ([], 1))

    def test_no_http_to_head(self) -> None:
        """Even that refusal has no body where the question was HEAD, only the length that it would have."""
        self.client.send(b"HEAD / HTTP/1.1\r\nContent-Length: x\r\n\r\n")
        (answer,) = answers(self.client.transport.value(), to_head=True)
        self.assertEqual((answer.status, answer.body), (400, b""))
        self.assertGreater(int(answer.headers["content-length"]), 0)
        self.assertTrue(self.client.closed)

    def test_large_head(self) -> None:
        """A head of more than 16 kB, in one line or in many, gets a readable refusal and the connection ends."""
        line = b"A: " + b"a" * 1000 + b"\r\n"
        for large in (
            b"GET /" + b"a" * 17000,
            b"GET / HTTP/1.1\r\nA: " + b"a" * 17000,
            b"GET / HTTP/1.1\r\n" + line * 17,
        ):
            for end in (b"", b"\r\n\r\n"):
                self.client = Client(self.site, self.cut, self.clock)
                answer = self.ask(large + end)
                self.assertEqual((answer.status, json.loads(answer.body)["error"]["code"]), (431, "head_too_large"))
                self.assertEqual((self.client.closed, len(self.client.answers)), (True, 1))
        self.assertEqual(self.desk.seen, [])


class SmallBodyTests(SiteCase):
    """Requests that are handled when their body is complete."""

    def content(self, request: Request) -> bytes:
        return request.content.read()

    def test_content(self) -> None:
        """A JSON command reaches its handler whole; a form is not taken apart; the connection stays."""
        self.desk.handle = self.content
        head = b"POST /a?b=1 HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        for _ in range(2):
            self.assertEqual(self.ask(head + b"Content-Length: 7\r\n\r\nc=2&d=3").body, b"c=2&d=3")
        chunks = b"Transfer-Encoding: chunked\r\n\r\n3\r\nc=2\r\n4\r\n&d=3\r\n0\r\n\r\n"
        self.assertEqual(self.ask(head + chunks).body, b"c=2&d=3")
        self.assertEqual([request.args for request in self.desk.seen], [{b"b": [b"1"]}] * 3)
        self.assertRaises(RuntimeError, lambda: self.desk.seen[0].body)

    def test_multipart_stays_bytes(self) -> None:
        """A multipart form outside the upload routes costs no more than its own bytes."""
        self.desk.handle = self.content
        form = b'--x\r\nContent-Disposition: form-data; name="file.path"\r\n\r\n/etc/passwd\r\n--x--\r\n'
        head = b"POST / HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: %d\r\n\r\n"
        self.assertEqual(self.ask(head % len(form) + form).body, form)
        self.assertEqual(self.desk.seen[0].args, {})

    def test_largest(self) -> None:
        """A body of exactly the limit is taken, in memory."""
        self.desk.handle = self.content
        body = bytes(MAX_SMALL_BODY)
        self.assertEqual(self.ask(b"POST / HTTP/1.1\r\nContent-Length: 65536\r\n\r\n" + body).body, body)

    def test_none(self) -> None:
        """A site that wants no bodies refuses each before it is sent, and asks for none; an empty one is none."""
        self.site.max_body = 0
        for framing in (b"Content-Length: 1", b"Transfer-Encoding: chunked"):
            for expect in (b"", b"Expect: 100-continue\r\n"):
                self.client = Client(self.site, self.cut, self.clock)
                self.assert_too_large(self.ask(b"POST / HTTP/1.1\r\n%b%b\r\n\r\n" % (expect, framing)))
        self.client = Client(self.site, self.cut, self.clock)
        self.assertEqual(self.ask(b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n").status, 200)

    def assert_too_large(self, answer: Answer) -> None:
        error = json.loads(answer.body)["error"]
        self.assertEqual((answer.status, error["code"]), (413, "body_too_large"))
        self.assertEqual(sorted(error), ["code", "hint", "message"])
        self.assertEqual(answer.headers["connection"], "close")
        self.assertEqual(self.desk.seen, [])
        self.assertEqual(len(self.client.answers), 1)

    def test_announced_too_large(self) -> None:
        """A body announced too large is refused before it is sent, and not asked for."""
        for expect in (b"", b"Expect: 100-continue\r\n"):
            self.client = Client(self.site, self.cut, self.clock)
            self.assert_too_large(self.ask(b"POST / HTTP/1.1\r\n%bContent-Length: 65537\r\n\r\n" % expect))

    def test_chunked_too_large(self) -> None:
        """A body that grows too large without announcing it is cut off."""
        self.client.send(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(20):
            self.client.send(b"2000\r\n" + bytes(0x2000) + b"\r\n")
        self.assert_too_large(self.client.answers[0])
        self.client.send(b"0\r\n\r\n")
        self.assertTrue(self.client.closed)

    def test_continue(self) -> None:
        """A small body is asked for at once, where it is announced with Expect."""
        self.client.send(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        self.assertEqual([answer.status for answer in self.client.answers], [100])
        self.client.send(b"{}")
        self.assertEqual([answer.status for answer in self.client.answers], [100, 200])


class StreamTests(SiteCase):
    """Uploads that arrive in one piece with their head."""

    PUT = b"PUT /f/a.goo HTTP/1.1\r\n"

    def test_upload_then_next(self) -> None:
        """After an upload the same connection takes the next request, sent ahead or not."""
        self.desk.handle = self.store
        upload = self.PUT + b"Content-Length: 5\r\n\r\nhello"
        self.client.send(upload + upload)
        self.client.send(self.PUT + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nA: b\r\n\r\n")
        self.desk.handle = lambda request: request.path
        self.client.send(b"GET /next HTTP/1.1\r\n\r\n")
        self.assertEqual([answer.status for answer in self.client.answers], [201, 201, 201, 200])
        self.assertEqual(self.file.getvalue(), b"hello" * 3)
        self.assertEqual([r.body.length for r in self.desk.seen[:3]], [5, 5, None])
        self.assertNotIn("connection", self.client.answers[2].headers)
        self.assertFalse(self.client.closed)

    def test_head_and_upload(self) -> None:
        """A HEAD before an upload on one connection disturbs neither."""
        self.client.send(b"HEAD /x HTTP/1.1\r\n\r\n")
        self.assertEqual([a.status for a in answers(self.client.transport.value(), to_head=True)], [200])
        self.client.transport.clear()
        self.desk.handle = self.store
        self.assertEqual(self.ask(self.PUT + b"Content-Length: 2\r\n\r\nhi").body, b"ok")

    def test_http_1_0(self) -> None:
        """An old client's upload works; the connection ends with the answer."""
        self.desk.handle = self.store
        answer = self.ask(b"PUT /f/a HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi")
        self.assertEqual((answer.status, len(self.client.answers)), (201, 1))
        self.assertTrue(self.client.closed)

    def test_empty(self) -> None:
        """An empty file arrives as an empty file, with or without Content-Length."""
        self.desk.handle = self.store
        for head in (b"", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n"):
            answer = self.ask(self.PUT + head + b"\r\n" + (b"0\r\n\r\n" if b"chunked" in head else b""))
            self.assertEqual(answer.status, 201)
        self.assertFalse(self.client.closed)

    def test_routed_by_head(self) -> None:
        """The handler knows path, query and headers while the body is still on its way."""
        self.desk.handle = self.store
        self.client.send(b"PUT //f//a.goo/?k=v HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n")
        (request,) = self.desk.seen
        self.assertEqual((request.path, request.args), (b"/f/a.goo", {b"k": [b"v"]}))
        self.assertEqual(request.getHeader("host"), "h")
        self.client.send(b"hi")
        self.assertEqual(self.file.getvalue(), b"hi")

    def test_refused(self) -> None:
        """A refused client reads the whole answer; what it still sends is never taken for a request."""
        self.desk.handle = self.refuse
        body = b"GET /smuggled HTTP/1.1\r\n\r\n" * 4
        for framing, sent in (
            (b"Content-Length: %d" % len(body), body),
            (b"Transfer-Encoding: chunked", b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)),
        ):
            self.desk.seen.clear()
            self.client = Client(self.site, self.cut, self.clock)
            self.client.send(self.PUT + framing + b"\r\n\r\n" + sent[:-1])
            (answer,) = self.client.answers
            self.assertEqual((answer.status, answer.body, len(self.desk.seen)), (401, b"key?", 1))
            self.assertEqual(answer.headers["connection"], "close")
            self.assertFalse(self.client.closed)
            self.client.send(sent[-1:] + b"GET /smuggled HTTP/1.1\r\n\r\n")
            self.assertEqual(len(self.desk.seen), 1)
            self.assertTrue(self.client.closed)

    def test_late_refusal(self) -> None:
        """A refusal that took its time, while the body waited, is as good as a quick one."""
        self.desk.handle = self.wait
        self.client.send(self.PUT + b"Content-Length: 20000\r\n\r\n" + bytes(19999))
        self.assertEqual(self.client.transport.producerState, "paused")
        self.desk.seen[0].refuse(401, "unauthorized", "No key.", "")
        self.client.go_on()
        self.assertEqual((self.client.answers[0].status, self.client.waiting), (401, b""))
        self.client.send(b"x")
        self.assertTrue(self.client.closed)

    def test_late_reader(self) -> None:
        """A handler that thinks first gets every byte, in order; meanwhile the client is made to wait."""
        content = bytes(range(256)) * 80
        for framing in (b"Content-Length: 20480\r\n\r\n" + content, self.chunked(content)):
            self.file = BytesIO()
            self.desk.handle = self.wait
            self.client.send(self.PUT + framing)
            self.store(self.desk.seen[-1])
            self.client.go_on()
            self.assertEqual(self.file.getvalue(), content)
        self.assertEqual([answer.status for answer in self.client.answers], [201, 201])

    def chunked(self, content: bytes) -> bytes:
        chunks = [content[at : at + 1000] for at in range(0, len(content), 1000)]
        return (
            b"Transfer-Encoding: chunked\r\n\r\n"
            + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
            + b"0\r\n\r\n"
        )

    def test_sink_fails(self) -> None:
        """When the disk is full the client is told so, and the rest of its body is thrown away."""

        class Full:
            def write(self, data: bytes, /) -> None:
                raise StoreFull("no room")

        def handle(request: Request) -> int:
            def full(failure: Failure) -> None:
                failure.trap(StoreFull)
                request.setResponseCode(507)
                request.setHeader(b"Content-Length", b"0")
                request.finish()

            request.body.deliver_to(Full()).addErrback(full)
            return NOT_DONE_YET

        self.desk.handle = handle
        self.client.send(self.PUT + b"Content-Length: 9\r\n\r\n12345678")
        self.assertEqual([answer.status for answer in self.client.answers], [507])
        self.client.send(b"9")
        self.assertTrue(self.client.closed)

    def test_broken_chunks(self) -> None:
        """A chunked body that makes no sense fails the upload; the handler's answer is what the client reads."""

        def handle(request: Request) -> int:
            def stopped(failure: Failure) -> None:
                failure.trap(Interrupted)
                request.setResponseCode(400)
                request.setHeader(b"Content-Length", b"0")
                request.finish()

            request.body.deliver_to(self.file).addErrback(stopped)
            return NOT_DONE_YET

        self.desk.handle = handle
        self.client.send(self.PUT + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\nzz\r\nGET / HTTP/1.1\r\n\r\n")
        self.assertEqual([answer.status for answer in self.client.answers], [400])
        self.assertEqual((self.file.getvalue(), len(self.desk.seen)), (b"hi", 1))
        self.client.send(b"zz\r\n")
        self.assertFalse(self.client.closed)
        self.clock.advance(web_site.DRAIN_TIMEOUT)
        self.assertTrue(self.client.closed)


class ByteByByteStreamTests(StreamTests):
    """The same uploads from a client whose every byte is a packet of its own."""

    cut = 1


class ContinueTests(SiteCase):
    HEAD = b"PUT /f/a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"

    def statuses(self) -> list[int]:
        return [answer.status for answer in self.client.answers]

    def test_asked_when_read(self) -> None:
        """The client is asked for its body when somebody wants it, not before."""
        self.desk.handle = self.wait
        self.client.send(self.HEAD)
        self.assertEqual(self.statuses(), [])
        self.store(self.desk.seen[0])
        self.assertEqual(self.statuses(), [100])
        self.client.send(b"hello")
        self.assertEqual(self.statuses(), [100, 201])

    def test_refused(self) -> None:
        """A refused client is never asked for its body."""
        self.desk.handle = self.refuse
        self.client.send(self.HEAD)
        self.assertEqual(self.statuses(), [401])

    def test_impatient(self) -> None:
        """A client that sends without being asked is not asked any more."""
        self.desk.handle = self.wait
        self.client.send(self.HEAD + b"he")
        self.store(self.desk.seen[0])
        self.client.send(b"llo")
        self.assertEqual(self.statuses(), [201])


class EndTests(SiteCase):
    """Clients that stop, stall, or never stop."""

    def begin(self, handle: Callable[[Request], bytes | int]) -> None:
        self.desk.handle = handle
        self.client.send(b"PUT /f/a HTTP/1.1\r\nContent-Length: 99999999\r\n\r\nx")

    def test_client_leaves(self) -> None:
        """An upload whose client vanishes fails, with what had arrived."""
        self.begin(self.store)
        self.client.leave()
        assert self.delivery is not None
        error = self.failureResultOf(self.delivery, Interrupted).value
        self.assertIn("1 of 99999999", error.message)

    def test_stalled_upload(self) -> None:
        """An upload may trickle for hours; after a minute without a byte it fails and the client is cut off."""
        self.begin(self.store)
        for _ in range(100):
            self.clock.advance(59)
            self.client.send(b"x")
        self.clock.advance(59)
        self.assertFalse(self.client.closed)
        self.clock.advance(1)
        assert self.delivery is not None
        self.failureResultOf(self.delivery, Interrupted)
        self.assertTrue(self.client.closed)
        self.clock.advance(60)
        self.assertTrue(self.client.transport.disconnected)

    def test_slow_handler(self) -> None:
        """A client is never cut off because we are slow: unread upload, or long poll."""
        self.begin(self.wait)
        poll = Client(self.site, None, self.clock)
        poll.send(b"GET / HTTP/1.1\r\n\r\n")
        self.clock.advance(86400)
        self.assertFalse(self.client.closed or poll.closed)

    def test_drained_for_a_while(self) -> None:
        """A refused client that trickles on is cut off after five seconds."""
        self.begin(self.refuse)
        for _ in range(4):
            self.clock.advance(1)
            self.client.send(b"x")
        self.assertFalse(self.client.closed)
        self.clock.advance(1)
        self.assertTrue(self.client.closed)

    def test_drained_so_far(self) -> None:
        """A refused client that sends on is cut off after four mebibytes."""
        self.begin(self.refuse)
        sent = 1
        while not self.client.closed:
            self.client.send(bytes(65536))
            sent += 65536
        self.assertLess(sent, MAX_DRAIN + 2 * 65536)
        self.assertGreater(sent, MAX_DRAIN)
        self.assertEqual(len(self.desk.seen), 1)

    def test_answered_in_the_middle(self) -> None:
        """A handler that answers while it reads ends the delivery and the connection."""
        self.begin(self.store)
        self.desk.seen[0].finish()
        assert self.delivery is not None
        self.failureResultOf(self.delivery, Interrupted)
        self.client.send(b"xxx")
        self.assertEqual(self.file.getvalue(), b"x")

    def test_idle(self) -> None:
        """An unused connection is closed after a minute, a used one a minute after its last answer."""
        self.client.send(b"GET / HTTP/1.1\r\n\r\n")
        unused = Client(self.site, None, self.clock)
        self.clock.advance(59)
        self.client.send(b"GET / HTTP/1.1\r\n\r\n")
        self.clock.advance(1)
        self.assertEqual((self.client.closed, unused.closed), (False, True))
        self.clock.advance(59)
        self.assertTrue(self.client.closed)

    def test_slow_head(self) -> None:
        """A head has to be complete in twenty seconds, however it trickles; so has each later head."""
        for first in (b"", b"GET / HTTP/1.1\r\n\r\n"):
            client = Client(self.site, None, self.clock)
            client.send(first)
            for _ in range(20):
                self.assertFalse(client.closed)
                client.send(b"G")
                self.clock.advance(1)
            self.assertTrue(client.closed)

    def test_slow_small_body(self) -> None:
        """A small body has a minute."""
        self.client.send(b"POST / HTTP/1.1\r\nContent-Length: 99\r\n\r\n")
        for _ in range(6):
            self.client.send(b"x")
            self.clock.advance(10)
        self.assertTrue(self.client.closed)

    def test_slow_write(self) -> None:
        """Answers that a client does not fetch do not start its unread upload."""
        self.begin(self.wait)
        self.client.send(bytes(20000))
        self.client.channel.pauseProducing()
        self.client.channel.resumeProducing()
        self.assertEqual(self.client.transport.producerState, "paused")

    def test_slow_answers(self) -> None:
        """A client that does not fetch its answers is not read from, even when its upload is wanted."""
        self.begin(self.wait)
        self.client.channel.pauseProducing()
        self.store(self.desk.seen[0])
        self.assertEqual(self.client.transport.producerState, "paused")
        self.client.channel.resumeProducing()
        self.assertEqual(self.client.transport.producerState, "producing")

    def test_unread_but_complete(self) -> None:
        """A client whose whole upload is here is noticed when it leaves, however long the handler thinks."""
        self.desk.handle = self.wait
        self.client.send(b"PUT /f/a HTTP/1.1\r\nContent-Length: 20000\r\n\r\n" + bytes(20000))
        self.assertEqual(self.client.transport.producerState, "producing")

    def test_broken_and_unanswered(self) -> None:
        """A client whose chunks make no sense waits, unread, for the handler to say so."""
        self.desk.handle = self.wait
        self.client.send(b"PUT /f/a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
        self.assertEqual((self.client.transport.producerState, self.client.answers), ("paused", []))

    def test_early_head(self) -> None:
        """An answer that begins before the upload has ended closes the connection, as it has announced."""

        def begin(request: Request) -> int:
            request.setHeader(b"Content-Length", b"2")
            request.write(b"")
            self.delivery = request.body.deliver_to(self.file).addCallback(end)
            return NOT_DONE_YET

        def end(size: int) -> int:
            self.desk.seen[0].write(b"ok")
            self.desk.seen[0].finish()
            return size

        self.desk.handle = begin
        answer = self.ask(b"PUT /f/a HTTP/1.1\r\nContent-Length: 2\r\n\r\nhiGET / HTTP/1.1\r\n\r\n")
        self.assertEqual((answer.body, answer.headers["connection"]), (b"ok", "close"))
        self.assertEqual((len(self.desk.seen), self.client.closed), (1, True))

    def test_we_hang_up(self) -> None:
        """When we end the connection nothing that still happens on it does harm."""
        self.begin(self.wait)
        (request,) = self.desk.seen
        request.loseConnection()
        self.client.channel.dataReceived(b"x")
        self.store(request)
        self.client.leave()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.failureResultOf(self.delivery or Deferred(), Interrupted)

        self.client = Client(self.site, self.cut, self.clock)
        self.begin(self.wait)
        request = self.desk.seen[-1]
        request.loseConnection()
        request.finish()
        self.client.leave()

    def test_broken_while_drained(self) -> None:
        """A refused client whose chunks then make no sense is cut off without a second answer."""
        self.desk.handle = self.refuse
        self.client.send(b"PUT /f/a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        self.client.send(b"zz\r\n")
        self.assertEqual([answer.status for answer in self.client.answers], [401])
        self.assertTrue(self.client.closed)

    def test_nothing_left(self) -> None:
        """A closed connection leaves no timer behind."""
        self.begin(self.store)
        self.client.leave()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.failureResultOf(self.delivery or Deferred(), Interrupted)


class KleinTests(SiteCase):
    def setUp(self) -> None:
        super().setUp()
        app = Klein()
        self.ended: list[Failure] = []

        def end(failure: Failure) -> Failure:
            self.ended.append(failure)
            return failure

        @app.route("/f/<name>", methods=["PUT"])
        def put(request: IRequest, name: str) -> Deferred[bytes]:
            assert isinstance(request, Request)
            delivery = request.body.deliver_to(self.file)
            delivery.addErrback(end)
            return delivery.addCallback(lambda size: b"%s %d" % (name.encode(), size))

        self.site.resource = app.resource()

    def test_upload(self) -> None:
        """A Klein route gets its upload as a stream, by a name with anything but slashes."""
        self.client.send(b"PUT //f/a%20b.goo/ HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello")
        self.assertIn(b"a b.goo 5", self.client.transport.value())

    def test_client_leaves(self) -> None:
        """A Klein route whose client left has ended, and nothing is logged as our fault."""
        self.client.send(b"PUT /f/a HTTP/1.1\r\nContent-Length: 5\r\n\r\nhel")
        self.client.leave()
        self.assertEqual(len(self.ended), 1)
        self.assertEqual(self.client.transport.producerState, "producing")


class LogTests(SiteCase):
    def test_secrets(self) -> None:
        """No key appears in the log, however it is spelled."""
        self.assertEqual(redacted(b"/a?apikey=k&x=1&Token=t&api%6Bey=k"), "/a?apikey=***&x=1&Token=***&api%6Bey=***")
        self.assertEqual(redacted(b"/a"), "/a")
        self.assertEqual(redacted(b"/a?x=1;apikey=k&y=2?token=t&key="), "/a?x=1;apikey=***&y=2?token=***&key=")
        key = b"sdcpd_0123abcd_" + b"a" * 32
        self.assertEqual(redacted(b"/v1/keys/" + key), "/v1/keys/***")
        self.assertEqual(redacted(b"/a?q=" + key.replace(b"_", b"%5f") + b"&x=1"), "/a?q=***&x=1")
        self.assertEqual(redacted(b"/v1/keys/0123abcd"), "/v1/keys/0123abcd")
        self.client.send(b"GET /?apikey=sesame HTTP/1.1\r\n\r\n")
        self.assertNotIn("sesame", repr(self.desk.seen[0]))

    def test_level(self) -> None:
        """Requests are logged for who asks for debug, and for nobody else."""
        events: list[LogEvent] = []
        observer: ILogObserver = events.append  # type: ignore[assignment]  # mypy-zope: a callable does provide it
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.addCleanup(set_level, "info")
        for level, expected in (("info", 0), ("debug", 1)):
            set_level(level)
            events.clear()
            self.client.send(b"GET / HTTP/1.1\r\n\r\n")
            self.assertEqual(len(events), expected)


class ChannelPrivatesTests(SynchronousTestCase):
    def test_still_there(self) -> None:
        """An update of Twisted that renames what ``Channel`` relies on is noticed here first."""
        used = {
            *("_command", "_path", "_version", "_send100Continue", "_respondToBadRequestAndDisconnect"),
            *("_transferDecoder", "_networkProducer", "_waitingForTransport", "_abortingCall", "_receivedHeaderSize"),
        }
        functions = [getattr(member, "__code__", None) for member in vars(HTTPChannel).values()]
        self.assertEqual(used - {name for code in functions if code for name in code.co_names}, set())

    def test_http_2(self) -> None:
        """HTTP/2 is not offered."""
        site = Site(Desk(), lambda method, path: False, Clock())
        self.assertEqual(site.acceptableProtocols(), [b"http/1.1"])
        site.doStart()
        site.doStop()
