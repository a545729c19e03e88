"""The judges, held against recorded and feared sequences of statuses.

Each row of a table is one story: what was there before the command, what happened, and the verdict that the last
step must bring; no earlier step may bring one. A false "delivered" or "finished" is the worst that can happen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.codec.status import Generation, PrintInfo, Status, TransferInfo, status_from
from sdcpd.progress import (
    ENDED,
    GIVE_UP,
    IDLE_WAIT,
    LIVE,
    MOVING,
    REQUEST_WAIT,
    STALL,
    START_WAIT,
    VERIFY_WAIT,
    JobState,
    Print,
    Transfer,
    Verdict,
)

NAME, OLD, SIZE = "plate_a_9e107d9d.goo", "plate_b_00000000.goo", 1000

# -- transfers ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """The printer asks for the file."""


@dataclass(frozen=True)
class Served:
    """Our server has handed out this much."""

    offset: int


@dataclass(frozen=True)
class After:
    """Seconds pass; then the judge is asked by the time."""

    seconds: float


def fti(current: int, status: int, offset: int, name: str = NAME, size: int = SIZE, checked: int = 0) -> Status:
    return Status((current,), transfer=TransferInfo(status, offset, checked, size, name))


FRESH = fti(0, 0, 0, "", 0)
OTHER_DONE = fti(0, 2, 500, OLD, 500)
SAME_DONE = fti(0, 2, SIZE)
SAME_FAILED = fti(0, 3, 400)
SAME_FAILED_AT_THE_END = fti(0, 3, SIZE)

DELIVERED = (JobState.DELIVERED, None)
REJECTED = (JobState.FAILED, "printer_rejected_file")
MISMATCH = (JobState.FAILED, "size_mismatch")
STALLED = (JobState.FAILED, "transfer_stalled")
NEVER = (JobState.FAILED, "file_never_requested")
UNVERIFIED = (JobState.UNVERIFIED, "delivery_unverified")
Step = Status | Asked | Served | After
Story = tuple[str, Status | None, list[Step], tuple[JobState, str | None] | None]
DOWNLOAD: list[Step] = [Asked(), Served(SIZE)]

TRANSFERS: list[Story] = [
    # as recorded (sdcp.md 3.4)
    (
        "success",
        OTHER_DONE,
        [OTHER_DONE, fti(2, 0, 0), Asked(), Served(400), fti(2, 0, 300), Served(SIZE), fti(2, 0, 900), fti(0, 2, SIZE)],
        DELIVERED,
    ),
    ("success, first ever", FRESH, [FRESH, Asked(), fti(2, 0, 0), Served(SIZE), fti(2, 0, SIZE), SAME_DONE], DELIVERED),
    ("success, nothing known before", None, [*DOWNLOAD, fti(2, 0, 900), SAME_DONE], DELIVERED),
    (
        "FTI 1 is running",
        FRESH,
        [Asked(), fti(2, 1, 0), Served(SIZE), fti(2, 1, 900), fti(0, 1, SIZE), SAME_DONE],
        DELIVERED,
    ),
    ("failure", OTHER_DONE, [Asked(), fti(2, 0, 0), Served(400), fti(2, 0, 400), fti(0, 3, 400)], REJECTED),
    ("failure at once", OTHER_DONE, [Asked(), fti(0, 3, 0)], REJECTED),
    ("failure before it asked: it could not connect", OTHER_DONE, [fti(2, 0, 0), fti(0, 3, 0)], REJECTED),
    ("failure after the whole file: no room, MD5", OTHER_DONE, [*DOWNLOAD, fti(2, 0, SIZE), fti(0, 3, SIZE)], REJECTED),
    (
        "V3 sends a list and never this, yet it is read",
        FRESH,
        [Asked(), Served(SIZE), Status((0, 2), transfer=fti(2, 0, 9).transfer), SAME_DONE],
        DELIVERED,
    ),
    # what the last transfer left behind
    ("stale 2 of another file", OTHER_DONE, [OTHER_DONE, Asked(), OTHER_DONE, Served(SIZE), OTHER_DONE], None),
    ("stale 3 of another file", fti(0, 3, 5, OLD, 9), [fti(0, 3, 5, OLD, 9), *DOWNLOAD, fti(0, 3, 5, OLD, 9)], None),
    (
        "stale 2 of the same name, before the file was taken",
        SAME_DONE,
        [SAME_DONE, Asked(), SAME_DONE, Served(999), SAME_DONE],
        None,
    ),
    ("stale 3 of the same file", SAME_FAILED, [SAME_FAILED, Asked(), SAME_FAILED, Served(SIZE), SAME_FAILED], None),
    (
        "stale 2 of the same name and another size",
        fti(0, 2, 7, NAME, 7),
        [fti(0, 2, 7, NAME, 7), *DOWNLOAD, fti(0, 2, 7, NAME, 7)],
        None,
    ),
    ("stale 3, nothing known before", None, [SAME_FAILED, Asked(), SAME_FAILED, Served(SIZE), SAME_FAILED], None),
    ("stale 3 after the request, nothing known before", None, [*DOWNLOAD, SAME_FAILED], None),
    ("stale 2, nothing known before, nothing taken", None, [SAME_DONE, Asked(), SAME_DONE], None),
    ("stale 2 while the board is already in its transfer", SAME_DONE, [Asked(), fti(2, 2, SIZE), fti(2, 0, 10)], None),
    # small files: the transfer is shorter than the status period
    ("tiny file, phase 2 never seen", OTHER_DONE, [OTHER_DONE, *DOWNLOAD, OTHER_DONE, SAME_DONE], DELIVERED),
    ("tiny file, phase 2 never seen, failed", OTHER_DONE, [*DOWNLOAD, fti(0, 3, SIZE)], REJECTED),
    ("tiny file once more", SAME_DONE, [*DOWNLOAD, SAME_DONE], DELIVERED),
    ("a done that nothing was served for", OTHER_DONE, [SAME_DONE, Asked(), SAME_DONE], None),
    ("a done that too little was served for", OTHER_DONE, [Asked(), Served(999), SAME_DONE], None),
    # the same file again after a failure
    (
        "retry succeeds",
        SAME_FAILED,
        [SAME_FAILED, Asked(), fti(2, 0, 0), Served(SIZE), fti(2, 0, 900), SAME_DONE],
        DELIVERED,
    ),
    ("retry fails elsewhere", SAME_FAILED, [SAME_FAILED, Asked(), Served(700), fti(0, 3, 700)], REJECTED),
    (
        "retry fails at the same byte",
        SAME_FAILED,
        [SAME_FAILED, Asked(), fti(2, 0, 0), Served(400), fti(2, 0, 400), SAME_FAILED],
        REJECTED,
    ),
    (
        "retry fails at the end again",
        SAME_FAILED_AT_THE_END,
        [*DOWNLOAD, fti(2, 0, 900), SAME_FAILED_AT_THE_END],
        REJECTED,
    ),
    # sizes
    ("another size than announced", FRESH, [*DOWNLOAD, fti(2, 0, 900), fti(0, 2, 999, NAME, 999)], MISMATCH),
    ("another size, phase 2 never seen", FRESH, [Asked(), fti(0, 2, 999, NAME, 999)], MISMATCH),
    # time
    ("a firewall: never asked", FRESH, [After(REQUEST_WAIT), After(0.1)], NEVER),
    ("a firewall: the board says it is at it", FRESH, [After(1), fti(2, 0, 0), After(REQUEST_WAIT), After(0.1)], NEVER),
    ("asked, and nothing more", FRESH, [After(10), Asked(), After(STALL), After(0.1)], STALLED),
    (
        "asked again and again, and no byte",
        FRESH,
        [Asked(), After(20), Asked(), After(10), Asked(), After(0.1)],
        STALLED,
    ),
    (
        "no byte moves any more",
        FRESH,
        [Asked(), Served(100), After(20), Served(200), After(STALL), After(0.1)],
        STALLED,
    ),
    (
        "the same offset reported again is no progress",
        FRESH,
        [Asked(), Served(200), fti(2, 0, 9), After(20), fti(2, 0, 9), After(10.1)],
        STALLED,
    ),
    (
        "a new start after a break",
        FRESH,
        [Asked(), Served(400), After(29), Asked(), Served(64), After(29), Served(SIZE), SAME_DONE],
        DELIVERED,
    ),
    ("a slow reader by our count", FRESH, [Asked(), *[s for n in range(1, 99) for s in (Served(n), After(29))]], None),
    (
        "a slow reader by its own count",
        FRESH,
        [*DOWNLOAD, *[s for n in range(1, 99) for s in (fti(2, 0, n), After(29))]],
        None,
    ),
    (
        "it checks the file",
        FRESH,
        [*DOWNLOAD, *[s for n in range(99) for s in (fti(2, 0, SIZE, checked=n), After(59))]],
        None,
    ),
    ("all sent, and silence", FRESH, [*DOWNLOAD, After(VERIFY_WAIT), After(0.1)], UNVERIFIED),
    ("all sent, seen, and silence", FRESH, [*DOWNLOAD, fti(2, 0, SIZE), After(VERIFY_WAIT), After(0.1)], UNVERIFIED),
    ("rebooted after all was sent", FRESH, [*DOWNLOAD, fti(2, 0, SIZE), FRESH, After(60.1)], UNVERIFIED),
    ("rebooted on the way", FRESH, [Asked(), Served(400), fti(2, 0, 400), FRESH, After(STALL), After(0.1)], STALLED),
    (
        "another file takes its place",
        FRESH,
        [Asked(), Served(400), fti(2, 0, 400), fti(2, 0, 9, OLD), fti(0, 2, 9, OLD, 9), After(30.1)],
        STALLED,
    ),
    # odd numbers
    (
        "negative and huge offsets",
        FRESH,
        [Asked(), fti(2, 0, -5), fti(2, 0, 2**63 - 1), Served(SIZE), SAME_DONE],
        DELIVERED,
    ),
    ("unknown FTI numbers", FRESH, [*DOWNLOAD, fti(2, 7, 5), fti(0, 99, SIZE), fti(0, -1, SIZE), SAME_DONE], DELIVERED),
    (
        "nothing but CurrentStatus",
        FRESH,
        [*DOWNLOAD, status_from({"CurrentStatus": 2}), status_from({"CurrentStatus": 0})],
        None,
    ),
    ("a status without CurrentStatus", FRESH, [*DOWNLOAD, fti(2, 0, 9), status_from({}), SAME_DONE], DELIVERED),
]


class TransferTests(SynchronousTestCase):
    """Whether the printer has the file."""

    def judge(self, before: Status | None, steps: list[Step]) -> tuple[Transfer, list[Verdict | None]]:
        now = 1000.0
        transfer = Transfer(NAME, SIZE, before, now)
        verdicts: list[Verdict | None] = []
        for step in steps:
            match step:
                case Asked():
                    transfer.requested(now)
                case Served(offset):
                    transfer.served(offset, now)
                case After(seconds):
                    now += seconds
                case Status():
                    verdicts.append(transfer.status(step, now))
            verdicts.append(transfer.time(now))
        return transfer, verdicts

    def test_stories(self) -> None:
        """A file counts as delivered, failed or unknown exactly when the printer's own words and the time say so."""
        for name, before, steps, expected in TRANSFERS:
            with self.subTest(name):
                transfer, verdicts = self.judge(before, steps)
                first = next((place for place, verdict in enumerate(verdicts) if verdict is not None), None)
                if expected is None:
                    self.assertEqual([v for v in verdicts if v is not None], [], name)
                    continue
                assert first is not None, f"no verdict: {name}"
                self.assertGreaterEqual(first, len(verdicts) - 2, f"too early: {name}")
                verdict = verdicts[first]
                assert verdict is not None
                self.assertEqual((verdict.state, verdict.reason), expected, name)
                self.assertEqual(verdict.message is None, verdict.state is JobState.DELIVERED)
                if verdict.state is JobState.DELIVERED:
                    self.assertEqual(transfer.sent, SIZE)

    def test_sent(self) -> None:
        """Progress is what the printer has taken, by its own count once it tells one, and never more than the file."""
        transfer = Transfer(NAME, SIZE, FRESH, 0)
        seen = []
        for step in (Served(100), fti(2, 0, 50), fti(2, 0, 150), fti(2, 0, 5000), Served(64), fti(2, 0, -9)):
            if isinstance(step, Served):
                transfer.served(step.offset, 0)
            else:
                transfer.status(step, 0)
            seen.append(transfer.sent)
        self.assertEqual(seen, [100, 50, 150, 1000, 1000, 0])

    def test_messages(self) -> None:
        """Each failure says how far it got and what to do."""
        _, verdicts = self.judge(FRESH, [Asked(), fti(2, 0, 0), fti(0, 3, 400)])
        self.assertIn("gave up at byte 400 of 1000", str(verdicts))
        _, verdicts = self.judge(FRESH, [After(16)])
        self.assertIn("firewall", str(verdicts))
        _, verdicts = self.judge(FRESH, [Asked(), fti(0, 2, 9, NAME, 9)])
        self.assertIn("9 bytes instead of 1000", str(verdicts))

    @settings(derandomize=True, deadline=None, max_examples=120)
    @given(
        st.sampled_from([None, FRESH, OTHER_DONE, SAME_FAILED, fti(0, 2, 7, NAME, 7)]),
        st.lists(
            st.builds(
                fti,
                st.sampled_from([0, 1, 2, -1]),
                st.integers(-1, 4),
                st.integers(-1, SIZE + 1),
                st.sampled_from([NAME, OLD, ""]),
                st.sampled_from([SIZE, 0, 7]),
            )
            | st.just(Asked())
            | st.builds(Served, st.integers(0, SIZE))
            | st.builds(After, st.floats(0, 20)),
            max_size=12,
        ),
    )
    def test_never_delivered_falsely(self, before: Status | None, steps: list[Step]) -> None:
        """Without the printer's word, of this name and size and after it took something, nothing is delivered."""
        _, verdicts = self.judge(before, steps)
        if any(v is not None and v.state is JobState.DELIVERED for v in verdicts):
            statuses = [s for s in steps if isinstance(s, Status)]
            words = [s.transfer for s in statuses]
            self.assertTrue(any((w.status, w.filename, w.total_size) == (2, NAME, SIZE) for w in words))
            taken = any(2 in s.current and s.transfer.filename == NAME for s in statuses)
            self.assertTrue(taken or Served(SIZE) in steps)


