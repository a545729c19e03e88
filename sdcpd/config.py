"""sdcpd.toml -> one frozen Struct per section (sections.py), read and checked as a whole.

One decision: a configuration is right as a whole or refused as a whole. An unknown key or a bad value is an error
that names its place, what was found and what would do; nothing is ignored, and every key has a default.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from types import GenericAlias
from typing import TypeVar, get_args, get_type_hints

import msgspec

from sdcpd.errors import ConfigError
from sdcpd.mistakes import sentence
from sdcpd.ports import at_port, number_of
from sdcpd.scopes import Scope
from sdcpd.sections import (
    LOCAL,
    LOOPBACK,
    Access,
    Discovery,
    Downloads,
    Files,
    Journal,
    KnownPrinter,
    Mdns,
    Mqtt,
    MqttClients,
    MqttKey,
    Plate,
    Sdcpd,
    Section,
    StatusPage,
    Web,
)

__all__ = [
    "DEFAULT",
    "LOCAL",
    "LOOPBACK",
    "Access",
    "Config",
    "Discovery",
    "Downloads",
    "Files",
    "Journal",
    "KnownPrinter",
    "Mdns",
    "Mqtt",
    "MqttClients",
    "MqttKey",
    "Plate",
    "Sdcpd",
    "StatusPage",
    "Web",
    "find",
    "load",
    "parse",
]

DEFAULT = "/etc/sdcpd/sdcpd.toml"
_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
Read = TypeVar("Read", bound=Section)


class Config(Section, frozen=True):
    """The whole file."""

    sdcpd: Sdcpd = Sdcpd()
    journal: Journal = Journal()
    discovery: Discovery = Discovery()
    mqtt: Mqtt = Mqtt()
    downloads: Downloads = Downloads()
    web: Web = Web()
    mdns: Mdns = Mdns()
    status: StatusPage = StatusPage()
    access: Access = Access()
    files: Files = Files()
    plate: Plate = Plate()
    printers: dict[str, KnownPrinter] = msgspec.field(default_factory=dict)

    @property
    def own_ports(self) -> dict[str, tuple[str, ...]]:
        """The endpoints of each printer that has a port of its own, by slug."""
        own = {slug: printer.port for slug, printer in self.printers.items() if printer.port}
        return {slug: at_port(self.web.listen, port) for slug, port in own.items()}

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
        self._check_ports()

    def _check_ports(self) -> None:
        listens = {
            "[mqtt] listen": (self.mqtt.listen,),
            "[mqtt.clients] listen": (self.mqtt.clients.listen,),
            "[downloads] listen": (self.downloads.listen,),
            "[web] listen": self.web.listen,
        }
        owners = {number_of(endpoint): place for place, endpoints in listens.items() for endpoint in endpoints}
        for slug, endpoints in self.own_ports.items():
            port, place = self.printers[slug].port, f"[printers.{slug}] port"
            if owners.setdefault(port, place) != place:
                raise ConfigError(f"{place}: {port} is that of {owners[port]} already", "Set another one there.")
            if not endpoints:
                raise ConfigError(
                    f"{place}: expected an endpoint in [web] listen that has a port, found {list(self.web.listen)}",
                    "A printer's own port is bound as one of those: add tcp:8080, or leave the printer's port out.",
                )


class _Trusted(Section, frozen=True):
    """What one network of ``[access] trusted`` may do."""

    scopes: tuple[Scope, ...]


def find(path: str | None) -> Config:
    """The configuration of this file; of the usual one, or without any, if none is named. Raises ``ConfigError``."""
    if path is None and not Path(DEFAULT).exists():
        return Config()
    return load(Path(path or DEFAULT))


def load(path: Path) -> Config:
    """Read a configuration file; raises ``ConfigError`` with place and hint."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: expected UTF-8 text: {error}") from error
    try:
        config = parse(text)
        config.files.ctb_key()  # a wrong one is refused here, not when somebody asks for a picture
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.message}", error.hint) from error
    return config


def parse(text: str) -> Config:
    """Read a configuration from TOML text; raises ``ConfigError`` with place and hint."""
    try:
        found = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also of numbers and nesting that Python does not take
        raise ConfigError(f"expected TOML: {error}") from error
    printers = found.get("printers")
    if isinstance(printers, dict):  # one by one, because msgspec does not say which one is wrong
        for slug, table in printers.items():
            _convert(table, KnownPrinter, f"[printers.{slug}]")
    access = found.get("access")
    trusted = access.get("trusted") if isinstance(access, dict) else None
    if isinstance(trusted, dict):
        for network, scopes in trusted.items():
            _convert({"scopes": scopes}, _Trusted, f"[access] trusted {network!r}")
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
            place, about = _within(place, parts, about, "unknown field" in problem)
        raise ConfigError(sentence(problem, place, parts, about)) from error


def _within(place: str, parts: list[str], about: type, unknown_key: bool) -> tuple[str, type]:
    """Follow the path into tables within tables: each has its own name and its own keys."""
    while parts:
        hint = get_type_hints(about).get(parts[0])
        listed = isinstance(hint, GenericAlias) and len(parts) > 1
        section = get_args(hint)[0] if listed else hint
        if not isinstance(section, type) or not issubclass(section, Section):
            break
        if len(parts) == 1 and not unknown_key:
            break  # it should be a table and is something else: a wrong value of the table around it
        place, about = f"{place[:-1]}.{parts.pop(0)}]", section
        if listed:
            return f"{place} item {int(parts.pop(0)) + 1}", about
    return place, about
