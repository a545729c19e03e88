"""The faults themselves: one frozen dataclass each, in the order of the reference's fault table (8.4).

One decision: the docstring of a fault is its description everywhere (the control socket shows it), its fields are its
parameters, and its F-number stands beside its name.
"""

from __future__ import annotations

from dataclasses import dataclass

from sdcpd.simulator.faults import Fault

__all__ = [
    "AttributesFault",
    "BadReply",
    "BrokerTakeover",
    "CompletedScreen",
    "Cut",
    "DropTransfer",
    "DuplicatePublish",
    "EarlyPublish",
    "FastTransfer",
    "Garbage",
    "HalfOpen",
    "HttpHabit",
    "IgnoreInvitations",
    "Keepalive",
    "LateResponse",
    "LinkLostInTransfer",
    "NoPing",
    "NoPuback",
    "NoResponse",
    "OddResponse",
    "OddStatus",
    "RebootAtLayer",
    "Refuse",
    "SlowReader",
    "StaleTransfer",
    "StalledReader",
    "StartIgnored",
    "SubscribeFilters",
    "TransferFails",
    "Twin",
    "UdpDelay",
    "UdpDuplicate",
    "UdpLoss",
    "Uptime",
    "WrongAddress",
]


@dataclass(frozen=True)
class UdpLoss(Fault, name="udp-loss", number="F1"):
    """This share of the probes, invitations and replies is lost."""

    share: float = 0.3


@dataclass(frozen=True)
class UdpDuplicate(Fault, name="udp-duplicate", number="F1"):
    """Every reply arrives so many times."""

    copies: int = 2


@dataclass(frozen=True)
class UdpDelay(Fault, name="udp-delay", number="F1"):
    """Replies come so late; with a spread they also overtake each other."""

    seconds: float = 2.0
    spread: float = 0.0


@dataclass(frozen=True)
class BadReply(
    Fault,
    name="bad-reply",
    number="F2",
    kind=("truncated", "text", "ok-mac", "invalid-utf8", "huge", "empty", "array"),
):
    """The reply to a probe is no SDCP."""

    kind: str = "truncated"


@dataclass(frozen=True)
class WrongAddress(Fault, name="wrong-address", number="F3"):
    """The reply names another MainboardIP than the one it comes from."""

    address: str = "192.0.2.99"


@dataclass(frozen=True)
class IgnoreInvitations(Fault, name="ignore-invitations", number="F5"):
    """Invitations are not obeyed; ``times`` says how many."""

    times: int = 2


@dataclass(frozen=True)
class BrokerTakeover(Fault, name="owned", number="F6"):
    """Another broker takes the printer: the link drops, LocalSDCPAddress names it, invitations are not obeyed."""

    address: str = "tcp://192.0.2.10:33288"
    obeys: bool = False


@dataclass(frozen=True)
class Twin(Fault, name="twin", number="F9"):
    """A second connection with the same client id, while the first hangs half-open."""


@dataclass(frozen=True)
class HalfOpen(Fault, name="half-open", number="F10"):
    """The TCP connection neither reads nor writes nor closes any more."""


@dataclass(frozen=True)
class Cut(Fault, name="cut", number="F10"):
    """The network is gone for so long (printer's seconds): UDP silent, both TCP connections dead."""

    seconds: float = 10.0


@dataclass(frozen=True)
class NoPing(Fault, name="no-ping", number="F11"):
    """No PINGREQ is ever sent."""


@dataclass(frozen=True)
class Keepalive(Fault, name="keepalive", number="F11"):
    """The next CONNECT asks for this keep-alive; 1 makes for a PINGREQ every second, 0 for none."""

    seconds: int = 0


@dataclass(frozen=True)
class DuplicatePublish(Fault, name="duplicate-publish", number="F12"):
    """Every PUBLISH is sent again with DUP although its PUBACK came."""


@dataclass(frozen=True)
class NoPuback(Fault, name="no-puback", number="F12"):
    """PUBACKs of the broker count as lost: each PUBLISH is repeated with DUP, and the link closed after three."""


@dataclass(frozen=True)
class EarlyPublish(Fault, name="early-publish", number="F13"):
    """The first status comes before SUBSCRIBE."""


@dataclass(frozen=True)
class SubscribeFilters(Fault, name="filters", number="F14", kind=("two", "wildcard")):
    """SUBSCRIBE carries two filters, or ``/sdcp/#``."""

    kind: str = "two"


