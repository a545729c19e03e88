"""The tables of sdcpd.toml, one frozen Struct each, with what their values have to be.

One decision: a table is a value with a default for every key, and says itself what types alone cannot; tables are
compared by ``==`` to see what a reload has changed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from msgspec import Struct, field

from sdcpd import checks
from sdcpd.errors import ConfigError
from sdcpd.scopes import Scope

if TYPE_CHECKING:
    from sdcpd.codec.ctb_encrypted import CtbKey

__all__ = [
    "LOCAL",
    "LOOPBACK",
    "Access",
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
    "Section",
    "StatusPage",
    "Web",
]

LOOPBACK, LOCAL = "loopback", "local"  # in [access] trusted: the machine itself, and the private networks it is in
_KEY_NAME = re.compile(r"[\w-]{1,64}")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_MAINBOARD_ID = re.compile(r"[0-9A-Za-z._-]{1,64}")


class Section(Struct, frozen=True, forbid_unknown_fields=True):
    """One table of the file; ``check`` finds what types alone cannot."""

    def check(self, place: str) -> None:
        """Raise ``ConfigError`` for a value that cannot be used; ``place`` names the table."""


class Sdcpd(Section, frozen=True):
    """``[sdcpd]``: the daemon itself."""

    state_directory: str = "/var/lib/sdcpd"
    site: str = ""
    default_printer: str = ""
    """Which printer paths without one mean; may name a printer that is yet to be discovered."""
    log_level: Literal["debug", "info", "warn", "error", "critical"] = "info"

    def check(self, place: str) -> None:
        """The directory can be a path."""
        if "\0" in self.state_directory:
            raise ConfigError(
                f"{place} state_directory: expected a path, found {self.state_directory!r} with a NUL in it",
                "Take the \\u0000 out.",
            )


class Journal(Section, frozen=True):
    """``[journal]``: where printers, jobs, plates, history and keys are kept; only a restart can change it."""

    url: str = ""
    """Empty for a file in the state directory, or the URL of a PostgreSQL database; it may have a password."""

    def check(self, place: str) -> None:
        """It is PostgreSQL's, as far as can be seen from here."""
        if self.url:
            checks.database(self.url, f"{place} url")


class Discovery(Section, frozen=True):
    """``[discovery]``: how printers are found by UDP."""

    port: int = 3000
    interfaces: tuple[str, ...] = ("auto",)
    targets: tuple[str, ...] = ()
    interval: float = 30.0

    def check(self, place: str) -> None:
        """The port and the interval are in range, each target is an address or a network."""
        checks.in_range(self.port, 1, 65535, f"{place} port")
        checks.in_range(self.interval, 1, 3600, f"{place} interval")
        for target in self.targets:
            checks.target(target, f"{place} targets")


class MqttKey(Section, frozen=True):
    """``[[mqtt.clients.keys]]``: who may come in at the clients' door, until keys are managed elsewhere."""

    name: str = ""
    sha256: str = ""
    scopes: tuple[Scope, ...] = ("view",)

    def check(self, place: str) -> None:
        """It has a name, and its hash is one."""
        if not _KEY_NAME.fullmatch(self.name):
            raise ConfigError(f"{place} name: expected letters, digits, - and _, found {self.name!r}")
        if not _SHA256.fullmatch(self.sha256):
            raise ConfigError(
                f"{place} sha256: expected 64 hexadecimal digits, found {len(self.sha256)} characters",
                "Make them with: printf %s 'the key' | sha256sum",
            )


class MqttClients(Section, frozen=True):
    """``[mqtt.clients]``: the port for MQTT clients that are no printers; off while ``listen`` is empty."""

    listen: str = ""
    anonymous: bool = False
    keys: tuple[MqttKey, ...] = ()

    def check(self, place: str) -> None:
        """The endpoint and each key can be used."""
        if self.listen:
            checks.endpoint(self.listen, f"{place} listen")
        names: set[str] = set()
        for number, key in enumerate(self.keys, 1):
            item = f"{place[:-1]}.keys] item {number}"
            key.check(item)
            if key.name in names:
                raise ConfigError(f"{item} name: {key.name!r} is there twice")
            names.add(key.name)


class Mqtt(Section, frozen=True):
    """``[mqtt]``: the port that printers dial into, and one for other clients."""

    listen: str = "tcp:1883"
    clients: MqttClients = MqttClients()

    def check(self, place: str) -> None:
        """The endpoints can be read."""
        self.clients.check("[mqtt.clients]")
        checks.endpoint(
            self.listen, f"{place} listen", checks.PLAIN_TCP
        )  # printers know neither TLS, nor IPv6, nor Unix sockets


class Downloads(Section, frozen=True):
    """``[downloads]``: the port that printers fetch their files from."""

    listen: str = "tcp:8081"

    def check(self, place: str) -> None:
        """The endpoint can be read."""
        checks.endpoint(
            self.listen, f"{place} listen", checks.PLAIN_TCP
        )  # printers know neither TLS, nor IPv6, nor Unix sockets


