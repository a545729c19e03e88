from __future__ import annotations

from contextlib import redirect_stdout
from importlib.metadata import version
from io import StringIO
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from sdcpd.options import Options


def options(*words: str) -> Options:
    found = Options()
    found.parseOptions(list(words))
    return found


class OptionsTests(SynchronousTestCase):
    def test_default(self) -> None:
        """Without a file every key has its default."""
        if not Path("/etc/sdcpd/sdcpd.toml").exists():
            self.assertEqual(options().load().mqtt.listen, "tcp:1883")

    def test_file(self) -> None:
        """The file that is named is read anew each time."""
        path = Path(self.mktemp())
        path.write_text('[mqtt]\nlisten = "tcp:1884"\n')
        found = options("--config", str(path))
        self.assertEqual(found.load().mqtt.listen, "tcp:1884")
        path.write_text('[mqtt]\nlisten = "tcp:1885"\n')
        self.assertEqual(found.load().mqtt.listen, "tcp:1885")

    def test_version(self) -> None:
        """``--version`` tells the version of sdcpd, not Twisted's."""
        said = StringIO()
        with redirect_stdout(said):
            end = self.assertRaises(SystemExit, options, "--version")
        self.assertEqual((end.code, said.getvalue()), (0, f"sdcpd {version('sdcpd')}\n"))

    def test_unknown(self) -> None:
        """An unknown option ends with one line that says where help is."""
        error = self.assertRaises(SystemExit, options, "--colour")
        self.assertIn("--help", str(error.code))
        self.assertNotIn("\n", str(error.code))

    def test_surplus(self) -> None:
        """A word too many ends with one line of whole sentences."""
        error = self.assertRaises(SystemExit, options, "sdcpd.toml")
        self.assertEqual(error.code, "sdcpd: Wrong number of arguments. Try: twistd sdcpd --help")
