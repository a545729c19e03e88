"""The status of a printer: how it is read, and what its numbers mean."""

from __future__ import annotations

import math

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.codec.status import (
    RUNNING,
    UNTOLD,
    Generation,
    Outcome,
    Phase,
    PrintInfo,
    Status,
    TransferInfo,
    TransferState,
    bounded,
    outcome_of,
    phase_of,
    status_from,
)

V1, V3, UNKNOWN = Generation.V1, Generation.V3, Generation.UNKNOWN
LARGEST = 2**63 - 1

# CurrentStatus, PrintInfo.Status -> phase (sdcp.md 4.3, 4.4, appendix B)
V1_PHASES: list[tuple[tuple[int, ...], int, Phase]] = [
    *[((0,), n, Phase.IDLE) for n in (UNTOLD, *range(18), 99)],
    *[((2,), n, Phase.TRANSFER) for n in (UNTOLD, *range(18), 99)],
    ((1,), 0, Phase.BUSY),
    ((1,), 1, Phase.PREPARING),
    ((1,), 2, Phase.PRINTING),
    ((1,), 3, Phase.PRINTING),
    ((1,), 4, Phase.PRINTING),
    ((1,), 5, Phase.PAUSING),
    ((1,), 6, Phase.PRINTING),
    ((1,), 7, Phase.PAUSED),
    ((1,), 8, Phase.PAUSED),
    ((1,), 9, Phase.STOPPING),
    ((1,), 10, Phase.STOPPING),
    ((1,), 11, Phase.PRINTING),
    ((1,), 12, Phase.PRINTING),
    ((1,), 13, Phase.STOPPING),
    ((1,), 14, Phase.STOPPING),
    ((1,), 15, Phase.PRINTING),
    ((1,), 16, Phase.ATTENTION),
    ((1,), 17, Phase.PRINTING),
    ((1,), 99, Phase.PRINTING),
    ((1,), -5, Phase.PRINTING),
    ((1,), UNTOLD, Phase.PRINTING),
    ((3,), 0, Phase.BUSY),
    ((4,), 16, Phase.BUSY),
    ((99,), 3, Phase.BUSY),
    ((-7,), 0, Phase.BUSY),
    ((UNTOLD,), 0, Phase.BUSY),
    ((UNTOLD,), 16, Phase.BUSY),
]
V3_PHASES: list[tuple[tuple[int, ...], int, Phase]] = [
    *[((0,), n, Phase.IDLE) for n in range(12)],
    *[((2,), n, Phase.TRANSFER) for n in range(12)],
    ((1, 2), 3, Phase.TRANSFER),
    ((1,), 0, Phase.BUSY),
    ((1,), 1, Phase.PREPARING),
    ((1,), 2, Phase.PRINTING),
    ((1,), 3, Phase.PRINTING),
    ((1,), 4, Phase.PRINTING),
    ((1,), 5, Phase.PAUSING),
    ((1,), 6, Phase.PAUSED),
    ((1,), 7, Phase.STOPPING),
    ((1,), 8, Phase.STOPPING),
    ((1,), 9, Phase.ATTENTION),
    ((1,), 10, Phase.CHECKING),
    ((1,), 11, Phase.PRINTING),
    ((1,), 16, Phase.PRINTING),
    ((0, 1), 3, Phase.PRINTING),
    ((3,), 0, Phase.BUSY),
    ((4,), 9, Phase.BUSY),
    ((0, 3), 0, Phase.BUSY),
    ((0, 0), 0, Phase.IDLE),
    ((UNTOLD,), 0, Phase.BUSY),
]

V1_OUTCOMES = {13: Outcome.STOPPED, 14: Outcome.STOPPED, 16: Outcome.COMPLETE}
V3_OUTCOMES = {8: Outcome.STOPPED, 9: Outcome.COMPLETE}

