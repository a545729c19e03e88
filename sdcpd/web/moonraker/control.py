"""``printer/...`` that changes something: start, pause, resume, cancel, stop, restart, and scripts of those.

One decision: every wish goes to ``Jobs`` and is answered with what came of it there. A start is answered when the job
is accepted, for the transfer may take minutes; what is refused is refused in the words of the real server, where it
has any.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from sdcpd.codec.status import Phase
from sdcpd.errors import FileMissing, NotNow
from sdcpd.files import FileStore
from sdcpd.fleet import Fleet
from sdcpd.jobs import Jobs
from sdcpd.plate import PlateNotClear
from sdcpd.stops import halted, stopped
from sdcpd.web.gcode import HELP, Step, Verb, steps_of
from sdcpd.web.moonraker.endpoint import OK, Ask, Endpoint
from sdcpd.web.moonraker.form import no
from sdcpd.web.moonraker.places import gcode_name
from sdcpd.web.routes import Parameter
from sdcpd.web.starts import Starts

__all__ = ["ControlEndpoints"]


class ControlEndpoints:
    """Handlers over the jobs."""

    def __init__(self, fleet: Fleet, jobs: Jobs, store: FileStore, starts: Starts) -> None:
        self._fleet = fleet
        self._jobs = jobs
        self._store = store
        self._starts = starts
        name = (Parameter("filename", "the file, with its folders"),)
        script = (Parameter("script", f"lines of {', '.join(HELP)}"),)
        also = (400, 503, 504)
        self.endpoints = (
            Endpoint("POST", "/printer/print/start", "control", self.start, str, query=name, also=also),
            Endpoint("POST", "/printer/print/pause", "control", self.pause, str, also=also),
            Endpoint("POST", "/printer/print/resume", "control", self.resume, str, also=also),
            Endpoint("POST", "/printer/print/cancel", "control", self.cancel, str, also=also),
            Endpoint("POST", "/printer/emergency_stop", "control", self.emergency_stop, str, also=also),
            Endpoint("POST", "/printer/restart", "control", self.restart, str, also=also),
            Endpoint("POST", "/printer/firmware_restart", "control", self.restart, str, also=also),
            Endpoint("POST", "/printer/gcode/script", "control", self.script, str, query=script, also=also),
            Endpoint("GET", "/printer/gcode/help", "view", self.help, dict[str, str]),
        )

    def start(self, ask: Ask) -> Deferred[str]:
        """Print a stored file: delivered if the printer lacks it, then started; answered when that is accepted."""
        return self._start(ask, ask.arguments.text("filename"))

    def _start(self, ask: Ask, name: str) -> Deferred[str]:
        try:
            file = self._store.get(gcode_name(name))
        except FileMissing as error:
            raise no(400, "unable to open file") from error

        def refused(failure: Failure) -> Failure:
            idle = ask.printer.phase in (Phase.IDLE, Phase.OFFLINE) and self._jobs.current(ask.printer.id) is None
            if failure.check(PlateNotClear) or not failure.check(NotNow) or idle:
                return failure
            raise no(400, "SD busy") from failure.value

        return self._starts.now(ask.client, ask.printer, file).addCallbacks(_ok, refused)

    def pause(self, ask: Ask) -> Deferred[str]:
        """Pause the print; answered when the board has acknowledged it."""
        return _wished("not printing", self._jobs.pause, ask.printer.id)

    def resume(self, ask: Ask) -> Deferred[str]:
        """Go on with a paused print; answered when the board has acknowledged it."""
        return _wished("not paused", self._jobs.resume, ask.printer.id)

    def cancel(self, ask: Ask) -> Deferred[str]:
        """Stop the print, or a transfer before it; answered when the board has acknowledged it."""
        return _wished("not printing", stopped, self._jobs, ask.printer)

    def emergency_stop(self, ask: Ask) -> Deferred[str]:
        """Stop whatever prints; this is the ordinary stop, no power is cut."""
        return halted(self._jobs, lambda: self._fleet[ask.printer.id]).addCallback(_ok)

    def restart(self, ask: Ask) -> str:
        """Build the connection to the printer anew: boards have no restart. A print goes on meanwhile."""
        try:
            self._jobs.reconnect(ask.printer.id)
        except NotNow as error:
            raise no(400, "file transfer in progress") from error
        return OK

    def script(self, ask: Ask) -> Deferred[str]:
        """Run the few commands that have a meaning here; any other G-code is refused."""
        steps = steps_of(ask.arguments.text("script"))
        if steps is None:
            raise no(400, "G-code is not supported: resin printer on SDCP")
        return Deferred.fromCoroutine(self._run(ask, steps))

    async def _run(self, ask: Ask, steps: list[Step]) -> str:
        for step in steps:
            if step.verb is Verb.PRINT:
                await self._start(ask, step.text)
            elif step.verb is Verb.SAY:
                self._fleet.happened(ask.printer.id, "message", {"text": step.text})
            else:
                await self._command(ask, step.verb)
        return OK

    def _command(self, ask: Ask, verb: Verb) -> Deferred[str]:
        if verb is Verb.PAUSE:
            return self.pause(ask)
        if verb is Verb.RESUME:
            return self.resume(ask)
        return self.cancel(ask) if verb is Verb.CANCEL else self.emergency_stop(ask)

    def help(self, ask: Ask) -> dict[str, str]:
        """The commands that are understood."""
        return dict(HELP)


def _ok(_: Any) -> str:
    return OK


def _wished(refusal: str, wish: Callable[..., Deferred[Any]], *arguments: object) -> Deferred[str]:
    """What comes of a wish; one that makes no sense at present is refused in these words of the real server."""

    def refused(failure: Failure) -> NoReturn:
        failure.trap(NotNow)
        raise no(400, refusal) from failure.value

    return maybeDeferred(wish, *arguments).addCallbacks(_ok, refused)
