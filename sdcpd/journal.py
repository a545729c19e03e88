"""What must survive a restart: the jobs.

One decision: the journal is written *before* a command that cannot be taken back leaves the daemon, and whole
(one small file, replaced atomically), so after a crash at any point it tells which starts may have happened.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from sdcpd.logs import logger
from sdcpd.progress import Job
from sdcpd.spool import write_durably

__all__ = ["Journal"]

_log = logger("sdcpd.journal")
KEPT = 200
"""Jobs that are remembered; the oldest ended ones go first."""


class Journal:
    """The jobs of this daemon, oldest first, on disk under ``directory``."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "jobs.json"
        self._jobs: dict[str, Job] = {}
        if self._path.exists():
            self._read()

    def _read(self) -> None:
        try:
            for job in msgspec.json.decode(self._path.read_bytes(), type=list[Job]):
                self._jobs[job.id] = job
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            aside = self._path.with_name(f"jobs.json.damaged-{os.getpid()}")
            self._path.rename(aside)
            _log.error(
                "The journal of jobs was damaged ({error}); it is kept as {aside}, and a new one begins",
                error=error,
                aside=str(aside),
            )

    def jobs(self) -> list[Job]:
        """All remembered jobs, oldest first."""
        return list(self._jobs.values())

    def record(self, job: Job) -> None:
        """Remember the job as it is now; it is on the disk when this returns.

        Raises ``OSError`` if that fails; the next record that succeeds then brings this one along.
        """
        jobs = {**self._jobs, job.id: job}
        for old in [j for j in jobs.values() if j.ended is not None][: max(0, len(jobs) - KEPT)]:
            del jobs[old.id]
        self._jobs = jobs
        write_durably(self._path, msgspec.json.encode(list(jobs.values())))
