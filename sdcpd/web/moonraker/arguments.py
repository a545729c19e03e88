"""What is asked for: the same names whether they came in the query, in a JSON body, in a form or by JSON-RPC.

One decision: one mapping of names to values, read once. Texts become numbers and truths here, so a handler cannot
tell how it was asked, and what is missing is refused in the real server's words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from sdcpd.web.moonraker.form import no
from sdcpd.web.site import Request

__all__ = ["Arguments", "arguments_of"]

_OURS = frozenset({"apikey", "token", "access_token"})
_NO = frozenset({"", "0", "false", "no", "off", "none", "null"})


class Arguments:
    """Named values; those of access keys are not among them."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = {name: value for name, value in values.items() if name not in _OURS}

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def get(self, name: str) -> Any:
        """The value as it came; None if there is none."""
        return self._values.get(name)

    def text(self, name: str, default: str | None = None) -> str:
        """A text; without a default it is needed."""
        value = self._values.get(name)
        if value is None:
            if default is None:
                raise no(400, f"No data for argument: {name}")
            return default
        if isinstance(value, str):
            return value
        if isinstance(value, bool | int | float):
            return str(value)
        raise no(400, f"Unable to convert argument [{name}] to a string")

    def number(self, name: str, default: float, least: float, most: float) -> float:
        """A number, clamped to its range."""
        value = self._values.get(name)
        if value is None or value == "":
            return default
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            number = float("nan")
        if number != number:
            raise no(400, f"Unable to convert argument [{name}] to a number: {str(value)[:40]!r}")
        return max(least, min(most, number))

    def flag(self, name: str, default: bool = False) -> bool:
        """Whether it is true; an empty text is not."""
        value = self._values.get(name)
        if value is None:
            return default
        return value.casefold() not in _NO if isinstance(value, str) else bool(value)


def arguments_of(request: Request, parts: Mapping[str, str], *, body: bool) -> Arguments:
    """The arguments of one HTTP request: the path's win over the body's, and those over the query's."""
    # Twisted's own ``args`` leave out names without a value, and those are how objects are asked for.
    _, _, query = request.uri.partition(b"?")
    found: dict[str, Any] = dict(_pairs(query))
    if body and not request.streamed:
        found.update(_body(request))
    return Arguments({**found, **parts})


def _pairs(text: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=200)
    except ValueError as error:
        raise no(400, "Too many arguments") from error


def _body(request: Request) -> dict[str, Any]:
    raw = request.content.read()
    kind = (request.getHeader(b"content-type") or b"").partition(b";")[0].strip().lower()
    if not raw.strip():
        return {}
    if kind == b"application/x-www-form-urlencoded":
        return dict(_pairs(raw.strip()))
    if kind == b"application/json" or not kind:
        try:
            found = msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise no(400, f"Error parsing JSON: {error}") from error
        if isinstance(found, dict):
            return found
        raise no(400, "The JSON body has to be an object")
    raise no(415, f"Expected a JSON or a form body, found {kind[:60].decode('ascii', 'replace')!r}")