# -- prints ------------------------------------------------------------------------------------------------------


def pi(
    current: int, status: int, layer: int = 0, ticks: int = 0, name: str = NAME, total: int = 310, error: int = 0
) -> Status:
    return Status((current,), print=PrintInfo(status, layer, total, ticks, 3218949, error, name))


REBOOTED = Status((0,))
DONE_BEFORE = pi(0, 16, 310, 3222039, OLD)
DONE_BEFORE_SAME = pi(0, 16, 310, 3222039)
STOPPED_BEFORE_SAME = pi(0, 13, 100, 900000)
END_SCREEN_SAME = pi(1, 16, 310, 3222039)
BEGIN = [pi(1, 1), pi(1, 2, 1, 15000), pi(1, 3, 1, 17000), pi(1, 4, 1, 27000), pi(1, 2, 2, 30000)]
LAST_LAYER = [pi(1, 2, 310, 3200000), pi(1, 3, 310, 3205000), pi(1, 4, 310, 3210000)]
SILENT = 1e9

PRINTING = (JobState.PRINTING, None)
PAUSED = (JobState.PAUSED, None)
FINISHED = (JobState.FINISHED, None)
STOPPED = (JobState.STOPPED, "stopped")
RESTARTED = (JobState.LOST, "printer_restarted")
REPLACED = (JobState.LOST, "replaced")
END_UNKNOWN = (JobState.LOST, "end_unknown")
ANOTHER = (JobState.FAILED, "another_print")
ERROR = (JobState.FAILED, "printer_error")
UNCONFIRMED = (JobState.FAILED, "start_unconfirmed")
UNSEEN = (JobState.UNVERIFIED, "start_unconfirmed")
Moves = list[tuple[JobState, str | None]]
PrintStory = tuple[str, Status | None, list[Status | After], Moves]

