from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sdcpd.web.gcode import LONGEST, MOST, Step, Verb, steps_of


class StepsTests(SynchronousTestCase):
    """Scripts as clients write them."""

    def test_parameters(self) -> None:
        """A name or a text may stand in quotes, hold blanks, and be followed by other parameters."""
        for line, text in (
            ("FILENAME=a.goo", "a.goo"),
            ("FILENAME=my plate.goo", "my plate.goo"),
            ("FILENAME=my  plate.goo X=1", "my  plate.goo"),
            ('FILENAME="a X=1.goo"', "a X=1.goo"),
            ("filename='b.goo' X=1", "b.goo"),
            ("X=1 FILENAME=c.goo", "c.goo"),
            ('FILENAME="open', '"open'),
        ):
            self.assertEqual(steps_of(f"SDCARD_PRINT_FILE {line}"), [Step(Verb.PRINT, text)], line)
        for line in ("", "FILENAME= X=1", "XFILENAME=a", "FILE=a"):
            self.assertIsNone(steps_of(f"SDCARD_PRINT_FILE {line}"), line)
        self.assertEqual(steps_of("RESPOND MSG=" + "x" * 999), [Step(Verb.SAY, "x" * LONGEST)])

    def test_long_line(self) -> None:
        """A line that is long and ends in nothing costs what its length is: it held up everybody for a minute."""
        blanks = " " * 1_000_000
        (step,) = steps_of(f"RESPOND MSG=a{blanks}!") or []
        self.assertEqual(step.text, ("a" + blanks)[:LONGEST])
        (step,) = steps_of(f"SDCARD_PRINT_FILE FILENAME=a{blanks}!") or []
        self.assertEqual(len(step.text), len(blanks) + 2)

    def test_long_script(self) -> None:
        """One request fills neither the log of a printer nor its link: a script has a hundred lines at most."""
        self.assertEqual(len(steps_of("M117 a\n; a comment\n\n" * MOST) or []), MOST)
        self.assertIsNone(steps_of("M117 a\n" * (MOST + 1)))
