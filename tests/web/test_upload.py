"""Bodies: alone in memory, then at full length through real sockets."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from io import BytesIO
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.interfaces import IPullProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock, deferLater
from twisted.internet.utils import getProcessOutputAndValue
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, SynchronousTestCase
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from sdcpd.errors import Interrupted, StoreFull
from sdcpd.web.site import MAX_DRAIN, Request, Site
from sdcpd.web.upload import MOST_HELD, Body, receive_upload
from tests.web.rig import CURL, RealCase

MIB = 1024 * 1024


class Flow:
    """A connection that remembers what its body wanted."""

    def __init__(self) -> None:
        self.wishes: list[str] = []

    def take_body(self) -> None:
        self.wishes.append("take")

    def hold_body(self) -> None:
        self.wishes.append("hold")


class Full:
    """A sink on a full disk."""

    def write(self, data: bytes, /) -> None:
        raise StoreFull("no room")


class BodyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.flow = Flow()
        self.body = Body(6, self.flow)
        self.sink = BytesIO()

    def test_delivered(self) -> None:
        """Everything arrives in order, before and after somebody reads, and is counted."""
        self.body.arrived(b"he")
        self.assertEqual(self.flow.wishes, [])
        delivery = self.body.deliver_to(self.sink)
        self.assertEqual((self.flow.wishes, self.sink.getvalue()), (["take"], b"he"))
        self.body.arrived(b"llo!")
        self.assertNoResult(delivery)
        self.body.complete()
        self.assertEqual(self.successResultOf(delivery), 6)
        self.assertEqual(self.sink.getvalue(), b"hello!")

    def test_complete_before_read(self) -> None:
        """A small file that came with its head is there at once; the client is not asked for more."""
        self.body.arrived(b"hello!")
        self.body.complete()
        self.assertEqual(self.successResultOf(self.body.deliver_to(self.sink)), 6)
        self.assertEqual((self.flow.wishes, self.sink.getvalue()), ([], b"hello!"))

    def test_unread_is_held_back(self) -> None:
        """While nobody reads, the client is made to wait rather than our memory filled."""
        self.body.arrived(bytes(MOST_HELD))
        self.assertEqual(self.flow.wishes, [])
        self.body.arrived(b"x")
        self.assertEqual(self.flow.wishes, ["hold"])

    def test_interrupted(self) -> None:
        """The reader hears that the sender stopped, also one who comes later; then nothing more happens."""
        error = Interrupted("gone")
        delivery = self.body.deliver_to(self.sink)
        late = Body(6, self.flow)
        late.arrived(b"he")
        for body in (self.body, late):
            body.fail(error)
            body.arrived(b"x")
            body.complete()
            body.fail(error)
        for result in (delivery, late.deliver_to(self.sink)):
            self.assertIs(self.failureResultOf(result, Interrupted).value, error)
        self.assertEqual(self.sink.getvalue(), b"")

    def test_interrupted_after_the_end(self) -> None:
        """A client that leaves after its last byte has still sent a whole file."""
        self.body.arrived(b"hello!")
        self.body.complete()
        self.body.fail(Interrupted("gone"))
        self.assertEqual(self.successResultOf(self.body.deliver_to(self.sink)), 6)

    def test_sink_fails(self) -> None:
        """A full disk ends the delivery with its own error; nothing more is written."""
        held = Body(6, self.flow)
        held.arrived(b"he")
        held.arrived(b"llo!")
        self.failureResultOf(held.deliver_to(Full()), StoreFull)
        delivery = self.body.deliver_to(Full())
        self.body.arrived(b"x")
        self.failureResultOf(delivery, StoreFull)
        self.body.arrived(b"x")
        self.body.complete()
        self.assertEqual(self.flow.wishes, ["hold", "take", "hold"])

    def test_cancelled(self) -> None:
        """A cancelled delivery writes nothing more and makes the client wait."""
        delivery = self.body.deliver_to(self.sink)
        delivery.cancel()
        self.failureResultOf(delivery, CancelledError)
        self.body.arrived(b"x")
        self.body.complete()
        self.assertEqual((self.flow.wishes, self.sink.getvalue()), (["take", "hold"], b""))

    def test_cancelled_by_sink(self) -> None:
        """A sink that cancels the delivery and then fails ends it once."""
        delivery: Deferred[int]

        class Cancelling(Full):
            def write(self, data: bytes, /) -> None:
                delivery.cancel()
                super().write(data)

        delivery = self.body.deliver_to(Cancelling())
        self.body.arrived(b"x")
        self.failureResultOf(delivery, CancelledError)

    def test_once(self) -> None:
        """Two readers of one body are a mistake of ours, and said so."""
        self.body.deliver_to(self.sink)
        self.assertRaises(RuntimeError, self.body.deliver_to, self.sink)


class FakeUpload:
    """A file in memory."""

    def __init__(self, finished: Deferred[str]) -> None:
        self.finished = finished
        self.content = b""
        self.aborted = 0

    def write(self, data: bytes, /) -> None:
        if data == b"poison":
            raise StoreFull("no room")
        self.content += data

    def finish(self) -> Deferred[str]:
        return self.finished

    def abort(self) -> None:
        self.aborted += 1


class ReceiveUploadTests(SynchronousTestCase):
    def receive(self, finished: Deferred[str]) -> Deferred[str]:
        self.body = Body(None, Flow())
        self.upload = FakeUpload(finished)
        return receive_upload(self.body, self.upload)

    def test_stored(self) -> None:
        """A complete body becomes a file."""
        stored = self.receive(succeed("a.goo"))
        self.body.arrived(b"hello")
        self.assertNoResult(stored)
        self.body.complete()
        self.assertEqual(self.successResultOf(stored), "a.goo")
        self.assertEqual((self.upload.content, self.upload.aborted), (b"hello", 0))

    def test_aborted(self) -> None:
        """No half file stays: not when the sender stops, the disk is full, or the content is refused."""
        stored = self.receive(succeed("a.goo"))
        self.body.fail(Interrupted("gone"))
        self.failureResultOf(stored, Interrupted)
        self.assertEqual(self.upload.aborted, 1)

        stored = self.receive(succeed("a.goo"))
        self.body.arrived(b"poison")
        self.failureResultOf(stored, StoreFull)
        self.assertEqual(self.upload.aborted, 1)

        stored = self.receive(fail(StoreFull("no room")))
        self.body.complete()
        self.failureResultOf(stored, StoreFull)
        self.assertEqual(self.upload.aborted, 1)

    def test_cancelled(self) -> None:
        """No half file stays when the handler is cancelled, while reading or while finishing."""
        for complete in (False, True):
            stored = self.receive(Deferred())
            if complete:
                self.body.complete()
            stored.cancel()
            self.failureResultOf(stored, CancelledError)
            self.assertEqual(self.upload.aborted, 1)


class Counting:
    """A sink that keeps nothing."""

    def __init__(self) -> None:
        self.size = 0

    def write(self, data: bytes, /) -> None:
        self.size += len(data)


class Desk(Resource):
    """``/take`` takes everything, ``/later`` too but thinks first; anything else is refused."""

    isLeaf = True

    def __init__(self, reactor: Any) -> None:
        super().__init__()
        self.received = 0
        self._reactor = reactor

    def render(self, request: IRequest) -> bytes | int:
        assert isinstance(request, Request)
        request.setHeader(b"Content-Type", b"application/json")
        if request.path == b"/take":
            self.take(None, request)
        elif request.path == b"/later":
            deferLater(self._reactor, 0).addCallback(self.take, request)
        else:
            request.setResponseCode(403)
            return b'{"error": {"code": "forbidden"}}'
        return NOT_DONE_YET

    def take(self, _: None, request: Request) -> None:
        def taken(size: int) -> None:
            self.received = size
            request.setHeader(b"Content-Length", b"2")
            request.write(b"{}")
            request.finish()

        request.body.deliver_to(Counting()).addCallback(taken)


@implementer(IPullProducer)
class Uploader(Protocol):
    """A client that sends ``size`` bytes to ``path`` and looks at nothing before it has to."""

    def __init__(self, path: bytes, size: int) -> None:
        self.head = b"PUT %b HTTP/1.1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % (path, size)
        self.left = size
        self.answer = b""
        self.gone: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self.head)
        self.transport.registerProducer(self, False)  # type: ignore[attr-defined]  # ITransport is no consumer

    def resumeProducing(self) -> None:
        assert self.transport is not None
        block = bytes(min(self.left, 65536))
        self.left -= len(block)
        self.transport.write(block)
        if not self.left:
            self.transport.unregisterProducer()  # type: ignore[attr-defined]

    def stopProducing(self) -> None:
        """Twisted: the connection is gone."""

    def dataReceived(self, data: bytes) -> None:
        self.answer += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.gone.callback(None)


class RealTests(RealCase):
    def serve(self) -> int:
        self.desk = Desk(self.reactor)
        return self.listen(Site(self.desk, lambda method, path: method == b"PUT", Clock()))

    async def upload(self, path: bytes, size: int) -> Uploader:
        client = Uploader(path, size)
        await connectProtocol(TCP4ClientEndpoint(self.reactor, "127.0.0.1", self.serve()), client)
        await client.gone
        return client

    def test_large(self) -> Deferred[None]:
        """200 MB go through, and the daemon does not grow with them, whether it reads at once or later."""

        async def flow() -> None:
            for path in (b"/take", b"/later"):
                tracemalloc.start()
                self.addCleanup(tracemalloc.stop)
                client = await self.upload(path, 200 * MIB)
                _, peak = tracemalloc.get_traced_memory()
                tracemalloc.stop()
                self.assertEqual(client.answer.split()[1], b"200")
                self.assertEqual(self.desk.received, 200 * MIB)
                self.assertLess(peak, 2 * MIB)

        return Deferred.fromCoroutine(flow())

    def test_rude(self) -> Deferred[None]:
        """A client that sends 100 MB after its refusal is cut off early, and had its answer."""

        async def flow() -> None:
            client = await self.upload(b"/no", 100 * MIB)
            self.assertEqual(client.answer.split()[1], b"403")
            sent = 100 * MIB - client.left
            self.assertGreater(sent, MAX_DRAIN)
            self.assertLess(sent, 50 * MIB)  # the bound, and what the kernel holds for both sides

        return Deferred.fromCoroutine(flow())

    def test_curl(self) -> Deferred[None]:
        """Someone with curl and no key reads why, whether curl asks before it sends or not."""
        curl = shutil.which("curl")
        if curl is None:
            raise SkipTest("no curl here")
        file = Path(self.mktemp())
        file.write_bytes(bytes(3 * MIB))

        async def flow() -> None:
            address = f"http://127.0.0.1:{self.serve()}"
            for path, header, status in (
                ("/no", "Expect: 100-continue", "403"),
                ("/no", "Expect:", "403"),
                ("/take", "Expect: 100-continue", "200"),
                ("/take", "Transfer-Encoding: chunked", "200"),
            ):
                out, err, code = await getProcessOutputAndValue(
                    curl,
                    [*CURL, "-T", str(file), "-H", header, "-w", "\n%{http_code} %{size_upload}", address + path],
                )
                self.assertEqual((err, code), (b"", 0))
                body, _, figures = out.decode().rpartition("\n")
                self.assertEqual(figures.split()[0], status)
                self.assertEqual("error" in json.loads(body), status == "403")
                if (path, header) == ("/no", "Expect: 100-continue"):
                    self.assertEqual(figures.split()[1], "0")
            self.assertEqual(self.desk.received, 3 * MIB)

        return Deferred.fromCoroutine(flow())
