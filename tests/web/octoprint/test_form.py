from __future__ import annotations

from typing import Any

from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from sdcpd import errors
from sdcpd.plate import PlateNotClear
from sdcpd.records import Plate
from sdcpd.web.errors import ErrorBody, Refusal, refused, verdict
from sdcpd.web.octoprint.form import NO_PERMISSION, NOT_OPERATIONAL, OCTOPRINT, no, said
from tests.web.octoprint.rig import OctoPrintCase
from tests.web.rig import P


class SaidTests(SynchronousTestCase):
    """A refusal of the core, as this dialect says it."""

    def said(self, error: Exception) -> tuple[int, str]:
        status, body, _ = verdict(Failure(error))
        return said(status, body)

    def test_known_by_heart(self) -> None:
        """What clients compare is said in the real server's words, with its code."""
        offline = errors.PrinterOffline("Saturn is offline.", "Switch it on.")
        self.assertEqual(self.said(offline), (409, NOT_OPERATIONAL))
        wrong = Refusal(401, "wrong_key", "The key is not valid.", "Check it.")
        self.assertEqual(self.said(wrong), (403, NO_PERMISSION))

    def test_own_words(self) -> None:
        """Everything else keeps its own words and says what to do, with a code that the real server has."""
        for error, expected in (
            (errors.NotNow("It is printing.", "Wait."), (409, "It is printing. Wait.")),
            (errors.OwnedElsewhere("Host 10.0.0.9 has it.", "Adopt it."), (409, "Host 10.0.0.9 has it. Adopt it.")),
            (errors.CommandTimeout("No answer came."), (504, "No answer came.")),
            (errors.FileMissing("There is no such file.", "Upload it."), (404, "There is no such file. Upload it.")),
            (errors.BadName("The name is empty", "Name it."), (400, "The name is empty. Name it.")),
            (errors.FileInUse("It is needed."), (409, "It is needed.")),
            (errors.FileTooLarge("It is too large."), (413, "It is too large.")),
            (errors.StoreFull("The disk is full."), (507, "The disk is full.")),
        ):
            self.assertEqual(self.said(error), expected)

    def test_plate(self) -> None:
        """A plate that is not clear is 409 with the sentence that says what to do."""
        status, text = self.said(PlateNotClear("The plate is occupied.", "Clear it.", Plate("AB12")))
        self.assertEqual((status, text), (409, "The plate is occupied. Clear it."))

    def test_kinds(self) -> None:
        """A file of a kind that the printer does not take is 415, one that is wrong otherwise 400."""
        for code, status in (("unknown_format", 415), ("wrong_resolution", 400)):
            self.assertEqual(said(422, ErrorBody(code, "No.")), (status, "No."))

    def test_exact(self) -> None:
        """A refusal of this dialect alone is said as it stands, with its code."""
        status, body, _ = verdict(Failure(no(422, "exactly this.")))
        self.assertEqual(said(status, body), (422, "exactly this."))

    def test_bug(self) -> None:
        """A bug of ours is told by a number only, never by what happened."""
        from sdcpd.logs import set_level

        set_level("critical")
        status, text = self.said(ZeroDivisionError("/secret/path"))
        self.flushLoggedErrors(ZeroDivisionError)
        self.assertEqual(status, 500)
        self.assertNotIn("secret", text)


class AnswerTests(OctoPrintCase):
    """The answer itself: JSON, or plain text to an upload that did not ask for JSON."""

    def upload(self, **headers: str) -> Any:
        """A form that is refused before its body: the key is wrong."""
        kind = {"Content-Type": "multipart/form-data; boundary=x", "X-Api-Key": "wrong", **headers}
        self.rig.clock.advance(60)
        return self.rig.ask("POST", f"{P}/api/files/local", b"--x--\r\n", kind, address="127.0.0.1")

    def test_plain(self) -> None:
        """A slicer shows the body of a refused upload as it is, and Cura only if it is exactly plain text."""
        for accepts in ("", "*/*", "text/html"):
            reply = self.upload(**({"Accept": accepts} if accepts else {}))
            self.assertEqual((reply.status, reply.headers["content-type"]), (403, "text/plain"))
            self.assertEqual(reply.body, NO_PERMISSION.encode())

    def test_json(self) -> None:
        """Who asks for JSON gets JSON, also for an upload."""
        for accepts in ("application/json", "text/html, application/json;q=0.9"):
            self.refused(self.upload(Accept=accepts), 403, NO_PERMISSION)

    def test_questions(self) -> None:
        """Every other refusal is JSON, whatever is asked for."""
        for accepts in ("*/*", "text/plain"):
            self.refused(self.rig.get(f"{P}/api/printer/sd", {"Accept": accepts}), 404, "SD support is disabled")

    def test_no_challenge(self) -> None:
        """A wrong key is 403 here, so there is no challenge in the answer; the native API's has one."""
        wrong = {"X-Api-Key": "wrong"}
        self.assertIn("www-authenticate", self.rig.get("/v1/printers", wrong, address="127.0.0.1").headers)
        self.rig.clock.advance(60)
        self.assertNotIn("www-authenticate", self.rig.get(f"{P}/api/job", wrong, address="127.0.0.1").headers)

    def test_too_many(self) -> None:
        """Guessing is slowed down in this dialect, too, with the time to wait."""
        replies = [self.rig.get(f"{P}/api/job", {"X-Api-Key": f"w{n}"}, address="127.0.0.1") for n in range(11)]
        self.assertEqual({reply.status for reply in replies[:10]}, {403})
        self.assertIn("Too many wrong keys", self.refuses(replies[10], 429))
        self.assertIn("retry-after", replies[10].headers)

    def test_left(self) -> None:
        """Nobody is answered who has left."""
        from twisted.internet.defer import CancelledError

        request: Any = None
        gone = Failure(CancelledError())
        self.assertIs(refused(gone, request, OCTOPRINT), gone)
