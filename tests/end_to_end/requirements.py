"""Programs that some tests need beside Python.

One decision: a missing program skips its tests and says so, except where SDCPD_REQUIRE_ALL is set (as ``.ci/run``
does): there everything was installed, and a skip would hide a missing step.
"""

from __future__ import annotations

import os
import shutil

import pytest

__all__ = ["needs"]


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skip unless these programs are there (or everything is required)."""
    missing = [program for program in programs if shutil.which(program) is None]
    wanted = bool(missing) and not os.environ.get("SDCPD_REQUIRE_ALL")
    return pytest.mark.skipif(wanted, reason=f"not installed: {', '.join(missing)}")
