"""The control socket of a farm, and its command line client ``sdcp-printer-ctl``.

One decision: one JSON object a line each way over a Unix socket, so a shell, a test in any language and the client
here say the same things; the client only turns ``key=value`` words into such a line.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineOnlyReceiver

from sdcpd.simulator.farm import Farm
from sdcpd.simulator.status import JsonObject
from sdcpd.simulator.verbs import VERBS, answer

__all__ = ["Control", "ControlFactory", "ask", "main"]


class Control(LineOnlyReceiver):
    """One connection to the control socket."""

    delimiter = b"\n"
    MAX_LENGTH = 1 << 20

    def __init__(self, farm: Farm) -> None:
        self._farm = farm

    def lineReceived(self, line: bytes) -> None:
        """One request."""
        try:
            request = json.loads(line)
        except (ValueError, RecursionError) as error:
            result: JsonObject = {"ok": False, "error": f"not JSON: {error}"}
        else:
            result = answer(self._farm, request)
        self.sendLine(json.dumps(result).encode())


class ControlFactory(Factory):
    """Serves the control socket."""

    noisy = False

    def __init__(self, farm: Farm) -> None:
        self._farm = farm

    def buildProtocol(self, addr: IAddress | None) -> Control:
        """A connection."""
        return Control(self._farm)


def ask(path: str, request: JsonObject) -> JsonObject:
    """Send one request to a control socket, and wait for the answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect(path)
        sock.sendall(json.dumps(request).encode() + b"\n")
        with sock.makefile("rb") as lines:
            line = lines.readline()
    if not line:
        raise ConnectionError("no answer")
    reply: JsonObject = json.loads(line)
    return reply


def _usage() -> str:
    verbs = "\n".join(f"  {name:<11} {verb.help:<48} {verb.args}".rstrip() for name, verb in VERBS.items())
    return (
        "Usage: sdcp-printer-ctl SOCKET VERB [PRINTER] [key=value ...]\n"
        "PRINTER is an index (default 0), a MainboardID, a name or an address; values are JSON or plain text.\n"
        f"{verbs}"
    )


def _request(words: Sequence[str]) -> JsonObject:
    verb, *rest = words
    request: JsonObject = {"do": verb}
    for word in rest:
        key, equals, text = word.partition("=")
        if not equals:
            request["printer"] = word
            continue
        try:
            request[key] = json.loads(text)
        except ValueError:
            request[key] = text
    for key in ("fault", "name"):
        if key in request:
            request[key] = str(request[key])
    if "path" in request:
        request["path"] = str(Path(str(request["path"])).absolute())
    return request


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: one request, its result as JSON, status 1 with one line on an error."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if len(words) < 2 or words[0] in ("-h", "--help"):
        print(_usage())
        raise SystemExit(0 if words[:1] in (["-h"], ["--help"]) else 1)
    try:
        reply = ask(words[0], _request(words[1:]))
    except (OSError, ValueError) as error:
        raise SystemExit(f"sdcp-printer-ctl: {words[0]}: {error}") from error
    if not reply["ok"]:
        raise SystemExit(f"sdcp-printer-ctl: {reply['error']}")
    try:
        print(json.dumps(reply["result"], indent=2, ensure_ascii=False), flush=True)
    except BrokenPipeError:  # as in "... | head": nobody wants the rest
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
