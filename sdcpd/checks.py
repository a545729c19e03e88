"""Checks of single values in the configuration: endpoints, networks, sizes, spans of time.

One decision: a check names the place and says what was expected and what was found, so that one line is enough to
mend the file.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping

from sdcpd.errors import ConfigError

__all__ = ["ENDPOINT_HINT", "PLAIN_TCP", "database", "endpoint", "in_range", "network", "size", "span", "target"]

ENDPOINT = re.compile(r"(tcp|tcp6|unix|ssl|systemd):.+")
PLAIN_TCP = re.compile(r"tcp:.+|systemd:(?!(.*:)?domain=(?!INET(:|$))).+")
"""Of IPv4, by port or by a socket of systemd's."""
ENDPOINT_HINT = "Write it as tcp:PORT or tcp:PORT:interface=ADDRESS; docs/operations.md shows the other kinds."
_NO_INTERFACE = re.compile(r":interface=(?::|$)")
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
_SPANS = {"s": 1, "min": 60, "h": 3600, "d": 86400, "w": 604800}
_SPAN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(s|min|h|d|w)\s*")
_LARGEST = 2**63 - 1


def in_range(value: float, least: float, most: float, place: str) -> None:
    """A number within its range."""
    if not least <= value <= most:
        raise ConfigError(f"{place}: expected {least} to {most}, found {value}")


def endpoint(text: str, place: str, possible: re.Pattern[str] = ENDPOINT) -> None:
    """An endpoint string of Twisted's, of one of the possible kinds."""
    if not possible.fullmatch(text):
        raise ConfigError(
            f"{place}: expected an endpoint such as tcp:1883 or tcp:8080:interface=127.0.0.1, found {text!r}",
            ENDPOINT_HINT,
        )
    if _NO_INTERFACE.search(text):  # to Twisted that means every address, and to nobody who begins to name one
        raise ConfigError(
            f"{place}: expected an address after interface=, found {text!r}",
            "Name one of this machine's, or leave interface= out to listen on all of them.",
        )


def database(url: str, place: str) -> None:
    """A URL of PostgreSQL's, as far as can be seen; it is not told in the error, because it may have a password."""
    if not re.match(r"postgresql(\+psycopg)?://", url):
        raise ConfigError(
            f"{place}: expected a URL that begins with postgresql://, found another text",
            'Such as "postgresql://sdcpd@localhost/sdcpd"; "" keeps the journal in the state directory.',
        )


def network(text: str, place: str) -> None:
    """An address or a network."""
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ConfigError(f"{place}: expected an address or a network such as 192.168.1.0/24, found {text!r}") from None


def target(text: str, place: str) -> None:
    """Something to probe: an address, with or without a port, or a network."""
    host, colon, port = text.partition(":")
    try:
        if colon and not 0 < int(port) < 65536:
            raise ValueError(port)
        found = ipaddress.IPv4Network(host, strict=False)
    except ValueError:
        raise ConfigError(
            f"{place}: expected an IPv4 address, address:port or network such as 192.168.1.0/24, found {text!r}"
        ) from None
    if found.num_addresses > 4096:
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


def size(value: int | str, place: str) -> int:
    """Bytes, from a number or a text such as ``2GiB``."""
    found = _measure(value, _SIZE, _UNITS)
    if found is None:
        raise ConfigError(f'{place}: expected bytes or a size such as "2GiB", found {value!r}')
    return int(found)


def span(value: str, place: str) -> float:
    """Seconds, from a text such as ``30d``; 0 for the empty text."""
    found = 0.0 if value == "" else _measure(value, _SPAN, _SPANS)
    if found is None:
        raise ConfigError(f'{place}: expected a time such as "30d" or "12h", or "" for ever, found {value!r}')
    return found
