from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sdcpd.codec.sdcp import Announcement
from sdcpd.codec.status import Generation, PrintInfo, Status, TransferInfo, status_from
from sdcpd.dialects import (
    FLAGS,
    WORDS,
    Condition,
    condition_of,
    flags_of,
    klippy_of,
    message_of,
    sensors_of,
    sent_of,
    trouble_of,
)
from sdcpd.printer import Printer, Reachability
from sdcpd.progress import Job, JobState

ID = "0001D2AB12CD34EF"


def status(current: int = 0, state: int = 0, *, error: int = 0, filename: str = "") -> Status:
    return Status((current,), 0, PrintInfo(state, 5, 100, 5000, 100_000, error, filename))


def job(state: JobState, **more: Any) -> Job:
    return Job("j1", ID, "plate.goo", "0" * 32, 1000, "plate_00000000.goo", state, 1.0, **more)


def printer(told: Status | None, **more: Any) -> Printer:
    announcement = Announcement(mainboard_id=ID, protocol="V1.0.0", generation=Generation.V1)
    more.setdefault("reachability", Reachability.ONLINE)
    return Printer("saturn", announcement, status=told, **more)


TABLE = {
    "switched off": (
        printer(status(), reachability=Reachability.OFFLINE),
        ("Offline", "closedOrError", "standby", "OFFLINE", "disconnected"),
    ),
    "unusable until somebody acts": (
        printer(None, reachability=Reachability.STALE, message="Is a firewall in the way?"),
        ("Error", "error closedOrError", "error", "ERROR", "error"),
    ),
    "just found": (
        printer(None, reachability=Reachability.STALE),
        ("Connecting", "closedOrError", "standby", "BUSY", "startup"),
    ),
    "idle after a failed job": (
        printer(status(), job=job(JobState.FAILED, message="The resin vat leaks.")),
        ("Operational", "operational ready", "error", "ERROR", "ready"),
    ),
    "idle with an error number": (
        printer(status(error=3)),
        ("Operational", "operational ready", "error", "ERROR", "ready"),
    ),
    "idle, no job seen": (printer(status()), ("Operational", "operational ready", "standby", "IDLE", "ready")),
    "idle after a complete print": (
        printer(status(0, 16)),
        ("Operational", "operational ready", "complete", "FINISHED", "ready"),
    ),
    "idle after a stopped print": (
        printer(status(0, 13)),
        ("Operational", "operational ready", "cancelled", "STOPPED", "ready"),
    ),
    "waits for its operator": (
        printer(status(1, 16)),
        ("Operational", "operational", "complete", "ATTENTION", "ready"),
    ),
    "receives a file": (
        printer(status(2, 16)),
        ("Sending file to SD", "operational", "standby", "BUSY", "ready"),
    ),
    "checks the file": (
        printer(status(1, 10), job=job(JobState.STARTING)),
        ("Starting", "operational printing", "printing", "PRINTING", "ready"),
    ),
    "prepares": (printer(status(1, 1)), ("Starting", "operational printing", "printing", "PRINTING", "ready")),
    "prints": (printer(status(1, 3)), ("Printing", "operational printing", "printing", "PRINTING", "ready")),
    "the last lift": (printer(status(1, 12)), ("Printing", "operational printing", "printing", "PRINTING", "ready")),
    "pauses": (printer(status(1, 5)), ("Pausing", "operational printing pausing", "printing", "PRINTING", "ready")),
    "is paused": (printer(status(1, 8)), ("Paused", "operational paused", "paused", "PAUSED", "ready")),
    "stops": (
        printer(status(1, 9)),
        ("Cancelling", "operational printing cancelling", "printing", "BUSY", "ready"),
    ),
    "tests its exposure": (printer(status(1, 0)), ("Operational", "operational", "standby", "BUSY", "ready")),
}


class TableTests(SynchronousTestCase):
    """What each dialect says of the same printer."""

    def test_words(self) -> None:
        """A client of each dialect reads the state that its own server would have said."""
        for name, (found, expected) in TABLE.items():
            with self.subTest(printer=name):
                words = WORDS[condition_of(found)]
                flags = " ".join(flag for flag in FLAGS if flags_of(found)[flag])
                octoprint, true, moonraker, prusalink, klippy = expected
                self.assertEqual(
                    (words.octoprint, set(flags.split()), words.moonraker, words.prusalink, klippy_of(found)[0]),
                    (octoprint, set(true.split()), moonraker, prusalink, klippy),
                )

    def test_every_row(self) -> None:
        """No condition is without words, and the table of these tests meets every one."""
        self.assertEqual(set(WORDS), set(Condition))
        self.assertEqual({condition_of(found) for found, _ in TABLE.values()}, set(Condition))

    def test_every_flag(self) -> None:
        """Clients that index a flag never miss it, and no row invents one."""
        for words in WORDS.values():
            self.assertLessEqual(words.flags, set(FLAGS))
        self.assertEqual(tuple(flags_of(printer(None))), FLAGS)
        wanted = "operational paused printing pausing cancelling sdReady error ready closedOrError resuming finishing"
        self.assertEqual(set(FLAGS), set(wanted.split()))


