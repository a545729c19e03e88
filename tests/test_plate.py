"""The plate's rules, as a table of what may be begun and of what each happening makes of a plate."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sdcpd import plate as rules
from sdcpd.codec.status import Outcome, Phase, PrintInfo
from sdcpd.plate import Gate, PlateChanged, PlateNotClear
from sdcpd.progress import JobState
from sdcpd.records import Plate, PlateState

ID = "0001D2AB12CD34EF"
FRESH = Plate(ID)
CLEAR = Plate(ID, PlateState.CLEAR, 4, by="Ann", at=5.0)
OCCUPIED = Plate(ID, PlateState.OCCUPIED, 4, job="j1")
SUSPECT = Plate(ID, PlateState.SUSPECT, 4, reason="printer_restarted")
OVER = PrintInfo(16, 9, 9, 900, 1000, 0, "benchy.goo")


class BeganTests(SynchronousTestCase):
    def test_began(self) -> None:
        """A print from the screen makes a word for an earlier revision void, and is the one that occupies the plate."""
        seen = Plate(ID, PlateState.OCCUPIED, 5, reason="print_seen")
        for plate, revision in ((FRESH, 1), (CLEAR, 5), (OCCUPIED, 5), (SUSPECT, 5), (seen, 5)):
            after = rules.began(plate, "p7")
            self.assertEqual(
                (after.state, after.job, after.reason, after.revision),
                (PlateState.OCCUPIED, "p7", "print_seen", revision),
            )
            self.assertIs(rules.began(after, "p7"), after)
        self.assertIs(rules.began(OCCUPIED, "j1"), OCCUPIED)


class GateTests(SynchronousTestCase):
    def test_admits(self) -> None:
        """A clear plate is printed on, an occupied or suspect one never, an unknown one as it is wanted."""
        for plate, after_print, always in (
            (FRESH, True, False),
            (CLEAR, True, True),
            (OCCUPIED, False, False),
            (SUSPECT, False, False),
        ):
            self.assertIs(rules.admits(plate, Gate.AFTER_PRINT), after_print)
            self.assertIs(rules.admits(plate, Gate.ALWAYS), always)
            self.assertTrue(rules.admits(plate, Gate.OFF))

    def test_refusal(self) -> None:
        """The refusal says why, what to do, and which revision to confirm; nobody is refused who may go on."""
        for plate, words in ((OCCUPIED, "may still be on"), (SUSPECT, "may have left"), (FRESH, "nobody has said")):
            error = self.assertRaises(PlateNotClear, rules.must_admit, plate, Gate.ALWAYS, "Saturn", "saturn")
            self.assertIn(words, error.message)
            self.assertIn(f'"revision": {plate.revision}', error.hint)
            self.assertIn("/v1/printers/saturn/plate", error.hint)
            self.assertIs(error.plate, plate)
        rules.must_admit(CLEAR, Gate.ALWAYS, "Saturn", "saturn")


class ConfirmTests(SynchronousTestCase):
    def test_confirmed(self) -> None:
        """A word for the present revision makes any plate clear, and names who gave it and when."""
        for plate in (FRESH, CLEAR, OCCUPIED, SUSPECT):
            clear = rules.confirmed(plate, plate.revision, "Bob", 7.0, None)
            self.assertEqual((clear.state, clear.by, clear.at), (PlateState.CLEAR, "Bob", 7.0))
            self.assertEqual((clear.revision, clear.job, clear.reason), (plate.revision + 1, None, None))

    def test_stale(self) -> None:
        """A word for a plate as it was yesterday changes nothing, and the refusal brings the plate as it is."""
        for revision in (3, 5, 0):
            error = self.assertRaises(PlateChanged, rules.confirmed, OCCUPIED, revision, "Bob", 7.0, None)
            self.assertIs(error.plate, OCCUPIED)
            self.assertIn("confirm revision 4", error.hint)

    def test_standing_there(self) -> None:
        """Who says it together with the wish to print need not name a revision."""
        self.assertIs(rules.confirmed(OCCUPIED, None, "Bob", 7.0, None).state, PlateState.CLEAR)

    def test_reported(self) -> None:
        """Who sees something on a plate can say so; said twice, it is one change."""
        plate = rules.reported(CLEAR, "Bob", 7.0)
        self.assertEqual((plate.state, plate.by, plate.revision), (PlateState.OCCUPIED, "Bob", 5))
        self.assertEqual(rules.reported(plate, "Ann", 8.0).revision, 5)


class StartTests(SynchronousTestCase):
    def test_used(self) -> None:
        """One start uses the word up."""
        plate = rules.used(CLEAR, "j2", None)
        self.assertEqual((plate.state, plate.job, plate.revision), (PlateState.OCCUPIED, "j2", 5))
        self.assertFalse(rules.admits(plate, Gate.AFTER_PRINT))

    def test_given_back(self) -> None:
        """A start that certainly did not happen leaves the plate as it was, under a revision of its own."""
        plate = rules.given_back(rules.used(CLEAR, "j2", None), CLEAR)
        self.assertEqual((plate.state, plate.by, plate.at, plate.revision), (PlateState.CLEAR, "Ann", 5.0, 6))

    def test_not_given_back(self) -> None:
        """If more has happened to the plate since, the word is gone."""
        plate = rules.reported(rules.used(CLEAR, "j2", None), "Bob", 8.0)
        self.assertIs(rules.given_back(plate, CLEAR), plate)


class EndTests(SynchronousTestCase):
    def test_ends(self) -> None:
        """After every end somebody has to look; where it is not known what was left behind, the plate is suspect."""
        for state, reason, expected in (
            (JobState.FINISHED, None, PlateState.OCCUPIED),
            (JobState.STOPPED, "stopped", PlateState.OCCUPIED),
            (JobState.LOST, "printer_restarted", PlateState.SUSPECT),
            (JobState.LOST, "end_unknown", PlateState.SUSPECT),
            (JobState.UNVERIFIED, "start_unconfirmed", PlateState.SUSPECT),
            (JobState.FAILED, "start_unconfirmed", PlateState.SUSPECT),
        ):
            for plate in (CLEAR, rules.used(CLEAR, "j2", None)):
                after = rules.ended(plate, "j2", state, reason)
                self.assertEqual((after.state, after.job), (expected, "j2"))
                self.assertEqual(after.reason, reason if expected is PlateState.SUSPECT else None)
        self.assertIs(rules.ended(OCCUPIED, "j1", JobState.FINISHED, None), OCCUPIED)


class ShownTests(SynchronousTestCase):
    def test_printing(self) -> None:
        """A print that is seen at work, whoever started it, takes the word back."""
        for phase in (Phase.CHECKING, Phase.PREPARING, Phase.PRINTING, Phase.PAUSED, Phase.STOPPING):
            for plate in (FRESH, CLEAR):
                after = rules.judged(plate, phase, Outcome.NONE, PrintInfo(3))
                self.assertEqual((after.state, after.reason), (PlateState.OCCUPIED, "print_seen"))
            self.assertIs(rules.judged(SUSPECT, phase, Outcome.NONE, PrintInfo(3)), SUSPECT)

    def test_found(self) -> None:
        """The end of a print that nobody has taken off counts, also if it was printed while we were away."""
        for phase, outcome in ((Phase.ATTENTION, Outcome.COMPLETE), (Phase.IDLE, Outcome.STOPPED)):
            for plate in (FRESH, CLEAR):
                self.assertEqual(rules.judged(plate, phase, outcome, OVER).reason, "print_found")

    def test_taken_off(self) -> None:
        """What the printer still shows of the print that was taken off does not occupy the plate again."""
        clear = rules.confirmed(OCCUPIED, 4, "Ann", 5.0, OVER)
        for phase, number in ((Phase.ATTENTION, 16), (Phase.IDLE, 16)):
            told = PrintInfo(number, 9, 9, 900, 1000, 0, "benchy.goo")
            self.assertIs(rules.judged(clear, phase, Outcome.COMPLETE, told), clear)
        for other in (
            PrintInfo(16, 9, 9, 901, 1000, 0, "benchy.goo"),
            PrintInfo(16, 8, 9, 900, 1000, 0, "benchy.goo"),
            PrintInfo(16, 9, 9, 900, 1000, 0, "vase.goo"),
        ):
            self.assertIs(rules.judged(clear, Phase.IDLE, Outcome.COMPLETE, other).state, PlateState.OCCUPIED)

    def test_nothing_shown(self) -> None:
        """An idle printer without a word of a print, and one that is out of reach, change nothing."""
        for phase, outcome in (
            (Phase.IDLE, Outcome.NONE),
            (Phase.TRANSFER, Outcome.NONE),
            (Phase.OFFLINE, Outcome.COMPLETE),
        ):
            self.assertIs(rules.judged(CLEAR, phase, outcome, PrintInfo()), CLEAR)


_PLATES = st.sampled_from([FRESH, CLEAR, OCCUPIED, SUSPECT])
_STEPS = st.lists(st.sampled_from(["confirm", "stale", "use", "report", "see", "finish", "lose"]), max_size=20)


class AnyOrderTests(SynchronousTestCase):
    @settings(derandomize=True, deadline=None)
    @given(_PLATES, _STEPS)
    def test_one_word_one_start(self, plate: Plate, steps: list[str]) -> None:
        """In whatever order things happen, between two starts somebody has said that the plate is clear."""
        said = plate.state is PlateState.CLEAR
        for number, step in zip(itertools.count(), steps, strict=False):
            before = plate
            if step == "confirm":
                plate, said = rules.confirmed(plate, plate.revision, "Ann", 1.0, None), True
            elif step == "stale":
                self.assertRaises(PlateChanged, rules.confirmed, plate, plate.revision - 1, "Ann", 1.0, None)
            elif step == "use":
                self.assertEqual(rules.admits(plate, Gate.ALWAYS), said)
                plate, said = rules.used(plate, f"j{number}", None), False
            elif step == "report":
                plate, said = rules.reported(plate, "Bob", 2.0), False
            elif step == "see":
                plate, said = rules.judged(plate, Phase.PRINTING, Outcome.NONE, PrintInfo(3)), False
            else:
                state = JobState.FINISHED if step == "finish" else JobState.LOST
                plate, said = rules.ended(plate, f"j{number}", state, None), False
            self.assertGreaterEqual(plate.revision, before.revision)
            if plate.state is not before.state:
                self.assertEqual(plate.revision, before.revision + 1)
