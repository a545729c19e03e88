"""What goes into the package's virtual environment: requirements.lock, and two packages of requirements-dev.lock.

One decision: there is no third lock file. setuptools builds sdcpd itself and is taken out again; psycopg is for those
who keep the journal in PostgreSQL, without its binary part: that is Debian's libpq5, with its security updates.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

BESIDES = ("psycopg", "setuptools")


def entries(lock: str) -> dict[str, str]:
    """Each entry of a lock file, with its hashes, by the name and the version that it pins."""
    found: dict[str, str] = {}
    pin = ""
    for line in lock.splitlines(keepends=True):
        if line.startswith("#"):
            continue
        if match := re.match(r"([A-Za-z0-9._-]+)(\[[^\]]*\])?(==[^\s;\\]+.*\n)", line):
            pin = match[1] + match[3].split()[0]
            line = match[1] + match[3]
        found[pin] = found.get(pin, "") + line
    return found


def main(runtime: Path, development: Path) -> None:
    """Write the requirements to standard output."""
    sys.stdout.writelines(entries(runtime.read_text(encoding="utf-8")).values())
    more = entries(development.read_text(encoding="utf-8"))
    for name in BESIDES:
        [entry] = [entry for pin, entry in more.items() if pin.startswith(f"{name}==")]
        sys.stdout.write(entry)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
