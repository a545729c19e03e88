"""sdcpd's MQTT server alone: any client, any topic, nothing of printers. A process of its own, on any free port.

One decision: the limits that protect a home from its devices are out of the way, since all load comes from few
addresses as fast as it will go; windows and queues are the ones that the daemon has.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from twisted.internet import reactor as _reactor  # noqa: TID251 (a program of its own)

from sdcpd.broker import Limits, OpenPolicy, Router, Server, Storage

__all__: list[str] = []

reactor: Any = _reactor
_MANY = 1_000_000
_LIMITS = Limits(connections=_MANY, connections_per_address=_MANY, connects_per_second=_MANY)


def _main() -> None:
    router = Router(reactor.seconds, Storage())
    server = Server(reactor, router, OpenPolicy(), _LIMITS)
    port = reactor.listenTCP(0, server, backlog=1024, interface="127.0.0.1")
    sys.stdout.write(json.dumps({"port": port.getHost().port}) + "\n")
    sys.stdout.flush()
    reactor.run()


if __name__ == "__main__":
    _main()
