"""The native API of printers and jobs: ``/v1/printers`` and ``/v1/jobs``.

One decision: a handler parses, calls the core and renders; what is allowed now, and what becomes of it, is decided
by ``Jobs`` alone, so every dialect refuses for the same reasons in the same words.
"""

from __future__ import annotations

from msgspec import Struct
from twisted.internet.defer import Deferred

from sdcpd.codec.sdcp import Response
from sdcpd.documents import (
    AckDocument,
    Documents,
    JobAnswer,
    JobDocument,
    PlateAnswer,
    PrinterDocument,
    plate_document,
)
from sdcpd.fleet import Fleet
from sdcpd.jobs import Jobs, Wish
from sdcpd.orders import Orders
from sdcpd.progress import Job
from sdcpd.stops import stopped
from sdcpd.web.answer import Answer, json_answer
from sdcpd.web.errors import Refusal
from sdcpd.web.queue import key_of, visible
from sdcpd.web.routes import Call, Route
from sdcpd.wishes import word

__all__ = ["NativeApi", "PlateRequest", "PrintRequest"]


class PrintRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What to print, and what the one who asks says of the plate."""

    file: str
    plate_clear: bool | None = None


class PlateRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody who looked says of a plate; a confirmation names the revision that was looked at."""

    clear: bool
    revision: int | None = None


class PaceDocument(Struct, frozen=True):
    """How long layers took. ``print`` is the print's id in the history, null if none was seen."""

    print: str | None
    points: list[tuple[int, float]]
    """Up to which layer, and the seconds that each layer took since the point before."""


class NativeApi:
    """Handlers over the fleet and the jobs."""

    def __init__(self, fleet: Fleet, jobs: Jobs, orders: Orders, documents: Documents) -> None:
        self._fleet = fleet
        self._jobs = jobs
        self._orders = orders
        self._documents = documents
        one = "/v1/printers/<name>"
        refusals = (404, 409, 422, 503, 507)
        self.routes = (
            Route("GET", "/v1/printers", "view", self.printers, list[PrinterDocument], limited=True),
            Route("GET", one, "view", self.printer, PrinterDocument, also=(404,)),
            Route(
                "POST",
                f"{one}/print",
                "control",
                self.print,
                JobAnswer,
                202,
                PrintRequest,
                also=refusals,
            ),
            Route(
                "POST", f"{one}/plate", "plate", self.plate, PlateAnswer, 200, PlateRequest, also=(404, 409, 422, 507)
            ),
            Route("POST", f"{one}/pause", "control", self.pause, AckDocument, also=(404, 409, 503, 504)),
            Route("POST", f"{one}/resume", "control", self.resume, AckDocument, also=(404, 409, 503, 504)),
            Route("POST", f"{one}/stop", "control", self.stop, AckDocument, also=(404, 409, 503, 504, 507)),
            Route("GET", f"{one}/pace", "view", self.pace, PaceDocument, also=(404,)),
            Route("GET", "/v1/jobs", "view", self.jobs, list[JobDocument], limited=True),
            Route("GET", "/v1/jobs/<job_id>", "view", self.job, JobDocument, also=(404,), limited=True),
        )

    def printers(self, call: Call) -> Answer:
        """Every printer that was ever seen or configured, in a stable order."""
        return json_answer([self._documents.printer(p) for p in self._fleet if call.client.sees(p.id)])

    def printer(self, call: Call, name: str) -> Answer:
        """One printer, by its slug or its MainboardID."""
        return json_answer(self._documents.printer(self._fleet.get(name)))

    def print(self, call: Call, name: str) -> Deferred[Answer]:
        """Deliver a stored file if the printer does not have it, and start it; the job tells what becomes of it."""
        wish = call.json(PrintRequest)
        printer = self._fleet.get(name)
        if wish.plate_clear is not None:
            call.must_have("plate")
        key, asked = key_of(call, "print", printer.id, wish.file, wish.plate_clear)
        asks = Wish(call.client.name, plate_clear=wish.plate_clear, key=key, asked=asked)
        return self._orders.print(printer.id, wish.file, asks, call.client.sees).addCallback(self._begun)

    def _begun(self, job: Job) -> Answer:
        return json_answer(JobAnswer(self._documents.job(job)), 202, {"Location": f"/v1/jobs/{job.id}"})

    def plate(self, call: Call, name: str) -> Deferred[Answer]:
        """Say that the plate is clear, or that something is on it; the answer is the plate as it is now."""
        said = call.json(PlateRequest)
        printer = self._fleet.get(name)
        by = call.client.name
        asked = word(by, *key_of(call, "plate", printer.id, said.clear, said.revision))
        if self._jobs.plates.said(printer.id, asked):
            pass  # the same answer again, with the plate as it is now
        elif not said.clear:
            self._jobs.plates.occupy(printer, by, asked)
        elif said.revision is None:
            raise Refusal(
                422,
                "bad_body",
                "The JSON body does not fit: expected the revision of the plate that was looked at.",
                f"GET /v1/printers/{printer.slug} tells it: it is {printer.plate.revision} now.",
            )
        else:
            self._jobs.plates.confirm(printer, said.revision, by, asked)
        kept = self._jobs.plates.kept(printer.id)
        return kept.addCallback(lambda plate: json_answer(PlateAnswer(plate_document(plate))))

    def pause(self, call: Call, name: str) -> Deferred[Answer]:
        """Pause the print."""
        return self._jobs.pause(self._fleet.get(name).id).addCallback(_acknowledged)

    def resume(self, call: Call, name: str) -> Deferred[Answer]:
        """Go on with a paused print."""
        return self._jobs.resume(self._fleet.get(name).id).addCallback(_acknowledged)

    def stop(self, call: Call, name: str) -> Deferred[Answer]:
        """Stop the print, or cancel a delivery before its start."""
        return stopped(self._jobs, self._fleet.get(name)).addCallback(_acknowledged)

    def pace(self, call: Call, name: str) -> Answer:
        """How long the layers of the present print took, or of the last one; some hundred points at most."""
        found = self._jobs.history.pace(self._fleet.get(name).id)
        return json_answer(PaceDocument(None, []) if found is None else PaceDocument(found[0], found[1].points))

    def jobs(self, call: Call) -> Answer:
        """The remembered jobs, oldest first."""
        return json_answer([self._documents.job(job) for job in self._jobs.all() if call.client.sees(job.printer)])

    def job(self, call: Call, job_id: str) -> Answer:
        """One job."""
        return json_answer(self._documents.job(visible(call, self._jobs, job_id)))


def _acknowledged(response: Response | None) -> Answer:
    return json_answer(AckDocument(None if response is None else response.ack))
