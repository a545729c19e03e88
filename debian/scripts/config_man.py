"""The manual page sdcpd.toml(5), made of the shipped configuration: its sections, keys, defaults and comments.

One decision: the configuration file is the only description of the keys, so the page says what the file says, and a key
whose comment is missing ends the build.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

HEAD = r"""\" Made of etc/sdcpd/sdcpd.toml; change that.
.TH SDCPD.TOML 5 "" sdcpd "File formats"
.SH NAME
sdcpd.toml \- configuration of sdcpd, the hub for networked resin 3D printers
.SH SYNOPSIS
.I /etc/sdcpd/sdcpd.toml
.SH DESCRIPTION
The file is in TOML, see
.UR https://toml.io
.UE .
Each key is shown with its default, or in an example.
"""
TAIL = r""".SH FILES
.TP
.I /etc/sdcpd/sdcpd.toml
The configuration. An upgrade asks before it replaces a changed one, and leaves it as it is by default.
.SH SEE ALSO
.BR sdcpd (8),
.BR sdcp-key (1),
.I /usr/share/doc/sdcpd/docs/operations.md
"""


class Undescribed(Exception):
    """A key without a comment."""


def roff(text: str) -> str:
    """The text, with what roff would take for an order of its own written so that it does not."""
    text = (
        text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq").replace("^", r"\(ha").replace("~", r"\(ti")
    )
    return re.sub(r"^(?=[.'])", r"\\&", text, flags=re.MULTILINE)


def page(toml: str) -> str:
    """The manual page in roff. Raises ``Undescribed``."""
    out = [HEAD]
    comments: list[str] = []
    example = False
    for line in toml.splitlines():
        if not line.startswith("#"):
            example = False
        elif re.match(r"# \[", line):
            example = True
        if example:
            line = line[1:].removeprefix(" ")
        if match := re.match(r"#\s?(.*)", line):
            comments.append(roff(match[1]) or ".PP")
        elif match := re.match(r"\[+([^\]]+)\]+", line):
            out += [f'.SH "SECTION {roff(line)}"', *([".RI ( example )", ".PP"] if example else []), *comments]
            comments = []
        elif match := re.match(r"([a-z_0-9]+) = (.*)", line):
            if not comments:
                raise Undescribed(f"{match[1]} has no comment above it")
            out += [".TP", rf"\fB{match[1]}\fR = {roff(match[2])}", *comments]
            comments = []
        elif comments:  # a paragraph that ends without a key: about the whole, or about the section that begins here
            out += [".PP", *comments] if len(out) > 1 else comments
            comments = []
    out.append(TAIL)
    return "\n".join(out).replace("\n\n", "\n")


if __name__ == "__main__":
    sys.stdout.write(page(Path(sys.argv[1]).read_text(encoding="utf-8")))
