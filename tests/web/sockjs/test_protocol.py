"""What the protocol's own suite (0.3.3) checks of these transports, in its order, over the whole web stack.

Where the suite wants what would open the daemon to every page (an echoed Origin, with credentials), the daemon's own
rules are checked instead, and the test says so.
"""

from __future__ import annotations

import json
import re
from typing import Any

from sdcpd.web.sockjs.frames import encoded
from tests.web.rig import Reply
from tests.web.sockjs.rig import PRELUDE, Reading, SockCase, body_of

FOREIGN = "http://evil.example"
LISTED = "https://board.example.org"
NOT_CACHED = "no-store, no-cache, must-revalidate, max-age=0"


class ProtocolCase(SockCase):
    config = f'[web]\norigins = ["{LISTED}"]\n'

    def assert_not_cached(self, reply: Reply | Reading) -> None:
        self.assertEqual(reply.headers["cache-control"], NOT_CACHED)
        self.assertNotIn("expires", reply.headers)
        self.assertNotIn("last-modified", reply.headers)
        self.assertNotIn("set-cookie", reply.headers)


class StaticTests(ProtocolCase):
    def test_greeting(self) -> None:
        """A person who opens the address sees that it is one of SockJS."""
        for target in ("/sockjs", "/sockjs/"):
            reply = self.ask("GET", target)
            self.assertEqual((reply.status, reply.body), (200, b"Welcome to SockJS!\n"))
            self.assertEqual(reply.headers["content-type"], "text/plain; charset=UTF-8")
            self.assertNotIn("set-cookie", reply.headers)

    def test_not_found(self) -> None:
        """Nothing else is there."""
        for path in ("/a", "/a.html", "/a/a", "/a/a/", "/a/", "/iframe.html", "/a/a/jsonp", "/a/a/htmlfile"):
            self.assertEqual(self.ask("GET", "/sockjs" + path).status, 404, path)
        self.assertEqual(self.ask("POST", "/sockjs/a/a/jsonp_send", b'["x"]').status, 404)

    def test_info(self) -> None:
        """A client learns that it has to do without WebSocket, and gets a number that is never the same."""
        reply, other = self.ask("GET", "/sockjs/info"), self.ask("GET", "/sockjs/info")
        self.assertEqual(reply.headers["content-type"], "application/json; charset=UTF-8")
        self.assert_not_cached(reply)
        self.assertIs(reply.json["websocket"], False)
        self.assertIs(reply.json["cookie_needed"], False)
        self.assertEqual(reply.json["origins"], ["*:*"])
        self.assertTrue(0 <= reply.json["entropy"] < 2**32)
        self.assertNotEqual(reply.json["entropy"], other.json["entropy"])

    def test_websocket(self) -> None:
        """A client that insists on a WebSocket is told that there is none, with or without the words of an upgrade."""
        for path in ("/sockjs/websocket", "/sockjs/0/0/websocket"):
            for headers in ({}, {"Upgrade": "websocket", "Connection": "Upgrade"}):
                reply = self.ask("GET", path, b"", headers)
                self.assertEqual((reply.status, reply.body), (404, b"WebSocket is not available"))
            reply = self.ask("POST", path)
            self.assertEqual(reply.status, 405)
            self.assertIn("GET", reply.headers["allow"])

    def test_any_name(self) -> None:
        """Client and server part may be named anything."""
        for path in ("/a/a", "/_/_", "/1/1", "/abcdefgh_i-j%20/abcdefg_i-j%20"):
            self.assertEqual(self.client("/sockjs" + path).poll(), "o\n")

    def test_invalid_names(self) -> None:
        """But nothing with a dot in it, and nothing empty."""
        for path in ("//", "/a./a", "/a/a.", "/./.", "/", "///"):
            for method in ("GET", "POST"):
                self.assertEqual(self.ask(method, f"/sockjs{path}/xhr").status, 404, (method, path))

    def test_server_ignored(self) -> None:
        """The first part is for load balancers: the same session answers under any."""
        self.assertEqual(self.client("/sockjs/000/same").poll(), "o\n")
        self.assertEqual(self.client("/sockjs/000/same").send('["a"]').status, 204)
        self.assertEqual(self.client("/sockjs/999/same").poll(), 'a["a"]\n')