class ConditionTests(SynchronousTestCase):
    """Where a printer's own word and a job of ours meet."""

    def test_asked_for_something(self) -> None:
        """A printer that was just sent a file or a start is not shown as idle until it says so itself."""
        for state, condition in (
            (JobState.DELIVERING, Condition.TRANSFER),
            (JobState.DELIVERED, Condition.TRANSFER),
            (JobState.STARTING, Condition.STARTING),
            (JobState.QUEUED, Condition.COMPLETE),
            (JobState.HELD, Condition.COMPLETE),
        ):
            self.assertIs(condition_of(printer(status(0, 16), job=job(state))), condition)

    def test_a_newer_print_than_the_failed_job(self) -> None:
        """After a job was lost to another print, the end of that print is shown."""
        lost = job(JobState.LOST, started=2.0)
        self.assertIs(condition_of(printer(status(0, 16, filename="other.goo"), job=lost)), Condition.COMPLETE)
        same = status(0, 16, filename="plate_00000000.goo")
        self.assertIs(condition_of(printer(same, job=lost)), Condition.FAILED)

    def test_a_delivery_that_failed(self) -> None:
        """A file that never reached the printer is the last news, whatever was printed before."""
        failed = job(JobState.FAILED)
        self.assertIs(condition_of(printer(status(0, 16, filename="other.goo"), job=failed)), Condition.FAILED)

    def test_rebooted(self) -> None:
        """A board that has forgotten its last print does not make us forget it."""
        for state, condition in (
            (JobState.FINISHED, Condition.COMPLETE),
            (JobState.STOPPED, Condition.STOPPED),
        ):
            self.assertIs(condition_of(printer(status(), job=job(state, started=2.0))), condition)
        self.assertIs(condition_of(printer(status(), job=job(JobState.STOPPED))), Condition.READY)


class SentenceTests(SynchronousTestCase):
    """What people read on displays."""

    def test_trouble(self) -> None:
        """What went wrong is told in a sentence, and nothing where nothing is wrong."""
        told = {
            "unusable until somebody acts": "Is a firewall in the way?",
            "idle after a failed job": "The resin vat leaks.",
            "idle with an error number": "The printer reports the error 3.",
        }
        for name, (found, _) in TABLE.items():
            self.assertEqual(trouble_of(found), told.get(name, ""), name)

    def test_messages(self) -> None:
        """A display says what the printer waits for."""
        told = {
            "unusable until somebody acts": "Is a firewall in the way?",
            "idle after a failed job": "The resin vat leaks.",
            "idle with an error number": "The printer reports the error 3.",
            "waits for its operator": "confirm on the printer",
            "receives a file": "Sending file",
            "stops": "cancelling",
            "tests its exposure": "busy at its own screen",
        }
        for name, (found, _) in TABLE.items():
            self.assertEqual(message_of(found), told.get(name), name)

    def test_waits(self) -> None:
        """A job that waits does not make its printer look busy; the display says what it waits for."""
        for state in (JobState.QUEUED, JobState.HELD, JobState.DELIVERED):
            waiting = job(state, reason="plate_not_clear", message="Say that the plate is clear.", queued=True)
            found = printer(status(0, 16), job=waiting)
            self.assertIs(condition_of(found), Condition.COMPLETE)
            self.assertEqual(message_of(found), "Say that the plate is clear.")
        self.assertIs(condition_of(printer(status(), job=job(JobState.DELIVERED, start=False))), Condition.READY)

    def test_transfer_percent(self) -> None:
        """How much of the file has arrived is told by our count, else by the printer's, never above 100."""
        ours = printer(status(2, 0), job=job(JobState.DELIVERING, sent=430))
        self.assertEqual(message_of(ours), "Sending file 43 %")
        theirs = Status((2,), 0, transfer=TransferInfo(0, 900, 0, 600, "x.goo"))
        self.assertEqual(message_of(printer(theirs)), "Sending file 100 %")

    def test_klippy(self) -> None:
        """The host is ready only on a live connection, and says who else has the printer."""
        self.assertEqual(klippy_of(printer(status()))[0], "ready")
        self.assertEqual(klippy_of(printer(status(), reachability=Reachability.STALE))[0], "startup")
        taken = printer(status(), reachability=Reachability.ELSEWHERE, message="It is connected to 192.0.2.9.")
        self.assertEqual(klippy_of(taken), ("error", "It is connected to 192.0.2.9."))
        self.assertFalse(flags_of(taken)["ready"])
        self.assertTrue(flags_of(taken)["operational"])


class NumberTests(SynchronousTestCase):
    """The numbers that every dialect tells."""

    def test_sensors(self) -> None:
        """The board's thermometers are told under its names; what is no number, or no thermometer, is not."""
        told = Status((0,), extra={"TempOfUVLED": 41, "TempOfBox": 28.5, "TempOfTank": "warm", "TempOfMoon": 4.0})
        self.assertEqual(sensors_of(printer(told)), {"TempOfUVLED": 41.0, "TempOfBox": 28.5})
        self.assertEqual(sensors_of(printer(status_from({"TempOfBox": 10**400}))), {"TempOfBox": 2.0**63})
        self.assertEqual(sensors_of(printer(Status((0,), extra={"TempOfBox": True}))), {})
        self.assertEqual(sensors_of(printer(None)), {})

    def test_sent(self) -> None:
        """The part of a file that is there goes by our own job, else by the board, and never beyond the whole."""
        own = job(JobState.DELIVERING, sent=250)
        self.assertEqual(sent_of(printer(status(2), job=own)), 0.25)
        self.assertEqual(sent_of(printer(status(2), job=job(JobState.DELIVERING, sent=5000))), 1.0)
        by_board = Status((2,), transfer=TransferInfo(0, 500, 0, 1000, "x.goo"))
        self.assertEqual(sent_of(printer(by_board)), 0.5)
        self.assertEqual(sent_of(printer(by_board, job=job(JobState.FINISHED, sent=1000))), 0.5)
        self.assertEqual(sent_of(printer(Status((2,), transfer=TransferInfo(0, -5, 0, 1000, "x.goo")))), 0.0)
        self.assertIsNone(sent_of(printer(status(2))))
        self.assertIsNone(sent_of(printer(None)))
