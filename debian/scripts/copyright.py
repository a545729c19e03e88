"""debian/copyright, made of what the Python packages in the virtual environment say of themselves.

``copyright.py VENV`` writes it to standard output; ``copyright.py --check FILE VENV`` fails if FILE is not that.

One decision: nothing about other people's work is typed by hand. Names, licences, notices and licence texts come from
the wheels' metadata, licence files and bills of materials, so a new lock file with new packages cannot pass unnoticed;
the tables are for what a wheel says in words that no program reads.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterator
from email.message import Message
from email.parser import HeaderParser
from itertools import takewhile
from pathlib import Path

PREFIX = "usr/lib/sdcpd/lib/python3*/site-packages"
HEAD = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: sdcpd
Comment:
 The paragraphs about usr/lib/sdcpd are made by debian/scripts/copyright.py, which the build runs again: they tell of
 the Python packages that come inside the binary package. Their licence files are installed word for word, too, in
 /usr/lib/sdcpd/lib/python3*/site-packages/*.dist-info.

Files: *
Copyright: 2026 the sdcpd authors
License: Expat
"""
BUILD_ONLY = {"pip", "sdcpd", "setuptools", "wheel"}
"""Distributions of the virtual environment that are ours, or that are taken out again."""
CRATES_OF_THE_BUILD = re.compile(
    "cc|find-msvc-tools|heck|pkg-config|vcpkg|shlex|target-lexicon|proc-macro2|quote|syn|unicode-ident|.*[-_](macros|derive|build-config).*"
)
"""Rust crates that ran while a library was compiled (build scripts, procedural macros), and are not in it."""
WORDS = {
    "MIT": "Expat",
    "MIT License": "Expat",
    "Apache Software License": "Apache-2.0",
    "LGPL-2.1-or-later": "LGPL-2.1+",
    "LGPL-3.0-only": "LGPL-3",
    "GPL-3.0-or-later WITH GCC-exception-3.1": "GPL-3+ with GCC exception",
}
"""What the metadata calls a licence, and Debian's short name."""
CHOSEN = {"BSD-3-Clause or EPL-2.0": "BSD-3-Clause", "Apache-2.0 or GPL-2.0-only": "Apache-2.0"}
"""Offers of which one is taken."""
SPOKEN = {
    "openssl": "The OpenSSL Project Authors",
    "GCC runtime library": "Free Software Foundation, Inc.",
    "libquadmath": "Free Software Foundation, Inc.",
}
"""Who has the copyright where neither a bill of materials nor a licence file says so."""
COMMON = {"Apache-2.0": "Apache-2.0", "LGPL-2.1+": "LGPL-2.1", "LGPL-3": "LGPL-3", "CC0-1.0": "CC0-1.0"}
"""Licences whose text Debian installs once for all."""
TEXTS = {
    "0BSD": ("numpy", "pythoncapi-compat/COPYING"),
    "BSD-2-Clause": ("packaging", "LICENSE.BSD"),
    "BSD-3-Clause": ("cryptography", "LICENSE.BSD"),
    "Expat": ("attrs", "LICENSE"),
    "MIT-0": ("cffi", "LICENSE"),
    "PSF-2.0": ("typing_extensions", "LICENSE"),
    "ZPL-2.1": ("zope.interface", "LICENSE.txt"),
    "Zlib": ("numpy", "libdivide/LICENSE.txt"),
}
"""Where the others' texts are: a distribution, and the end of a path in it."""


class Unclear(Exception):
    """A package about which the metadata does not say enough."""


def short(expression: str) -> str:
    """An SPDX expression, or the word of a classifier, in Debian's short names."""
    names = [WORDS.get(name, name) for name in re.split(r" (?:OR|AND) ", expression.strip("()"))]
    joined = " or ".join(sorted(names)) if " OR " in expression else " and ".join(names)
    return CHOSEN.get(joined, joined)


def notices(text: str) -> list[str]:
    """The copyright lines of a licence file, each with the names that follow it."""
    found: list[str] = []
    lines = iter(text.splitlines())
    for line in lines:
        if match := re.match(
            r"\W*copyright[\s:]+(\(c\)|©)?[\s:]*(.*(\d{4}|contributor|author).*)", line, re.IGNORECASE
        ):
            first = re.sub(r"[ ,.]*\bAll\b( rights.*)?$", "", match[2].strip(" *")).strip(" .,:")
            if re.search(
                r"license|free software foundation|\bcopyright\b|python software|yyyy|<year>", first, re.IGNORECASE
            ):
                continue
            more = takewhile(str.strip, lines) if re.search(r"(\d{4}|&|,)$", match[2].strip()) else ()
            names = [name.strip(" .,") for name in more if "rights reserved" not in name.lower()]
            found.append(" ".join([first, ", ".join(names)]).strip() if names else first)
    return list(dict.fromkeys(found))


