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
        """Each test that the table names exists, and says itself which statement it shows."""
        named = [(number, name) for number, _, shown in ROWS for name in re.findall(r"`(test_[\w.]+)`", shown)]
        self.assertGreater(len({name for _, name in named}), 100)
        found: dict[str, str] = {}
        for path in HERE.glob("test_*.py"):
            text = path.read_text(encoding="utf-8")
            for part in ast.walk(ast.parse(text)):
                if isinstance(part, ast.ClassDef):
                    whole = ast.get_source_segment(text, part) or ""
                    for inner in part.body:
                        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                            # Where a class is a table of cases the numbers stand in the table.
                            said = whole if part.name == "MalformedTests" else ast.get_source_segment(text, inner)
                            found[f"{path.stem}.{part.name}.{inner.name}"] = said or ""
        self.assertEqual({name for _, name in named} - set(found), set())
        self.assertEqual([(number, name) for number, name in named if f"[{number}]" not in found[name]], [])
