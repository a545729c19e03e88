"""SockJS 0.3.3 over plain HTTP: info, xhr, xhr_send, xhr_streaming and eventsource.

One decision: this package knows sessions and frames and nothing of printers; who is at the other end of a session is
handed in as ``Application``. There is no WebSocket, and none of the transports that any page could include as a script
(reference apis.md 4.5 and 7.3).
"""

from sdcpd.web.sockjs.service import Application, SockJs
from sdcpd.web.sockjs.session import Connection, Session

__all__ = ["Application", "Connection", "Session", "SockJs"]
