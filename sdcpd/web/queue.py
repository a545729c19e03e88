"""The queues over HTTP: what waits for a printer or for any, in which order, and the word that starts it.

One decision: queueing, starting and confirming a plate are three permissions, because they are three people's: who
slices, who stands at the printers, who has looked.
"""

from __future__ import annotations

import hashlib

from msgspec import UNSET, Struct, UnsetType
from twisted.internet.defer import Deferred

from sdcpd.documents import Documents, JobAnswer, JobDocument
from sdcpd.errors import JobUnknown
from sdcpd.fleet import Fleet
from sdcpd.jobs import Jobs, Wish
from sdcpd.orders import Orders
from sdcpd.progress import Job
from sdcpd.web.answer import Answer, json_answer
from sdcpd.web.errors import Refusal
from sdcpd.web.routes import Call, Route
from sdcpd.wishes import word

__all__ = ["QueueApi", "key_of", "visible"]

LONGEST_KEY = 200


class QueueRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Which file waits, and whether it is to be started in its turn."""

    file: str
    start: bool = False


class StartRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What the one who starts says of the plate."""

    plate_clear: bool | None = None


class MoveRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Before which job of the same queue; null is the end."""

    before: str | UnsetType | None = UNSET


def key_of(call: Call, *parts: object) -> tuple[str | None, str]:
    """The request's Idempotency-Key, and what was asked under it."""
    key = call.header("idempotency-key").strip()
    if len(key) > LONGEST_KEY:
        raise Refusal(400, "bad_parameter", f"Idempotency-Key: expected at most {LONGEST_KEY} characters")
    asked = hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
    return key or None, asked


def visible(call: Call, jobs: Jobs, job_id: str) -> Job:
    """The job of this id; ``JobUnknown``, in the same words, if there is none or its printer is none of the asker's."""
    job = jobs.get(job_id)
    if not call.client.sees(job.printer):
        raise JobUnknown(f"No job has the id {job_id!r}.", "GET /v1/jobs lists them.")
    return job


def _request(call: Call) -> QueueRequest:
    try:
        return call.json(QueueRequest)
    except Refusal as refusal:
        if "`plate_clear`" not in refusal.message:
            raise
        raise Refusal(
            422,
            "bad_body",
            "plate_clear is not taken here: the plate is looked at when the file's turn has come, not before.",
            "Queue the file without it; confirm the plate by POST /v1/printers/<name>/plate when it is clear.",
        ) from refusal


class QueueApi:
    """Handlers over the jobs."""

    def __init__(self, fleet: Fleet, jobs: Jobs, orders: Orders, documents: Documents) -> None:
        self._fleet = fleet
        self._jobs = jobs
        self._orders = orders
        self._documents = documents
        one, job = "/v1/printers/<name>/queue", "/v1/jobs/<job_id>"
        bad = (404, 409, 422, 507)
        self.routes = (
            Route("GET", one, "view", self.of_printer, list[JobDocument], also=(404,)),
            Route("POST", one, "queue", self.add, JobAnswer, 202, QueueRequest, also=bad),
            Route("GET", "/v1/queue", "view", self.of_any, list[JobDocument]),
            Route("POST", "/v1/queue", "queue", self.add_any, JobAnswer, 202, QueueRequest, also=bad),
            Route("POST", f"{job}/start", "control", self.start, JobAnswer, 202, StartRequest, also=bad, limited=True),
            Route("POST", f"{job}/move", "queue", self.move, JobAnswer, 200, MoveRequest, also=bad, limited=True),
            Route("DELETE", job, "queue", self.remove, status=204, also=(404, 409), limited=True),
        )

    def _list(self, jobs: list[Job]) -> Answer:
        return json_answer([self._documents.job(job) for job in jobs])

    def _made(self, job: Job, status: int = 202) -> Answer:
        return json_answer(JobAnswer(self._documents.job(job)), status, {"Location": f"/v1/jobs/{job.id}"})

    def of_printer(self, call: Call, name: str) -> Answer:
        """What waits for a printer, in its order."""
        return self._list(self._jobs.queue(self._fleet.get(name).id))

    def of_any(self, call: Call) -> Answer:
        """What waits for any printer that it suits."""
        return self._list(self._jobs.queue(""))

    def add(self, call: Call, name: str) -> Deferred[Answer]:
        """Let a stored file wait for a printer, also one that prints or is off."""
        return self._add(call, self._fleet.get(name).id)

    def add_any(self, call: Call) -> Deferred[Answer]:
        """Let a stored file wait for the first free printer that can print it."""
        return self._add(call, "")

    def _add(self, call: Call, mainboard_id: str) -> Deferred[Answer]:
        request = _request(call)
        if request.start:
            call.must_have("control")
        key, asked = key_of(call, "queue", mainboard_id, request.file, request.start)
        wish = Wish(call.client.name, start=request.start, key=key, asked=asked)
        return self._orders.enqueue(mainboard_id, request.file, wish, call.client.sees).addCallback(self._made)

    def start(self, call: Call, job_id: str) -> Deferred[Answer]:
        """Start a waiting job: now if its printer is idle and the plate is clear, else in its turn."""
        request = call.json(StartRequest)
        if request.plate_clear is not None:
            call.must_have("plate")
        visible(call, self._jobs, job_id)
        by = call.client.name
        asked = word(by, *key_of(call, "start", job_id, request.plate_clear))
        return self._jobs.start(job_id, request.plate_clear, by, asked).addCallback(self._made)

    def move(self, call: Call, job_id: str) -> Deferred[Answer]:
        """Put a waiting job before another one of its queue, or at the end."""
        before = call.json(MoveRequest).before
        if before is UNSET:
            raise Refusal(422, "bad_body", "The JSON body does not fit: expected the key `before`.", "null is the end.")
        visible(call, self._jobs, job_id)
        return self._jobs.move(job_id, before).addCallback(self._made, 200)

    def remove(self, call: Call, job_id: str) -> Deferred[Answer]:
        """Take a job out of its queue, or end its delivery; nothing is said to a printer that prints it."""
        visible(call, self._jobs, job_id)
        return self._jobs.remove(job_id).addCallback(lambda _: Answer(204))
