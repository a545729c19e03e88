"""The files that jobs and prints need: nobody may delete those of a job, and they do not expire.

One decision: a job holds its file once, however often it is asked to, and lets it go once; so whoever ends a job need
not know how it came to be.
"""

from __future__ import annotations

from sdcpd.files import FileStore
from sdcpd.progress import Job

__all__ = ["Holds"]


class Holds:
    """Which jobs hold files of ``store``."""

    def __init__(self, store: FileStore) -> None:
        self._store = store
        self._jobs: set[str] = set()

    def hold(self, job: Job) -> None:
        """The job needs its file from now on; raises ``FileMissing`` if it is not stored."""
        if job.id not in self._jobs:
            self._store.hold(job.md5)
            self._jobs.add(job.id)

    def release(self, job: Job) -> None:
        """The job does not need its file any more."""
        if job.id in self._jobs:
            self._jobs.remove(job.id)
            self._store.release(job.md5)