class Web(Section, frozen=True):
    """``[web]``: the ports of the HTTP API, and who may speak to them through a browser or a proxy."""

    listen: tuple[str, ...] = ("tcp:8080",)
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    rate: float = 10.0
    burst: int = 50

    def check(self, place: str) -> None:
        """Endpoints and proxies can be read."""
        for listen in self.listen:
            checks.endpoint(listen, f"{place} listen")
        for proxy in self.proxies:
            checks.network(proxy, f"{place} proxies")
        checks.in_range(self.rate, 0, 1_000_000, f"{place} rate")
        checks.in_range(self.burst, 1, 1_000_000, f"{place} burst")


class Mdns(Section, frozen=True):
    """``[mdns]``: whether printers are announced in the local network, so that slicers find them."""

    enabled: bool = True
    sl1: bool = True
    """A second time as an SL1, the only model that PrusaSlicer's resin profiles look for."""


class StatusPage(Section, frozen=True):
    """``[status]``: who may read mslicer's ``GET /status``."""

    mode: Literal["off", "trusted", "public"] = "trusted"


class Access(Section, frozen=True):
    """``[access]``: what clients may do by their address alone."""

    trusted: dict[str, tuple[Scope, ...]] = field(default_factory=lambda: {LOOPBACK: ("view",), LOCAL: ("view",)})

    def check(self, place: str) -> None:
        """Each key is a network or one of our words for some, and none makes an admin of everybody in it."""
        for network, scopes in self.trusted.items():
            if network not in (LOOPBACK, LOCAL):
                checks.network(network, f"{place} trusted")
            if "admin" in scopes:
                raise ConfigError(
                    f"{place} trusted {network!r}: expected other scopes than admin, which always needs a key",
                    "There is one in admin.key in the state directory.",
                )


class Files(Section, frozen=True):
    """``[files]``: the spool. Sizes as ``2GiB`` or bytes, ``keep`` as ``30d``; quota 0 and keep "" mean no limit."""

    quota: int | str = 0
    keep: str = ""
    max_size: int | str = 2**31 - 1
    reserve: int | str = 100 * 2**20
    ctb_key_file: str = ""
    """Holds the key and IV of encrypted .ctb files; "" for none."""

    def check(self, place: str) -> None:
        """Sizes and times can be read."""
        for key in ("quota", "max_size", "reserve"):
            checks.size(getattr(self, key), f"{place} {key}")
        checks.span(self.keep, f"{place} keep")
        if self.max_size_bytes == 0:
            raise ConfigError(f"{place} max_size: expected at least 1 byte, found 0", 'A large value such as "2GiB".')

    def ctb_key(self) -> CtbKey | None:
        """The key in ``ctb_key_file``, read anew; None if none is named. Raises ``ConfigError``."""
        if not self.ctb_key_file:
            return None
        from sdcpd.codec.ctb_encrypted import parse_key  # not earlier: it loads hashlib, see __main__.py

        try:
            with open(self.ctb_key_file, "rb") as file:
                return parse_key(file.read(1024))
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            raise ConfigError(
                f"[files] ctb_key_file: {self.ctb_key_file!r} cannot be read: {error}",
                'Name a file that the daemon may read, or "" to do without.',
            ) from error
        except ConfigError as error:
            raise ConfigError(f"[files] ctb_key_file: {error.message}", error.hint) from error

    @property
    def quota_bytes(self) -> int:
        """Bytes that all files together may have; 0 for no limit."""
        return checks.size(self.quota, "quota")

    @property
    def max_size_bytes(self) -> int:
        """Bytes that one file may have."""
        return checks.size(self.max_size, "max_size")

    @property
    def reserve_bytes(self) -> int:
        """Bytes of the disk that uploads leave free."""
        return checks.size(self.reserve, "reserve")

    @property
    def keep_seconds(self) -> float:
        """Seconds after which an unused file is deleted; 0 for never."""
        return checks.span(self.keep, "keep")


class Plate(Section, frozen=True):
    """``[plate]``: when a start needs somebody's word that the plate is clear."""

    gate: Literal["after-print", "always", "off"] = "after-print"


class KnownPrinter(Section, frozen=True):
    """``[printers.<slug>]``: what is known of a printer beforehand."""

    mainboard_id: str = ""
    name: str = ""
    address: str = ""
    """Where discovery looks for it: an IPv4 address, with ``:port`` if it is not ``[discovery] port``."""
    port: int = 0
    """An HTTP port of the printer's own, bound as ``[web] listen`` is; 0 for none."""

    def check(self, place: str) -> None:
        """The MainboardID is there and well-formed, the address can be read."""
        if not _MAINBOARD_ID.fullmatch(self.mainboard_id):
            raise ConfigError(
                f"{place} mainboard_id: expected the printer's MainboardID, found {self.mainboard_id!r}",
                "GET /v1/printers shows it for every printer that was discovered.",
            )
        if self.address:
            checks.target(self.address, f"{place} address")
        checks.in_range(self.port, 0, 65535, f"{place} port")
