"""Forms: alone in memory, then through the whole tree, then at length through real sockets."""

from __future__ import annotations

import shutil
import tracemalloc
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SkipTest, SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from sdcpd.errors import BadName, Interrupted, StoreFull
from sdcpd.files import Limits
from sdcpd.web.errors import Refusal
from sdcpd.web.multipart import FilePart, Form, is_form, parameters, receive_form
from sdcpd.web.site import DRAIN_TIMEOUT, Site
from sdcpd.web.upload import Body
from tests.web.rig import CURL, EPOCH, RealCase, Rig, WebCase, goo, md5, replies

TYPE = "multipart/form-data; boundary=XX"
MIB = 1024 * 1024


class Kept:
    """An upload in memory."""

    def __init__(self) -> None:
        self.content = b""
        self.aborted = 0

    def write(self, data: bytes, /) -> None:
        if b"poison" in data:
            raise StoreFull("no room")
        self.content += data

    def finish(self) -> Deferred[str]:
        return succeed("kept")

    def abort(self) -> None:
        self.aborted += 1


def part(disposition: str, content: bytes, *headers: str) -> bytes:
    lines = [f"Content-Disposition: form-data; {disposition}", *headers]
    return "\r\n".join(["--XX", *lines, "", ""]).encode() + content + b"\r\n"


FILE = part('name="file"; filename="a.goo"', b"bytes", "Content-Type: application/octet-stream")
END = b"--XX--\r\n"


