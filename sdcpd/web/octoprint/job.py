"""``api/job``: what is printed, how far it is, and the wishes start, pause, resume, cancel.

One decision: every wish goes to ``Jobs`` and is answered when it is done there; what is refused is refused in the
real server's words, where it has any, and else in those of the core. A wish for what is so already is done, as with
the real server; a restart is not possible, because the plate would have to be cleared in between.
"""

from __future__ import annotations

from msgspec import Struct
from twisted.internet.defer import Deferred, succeed

from sdcpd.dialects import Condition, condition_of
from sdcpd.fleet import Printer
from sdcpd.jobs import Jobs
from sdcpd.stops import stopped
from sdcpd.web.answer import Answer, json_answer
from sdcpd.web.octoprint.form import no
from sdcpd.web.octoprint.present import Present
from sdcpd.web.octoprint.printer import must_be_operational
from sdcpd.web.octoprint.request import DONE, command_of
from sdcpd.web.octoprint.selection import Selection
from sdcpd.web.octoprint.state import JobInformation, Progress, state_of
from sdcpd.web.routes import Call, Route
from sdcpd.web.starts import Starts

__all__ = ["JobEndpoints"]

_COMMANDS: dict[str, tuple[str, ...]] = {"start": (), "restart": (), "pause": (), "cancel": ()}
_PAUSED = frozenset({Condition.PAUSED, Condition.PAUSING})


class JobAnswer(Struct, frozen=True, omit_defaults=True):
    """The job, its progress and the printer's state; ``error`` only if there is one."""

    job: JobInformation
    progress: Progress
    state: str
    error: str = ""


class JobEndpoints:
    """Handlers over the present, the selection and the jobs."""

    def __init__(self, present: Present, selection: Selection, jobs: Jobs, starts: Starts) -> None:
        self._present = present
        self._selection = selection
        self._jobs = jobs
        self._starts = starts
        also = (400, 409, 415, 504, 507)
        self.routes = (
            Route("GET", "/api/job", "view", self.job, gives=JobAnswer),
            Route("POST", "/api/job", "control", self.command, content="", status=204, also=also),
        )

    def job(self, call: Call, printer: Printer) -> Deferred[Answer]:
        """The job and its progress; always 200, also while the printer is off."""
        return self._present.job(printer).addCallback(self._tell, printer)

    def _tell(self, job: JobInformation, printer: Printer) -> Answer:
        state = state_of(printer)
        return json_answer(JobAnswer(job, self._present.progress(printer), state.text, state.error))

    def command(self, call: Call, printer: Printer) -> Deferred[Answer]:
        """Start the selected file, pause or resume (``action``), or cancel; answered when it is done."""
        flags = must_be_operational(printer).flags
        command, body = command_of(call, _COMMANDS)
        active = flags["printing"] or flags["paused"]
        if command == "start":
            if active:
                raise no(409, "Printer already has an active print job, did you mean 'restart'?")
            done = self._start(call, printer)
        elif command == "restart":
            if not flags["paused"]:
                raise no(409, "Printer does not have an active print job or is not paused")
            raise no(
                409, "A print cannot begin again on the plate that it is on: cancel it, clear the plate, start it."
            )
        elif command == "cancel":
            done = self._cancel(printer, active=active)
        else:
            if not active:
                raise no(409, "Printer is neither printing nor paused, 'pause' command cannot be performed")
            done = self._pause(printer, body.get("action", "toggle"))
        return done.addCallback(lambda _: DONE)

    def _start(self, call: Call, printer: Printer) -> Deferred[object]:
        file = self._selection.of(printer)
        if file is None:
            raise no(409, 'No file is selected: POST api/files/local/<name> {"command": "select"} selects one.')
        return self._starts.now(call.client, printer, file).addCallback(_whatever)

    def _pause(self, printer: Printer, action: object) -> Deferred[object]:
        paused = condition_of(printer) in _PAUSED
        if action not in ("pause", "resume", "toggle"):
            said = str(action)[:80]
            raise no(
                400,
                f"Unknown action '{said}', allowed values for action parameter are 'pause', 'resume' and 'toggle'",
            )
        if action == ("pause" if paused else "resume"):
            return succeed(None)
        wish = self._jobs.resume if paused else self._jobs.pause
        return wish(printer.id).addCallback(_whatever)

    def _cancel(self, printer: Printer, *, active: bool) -> Deferred[object]:
        condition = condition_of(printer)
        if not active and condition is not Condition.TRANSFER:
            raise no(409, "Printer is neither printing nor paused, 'cancel' command cannot be performed")
        if condition is Condition.STOPPING:
            return succeed(None)
        return stopped(self._jobs, printer).addCallback(_whatever)


def _whatever(result: object) -> object:
    return result
