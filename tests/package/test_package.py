"""What the Debian package says about the program, held against the program itself."""

from __future__ import annotations

import argparse
import importlib.util
import marshal
import re
import shutil
import subprocess
import tomllib
import traceback
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

from twisted.python.usage import Options as UsageOptions
from twisted.trial.unittest import SynchronousTestCase

from sdcpd import info, keytool
from sdcpd.options import Options
from sdcpd.simulator.tap import Options as SimulatorOptions
from sdcpd.simulator.verbs import VERBS

ROOT = Path(__file__).parents[2]
DEBIAN = ROOT / "debian"
CONFIG = (ROOT / "etc/sdcpd/sdcpd.toml").read_text(encoding="utf-8")


def text(name: str) -> str:
    """A file below debian/."""
    return (DEBIAN / name).read_text(encoding="utf-8")


def script(name: str) -> ModuleType:
    """A script of the build, as a module."""
    spec = importlib.util.spec_from_file_location(f"debian_{name}", DEBIAN / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def plain(roff: str) -> str:
    """A manual page's text without the marks that matter here."""
    return re.sub(r"\\f[BIRP]", "", roff).replace(r"\-", "-").replace(r"\(aq", "'")


def flags(parser: argparse.ArgumentParser) -> set[str]:
    """All options of a command line, and of its commands."""
    found: set[str] = set()
    for action in parser._actions:
        found.update(action.option_strings)
        if isinstance(action, argparse._SubParsersAction):
            found.update(action.choices)
            for verb in action.choices.values():
                found |= flags(verb)
    return found


def twisted_flags(options: UsageOptions) -> set[str]:
    """All long options of a twistd plugin."""
    return {f"--{name.rstrip('=')}" for name in options.longOpt}


class VersionTests(SynchronousTestCase):
    def test_changelog(self) -> None:
        """The package has the version of the program: 0.1.0.dev3 is 0.1.0~dev3, which sorts before 0.1.0."""
        [program] = re.findall(r'version="([^"]+)"', (ROOT / "setup.py").read_text(encoding="utf-8"))
        [package] = re.findall(r"\Asdcpd \(([^)]+)\)", text("changelog"))
        self.assertEqual(package, re.sub(r"\.?(dev|a|b|rc)(?=\d)", r"~\1", program))

    def test_head(self) -> None:
        """Whoever reads the changelog finds the version that is installed at its head, and the day of the package."""
        [program] = re.findall(r'version="([^"]+)"', (ROOT / "setup.py").read_text(encoding="utf-8"))
        [told] = re.findall(r"\A# .*?^## ([^\n]+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.S | re.M)
        signed = parsedate_to_datetime(re.findall(r"^ -- .*>  (.+)$", text("changelog"), re.MULTILINE)[0])
        self.assertEqual(told, f"{program} ({signed:%Y-%m-%d})")
        self.assertRegex(text("changelog"), r"\Asdcpd \([^)]+\) bookworm;")


class CopyrightTests(SynchronousTestCase):
    def test_lists_what_is_inside(self) -> None:
        """Whoever asks whose work is in the package finds every Python package that it brings."""

        def normal(name: str) -> str:
            return re.sub(r"[-_.]+", "-", name).lower()

        lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
        inside = {normal(name) for name in re.findall(r"^([A-Za-z0-9._-]+)==", lock, re.MULTILINE)} | {"psycopg"}
        told = {normal(name) for name in re.findall(r"^Comment: ([^ ,]+), http", text("copyright"), re.MULTILINE)}
        self.assertEqual(told, inside)

    def test_texts(self) -> None:
        """Every licence that is named is also there, as text or by its place on a Debian system."""
        said = text("copyright")
        named = {
            name
            for line in re.findall(r"^License: (.+)", said, re.MULTILINE)
            for name in re.split(r",? (?:and|or) ", line)
        }
        there = set(re.findall(r"^\nLicense: (.+)\n ", said, re.MULTILINE))
        self.assertEqual(there, named)

    def test_notices(self) -> None:
        """The names after a notice belong to it; words that only look like a notice do not."""
        notices = script("copyright").notices
        self.assertEqual(
            notices("Copyright (c) 2001-2026\nAllen Short\nAmber Brown\n\nPermission"),
            ["2001-2026 Allen Short, Amber Brown"],
        )
        self.assertEqual(notices(" * Copyright 2019 K. Sheppard. All rights reserved."), ["2019 K. Sheppard"])
        self.assertEqual(notices("the above copyright notice\nCopyright [yyyy] [name of copyright owner]"), [])

    def test_expressions(self) -> None:
        """Licences have Debian's names, and of those that are offered together one may be chosen."""
        short = script("copyright").short
        self.assertEqual(short("MIT OR Apache-2.0"), "Apache-2.0 or Expat")
        self.assertEqual(short("BSD-3-Clause AND MIT"), "BSD-3-Clause and Expat")
        self.assertEqual(short("EPL-2.0 OR BSD-3-Clause"), "BSD-3-Clause")


class RequirementsTests(SynchronousTestCase):
    def test_everything_is_pinned(self) -> None:
        """What is fetched for the package is the lock file's, each with its hashes."""
        entries = script("requirements").entries
        lock = entries((ROOT / "requirements.lock").read_text(encoding="utf-8"))
        self.assertGreater(len(lock), 20)
        for pin, entry in lock.items():
            with self.subTest(pin=pin):
                self.assertIn("--hash=sha256:", entry)

    def test_extras(self) -> None:
        """psycopg comes without its binary part, and with its own hashes only."""
        entries = script("requirements").entries
        lock = "# made\npsycopg[binary]==3.3.9 \\\n    --hash=sha256:aa\n    # via x\n"
        lock += "psycopg-binary==3.3.9 ; a != 'b' \\\n    --hash=sha256:bb\n"
        found = entries(lock)
        self.assertEqual(list(found), ["psycopg==3.3.9", "psycopg-binary==3.3.9"])
        self.assertEqual(found["psycopg==3.3.9"], "psycopg==3.3.9 \\\n    --hash=sha256:aa\n    # via x\n")


class CompileTests(SynchronousTestCase):
    """What is loaded of others' modules, and of ours."""

    SOURCE = '''"""Module."""
from __future__ import annotations

def one(a: int) -> int:
    """Function."""
    assert a, "said"
    return a

class Two:
    """Class."""

    async def three(self) -> None:
        """Coroutine."""

    def opt_four(self) -> None:
        """Display it and exit."""

"no docstring"
'''

    def loaded(self, *, docstrings: bool) -> dict[str, Any]:
        """The module's names after an import of what was compiled."""
        compiled = script("compile").compiled(self.SOURCE.encode(), "/usr/lib/m.py", docstrings=docstrings)
        self.assertEqual(compiled[:8], importlib.util.MAGIC_NUMBER + b"\1\0\0\0")
        names: dict[str, Any] = {"__name__": "m"}
        exec(marshal.loads(compiled[16:]), names)
        return names

    def test_docstrings(self) -> None:
        """Docstrings of others take no memory, but for those that a program shows with its options."""
        names = self.loaded(docstrings=False)
        two = names["Two"]
        found = [thing.__doc__ for thing in (names["one"], two, two.three, two.opt_four)]
        self.assertEqual(found, [None, None, None, "Display it and exit."])
        self.assertIsNone(names.get("__doc__"))

    def test_rest(self) -> None:
        """Nothing else is lost: asserts, annotations, and the lines that a traceback names."""
        one = self.loaded(docstrings=False)["one"]
        self.assertEqual(one.__annotations__, {"a": "int", "return": "int"})
        error = self.assertRaises(AssertionError, one, 0)
        last = traceback.extract_tb(error.__traceback__)[-1]
        self.assertEqual((str(error), last.filename, last.lineno), ("said", "/usr/lib/m.py", 6))

    def test_ours(self) -> None:
        """sdcpd's own docstrings stay: its API document shows them."""
        names = self.loaded(docstrings=True)
        self.assertEqual([names["__doc__"], names["one"].__doc__], ["Module.", "Function."])


class ManualTests(SynchronousTestCase):
    def test_configuration(self) -> None:
        """sdcpd.toml(5) has every section and every key of the shipped configuration, each with its words."""
        page = plain(script("config_man").page(CONFIG))
        examples = "\n".join(re.findall(r"(?m)^# ([a-z_0-9]+ = .*|\[.*)", CONFIG))

        def keys(table: dict[str, Any]) -> set[str]:
            inner = [keys(v) for v in table.values() if isinstance(v, dict)]
            inner += [
                keys(entry) for v in table.values() if isinstance(v, list) for entry in v if isinstance(entry, dict)
            ]
            return set(table).union(*inner)

        wanted = (keys(tomllib.loads(CONFIG)) | keys(tomllib.loads(examples))) - {"loopback", "local"}
        self.assertGreater(len(wanted), 30)
        for key in wanted:
            with self.subTest(key=key):
                self.assertRegex(page, rf"(?m)^{key} = |SECTION \[+([a-z]+\.)?{key}[\].]")
        for line in re.findall(r"(?m)^#(?: #)? ([A-Z].*)", CONFIG):
            self.assertIn(line, page)

    def test_undescribed(self) -> None:
        """A key without words about it ends the build, not with a page that is silent about it."""
        module = script("config_man")
        with self.assertRaises(module.Undescribed):
            module.page('# The file.\n\n[web]\nlisten = "tcp:8080"\n')

    def test_orders_of_roff(self) -> None:
        """A comment that begins with a dot, or has a backslash, is shown as it is."""
        page = script("config_man").page("# About.\n\n# A\n# .goo files, C:\\x\nkey = 1\n")
        self.assertIn("A\n\\&.goo files, C:\\ex\n", page)

    def test_tools(self) -> None:
        """Every option and command of a tool is in its manual page and offered by the shell's completion."""
        completion = text("completion/sdcpd")
        for name, wanted in (
            ("sdcp-info.1", flags(info._parser())),
            ("sdcp-key.1", flags(keytool._parser())),
            ("sdcpd.8", twisted_flags(Options())),
        ):
            page = plain(text(f"man/{name}"))
            for word in wanted:
                with self.subTest(page=name, word=word):
                    self.assertIn(word, page)
                    if word not in ("-h", "--help-reactors"):
                        self.assertIn(word, completion)

    def test_simulator(self) -> None:
        """The simulator's pages have all of its options, verbs and profiles."""
        module = script("tool_man")
        options = plain(module.options())
        for word in twisted_flags(SimulatorOptions()) - {"--help", "--version"}:
            self.assertIn(f"\n{word}", f"\n{options}")
        self.assertEqual(plain(module.verbs()).count(".TP"), len(VERBS))
        for name in VERBS:
            self.assertIn(f"\n{name}", plain(module.verbs()))
        self.assertIn("ELEGOO Mars 4 Ultra", module.profiles())


class FirewallTests(SynchronousTestCase):
    def setUp(self) -> None:
        config = tomllib.loads(CONFIG)
        self.printers = {config[part]["listen"].split(":")[1] for part in ("mqtt", "downloads")}
        self.clients = {config["web"]["listen"][0].split(":")[1]}
        self.answers = {str(config["discovery"]["port"])}

    def test_ufw(self) -> None:
        """``ufw allow sdcpd`` opens the ports of the shipped configuration, and no others."""
        sections = dict(re.findall(r"\[(.+)\](?:\n.+)*?\nports=(.+)/tcp", text("ufw/sdcpd")))
        ports = {name: set(found.split(",")) for name, found in sections.items()}
        everything = self.printers | self.clients
        self.assertEqual(ports, {"sdcpd": everything, "sdcpd printers": self.printers, "sdcpd web": self.clients})

    def test_firewalld(self) -> None:
        """firewalld's service is the same ports, and the answers of printers."""
        service = ElementTree.fromstring(text("firewalld/sdcpd.xml"))
        self.assertEqual({port.get("port") for port in service.iter("port")}, self.printers | self.clients)
        self.assertEqual({port.get("port") for port in service.iter("source-port")}, self.answers)


class ScriptTests(SynchronousTestCase):
    def test_shell(self) -> None:
        """Every shell script of the package can be read by a plain shell, and shellcheck warns of nothing."""
        scripts = [
            path
            for path in sorted([*DEBIAN.rglob("*"), *(ROOT / "tests/package").glob("*")])
            if path.is_file() and path.read_bytes().startswith(b"#!/bin/sh")
        ]
        self.assertGreater(len(scripts), 4)
        for path in scripts:
            with self.subTest(script=str(path.relative_to(ROOT))):
                done = subprocess.run(["sh", "-n", str(path)], capture_output=True, text=True, check=False)
                self.assertEqual((done.returncode, done.stderr), (0, ""))
        if shutil.which("shellcheck"):
            done = subprocess.run(
                ["shellcheck", "--severity=warning", *map(str, scripts)], capture_output=True, text=True, check=False
            )
            self.assertEqual((done.returncode, done.stdout), (0, ""))

    def test_overrides_are_explained(self) -> None:
        """Every override of lintian has a comment above it, or stands below another that has."""
        lines = text("sdcpd.lintian-overrides").splitlines()
        for number, line in enumerate(lines):
            if not line.startswith("#"):
                above = lines[number - 1] if number else ""
                self.assertTrue(above.startswith(("# ", "sdcpd: ")), line)
