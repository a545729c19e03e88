"""The end of a test on real sockets: it is over when the reactor looks after none of them any more."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as installed  # noqa: TID251 - real sockets need the real one
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

__all__ = ["quiet"]

reactor: Any = installed
PATIENCE = 60.0
"""Seconds after which what is still open stays so."""


def quiet() -> Deferred[None]:
    """Fires when the reactor looks after nothing but itself; an AssertionError says what stays open."""
    return Deferred.fromCoroutine(_quiet())


async def _quiet() -> None:
    deadline = reactor.seconds() + PATIENCE
    while left := {*reactor.getReaders(), *reactor.getWriters()} - reactor._internalReaders:
        if reactor.seconds() > deadline:
            raise AssertionError(f"still open: {left}")
        await deferLater(reactor, 0.01)
