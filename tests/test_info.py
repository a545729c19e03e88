"""sdcp-info, as it is called: what it prints and writes, and how it ends."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import pty
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sdcpd.codec.ctb_encrypted import FINGERPRINT
from sdcpd.info import SHOWN, run
from sdcpd.sheets import SlicedDocument
from tests.codec.test_ctb_encrypted import KEY, encrypted_file
from tests.codec.vectors import patched, vector

PATIENCE = 60.0
"""Seconds after which a program is not waited for any more: far more than it needs."""
COMMAND = [sys.executable, "-c", "from sdcpd.info import main; main()"]
CHITUBOX = "mars4max-426-layers.goo"


class Terminal(io.StringIO):
    """Somewhere to draw a bar."""

    def isatty(self) -> bool:
        return True


def png(path: Path) -> tuple[int, int]:
    """Width and height of a PNG file."""
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", head[16:])
    return width, height


class InfoCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.out, self.err = io.StringIO(), io.StringIO()
        self.fingerprint = FINGERPRINT

    def file(self, data: bytes, name: str = "plate.goo") -> str:
        path = self.folder / name
        path.write_bytes(data)
        return str(path)

    def ask(self, *arguments: object, status: int = 0) -> str:
        """The output of one call, which ends with this status."""
        self.out, self.err = io.StringIO(), io.StringIO()
        found = run([str(word) for word in arguments], self.out, self.err, self.fingerprint)
        self.assertEqual(found, status, self.err.getvalue())
        return self.out.getvalue()

    def complaint(self, *arguments: object) -> str:
        """The one line of a call that fails."""
        self.ask(*arguments, status=1)
        line = self.err.getvalue()
        self.assertEqual((line.count("\n"), line[:11]), (1, "sdcp-info: "), line)
        return line

    def refused(self, *arguments: object) -> str:
        """What is said of a command line that is wrong."""
        with contextlib.redirect_stderr(io.StringIO()) as caught:
            error = self.assertRaises(SystemExit, run, [str(word) for word in arguments], self.out, self.err)
        self.assertEqual(error.code, 2)
        return caught.getvalue()

    def json(self, *arguments: object, status: int = 0) -> Any:
        return json.loads(self.ask("--json", *arguments, status=status))


class LinesTests(InfoCase):
    def test_goo(self) -> None:
        """Every fact stands in a line of its own, below each other, with its unit."""
        path = self.file(vector("tiny.goo"))
        self.assertEqual(
            self.ask(path).splitlines(),
            [
                path,
                "  Format                GOO 3.0",
                "  Size                  195,959 bytes",
                "  Machine               Test Printer 12px",
                "  Slicer                sdcpd test writer 1.0.0",
                "  Sliced                2026-01-02 03:04:05",
                "  Resolution            16 x 12 pixels",
                "  Build volume          0.8 x 0.6 x 100 mm",
                "  Pixel                 50.0 x 50.0 um",
                "  Layers                4",
                "  Layer height          0.05 mm",
                "  Height                0.2 mm",
                "  Exposure              2.5 s (bottom layers: 30 s)",
                "  Bottom layers         2",
                "  Transition layers     1",
                "  Lift                  4 mm at 70 mm/min, then 3.5 mm at 190 mm/min"
                " (bottom layers: 5 mm at 65 mm/min, then 3 mm at 180 mm/min)",
                "  Retract               5.5 mm at 160 mm/min, then 2 mm at 65 mm/min"
                " (bottom layers: 6 mm at 150 mm/min, then 2 mm at 60 mm/min)",
                "  Waits                 0.25 s before lift, 0.75 s after lift, 1.25 s after retract"
                " (bottom layers: 0.5 s before lift, 1 s after lift, 1.5 s after retract)",
                "  Light                 200 of 255 (bottom layers: 255 of 255)",
                "  Layers' own settings  no",
                "  Anti-aliasing         4",
                "  Mirrored              left to right",
                "  Print time            2 min 03 s",
                "  Resin                 1.4405 ml, 1.5845 g",
                "  Cost                  0.047535 $",
                "  Thumbnails            290 x 290 and 116 x 116 pixels",
            ],
        )

    def test_chitubox(self) -> None:
        """A file of a slicer on the market reads as a person would write it down."""
        shown = self.ask(self.file(vector(CHITUBOX)))
        for line in (
            "Slicer                CHITUBOX Basic v2.1.0\n",
            "Layers                426\n",
            "Print time            1 h 10 min 46 s\n",
            "Cost                  0.0475476 $\n",
        ):
            self.assertIn(line, shown)
        self.assertNotIn("Sliced", shown)  # it wrote no date

    def test_several(self) -> None:
        """Several files are shown one behind the other; a bad one among them does not keep the others away."""
        good = self.file(vector("tiny.goo"))
        bad = self.file(b"PK\x03\x04" + bytes(100), "b.goo")
        other = self.file(vector("tiny_v4.ctb"), "c.ctb")
        shown = self.ask(good, bad, other, status=1)
        self.assertIn("GOO 3.0", shown)
        self.assertIn("CTB 4", shown)
        self.assertIn("b.goo: this is a ZIP archive", self.err.getvalue())

    def test_pauses(self) -> None:
        """Layers at which the print pauses are listed."""
        self.assertIn(
            "Pauses                at layer 1\n", self.ask(self.file(patched(vector("tiny.goo"), 195_477, ">H", 1)))
        )

    def test_hostile(self) -> None:
        """Neither a file's name nor its texts can command the terminal."""
        data = bytearray(vector("tiny.goo"))
        data[0x5C : 0x5C + 32] = "Mars\x1b[2J\u202e\x07\n".encode().ljust(32, b"\0")
        path = self.folder / os.fsdecode(b"a\x1b]0;x\x07\nb\xff.goo")
        path.write_bytes(bytes(data))
        shown = self.ask(path)
        self.assertIn("a\\x1b]0;x\\x07\\nb\\udcff.goo\n", shown)
        self.assertTrue(all(letter.isprintable() or letter == "\n" for letter in shown))
        path.write_bytes(b"PK\x03\x04")
        self.assertTrue(all(letter.isprintable() for letter in self.complaint(path)[:-1]))
        path.write_bytes(bytes(data))
        self.assertTrue(self.ask("--json", path)[:-1].isprintable())