FULL = {
    "CurrentStatus": 0,
    "PreviousStatus": 1,
    "PrintInfo": {
        "Status": 16,
        "CurrentLayer": 310,
        "TotalLayer": 310,
        "CurrentTicks": 3222039,
        "TotalTicks": 3218949,
        "ErrorNumber": 2,
        "Filename": "plate_a.goo",
    },
    "FileTransferInfo": {
        "Status": 2,
        "DownloadOffset": 5,
        "CheckOffset": 4,
        "FileTotalSize": 6,
        "Filename": "plate_b.goo",
    },
}
FULL_STATUS = Status(
    (0,),
    1,
    PrintInfo(16, 310, 310, 3222039, 3218949, 2, "plate_a.goo"),
    TransferInfo(2, 5, 4, 6, "plate_b.goo"),
    {},
)

NUMBERS: list[tuple[object, int | None]] = [
    (7, 7),
    (-7, -7),
    (0, 0),
    (7.0, 7),
    (7.9, 7),
    (-0.0, 0),
    (1e300, LARGEST),
    (-1e300, -LARGEST),
    (2**63, LARGEST),
    (10**30, LARGEST),
    (-(10**30), -LARGEST),
    (True, 1),
    (False, 0),
    ("7", 7),
    (" -7 ", -7),
    ("7.5", None),
    ("", None),
    ("seven", None),
    ("9" * 5000, None),
    ([7], None),
    ({"a": 7}, None),
    (math.nan, None),
    (math.inf, None),
]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=8,
)
KEYS = st.sampled_from([*FULL, *FULL["PrintInfo"], *FULL["FileTransferInfo"], "Odd", "\0"])  # type: ignore[misc]
ODD_STATUS = st.dictionaries(KEYS, JSON | st.dictionaries(KEYS, JSON))


class PhaseTests(SynchronousTestCase):
    """What the numbers of each generation mean."""

    def test_v1(self) -> None:
        """Each pair of numbers of a V1 printer is shown as what the machine does."""
        for current, number, phase in V1_PHASES:
            with self.subTest(current=current, number=number):
                self.assertIs(phase_of(Status(current, print=PrintInfo(number)), V1), phase)

    def test_v1_starting(self) -> None:
        """Right after a start, V1's 10 is the file check; nothing else changes its meaning."""
        for current, number, phase in V1_PHASES:
            with self.subTest(current=current, number=number):
                expected = Phase.CHECKING if (current, number) == ((1,), 10) else phase
                self.assertIs(phase_of(Status(current, print=PrintInfo(number)), V1, starting=True), expected)

    def test_v3(self) -> None:
        """Each pair of a V3 printer, too; a board of unknown generation is read like V3."""
        for current, number, phase in V3_PHASES:
            for generation in (V3, UNKNOWN):
                for starting in (False, True):
                    with self.subTest(current=current, number=number, generation=generation):
                        status = Status(current, print=PrintInfo(number))
                        self.assertIs(phase_of(status, generation, starting=starting), phase)

    def test_outcomes(self) -> None:
        """How the last print ended is read from the number that stands, whatever the machine does now."""
        for generation, outcomes in ((V1, V1_OUTCOMES), (V3, V3_OUTCOMES), (UNKNOWN, V3_OUTCOMES)):
            for number in (UNTOLD, *range(20), 99):
                for current in ((0,), (1,), (2,), (0, 3)):
                    with self.subTest(generation=generation, number=number):
                        status = Status(current, print=PrintInfo(number))
                        self.assertIs(outcome_of(status, generation), outcomes.get(number, Outcome.NONE))

    def test_running(self) -> None:
        """A print is on the machine exactly in the phases from checking to stopping."""
        over = {Phase.OFFLINE, Phase.IDLE, Phase.TRANSFER, Phase.ATTENTION, Phase.BUSY}
        self.assertEqual(set(Phase) - over, set(RUNNING))

    def test_transfer_states(self) -> None:
        """The numbers of a transfer are those of the boards."""
        self.assertEqual(
            [(s.name, int(s)) for s in TransferState], [("NONE", 0), ("RUNNING", 1), ("DONE", 2), ("ERROR", 3)]
        )

    def test_idle_only_by_the_boards_word(self) -> None:
        """A printer that does not say what it does is never taken for idle: nothing may be started on it."""
        odds: list[dict[str, object]] = [{}]
        values: list[object] = [None, "x", ["x"], {}]
        odds += [{"CurrentStatus": value} for value in values]
        for odd in odds:
            for generation in Generation:
                self.assertIs(phase_of(status_from({**odd, "PrintInfo": {"Status": 0}}), generation), Phase.BUSY)

    def test_missing_print(self) -> None:
        """A printer that is at work and leaves the details out is at work."""
        status = status_from({"CurrentStatus": 1})
        self.assertIs(phase_of(status, V1), Phase.PRINTING)
        self.assertIs(outcome_of(status, V1), Outcome.NONE)


