"""Asking ``/status``: conditions, waiting, who may; what the array says is in ``test_mslicer``."""

from __future__ import annotations

import json

from tests.web.rig import EPOCH, MARS, SATURN, SECURE, Reply, WebCase, printing
from tests.web.test_mslicer import StatusCase


class ConditionalTests(StatusCase):
    """ETag, 304, HEAD and other methods."""

    def test_not_modified(self) -> None:
        """Who has the newest answer is told so without a body."""
        etag = self.rig.get("/status").headers["etag"]
        reply = self.rig.get("/status", {"If-None-Match": etag})
        self.assertEqual((reply.status, reply.body, reply.headers["etag"]), (304, b"", etag))
        self.assertNotIn("content-type", reply.headers)
        self.assertLessEqual(SECURE.items(), reply.headers.items())
        for tags in (f'"other", {etag}', "*", etag.removeprefix("W/")):
            self.assertEqual(self.rig.get("/status", {"If-None-Match": tags}).status, 304)

    def test_modified(self) -> None:
        """A new layer, or a new word of the printer that changes nothing else, is a new answer."""
        etag = self.rig.get("/status").headers["etag"]
        self.rig.clock.advance(3)
        self.rig.fleet.hear(SATURN)
        second = self.rig.get("/status", {"If-None-Match": etag})
        self.assertEqual((second.status, second.json[1]["last_update"]), (200, int(EPOCH) + 3))
        self.rig.publish(printing(46, 200))
        third = self.rig.get("/status", {"If-None-Match": second.headers["etag"]})
        self.assertEqual((third.status, third.json[1]["status"]["PrintInfo"]["CurrentLayer"]), (200, 46))

    def test_age_is_of_now(self) -> None:
        """The age in an answer is right although answers are remembered for a moment."""
        ages = []
        for _ in range(3):
            ages.append(self.element()["age_s"])
            self.rig.clock.advance(1)
        self.assertEqual(ages, [0, 1, 2])

    def test_head(self) -> None:
        """HEAD tells length and tag of what GET gives."""
        got, headed = self.rig.get("/status"), self.rig.ask("HEAD", "/status")
        self.assertEqual((headed.status, headed.body), (200, b""))
        for name in ("content-length", "content-type", "etag"):
            self.assertEqual(headed.headers[name], got.headers[name])

    def test_methods(self) -> None:
        """Any other method is refused with those that are possible."""
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            reply = self.rig.ask(method, "/status")
            self.assert_refused(reply, 405, "method_not_allowed")
            self.assertEqual(reply.headers["allow"], "GET, HEAD")


class WaitTests(StatusCase):
    """``/status`` as a long poll."""

    def layer(self, reply: Reply) -> int:
        return int(reply.json[1]["status"]["PrintInfo"]["CurrentLayer"])

    def test_wait_since(self) -> None:
        """With wait and the last tag, the answer comes when something changes."""
        etag = self.rig.get("/status").headers["etag"]
        for since in (etag, etag.removeprefix("W/"), etag.removeprefix("W/").strip('"')):
            self.assertTrue(self.rig.begin("GET", f"/status?wait=5&since={'x' * 5}").answered)
            pending = self.rig.begin("GET", "/status?wait=25&since=" + since.replace('"', "%22"))
            self.assertFalse(pending.answered)
            self.rig.clock.advance(3)
            self.assertFalse(pending.answered)
        self.rig.publish(printing(46, 200))
        self.assertEqual(self.layer(pending.reply), 46)
        self.assertNotEqual(pending.reply.headers["etag"], etag)

    def test_prefer(self) -> None:
        """The header Prefer: wait= with If-None-Match does the same; a time-out is a 304."""
        etag = self.rig.get("/status").headers["etag"]
        headers = {"If-None-Match": etag, "Prefer": 'respond-async, wait="10"'}
        pending = self.rig.begin("GET", "/status", b"", headers)
        self.rig.clock.advance(9.5)
        self.assertFalse(pending.answered)
        self.rig.clock.advance(1)
        self.assertEqual(pending.reply.status, 304)
        self.assertEqual(self.rig.fleet.waiting, 0)

    def test_time_out(self) -> None:
        """When nothing happens, the array comes all the same, as it is."""
        etag = self.rig.get("/status").headers["etag"].replace('"', "%22")
        pending = self.rig.begin("GET", f"/status?wait=10&since={etag}")
        self.rig.clock.advance(10)
        self.assertEqual((pending.reply.status, self.layer(pending.reply)), (200, 45))

    def test_clamped(self) -> None:
        """A wait longer than 55 s ends after 55 s."""
        etag = self.rig.get("/status").headers["etag"]
        pendings = [
            self.rig.begin("GET", "/status?wait=3600&since=" + etag.replace('"', "%22")),
            self.rig.begin("GET", "/status", b"", {"Prefer": f"wait={'9' * 400}", "If-None-Match": etag}),
        ]
        self.rig.clock.advance(54)
        self.assertFalse(any(p.answered for p in pendings))
        self.rig.clock.advance(1.5)
        self.assertEqual([p.reply.status for p in pendings], [200, 304])

    def test_only_this_printer(self) -> None:
        """Who waits for one printer is not woken for good by another, and still hears of the right one."""
        path = f"/printers/{MARS}/status"
        etag = self.rig.get(path).headers["etag"]
        pending = self.rig.begin("GET", path, b"", {"Prefer": "wait=20", "If-None-Match": etag})
        chosen = self.rig.begin("GET", "/status?printer=mars-4&wait=20", b"", {"If-None-Match": etag})
        self.rig.publish(printing(46, 200))
        self.rig.fleet.happened(MARS, "noted", {})  # a happening alone changes nothing in the array
        self.assertFalse(pending.answered or chosen.answered)
        self.rig.fleet.explain(MARS, "its door is open")
        self.rig.clock.advance(0.5)
        self.assertEqual([len(p.reply.json) for p in (pending, chosen)], [1, 1])

    def test_late_reactor(self) -> None:
        """After the whole machine was held up, a wait that is over ends, also if it is woken for nothing first."""
        etag = self.rig.get("/status").headers["etag"]
        self.rig.clock.callLater(0.5, self.rig.fleet.happened, SATURN, "noted", {})
        pending = self.rig.begin("GET", "/status?wait=1", b"", {"If-None-Match": etag})
        self.rig.clock.advance(5)
        self.assertEqual(pending.reply.status, 200)

    def test_nothing_to_wait_for(self) -> None:
        """Without a tag, with one of another life, or with a bad number of seconds, nobody is held."""
        self.assertEqual(self.rig.get("/status?wait=25").status, 200)
        self.assertEqual(self.rig.get("/status?wait=25", {"If-None-Match": 'W/"zzzzzzzz.5.1"'}).status, 200)
        self.assertEqual(self.rig.get("/status", {"Prefer": "wait=\xb2", "If-None-Match": '"x"'}).status, 200)
        self.assertEqual(self.rig.get("/status", {"Prefer": "wait=soon"}).status, 200)
        self.assert_refused(self.rig.get("/status?wait=soon"), 400, "bad_parameter")

    def test_client_leaves(self) -> None:
        """A client that hangs up while it waits leaves nothing behind."""
        etag = self.rig.get("/status").headers["etag"]
        before = len(self.rig.clock.getDelayedCalls())
        pending = self.rig.begin("GET", "/status", b"", {"Prefer": "wait=20", "If-None-Match": etag})
        self.assertEqual(self.rig.fleet.waiting, 1)
        pending.leave()
        self.assertEqual((self.rig.fleet.waiting, len(self.rig.clock.getDelayedCalls())), (0, before))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_shutdown(self) -> None:
        """When the daemon stops, who waits is answered, and nobody is held any more."""
        etag = self.rig.get("/status").headers["etag"]
        headers = {"Prefer": "wait=20", "If-None-Match": etag}
        pending = self.rig.begin("GET", "/status", b"", headers)
        self.rig.web.stop()
        self.rig.fleet.stop()
        self.assertEqual(pending.reply.status, 304)
        self.assertEqual(self.rig.get("/status", headers).status, 304)


