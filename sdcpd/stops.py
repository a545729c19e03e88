"""Stopping, for every dialect and for MQTT: the print on the machine, or the delivery before it.

One decision: a delivery that is ended has nothing to say to the printer, but it must not go on after a restart of the
daemon; so the answer waits until its end is on the disk.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from sdcpd.codec.sdcp import Response
from sdcpd.codec.status import Phase
from sdcpd.errors import NotNow
from sdcpd.fleet import Printer
from sdcpd.jobs import Jobs

__all__ = ["halted", "stopped"]

_NOTHING_TO_STOP = frozenset({Phase.IDLE, Phase.ATTENTION})


def stopped(jobs: Jobs, printer: Printer) -> Deferred[Response | None]:
    """Stop the print; fires with the board's answer, or with None if only a delivery had to be ended.

    Raises and fails as ``Jobs.stop`` and ``Jobs.kept``.
    """
    job = jobs.current(printer.id)
    answered = jobs.stop(printer.id)
    if answered is not None:
        return answered.addCallback(_as_it_is)
    assert job is not None, "only a job can be ended without a word to the printer"
    return jobs.kept(job).addCallback(lambda _: None)


def halted(jobs: Jobs, present: Callable[[], Printer]) -> Deferred[Response | None]:
    """An emergency stop: the ordinary one, for there is no harsher; where nothing prints, all is well.

    ``present`` is asked again if the stop had to wait. Fails as ``stopped`` raises and fails.
    """

    def well(failure: Failure) -> None:
        failure.trap(NotNow)
        if present().phase not in _NOTHING_TO_STOP:
            failure.raiseException()

    return maybeDeferred(stopped, jobs, present()).addErrback(well)


def _as_it_is(response: Response) -> Response | None:
    return response