class ReadingTests(SynchronousTestCase):
    """How one status object is read."""

    def test_full(self) -> None:
        """Every key of a V1 status has its place."""
        self.assertEqual(status_from(FULL), FULL_STATUS)

    def test_empty(self) -> None:
        """Of an empty object nothing is known."""
        self.assertEqual(status_from({}), Status((UNTOLD,), print=PrintInfo(UNTOLD)))

    def test_nulls(self) -> None:
        """A null is as good as a missing key."""
        nulls = {key: None for key in FULL}
        self.assertEqual(status_from(nulls), status_from({}))
        parts = {key: dict.fromkeys(value) if isinstance(value, dict) else None for key, value in FULL.items()}
        self.assertEqual(status_from(parts), status_from({}))

    def test_numbers(self) -> None:
        """Numbers may come as floats, texts, truth values or larger than any counter; what is none is kept aside."""
        for value, number in NUMBERS:
            with self.subTest(value=repr(value)[:40]):
                status = status_from(
                    {"PrintInfo": {"CurrentLayer": value}, "FileTransferInfo": {"FileTotalSize": value}}
                )
                self.assertEqual((status.print.current_layer, status.transfer.total_size), (number or 0, number or 0))
                kept = {"PrintInfo.CurrentLayer", "FileTransferInfo.FileTotalSize"} if number is None else set()
                self.assertEqual(set(status.extra), kept)
                if isinstance(value, int | float | str) and math.isfinite(float(number or 0)):
                    print_status = status_from({"PrintInfo": {"Status": value}}).print.status
                    self.assertEqual(print_status, UNTOLD if number is None else number)

    def test_current(self) -> None:
        """What the machine does may be one number or several, in either generation."""
        for value, current, kept in (
            (1, (1,), False),
            ([1], (1,), False),
            ([0, 2.0, "3", True], (0, 2, 3, 1), False),
            ([], (0,), False),
            ("2", (2,), False),
            ([1, "x", None], (1,), True),
            ([[1]], (UNTOLD,), True),
            ({"a": 1}, (UNTOLD,), True),
            ("idle", (UNTOLD,), True),
        ):
            with self.subTest(value=value):
                status = status_from({"CurrentStatus": value})
                self.assertEqual(status.current, current)
                self.assertEqual(status.extra, {"CurrentStatus": value} if kept else {})

    def test_texts(self) -> None:
        """A name that is no text is kept aside; one with odd characters stays as it is, one without end is cut."""
        for value, name, extra in (
            ("a\0b\n.goo", "a\0b\n.goo", {}),
            (5, "", {"PrintInfo.Filename": 5}),
            ("x" * 100_000, "x" * 256, {}),
        ):
            status = status_from({"PrintInfo": {"Filename": value}})
            self.assertEqual((status.print.filename, status.extra), (name, extra))

    def test_parts_that_are_none(self) -> None:
        """A part that is no object is kept aside, and the rest still counts."""
        status = status_from({"CurrentStatus": 1, "PrintInfo": [1], "FileTransferInfo": "x"})
        self.assertEqual(
            status, Status((1,), print=PrintInfo(UNTOLD), extra={"PrintInfo": [1], "FileTransferInfo": "x"})
        )

    def test_unknown_keys(self) -> None:
        """Keys of a newer firmware are kept, with the place they came from."""
        found = {
            "TempOfUVLED": 41.03,
            "PrintInfo": {"TaskId": "a"},
            "FileTransferInfo": {"Retry": 1},
            "A": {"b": [None]},
        }
        self.assertEqual(
            status_from(found).extra,
            {"PrintInfo.TaskId": "a", "FileTransferInfo.Retry": 1, "TempOfUVLED": 41.03, "A": {"b": [None]}},
        )

    def test_the_message_stays(self) -> None:
        """Reading takes nothing out of the message that was decoded."""
        found = {"CurrentStatus": [1], "PrintInfo": {"Status": 3}, "New": 1}
        status_from(found)
        self.assertEqual(found, {"CurrentStatus": [1], "PrintInfo": {"Status": 3}, "New": 1})

    def test_bounded(self) -> None:
        """Whatever a board piles up, what is kept of it stays small and flat."""
        deep: object = "bottom"
        for _ in range(5000):
            deep = [{"a": deep}]
        many = {str(n): "x" * 1000 for n in range(10_000)}
        status = status_from(
            {"Deep": deep, "Short": ["x"] * 10_000, "List": list(range(10_000)), "CurrentStatus": [0] * 10_000, **many}
        )
        self.assertEqual(status.extra["Deep"], [{"a": [{"a": []}]}])
        self.assertEqual((status.extra["Short"], status.extra["List"]), (["x"] * 64, list(range(64))))
        self.assertEqual(len(status.current), 64)
        self.assertLess(len(msgspec.json.encode(status)), 8_000)
        self.assertEqual(len(status_from(dict.fromkeys(many, 1)).extra), 64)
        self.assertEqual(bounded({"a": {"b": {"c": {"d": {"e": 1}}}}}), {"a": {"b": {"c": {"d": {}}}}})

    def test_small_things(self) -> None:
        """Anybody may invent printers by UDP: thousands of empty lists in each of them must not fill the memory."""
        wide: dict[str, object] = {str(n): [[[] for _ in range(20)] for _ in range(20)] for n in range(63)}
        for found in (wide, {"PrintInfo": wide, "FileTransferInfo": wide}, {"All": wide}):
            self.assertLess(len(msgspec.json.encode(status_from(found).extra)), 2_000)
            self.assertLess(len(msgspec.json.encode(bounded(found))), 2_000)

    def test_endless_numbers(self) -> None:
        """A number of a thousand digits is a large one; it must not become one that nothing can reckon with."""
        huge = 10**1000
        status = status_from({"TempOfBox": huge, "Other": [-huge, {"a": huge}], "PrintInfo": {"CurrentLayer": huge}})
        most = 2**63 - 1
        self.assertEqual(status.extra, {"TempOfBox": most, "Other": [-most, {"a": most}]})
        self.assertEqual(status.print.current_layer, most)

    def test_compared(self) -> None:
        """The same message twice is no change; one more layer is."""
        again = {**FULL, "PrintInfo": {**FULL["PrintInfo"], "CurrentLayer": 309}}  # type: ignore[dict-item]
        self.assertEqual(status_from(FULL), status_from(msgspec.json.decode(msgspec.json.encode(FULL))))
        self.assertNotEqual(status_from(FULL), status_from(again))

    @settings(derandomize=True, deadline=None, max_examples=60)
    @given(ODD_STATUS)
    def test_anything(self, found: dict[str, object]) -> None:
        """Whatever a board sends gives a status that has a phase and can be sent to every client."""
        status = status_from(found)
        msgspec.json.encode(status)
        for generation in Generation:
            self.assertIsInstance(phase_of(status, generation), Phase)
            self.assertIsInstance(outcome_of(status, generation), Outcome)
