"""``server/job_queue/...``: what waits for this printer.

One decision: it is the printer's own queue, shown and changed under the names that Moonraker's clients know. A job that
is added here waits for a person's word to start; what stands in a job's way is its ``hold_reason``. The queue never
pauses as a whole: the plate between two prints is what holds it (reference apis.md 5.3).
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct
from twisted.internet.defer import Deferred

from sdcpd.errors import FileMissing
from sdcpd.files import FileStore, StoredFile
from sdcpd.jobs import Jobs
from sdcpd.progress import MOVING, Job, JobState
from sdcpd.web.moonraker.endpoint import Ask, Endpoint
from sdcpd.web.moonraker.form import no
from sdcpd.web.moonraker.places import gcode_name
from sdcpd.web.routes import Parameter
from sdcpd.web.starts import Starts

__all__ = ["QueueEndpoints"]

_STATES = {
    JobState.DELIVERING: "loading",
    JobState.DELIVERED: "loading",
    JobState.STARTING: "starting",
}
MOST = 50
"""Files that are added at once."""


class QueuedJob(Struct, frozen=True):
    """One job that waits."""

    filename: str
    job_id: str
    time_added: float
    time_in_queue: float
    hold_reason: str | None


class QueueStatus(Struct, frozen=True):
    """What waits, in its order, and whether something of it is on its way."""

    queued_jobs: list[QueuedJob]
    queue_state: str


class QueueEndpoints:
    """Handlers over the jobs; ``wall`` gives seconds since the epoch."""

    def __init__(self, jobs: Jobs, store: FileStore, starts: Starts, wall: Callable[[], float]) -> None:
        self._jobs = jobs
        self._store = store
        self._starts = starts
        self._wall = wall
        base = "/server/job_queue"
        names = (
            Parameter("filenames", "files, with commas"),
            Parameter("reset", "true: what waits until now is taken out first", "boolean"),
        )
        ids = (
            Parameter("job_ids", "jobs, with commas"),
            Parameter("all", "true: everything that waits", "boolean"),
        )
        one = (Parameter("job_id", "the job that comes first from now on"),)
        also = (400,)
        self.endpoints = (
            Endpoint("GET", f"{base}/status", "view", self.status, QueueStatus),
            Endpoint("POST", f"{base}/job", "queue", self.add, QueueStatus, query=names, also=(*also, 507)),
            Endpoint("DELETE", f"{base}/job", "queue", self.remove, QueueStatus, query=ids, also=also),
            Endpoint("POST", f"{base}/pause", "queue", self.pause, QueueStatus, also=also),
            Endpoint("POST", f"{base}/start", "control", self.start, QueueStatus, also=also),
            Endpoint("POST", f"{base}/jump", "queue", self.jump, QueueStatus, query=one, also=also),
        )

    def status(self, ask: Ask) -> QueueStatus:
        """What waits for this printer, in its order."""
        now = self._wall()
        waiting = [
            QueuedJob(job.file, job.id, job.created, max(0.0, now - job.created), job.reason)
            for job in self._waiting(ask)
        ]
        current = self._jobs.current(ask.printer.id)
        return QueueStatus(waiting, _STATES.get(current.state, "ready") if current is not None else "ready")

    def _waiting(self, ask: Ask) -> list[Job]:
        """What was not started: first the job whose file is on its way to the printer, ahead of its turn."""
        current = self._jobs.current(ask.printer.id)
        ahead = [current] if current is not None and current.queued and current.state not in MOVING else []
        return [*ahead, *self._jobs.queue(ask.printer.id)]

    def add(self, ask: Ask) -> Deferred[QueueStatus]:
        """Let stored files wait for this printer, each until somebody starts it."""
        return Deferred.fromCoroutine(self._add(ask))

    async def _add(self, ask: Ask) -> QueueStatus:
        files = [self._file(name) for name in _listed(ask, "filenames")]
        if not files or len(files) > MOST:
            raise no(400, f"Expected 1 to {MOST} files in filenames")
        if ask.arguments.flag("reset"):
            await self._remove([job.id for job in self._waiting(ask)])
        for file in files:
            await self._starts.enqueue(ask.client, ask.printer, file, start=False)
        return self.status(ask)

    def _file(self, name: str) -> StoredFile:
        try:
            return self._store.get(gcode_name(name))
        except FileMissing as error:
            raise no(400, f"File {name[:200]} does not exist") from error

    def remove(self, ask: Ask) -> Deferred[QueueStatus]:
        """Take jobs out of the queue."""
        waiting = [job.id for job in self._waiting(ask)]
        gone = waiting if ask.arguments.flag("all") else _listed(ask, "job_ids")
        if not gone and not ask.arguments.flag("all"):
            raise no(400, "No data for argument: job_ids")
        unknown = [job_id for job_id in gone if job_id not in waiting]
        if unknown:
            raise no(400, f"Invalid job id: {unknown[0][:80]}")
        return Deferred.fromCoroutine(self._remove(gone)).addCallback(lambda _: self.status(ask))

    async def _remove(self, ids: list[str]) -> None:
        for job_id in ids:
            await self._jobs.remove(job_id)

    def pause(self, ask: Ask) -> QueueStatus:
        """Hold the whole queue: there is no such switch, and the plate holds it anyway."""
        raise no(400, "The queue cannot be paused: it goes on only when somebody says that the plate is clear")

    def start(self, ask: Ask) -> Deferred[QueueStatus]:
        """Start the first job that waits, now or as soon as the plate is clear."""
        waiting = self._waiting(ask)
        if not waiting:
            raise no(400, "The queue is empty")
        return self._jobs.start(waiting[0].id, None, ask.client.name).addCallback(lambda _: self.status(ask))

    def jump(self, ask: Ask) -> QueueStatus | Deferred[QueueStatus]:
        """Put a job first."""
        job_id = ask.arguments.text("job_id")
        waiting = [job.id for job in self._jobs.queue(ask.printer.id)]
        if job_id not in waiting:
            raise no(400, f"Invalid job id: {job_id[:80]}")
        if job_id == waiting[0]:
            return self.status(ask)
        return self._jobs.move(job_id, waiting[0]).addCallback(lambda _: self.status(ask))


def _listed(ask: Ask, name: str) -> list[str]:
    """A list, whether it came as one or as a text with commas."""
    value = ask.arguments.get(name)
    if isinstance(value, list):
        if not all(isinstance(one, str) for one in value):
            raise no(400, f"Expected a list of texts in {name}")
        return value
    return [word.strip() for word in ask.arguments.text(name, "").split(",") if word.strip()]
