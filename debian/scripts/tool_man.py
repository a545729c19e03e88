"""Manual pages with what the programs themselves tell: ``tool_man.py PACKAGES PAGE`` fills @LISTS@ in PAGE.

One decision: the simulator's options, verbs and profiles are listed by its code, so its pages cannot fall behind.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path


def roff(text: str) -> str:
    """The text, with what roff would take for orders of its own written so that it does not."""
    return text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq")


def options() -> str:
    """The options of the simulator."""
    found = import_module("sdcpd.simulator.tap").Options
    rows = [(f"--{name}", "value", default, text) for name, _, default, text, *_ in found.optParameters]
    rows.append(("--printer", "PROFILE[:name]", None, found.opt_printer.__doc__.rstrip(".")))
    rows += [(f"--{name}", "", None, text) for name, _, text in found.optFlags]
    lines = []
    for name, value, default, text in sorted(rows):
        shown = f" [{default:,}]".replace(",", "") if isinstance(default, int | float) and default else ""
        shown = shown or (f" [{default}]" if default else "")
        lines += [".TP", rf"\fB{roff(name)}\fR \fI{roff(value)}\fR".removesuffix(r" \fI\fR"), roff(text + shown + ".")]
    return "\n".join(lines)


def verbs() -> str:
    """What the control client can say."""
    found = import_module("sdcpd.simulator.verbs").VERBS
    rows = [(name, verb.args, verb.help) for name, verb in found.items()]
    return "\n".join(
        f".TP\n\\fB{roff(name)}\\fR {roff(args)}\n{roff(text[:1].upper() + text[1:])}." for name, args, text in rows
    )


def profiles() -> str:
    """The machines that can be simulated."""
    found = import_module("sdcpd.simulator.profiles").PROFILES
    return "\n".join(
        f".TP\n.B {roff(name)}\n{roff(one.machine)}, firmware {roff(one.firmware)}, {one.resolution_text} pixels."
        for name, one in found.items()
    )


def main(packages: str, page: Path) -> None:
    """Write the page."""
    sys.path.append(packages)
    text = page.read_text(encoding="utf-8")
    for mark, made in (("@OPTIONS@", options), ("@VERBS@", verbs), ("@PROFILES@", profiles)):
        if mark in text:
            text = text.replace(mark, made())
    sys.stdout.write(text)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
