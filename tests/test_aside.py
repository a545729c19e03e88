"""Where damaged files are kept."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from sdcpd.aside import aside


class AsideTests(SynchronousTestCase):
    """Names that nothing has yet."""

    def test_free(self) -> None:
        """Each damaged file gets a place of its own, the first that is free; a folder takes one, too."""
        path = Path(self.mktemp())
        self.assertEqual(aside(path).name, f"{path.name}.damaged-1")
        aside(path).write_bytes(b"")
        aside(path).mkdir()
        self.assertEqual(aside(path), path.with_name(f"{path.name}.damaged-3"))
