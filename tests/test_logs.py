"""Log levels."""

from __future__ import annotations

import os
from typing import TextIO

from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from sdcpd.config import Sdcpd
from sdcpd.logs import LEVELS, Few, Journalled, Recent, listens, logger, observer_for, set_level


@implementer(ILogObserver)
class Seen:
    """Keeps what comes through."""

    def __init__(self) -> None:
        self.events: list[LogEvent] = []

    def __call__(self, event: LogEvent) -> None:
        self.events.append(event)


class LevelTests(SynchronousTestCase):
    """What comes through to whoever observes Twisted's log."""

    def setUp(self) -> None:
        self.seen = Seen()
        set_level("info")  # other tests leave theirs
        globalLogPublisher.addObserver(self.seen)
        self.addCleanup(globalLogPublisher.removeObserver, self.seen)
        self.addCleanup(set_level, "info")
        self.log = logger("sdcpd.test_logs")

    def levels(self) -> list[str]:
        """Log once at each level and tell what came through."""
        self.seen.events.clear()
        for name in ("debug", "info", "warn", "error", "critical"):
            self.log.emit(LogLevel.levelWithName(name), "said by {who}", who="test")
        return [
            event["log_level"].name for event in self.seen.events if event.get("log_namespace") == "sdcpd.test_logs"
        ]

    def test_default(self) -> None:
        """Packets are not logged unless somebody wants them."""
        set_level("info")
        self.assertEqual(self.levels(), ["info", "warn", "error", "critical"])

    def test_each(self) -> None:
        """Each level lets through itself and what is graver, and can be changed while running."""
        order = ["debug", "info", "warn", "error", "critical"]
        for place, name in enumerate(order):
            set_level(name)
            self.assertEqual(self.levels(), order[place:], name)

    def test_every_level(self) -> None:
        """Every level that the configuration takes exists."""
        self.assertEqual(set(LEVELS), {"debug", "info", "warn", "error", "critical"})
        self.assertIn(Sdcpd().log_level, LEVELS)

    def test_unknown(self) -> None:
        """A level that nobody knows changes nothing."""
        set_level("warn")
        self.assertRaises(KeyError, set_level, "chatty")
        self.assertEqual(self.levels(), ["warn", "error", "critical"])

    def test_fields(self) -> None:
        """What is logged stays searchable by its fields."""
        self.log.warn("{peer} breaks MQTT", peer="10.0.0.1")
        self.assertEqual(self.seen.events[-1]["peer"], "10.0.0.1")
        self.assertEqual(self.seen.events[-1]["log_namespace"], "sdcpd.test_logs")

    def test_names(self) -> None:
        """Whatever a printer or a client is called, it begins no line of its own and tells a terminal nothing."""
        self.log.warn("{who} has come", who="x\n2026-01-01 [sdcpd.audit#info] forged\x1b[2J\u202e\u2028\x85")
        text = formatEvent(self.seen.events[-1])
        self.assertTrue(text.isprintable(), text)
        self.assertEqual(text, "x\\n2026-01-01 [sdcpd.audit#info] forged\\x1b[2J\\u202e\\u2028\\x85 has come")

    def test_failure(self) -> None:
        """Our own errors come through at every level."""
        set_level("critical")
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            self.log.failure("ours")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_listens(self) -> None:
        """Who asks whether a line would be kept is told what then happens to it."""
        for name in LEVELS:
            set_level(name)
            self.assertEqual([level for level in LEVELS if listens(level)], self.levels(), name)


class FewTests(SynchronousTestCase):
    """How often a peer can make us say something."""

    def test_few(self) -> None:
        """So many in a while, from the first one on; then again."""
        clock = Clock()
        few = Few(clock.seconds, most=2, within=10.0)
        self.assertEqual([few.may() for _ in range(4)], [True, True, False, False])
        clock.advance(9.9)
        self.assertFalse(few.may())
        clock.advance(0.1)
        self.assertEqual([few.may() for _ in range(3)], [True, True, False])


