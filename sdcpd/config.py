"""sdcpd.toml -> one frozen Struct per section.

One decision: a configuration is right as a whole or refused as a whole. An unknown key or a bad value is an error
that names its place, what was found and what would do; nothing is ignored, and every key has a default.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from sdcpd.errors import ConfigError

__all__ = [
    "SCOPES",
    "Access",
    "Config",
    "Discovery",
    "Downloads",
    "Files",
    "KnownPrinter",
    "Mqtt",
    "Plate",
    "Sdcpd",
    "StatusPage",
    "Web",
    "load",
    "parse",
]

SCOPES = ("view", "upload", "queue", "control", "plate", "admin")
"""What a client may be allowed to do, from the least to the most (DESIGN.md section 6)."""
Scope = Literal["view", "upload", "queue", "control", "plate", "admin"]

_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_MAINBOARD_ID = re.compile(r"[0-9A-Za-z._-]{1,64}")
_ENDPOINT = re.compile(r"(tcp|tcp6|unix|ssl|systemd):.+")
_PLAIN_TCP = re.compile(r"(tcp|systemd):.+")
_LARGEST = 2**63 - 1
_UNITS = {
    "": 1,
    "k": 10**3,
    "m": 10**6,
    "g": 10**9,
    "t": 10**12,
    "ki": 2**10,
    "mi": 2**20,
    "gi": 2**30,
    "ti": 2**40,
}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?\s*", re.IGNORECASE)
_TYPES = {
    "array": 'a list such as ["..."]',
    "bool": "true or false",
    "float": "a number",
    "int": "a whole number",
    "object": "a table",
    "str": 'a text in "quotes"',
}
_SPANS = {"s": 1, "min": 60, "h": 3600, "d": 86400, "w": 604800}
_SPAN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(s|min|h|d|w)\s*")


Read = TypeVar("Read", bound="Section")


class Section(Struct, frozen=True, forbid_unknown_fields=True):
    """One table of the file; ``check`` finds what types alone cannot."""

    def check(self, place: str) -> None:
        """Raise ``ConfigError`` for a value that cannot be used; ``place`` names the table."""


class Sdcpd(Section, frozen=True):
    """``[sdcpd]``: the daemon itself."""

    state_directory: str = "/var/lib/sdcpd"
    site: str = ""
    default_printer: str = ""
    log_level: Literal["debug", "info", "warn", "error", "critical"] = "info"


class Discovery(Section, frozen=True):
    """``[discovery]``: how printers are found by UDP."""

    port: int = 3000
    interfaces: tuple[str, ...] = ("auto",)
    targets: tuple[str, ...] = ()
    interval: float = 30.0

    def check(self, place: str) -> None:
        """The port and the interval are in range, each target is an address or a network."""
        _in_range(self.port, 1, 65535, f"{place} port")
        _in_range(self.interval, 1, 3600, f"{place} interval")
        for target in self.targets:
            _target(target, f"{place} targets")


class Mqtt(Section, frozen=True):
    """``[mqtt]``: the port that printers dial into."""

    listen: str = "tcp:1883"

    def check(self, place: str) -> None:
        """The endpoint can be read."""
        _endpoint(self.listen, f"{place} listen", _PLAIN_TCP)  # printers know neither TLS, nor IPv6, nor Unix sockets


class Downloads(Section, frozen=True):
    """``[downloads]``: the port that printers fetch their files from."""

    listen: str = "tcp:8081"

    def check(self, place: str) -> None:
        """The endpoint can be read."""
        _endpoint(self.listen, f"{place} listen", _PLAIN_TCP)  # printers know neither TLS, nor IPv6, nor Unix sockets


class Web(Section, frozen=True):
    """``[web]``: the ports of the HTTP API, and who may speak to them through a browser or a proxy."""

    listen: tuple[str, ...] = ("tcp:8080",)
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()

    def check(self, place: str) -> None:
        """Endpoints and proxies can be read."""
        for listen in self.listen:
            _endpoint(listen, f"{place} listen")
        for proxy in self.proxies:
            _network(proxy, f"{place} proxies")


class StatusPage(Section, frozen=True):
    """``[status]``: who may read mslicer's ``GET /status``."""

    mode: Literal["off", "trusted", "public"] = "trusted"