class JsonTests(InfoCase):
    def test_document(self) -> None:
        """Programs read the same names as over HTTP, with null for what the file does not tell."""
        path = self.file(vector("tiny.goo"))
        found = self.json(path)
        self.assertEqual((found["file"], found["size"], found["problem"]), (path, 195_959, None))
        self.assertEqual((found["format"], found["resolution"], found["layer_count"]), ("goo", [16, 12], 4))
        self.assertEqual((found["print_time_s"], found["volume_ml"], found["thumbnails"][0]), (123, 1.4405, [290, 290]))
        self.assertEqual(set(SlicedDocument.__struct_fields__) - set(found), set())
        self.assertIsNone(self.json(self.file(vector("tiny_enc_v4.ctb")))["resolution"])

    def test_lines(self) -> None:
        """Several files are a line each."""
        lines = self.ask("--json", self.file(vector("tiny.goo")), self.file(vector("tiny_v2.ctb"), "b")).splitlines()
        self.assertEqual([json.loads(line)["format"] for line in lines], ["goo", "ctb"])

    def test_findings(self) -> None:
        """The findings are all there, with codes and layers."""
        found = self.json("--verify", self.file(vector("tiny.goo")[:195_700]), status=1)
        self.assertEqual([(one["code"], one["layer"]) for one in found["findings"]], [("truncated", 3)])
        self.assertEqual(self.json("--verify", self.file(vector("tiny.goo")))["findings"], [])
        self.assertNotIn("findings", self.json(self.file(vector("tiny.goo"))))