class RecentTests(SynchronousTestCase):
    """The last lines of the log."""

    def test_last_lines(self) -> None:
        """The newest lines are kept, long ones cut, and what cannot be formatted hurts nobody."""
        recent = Recent(2)
        for text in ("first", "second", "x" * 5000):
            recent({"log_format": "{text}", "text": text, "log_time": 0.0})
        self.assertEqual(recent.text.count("\n"), 2)
        self.assertNotIn("first", recent.text)
        self.assertIn("second", recent.text)
        self.assertLess(len(recent.text), 2000)
        recent({"log_format": "{missing}"})
        self.assertEqual(recent.text.count("\n"), 2)


class JournalTests(SynchronousTestCase):
    """Lines in systemd's journal."""

    def setUp(self) -> None:
        incoming, outgoing = os.pipe()
        self.incoming = os.fdopen(incoming, encoding="utf-8")
        self.outgoing = os.fdopen(outgoing, "w", encoding="utf-8")
        self.addCleanup(self.incoming.close)
        self.addCleanup(self.outgoing.close)

    def stream(self, out: TextIO) -> str:
        """What systemd would say in ``JOURNAL_STREAM`` if ``out`` were connected to the journal."""
        found = os.fstat(out.fileno())
        return f"{found.st_dev}:{found.st_ino}"

    def lines(self, observer: ILogObserver, level: LogLevel, text: str) -> list[str]:
        """What is written of one event."""
        Logger("sdcpd.x", observer=observer).emit(level, "{text}", text=text)
        self.outgoing.close()
        return self.incoming.read().splitlines()

    def test_no_second_time(self) -> None:
        """``journalctl`` shows one time for each line, not two, and how grave the line is."""
        observer = observer_for(self.outgoing, {"JOURNAL_STREAM": self.stream(self.outgoing)})
        self.assertEqual(self.lines(observer, LogLevel.warn, "the disk is full"), ["<4>sdcpd.x: the disk is full"])

    def test_every_level(self) -> None:
        """``journalctl -p err`` shows what the daemon calls an error, and no less."""
        observer = Journalled(self.outgoing)
        log = Logger("sdcpd.x", observer=observer)
        for level in LEVELS.values():
            log.emit(level, "said")
        self.outgoing.close()
        found = [line.partition(">")[0] for line in self.incoming]
        self.assertEqual(found, ["<7", "<6", "<4", "<3", "<2"])

    def test_traceback(self) -> None:
        """Every line of a traceback is as grave as the first: none is lost to ``journalctl -p``."""
        try:
            raise ZeroDivisionError("ours")
        except ZeroDivisionError:
            failure = Failure()
        Logger("sdcpd.x", observer=Journalled(self.outgoing)).failure("It broke", failure)
        self.outgoing.close()
        lines = self.incoming.read().splitlines()
        self.assertGreater(len(lines), 2)
        self.assertEqual(lines[0], "<2>sdcpd.x: It broke")
        self.assertIn("ZeroDivisionError: ours", lines[-1])
        self.assertEqual([line for line in lines if not line.startswith("<2>")], [])

    def test_others(self) -> None:
        """In a terminal, or where another program's output is the journal, lines have their time."""
        for environment in ({}, {"JOURNAL_STREAM": "8:1"}, {"JOURNAL_STREAM": "nonsense"}):
            with self.subTest(environment=environment):
                self.assertNotIsInstance(observer_for(self.outgoing, environment), Journalled)
        observer = observer_for(self.outgoing, {})
        (line,) = self.lines(observer, LogLevel.info, "hello")
        self.assertRegex(line, r"^\d{4}-\d\d-\d\dT.* \[sdcpd.x#info\] hello$")

    def test_no_descriptor(self) -> None:
        """A standard output that is no file of the system's is written to all the same."""
        self.outgoing.close()
        self.assertNotIsInstance(observer_for(self.outgoing, {"JOURNAL_STREAM": "8:1"}), Journalled)