@dataclass(frozen=True)
class OddResponse(
    Fault,
    name="odd-response",
    number="F15",
    kind=(
        "request-id-wrong",
        "request-id-absent",
        "cmd-absent",
        "cmd-wrong",
        "ack-absent",
        "ack-string",
        "data-null",
        "id-stale",
    ),
):
    """Responses are not as they should be; ``cmd`` limits it to one command."""

    kind: str = "request-id-wrong"
    cmd: int = -1


@dataclass(frozen=True)
class NoResponse(Fault, name="no-response", number="F16"):
    """Requests are obeyed and never answered; ``cmd`` limits it to one command."""

    cmd: int = -1


@dataclass(frozen=True)
class LateResponse(Fault, name="late-response", number="F16"):
    """Responses come this much too late (real seconds), after the statuses they announce."""

    seconds: float = 8.0
    cmd: int = -1


@dataclass(frozen=True)
class OddStatus(
    Fault,
    name="odd-status",
    number="F17",
    kind=(
        "unknown-keys",
        "no-print-info",
        "no-transfer-info",
        "floats",
        "list",
        "enum-99",
        "negative",
        "huge",
        "zero-layers",
        "late-ticks",
        "null",
        "strings",
    ),
):
    """The status object, on MQTT and UDP, is not as the captures show it."""

    kind: str = "unknown-keys"


@dataclass(frozen=True)
class AttributesFault(
    Fault,
    name="attributes",
    number="F18",
    shape=("status-as-attributes", "status", "attributes", "nothing"),
):
    """The attributes topic carries another shape than the profile's."""

    shape: str = "nothing"


@dataclass(frozen=True)
class Garbage(
    Fault,
    name="garbage",
    number="F19",
    kind=("malformed", "nul", "empty", "megabyte", "deep", "invalid-utf8", "array"),
):
    """The status topic receives this once, at once."""

    kind: str = "malformed"


@dataclass(frozen=True)
class HttpHabit(
    Fault,
    name="http",
    number="F20",
    kind=("never", "head-only", "get-only", "get-twice", "range", "garbage"),
):
    """The download is asked for in another way than HEAD then GET."""

    kind: str = "head-only"


@dataclass(frozen=True)
class DropTransfer(Fault, name="drop", number="F21", retry=("zero", "range", "never"), link=("keep", "cut")):
    """The HTTP connection (and with ``link=cut`` the MQTT link) is reset at this fraction of the file."""

    times: int = 1
    at: float = 0.4
    retry: str = "zero"
    link: str = "keep"
    pause: float = 1.0  # before the retry


@dataclass(frozen=True)
class SlowReader(Fault, name="slow-reader", number="F22"):
    """The body is read at this many bytes a real second."""

    rate: float = 10_000.0


@dataclass(frozen=True)
class StalledReader(Fault, name="stalled-reader", number="F22"):
    """Reading stops at this fraction for so long (printer's seconds)."""

    times: int = 1
    at: float = 0.5
    seconds: float = 60.0


@dataclass(frozen=True)
class TransferFails(Fault, name="transfer-fails", number="F23", how=("status", "md5", "size", "full")):
    """The transfer ends with FileTransferInfo.Status 3."""

    how: str = "status"


@dataclass(frozen=True)
class StaleTransfer(Fault, name="stale-transfer", number="F24"):
    """Right after the Ack of 256 a status shows a former file's success."""

    filename: str = "former.goo"


@dataclass(frozen=True)
class FastTransfer(Fault, name="fast-transfer", number="F25"):
    """No status is published between the Ack of 256 and the end."""


@dataclass(frozen=True)
class LinkLostInTransfer(Fault, name="link-lost-in-transfer", number="F26"):
    """The MQTT link drops at this fraction of the file while HTTP goes on."""

    times: int = 1
    at: float = 0.4


@dataclass(frozen=True)
class Refuse(Fault, name="refuse", number="F28"):
    """A command is answered with this Ack and not obeyed."""

    cmd: int = 128
    ack: int = 1


@dataclass(frozen=True)
class StartIgnored(Fault, name="start-ignored", number="F29"):
    """A start is acknowledged and never happens."""


@dataclass(frozen=True)
class RebootAtLayer(Fault, name="reboot-at-layer", number="F30"):
    """The printer reboots when it reaches this layer."""

    times: int = 1
    layer: int = 5


@dataclass(frozen=True)
class CompletedScreen(Fault, name="completed-screen", number="F33"):
    """The completed screen of the next print stays so long (printer's seconds) unless somebody taps."""

    seconds: float = 3600.0


@dataclass(frozen=True)
class Uptime(Fault, name="uptime", number="F34"):
    """TimeStamp jumps to this number, by default five seconds before its wrap."""

    milliseconds: int = 2**32 - 5000
