"""What may be done next about a waiting job, as a table, and the order of the queue."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.codec.status import Phase
from sdcpd.plate import Gate
from sdcpd.progress import Job, JobState
from sdcpd.queue import REASONS, Step, View, moved, next_step, ordered
from sdcpd.records import Plate, PlateState

JOB = Job("j", "ID", "f.goo", "0" * 32, 9, "f_0.goo", JobState.QUEUED, 0.0, queued=True)
CLEAR = Plate("ID", PlateState.CLEAR, 1)
VIEW = View("Saturn", "saturn", True, False, Phase.IDLE, False, CLEAR, Gate.AFTER_PRINT, True)


class NextTests(SynchronousTestCase):
    def check(self, job: Job, view: View, expected: str, **more: bool) -> None:
        found = next_step(job, view, first=more.pop("first", True), **more)
        self.assertEqual(found.reason or found.step.value, expected)
        self.assertEqual(found.message is None, found.step is not Step.WAIT)

    def test_delivery(self) -> None:
        """A file is delivered in its turn as soon as the printer is there and idle, whatever is on its plate."""
        occupied = replace(VIEW, plate=Plate("ID", PlateState.OCCUPIED, 1))
        for view, expected in (
            (VIEW, "deliver"),
            (occupied, "deliver"),
            (replace(VIEW, online=False), "printer_offline"),
            (replace(VIEW, elsewhere=True), "owned_elsewhere"),
            (replace(VIEW, phase=Phase.PRINTING), "printer_busy"),
            (replace(VIEW, phase=Phase.ATTENTION), "needs_attention"),
            (replace(VIEW, busy=True), "printer_busy"),
        ):
            self.check(JOB, view, expected)
        self.check(JOB, VIEW, "behind_another", first=False)

    def test_start(self) -> None:
        """A start needs a person's wish, its turn, an idle printer, a plate, and a disk to note it on."""
        delivered = replace(JOB, state=JobState.DELIVERED)
        unwanted = replace(delivered, start=False)
        for state, after_print, always, off in (
            (PlateState.CLEAR, "start", "start", "start"),
            (PlateState.UNKNOWN, "start", "plate_not_clear", "start"),
            (PlateState.OCCUPIED, "plate_not_clear", "plate_not_clear", "waiting_for_start"),
            (PlateState.SUSPECT, "plate_not_clear", "plate_not_clear", "waiting_for_start"),
        ):
            for gate, expected in ((Gate.AFTER_PRINT, after_print), (Gate.ALWAYS, always), (Gate.OFF, off)):
                view = replace(VIEW, plate=Plate("ID", state, 1), gate=gate)
                self.check(delivered, view, expected)
                self.check(unwanted, view, "waiting_for_start")
                self.check(delivered, replace(view, phase=Phase.PRINTING), "printer_busy", asked=True)
        self.check(delivered, replace(VIEW, writable=False), "journal_unwritable")

    def test_asked(self) -> None:
        """Without a gate a person's word starts over what is on the plate; with one it does not."""
        delivered = replace(JOB, state=JobState.DELIVERED)
        view = replace(VIEW, plate=Plate("ID", PlateState.OCCUPIED, 1))
        self.check(delivered, replace(view, gate=Gate.OFF), "start", asked=True)
        self.check(delivered, view, "plate_not_clear", asked=True)

    def test_documented(self) -> None:
        """Every reason is explained in the operations manual, and there is no other in its table."""
        text = (Path(__file__).parents[1] / "docs" / "operations.md").read_text(encoding="utf-8")
        table = text[text.index("| why a job waits |") :].split("\n\n")[0]
        self.assertEqual(set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)), set(REASONS))


class OrderTests(SynchronousTestCase):
    def jobs(self, ids: str) -> list[Job]:
        return [replace(JOB, id=name, position=float(place)) for place, name in enumerate(ids)]

    def test_moved(self) -> None:
        """A job goes before another one or to the end, and the others keep their order."""
        for mover, before, expected in (
            ("c", "a", "cab"),
            ("a", None, "bca"),
            ("a", "c", "bac"),
            ("b", "c", "abc"),
            ("c", None, "abc"),
        ):
            self.assertEqual("".join(job.id for job in moved(self.jobs("abc"), mover, before)), expected)
        self.assertRaises(KeyError, moved, self.jobs("abc"), "x", "a")
        self.assertRaises(KeyError, moved, self.jobs("abc"), "a", "x")

    @settings(derandomize=True, deadline=None)
    @given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["a", "b", "c", "d", None])), max_size=12))
    def test_nothing_lost(self, moves: list[tuple[str, str | None]]) -> None:
        """However often a queue is put in order, every job is in it once, and the end is the end."""
        jobs = self.jobs("abcd")
        for mover, before in moves:
            jobs = moved(jobs, mover, before)
            self.assertEqual(sorted(job.id for job in jobs), list("abcd"))
            self.assertEqual(jobs, ordered(jobs))
