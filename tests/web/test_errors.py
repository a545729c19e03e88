from __future__ import annotations

import re
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.test.requesthelper import DummyRequest

from sdcpd import errors
from sdcpd.web.errors import Refusal, refused
from tests.web.rig import SATURN, SECURE, WebCase

NOBODY: Any = DummyRequest([])
EXPECTED = {
    errors.PrinterUnknown: 404,
    errors.PrinterOffline: 503,
    errors.LinkLost: 504,
    errors.CommandTimeout: 504,
    errors.CommandInFlight: 409,
    errors.NotNow: 409,
    errors.OwnedElsewhere: 409,
    errors.BadCursor: 400,
    errors.BadLayer: 422,
    errors.BadName: 422,
    errors.FileMissing: 404,
    errors.FileInUse: 409,
    errors.FileTooLarge: 413,
    errors.StoreFull: 507,
    errors.UnknownFormat: 422,
    errors.Unrecorded: 507,
    errors.Interrupted: 400,
    errors.StoreError: 500,
    errors.PrinterError: 500,
    errors.MalformedMessage: 500,
}


class RefusedTests(SynchronousTestCase):
    """The domain's words as HTTP."""

    def test_every_word(self) -> None:
        """Each failure has its status, its own code for programs, and its message and hint for people."""
        for kind, status in EXPECTED.items():
            answer = refused(Failure(kind("This is wrong.", "Do that.")), NOBODY)
            assert not isinstance(answer, Failure)
            self.assertEqual(answer.status, status, kind)
            expected = f'{{"error":{{"code":"{kind.code}","message":"This is wrong.","hint":"Do that."}}}}'
            self.assertEqual(answer.body.decode(), expected)

    def test_printer_refusal(self) -> None:
        """A printer's refusal carries the number that it sent."""
        answer = refused(Failure(errors.CommandRefused("PAUSE was refused.", 4)), NOBODY)
        assert not isinstance(answer, Failure)
        self.assertEqual(answer.status, 409)
        self.assertEqual(answer.body, b'{"error":{"code":"command_refused","message":"PAUSE was refused.","ack":4}}')

    def test_refusal_of_http(self) -> None:
        """A refusal of HTTP itself has its own status, code and headers."""
        answer = refused(Failure(Refusal(418, "teapot", "I am one.", headers={"X-Tea": "green"})), NOBODY)
        assert not isinstance(answer, Failure)
        self.assertEqual((answer.status, answer.headers), (418, {"X-Tea": "green"}))

    def test_nobody_there(self) -> None:
        """When the client has left there is no answer, and nothing in the log."""
        failure = Failure(CancelledError())
        self.assertIs(refused(failure, NOBODY), failure)
        self.assertEqual(self.flushLoggedErrors(), [])


class BugTests(WebCase):
    """What a client sees of a bug of ours."""

    def test_unexpected(self) -> None:
        """A bug is a 500 in JSON with a number that the log has, too, and without traceback, path or secret."""
        self.rig.announce()

        def wall() -> float:
            raise RuntimeError("secret in /var/lib/sdcpd/state")

        self.rig.web._status._wall = wall
        reply = self.rig.get("/status")
        error = self.assert_refused(reply, 500, "internal")
        number = re.search(r"number ([0-9a-f]{8})", error["message"])
        self.assertTrue(number)
        for word in ("Traceback", "secret", "/var", "RuntimeError", ".py"):
            self.assertNotIn(word, reply.body.decode())
        (logged,) = self.flushLoggedErrors(RuntimeError)
        self.assertIn("secret", logged.getErrorMessage())

    def test_later_bug(self) -> None:
        """A bug that shows only after a wait is answered in the same way."""
        self.rig.announce()
        etag = self.rig.get("/status").headers["etag"]
        pending = self.rig.begin("GET", "/status", b"", {"Prefer": "wait=5", "If-None-Match": etag})
        self.rig.web._status._wall = lambda: float("nan")
        self.rig.fleet.explain(SATURN, "x")
        self.rig.clock.advance(0.5)
        self.assert_refused(pending.reply, 500, "internal")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_connection_goes_on(self) -> None:
        """After an error the same connection takes the next request."""
        pending = self.rig.begin("GET", "/nothing")
        pending.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertTrue(pending.transport.value().endswith(b"\r\n\r\nok"))
        self.assertFalse(pending.transport.disconnecting)

    def test_small_body_too_large(self) -> None:
        """A command's body of megabytes is refused before it is sent, with the headers of every answer."""
        reply = self.rig.ask("POST", f"/v1/printers/{SATURN}/print", b"", {"Content-Length": "9999999"})
        self.assert_refused(reply, 413, "body_too_large")
        self.assertLessEqual(SECURE.items(), reply.headers.items())