PRINTS: list[PrintStory] = [
    # as recorded (sdcp.md 4.1, 4.6): what the job became, one after the other
    (
        "success",
        DONE_BEFORE,
        [DONE_BEFORE, *BEGIN, *LAST_LAYER, pi(1, 12, 310, 3215000), pi(1, 16, 310, 3222039)],
        [PRINTING, FINISHED],
    ),
    (
        "success, the end seen after the tap",
        DONE_BEFORE,
        [*BEGIN, *LAST_LAYER, pi(0, 16, 310, 3222039)],
        [PRINTING, FINISHED],
    ),
    ("success, first ever", REBOOTED, [REBOOTED, *BEGIN, pi(1, 16, 310)], [PRINTING, FINISHED]),
    ("success, the name comes late", REBOOTED, [pi(1, 1, name=""), *BEGIN, pi(1, 16, 310)], [PRINTING, FINISHED]),
    ("layer equals total before the end", DONE_BEFORE, [*BEGIN, *LAST_LAYER, pi(1, 12, 310, 3300000)], [PRINTING]),
    ("seen first at the final lift", DONE_BEFORE, [pi(1, 12, 310, 5000), pi(1, 16, 310)], [PRINTING, FINISHED]),
    ("stopped: 9, 13, 14", DONE_BEFORE, [*BEGIN, pi(1, 9, 2), pi(1, 13, 2)], [PRINTING, STOPPED]),
    ("stopped: 10, 14, 13", DONE_BEFORE, [*BEGIN, pi(1, 10, 2), pi(1, 14, 2)], [PRINTING, STOPPED]),
    ("stopped while nobody listened", DONE_BEFORE, [*BEGIN, pi(0, 13, 2)], [PRINTING, STOPPED]),
    (
        "paused and resumed at the touchscreen",
        DONE_BEFORE,
        [*BEGIN, pi(1, 5, 2), pi(1, 7, 2), pi(1, 2, 3), pi(1, 16, 310)],
        [PRINTING, PAUSED, PRINTING, FINISHED],
    ),
    (
        "paused by the network (M4U)",
        DONE_BEFORE,
        [*BEGIN, pi(1, 5, 2), pi(1, 6, 2), pi(1, 8, 2), pi(1, 1, 2)],
        [PRINTING, PAUSED, PRINTING],
    ),
    (
        "paused, then stopped: never told as resumed",
        DONE_BEFORE,
        [*BEGIN, pi(1, 8, 2), pi(1, 10, 2), pi(1, 13, 2)],
        [PRINTING, PAUSED, STOPPED],
    ),
    ("paused, then rebooted", DONE_BEFORE, [*BEGIN, pi(1, 7, 2), REBOOTED], [PRINTING, PAUSED, RESTARTED]),
    (
        "unknown numbers change nothing",
        DONE_BEFORE,
        [*BEGIN, pi(1, 11, 2), pi(1, 15, 2), pi(1, 99, 2), pi(1, -3, 2), pi(1, 3, 3)],
        [PRINTING],
    ),
    (
        "unknown numbers end no pause",
        DONE_BEFORE,
        [*BEGIN, pi(1, 7, 2), pi(1, 99, 2), pi(1, 6, 2), status_from({"CurrentStatus": 1})],
        [PRINTING, PAUSED],
    ),
    ("an unknown number is the first that is seen", DONE_BEFORE, [pi(1, 99, 0), pi(1, 3, 1)], [PRINTING]),
    (
        "no PrintInfo for a moment",
        DONE_BEFORE,
        [*BEGIN, status_from({"CurrentStatus": 0}), status_from({}), pi(1, 3, 3)],
        [PRINTING],
    ),
    (
        "numbers without sense",
        DONE_BEFORE,
        [*BEGIN, pi(1, 3, -5, -1, total=0), pi(1, 3, 2**62, 2**62, total=1), pi(1, 16)],
        [PRINTING, FINISHED],
    ),
    # what the last print left behind
    (
        "the last job's end right after the Ack",
        DONE_BEFORE,
        [DONE_BEFORE, pi(1, 16, 310, 3222039, OLD), *BEGIN],
        [PRINTING],
    ),
    ("the completed screen of the last job, nothing else", DONE_BEFORE, [pi(1, 16, 310, 3222039, OLD)], []),
    (
        "the same file again: its old end right after the Ack",
        DONE_BEFORE_SAME,
        [DONE_BEFORE_SAME, END_SCREEN_SAME, *BEGIN, *LAST_LAYER, END_SCREEN_SAME],
        [PRINTING, FINISHED],
    ),
    (
        "the same file again: nothing but its old end",
        DONE_BEFORE_SAME,
        [DONE_BEFORE_SAME, END_SCREEN_SAME, DONE_BEFORE_SAME],
        [],
    ),
    (
        "the same file again: our name on the last job's number",
        DONE_BEFORE,
        [pi(0, 16, 310, 3222039), END_SCREEN_SAME],
        [],
    ),
    ("the same file again: old layers, new number", DONE_BEFORE_SAME, [pi(1, 1, 310, 3222039), pi(1, 1)], [PRINTING]),
    (
        "the same file after a stop: its old 13",
        STOPPED_BEFORE_SAME,
        [STOPPED_BEFORE_SAME, pi(1, 13, 100, 900000), pi(1, 14, 100, 900000), *BEGIN],
        [PRINTING],
    ),
    (
        "the same file, seen first at the final lift",
        DONE_BEFORE_SAME,
        [pi(1, 12, 310, 3222039), pi(1, 12, 310, 5000)],
        [PRINTING],
    ),
    ("an old 12 with more ticks is no print", DONE_BEFORE_SAME, [pi(1, 12, 310, 9999999)], []),
    ("an unfinished number left from before", pi(0, 3, 9, 5), [pi(0, 3, 9, 5), pi(1, 3, 9, 5)], []),
    ("the last job's name on our first number", DONE_BEFORE, [pi(1, 1, 0, 0, OLD), pi(1, 1), pi(1, 2, 1)], [PRINTING]),
    (
        "no PrintInfo is no proof",
        DONE_BEFORE,
        [status_from({"CurrentStatus": 1}), status_from({"CurrentStatus": 1, "PrintInfo": {"Filename": ""}})],
        [],
    ),
    ("checking right after the start", DONE_BEFORE, [pi(1, 10), pi(1, 1)], [PRINTING]),
    ("stopping before anything was seen", DONE_BEFORE, [pi(1, 10), pi(1, 13)], []),
    # other files, errors, reboots
    ("another file at the touchscreen instead", DONE_BEFORE, [pi(1, 1, name="third.goo")], [ANOTHER]),
    ("another file, nothing known before", None, [pi(1, 3, 5, name="third.goo")], [ANOTHER]),
    ("another file is paused", DONE_BEFORE, [pi(1, 7, 9, name="third.goo")], [ANOTHER]),
    ("replaced after it ran", DONE_BEFORE, [*BEGIN, pi(1, 1, name="third.goo")], [PRINTING, REPLACED]),
    ("replaced after it ended unseen", DONE_BEFORE, [*BEGIN, pi(0, 16, 9, name="third.goo")], [PRINTING, REPLACED]),
    ("refused with an error", DONE_BEFORE, [pi(0, 0, error=3)], [ERROR]),
    ("an error that was there before", pi(0, 16, name=OLD, error=3), [pi(0, 0, error=3), *BEGIN], [PRINTING]),
    ("an error, nothing known before", None, [pi(0, 16, error=3)], []),
    ("an error of another file", DONE_BEFORE, [pi(0, 16, name=OLD, error=3)], []),
    ("rebooted on the way", DONE_BEFORE, [*BEGIN, REBOOTED], [PRINTING, RESTARTED]),
    (
        "a transfer after it ended unseen",
        DONE_BEFORE,
        [*BEGIN, pi(2, 3, 2), pi(0, 3, 2), After(IDLE_WAIT), After(0.1)],
        [PRINTING, END_UNKNOWN],
    ),
    ("busy with a test", DONE_BEFORE, [*BEGIN, pi(3, 0, 2), pi(1, 0, 2), After(SILENT)], [PRINTING]),
    (
        "idle without a word on the end",
        DONE_BEFORE,
        [*BEGIN, pi(0, 9, 2), After(0), After(IDLE_WAIT), After(0.1)],
        [PRINTING, END_UNKNOWN],
    ),
    (
        "idle for a moment",
        DONE_BEFORE,
        [*BEGIN, pi(0, 3, 2), After(1), After(29), pi(1, 3, 2), After(1), pi(0, 4, 2), After(1), After(29)],
        [PRINTING],
    ),
    # time
    ("a long print in silence", DONE_BEFORE, [*BEGIN, After(SILENT), pi(0, 16, 310)], [PRINTING, FINISHED]),
    ("it never starts", DONE_BEFORE, [DONE_BEFORE, After(START_WAIT), DONE_BEFORE, After(0.1)], [UNCONFIRMED]),
    (
        "it never starts, the last screen stays",
        DONE_BEFORE_SAME,
        [END_SCREEN_SAME, After(START_WAIT), END_SCREEN_SAME, After(0.1)],
        [UNCONFIRMED],
    ),
    (
        "the last file is started instead",
        DONE_BEFORE,
        [pi(1, 3, 5, 5, OLD), After(30), pi(1, 3, 6, 6, OLD), After(0.1)],
        [UNCONFIRMED],
    ),
    ("it starts late", DONE_BEFORE, [DONE_BEFORE, After(START_WAIT), pi(1, 1)], [PRINTING]),
    (
        "it checks a large file for minutes",
        DONE_BEFORE,
        [pi(1, 10), After(300), pi(1, 10), After(290), pi(1, 1)],
        [PRINTING],
    ),
    (
        "it is at something unknown for ever",
        DONE_BEFORE,
        [status_from({"CurrentStatus": 1}), After(GIVE_UP), After(0.1)],
        [UNSEEN],
    ),
    (
        "nothing is heard of it",
        DONE_BEFORE,
        [After(START_WAIT + 1), After(GIVE_UP - START_WAIT - 1), After(0.1)],
        [UNSEEN],
    ),
    ("heard again in time", DONE_BEFORE, [After(GIVE_UP), pi(1, 3, 40, 400000)], [PRINTING]),
    ("heard again when it had ended", DONE_BEFORE, [After(500), pi(0, 16, 310, 5)], [UNSEEN]),
    ("heard again at its completed screen", DONE_BEFORE, [After(500), pi(1, 16, 310, 5)], [UNSEEN]),
    ("heard again after a reboot", DONE_BEFORE, [After(500), REBOOTED], [UNSEEN]),
]