class Access(Section, frozen=True):
    """``[access]``: what clients may do by their address alone."""

    trusted: dict[str, tuple[Scope, ...]] = {}

    def check(self, place: str) -> None:
        """Each key is a network."""
        for network in self.trusted:
            _network(network, f"{place} trusted")


class Files(Section, frozen=True):
    """``[files]``: the spool. Sizes as ``2GiB`` or bytes, ``keep`` as ``30d``; quota 0 and keep "" mean no limit."""

    quota: int | str = 0
    keep: str = ""
    max_size: int | str = 2**31 - 1
    reserve: int | str = 100 * 2**20

    def check(self, place: str) -> None:
        """Sizes and times can be read."""
        for key in ("quota", "max_size", "reserve"):
            _size(getattr(self, key), f"{place} {key}")
        _span(self.keep, f"{place} keep")
        if self.max_size_bytes == 0:
            raise ConfigError(f"{place} max_size: expected at least 1 byte, found 0", 'A large value such as "2GiB".')

    @property
    def quota_bytes(self) -> int:
        """Bytes that all files together may have; 0 for no limit."""
        return _size(self.quota, "quota")

    @property
    def max_size_bytes(self) -> int:
        """Bytes that one file may have."""
        return _size(self.max_size, "max_size")

    @property
    def reserve_bytes(self) -> int:
        """Bytes of the disk that uploads leave free."""
        return _size(self.reserve, "reserve")

    @property
    def keep_seconds(self) -> float:
        """Seconds after which an unused file is deleted; 0 for never."""
        return _span(self.keep, "keep")


class Plate(Section, frozen=True):
    """``[plate]``: when a start needs somebody's word that the plate is clear."""

    gate: Literal["after-print", "always", "off"] = "after-print"


class KnownPrinter(Section, frozen=True):
    """``[printers.<slug>]``: what is known of a printer beforehand."""

    mainboard_id: str = ""
    name: str = ""
    address: str = ""
    port: int = 0

    def check(self, place: str) -> None:
        """The MainboardID is there and well-formed, the address can be read."""
        if not _MAINBOARD_ID.fullmatch(self.mainboard_id):
            raise ConfigError(
                f"{place} mainboard_id: expected the printer's MainboardID, found {self.mainboard_id!r}",
                "GET /v1/printers shows it for every printer that was discovered.",
            )
        if self.address:
            _target(self.address, f"{place} address")
        _in_range(self.port, 0, 65535, f"{place} port")


class Config(Section, frozen=True):
    """The whole file."""

    sdcpd: Sdcpd = Sdcpd()
    discovery: Discovery = Discovery()
    mqtt: Mqtt = Mqtt()
    downloads: Downloads = Downloads()
    web: Web = Web()
    status: StatusPage = StatusPage()
    access: Access = Access()
    files: Files = Files()
    plate: Plate = Plate()
    printers: dict[str, KnownPrinter] = {}

    def check(self, place: str) -> None:
        """Every section by itself, and the printers among each other."""
        for name in self.__struct_fields__:
            section = getattr(self, name)
            if isinstance(section, Section):
                section.check(f"[{name}]")
        owners: dict[str, str] = {}
        for slug, printer in self.printers.items():
            if not _SLUG.fullmatch(slug):
                raise ConfigError(
                    f"[printers.{slug}]: expected a name of a-z, 0-9 and -, at most 32 long, found {slug!r}"
                )
            printer.check(f"[printers.{slug}]")
            other = owners.setdefault(printer.mainboard_id.casefold(), slug)
            if other != slug:
                raise ConfigError(f"[printers.{slug}] mainboard_id: {other!r} has the same; each printer has its own")