class Wheel:
    """One installed distribution."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.metadata: Message = HeaderParser().parsestr((directory / "METADATA").read_text(encoding="utf-8"))
        self.name: str = self.metadata["Name"]
        wanted = re.compile(r"licen[sc]e|copying|notice|copyright", re.IGNORECASE)
        files = (path for path in sorted(directory.rglob("*")) if path.is_file() and "sboms" not in path.parts)
        self.texts = {
            str(p.relative_to(directory)): p.read_text(encoding="utf-8") for p in files if wanted.search(p.name)
        }

    @property
    def license(self) -> str:
        """Its licence in Debian's short names. Raises ``Unclear``."""
        classifiers = [
            c for c in self.metadata.get_all("Classifier", []) if c.startswith("License :: OSI Approved :: ")
        ]
        said = self.metadata["License-Expression"] or (classifiers and classifiers[0].split(" :: ")[2])
        said = said or self.metadata["License"]
        if not said or len(said) > 60:
            raise Unclear(f"{self.name} does not say its licence")
        return short(said)

    @property
    def holders(self) -> list[str]:
        """Who has the copyright, as the licence files say; else the authors. Raises ``Unclear``."""
        found = [notice for text in self.texts.values() for notice in notices(text)]
        if not found:
            said = next(filter(None, map(self.metadata.get, ("Author", "Author-email", "Maintainer"))), None)
            if said is None:
                raise Unclear(f"{self.name} does not say whose it is")
            found = [re.sub(r" <[^>]*>", "", said)]
        return list(dict.fromkeys(found))

    @property
    def files(self) -> list[str]:
        """What it installs, as patterns below ``PREFIX``."""
        with (self.directory / "RECORD").open(newline="", encoding="utf-8") as record:
            tops = {Path(row[0]).parts[0] for row in csv.reader(record)}
        places = sorted(tops - {"..", "__pycache__", "numpy.libs"})
        plain = [top if (self.directory.parent / top).is_file() else f"{top}/*" for top in places]
        return [
            re.sub(r"\.cpython-[^/]*\.so$", ".*.so", re.sub(r"-[^-/]*\.dist-info/", "-*.dist-info/", top))
            for top in plain
        ]

    @property
    def homepage(self) -> str:
        """Where it comes from."""
        urls = dict(url.lower().split(", ", 1) for url in self.metadata.get_all("Project-URL", []))
        found = next(
            (
                urls[label]
                for label in ("homepage", "home", "source", "source code", "repository", "github")
                if label in urls
            ),
            None,
        )
        return str(self.metadata["Home-page"] or found or f"https://pypi.org/project/{self.name}/")

    def paragraphs(self) -> Iterator[str]:
        """What debian/copyright says of it, and of what it brings along."""
        yield paragraph(self.files, self.holders, self.license, f"{self.name}, {self.homepage}")
        yield from self._bundled_libraries()
        yield from self._bundled_components()

    def _bundled_libraries(self) -> Iterator[str]:
        """Libraries that a licence file lists in paragraphs of its own, as NumPy's does."""
        libraries = [found for text in self.texts.values() for found in _LIBRARY.findall(text)]
        for pattern in dict.fromkeys(pattern for _, pattern, _, _ in libraries):
            here = [found for found in libraries if found[1] == pattern]
            holders = [who for name, _, _, said in here for who in (notices(said) or [SPOKEN[name]])]
            licenses = " and ".join(short(license) for _, _, license, _ in here)
            names = " with ".join(name for name, _, _, _ in here)
            yield paragraph([pattern.replace(".so", ".so*")], holders, licenses, f"{names}, inside of {self.name}")

    def _bundled_components(self) -> Iterator[str]:
        """What is linked into its machine code, by the bills of materials."""
        licenses: list[str] = []
        holders: list[str] = []
        for path in sorted(self.directory.glob("sboms/*.json")):
            for component in json.loads(path.read_bytes()).get("components", []):
                name = component["name"]
                if CRATES_OF_THE_BUILD.fullmatch(name):
                    continue
                author = component.get("author") or SPOKEN.get(name, f"the {name} authors")
                holders.append(f"{re.sub(r' <[^>]*>', '', author)} ({name})")
                licenses.append(
                    short(component["licenses"][0]["expression"]) if "licenses" in component else "Apache-2.0"
                )
        if holders:
            sums = ", and ".join(sorted(set(licenses)))
            yield paragraph([f"{self.name}/hazmat/bindings/*.so"], holders, sums, f"libraries linked into {self.name}")


