"""Whether ``.ci/run`` installs what the tests need."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parents[2]
THERE = {"bash", "tar"}
"""On every Debian."""
WITH = {"psql": "postgresql"}


class RequirementsTests(SynchronousTestCase):
    def test_installed(self) -> None:
        """On a machine with nothing on it, no test fails because its program was forgotten."""
        source = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "tests").rglob("test_*.py")))
        found = re.findall(r"needs\(((?:\"[\w-]+\"(?:, )?)+)\)", source)
        needed = {WITH.get(name, name) for names in found for name in re.findall(r"[\w-]+", names)} - THERE
        script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
        self.assertGreater(len(needed), 5)
        self.assertEqual({name for name in needed if not re.search(rf"\b{name}\b", script)}, set())
