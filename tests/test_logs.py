"""Log levels."""

from __future__ import annotations

from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from sdcpd.config import Sdcpd
from sdcpd.logs import LEVELS, Recent, logger, set_level


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

    def test_names(self) -> None:
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

    def test_failure(self) -> None:
        """Our own errors come through at every level."""
        set_level("critical")
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            self.log.failure("ours")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


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
