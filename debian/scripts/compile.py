"""Compile all modules of the virtual environment VENV for their place in the package, others' without docstrings.

One decision: the docstrings of other people's modules are left out of what is loaded, as ``python -OO`` would, for they
are a sixteenth of an idle daemon and nobody asks a daemon for them. Everything else stays: the asserts, the numbers of
lines, the text in the ``.py`` file beside it, and sdcpd's own docstrings, which its API document shows.
"""

from __future__ import annotations

import ast
import importlib.util
import marshal
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

OURS = ("sdcpd/", "twisted/plugins/sdcp")
SHOWN = ("opt_",)
"""Functions whose docstring is what a program says to its user: an option of ``twistd`` in ``--help``."""


def without_docstrings(tree: ast.Module) -> ast.Module:
    """The module without its docstrings; the tree itself is changed."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if ast.get_docstring(node, clean=False) is None or getattr(node, "name", "").startswith(SHOWN):
            continue
        said = node.body.pop(0)
        if not node.body and not isinstance(node, ast.Module):
            node.body.append(ast.copy_location(ast.Pass(), said))
    return tree


def compiled(source: bytes, name: str, *, docstrings: bool) -> bytes:
    """A ``.pyc`` that is not judged by times: the package changes them, and an upgrade replaces both. See PEP 552."""
    tree = ast.parse(source, name)
    code = compile(tree if docstrings else without_docstrings(tree), name, "exec", dont_inherit=True, optimize=0)
    flags = (0b01).to_bytes(4, "little")  # hash-based, never checked
    return importlib.util.MAGIC_NUMBER + flags + importlib.util.source_hash(source) + marshal.dumps(code)


def compile_file(packages: Path, place: Path, module: Path) -> None:
    """Compile a file below ``packages`` that will be below ``place``."""
    inside = str(module.relative_to(packages))
    cache = Path(importlib.util.cache_from_source(module))
    cache.parent.mkdir(exist_ok=True)
    cache.write_bytes(compiled(module.read_bytes(), str(place / inside), docstrings=inside.startswith(OURS)))


def main(venv: Path) -> None:
    """Compile all of them."""
    [packages] = venv.glob("lib/python3.*/site-packages")
    place = Path("/usr/lib/sdcpd", packages.relative_to(venv))
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for _ in pool.map(partial(compile_file, packages, place), sorted(packages.rglob("*.py")), chunksize=16):
            pass


if __name__ == "__main__":
    main(Path(sys.argv[1]))
