"""``server/job_queue/...``: what waits for this printer.

One decision: a job waits here while it has a place and has not begun; what stands in its way is its ``hold_reason``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from sdcpd.jobs import Jobs
from sdcpd.progress import JobState
from sdcpd.web.moonraker.endpoint import Ask, Endpoint
from sdcpd.web.moonraker.form import no
from sdcpd.web.routes import Parameter

__all__ = ["QueueEndpoints"]


class QueuedJob(Struct, frozen=True):
    """One job that waits."""

    filename: str
    job_id: str
    time_added: float
    time_in_queue: float
    hold_reason: str | None


class QueueStatus(Struct, frozen=True):
    """What waits, in its order, and whether it goes on by itself."""

    queued_jobs: list[QueuedJob]
    queue_state: str


class QueueEndpoints:
    """Handlers over the jobs; ``wall`` gives seconds since the epoch."""

    def __init__(self, jobs: Jobs, wall: Callable[[], float]) -> None:
        self._jobs = jobs
        self._wall = wall
        base = "/server/job_queue"
        names = (Parameter("filenames", "files, with commas"),)
        ids = (Parameter("job_ids", "jobs, with commas"),)
        also = (400,)
        self.endpoints = (
            Endpoint("GET", f"{base}/status", "view", self.status, QueueStatus),
            Endpoint("POST", f"{base}/job", "queue", self.no_queue, QueueStatus, query=names, also=also),
            Endpoint("DELETE", f"{base}/job", "queue", self.no_queue, QueueStatus, query=ids, also=also),
            Endpoint("POST", f"{base}/pause", "queue", self.no_queue, QueueStatus, also=also),
            Endpoint("POST", f"{base}/start", "queue", self.no_queue, QueueStatus, also=also),
            Endpoint("POST", f"{base}/jump", "queue", self.no_queue, QueueStatus, also=also),
        )

    def status(self, ask: Ask) -> QueueStatus:
        """What waits for this printer."""
        now = self._wall()
        mine = [job for job in self._jobs.all() if job.printer == ask.printer.id]
        waiting = [
            QueuedJob(job.file, job.id, job.created, max(0.0, now - job.created), job.reason)
            for job in mine
            if job.state is JobState.QUEUED
        ]
        moving = {job.state for job in mine}
        loading = moving & {JobState.DELIVERING, JobState.DELIVERED}
        state = "starting" if JobState.STARTING in moving else "loading" if loading else "ready"
        return QueueStatus(waiting, state)

    def no_queue(self, ask: Ask) -> dict[str, Any]:
        """Change the queue: this server starts one job at a time."""
        raise no(400, "This server has no job queue yet: start a print when the printer is free")
