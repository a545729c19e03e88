"""docs/mqtt-conformance.md: complete, and true."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

HERE = Path(__file__).parent
ROWS = re.findall(
    r"^\| (MQTT-[\d.]+-\d+|MQTT-[\d-]+\.\d+-\d+) \| (.+?) \| (.+?) \|$",
    (HERE.parents[1] / "docs" / "mqtt-conformance.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)


class ConformanceTests(SynchronousTestCase):
    def test_complete(self) -> None:
        """Every normative statement of the standard is in the table once: 141 of them."""
        numbers = [number for number, _, _ in ROWS]
        self.assertEqual(len(numbers), len(set(numbers)))
        self.assertEqual(len(numbers), 141)

    def test_shown(self) -> None:
        """Each test that the table names exists."""
        named = {name for _, _, shown in ROWS for name in re.findall(r"`(test_[\w.]+)`", shown)}
        self.assertGreater(len(named), 100)
        found: set[str] = set()
        for path in HERE.glob("test_*.py"):
            for part in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(part, ast.ClassDef):
                    found |= {f"{path.stem}.{part.name}.{f.name}" for f in part.body if hasattr(f, "name")}
        self.assertEqual(named - found, set())