class PictureTests(InfoCase):
    def test_thumbnail(self) -> None:
        """The largest thumbnail is written as PNG, and it is said where it went."""
        target = self.folder / "out.png"
        said = self.ask(self.file(vector("tiny_v4.ctb")), "--thumbnail", target)
        self.assertEqual(png(target), (400, 300))
        self.assertEqual(said, f"{target}: the thumbnail, 400 x 300 pixels\n")

    def test_no_thumbnail(self) -> None:
        """A file without a thumbnail says so, and nothing is written."""
        data = bytearray(vector("tiny.goo"))
        for at, side in ((194, 116), (27_108, 290)):
            data[at : at + 2 * side * side] = bytes(2 * side * side)
        path = self.file(bytes(data))
        self.assertIn("previews", self.complaint(path, "--thumbnail", self.folder / "out.png"))
        self.assertFalse((self.folder / "out.png").exists())
        self.assertIn("Thumbnails            none", self.ask(path))

    def test_layer(self) -> None:
        """A layer is written at the width that is wanted, as the slicer showed it, counted as printers count."""
        target = self.folder / "out.png"
        path = self.file(vector(CHITUBOX))
        self.assertEqual(self.ask(path, "--layer", 1, target), f"{target}: layer 1 of 426, 960 x 600 pixels\n")
        first = target.read_bytes()
        self.ask(path, "--layer", 426, target, "--width", 100)
        self.assertEqual(png(target), (100, 63))  # 58 x 58 pixels to one
        self.assertNotEqual(target.read_bytes(), first)

    def test_formats(self) -> None:
        """The layers of every format are written, with the key those of encrypted files."""
        target = self.folder / "out.png"
        for name in ("tiny.goo", "tiny_v2.ctb", "tiny_v5_key.ctb"):
            self.ask(self.file(vector(name)), "--layer", 4, target)
            self.assertEqual(png(target), (16, 12))

    def test_no_layer(self) -> None:
        """A layer that is not there, is cut off or cannot be decoded is a line with what to do."""
        target = self.folder / "out.png"
        path = self.file(vector("tiny.goo"))
        self.assertIn("the file has 4 layers, none with number 5", self.complaint(path, "--layer", 5, target))
        self.ask(self.file(vector("tiny.goo")[:195_700]), "--layer", 2, target)
        self.assertIn("incomplete", self.complaint(path, "--layer", 3, target))
        five = self.file(patched(b"V5.1" + vector("tiny.goo")[4:], 0x2FB8E, ">I", 195_477))
        self.assertIn("GOO 5.1", self.complaint(five, "--layer", 1, target))
        locked = self.file(vector("tiny_enc_v4.ctb"))
        self.assertIn("--key-file", self.complaint(locked, "--layer", 1, target))

    def test_not_over_itself(self) -> None:
        """A picture never replaces the file that it is of, by whatever name."""
        path = self.file(vector("tiny.goo"))
        link = self.folder / "link.png"
        link.hardlink_to(path)
        self.assertIn("over the file itself", self.complaint(path, "--thumbnail", link))
        self.assertEqual(Path(path).read_bytes(), vector("tiny.goo"))
        self.assertIn("No such file", self.complaint(path, "--thumbnail", self.folder / "nowhere" / "out.png"))