class SessionTests(ProtocolCase):
    def test_simple(self) -> None:
        """A session opens, carries a message each way, and has one receiver at a time."""
        client = self.client()
        self.assertEqual(client.poll(), "o\n")
        reply = client.send('["a"]')
        self.assertEqual((reply.status, reply.body), (204, b""))
        self.assertEqual(client.poll(), 'a["a"]\n')
        self.assertEqual(self.client("/sockjs/000/bad_session").send('["a"]').status, 404)
        first = client.begin("POST", "xhr")
        self.assertFalse(first.answered)
        self.assertEqual(client.poll(), 'c[2010,"Another connection still open"]\n')
        client.send('["b"]')
        self.assertEqual(first.reply.body, b'a["b"]\n')

    def test_close(self) -> None:
        """An ended session says so to whoever asks, until it is forgotten."""
        self.echoes.closing = True
        client = self.client()
        self.assertEqual(client.poll(), "o\n")
        for _ in range(2):
            self.assertEqual(client.poll(), 'c[3000,"Go away!"]\n')
        self.assertEqual(client.send('["a"]').status, 404)
        self.clock.advance(5)
        self.echoes.closing = False
        self.assertEqual(client.poll(), "o\n")

    def test_asking_keeps_no_closed_session(self) -> None:
        """A client that asks without a pause gets a new session all the same."""
        self.echoes.closing = True
        client = self.client()
        client.poll()
        for _ in range(10):
            self.assertEqual(client.poll(), 'c[3000,"Go away!"]\n')
            self.clock.advance(0.5)
        self.assertEqual(client.poll(), "o\n")


class XhrTests(ProtocolCase):
    def test_transport(self) -> None:
        """Polls and sends have the types that old browsers need, and are never cached."""
        client = self.client()
        reply = client.xhr()
        self.assertEqual((reply.status, reply.body), (200, b"o\n"))
        self.assertEqual(reply.headers["content-type"], "application/javascript; charset=UTF-8")
        self.assert_not_cached(reply)
        reply = client.send('["x"]')
        self.assertEqual((reply.status, reply.body), (204, b""))
        self.assertEqual(reply.headers["content-type"], "text/plain; charset=UTF-8")
        self.assert_not_cached(reply)
        self.assertEqual(client.poll(), 'a["x"]\n')

    def test_no_session(self) -> None:
        """What is sent to nobody is refused."""
        self.assertEqual(self.client().send('["x"]').status, 404)

    def test_invalid_json(self) -> None:
        """What is no JSON is refused in the protocol's words, and the session goes on."""
        client = self.client()
        self.assertEqual(client.poll(), "o\n")
        for body, words in (
            ('["x', b"Broken JSON encoding."),
            (b'["\xff"]', b"Broken JSON encoding."),
            ("[" * 5000, b"Broken JSON encoding."),
            (json.dumps(["x"] * 65), b"At most 64 messages at once."),
            ("", b"Payload expected."),
        ):
            reply = client.send(body)
            self.assertEqual((reply.status, reply.body), (500, words))
        self.assertEqual(client.send('["a"]').status, 204)
        self.assertEqual(client.poll(), 'a["a"]\n')

    def test_content_types(self) -> None:
        """A message is a message, whatever its type is said to be."""
        client = self.client()
        client.poll()
        types = ("text/plain", "T", "application/json", "application/xml", "", "application/json; charset=utf-8")
        for kind in (*types, "text/xml; charset=utf-8", "text/xml", "application/x-www-form-urlencoded"):
            self.assertEqual(client.send('["a"]', {"Content-Type": kind}).status, 204, kind)
        self.assertEqual(client.poll(), "a[" + ",".join(['"a"'] * 9) + "]\n")

    def test_encoding(self) -> None:
        """What browsers would change on its way is escaped, as the suite lists it; all of it comes back as it went."""
        killer = "".join(
            chr(n) for n in range(65536) if re.match("[\u200c-\u200f\u2028-\u202f\u2060-\u206f\ufff0-\uffff]", chr(n))
        )
        escaped = "".join(f"\\u{ord(c):04x}" for c in killer)
        client = self.client()
        client.poll()
        self.assertEqual(client.send(f'["{killer}"]').status, 204)
        self.assertEqual(client.poll(), f'a["{escaped}"]\n')
        client.send(f'["{escaped}"]')
        self.assertEqual(json.loads(client.poll()[1:]), [killer])
        client.send('["\\u0000\\u001f\\n\u00e4\U0001f5a8"]')
        self.assertEqual(json.loads(client.poll()[1:]), ["\0\x1f\n\u00e4\U0001f5a8"])
        self.assertEqual(encoded({"a": "\u2028"}), b'{"a":"\\u2028"}')


