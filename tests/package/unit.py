"""The service's unit file, read as systemd reads it.

One decision: a value is what the last assignment leaves of it, an empty one begins anew, and nothing is guessed: who
asks for a setting that the file does not have gets an empty list.
"""

from __future__ import annotations

import shlex
from pathlib import Path

__all__ = ["UNIT", "Unit"]

UNIT = Path(__file__).resolve().parents[2] / "debian" / "sdcpd.service"


class Unit:
    """One unit file; ``unit["Service", "User"]`` are all values of a setting, in their order."""

    def __init__(self, path: Path = UNIT) -> None:
        self._values: dict[tuple[str, str], list[str]] = {}
        section = ""
        for line in path.read_text("utf-8").replace("\\\n", " ").splitlines():
            line = line.strip()
            if not line or line[0] in "#;":
                continue
            if line[0] == "[":
                section = line.strip("[]")
                continue
            key, _, value = line.partition("=")
            values = self._values.setdefault((section, key.strip()), [])
            if value.strip():
                values.append(value.strip())
            else:
                values.clear()

    def __getitem__(self, place: tuple[str, str]) -> list[str]:
        return list(self._values.get(place, []))

    def settings(self, section: str) -> set[str]:
        """The names of all settings of a section."""
        return {key for place, key in self._values if place == section}

    def service(self, key: str) -> str:
        """The last value of a setting of ``[Service]``; empty if there is none."""
        found = self["Service", key]
        return found[-1] if found else ""

    def yes(self, key: str) -> bool:
        """Whether a setting of ``[Service]`` is on."""
        return self.service(key).casefold() in ("yes", "true", "on", "1")

    @property
    def command(self) -> list[str]:
        """``ExecStart``, as words."""
        return shlex.split(self.service("ExecStart"))

    @property
    def environment(self) -> dict[str, str]:
        """What ``Environment`` sets."""
        words = [word for value in self["Service", "Environment"] for word in shlex.split(value)]
        return dict(word.split("=", 1) for word in words)
