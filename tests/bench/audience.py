"""Those who look at a farm, in one process: pages that wait for news, displays that ask again and again.

One decision: each keeps one connection and asks as the real program does. A long poll goes on from its cursor as soon
as it was answered; the others ask at their period, each at its own moment of it.

Orders on standard input, one JSON object a line: ``watch`` for so many seconds.
"""

from __future__ import annotations

import argparse
import heapq
import json
import select
import socket
import sys
import time
from typing import Any

__all__: list[str] = []

_LATE = 60.0
"""Seconds that are waited longer for the first answers: others may have had the machine all the time."""


class Looker:
    """One connection. ``period`` is in seconds; 0 is a long poll, which asks for news after each answer."""

    def __init__(self, port: int, period: float, paths: list[str]) -> None:
        self.period = period
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.waiting = False
        """Whether it has asked and was not answered yet."""
        self._host = f"127.0.0.1:{port}"
        self._paths = paths
        self._asked = 0
        self._since = ""
        self._held = b""

    def ask(self) -> None:
        """Ask for the next thing, unless the last one is still to come."""
        if self.waiting:
            return
        self.waiting = True
        path = self._paths[self._asked % len(self._paths)] + self._since
        self._asked += 1
        self._held = b""
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\nAccept: */*\r\n\r\n".encode())

    def answered(self) -> bool:
        """Read; whether the whole answer is here."""
        self._held += self.socket.recv(1 << 18)
        head, end, body = self._held.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        if not end or len(body) < int(length):
            return False
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"{self._paths} was answered with {head[:200]!r} {body[:200]!r}")
        if not self.period:
            cursor = body[11 : body.index(b'"', 11)].decode()
            self._since = f"?timeout=25&since={cursor}"
        self.waiting = False
        return True


def _watch(lookers: list[Looker], seconds: float) -> dict[str, Any]:
    """Let everybody ask for a while; how many answers came, in all and to long polls."""
    poll = select.epoll()
    by_descriptor = {looker.socket.fileno(): looker for looker in lookers}
    for descriptor in by_descriptor:
        poll.register(descriptor, select.EPOLLIN)
    start = time.monotonic()
    turns = [
        (start + looker.period * number / len(lookers), number, looker)
        for number, looker in enumerate(lookers)
        if looker.period
    ]
    heapq.heapify(turns)
    for looker in lookers:
        if not looker.period:
            looker.ask()
    answers = polls = 0
    cpu = time.process_time()
    end, late = start + seconds, start + seconds + _LATE
    while (now := time.monotonic()) < end or (not (answers and polls) and now < late):
        while turns and turns[0][0] <= now:
            due, number, looker = turns[0]
            heapq.heapreplace(turns, (due + looker.period, number, looker))
            looker.ask()
        wait = min(turns[0][0] if turns else now + 1.0, end if now < end else late) - now
        for descriptor, _ in poll.poll(wait):
            looker = by_descriptor[descriptor]
            if looker.answered():
                answers += 1
                if not looker.period:
                    polls += 1
                    looker.ask()
    took = time.monotonic() - start
    return {"answers": answers / took, "polls": polls / took, "cpu": (time.process_time() - cpu) / took}


def _main() -> None:
    parser = argparse.ArgumentParser(description="Those who look at a farm.")
    parser.add_argument("port", type=int)
    parser.add_argument("lookers", help="JSON: a list of [period, [path, ...]]")
    options = parser.parse_args()
    lookers = [Looker(options.port, period, paths) for period, paths in json.loads(options.lookers)]
    for line in sys.stdin:
        found = _watch(lookers, float(json.loads(line)["seconds"]))
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main()