_LIBRARY = re.compile(
    r"^Name: (.+)\nFiles: (\S+)\nDescription: .+\nAvailability: .+\nLicense: (.+)\n((?:.*\n)*?)(?=^Name: |\Z)",
    re.MULTILINE,
)


def paragraph(files: list[str], holders: list[str], license: str, comment: str) -> str:
    """One paragraph about files."""
    places = [f"{PREFIX}/{pattern}" for pattern in files]
    fields = {"Files": _lines(places), "Copyright": _lines(holders), "License": license, "Comment": comment}
    return "".join(f"{name}: {value}\n" for name, value in fields.items())


def _lines(texts: list[str]) -> str:
    return "\n ".join(texts)


def body(text: str) -> str:
    """A licence's text as the field of a paragraph: without the notices above it, blank lines as dots."""
    lines = text.expandtabs().splitlines()
    while lines and not re.search(
        r"redistribution|permission|permitted|zope public|software is provided|history of", lines[0], re.IGNORECASE
    ):
        lines.pop(0)
    return "\n".join(f" {line.rstrip()}" if line.strip() else " ." for line in lines).removesuffix("\n .")


def standalone(name: str, wheels: dict[str, Wheel]) -> str:
    """The paragraph with a licence's text. Raises ``Unclear``."""
    if name in COMMON:
        text = f" On Debian systems the text is in /usr/share/common-licenses/{COMMON[name]}."
    elif name in TEXTS:
        wheel, end = TEXTS[name]
        text = body(next(text for path, text in wheels[wheel].texts.items() if path.endswith(end)))
    else:
        whole = wheels["numpy"].texts["licenses/LICENSE.txt"]
        said = {short(license): text for _, _, license, text in _LIBRARY.findall(whole)}
        if name not in said:
            raise Unclear(f"the text of the licence {name} is nowhere")
        text = said[name]
        if name.startswith("GPL-3+"):
            exception = text[text.index("GCC RUNTIME LIBRARY EXCEPTION") : text.index("GNU GENERAL PUBLIC LICENSE")]
            text = (
                " On Debian systems the text is in /usr/share/common-licenses/GPL-3. The exception:\n .\n"
                + "\n".join(
                    f" {line.strip()}" if line.strip() else " ." for line in exception.rstrip("- \n").splitlines()
                )
            )
        else:
            text = body(text)
    return f"License: {name}\n{text}\n"


def document(packages: Path) -> str:
    """debian/copyright for the packages installed in this directory. Raises ``Unclear``."""
    found = (Wheel(directory) for directory in packages.glob("*.dist-info"))
    wheels = {
        wheel.name: wheel for wheel in sorted(found, key=lambda w: w.name.lower()) if wheel.name not in BUILD_ONLY
    }
    parts = [HEAD, *(text for wheel in wheels.values() for text in wheel.paragraphs())]
    names = {
        name
        for line in re.findall(r"^License: (.*)", "\n".join(parts), re.MULTILINE)
        for name in re.split(r",? (?:and|or) ", line)
    }
    return "\n".join([*parts, *(standalone(name, wheels) for name in sorted(names))])


def main(arguments: list[str]) -> int:
    """Write it, or check it; the exit status."""
    [packages] = Path(arguments[-1]).glob("lib/python3*/site-packages")
    try:
        made = document(packages)
    except Unclear as error:
        print(f"copyright.py: {error}. Look into the wheel, and say it in this script's tables.", file=sys.stderr)
        return 1
    if arguments[0] != "--check":
        sys.stdout.write(made)
    elif Path(arguments[1]).read_text(encoding="utf-8") != made:
        new = Path("debian/generated/copyright")
        new.write_text(made, encoding="utf-8")
        print(
            f"{arguments[1]} does not tell of what is in the package. Read {new}, and copy it there.", file=sys.stderr
        )
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