class FormTests(SynchronousTestCase):
    def read(self, body: bytes, content_type: str = TYPE, pieces: int = 10**6) -> Form[Kept]:
        """Read a form, a piece at a time."""
        self.heads: list[FilePart] = []

        def begin(head: FilePart) -> Kept:
            self.heads.append(head)
            return Kept()

        form: Form[Kept] = Form(content_type, len(body), begin)
        self.form = form
        for start in range(0, len(body), pieces):
            form.write(body[start : start + pieces])
        form.end()
        form.sent()
        return form

    def content(self, form: Form[Kept]) -> bytes:
        assert form.upload is not None
        return form.upload.content

    def refuse(self, body: bytes, word: str, content_type: str = TYPE) -> None:
        """The form is refused as a bad one, in words that tell why."""
        refusal = self.assertRaises(Refusal, self.read, body, content_type, 7)
        self.assertEqual((refusal.status, refusal.refusal), (400, "bad_form"))
        self.assertIn(word, refusal.message)
        self.assertTrue(refusal.hint)

    def test_file_and_fields(self) -> None:
        """The file goes on byte for byte, the fields are there at the end, in whatever order a client sends them."""
        fields = [part('name="print"', b"true"), part('name="path"', b""), FILE]
        for order in (fields, fields[::-1], [fields[0], FILE, fields[1]]):
            form = self.read(b"".join(order) + END)
            self.assertEqual((self.content(form), form.fields), (b"bytes", {"print": "true", "path": ""}))
            self.assertEqual(self.heads, [FilePart("file", "a.goo")])

    def test_every_cut(self) -> None:
        """However the network cuts the form, the same arrives: also content that looks like a boundary almost."""
        content = b"\r\n--X\r\n--XY\r\n-\r\r\n--XX" + bytes(range(256))
        content = content.replace(b"--XX", b"--X")
        body = part('name="x"', b"1") + part('name="f"; filename="a.goo"', content) + part('name="y"', b"2") + END
        for pieces in range(1, len(body) + 1):
            form = self.read(body, pieces=pieces)
            self.assertEqual((self.content(form), form.fields), (content, {"x": "1", "y": "2"}))

    @settings(derandomize=True, deadline=None)
    @given(st.binary(max_size=300), st.integers(1, 60), st.text("abcXYZ019'()+_,./:=? ", min_size=1, max_size=70))
    def test_any_content(self, content: bytes, pieces: int, boundary: str) -> None:
        """Any bytes and any boundary that a client may choose, quoted or not."""
        boundary = boundary.strip() or "b"
        if f"\r\n--{boundary}".encode() in b"\r\n" + content:
            return
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="f"; filename="a.goo"\r\n\r\n'
        body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
        form = self.read(body, f'multipart/form-data; charset=utf-8; boundary="{boundary}"', pieces)
        self.assertEqual(self.content(form), content)

    @settings(derandomize=True, deadline=None)
    @given(st.binary(max_size=400), st.integers(1, 50))
    def test_garbage(self, garbage: bytes, pieces: int) -> None:
        """Whatever is sent, only declared errors come of it."""
        for body in (garbage, b"--XX\r\n" + garbage, FILE[:-2] + garbage + END):
            try:
                self.read(body, pieces=pieces)
            except (Refusal, Interrupted) as error:
                self.assertTrue(error.message)

    def test_preamble_and_epilogue(self) -> None:
        """What stands before the first and after the last boundary is nothing to anybody."""
        form = self.read(b"This is a message in MIME format.\r\n" + FILE + END + b"\r\nbye --XX", pieces=3)
        self.assertEqual((self.content(form), form.fields), (b"bytes", {}))

    def test_filenames(self) -> None:
        """The name of the file is understood as browsers, curl and RFC 8187 write it; folders in it are dropped."""
        for disposition, name in (
            ('filename="my plate (1).goo"', "my plate (1).goo"),
            ("filename=plate.goo", "plate.goo"),
            ('filename="a%22b.goo"', 'a"b.goo'),
            ('filename="a\\"b.goo"', 'a"b.goo'),
            ('filename="100%.goo"', "100%.goo"),
            ("filename=\"a; filename*=UTF-8''evil.goo\"", "a; filename*=UTF-8''evil.goo"),
            ('filename="Dračica 彫刻.goo"', "Dračica 彫刻.goo"),
            ("filename*=UTF-8''Dra%C4%8Dica.goo", "Dračica.goo"),
            ("filename=\"x.goo\"; filename*=utf-8'cs'Dra%C4%8Dica.goo", "Dračica.goo"),
            ("filename*=iso-8859-1''caf%E9.goo; filename=x.goo", "café.goo"),
            ("filename=x.goo; filename*=klingon''a.goo", "x.goo"),
            ("filename=x.goo; filename*=UTF-8''%FF.goo", "x.goo"),
            ('FileName="A.GOO"', "A.GOO"),
            ('filename="C:\\plates\\a.goo"', "a.goo"),
            ('filename="../../etc/a.goo"', "a.goo"),
            ('filename=""', ""),
        ):
            self.read(part(f'name="file"; {disposition}', b"x") + END)
            self.assertEqual([head.filename for head in self.heads], [name], disposition)

    def test_latin_filename(self) -> None:
        """An old client's name in Latin-1 is read as such."""
        self.read(b'--XX\r\nContent-Disposition: form-data; name=f; filename="caf\xe9.goo"\r\n\r\nx\r\n' + END)
        self.assertEqual(self.heads[0].filename, "café.goo")

    def test_no_type(self) -> None:
        """A part without a Content-Type is as good as one with it."""
        self.assertEqual(self.content(self.read(part('name="f"; filename="a.goo"', b"abc") + END)), b"abc")

    def test_two_files(self) -> None:
        """Two files in one form are refused: which one was meant?"""
        self.refuse(FILE + FILE + END, "more than one file")
        self.assertEqual(len(self.heads), 1)

    def test_no_file(self) -> None:
        """A form without a file is refused, and so is an empty one."""
        for body in (part('name="file"', b"abc") + END, END):
            self.refuse(body, "No part of the form is a file")

    def test_bounds(self) -> None:
        """What a client can make us remember is bounded: number, names, values, heads, and all of it together."""
        self.refuse(b"".join(part(f'name="f{n}"', b"") for n in range(34)) + END, "count")
        self.refuse(part(f'name="{"n" * 101}"', b"") + END, "100 characters")
        self.refuse(part('name="f"', bytes(4097)) + END, "4096 bytes")
        self.refuse(part('name="f"', b"", "X: " + "y" * 5000) + END, "header")
        self.refuse(part('name="f"', b"", *(f"X{n}: y" for n in range(9))) + END, "header")
        self.refuse(b"x" * 70_000 + b"\r\n" + FILE + END, "65536 bytes beside")
        self.refuse(FILE + END + b"x" * 70_000, "65536 bytes beside")
        self.refuse(b"".join(part(f'name="f{n}"', bytes(4000)) for n in range(30)) + FILE + END, "beside")
        form = self.read(b"".join(part(f'name="f{n}"', bytes(1000)) for n in range(32)) + FILE + END)
        self.assertEqual((len(form.fields), self.content(form)), (32, b"bytes"))

    def test_large_file(self) -> None:
        """The file itself has no bound here."""
        content = bytes(300_000)
        form = self.read(part('name="f"; filename="a.goo"', content) + END, pieces=1000)
        self.assertEqual(self.content(form), content)
        self.assertGreater(form.at_least, 200_000)
        self.assertLessEqual(form.at_least, len(content))

    def test_twofold_meaning(self) -> None:
        """What two readers would understand in two ways is refused."""
        self.refuse(part('name="f"', b"1") + part('name="f"', b"2") + FILE + END, "comes twice")
        self.refuse(part('name="f"; filename="a.goo"; filename="b.goo"', b"") + END, "comes twice")
        self.refuse(part('name="f"; filename="a.goo', b"") + END, "cannot be read")
        self.refuse(part('name="f"; filename="a.goo"', b"AAAA", "Content-Transfer-Encoding: base64") + END, "base64")
        self.refuse(FILE.replace(b"form-data", b"attachment") + END, "cannot be read")
        self.refuse(b"--XX\r\n\r\nabc\r\n" + END, "cannot be read")

    def test_bad_type(self) -> None:
        """A form whose boundary is not told is refused before anything is read."""
        for content_type in (
            "multipart/form-data",
            'multipart/form-data; boundary=""',
            "multipart/form-data; boundary=" + "x" * 300,
            "multipart/mixed; boundary=XX",
            "multipart/form-data; boundary=a; boundary=b",
            "application/json",
            "",
        ):
            self.refuse(FILE + END, "Content-Type", content_type)
            self.assertEqual(self.heads, [])

    def test_incomplete(self) -> None:
        """A form without its end is an upload that broke off, wherever it did."""
        body = part('name="x"', b"1") + FILE + END
        for length in range(len(body) - 2):
            self.assertRaises(Interrupted, self.read, body[:length])

    def test_parameters(self) -> None:
        """Parameters are read in order, by name in any case."""
        self.assertEqual(parameters('a/b; X="1;2"; y = 3 ;;'), {"x": "1;2", "y": "3"})
        self.assertEqual(parameters("a/b"), {})
        for bad in ('a; x="1', "a; =1", "a; x", "a; x=1 y"):
            self.assertRaises(ValueError, parameters, bad)

    def test_is_form(self) -> None:
        """Only multipart/form-data is a form with a file."""
        self.assertTrue(is_form("Multipart/Form-Data; boundary=x"))
        self.assertFalse(is_form("application/x-www-form-urlencoded"))