class StreamTests(ProtocolCase):
    def test_xhr_streaming(self) -> None:
        """A stream begins with what makes browsers read on, and brings each frame as a line."""
        client = self.client()
        stream = client.stream()
        self.assertEqual(stream.status, 200)
        self.assertEqual(stream.headers["content-type"], "application/javascript; charset=UTF-8")
        self.assert_not_cached(stream)
        self.assertEqual(stream.read(), PRELUDE + "o\n")
        self.assertEqual(client.send('["x"]').status, 204)
        self.assertEqual(stream.read(), 'a["x"]\n')
        self.assertFalse(stream.over)

    def test_event_source(self) -> None:
        """As server-sent events the same frames come as data lines."""
        client = self.client()
        stream = client.event_source()
        self.assertEqual(stream.headers["content-type"], "text/event-stream; charset=UTF-8")
        self.assert_not_cached(stream)
        self.assertEqual(stream.read(), "\r\ndata: o\r\n\r\n")
        client.send('["x"]')
        self.assertEqual(stream.read(), 'data: a["x"]\r\n\r\n')
        client.send('["  \\u0000\\n\\r "]')
        self.assertEqual(stream.read(), 'data: a["  \\u0000\\n\\r "]\r\n\r\n')

    def test_head(self) -> None:
        """Who asks only for the head of a stream opens no session."""
        reply = self.ask("HEAD", "/sockjs/0/0/eventsource")
        self.assertEqual((reply.status, reply.body), (200, b""))
        self.assertEqual(len(self.sockjs.sessions), 0)

    def test_limit(self) -> None:
        """A stream ends when 128 KiB were sent, and the client goes on with the next one without losing anything."""
        for stream_of in ("stream", "event_source"):
            client = self.client()
            stream = getattr(client, stream_of)()
            text = "x" * 4090
            for _ in range(31):
                client.send(f'["{text}"]')
                self.assertFalse(stream.over)
            client.send(f'["{text}"]')
            self.assertTrue(stream.over, stream_of)
            client.send('["more"]')
            stream.read()
            again = getattr(client, stream_of)()
            self.assertIn('a["more"]', again.read())
            self.assertFalse(again.over)

    def test_close_frame(self) -> None:
        """The end of a session ends its stream, and who asks again hears of the end."""
        client = self.client()
        first = client.stream()
        client.send('["close"]')
        self.assertEqual(first.read(), PRELUDE + 'o\nc[3000,"Go away!"]\n')
        second = client.stream()
        self.assertEqual(second.read(), PRELUDE + 'c[3000,"Go away!"]\n')
        self.assertTrue(first.over)
        self.assertTrue(second.over)

    def test_second_stream(self) -> None:
        """A second stream is turned away, and the first is none the worse."""
        client = self.client()
        first = client.stream()
        second = client.stream()
        self.assertEqual(second.read(), PRELUDE + 'c[2010,"Another connection still open"]\n')
        self.assertTrue(second.over)
        client.send('["x"]')
        self.assertTrue(first.read().endswith('a["x"]\n'))

    def test_abort(self) -> None:
        """A client whose connection broke is told that something may be lost, and begins anew."""
        client = self.client()
        stream = client.stream()
        self.assertEqual(client.stream().read(), PRELUDE + 'c[2010,"Another connection still open"]\n')
        stream.leave()
        self.assertEqual(client.stream().read(), PRELUDE + 'c[1002,"Connection interrupted"]\n')
        poller = self.client()
        poller.poll()
        poller.begin("POST", "xhr").leave()
        self.assertEqual(poller.poll(), 'c[1002,"Connection interrupted"]\n')

    def test_old_http(self) -> None:
        """A client of HTTP/1.0 gets a stream without chunks that ends with the connection."""
        self.echoes.closing = True
        pending = self.old_client("/sockjs/000/old/xhr_streaming")
        status, headers, body, _ = body_of(pending.transport.value())
        self.assertEqual(status, 200)
        self.assertNotIn("transfer-encoding", headers)
        self.assertNotIn("content-length", headers)
        self.assertEqual(body, PRELUDE + 'o\nc[3000,"Go away!"]\n')
        self.assertTrue(pending.transport.disconnecting)

    def test_kept_alive(self) -> None:
        """After a stream has ended, its connection takes the next request."""
        client = self.client()
        stream = client.stream()
        client.send('["close"]')
        self.assertEqual(stream.headers["transfer-encoding"], "chunked")
        before = len(stream.pending.transport.value())
        stream.pending.send(b"GET /sockjs HTTP/1.1\r\nHost: hub.local\r\n\r\n")
        self.assertIn(b"Welcome to SockJS!", stream.pending.transport.value()[before:])


