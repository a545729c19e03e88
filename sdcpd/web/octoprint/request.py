"""What is asked by POST: one JSON object, most often with a ``command`` in it.

One decision: the checks and their order are the real server's: the content type, the JSON, the command, then what the
command needs; so a client reads the sentence that it was written against.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from sdcpd.web.answer import Answer
from sdcpd.web.octoprint.form import no
from sdcpd.web.routes import Call

__all__ = ["DONE", "body_of", "command_of", "is_true", "number_of"]

DONE = Answer(204)
"""What was asked for is done, and there is nothing to say (seed 003)."""


def body_of(call: Call) -> dict[str, Any]:
    """The body: a JSON object. A ``Refusal`` with 415 for another content type, with 400 for anything else."""
    if "json" not in call.header("content-type").partition(";")[0].casefold():
        raise no(
            415,
            "Did not attempt to load JSON data because the request Content-Type was not 'application/json'.",
        )
    try:
        body = msgspec.json.decode(call.request.content.read())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise no(400, "Malformed JSON body in request") from error
    if not isinstance(body, dict):
        raise no(400, "Malformed JSON body in request")
    return body


def command_of(call: Call, known: Mapping[str, Collection[str]]) -> tuple[str, dict[str, Any]]:
    """The command and the whole body; ``known`` are the commands and the parameters that each of them needs."""
    body = body_of(call)
    command = body.get("command")
    if not isinstance(command, str) or command not in known:
        raise no(400, "command is invalid")
    if any(name not in body for name in known[command]):
        raise no(400, "Mandatory parameters missing")
    return command, body


def is_true(value: object) -> bool:
    """Whether the value says yes, in JSON, in a form or in a query."""
    return value is True or str(value).strip().casefold() in ("true", "yes", "y", "1", "on")


def number_of(value: object) -> float | None:
    """The value if it is a number; true and false are none, and neither is what no float can be."""
    try:
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    except OverflowError:
        return None