class VerifyTests(InfoCase):
    def test_sound(self) -> None:
        """A sound file is said to be so, and status 0 says it, too."""
        path = self.file(vector("tiny.goo"))
        self.assertEqual(self.ask("--verify", path).splitlines()[-1], "  Verified: 4 layers, nothing wrong")
        quick = self.ask("--verify", "--quick", path).splitlines()[-1]
        self.assertEqual(quick, "  Verified: first, middle and last layer, nothing wrong")

    def test_damaged(self) -> None:
        """Each finding is a line; errors end with status 1, warnings do not."""
        data = vector("tiny.goo")
        shown = self.ask("--verify", self.file(patched(data, 195_477 + 0x45 + 18, "B", 0)), status=1)
        self.assertIn("  error    layer 1: checksum mismatch: the file says 00, its bytes make 52\n", shown)
        shown = self.ask("--verify", self.file(data + b"1"))
        self.assertIn("  warning  1 extra bytes behind the footer\n", shown)

    def test_many(self) -> None:
        """A file in which everything is wrong does not fill the screen."""
        data = bytearray(vector("stairs-400-layers-v3.ctb"))
        struct.pack_into("<I", data, 0x64, 1)
        path = self.file(bytes(data))
        lines = self.ask("--verify", path, status=1).splitlines()
        errors = [line for line in lines if line.startswith("  error")]
        self.assertEqual(len(errors), SHOWN)
        self.assertRegex(lines[-1], r"\.\.\. and \d+ more; --json lists all")
        self.assertGreater(len(self.json("--verify", path, status=1)["findings"]), 380)

    def test_bar(self) -> None:
        """On a terminal a bar grows to the end and is wiped; a pipe gets none."""
        path = self.file(vector("tiny.goo"))
        err = Terminal()
        run(["--verify", path], io.StringIO(), err)
        drawn = err.getvalue()
        self.assertIn("\r  [#######                       ]  25 %  layer 1 of 4", drawn)
        self.assertTrue(drawn.endswith(f"[{'#' * 30}] 100 %  layer 4 of 4\r\x1b[K"))
        self.ask("--verify", path)
        self.assertEqual(self.err.getvalue(), "")

    def test_truncated(self) -> None:
        """Without --verify, too, a file that is cut off shows what it holds and ends with status 1."""
        path = self.file(vector("tiny.goo")[:195_700])
        self.assertIn("the file is incomplete: layer 3 of 4", self.complaint(path))
        self.assertIn("Test Printer 12px", self.out.getvalue())
        self.assertIn("incomplete", self.json(path, status=1)["problem"])


class KeyTests(InfoCase):
    def test_key(self) -> None:
        """With its key, an encrypted file tells all, and its layers are checked and written."""
        raw = KEY.key + KEY.iv
        self.fingerprint = hashlib.sha256(raw).hexdigest()
        key = self.file(raw.hex().encode(), "key")
        path = self.file(encrypted_file(), "a.ctb")
        self.assertNotIn("Resolution", self.ask(path))
        shown = self.ask("--key-file", key, "--verify", path)
        self.assertIn("Resolution            40 x 30 pixels\n", shown)
        self.assertIn("  warning  layer 3 cannot be decoded", shown)
        target = self.folder / "out.png"
        self.ask("--key-file", key, path, "--layer", 2, target)
        self.assertEqual(png(target), (40, 30))

    def test_wrong_key(self) -> None:
        """A key file that is none, or is not there, is named before any file is looked at."""
        path = self.file(vector("tiny.goo"))
        wrong = self.file(KEY.key + KEY.iv, "key")
        self.assertIn("key: expected the key and IV with the SHA-256", self.complaint("--key-file", wrong, path))
        self.assertIn(FINGERPRINT[:16], self.err.getvalue())
        self.assertIn("No such file", self.complaint("--key-file", self.folder / "none", path))
        self.assertEqual(self.out.getvalue(), "")


