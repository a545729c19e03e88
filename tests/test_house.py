"""The rules of the house that no other tool checks."""

from __future__ import annotations

import ast
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

PACKAGE = Path(__file__).parents[1] / "sdcpd"


class HouseTests(SynchronousTestCase):
    def test_short(self) -> None:
        """Every module can be read in one sitting: 400 lines at most."""
        long = {path.name: lines for path in PACKAGE.rglob("*.py") if (lines := len(path.open().readlines())) > 400}
        self.assertEqual(long, {})

    def test_judged(self) -> None:
        """No way in starts or queues a file by itself: all go through the door where files are judged."""
        for path in PACKAGE.rglob("*.py"):
            for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(call, ast.Attribute) and call.attr in ("print", "enqueue") and path.name != "orders.py":
                    with self.subTest(module=str(path.relative_to(PACKAGE)), line=call.lineno):
                        self.assertNotIn("jobs", ast.unparse(call.value))

    def test_introduced(self) -> None:
        """Every module opens with what it is for, and with the one decision that it embodies."""
        for path in PACKAGE.rglob("*.py"):
            text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            with self.subTest(module=str(path.relative_to(PACKAGE))):
                self.assertTrue(text)
                if path.name != "__init__.py":
                    self.assertIn("decision", text)

    def test_types_before_threads(self) -> None:
        """What threads read at once has its decoder from the start: two that build one together crash msgspec."""
        for name in ("index.py", "journal/prints.py"):
            for call in ast.walk(ast.parse((PACKAGE / name).read_text(encoding="utf-8"))):
                if isinstance(call, ast.Call) and ast.unparse(call.func).startswith("msgspec."):
                    kinds = [ast.unparse(word.value) for word in call.keywords if word.arg == "type"]
                    with self.subTest(module=name, line=call.lineno):
                        self.assertEqual([kind for kind in kinds if kind.isidentifier()], [])
