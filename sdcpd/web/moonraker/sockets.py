"""``websocket`` and ``klippysocket``: that there are none, in one sentence.

One decision: never 101 and never 200, so that a client that needs a WebSocket says so to its user at once, and the
sentence says what to use instead (reference apis.md 2.14).
"""

from __future__ import annotations

from typing import Any

from sdcpd.web.moonraker.endpoint import Ask, Endpoint
from sdcpd.web.moonraker.form import no

__all__ = ["NO_WEBSOCKET", "SocketEndpoints"]

NO_WEBSOCKET = "This server has no WebSocket; see /v1/updates"


class SocketEndpoints:
    """Handlers over nothing."""

    def __init__(self) -> None:
        self.endpoints = tuple(
            Endpoint("GET", path, None, self.refuse, None, rpc=None, also=(501,))
            for path in ("/websocket", "/klippysocket")
        )

    def refuse(self, ask: Ask) -> Any:
        """There is no WebSocket: poll, or wait at ``server/notifications`` and ``/v1/updates``."""
        raise no(501, NO_WEBSOCKET)
