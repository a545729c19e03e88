"""The twistd plugin ``sdcp-printer``: options, and the service made of them.

One decision: whatever the command line gets wrong, and a port that is taken, ends with status 1 and one line that
says which and what to do, because twistd's own way prints a screenful and returns 0.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from twisted.application.internet import UNIXServer
from twisted.application.service import IService, MultiService
from twisted.internet.error import CannotListenError
from twisted.python import usage

from sdcpd.simulator.control import ControlFactory
from sdcpd.simulator.farm import Farm, FarmReactor
from sdcpd.simulator.profiles import PROFILES
from sdcpd.simulator.settings import PrinterSpec, Settings, plan

__all__ = ["Options", "makeService"]

_NAME = "sdcp-printer"
_FILES, _FILES_EACH = 64, 5  # UDP, MQTT and one that hangs, HTTP, the file


def _number(kind: Callable[[str], Any], low: float, high: float, what: str) -> Callable[[str], Any]:
    def coerce(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            raise ValueError(f"{text!r} is not {what} from {low:g} to {high:g}")
        return value

    return coerce


_SECONDS = _number(float, 0.001, 1e6, "a number of seconds")


class Options(usage.Options):
    """The command line of ``twistd sdcp-printer``."""

    synopsis = "[--printers N | --printer PROFILE[:name] ...] [options]"
    longdesc = f"Simulated SDCP V1 resin printers on the loopback. Profiles: {', '.join(PROFILES)}."

    optParameters = [  # noqa: RUF012 - usage.Options wants a list
        ["printers", "n", 0, "So many printers, of all profiles in turn", _number(int, 0, 60_000, "a number")],
        ["first-address", "a", "127.0.0.2", "Address of the first printer; the others follow"],
        ["port", "p", 3000, "UDP port", _number(int, 1, 65535, "a port")],
        ["scale", None, 1.0, "Divides every duration", _number(float, 0.001, 1e6, "a factor")],
        ["rate", None, 2.5e6, "Bytes read per (scaled) second", _number(float, 1, 1e12, "a rate")],
        ["seed", None, 0, "Same seed, same ids and same chances", int],
        ["control", None, None, "Unix socket to control the printers through, see sdcp-printer-ctl"],
        ["store", None, None, "Directory to keep the received files in"],
        ["capacity", None, 8_000_000_000, "Bytes each printer can store", _number(int, 0, 2**62, "a size")],
        ["keepalive", None, 60, "MQTT keep-alive in real seconds, 0 for none", _number(int, 0, 65535, "seconds")],
        ["layers", None, 100, "Layers of a file that tells none", _number(int, 1, 10**6, "a number")],
        ["layer-time", None, 8.0, "Seconds a layer takes", _SECONDS],
        ["bottom-layer-time", None, 30.0, "Seconds a bottom layer takes", _SECONDS],
        ["bottom-layers", None, 5, "How many there are", _number(int, 0, 10**6, "a number")],
        ["home-time", None, 15.0, "Seconds before the first layer", _SECONDS],
        ["final-lift-time", None, 30.0, "Seconds after the last layer", _SECONDS],
        ["completed-screen", None, 60.0, "Seconds the completed screen stays untapped", _SECONDS],
    ]
    optFlags = [  # noqa: RUF012 - usage.Options wants a list
        ["strict", None, "Record every breach of the protocol"],
        ["broadcast", None, "Answer broadcast probes (the default)"],
        ["no-broadcast", None, "Answer unicast probes only"],
        ["check-resolution", None, "Refuse to print files for another screen (Ack 5)"],
        ["answer-unknown", None, "Answer unknown commands with Ack 1 instead of silence"],
        ["ignore-invitation-while-up", None, "Stay with a connected broker"],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["wanted"] = []

    def opt_printer(self, entry: str) -> None:
        """A printer, PROFILE[:name]; may be repeated."""
        self["wanted"].append(entry)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse, and end the process in one line where that cannot be done."""
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            text = " ".join(str(error).split()).removeprefix("Parameter type enforcement failed: ")
            raise SystemExit(f"{_NAME}: {text} (see --help)") from error

    def parseArgs(self, *args: str) -> None:  # noqa: N802 - usage.Options calls it
        """There are none."""
        if args:
            raise usage.UsageError(f"unexpected {args[0]!r}")

    def postOptions(self) -> None:
        """Check what belongs together."""
        try:
            self["specs"] = self._specs()
        except ValueError as error:
            raise usage.UsageError(str(error)) from error

    def settings(self) -> Settings:
        """What the printers share."""
        return Settings(
            port=self["port"],
            broadcast=not self["no-broadcast"],
            scale=self["scale"],
            seed=self["seed"],
            strict=bool(self["strict"]),
            rate=self["rate"],
            capacity=self["capacity"],
            store=Path(self["store"]).absolute() if self["store"] else None,
            keepalive=self["keepalive"],
            layers=self["layers"],
            layer_time=self["layer-time"],
            bottom_layers=self["bottom-layers"],
            bottom_layer_time=self["bottom-layer-time"],
            home_time=self["home-time"],
            final_lift_time=self["final-lift-time"],
            completed_screen=self["completed-screen"],
            check_resolution=bool(self["check-resolution"]),
            answers_unknown=bool(self["answer-unknown"]),
            obeys_invitation_while_up=not self["ignore-invitation-while-up"],
        )

    def _specs(self) -> tuple[PrinterSpec, ...]:
        wanted = list(self["wanted"])
        if not wanted:
            names = list(PROFILES)
            wanted = [names[index % len(names)] for index in range(self["printers"] or 1)]
        elif self["printers"]:
            raise ValueError("use either --printers or --printer, not both")
        return plan(wanted, self["first-address"], self["seed"])


class _Product(MultiService):
    """The farm as a process: what cannot start ends it in one line."""

    def privilegedStartService(self) -> None:
        try:
            super().privilegedStartService()
        except CannotListenError as error:
            place = f"UDP {error.interface}:{error.port}" if error.interface else f"socket {error.port}"
            what = "--port or --first-address" if error.interface else "--control"
            raise SystemExit(f"{_NAME}: {place} cannot be used ({error.socketError}): choose another {what}") from error


def _allow_files(wanted: int) -> None:
    """Raise the soft limit of open files, where many printers need it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and wanted > hard:
        raise SystemExit(f"{_NAME}: {wanted} open files are needed, {hard} allowed: fewer --printers or ulimit -Hn")
    if soft != resource.RLIM_INFINITY and wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def makeService(options: Options) -> IService:
    """The printers, and their control socket where one is wanted."""
    from twisted.internet import reactor  # noqa: TID251 - the place where one is chosen

    here = cast(FarmReactor, reactor)
    _allow_files(_FILES_EACH * len(options["specs"]) + _FILES)
    product = _Product()
    try:
        farm = Farm(here, options["specs"], options.settings())
    except OSError as error:
        raise SystemExit(f"{_NAME}: --store {options['store']}: {error.strerror}: name a writable one") from error
    farm.setServiceParent(product)
    if options["control"]:
        path = Path(options["control"]).absolute()
        if not path.parent.is_dir():
            raise SystemExit(f"{_NAME}: --control {path}: no such directory: make it first")
        server = UNIXServer(str(path), ControlFactory(farm), mode=0o600, wantPID=True, reactor=here)
        server.setServiceParent(product)
    return product