def load(path: Path) -> Config:
    """Read a configuration file; raises ``ConfigError`` with place and hint."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: expected UTF-8 text: {error}") from error
    try:
        return parse(text)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.message}", error.hint) from error


def parse(text: str) -> Config:
    """Read a configuration from TOML text; raises ``ConfigError`` with place and hint."""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"expected TOML: {error}") from error
    printers = found.get("printers")
    if isinstance(printers, dict):  # one by one, because msgspec does not say which one is wrong
        for slug, table in printers.items():
            _convert(table, KnownPrinter, f"[printers.{slug}]")
    config = _convert(found, Config, "")
    config.check("")
    return config


def _convert(found: object, section: type[Read], place: str) -> Read:
    try:
        return msgspec.convert(found, section)
    except msgspec.ValidationError as error:
        problem, _, path = str(error).partition(" - at `$")
        parts = [part for part in re.split(r"[.\[\]`]+", path) if part]
        about: type = section
        if not place and parts:
            place, about = f"[{parts[0]}]", type(getattr(Config(), parts.pop(0)))
        raise ConfigError(_sentence(problem, place, parts, about)) from error


def _sentence(problem: str, place: str, parts: list[str], section: type) -> str:
    """msgspec's error as a person would say it, with the place first and as the file writes it."""
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", problem, re.DOTALL)
    if unknown:
        known = ", ".join(section.__struct_fields__) if issubclass(section, Section) else ""
        return f"{place} {unknown[1]}: unknown key; known here: {known}".lstrip()
    for part in parts:
        place += f" item {int(part) + 1}" if part.isdecimal() else f" {part}"
    choices = _choices(get_type_hints(section)[parts[0]]) if parts and issubclass(section, Section) else ()
    if choices and problem.startswith("Invalid enum value "):
        problem = f"expected {' or '.join(choices)}, found {problem.removeprefix('Invalid enum value ')}"
    types = re.fullmatch(r"Expected `(.*)`, got `(.*)`", problem)
    if types:
        problem = f"expected {_words(types[1])}, found {_words(types[2])}"
    return f"{place.lstrip()}: {problem}"


def _choices(hint: object) -> tuple[str, ...]:
    if get_origin(hint) is Literal:
        return get_args(hint)
    return next((found for part in get_args(hint) if (found := _choices(part))), ())


def _words(types: str) -> str:
    return " or ".join(_TYPES.get(name, name) for name in types.split(" | "))


def _in_range(value: float, least: float, most: float, place: str) -> None:
    if not least <= value <= most:
        raise ConfigError(f"{place}: expected {least} to {most}, found {value}")


def _endpoint(text: str, place: str, possible: re.Pattern[str] = _ENDPOINT) -> None:
    if not possible.fullmatch(text):
        raise ConfigError(
            f"{place}: expected an endpoint such as tcp:1883 or tcp:8080:interface=127.0.0.1, found {text!r}"
        )


def _network(text: str, place: str) -> None:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ConfigError(f"{place}: expected an address or a network such as 192.168.1.0/24, found {text!r}") from None


def _target(text: str, place: str) -> None:
    host, colon, port = text.partition(":")
    try:
        if colon and not 0 < int(port) < 65536:
            raise ValueError(port)
        network = ipaddress.IPv4Network(host, strict=False)
    except ValueError:
        raise ConfigError(
            f"{place}: expected an IPv4 address, address:port or network such as 192.168.1.0/24, found {text!r}"
        ) from None
    if network.num_addresses > 4096:
        raise ConfigError(f"{place}: expected a network of at most 4096 addresses (/20), found {text!r}")


def _measure(value: int | str, pattern: re.Pattern[str], units: Mapping[str, int]) -> float | None:
    if isinstance(value, str):
        match = pattern.fullmatch(value)
        if match is None:
            return None
        measure = float(match[1]) * units[(match[2] or "").lower()]
    else:
        measure = value
    return measure if 0 <= measure <= _LARGEST else None


def _size(value: int | str, place: str) -> int:
    size = _measure(value, _SIZE, _UNITS)
    if size is None:
        raise ConfigError(f'{place}: expected bytes or a size such as "2GiB", found {value!r}')
    return int(size)


def _span(value: str, place: str) -> float:
    span = 0.0 if value == "" else _measure(value, _SPAN, _SPANS)
    if span is None:
        raise ConfigError(f'{place}: expected a time such as "30d" or "12h", or "" for ever, found {value!r}')
    return span