ADOPTED: list[PrintStory] = [
    ("still printing", None, [pi(1, 3, 5)], [PRINTING]),
    ("paused meanwhile", None, [pi(1, 7, 5), pi(1, 3, 5)], [PAUSED, PRINTING]),
    ("finished meanwhile", None, [pi(0, 16, 310)], [FINISHED]),
    ("waiting at its completed screen", None, [pi(1, 16, 310)], [FINISHED]),
    ("stopped meanwhile", None, [pi(0, 13, 100)], [STOPPED]),
    ("rebooted meanwhile", None, [REBOOTED], [RESTARTED]),
    ("replaced meanwhile", None, [pi(1, 3, 5, name="third.goo")], [REPLACED]),
    ("at the final lift", None, [pi(1, 12, 310), After(SILENT), pi(1, 16, 310)], [FINISHED]),
    ("silent", None, [After(SILENT)], []),
]
STARTING_ADOPTED: list[PrintStory] = [
    ("it prints", None, [pi(1, 3, 5), pi(1, 16, 310)], [PRINTING, FINISHED]),
    ("it is paused", None, [pi(1, 8, 5)], [PAUSED]),
    (
        "an end that may be an older one's",
        None,
        [pi(0, 16, 310), After(START_WAIT), pi(0, 16, 310), After(0.1)],
        [UNSEEN],
    ),
    (
        "a completed screen that may be an older one's",
        None,
        [END_SCREEN_SAME, After(30), END_SCREEN_SAME, After(0.1)],
        [UNSEEN],
    ),
    ("another file's end", None, [DONE_BEFORE, After(START_WAIT), DONE_BEFORE, After(0.1)], [UNCONFIRMED]),
    ("silent", None, [After(GIVE_UP), After(0.1)], [UNSEEN]),
]


