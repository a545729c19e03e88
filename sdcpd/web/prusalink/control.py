"""``api/v1/job/<id>`` and ``api/v1/transfer/<id>``: pause, go on, stop.

One decision: a wish is for the print of that number and for no other: who looked at one print and asks late does not
stop the next. Everything else is asked of ``Jobs``, as in every dialect (reference apis.md 5.4).
"""

from __future__ import annotations

from twisted.internet.defer import Deferred

from sdcpd.dialects import Condition, condition_of
from sdcpd.fleet import Printer
from sdcpd.jobs import Jobs
from sdcpd.stops import stopped
from sdcpd.web.answer import Answer
from sdcpd.web.errors import Refusal
from sdcpd.web.prusalink.present import number_of
from sdcpd.web.routes import Call, Route

__all__ = ["ControlEndpoints"]


class ControlEndpoints:
    """Handlers over the jobs."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        one = "/api/v1/job/<number>"
        also = (401, 404, 409, 503, 504)
        self.routes = (
            Route("PUT", f"{one}/pause", "control", self.pause, status=204, content="", also=also),
            Route("PUT", f"{one}/resume", "control", self.resume, status=204, content="", also=also),
            Route("PUT", f"{one}/continue", "control", self.proceed, status=204, content="", also=also),
            Route("DELETE", one, "control", self.stop, status=204, content="", also=also),
            Route("DELETE", "/api/v1/transfer/<number>", "control", self.end, status=204, content="", also=also),
        )

    def pause(self, call: Call, printer: Printer, number: str) -> Deferred[Answer]:
        """Pause the print; answered when the board has acknowledged it."""
        _must_be(printer, number)
        return self._jobs.pause(printer.id).addCallback(_done)

    def resume(self, call: Call, printer: Printer, number: str) -> Deferred[Answer]:
        """Go on with a paused print; answered when the board has acknowledged it."""
        _must_be(printer, number)
        return self._jobs.resume(printer.id).addCallback(_done)

    def proceed(self, call: Call, printer: Printer, number: str) -> Deferred[Answer]:
        """Go on after a picture was taken: refused, for no print here waits for a camera."""
        _must_be(printer, number)
        raise Refusal(409, "not_now", "The print does not wait for a camera.", "A paused print goes on by resume.")

    def stop(self, call: Call, printer: Printer, number: str) -> Deferred[Answer]:
        """Stop the print, or the delivery before it; answered when that is done."""
        _must_be(printer, number)
        return stopped(self._jobs, printer).addCallback(_done)

    def end(self, call: Call, printer: Printer, number: str) -> Deferred[Answer]:
        """End the transfer to the printer; a print is not stopped by this."""
        if condition_of(printer) is not Condition.TRANSFER:
            raise _unknown(printer, number)
        return self.stop(call, printer, number)


def _must_be(printer: Printer, number: str) -> None:
    present = number_of(printer)
    if not present or number != str(present):
        raise _unknown(printer, number)


def _unknown(printer: Printer, number: str) -> Refusal:
    return Refusal(
        404, "unknown_job", f"{printer.name} has no job {number[:40]!r} now.", "GET api/v1/job tells the present one."
    )


def _done(_: object) -> Answer:
    return Answer(204)
