"""Which file is refused for which printer, and what only warns."""

from __future__ import annotations

from msgspec import structs
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.codec.sliced import BytesSource, SlicedFile, read_head
from sdcpd.errors import WrongFile
from sdcpd.preflight import MACHINES, Target, judge, known_machine, suits
from tests.sliced import goo_file

S3U = Target("saturn", "Attic", "ELEGOO Saturn 3 Ultra", (11520, 5120))
S4U = Target("tilting", "Tilting one", "ELEGOO Saturn 4 Ultra", (11520, 5120))
MARS = Target("mars", "Cellar", "ELEGOO Mars 4 Max", (5760, 3600))
FILE = read_head(BytesSource(goo_file()))


def codes(sliced: SlicedFile, target: Target, height: float | None = None) -> tuple[list[str], list[str]]:
    found = judge(sliced, target, height)
    return [one.code for one in found.refusals], [one.code for one in found.warnings]


class JudgeTests(SynchronousTestCase):
    def test_fits(self) -> None:
        """A file for this very machine is fine, however its name is spelt."""
        self.assertEqual(codes(FILE, S3U, 100.0), ([], []))
        for name in ("Saturn 3 Ultra", "elegoo saturn3ultra", "standard", "Unknown", None):
            self.assertEqual(codes(structs.replace(FILE, machine=name), S3U), ([], []))

    def test_resolution(self) -> None:
        """Another resolution is refused with both, whatever the name says."""
        (found,) = judge(FILE, MARS).refusals
        self.assertEqual((found.code, found.expected, found.found), ("wrong_resolution", "5760x3600", "11520x5120"))
        self.assertEqual(found.message, "The file is sliced for 11520x5120 pixels, Cellar has 5760x3600.")

    def test_resolution_by_model(self) -> None:
        """A printer that does not tell its resolution is known by its model."""
        self.assertEqual(codes(FILE, Target("mars", "Cellar", "ELEGOO Mars 4 Max"))[0], ["wrong_resolution"])
        self.assertEqual(codes(FILE, Target("odd", "Odd", "Some other machine"))[0], [])

    def test_height(self) -> None:
        """A print that is higher than the machine is refused, by the last layer if it is known, else by the head."""
        self.assertEqual(codes(FILE, S3U, 260.3)[0], [])
        self.assertEqual(codes(FILE, S3U, 261.0)[0], ["too_tall"])
        tall = structs.replace(FILE, height=230.0)
        self.assertEqual((codes(tall, S3U)[0], codes(tall, S4U)[0]), ([], ["too_tall"]))
        self.assertEqual(codes(tall, S4U, 100.0)[0], [])

    def test_other_machine(self) -> None:
        """Another machine's name with the same screen is a warning: the vat may differ."""
        self.assertEqual(codes(FILE, S4U), ([], ["other_machine"]))

    def test_other_bed(self) -> None:
        """The same screen on another bed is a warning; a small difference is none."""
        for bed, warned in (((218.0, 123.0, 250.0), []), ((200.0, 122.88, 250.0), ["other_bed"])):
            self.assertEqual(codes(structs.replace(FILE, bed=bed), S3U), ([], warned))

    def test_unknown(self) -> None:
        """What a file does not tell is nothing against it."""
        bare = SlicedFile(format="ctb", version="4")
        self.assertEqual(codes(bare, S3U), ([], []))

    def test_machines(self) -> None:
        """Every machine of the table is found by the name that it announces, and only by its own."""
        self.assertEqual([known_machine(f"ELEGOO {machine.name}") for machine in MACHINES], list(MACHINES))
        self.assertIsNone(known_machine("ELEGOO Saturn 9"))


class SuitsTests(SynchronousTestCase):
    def test_refused(self) -> None:
        """A refusal names the printers that can print the file."""
        error = self.assertRaises(WrongFile, suits, FILE, MARS, (S3U, MARS, S4U))
        self.assertEqual((error.reason, error.expected, error.found), ("wrong_resolution", "5760x3600", "11520x5120"))
        self.assertEqual(error.compatible, ("saturn", "tilting"))
        self.assertIn("It can be printed on: Attic, Tilting one. Or slice", error.hint)
        alone = self.assertRaises(WrongFile, suits, FILE, MARS, (MARS,))
        self.assertEqual(alone.compatible, ())
        never_seen = Target("barn", "Barn")
        unsure = self.assertRaises(WrongFile, suits, FILE, MARS, (never_seen, MARS, Target("s", "By model", S3U.model)))
        self.assertEqual(unsure.compatible, ("s",))

    def test_warnings(self) -> None:
        """What only warns is told in sentences."""
        (warning,) = suits(FILE, S4U, (S4U,))
        self.assertIn("Saturn 3 Ultra", warning)
        self.assertEqual(suits(FILE, S3U, (S3U,)), ())

    def test_nobody_named(self) -> None:
        """Without a printer a file is taken; that no known one can print it is a warning."""
        self.assertEqual(suits(FILE, None, ()), ())
        self.assertEqual(suits(FILE, None, (MARS, S3U)), ())
        self.assertEqual(len(suits(FILE, None, (MARS,))), 1)
        self.assertEqual(suits(FILE, None, (MARS, Target("barn", "Barn"))), ())