class Still:
    """A connection that is asked for nothing."""

    def take_body(self) -> None:
        pass

    def hold_body(self) -> None:
        pass


class ReceiveTests(SynchronousTestCase):
    """``receive_form``."""

    def receive(self) -> Deferred[str]:
        self.body = Body(None, Still())
        self.form: Form[Kept] = Form(TYPE, None, lambda head: Kept())
        return receive_form(self.body, self.form, Kept.finish)

    def test_kept(self) -> None:
        """A complete form is kept."""
        kept = self.receive()
        self.body.arrived(FILE + END)
        self.assertNoResult(kept)
        self.body.complete()
        self.assertEqual(self.successResultOf(kept), "kept")

    def test_without(self) -> None:
        """A form without a file is refused, unless somebody has an answer to it; a broken one is refused by all."""
        for data, error in ((END, Refusal), (b"--", Interrupted)):
            kept = self.receive()
            self.body.arrived(data)
            self.body.complete()
            self.failureResultOf(kept, error)
        for data in (END, b"--"):
            body = Body(None, Still())
            form: Form[Kept] = Form(TYPE, None, lambda head: Kept())
            answered = receive_form(body, form, Kept.finish, lambda: "nothing")
            body.arrived(data)
            body.complete()
            if data == END:
                self.assertEqual(self.successResultOf(answered), "nothing")
            else:
                self.failureResultOf(answered, Interrupted)

    def test_aborted(self) -> None:
        """Nothing half stays of a form that breaks off, ends too early, or meets a full disk."""
        for data, error in (
            (FILE[:-4], Interrupted),
            (FILE + FILE, Refusal),
            (FILE.replace(b"bytes", b"poison") + END, StoreFull),
        ):
            kept = self.receive()
            self.body.arrived(data)
            self.body.complete()
            self.failureResultOf(kept, error)
            assert self.form.upload is not None
            self.assertEqual(self.form.upload.aborted, 1)
        kept = self.receive()
        self.body.fail(Interrupted("gone"))
        self.failureResultOf(kept, Interrupted)