class DoorTests(WebCase):
    """Who may read it."""

    FOREIGN = "203.0.113.5"

    def test_off(self) -> None:
        """Switched off, everybody reads the words that mslicer has for it, as plain text."""
        self.rig = self.make('[status]\nmode = "off"')
        self.rig.announce()
        for path in ("/status", f"/printers/{SATURN}/status"):
            for address in ("127.0.0.1", self.FOREIGN):
                reply = self.rig.get(path, address=address)
                self.assertEqual((reply.status, reply.body), (403, b"Proxy is disabled"))
                self.assertTrue(reply.headers["content-type"].startswith("text/plain"))
                self.assertEqual(reply.headers["content-length"], "17")
                self.assertLessEqual(SECURE.items(), reply.headers.items())

    def test_trusted(self) -> None:
        """By default strangers are refused, in JSON with the way to change it; a trusted network may read."""
        self.rig = self.make('[access.trusted]\n"192.168.1.0/24" = ["view"]\nloopback = ["view"]')
        for stranger in (self.FOREIGN, "192.168.2.5"):
            error = self.assert_refused(self.rig.get("/status", address=stranger), 403, "forbidden")
            self.assertIn(stranger, error["message"])
            self.assertIn("[access] trusted", error["hint"])
        for friend in ("192.168.1.77", "127.0.0.1", "::1", "::ffff:192.168.1.77"):
            self.assertEqual(self.rig.get("/status", address=friend).status, 200)

    def test_public(self) -> None:
        """Made public, everybody may read it, and nothing else."""
        self.rig = self.make('[status]\nmode = "public"')
        self.assertEqual(self.rig.get("/status", address=self.FOREIGN).status, 200)
        self.assert_refused(self.rig.get("/v1/printers", address=self.FOREIGN), 403, "forbidden")

    def test_rate(self) -> None:
        """More questions than are configured are put off with the time to wait; other clients are not affected."""
        self.rig = self.make('[status]\nmode = "public"\n[web]\nburst = 20')
        replies = [self.rig.get("/status", address=self.FOREIGN) for _ in range(21)]
        self.assertEqual([r.status for r in replies], [200] * 20 + [429])
        self.assert_refused(replies[-1], 429, "too_many_requests")
        self.assertEqual((replies[-1].reason, replies[-1].headers["retry-after"]), ("TOO MANY REQUESTS", "1"))
        self.assertEqual(self.rig.get("/status", address="203.0.113.6").status, 200)
        self.rig.clock.advance(0.1)
        self.assertEqual(self.rig.get("/status", address=self.FOREIGN).status, 200)
        self.assertEqual(self.rig.get("/status", address=self.FOREIGN).status, 429)

    def test_loopback_rate(self) -> None:
        """Programs on the machine itself are never put off."""
        self.assertEqual({self.rig.get("/status").status for _ in range(100)}, {200})

    def test_json_stays_json(self) -> None:
        """A hostile file name is text in the array, whatever is in it."""
        self.rig.announce()
        self.rig.publish(printing(5, filename='<img src=x onerror=alert(1)>"\\\u2028.goo'))
        name = json.loads(self.rig.get("/status").body)[0]["status"]["PrintInfo"]["Filename"]
        self.assertEqual(name, '<img src=x onerror=alert(1)>"\\\u2028.goo')