class RefusalTests(InfoCase):
    def test_bad_files(self) -> None:
        """What is no sliced file is called what it is, with what to do, in one line."""
        for data, words in (
            (b"", "the file is empty"),
            (b"solid cube\n", "an STL model"),
            (vector("tiny.goo")[:100_000], "incomplete"),
            (vector("tiny_v4.ctb")[:90], "incomplete"),
            (patched(vector("tiny.goo"), 195_310, ">I", 2**32 - 1), "expected 1 to 100000 layers"),
        ):
            line = self.complaint(self.file(data))
            self.assertIn(words, line)
            self.assertRegex(line, r"\.\n\Z")

    def test_no_files(self) -> None:
        """A missing file, a directory and a pipe are refused, and nobody waits for ever."""
        self.assertIn("No such file", self.complaint(self.folder / "none"))
        self.assertIn("found a directory", self.complaint(self.folder))
        os.mkfifo(self.folder / "pipe")
        self.assertIn("a pipe", self.complaint(self.folder / "pipe"))

    def test_usage(self) -> None:
        """A wrong command line says what was expected, with status 2."""
        path = self.file(vector("tiny.goo"))
        for words, arguments in (
            ("FILE", ()),
            ("1 to 100000, found '0'", (path, "--layer", 0, "out.png")),
            ("found 'x'", (path, "--layer", "x", "out.png")),
            ("1 to 4096, found '5000'", (path, "--layer", 1, "out.png", "--width", 5000)),
            ("--width goes with --layer", (path, "--width", 5)),
            ("--quick goes with --verify", (path, "--quick")),
            ("take one file", (path, path, "--thumbnail", "out.png")),
            ("unrecognized", (path, "--colour")),
        ):
            with self.subTest(words):
                self.assertIn(words, self.refused(*arguments))


class ProgramTests(InfoCase):
    """The program as a process of its own."""

    def start(self, *arguments: str, **settings: Any) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([*COMMAND, *arguments], capture_output=True, timeout=PATIENCE, check=False, **settings)

    def test_statuses(self) -> None:
        """The exit status tells a script what happened; errors are on the other stream, in one line."""
        good, bad = self.file(vector("tiny.goo")), self.file(b"PK\x03\x04", "b.goo")
        for arguments, status in ((["--verify", good], 0), ([bad], 1), ([], 2), (["--help"], 0)):
            done = self.start(*arguments)
            self.assertEqual(done.returncode, status, done.stderr)
            self.assertEqual(bool(done.stderr), status != 0)
        self.assertEqual(self.start(bad).stderr.count(b"\n"), 1)

    def test_plain_terminal(self) -> None:
        """A terminal that knows only ASCII shows the rest of a text."""
        data = bytearray(vector("tiny.goo"))
        data[0x5C : 0x5C + 32] = "Drücker 3".encode().ljust(32, b"\0")
        done = self.start(self.file(bytes(data)), env={**os.environ, "PYTHONIOENCODING": "ascii"})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(b"Machine               Dr\\xfccker 3\n", done.stdout)

    def test_nobody_reads(self) -> None:
        """It ends quietly when its output is not wanted any more."""
        path = self.file(vector("tiny.goo"))
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run([*COMMAND, path], stdout=write, stderr=subprocess.PIPE, timeout=PATIENCE, check=False)
        os.close(write)
        self.assertEqual((done.returncode, done.stderr), (0, b""))

    def test_terminal(self) -> None:
        """The bar is drawn on a real terminal, and only there."""
        path = self.file(vector("tiny.goo"))
        master, slave = pty.openpty()
        done = subprocess.run(
            [*COMMAND, "--verify", path], stdout=subprocess.PIPE, stderr=slave, timeout=PATIENCE, check=False
        )
        os.close(slave)
        drawn = b""
        # It comes in pieces, in the terminal's own time; where nobody holds the other end any more reading is an error.
        with contextlib.suppress(OSError):
            while piece := os.read(master, 65536):
                drawn += piece
        os.close(master)
        self.assertIn(b"100 %", drawn)
        self.assertNotIn(b"%", done.stdout)
        self.assertEqual(self.start("--verify", path).stderr, b"")

    def test_apart(self) -> None:
        """It needs neither Twisted nor the packages of the daemon's network parts, nor numpy for what a file holds."""
        script = (
            "import sys\n"
            "unwanted = 'twisted', 'klein', 'paho', 'sqlalchemy', 'numpy', 'cryptography'\n"
            "sys.modules.update(dict.fromkeys(unwanted))\n"
            "from sdcpd.info import main\n"
            "main()\n"
        )
        path = self.file(vector("tiny.goo"))
        done = subprocess.run(
            [sys.executable, "-c", script, "--verify", path], capture_output=True, timeout=PATIENCE, check=False
        )
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertIn(b"Verified: 4 layers", done.stdout)
