"""A complete MQTT 3.1.1 server, which knows nothing of printers.

One decision: what is allowed is a ``Policy`` per door, what it may cost is ``Limits`` per door, and everything else is
the same for everybody who speaks MQTT.
"""

from sdcpd.broker.limits import Limits, Storage, Violation
from sdcpd.broker.policy import Identity, OpenPolicy, Policy, Verdict
from sdcpd.broker.router import Counters, Router
from sdcpd.broker.server import Server

__all__ = [
    "Counters",
    "Identity",
    "Limits",
    "OpenPolicy",
    "Policy",
    "Router",
    "Server",
    "Storage",
    "Verdict",
    "Violation",
]