class OriginTests(ProtocolCase):
    """Instead of the suite's checks of CORS: it wants every Origin echoed, and credentials let in."""

    def paths(self) -> Any:
        session = "/sockjs/000/foreign"
        return (("POST", f"{session}/xhr"), ("POST", f"{session}/xhr_streaming"), ("GET", f"{session}/eventsource"))

    def test_foreign_page(self) -> None:
        """A page of another site opens no session and sends nothing: it would use the address of its reader."""
        self.client("/sockjs/000/foreign2").poll()
        for method, path in (*self.paths(), ("POST", "/sockjs/000/foreign2/xhr_send")):
            for headers in ({"Origin": FOREIGN}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
                reply = self.ask(method, path, b'["x"]' if method == "POST" else b"", headers)
                self.assertEqual((reply.status, reply.error["code"]), (403, "foreign_origin"), (path, headers))
                self.assertNotIn("access-control-allow-origin", reply.headers)
        self.assertEqual(len(self.sockjs.sessions), 1)

    def test_listed_page(self) -> None:
        """A listed page may, without credentials, and a browser may ask before."""
        for method, path in self.paths():
            headers = body_of(self.begin(method, path, b"", {"Origin": LISTED}).transport.value())[1]
            self.assertEqual(headers["access-control-allow-origin"], LISTED)
            self.assertNotIn("access-control-allow-credentials", headers)
        asked = {"Origin": LISTED, "Access-Control-Request-Method": "POST"}
        reply = self.ask("OPTIONS", "/sockjs/000/x/xhr", b"", asked)
        self.assertEqual((reply.status, reply.body), (204, b""))
        self.assertIn("POST", reply.headers["access-control-allow-methods"])
        self.assertEqual(reply.headers["access-control-allow-origin"], LISTED)

    def test_asked_before(self) -> None:
        """A browser that asks for a foreign page is told no."""
        asked = {"Origin": FOREIGN, "Access-Control-Request-Method": "POST"}
        reply = self.ask("OPTIONS", "/sockjs/000/x/xhr", b"", asked)
        self.assertEqual(reply.status, 403)

    def test_own_page(self) -> None:
        """A page of the daemon's own may do everything."""
        own = {"Origin": "http://hub.local", "Sec-Fetch-Site": "same-origin"}
        client = self.client()
        self.assertEqual(client.xhr(own).body, b"o\n")
        self.assertEqual(self.client().event_source({"Sec-Fetch-Site": "same-origin"}).status, 200)

    def test_info_unreadable(self) -> None:
        """A foreign page may ask for ``info`` and not read the answer."""
        reply = self.ask("GET", "/sockjs/info", b"", {"Origin": FOREIGN})
        self.assertNotIn("access-control-allow-origin", reply.headers)
