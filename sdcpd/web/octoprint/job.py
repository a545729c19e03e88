"""``api/job``: what is printed, how far it is, and the wishes start, pause, resume, cancel.

One decision: every wish goes to ``Jobs`` and is answered when it is done there; what is refused is refused in the
real server's words, where it has any, and else in those of the core.
"""

from __future__ import annotations

from msgspec import Struct
from twisted.internet.defer import Deferred

from sdcpd.fleet import Printer
from sdcpd.web.answer import Answer, json_answer
from sdcpd.web.octoprint.present import Present
from sdcpd.web.octoprint.state import JobInformation, Progress, state_of
from sdcpd.web.routes import Call, Route

__all__ = ["JobEndpoints"]


class JobAnswer(Struct, frozen=True, omit_defaults=True):
    """The job, its progress and the printer's state; ``error`` only if there is one."""

    job: JobInformation
    progress: Progress
    state: str
    error: str = ""


class JobEndpoints:
    """Handlers over the present and the jobs."""

    def __init__(self, present: Present) -> None:
        self._present = present
        self.routes = (Route("GET", "/api/job", "view", self.job, gives=JobAnswer),)

    def job(self, call: Call, printer: Printer) -> Deferred[Answer]:
        """The job and its progress; always 200, also while the printer is off."""
        return self._present.job(printer).addCallback(self._tell, printer)

    def _tell(self, job: JobInformation, printer: Printer) -> Answer:
        state = state_of(printer)
        return json_answer(JobAnswer(job, self._present.progress(printer), state.text, state.error))