class PostTests(WebCase):
    """``POST /v1/files``."""

    def form(self, content: bytes, name: str = "plate.goo", *more: bytes) -> bytes:
        return part(f'name="file"; filename="{name}"', content) + b"".join(more) + END

    def send(self, body: bytes, **headers: str) -> Any:
        return self.rig.ask("POST", "/v1/files", body, {"Content-Type": TYPE, **headers})

    def spooled(self) -> list[str]:
        files = self.rig.directory / "files"
        return sorted(path.name for kind in ("blobs", "partial") for path in (files / kind).iterdir())

    def test_stored(self) -> None:
        """A form's file is stored as a raw one is, and answered alike."""
        reply = self.send(self.form(goo(b"abc"), "Dračica.goo"))
        self.assertEqual(reply.status, 201, reply.body)
        self.assertEqual(reply.json["file"]["name"], "Dračica.goo")
        self.assertEqual((reply.json["file"]["md5"], reply.json["file"]["uploaded_at"]), (md5(goo(b"abc")), EPOCH))
        self.assertEqual(self.rig.get("/v1/files").json, [reply.json["file"]])
        self.assertEqual(self.spooled(), [md5(goo(b"abc")) + ".goo"])

    def test_refused_by_the_head(self) -> None:
        """Who may not upload, or sends too much, hears it before the form is read, and is not asked for it."""
        for limits, address, status, code in (
            (Limits(0, 100_000, 0), None, 413, "file_too_large"),
            (Limits(100_000, 10**9, 0), None, 507, "store_full"),
            (Limits(0, 10**9, 10**18), None, 507, "store_full"),
            (Limits(0, 10**9, 0), "192.168.1.7", 403, "forbidden"),
        ):
            self.rig = self.make(limits=limits)
            length = {"Content-Length": "1000000", "Content-Type": TYPE, "Expect": "100-continue"}
            reply = self.rig.begin("POST", "/v1/files", b"", length, address=address).reply
            self.assert_refused(reply, status, code)
            self.assertEqual(reply.headers["connection"], "close")
        good = self.make().begin("POST", "/v1/files", b"", length)
        self.assertEqual(good.transport.value(), b"HTTP/1.1 100 Continue\r\n\r\n")

    def test_refused_by_the_part(self) -> None:
        """A bad name is refused when the head of the file's part is here, a wrong kind with the first bytes."""
        for begin, code in (
            (self.form(b"", ".hidden")[:-10], "bad_name"),
            (self.form(b"", "")[:-10], "bad_name"),
            (self.form(b"PK\3\4" + bytes(100), "a.goo")[:-20], "unknown_format"),
        ):
            pending = self.rig.begin("POST", "/v1/files", b"", {"Content-Length": "1000000", "Content-Type": TYPE})
            pending.send(begin)
            self.assert_refused(pending.reply, 422, code)
            self.assertEqual(self.spooled(), [])

    def test_room(self) -> None:
        """A form reserves its room; the bytes that its length only hinted at are counted as they come."""
        self.rig = self.make(limits=Limits(quota=500_000, max_size=10**9, reserve=0))
        content = goo(bytes(250_000))
        pending = self.rig.begin(
            "POST", "/v1/files", b"", {"Content-Length": str(len(self.form(content))), "Content-Type": TYPE}
        )
        pending.send(self.form(content)[:100])
        self.assert_refused(self.rig.ask("PUT", "/v1/files/b.goo", goo(bytes(0))), 507, "store_full")
        pending.send(self.form(content)[100:])
        self.assertEqual(pending.reply.status, 201)
        self.assert_refused(self.send(self.form(goo(bytes(60_000)))), 507, "store_full")
        self.assertEqual(self.spooled(), [md5(content) + ".goo"])

    def test_bad_forms(self) -> None:
        """What is no form with one file is refused in JSON, and nothing stays."""
        file = self.form(goo())[: -len(END)]
        for body, code in (
            (file + file + END, "bad_form"),
            (END, "bad_form"),
            (b"", "interrupted"),
            (file, "interrupted"),
        ):
            self.assert_refused(self.send(body), 400, code)
        self.assert_refused(self.rig.ask("POST", "/v1/files", goo()), 400, "bad_form")
        self.assertEqual(self.spooled(), [])

    def test_client_leaves(self) -> None:
        """A client that leaves in the middle leaves nothing behind."""
        pending = self.rig.begin("POST", "/v1/files", b"", {"Content-Length": "1000", "Content-Type": TYPE})
        pending.send(self.form(goo())[:900])
        self.assertEqual(len(self.spooled()), 1)
        pending.leave()
        self.assertEqual(self.spooled(), [])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_empty_name(self) -> None:
        """A browser's form with no file chosen is refused by the name that is missing."""
        error = self.assert_refused(self.send(self.form(b"", "")), 422, BadName.code)
        self.assertIn("empty", error["message"])


