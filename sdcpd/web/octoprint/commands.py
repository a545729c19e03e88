"""``api/printer/command``: G-code, of which a resin printer has the few words that mean something to it.

One decision: a request is understood as a whole or refused as a whole, before anything of it is done, as a script is
in every dialect (``sdcpd.web.gcode``). Parameters are put in by their names only: Python's formats could be asked for
a gigabyte of blanks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from twisted.internet.defer import Deferred

from sdcpd.fleet import Fleet, Printer
from sdcpd.jobs import Jobs
from sdcpd.stops import halted, stopped
from sdcpd.web.answer import Answer, json_answer
from sdcpd.web.gcode import LONGEST, Step, Verb, steps_of
from sdcpd.web.octoprint.form import no
from sdcpd.web.octoprint.printer import must_be_operational
from sdcpd.web.octoprint.request import DONE, body_of
from sdcpd.web.routes import Call, Route

__all__ = ["NO_GCODE", "CommandEndpoints"]

NO_GCODE = "This printer does not accept G-code"
_PARAMETER = re.compile(r"%\((\w+)\)s")


class CommandEndpoints:
    """Handlers over the jobs."""

    def __init__(self, fleet: Fleet, jobs: Jobs) -> None:
        self._fleet = fleet
        self._jobs = jobs
        path = "/api/printer/command"
        also = (400, 404, 409, 415, 504)
        self.routes = (
            Route("POST", path, "control", self.command, content="", status=204, also=also),
            Route("GET", f"{path}/custom", "view", self.custom, gives=dict[str, list[str]]),
        )

    def custom(self, call: Call, printer: Printer) -> Answer:
        """Buttons that somebody has configured: there are none."""
        return json_answer({"controls": []})

    def command(self, call: Call, printer: Printer) -> Deferred[Answer]:
        """Run the few commands that have a meaning here; any other G-code is refused."""
        must_be_operational(printer)
        body = body_of(call)
        single, several, script = ("command" in body, "commands" in body, "script" in body)
        if single and several:
            raise no(400, "'command' and 'commands' are mutually exclusive")
        if (single or several) and script:
            raise no(400, "'command'/'commands' and 'script' are mutually exclusive")
        if not (single or several or script):
            raise no(400, "Need one of 'command', 'commands' or 'script'")
        if script:
            raise no(404, "Unknown script")
        lines = [body["command"]] if single else body["commands"]
        if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
            raise no(400, "command is invalid" if single else "commands is invalid")
        steps = steps_of("\n".join(_filled(line, body.get("parameters")) for line in lines))
        if steps is None or any(step.verb is Verb.PRINT for step in steps):
            raise no(409, NO_GCODE)
        return Deferred.fromCoroutine(self._run(printer, steps))

    async def _run(self, printer: Printer, steps: list[Step]) -> Answer:
        for step in steps:
            await self._do(self._fleet[printer.id], step)
        return DONE

    async def _do(self, printer: Printer, step: Step) -> None:
        if step.verb is Verb.SAY:
            self._fleet.happened(printer.id, "message", {"text": step.text})
        elif step.verb is Verb.PAUSE:
            await self._jobs.pause(printer.id)
        elif step.verb is Verb.RESUME:
            await self._jobs.resume(printer.id)
        elif step.verb is Verb.CANCEL:
            await stopped(self._jobs, printer)
        else:
            await halted(self._jobs, lambda: self._fleet[printer.id])


def _filled(line: str, parameters: object) -> str:
    """The line with ``%(name)s`` replaced by the parameters of that name, as far as they are texts or numbers."""
    if not isinstance(parameters, Mapping):
        return line

    def value(found: re.Match[str]) -> str:
        given = parameters.get(found[1])
        return str(given)[:LONGEST] if isinstance(given, str | int | float) else found[0]

    return _PARAMETER.sub(value, line)
