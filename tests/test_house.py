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

    def test_introduced(self) -> None:
        """Every module opens with what it is for, and with the one decision that it embodies."""
        for path in PACKAGE.rglob("*.py"):
            text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            with self.subTest(module=str(path.relative_to(PACKAGE))):
                self.assertTrue(text)
                if path.name != "__init__.py":
                    self.assertIn("decision", text)