class Sum:
    """An upload that keeps nothing."""

    size = 0

    def write(self, data: bytes, /) -> None:
        self.size += len(data)

    def finish(self) -> Deferred[int]:
        return succeed(self.size)

    def abort(self) -> None:
        """There is nothing to forget."""


class Desk(Resource):
    """Takes every form and tells the size of its file."""

    isLeaf = True

    def render(self, request: Any) -> int:
        def done(size: int) -> None:
            answer = b"%d" % size
            request.setHeader(b"Content-Length", b"%d" % len(answer))
            request.write(answer)
            request.finish()

        form: Form[Sum] = Form(request.getHeader("content-type"), request.body.length, lambda part: Sum())
        receive_form(request.body, form, Sum.finish).addCallback(done)
        return NOT_DONE_YET


class RealTests(RealCase):
    def curl(self, *arguments: str) -> Deferred[tuple[bytes, bytes, int]]:
        curl = shutil.which("curl")
        if curl is None:
            raise SkipTest("no curl here")
        ended: Deferred[tuple[bytes, bytes, int]] = getProcessOutputAndValue(curl, [*CURL, *arguments])
        return ended

    def test_large(self) -> Deferred[None]:
        """200 MB in a form go through, and the daemon does not grow with them."""

        async def flow() -> None:
            port = self.listen(Site(Desk(), lambda method, path: True, Clock()))
            source = self.directory / "a.goo"
            with source.open("wb") as file:
                file.truncate(200 * MIB)
            tracemalloc.start()
            self.addCleanup(tracemalloc.stop)
            out, err, code = await self.curl("-F", "x=1", "-F", f"file=@{source}", "-F", "y=2", f"127.0.0.1:{port}")
            self.assertEqual((out, err, code), (b"%d" % (200 * MIB), b"", 0))
            self.assertLess(tracemalloc.get_traced_memory()[1], 2 * MIB)

        return Deferred.fromCoroutine(flow())

    def test_curl(self) -> Deferred[None]:
        """curl's forms arrive whole, and with Expect a refused one is never sent."""

        async def flow() -> None:
            rig = Rig(self.directory, limits=Limits(0, 3 * MIB, 0))
            address = f"http://127.0.0.1:{self.listen(rig.site)}/v1/files"
            source = self.directory / "Dračica; x.goo"
            for size, status, sent in ((2 * MIB, b"201", 1), (4 * MIB, b"413", 0)):
                source.write_bytes(goo(bytes(size)))
                out, err, code = await self.curl(
                    *("-H", f"X-Api-Key: {rig.admin}", "-H", "Expect: 100-continue"),
                    *("-F", f'file=@"{source}"', "-w", "\n%{http_code} %{size_upload}"),
                    address,
                )
                self.assertEqual((err, code), (b"", 0))
                found, uploaded = out.rpartition(b"\n")[2].split()
                self.assertEqual((found, int(uploaded) > size), (status, bool(sent)), out)
                self.assertEqual(sent or int(uploaded), sent)
            self.assertEqual([file.name for file in rig.store.list()], ["Dračica; x.goo"])
            self.assertEqual(rig.store.list()[0].md5, md5(goo(bytes(2 * MIB))))

        return Deferred.fromCoroutine(flow())

    def test_raw_socket(self) -> Deferred[None]:
        """A client that asks with Expect and has no permission is answered once, without being told to go on."""

        async def flow() -> None:
            rig = Rig(self.directory)
            port = self.listen(rig.site)
            head = {"Expect": "100-continue", "Content-Length": "1000", "Content-Type": TYPE, "Origin": "http://evil"}
            exchange = self.connect(port, "POST", "/v1/files", head, slow=False)
            await exchange.began
            rig.clock.advance(DRAIN_TIMEOUT)  # the body was not sent, and is not waited for any longer
            (reply,) = replies(await exchange.done)
            self.assertEqual((reply.status, reply.error["code"]), (403, "foreign_origin"))

        return Deferred.fromCoroutine(flow())