class PrintTests(SynchronousTestCase):
    """Whether the print runs, and how it ended."""

    def moves(self, judge: Print, steps: Sequence[Status | After]) -> list[Verdict]:
        """What a job that obeys the judge goes through, up to its end."""
        now, moves = 0.0, [Verdict(JobState.STARTING)]

        def judged(verdict: Verdict | None) -> None:
            if verdict is not None and verdict.state is not moves[-1].state and moves[-1].state not in ENDED:
                moves.append(verdict)

        for step in steps:
            self.assertNotIn(moves[-1].state, ENDED, "too early")
            if isinstance(step, After):
                now += step.seconds
            else:
                judged(judge.status(step))
            judged(judge.time(now))
        return moves[1:]

    def tell(self, stories: list[PrintStory], make: Callable[[Status | None], Print]) -> None:
        for name, before, steps, expected in stories:
            with self.subTest(name):
                moves = self.moves(make(before), steps)
                self.assertEqual([(v.state, v.reason) for v in moves], expected, name)
                for verdict in moves:
                    self.assertEqual(verdict.message is None, verdict.reason is None)

    def test_stories(self) -> None:
        """A print begins, pauses and ends exactly when the printer says so, whatever stood there before."""
        self.tell(PRINTS, lambda before: Print(NAME, Generation.V1, before, 0))

    def test_adopted(self) -> None:
        """A print that was seen before the daemon was restarted is judged by what the printer says now."""
        self.tell(ADOPTED, lambda before: Print(NAME, Generation.V1, before, 0, running=True))

    def test_adopted_while_starting(self) -> None:
        """A start of which nothing was seen before the restart is believed only when the print is seen."""
        self.tell(STARTING_ADOPTED, lambda before: Print(NAME, Generation.V1, before, 0))

    def test_v3(self) -> None:
        """A V3 print is judged by V3's numbers: 9 is complete, 6 is paused, 16 is nothing."""
        before = pi(0, 9, 310, 999, OLD)
        start = [pi(1, 10), pi(1, 1), pi(1, 2), pi(1, 16)]
        for steps, expected in (
            ([*start, pi(1, 5), pi(1, 6), pi(1, 3), pi(0, 9, 310)], [PRINTING, PAUSED, PRINTING, FINISHED]),
            ([*start, pi(1, 7), pi(0, 8)], [PRINTING, STOPPED]),
            ([pi(1, 9, 310, 999, OLD), pi(0, 9, 310, 999, OLD)], []),
            ([pi(1, 10), pi(0, 10, error=5)], [ERROR]),
        ):
            moves = self.moves(Print(NAME, Generation.V3, before, 0), steps)
            self.assertEqual([(v.state, v.reason) for v in moves], expected)

    def test_silence(self) -> None:
        """A printer that repeats itself has not started; of one that fell silent meanwhile nobody knows that."""
        for said, silence, expected in (
            (DONE_BEFORE, 0.0, UNCONFIRMED),
            (DONE_BEFORE, LIVE - 0.1, UNCONFIRMED),
            (DONE_BEFORE, LIVE, UNSEEN),
            (pi(0, 0), LIVE - 0.1, UNSEEN),
            (pi(0, 0), LIVE, None),
            (pi(1, 10), 0.0, None),
            (pi(1, 10), LIVE, None),
        ):
            judge = Print(NAME, Generation.V1, DONE_BEFORE, 0)
            judge.status(said)
            judge.time(START_WAIT - silence)
            self.assertIsNone(judge.time(START_WAIT))
            verdict = judge.time(START_WAIT + 0.01)
            self.assertEqual(verdict and (verdict.state, verdict.reason), expected, f"{said} {silence}")

    def test_running(self) -> None:
        """Only after a running number is a print known to run."""
        judge = Print(NAME, Generation.V1, DONE_BEFORE, 0)
        self.assertFalse(judge.running)
        judge.status(pi(1, 16))
        self.assertFalse(judge.running)
        judge.status(pi(1, 1))
        self.assertTrue(judge.running)

    @settings(derandomize=True, deadline=None, max_examples=120)
    @given(
        st.sampled_from([None, REBOOTED, DONE_BEFORE, DONE_BEFORE_SAME, STOPPED_BEFORE_SAME]),
        st.lists(
            st.builds(
                pi,
                st.sampled_from([0, 1, 2, -1]),
                st.integers(-1, 18),
                st.integers(0, 310),
                st.integers(0, 10),
                st.sampled_from([NAME, OLD, ""]),
            )
            | st.builds(After, st.floats(0, 60)),
            max_size=12,
        ),
    )
    def test_never_finished_falsely(self, before: Status | None, steps: list[Status | After]) -> None:
        """Nothing is finished but by a 16 of our name after it was seen at work."""
        judge = Print(NAME, Generation.V1, before, 0)
        seen = False
        for step in steps:
            if isinstance(step, After):
                continue
            verdict = judge.status(step)
            told = step.print
            if verdict is not None and verdict.state is JobState.FINISHED:
                self.assertTrue(seen and told.status == 16 and told.filename in (NAME, ""))
            seen = seen or (step.current == (1,) and told.status not in (0, 9, 10, 13, 14, 16) and told.filename != OLD)


class JobStateTests(SynchronousTestCase):
    """What the states of a job mean."""

    def test_states(self) -> None:
        """A job waits, moves or has ended, and never two of these."""
        waiting = {JobState.QUEUED, JobState.HELD, JobState.DELIVERING, JobState.DELIVERED}
        self.assertEqual(set(JobState), waiting | MOVING | ENDED)
        self.assertEqual(len(JobState), len(waiting) + len(MOVING) + len(ENDED))
