"""Many long polls in one process: open them, then note when each is answered.

One decision: a poller does what a real one does. Its first poll has no cursor and is answered at once, which also
proves that its connection was accepted; its second one waits. Times are of the monotonic clock, which all
processes of a machine share.

Orders on standard input, one JSON object a line: ``open``, ``collect``.
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import sys
import time
from typing import Any

__all__: list[str] = []

_AT_ONCE = 64


class Pollers:
    """All pollers, one epoll."""

    def __init__(self, port: int, path: str) -> None:
        self._port = port
        self._path = path
        self._poll = select.epoll()
        self._open: dict[int, socket.socket] = {}
        self._held: dict[int, bytes] = {}
        self._cursor: dict[int, str] = {}

    def run(self) -> None:
        """Obey until standard input ends."""
        for line in sys.stdin:
            order = json.loads(line)
            if order["do"] == "open":
                answer = self._open_all(int(order["count"]), float(order["seconds"]))
            else:
                answer = self._collect(bool(order["again"]), float(order["seconds"]))
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()

    def _ask(self, descriptor: int) -> None:
        cursor = self._cursor.get(descriptor, "")
        query = f"?since={cursor}&timeout=55" if cursor else ""
        head = f"GET {self._path}{query} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nAccept: */*\r\n\r\n"
        self._held[descriptor] = b""
        self._open[descriptor].send(head.encode())

    def _answered(self, descriptor: int) -> bytes | None:
        """Read; the whole answer if it is there now."""
        piece = self._open[descriptor].recv(65536)
        if not piece:
            raise SystemExit("the server closed a poll")
        data = self._held[descriptor] = self._held[descriptor] + piece
        head, end, body = data.partition(b"\r\n\r\n")
        if not end:
            return None
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        if len(body) < int(length):
            return None
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"a poll was answered with {head[:200]!r}")
        self._cursor[descriptor] = body[11 : body.index(b'"', 11)].decode()
        return body

    def _open_all(self, count: int, seconds: float) -> dict[str, Any]:
        start, waiting = time.monotonic(), set[int]()
        while len(waiting) < count and time.monotonic() - start < seconds:
            while len(self._open) < count and len(self._open) - len(waiting) < _AT_ONCE:
                one = socket.create_connection(("127.0.0.1", self._port))
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                one.setblocking(False)
                self._open[one.fileno()] = one
                self._poll.register(one, select.EPOLLIN)
                self._ask(one.fileno())
            for descriptor, _ in self._poll.poll(1.0):
                if self._answered(descriptor) is not None:
                    waiting.add(descriptor)
                    self._ask(descriptor)
        took = time.monotonic() - start
        for descriptor in set(self._open) - waiting:
            self._poll.unregister(descriptor)
            self._open.pop(descriptor).close()
        return {"open": len(waiting), "seconds": took}

    def _collect(self, again: bool, seconds: float) -> dict[str, Any]:
        """Wait until each has news; who has polls again, at once or when all have been answered."""
        deadline = time.monotonic() + seconds
        at: dict[int, float] = {}
        while len(at) < len(self._open) and time.monotonic() < deadline:
            for descriptor, _ in self._poll.poll(0.5):
                body = self._answered(descriptor)
                if body is None:
                    continue
                now = time.monotonic()
                if b'"timed_out":true' in body[:200]:
                    self._ask(descriptor)  # no news, only the end of its patience
                    continue
                at.setdefault(descriptor, now)
                if again:
                    self._ask(descriptor)
        if not again:
            for descriptor in at:
                self._ask(descriptor)
        times = sorted(at.values()) or [0.0]
        return {"count": len(at), "first": times[0], "median": times[len(times) // 2], "last": times[-1]}


def _main() -> None:
    parser = argparse.ArgumentParser(description="Long polls as a load.")
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    options = parser.parse_args()
    Pollers(options.port, options.path).run()


if __name__ == "__main__":
    _main()
